"""A guest without QEMU: a test double for what is above the seam. Real ones are in tests/qemu."""

import numpy as np
from numpy.typing import NDArray

from sidecar.guest import Button, ConsoleChange, GuestState, Led, PowerRefused, ResizeRefused
from sidecar.observers import Observers
from sidecar.screen.cursor import Cursor
from sidecar.screen.surface import Surface


class SyntheticKeyboard:
    def __init__(self) -> None:
        self.leds = Led(0)
        self.leds_known = True
        self.log: list[tuple[str, int]] = []
        self.held: set[int] = set()

    def press(self, qnum: int) -> None:
        self.held.add(qnum)
        self.log.append(("press", qnum))

    def release(self, qnum: int) -> None:
        self.held.discard(qnum)
        self.log.append(("release", qnum))


class SyntheticPointer:
    def __init__(self) -> None:
        self.is_absolute = True
        self.log: list[tuple[object, ...]] = []
        self.held: set[Button] = set()

    def move_to(self, x: int, y: int) -> None:
        self.log.append(("to", x, y))

    def move_by(self, dx: int, dy: int) -> None:
        self.log.append(("by", dx, dy))

    def press(self, button: Button) -> None:
        self.held.add(button)
        self.log.append(("press", button))

    def release(self, button: Button) -> None:
        self.held.discard(button)
        self.log.append(("release", button))


class SyntheticTouch:
    """A touch screen that writes down what reaches it, and knows which fingers are down."""

    def __init__(self, max_slots: int = 10) -> None:
        self.max_slots = max_slots
        self.log: list[tuple[str, int, float, float]] = []
        self.down: set[int] = set()

    def begin(self, slot: int, x: float, y: float) -> None:
        assert slot in range(self.max_slots)
        assert slot not in self.down
        self.down.add(slot)
        self.log.append(("begin", slot, x, y))

    def update(self, slot: int, x: float, y: float) -> None:
        assert slot in self.down
        self.log.append(("update", slot, x, y))

    def end(self, slot: int, x: float, y: float) -> None:
        self.down.remove(slot)
        self.log.append(("end", slot, x, y))

    def cancel(self, slot: int, x: float, y: float) -> None:
        self.down.remove(slot)
        self.log.append(("cancel", slot, x, y))


class SyntheticConsole:
    """`draw` and `resize` are what a guest would do; `resizable` makes it obey resize requests."""

    def __init__(self, index: int = 0, width: int = 320, height: int = 200) -> None:
        self.index = index
        self.label = "synthetic"
        self.surface = Surface(width, height)
        self.cursor: Cursor | None = None
        self.cursor_visible = False
        self.cursor_position = (0, 0)
        self.keyboard = SyntheticKeyboard()
        self.pointer = SyntheticPointer()
        self.touch: SyntheticTouch | None = None
        self.input_backlog = 0
        self.changes: Observers[[ConsoleChange]] = Observers()
        self.resizable = True
        self.obeys = True

    def draw(self, x: int, y: int, pixels: NDArray[np.uint32]) -> None:
        if self.surface.write(x, y, pixels):
            self.changes.notify(ConsoleChange.DAMAGE)

    def resize(self, width: int, height: int) -> None:
        self.surface.resize(width, height)
        self.changes.notify(ConsoleChange.RESIZE | ConsoleChange.DAMAGE)

    def show_cursor(self, cursor: Cursor | None) -> None:
        if cursor is not None:
            self.cursor = cursor
        self.cursor_visible = cursor is not None
        self.changes.notify(ConsoleChange.CURSOR_SHAPE)

    def set_leds(self, leds: Led) -> None:
        self.keyboard.leds = leds
        self.changes.notify(ConsoleChange.LEDS)

    async def request_size(self, width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> None:
        if not self.resizable:
            raise ResizeRefused("this display cannot change its size")
        if self.obeys:
            self.resize(width, height)


class SyntheticPower:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.refuses = False

    async def shut_down(self) -> None:
        await self._switch("shut down")

    async def reset(self) -> None:
        await self._switch("reset")

    async def _switch(self, what: str) -> None:
        if self.refuses:
            raise PowerRefused("there is no way to switch this machine")
        self.log.append(what)


class SyntheticGuest:
    def __init__(self, console: SyntheticConsole | None = None) -> None:
        self.state = GuestState.ATTACHED
        self.name = "synthetic"
        self.uuid = ""
        self.console = console or SyntheticConsole()
        self.consoles = {self.console.index: self.console}
        self.power = SyntheticPower()
        self.lifecycle: Observers[[GuestState]] = Observers()
