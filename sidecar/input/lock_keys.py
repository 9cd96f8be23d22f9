"""What is known of the guest's lock keys, between a tap and the light that answers it."""

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.guest import Keyboard, Led
from sidecar.input.qnum import Qnum

ANSWER_TIME = 1.0
"""Seconds that a guest has to change a light after its key was pressed."""

LOCK_KEYS: dict[int, Led] = {
    Qnum.CAPS_LOCK: Led.CAPS,
    Qnum.NUM_LOCK: Led.NUM,
    Qnum.SCROLL_LOCK: Led.SCROLL,
}
"""Key number -> its light."""


@dataclass(frozen=True, slots=True)
class _Awaited:
    lit: bool
    deadline: float


class LockKeys:
    """The lock states of one console's guest.

    The truth is the guest's lights. They follow a key press late, and somebody who types fast must not have
    a lock tapped twice meanwhile: until the light has answered, or ANSWER_TIME is over, a pressed lock counts
    as turned. A guest that never sets its lights is believed to turn them at every press.
    """

    def __init__(self, keyboard: Keyboard, clock: Callable[[], float]) -> None:
        """`clock`: seconds, never going back."""
        self._keyboard = keyboard
        self._clock = clock
        self._awaited: dict[Led, _Awaited] = {}
        self._unanswered: dict[Led, bool] = {}
        """Lights that did not answer a press, with the state in which they stayed."""
        self._guess: Led | None = None

    def is_on(self, led: Led) -> bool:
        """Whether the lock is on, as far as anybody can know."""
        if not self._keyboard.leds_known:
            return led in (self._keyboard.leds if self._guess is None else self._guess)
        lit = led in self._keyboard.leds
        awaited = self._awaited.get(led)
        if awaited is None:
            return lit
        if lit == awaited.lit:
            del self._awaited[led]
            return lit
        if self._clock() < awaited.deadline:
            return awaited.lit
        del self._awaited[led]
        self._unanswered[led] = lit
        return lit

    def may_tap(self, led: Led) -> bool:
        """Whether pressing the lock key is of use: not if the light has ignored the last press of it."""
        self.is_on(led)
        return self._unanswered.get(led) is not (led in self._keyboard.leds)

    def pressed(self, qnum: int) -> None:
        """Takes note of a key that went down; keys that lock nothing are ignored."""
        led = LOCK_KEYS.get(qnum)
        if led is None:
            return
        lit = not self.is_on(led)
        if self._keyboard.leds_known:
            self._awaited[led] = _Awaited(lit, self._clock() + ANSWER_TIME)
        else:
            guess = self._keyboard.leds if self._guess is None else self._guess
            self._guess = guess ^ led

    def forget(self) -> None:
        """Begins anew with another guest."""
        self._awaited.clear()
        self._unanswered.clear()
        self._guess = None
