"""The keys by which a viewer chooses its console: Ctrl-Alt-1 .. Ctrl-Alt-9, as in QEMU's own windows."""

from collections.abc import Callable

from sidecar.input import keysym as keysyms
from sidecar.input.qnum import Qnum, normalise

_CTRL = frozenset({int(Qnum.CTRL), int(Qnum.CTRL_R)})
_ALT = int(Qnum.ALT)
_ALTGR = int(Qnum.ALT_R)
_MODIFIERS = _CTRL | {_ALT, _ALTGR}

_SYMBOL = 1 << 32
"""Added to the keysym of a key that has no number, so that it is no key number."""

PASSED = -1
"""The key is the console's own."""

TAKEN = 0
"""The key is not for the console, and nothing else is to be done about it."""


class ConsoleKeys:
    """Hears all keys of one session. The right Alt key does not count, since it is AltGr to many.

    `count`: how many consoles there are to choose from now; with fewer than two nothing is taken.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._held: set[int] = set()
        """The modifiers that are down."""
        self._taken: set[int] = set()
        """The keys that are down and of which the console knows nothing."""

    def key(self, down: bool, keysym: int, keycode: int = 0) -> int:
        """A key of the client, by RFB's two numbers; `keycode` is 0 where it sends none.

        Returns PASSED, TAKEN, or the number of the console to show, from 1 on: the key is taken then too.
        """
        keysym = keysyms.canonical(keysym)
        qnum = normalise(keycode)
        if qnum is None:
            qnum = int(keysyms.FUNCTION_KEYS.get(keysym, 0))
        key = qnum or _SYMBOL + keysym
        if key in _MODIFIERS:
            (self._held.add if down else self._held.discard)(key)
            return PASSED
        if key in self._taken:
            if not down:
                self._taken.discard(key)
            return TAKEN
        if not down or _ALT not in self._held or _ALTGR in self._held or not self._held & _CTRL:
            return PASSED
        number = _digit(qnum, keysym)
        count = self._count()
        if count < 2 or not 1 <= number <= min(count, 9):
            return PASSED
        self._taken.add(key)
        return number

    def forget(self) -> None:
        """Takes note that the client's keys are all up."""
        self._held.clear()
        self._taken.clear()


def _digit(qnum: int, keysym: int) -> int:
    """The digit of a key in the top row, 0 for every other key."""
    if Qnum.DIGIT_1 <= qnum <= Qnum.DIGIT_9:
        return qnum - Qnum.DIGIT_1 + 1
    if not qnum and ord("1") <= keysym <= ord("9"):
        return keysym - ord("0")
    return 0
