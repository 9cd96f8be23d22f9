"""The one seam between the frontends and the virtual machine.

Frontends see a `Guest` and nothing of D-Bus. Every method and attribute here belongs to the main loop;
callbacks run on it too. Only the pixels of a `Surface` are written by another thread, by the rules that
`sidecar.screen.surface` states.
"""

from collections.abc import Callable, Mapping
from enum import Enum, Flag, IntEnum, auto
from typing import Protocol

from sidecar.errors import SidecarError
from sidecar.observers import Observers
from sidecar.screen.cursor import Cursor
from sidecar.screen.surface import Surface
from sidecar.sound.form import AudioForm


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


class AudioListener(Protocol):
    """Hears what the machine plays. Called on the main loop; must neither raise nor take long."""

    def audio_began(self) -> None:
        """Sound follows, after silence of any length."""
        ...

    def audio_played(self, data: bytes) -> None:
        """The next frames, whole ones, in the form that was asked for; about 10 to 100 ms of them.

        All listeners of one form get the same object.
        """
        ...

    def audio_ended(self) -> None:
        """Nothing is played until `audio_began`."""
        ...


class Audio(Protocol):
    """What the machine plays: its voices mixed, at their volumes."""

    @property
    def is_there(self) -> bool:
        """Whether the machine has sound that comes here."""
        ...

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` has changed."""
        ...

    def listen(self, form: AudioForm, listener: AudioListener) -> Callable[[], None]:
        """Has `listener` hear what is played from now on, at once with `audio_began` if something is.

        The function returned ends it, without a last call, and may be called twice. It goes on over the end
        of a machine and the beginning of the next. Silence costs nothing: after a second of it
        `audio_ended` is called.
        """
        ...


class Microphone(Protocol):
    """What the machine records."""

    @property
    def is_there(self) -> bool:
        """Whether the machine records from here, if it does."""
        ...

    @property
    def is_wanted(self) -> bool:
        """Whether the machine records now."""
        ...

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` or `is_wanted` has changed."""
        ...

    def speak(self, form: AudioForm, data: bytes) -> None:
        """The next whole frames for the machine. What it does not take in time (200 ms) is dropped."""
        ...


class Clipboard(Protocol):
    """The machine's clipboard: text, if an agent in the machine shares it."""

    @property
    def is_there(self) -> bool:
        """Whether the machine has a way to share its clipboard; an agent need not run in it."""
        ...

    @property
    def text(self) -> str | None:
        """What was last copied in the machine, with LF; None: nothing, or cleared, or we offered last."""
        ...

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` or `text` has changed. Text is fetched only while somebody observes."""
        ...

    def offer(self, text: str) -> None:
        """Puts a text (LF) on the machine's clipboard; empty: clears what was put there. Never waits."""
        ...


class PortKind(Enum):
    """What speaks at the machine's end of a port."""

    SERIAL = "serial"
    """the guest: a serial port or a console of its system"""
    MONITOR = "monitor"
    """QEMU's own monitor: who writes there rules the machine"""
    USB_REDIRECTION = "usb"
    """a slot for a USB device, in usbredir's protocol"""
    CHANNEL = "channel"
    """a program in the guest"""


class SerialPort(Protocol):
    """One character device, opened once and shared. The same object for as long as the daemon lives."""

    @property
    def name(self) -> str:
        """Unique among the machine's ports: QEMU's name for its purpose, or else its label."""
        ...

    @property
    def label(self) -> str:
        """QEMU's label of the device, such as `serial0`."""
        ...

    @property
    def kind(self) -> PortKind:
        """What is at its other end."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether bytes can go either way now."""
        ...

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_open` has changed."""
        ...

    @property
    def output(self) -> Observers[[bytes]]:
        """Called with what comes out, at most 64 KiB at once.

        The port is open only while somebody has subscribed: QEMU has one reader for each.
        """
        ...

    @property
    def write_backlog(self) -> int:
        """Bytes that the machine has not taken yet."""
        ...

    def write(self, data: bytes) -> int:
        """Sends bytes into the machine, never waiting; how many were taken: the first so many.

        None are while the port is not open; at most 64 KiB wait for a machine that does not read.
        """
        ...

    def hold(self, held: bool) -> None:
        """Leaves what comes out with the machine, which waits, until it is not held; or goes on.

        For all who have subscribed, so only who has a port alone may. It ends when the port closes.
        """
        ...

    async def send_break(self) -> None:
        """Sends a break, as kernels take for the attention key. Does nothing while the port is not open."""
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
    def audio(self) -> Audio:
        """What it plays; always the same object."""
        ...

    @property
    def microphone(self) -> Microphone:
        """What it records; always the same object."""
        ...

    @property
    def clipboard(self) -> Clipboard:
        """Its clipboard; always the same object."""
        ...

    @property
    def ports(self) -> Mapping[str, SerialPort]:
        """Its character devices by name, in QEMU's order; those that went are left out."""
        ...

    @property
    def ports_changes(self) -> Observers[[]]:
        """Called when the set of `ports` has changed."""
        ...

    @property
    def lifecycle(self) -> Observers[[GuestState]]:
        """Called on the main loop when `state`, `name` or the set of consoles has changed."""
        ...
