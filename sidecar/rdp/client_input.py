"""What an RDP client types, points at and touches, carried to the consoles it sees."""

import time
from collections.abc import Callable
from typing import TypeAlias

from sidecar.guest import Button, Led
from sidecar.input.session_input import SessionInput
from sidecar.input.touch_input import Contact, ContactKind
from sidecar.rdp.input_events import (
    ExtendedMouseEvent,
    ExtendedPointerFlags,
    InputEvent,
    MouseEvent,
    PointerFlags,
    RelativeMouseEvent,
    ScancodeEvent,
    SynchronizeEvent,
    UnicodeEvent,
)
from sidecar.rdp.scancode_keys import ScancodeKeys
from sidecar.rdp.touch_channel import TouchFrame

Locate: TypeAlias = Callable[[int, int], tuple[SessionInput, int, int]]
"""Where a pixel of the client's desktop is: the input of the nearest console, and x, y there. All three
may lie outside; then the console's edge counts."""

_BUTTONS: dict[int, Button] = {
    PointerFlags.BUTTON1: Button.LEFT,
    PointerFlags.BUTTON2: Button.RIGHT,
    PointerFlags.BUTTON3: Button.MIDDLE,
}
_EXTENDED_BUTTONS: dict[int, Button] = {
    ExtendedPointerFlags.BUTTON1: Button.SIDE,
    ExtendedPointerFlags.BUTTON2: Button.EXTRA,
}
_LOCKS = Led.SCROLL | Led.NUM | Led.CAPS
_WHEELS = PointerFlags.WHEEL | PointerFlags.HWHEEL


class ClientInput:
    """The input of one client to one console or several.

    Keys go to the console on which the pointer or a finger was last, buttons to the one that is under the
    pointer; each is let go of where it was pressed. Whether the client may do anything is for `SessionInput`
    to know. The owner calls `release_all` when the client goes, or may act no more.
    """

    def __init__(
        self,
        first: SessionInput,
        locate: Locate | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`first`: where keys go at the beginning. `locate`: None where `first` is the whole desktop."""
        self._locate: Locate = locate or (lambda x, y: (first, x, y))
        self._focus = first
        self._inputs = {first}
        """All that have got something, in which something may be held."""
        self._scancodes = ScancodeKeys(clock)
        self._keys: dict[int, SessionInput] = {}
        self._buttons: dict[Button, SessionInput] = {}
        self._fingers: dict[int, tuple[SessionInput, int, int]] = {}
        """Contact -> its console, and what is to be added to desktop pixels there."""
        self._position = (0, 0)
        """On the desktop."""
        self._high_surrogate = 0

    def handle(self, events: tuple[InputEvent, ...]) -> None:
        """Takes the events of one input PDU, in order."""
        for index, event in enumerate(events):
            match event:
                case ScancodeEvent():
                    for change in self._scancodes.changes(event, events[index + 1 : index + 2]):
                        self._key(change.down, change.qnum)
                case UnicodeEvent():
                    self._character(event)
                case MouseEvent(flags) if flags & _WHEELS:
                    self._scroll(flags)
                case MouseEvent(flags, x, y):
                    self._click(flags, _BUTTONS, x, y)
                case ExtendedMouseEvent(flags, x, y):
                    self._click(flags, _EXTENDED_BUTTONS, x, y)
                case RelativeMouseEvent():
                    self._relative(event)
                case SynchronizeEvent():
                    self._synchronize(event)

    def touch(self, frame: TouchFrame) -> None:
        """Takes what fingers did at one time. Each belongs to the console on which it was put down."""
        changed: dict[SessionInput, list[Contact]] = {}
        for contact in frame.contacts:
            kind = ContactKind(contact.kind.value)
            if kind is ContactKind.BEGIN:
                target, x, y = self._target(contact.x, contact.y)
                self._fingers[contact.id] = (target, x - contact.x, y - contact.y)
            if contact.id not in self._fingers:
                continue
            target, right, down = self._fingers[contact.id]
            if kind in (ContactKind.END, ContactKind.CANCEL):
                del self._fingers[contact.id]
            place = (contact.x + right, contact.y + down)
            changed.setdefault(target, []).append(Contact(contact.id, kind, *place))
        for target, contacts in changed.items():
            target.touch(contacts)

    def release_all(self) -> None:
        """Lets go of all that the client holds. May be called at any time, again too."""
        self._scancodes.reset()
        self._keys.clear()
        self._buttons.clear()
        self._fingers.clear()
        self._high_surrogate = 0
        for each in self._inputs:
            each.release_all()

    # Keys

    def _key(self, down: bool, qnum: int) -> None:
        if down:
            self._keys.setdefault(qnum, self._focus).key(True, qnum)
        elif (target := self._keys.pop(qnum, None)) is not None:
            target.key(False, qnum)

    def _character(self, event: UnicodeEvent) -> None:
        """Only presses count: some clients send no releases, some send them at once."""
        if event.released:
            return
        unit = event.code_unit
        high, self._high_surrogate = self._high_surrogate, 0
        if 0xD800 <= unit <= 0xDBFF:
            self._high_surrogate = unit
        elif not 0xDC00 <= unit <= 0xDFFF:
            self._focus.character(chr(unit))
        elif high:
            self._focus.character(chr(0x10000 + (high - 0xD800 << 10) + unit - 0xDC00))

    def _synchronize(self, event: SynchronizeEvent) -> None:
        """Nothing is held, and the locks are as the client says (MS-RDPBCGR 2.2.8.1.1.3.1.1.5).

        Kana lock is left alone: no guest's is known, QEMU tells of no such light.
        """
        self._scancodes.reset()
        self._keys.clear()
        self._high_surrogate = 0
        for each in self._inputs:
            each.release_keys()
        self._focus.set_locks(Led(event.toggles & _LOCKS.value))

    # Pointer

    def _scroll(self, flags: int) -> None:
        """Turns a wheel where the pointer is: these events say nothing of a place, FreeRDP's say (0, 0)."""
        rotation = _rotation(flags)
        if flags & PointerFlags.WHEEL:
            self._focus.scroll(0, rotation)
        else:
            self._focus.scroll(rotation, 0)

    def _click(self, flags: int, buttons: dict[int, Button], x: int, y: int) -> None:
        """The pointer is at a place, and buttons go down or up there."""
        if flags & PointerFlags.MOVE or any(flags & flag for flag in buttons):
            self._move(x, y)
            self._press(flags, buttons)

    def _relative(self, event: RelativeMouseEvent) -> None:
        if event.flags & PointerFlags.MOVE:
            if self._focus.takes_positions:
                x, y = self._position
                self._move(x + event.dx, y + event.dy)
            else:
                self._focus.move_by(event.dx, event.dy)
        self._press(event.flags, _BUTTONS)
        self._press(event.flags, _EXTENDED_BUTTONS)

    def _press(self, flags: int, buttons: dict[int, Button]) -> None:
        for flag, button in buttons.items():
            if flags & flag:
                if flags & PointerFlags.DOWN:
                    self._buttons.setdefault(button, self._focus).button(True, button)
                elif (target := self._buttons.pop(button, None)) is not None:
                    target.button(False, button)

    def _move(self, x: int, y: int) -> None:
        target, inner_x, inner_y = self._target(x, y)
        edge_x, edge_y = target.clamped(inner_x, inner_y)
        self._position = (x + edge_x - inner_x, y + edge_y - inner_y)
        target.move_to(inner_x, inner_y)

    def _target(self, x: int, y: int) -> tuple[SessionInput, int, int]:
        """The console at a place of the desktop, which has the keyboard from now on."""
        located = self._locate(x, y)
        self._focus = located[0]
        self._inputs.add(self._focus)
        return located


def _rotation(flags: int) -> int:
    """The wheel's turn in 120ths of a step: nine bits, two's complement (MS-RDPBCGR 2.2.8.1.1.3.1.1.3)."""
    rotation = flags & PointerFlags.WHEEL_ROTATION_MASK
    return rotation - 0x100 if flags & PointerFlags.WHEEL_NEGATIVE else rotation
