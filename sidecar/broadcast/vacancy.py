"""What somebody sees of whose consoles none is there: a notice, and nothing to type on."""

from functools import cache

from sidecar.guest import Button, Console, ConsoleChange, Led, ResizeRefused
from sidecar.observers import Observers
from sidecar.screen.notice import draw_notice
from sidecar.screen.surface import Surface

NUMBER = -1
"""No console of a machine has it."""

TEXT = "Nothing that you may see is there now."


@cache
def vacancy() -> Console:
    """One for all: it never changes."""
    return _Vacancy()


class _NoKeyboard:
    leds = Led(0)
    leds_known = False

    def press(self, qnum: int) -> None:
        """Nothing hears it."""

    def release(self, qnum: int) -> None:
        """Nothing hears it."""


class _NoPointer:
    is_absolute = True

    def move_to(self, x: int, y: int) -> None:
        """Nothing moves."""

    def move_by(self, dx: int, dy: int) -> None:
        """Nothing moves."""

    def press(self, button: Button) -> None:
        """Nothing is there."""

    def release(self, button: Button) -> None:
        """Nothing is there."""


class _Vacancy:
    """Implements `sidecar.guest.Console`."""

    index = NUMBER
    label = ""
    cursor = None
    cursor_visible = False
    cursor_position = (0, 0)
    touch = None
    input_backlog = 0

    def __init__(self) -> None:
        self.surface = Surface()
        self.keyboard = _NoKeyboard()
        self.pointer = _NoPointer()
        self.changes: Observers[[ConsoleChange]] = Observers()
        draw_notice(self.surface, TEXT, keep_picture=False)

    async def request_size(self, width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> None:
        """There is no guest to obey."""
        raise ResizeRefused("nothing is there whose size could change")
