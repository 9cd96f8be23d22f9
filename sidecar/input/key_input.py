"""One session's keys: keysyms or key codes in, key presses of the guest out."""

from sidecar.guest import Led
from sidecar.input import keysym as keysyms
from sidecar.input.keysym import Keysym
from sidecar.input.layout import Layout, Stroke
from sidecar.input.lock_keys import LOCK_KEYS
from sidecar.input.qnum import Qnum, normalise
from sidecar.input.seat import Seat
from sidecar.log import get_logger

log = get_logger(__name__)

_SHIFTS = (Qnum.SHIFT, Qnum.SHIFT_R)
_COMMANDS = (Qnum.CTRL, Qnum.CTRL_R, Qnum.ALT, Qnum.META_L, Qnum.META_R)


class KeyInput:
    """The keyboard of one session.

    Keysyms are typed as RFB asks for it: the case of a letter and the symbol that is meant count, the Shift
    state is a hint (rfbproto, KeyEvent). So Shift or AltGr is pressed or lifted for the time of one stroke
    where what is held does not fit, and is as it was right after.
    """

    def __init__(self, seat: Seat, layout: Layout) -> None:
        self._seat = seat
        self._layout = layout
        self._pressed: dict[int, int] = {}
        """Keysym (canonical) -> the key that was pressed for it."""
        self.follows_leds = False
        """Whether the client is told of the guest's lights, and so keeps its locks in step by itself."""

    def keysym(self, down: bool, keysym: int) -> None:
        """A key event that names a symbol (rfbproto, KeyEvent). Unknown symbols are ignored."""
        keysym = keysyms.canonical(keysym)
        if not down:
            self._release(keysym)
            return
        strokes = self._layout.strokes(keysym)
        if strokes:
            self._sync_locks(keysym)
            self._strike(keysym, self._best(strokes))
        elif composition := self._layout.composition(keysym):
            dead, base = composition
            self._strike(keysym, dead)
            self._release(keysym)
            self._strike(keysym, base)
        else:
            log.debug("keysym is not on the keyboard layout", keysym=hex(keysym), layout=self._layout.name)

    def qemu_key(self, down: bool, keysym: int, keycode: int) -> None:
        """A key event that names a key (rfbproto, QEMU Extended Key Event), or else a symbol."""
        qnum = normalise(keycode)
        if qnum is None:
            self.keysym(down, keysym)
        else:
            self.key(down, qnum)

    def key(self, down: bool, qnum: int) -> None:
        """A key by its number, which must be valid."""
        if down:
            self._seat.press(self, qnum)
        else:
            self._let_go(qnum)

    def character(self, character: str) -> bool:
        """Types one character, pressed and let go of at once; False when the layout has no stroke for it.

        What the guest's locks make of the key is reckoned with; they are not turned.
        """
        keysym = keysyms.CONTROL_CHARACTERS.get(character) or keysyms.keysym_of_character(ord(character))
        strokes = self._layout.strokes(keysym)
        if strokes:
            self._tap(self._best(strokes))
        elif composition := self._layout.composition(keysym):
            for stroke in composition:
                self._tap(stroke)
        else:
            return False
        return True

    def set_locks(self, lit: Led) -> None:
        """Turns the guest's locks on and off until they are as `lit` says, as far as they can be turned."""
        for qnum, led in LOCK_KEYS.items():
            self._turn(led, qnum, led in lit)

    def forget(self) -> None:
        """Takes note that all keys of this session were let go of."""
        self._pressed.clear()

    def _release(self, keysym: int) -> None:
        qnum = self._pressed.get(keysym)
        if qnum is None:
            # Shift changed between press and release, so another symbol comes up than went down
            held = [s.qnum for s in self._layout.strokes(keysym) if self._seat.holds(self, s.qnum)]
            if not held:
                return
            qnum = held[0]
        self._let_go(qnum)

    def _let_go(self, qnum: int) -> None:
        for keysym in [keysym for keysym, pressed in self._pressed.items() if pressed == qnum]:
            del self._pressed[keysym]
        self._seat.release(self, qnum)

    def _best(self, strokes: tuple[Stroke, ...]) -> Stroke:
        return next((stroke for stroke in strokes if not any(self._changes(stroke))), strokes[0])

    def _strike(self, keysym: int, stroke: Stroke) -> None:
        before = self._pressed.get(keysym)
        if before is not None and before != stroke.qnum:
            self._let_go(before)
        press, lift = self._changes(stroke)
        with self._seat.modified(press, lift):
            self._seat.press(self, stroke.qnum)
        self._pressed[keysym] = stroke.qnum

    def _tap(self, stroke: Stroke) -> None:
        press, lift = self._changes(stroke)
        with self._seat.modified(press, lift):
            self._seat.press(self, stroke.qnum)
        self._let_go(stroke.qnum)

    def _changes(self, stroke: Stroke) -> tuple[list[int], list[int]]:
        """Modifiers to press and to lift so that the stroke means what it should."""
        press: list[int] = []
        lift: list[int] = []
        down = self._seat.is_down
        shifts = [int(qnum) for qnum in _SHIFTS if down(qnum)]
        altgr = down(Qnum.ALT_R)
        # AltGr is Ctrl and right Alt for Windows: no command then, but a character's modifier
        as_altgr = altgr and bool(stroke.altgr) and down(Qnum.CTRL)
        commands = [qnum for qnum in _COMMANDS if down(qnum) and not (as_altgr and qnum == Qnum.CTRL)]
        if altgr and not self._layout.has_altgr and not self._altgr_is_meant():
            commands.append(Qnum.ALT_R)
        if commands and stroke.caps:
            return press, lift
        shift_wanted = stroke.shift
        if shift_wanted is not None and stroke.caps:
            shift_wanted ^= self._seat.lock_keys.is_on(Led.CAPS)
        if shift_wanted is True and not shifts:
            press.append(Qnum.SHIFT)
        elif shift_wanted is False and shifts and not commands:
            lift += shifts
        if stroke.altgr is True and not altgr:
            press.append(Qnum.ALT_R)
        elif stroke.altgr is False and altgr and not commands:
            lift.append(Qnum.ALT_R)
        if as_altgr:
            lift.append(Qnum.CTRL)
        return press, lift

    def _altgr_is_meant(self) -> bool:
        return any(keysym in self._pressed for keysym in (Keysym.ISO_LEVEL3_SHIFT, Keysym.MODE_SWITCH))

    def _sync_locks(self, keysym: int) -> None:
        """Turns the guest's locks to what the client's must be (facts: qnum section 2, "Lock sync")."""
        if self.follows_leds:
            return
        wanted = _num_lock_meant_by(keysym)
        if wanted is not None:
            self._turn(Led.NUM, Qnum.NUM_LOCK, wanted)
        # Only ever off: a capital without Shift may as well come from a program that never sends Shift,
        # and gets its Shift from us
        if self._is_small_letter(keysym) and not any(self._seat.is_down(shift) for shift in _SHIFTS):
            self._turn(Led.CAPS, Qnum.CAPS_LOCK, False)

    def _turn(self, led: Led, qnum: int, wanted: bool) -> None:
        locks = self._seat.lock_keys
        if locks.is_on(led) != wanted and locks.may_tap(led):
            self._seat.tap(qnum)

    @staticmethod
    def _is_small_letter(keysym: int) -> bool:
        return ord("a") <= keysym <= ord("z")


def _num_lock_meant_by(keysym: int) -> bool | None:
    if Keysym.KP_0 <= keysym <= Keysym.KP_9 or keysym in (Keysym.KP_SEPARATOR, Keysym.KP_DECIMAL):
        return True
    if Keysym.KP_HOME <= keysym <= Keysym.KP_DELETE:
        return False
    return None
