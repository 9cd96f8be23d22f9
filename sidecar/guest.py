"""The one seam between the frontends and the virtual machine.

Frontends see a `Guest` and nothing of D-Bus. Every method and attribute here belongs to the main loop;
callbacks run on it too. Only the pixels of a `Surface` are written by another thread, by the rules that
`sidecar.screen.surface` states.
"""

from collections.abc import Mapping
from enum import Enum, Flag, IntEnum, auto
from typing import Protocol

from sidecar.errors import SidecarError
from sidecar.observers import Observers
from sidecar.screen.cursor import Cursor
from sidecar.screen.surface import Surface


class GuestState(Enum):
    """Whether a virtual machine is there."""

    WAITING = "waiting"
    """none has been seen yet"""
    ATTACHED = "attached"
    LOST = "lost"
    """it was there and is gone; its consoles stay and show a notice until it is back"""


class ConsoleChange(Flag):
    """What happened to a console since its observers last heard."""

    DAMAGE = auto()
    """pixels of the same frame"""
    RESIZE = auto()
    """`surface.frame` is another one"""
    CURSOR_SHAPE = auto()
    CURSOR_POSITION = auto()
    LEDS = auto()
    POINTER_MODE = auto()


class Led(Flag):
    """Keyboard lights; the values are those of QEMU's `Keyboard.Modifiers` and of RFB's LED state."""

    SCROLL = 1
    NUM = 2
    CAPS = 4


class Button(IntEnum):
    """Pointer buttons; the values are those of QEMU's `Mouse.Press`."""

    LEFT = 0
    MIDDLE = 1
    RIGHT = 2
    WHEEL_UP = 3
    WHEEL_DOWN = 4
    SIDE = 5
    EXTRA = 6
    WHEEL_LEFT = 7
    WHEEL_RIGHT = 8


class ResizeRefused(SidecarError):
    """The guest's display device cannot change its size on request."""


class PowerRefused(SidecarError):
    """The way this guest is attached does not let anybody switch it."""


class Keyboard(Protocol):
    """The keyboard of one console. Events are queued and delivered in order, never waited for."""

    @property
    def leds(self) -> Led:
        """The lights as the guest last set them."""
        ...

    @property
    def leds_known(self) -> bool:
        """Whether the guest has ever set its lights since it was attached; if not, `leds` is a guess."""
        ...

    def press(self, qnum: int) -> None:
        """Presses a key. `qnum`: QEMU key number, 1..255 (facts: key codes section 1)."""
        ...

    def release(self, qnum: int) -> None:
        """Lets go of a key; one that is not held is ignored."""
        ...


class Pointer(Protocol):
    """The mouse of one console. Events are queued in order; motion that was not delivered yet is merged."""

    @property
    def is_absolute(self) -> bool:
        """Whether the guest's pointer device takes positions (`move_to`) or only motion (`move_by`)."""
        ...

    def move_to(self, x: int, y: int) -> None:
        """Puts the pointer at a pixel, clamped to the screen. Ignored while the device is relative."""
        ...

    def move_by(self, dx: int, dy: int) -> None:
        """Moves the pointer. Ignored while the device is absolute."""
        ...

    def press(self, button: Button) -> None:
        """Presses a button; a wheel step is a press and a release."""
        ...

    def release(self, button: Button) -> None:
        """Lets go of a button."""
        ...


class Touch(Protocol):
    """The touch screen of one console. Events are queued in order with those of keyboard and pointer.

    `slot`: 0..`max_slots` - 1, one for each finger that touches; `x`, `y`: pixels, clamped to the screen.
    """

    @property
    def max_slots(self) -> int:
        """Fingers at a time. All consoles of a guest share these slots."""
        ...

    def begin(self, slot: int, x: float, y: float) -> None:
        """A finger is put down."""
        ...

    def update(self, slot: int, x: float, y: float) -> None:
        """A finger that is down moves. Ignored when it is not down."""
        ...

    def end(self, slot: int, x: float, y: float) -> None:
        """A finger is lifted. Ignored when it is not down."""
        ...

    def cancel(self, slot: int, x: float, y: float) -> None:
        """A finger is gone, and what it began is not meant. Ignored when it is not down."""
        ...


class Console(Protocol):
    """One screen with its keyboard and pointer. It lives as long as the daemon, whatever QEMU does."""

    @property
    def index(self) -> int:
        """QEMU's console number."""
        ...

    @property
    def label(self) -> str:
        """QEMU's name for the display device; empty before one was seen."""
        ...

    @property
    def surface(self) -> Surface:
        """The pixels; always the same object."""
        ...

    @property
    def cursor(self) -> Cursor | None:
        """The pointer's picture where the guest has a hardware cursor; None when it draws its own."""
        ...

    @property
    def cursor_visible(self) -> bool:
        """Whether the guest shows its hardware cursor."""
        ...

    @property
    def cursor_position(self) -> tuple[int, int]:
        """Where the guest has put its pointer (top left corner of the picture plus hot spot)."""
        ...

    @property
    def keyboard(self) -> Keyboard:
        """Its keys and lights."""
        ...

    @property
    def pointer(self) -> Pointer:
        """Its mouse or tablet."""
        ...

    @property
    def touch(self) -> Touch | None:
        """Its touch screen; None where the guest is not known to have one."""
        ...

    @property
    def input_backlog(self) -> int:
        """Input events that wait to be taken by the guest. Frontends read no more from a peer above 256."""
        ...

    @property
    def changes(self) -> Observers[[ConsoleChange]]:
        """Called on the main loop, merged: at most once for every turn of the loop."""
        ...

    async def request_size(self, width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> None:
        """Asks the guest for another size; when it obeys, a RESIZE follows later. Raises ResizeRefused."""
        ...


class Power(Protocol):
    """The machine's switches. Each raises PowerRefused where there is no way to reach them."""

    async def shut_down(self) -> None:
        """Presses the power button (ACPI)."""
        ...

    async def reset(self) -> None:
        """Resets it at once."""
        ...


class Guest(Protocol):
    """One virtual machine."""

    @property
    def state(self) -> GuestState:
        """Whether the machine is there."""
        ...

    @property
    def name(self) -> str:
        """The machine's name, for people; "virtual machine" before it is known."""
        ...

    @property
    def uuid(self) -> str:
        """The machine's UUID, or an empty string."""
        ...

    @property
    def consoles(self) -> Mapping[int, Console]:
        """By console number, ascending. Console 0 is always there, even before a machine is."""
        ...

    @property
    def power(self) -> Power:
        """Its switches."""
        ...

    @property
    def lifecycle(self) -> Observers[[GuestState]]:
        """Called on the main loop when `state`, `name` or the set of consoles has changed."""
        ...
