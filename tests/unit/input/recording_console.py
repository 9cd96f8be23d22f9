"""A console whose guest writes down what reaches it."""

from collections.abc import Callable

from sidecar.guest import Button, ConsoleChange, GuestState, Led, Touch
from sidecar.input.session_input import SessionInput
from sidecar.observers import Observers
from sidecar.screen.cursor import Cursor
from sidecar.screen.surface import Surface

NAMES = {
    0x2A: "shift",
    0x36: "shift_r",
    0xB8: "altgr",
    0x1D: "ctrl",
    0x38: "alt",
    0x3A: "caps",
    0x45: "num",
    0x39: "space",
    0x1E: "a",
    0x30: "b",
    0x10: "q",
    0x15: "y",
    0x2C: "z",
    0x03: "2",
}


class Journal:
    """Keyboard and pointer in one: "+a" and "-a" for keys, tuples for the pointer."""

    def __init__(self) -> None:
        self.events: list[str | tuple[object, ...]] = []
        self.leds = Led(0)
        self.leds_known = True
        self.is_absolute = True
        self.keys: set[int] = set()

    def press(self, number: int) -> None:
        if isinstance(number, Button):
            self.events.append(("press", number))
            return
        self.keys.add(number)
        self.events.append("+" + NAMES.get(number, f"{number:02x}"))

    def release(self, number: int) -> None:
        if isinstance(number, Button):
            self.events.append(("release", number))
            return
        self.keys.discard(number)
        self.events.append("-" + NAMES.get(number, f"{number:02x}"))

    def move_to(self, x: int, y: int) -> None:
        self.events.append(("to", x, y))

    def move_by(self, dx: int, dy: int) -> None:
        self.events.append(("by", dx, dy))

    def take(self) -> list[str | tuple[object, ...]]:
        events, self.events = self.events, []
        return events

    def typed(self) -> str:
        """The key events since the last look, as one line."""
        return " ".join(str(event) for event in self.take())


class RecordingConsole:
    """A console of 640x480 pixels."""

    label = "VGA"
    cursor: Cursor | None = None
    cursor_visible = True
    cursor_position = (0, 0)
    input_backlog = 0
    touch: Touch | None = None

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.surface = Surface()
        self.journal = Journal()
        self.keyboard = self.journal
        self.pointer = self.journal
        self.changes: Observers[[ConsoleChange]] = Observers()

    async def request_size(self, width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> None:
        raise AssertionError("nobody asked for another size")


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class RestartingGuest:
    """What a seat needs of a guest."""

    def __init__(self) -> None:
        self.lifecycle: Observers[[GuestState]] = Observers()


MakeSession = Callable[..., SessionInput]
