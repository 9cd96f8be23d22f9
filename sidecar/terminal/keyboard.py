"""The keyboard of a text console: keys in, what a terminal sends for them out."""

from collections.abc import Callable

from sidecar.guest import Led
from sidecar.input.layout import Layout
from sidecar.input.qnum import VALID, Qnum
from sidecar.terminal.key_sequences import ALT, CTRL, SHIFT, key_sequence, with_modifiers
from sidecar.terminal.typed_characters import TypedCharacters

_LOCKS = {
    int(Qnum.CAPS_LOCK): Led.CAPS,
    int(Qnum.NUM_LOCK): Led.NUM,
    int(Qnum.SCROLL_LOCK): Led.SCROLL,
}


class TerminalKeyboard:
    """Frontends make keys of what people type by the guest's layout, and this makes characters of them again
    by the same one.

    `send` takes text. `send_break` is called for Ctrl-Pause. `application_cursor`: whether the guest wants
    the other form of arrow keys. `lights_changed` is called when a lock was turned.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        send: Callable[[str], None],
        send_break: Callable[[], None],
        application_cursor: Callable[[], bool],
        lights_changed: Callable[[], None],
    ) -> None:
        self._layout = layout
        self._send = send
        self._send_break = send_break
        self._application_cursor = application_cursor
        self._lights_changed = lights_changed
        self._typed: TypedCharacters | None = None
        self._held: set[int] = set()
        self._leds = Led.NUM

    @property
    def leds(self) -> Led:
        """The locks, which are its own."""
        return self._leds

    @property
    def leds_known(self) -> bool:
        """They always are."""
        return True

    def press(self, qnum: int) -> None:
        """Presses a key, or repeats it."""
        if qnum not in VALID:
            return
        is_repeated = qnum in self._held
        self._held.add(qnum)
        if qnum in _LOCKS:
            if not is_repeated:
                self._leds ^= _LOCKS[qnum]
                self._lights_changed()
            return
        text = self._meaning(qnum)
        if text:
            self._send(text)

    def release(self, qnum: int) -> None:
        """Lets go of a key."""
        self._held.discard(qnum)

    def forget(self) -> None:
        """Takes note that all keys are up."""
        self._held.clear()
        if self._typed is not None:
            self._typed.forget()

    def _meaning(self, qnum: int) -> str:
        if self._typed is None:
            self._typed = TypedCharacters(self._layout)
        held, typed = self._held, self._typed
        altgr = Qnum.ALT_R in held and typed.has_altgr
        modifiers = SHIFT if Qnum.SHIFT in held or Qnum.SHIFT_R in held else 0
        if Qnum.ALT in held or (Qnum.ALT_R in held and not altgr):
            modifiers |= ALT
        # Windows clients press Ctrl along with AltGr
        if Qnum.CTRL_R in held or (Qnum.CTRL in held and not altgr):
            modifiers |= CTRL
        if qnum == Qnum.PAUSE:
            if modifiers & CTRL:
                self._send_break()
            return ""
        sequence = key_sequence(
            qnum,
            modifiers,
            application_cursor=self._application_cursor(),
            num_lock=Led.NUM in self._leds,
        )
        if sequence is not None:
            return sequence
        if Qnum.META_L in held or Qnum.META_R in held:
            return ""
        text = typed.typed(qnum, shift=bool(modifiers & SHIFT), altgr=altgr, caps=Led.CAPS in self._leds)
        return with_modifiers(text, modifiers) if text else ""
