"""Which finger has which slot of the guest's touch screen."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from sidecar.guest import Touch


@dataclass(slots=True)
class _Held:
    holder: Hashable
    contact: int
    touch: Touch
    x: float
    y: float


class TouchSlots:
    """The slots of a guest's touch screen, shared by all its consoles and by all sessions that touch it.

    A finger that is put down gets a free slot. Who has no finger down gets one even when none is free: the
    session with the most fingers loses its last one. A finger without a slot is ignored until it is lifted.
    A holder's contact ids are its own.
    """

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        """Slot -> the finger that has it, in the order in which they were put down."""

    def begin(self, holder: Hashable, contact: int, touch: Touch, x: float, y: float) -> None:
        """Puts a finger down; one that is down already begins anew."""
        self.end(holder, contact, x, y)
        slot = self._free(touch.max_slots)
        if slot is None:
            slot = self._wrest(holder)
        if slot is not None:
            self._held[slot] = _Held(holder, contact, touch, x, y)
            touch.begin(slot, x, y)

    def update(self, holder: Hashable, contact: int, x: float, y: float) -> None:
        """Moves a finger; one without a slot is ignored."""
        slot = self._slot(holder, contact)
        if slot is not None:
            held = self._held[slot]
            held.x, held.y = x, y
            held.touch.update(slot, x, y)

    def end(self, holder: Hashable, contact: int, x: float, y: float, *, cancelled: bool = False) -> None:
        """Lifts a finger; one without a slot is ignored."""
        slot = self._slot(holder, contact)
        if slot is not None:
            touch = self._held.pop(slot).touch
            if cancelled:
                touch.cancel(slot, x, y)
            else:
                touch.end(slot, x, y)

    def cancel_all(self, holder: Hashable) -> None:
        """Takes away all fingers of `holder`."""
        for slot in [slot for slot, held in self._held.items() if held.holder == holder]:
            self._cancel(slot)

    def forget(self) -> None:
        """Begins anew: the guest is another one, on which there is no finger."""
        self._held.clear()

    def _slot(self, holder: Hashable, contact: int) -> int | None:
        for slot, held in self._held.items():
            if held.contact == contact and held.holder == holder:
                return slot
        return None

    def _free(self, count: int) -> int | None:
        return next((slot for slot in range(count) if slot not in self._held), None)

    def _wrest(self, holder: Hashable) -> int | None:
        """A slot for somebody who has none, of somebody who has several."""
        fingers = Counter(held.holder for held in self._held.values())
        if holder in fingers or not fingers:
            return None
        greediest, count = fingers.most_common(1)[0]
        if count < 2:
            return None
        slot = [slot for slot, held in self._held.items() if held.holder == greediest][-1]
        self._cancel(slot)
        return slot

    def _cancel(self, slot: int) -> None:
        held = self._held.pop(slot)
        held.touch.cancel(slot, held.x, held.y)
