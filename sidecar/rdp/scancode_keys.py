"""From scan codes as RDP clients send them to QEMU's key numbers.

Source: MS-RDPBCGR 2.2.8.1.1.3.1.1.1 (Pause), facts: key codes section 5. What clients do beyond that stands
beside the rule that deals with it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sidecar.input.qnum import Qnum, normalise
from sidecar.rdp.input_events import InputEvent, ScancodeEvent

CONTROL_TO_ALTGR = 0.01
"""Seconds between AltGr and the Ctrl that Windows makes up for it, where each has a PDU of its own."""

_OTHER_CODES: dict[tuple[bool, int], Qnum] = {
    # Windows' codes of F13 to F24 are not those of QEMU, to which these codes are other keys
    **{(False, 0x64 + index): Qnum[f"F{13 + index}"] for index in range(12)},
    (False, 0x76): Qnum.F24,  # of Japanese keyboards
    (True, 0x45): Qnum.NUM_LOCK,  # as a Windows program is told of it
}
"""(extended, code) -> the key, where the key number is not the code."""

_KOREAN_CODES = {0xF1: Qnum.LANG2, 0xF2: Qnum.LANG1}
"""Hanja and Hangul as their keyboards send them, at the press only."""

_PREFIX_E1 = 0xE1
_BREAK = 0x80
_CONTROL, _NUM_LOCK = 0x1D, 0x45


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key goes down or up. `qnum`: a valid key number."""

    qnum: int
    down: bool


class ScancodeKeys:
    """The scan codes of one client. Repeats and releases of what is not held are passed on.

    Pause (E1 1D 45, or E0 46 with Ctrl) has no hold on a PC's keyboard, and some clients never release it: it
    is pressed and let go of at once.

    AltGr: a Windows client sends a left Ctrl before it, which its user has not pressed. No keyboard does: a
    Windows guest whose layout has AltGr adds the Ctrl by itself, and to a Linux guest Ctrl and AltGr together
    are a command and no character. So the guest gets AltGr alone. Nothing marks that Ctrl; it is one that
    AltGr follows directly, in the same PDU or within CONTROL_TO_ALTGR. A Ctrl held before that stays held.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, never going back."""
        self._clock = clock
        self._prefixed = False
        """Whether an E1 came as a code of its own, and its 1D is to follow."""
        self._pause: bool | None = None
        """Whether the 45 that belongs to an E1 1D goes down; None: there was no E1 1D."""
        self._control_down = False
        self._control_pressed_at: float | None = None
        """When the left Ctrl went down, if nothing was typed since."""
        self._control_made_up = False
        """Whether AltGr is held, and its Ctrl was left out."""

    def reset(self) -> None:
        """Begins anew: no key is held."""
        self._prefixed = False
        self._pause = None
        self._control_down = False
        self._control_pressed_at = None
        self._control_made_up = False

    def changes(self, event: ScancodeEvent, following: Sequence[InputEvent] = ()) -> list[KeyChange]:
        """What `event` means. `following`: the events after it in the same PDU."""
        if self._begins_pause(event):
            return []
        self._prefixed = False
        pause, self._pause = self._pause, None
        is_45 = not event.extended and event.code & ~_BREAK == _NUM_LOCK
        if is_45 and pause is not None and pause != _is_release(event):
            return _tap(Qnum.PAUSE) if pause else []
        if event.extended1:
            return []
        if not event.extended and (korean := _KOREAN_CODES.get(event.code)):
            return [] if event.released else _tap(korean)
        qnum = _key(event)
        if qnum is None:
            return []
        if qnum == Qnum.PAUSE:
            return [] if event.released else _tap(qnum)
        pressed_at, self._control_pressed_at = self._control_pressed_at, None
        if qnum == Qnum.CTRL:
            return self._control(not event.released, _next_key(following))
        if qnum == Qnum.ALT_R:
            return self._altgr(not event.released, pressed_at)
        return [KeyChange(qnum, not event.released)]

    def _begins_pause(self, event: ScancodeEvent) -> bool:
        """Whether `event` is a part of Pause that stands before its 45."""
        if event.extended:
            return False
        if (event.extended1 or self._prefixed) and event.code & ~_BREAK == _CONTROL:
            self._prefixed = False
            self._pause = not _is_release(event)
            return True
        # rdesktop sends the bytes of the keyboard one by one: E1 1D 45 E1 9D C5
        if event.code == _PREFIX_E1:
            self._prefixed = True
            return True
        return False

    def _control(self, down: bool, following: KeyChange | None) -> list[KeyChange]:
        if following is not None and following.qnum == Qnum.ALT_R and following.down == down:
            if down:
                self._control_made_up = True
                return []
            if self._control_made_up:
                return []
        if down and not self._control_down:
            self._control_pressed_at = self._clock()
        self._control_down = down
        return [KeyChange(Qnum.CTRL, down)]

    def _altgr(self, down: bool, control_pressed_at: float | None) -> list[KeyChange]:
        changes = [KeyChange(Qnum.ALT_R, down)]
        if not down:
            self._control_made_up = False
        elif control_pressed_at is not None and self._clock() - control_pressed_at <= CONTROL_TO_ALTGR:
            self._control_made_up = True
            self._control_down = False
            changes.insert(0, KeyChange(Qnum.CTRL, False))
        return changes


def _tap(qnum: int) -> list[KeyChange]:
    return [KeyChange(qnum, True), KeyChange(qnum, False)]


def _is_release(event: ScancodeEvent) -> bool:
    return event.released or bool(event.code & _BREAK)


def _key(event: ScancodeEvent) -> int | None:
    """The key, or None for codes without one: fake shifts, and all with the top bit."""
    if not 0 < event.code < _BREAK:
        return None
    other = _OTHER_CODES.get((event.extended, event.code))
    return other if other is not None else normalise(event.code | _BREAK if event.extended else event.code)


def _next_key(events: Sequence[InputEvent]) -> KeyChange | None:
    """The change that the event right after is, if it is one of a key."""
    if events and isinstance(event := events[0], ScancodeEvent) and (qnum := _key(event)) is not None:
        return KeyChange(qnum, not event.released)
    return None
