"""One session's fingers: on the guest's touch screen, or on its mouse where it has none."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sidecar.guest import Button, Touch
from sidecar.input.pointer_input import PointerInput
from sidecar.input.seat import Seat


class ContactKind(Enum):
    """What happens to a contact."""

    BEGIN = "begin"
    UPDATE = "update"
    END = "end"
    CANCEL = "cancel"
    """it has ended, and what it began is not meant"""


@dataclass(frozen=True, slots=True)
class Contact:
    """One finger at one time. `id`: the client's, free again after END and CANCEL; `x`, `y`: pixels of the
    console, outside counts as the edge."""

    id: int
    kind: ContactKind
    x: float
    y: float


class TouchInput:
    """The fingers of one session on one console.

    Where the guest has no touch screen the first finger is the left button: a tap clicks, a move drags.
    Further fingers do nothing then.
    """

    def __init__(self, seat: Seat, pointer: PointerInput) -> None:
        self._seat = seat
        self._pointer = pointer
        self._clicking: int | None = None
        """The finger that stands for the left button."""

    def handle(self, contacts: Iterable[Contact]) -> None:
        """Takes what happened at one time. Updates and ends of fingers that are not down are ignored."""
        for contact in contacts:
            if contact.id == self._clicking:
                self._click(contact)
            elif (touch := self._seat.console.touch) is not None:
                self._touch(touch, contact)
            elif contact.kind is ContactKind.BEGIN and self._clicking is None:
                self._clicking = contact.id
                self._click(contact)

    def release_all(self) -> None:
        """Takes all fingers away."""
        self._seat.touch_slots.cancel_all(self)
        if self._clicking is not None:
            self._clicking = None
            self._pointer.button(False, Button.LEFT)

    def _touch(self, touch: Touch, contact: Contact) -> None:
        slots = self._seat.touch_slots
        match contact.kind:
            case ContactKind.BEGIN:
                slots.begin(self, contact.id, touch, contact.x, contact.y)
            case ContactKind.UPDATE:
                slots.update(self, contact.id, contact.x, contact.y)
            case _:
                cancelled = contact.kind is ContactKind.CANCEL
                slots.end(self, contact.id, contact.x, contact.y, cancelled=cancelled)

    def _click(self, contact: Contact) -> None:
        self._pointer.move_to(int(contact.x), int(contact.y))
        match contact.kind:
            case ContactKind.BEGIN:
                self._pointer.button(True, Button.LEFT)
            case ContactKind.END | ContactKind.CANCEL:
                self._clicking = None
                self._pointer.button(False, Button.LEFT)
            case ContactKind.UPDATE:
                pass
