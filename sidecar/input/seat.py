"""Who holds which key, button and finger of one console: several sessions share what it has of each."""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from math import inf

from sidecar.guest import Button, Console, Guest, GuestState
from sidecar.input.lock_keys import LockKeys
from sidecar.input.touch_slots import TouchSlots

_Holders = dict[int, set[Hashable]]


class Seat:
    """The keyboard and mouse of one console, shared by all sessions that use it.

    A key or button that several sessions hold stays down until the last lets go. Holders are compared as
    dictionary keys are.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        touch_slots: TouchSlots | None = None,
    ) -> None:
        """`clock`: seconds, never going back. `touch_slots`: the guest's, where it has other consoles."""
        self.console = console
        self.touch_slots = touch_slots or TouchSlots()
        self.lock_keys = LockKeys(console.keyboard, clock)
        self.pointed_at: tuple[int, int] | None = None
        """The pixel at which a session has pointed last; None: none has, or it was motion."""
        self._clock = clock
        self._pointed_when = -inf
        self._keys: _Holders = {}
        self._buttons: _Holders = {}

    def is_down(self, qnum: int) -> bool:
        """Whether anybody holds the key."""
        return qnum in self._keys

    def holds(self, holder: Hashable, qnum: int) -> bool:
        """Whether `holder` holds the key."""
        return holder in self._keys.get(qnum, ())

    def press(self, holder: Hashable, qnum: int) -> None:
        """Presses a key; one that is held already repeats."""
        if qnum not in self._keys:
            self.lock_keys.pressed(qnum)
        self._keys.setdefault(qnum, set()).add(holder)
        self.console.keyboard.press(qnum)

    def release(self, holder: Hashable, qnum: int) -> None:
        """Lets go of a key; one that `holder` does not hold is left alone."""
        if _let_go(self._keys, holder, qnum):
            self.console.keyboard.release(qnum)

    def tap(self, qnum: int) -> None:
        """Presses a key and lets go of it at once; one that is held is left alone."""
        if qnum not in self._keys:
            self.lock_keys.pressed(qnum)
            self.console.keyboard.press(qnum)
            self.console.keyboard.release(qnum)

    @contextmanager
    def modified(self, press: list[int], lift: list[int]) -> Iterator[None]:
        """For the time of a stroke, presses keys that nobody holds and lifts keys that somebody holds."""
        keyboard = self.console.keyboard
        for qnum in lift:
            keyboard.release(qnum)
        for qnum in press:
            keyboard.press(qnum)
        try:
            yield
        finally:
            for qnum in reversed(press):
                keyboard.release(qnum)
            for qnum in reversed(lift):
                keyboard.press(qnum)

    def pointed(self, place: tuple[int, int] | None) -> None:
        """Takes note that a session points at a pixel, or moves the pointer: None."""
        self.pointed_at = place
        self._pointed_when = self._clock()

    @property
    def pointer_rest(self) -> float:
        """Seconds since any session has moved the pointer."""
        return self._clock() - self._pointed_when

    def press_button(self, holder: Hashable, button: Button) -> None:
        """Presses a button; one that `holder` holds already is left alone."""
        holders = self._buttons.setdefault(button, set())
        if holder not in holders:
            holders.add(holder)
            self.console.pointer.press(button)

    def release_button(self, holder: Hashable, button: Button) -> None:
        """Lets go of a button; one that `holder` does not hold is left alone."""
        if _let_go(self._buttons, holder, button):
            self.console.pointer.release(button)

    def release_all(self, holder: Hashable) -> None:
        """Lets go of everything that `holder` holds, and of nothing else."""
        for qnum in [qnum for qnum, holders in self._keys.items() if holder in holders]:
            self.release(holder, qnum)
        for button in [button for button, holders in self._buttons.items() if holder in holders]:
            self.release_button(holder, Button(button))

    def forget(self) -> None:
        """Begins anew: the guest is another one, in which nothing is held."""
        self._keys.clear()
        self._buttons.clear()
        self.touch_slots.forget()
        self.lock_keys.forget()


class Seats:
    """The seats of a guest, one for each console, for all frontends together."""

    def __init__(self, guest: Guest, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._touch_slots = TouchSlots()
        self._seats: dict[int, Seat] = {}
        self._unsubscribe = guest.lifecycle.subscribe(self._on_lifecycle)

    def of(self, console: Console) -> Seat:
        """The seat at a console; always the same object."""
        return self._seats.setdefault(console.index, Seat(console, self._clock, self._touch_slots))

    def close(self) -> None:
        """Stops following the guest."""
        self._unsubscribe()

    def _on_lifecycle(self, state: GuestState) -> None:
        if state is not GuestState.ATTACHED:
            for seat in self._seats.values():
                seat.forget()


def _let_go(held: _Holders, holder: Hashable, number: int) -> bool:
    """Takes `holder` away; True if that was the last one."""
    holders = held.get(number)
    if holders is None or holder not in holders:
        return False
    holders.remove(holder)
    if holders:
        return False
    del held[number]
    return True
