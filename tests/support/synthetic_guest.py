"""A guest without QEMU: a test double for what is above the seam. Real ones are in tests/qemu."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sidecar.guest import (
    AudioListener,
    Button,
    ConsoleChange,
    GuestState,
    Led,
    PortKind,
    PowerRefused,
    ResizeRefused,
)
from sidecar.observers import Observers
from sidecar.screen.cursor import Cursor
from sidecar.screen.surface import Surface
from sidecar.sound.form import AudioForm


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


class SyntheticAudio:
    """`play` is what a guest would do: data in the form of each listener."""

    def __init__(self) -> None:
        self.is_there = True
        self.changes: Observers[[]] = Observers()
        self.listeners: list[tuple[AudioForm, AudioListener]] = []
        self.playing = False

    def listen(self, form: AudioForm, listener: AudioListener) -> Callable[[], None]:
        entry = (form, listener)
        self.listeners.append(entry)
        if self.playing:
            listener.audio_began()

        def end() -> None:
            if entry in self.listeners:
                self.listeners.remove(entry)

        return end

    def begin(self) -> None:
        self.playing = True
        for _, listener in list(self.listeners):
            listener.audio_began()

    def play(self, data: bytes) -> None:
        for _, listener in list(self.listeners):
            listener.audio_played(data)

    def end(self) -> None:
        self.playing = False
        for _, listener in list(self.listeners):
            listener.audio_ended()


class SyntheticMicrophone:
    def __init__(self) -> None:
        self.is_there = True
        self.is_wanted = False
        self.changes: Observers[[]] = Observers()
        self.heard: list[tuple[AudioForm, bytes]] = []

    def want(self, wanted: bool) -> None:
        self.is_wanted = wanted
        self.changes.notify()

    def speak(self, form: AudioForm, data: bytes) -> None:
        self.heard.append((form, data))


class SyntheticClipboard:
    """`copy` is what a person at the guest would do."""

    def __init__(self) -> None:
        self.is_there = True
        self.text: str | None = None
        self.changes: Observers[[]] = Observers()
        self.offered: list[str] = []

    def offer(self, text: str) -> None:
        self.offered.append(text)
        if self.text is not None:
            self.text = None
            self.changes.notify()

    def copy(self, text: str | None) -> None:
        self.text = text
        self.changes.notify()


class SyntheticPort:
    """`say` is what a guest would do. `takes`: bytes that it takes before it reads no more."""

    def __init__(self, name: str = "org.qemu.console.serial.0", kind: PortKind = PortKind.SERIAL) -> None:
        self.name = name
        self.label = name.rpartition(".")[2]
        self.kind = kind
        self.is_open = True
        self.changes: Observers[[]] = Observers()
        self.output: Observers[[bytes]] = Observers()
        self.takes = 1 << 30
        self.written = bytearray()
        self.write_backlog = 0
        self.held = False
        self.breaks = 0

    def say(self, data: bytes) -> None:
        self.output.notify(data)

    def open(self, is_open: bool) -> None:
        self.is_open = is_open
        self.changes.notify()

    def write(self, data: bytes) -> int:
        taken = data[: self.takes] if self.is_open else b""
        self.takes -= len(taken)
        self.written += taken
        return len(taken)

    def hold(self, held: bool) -> None:
        self.held = held

    async def send_break(self) -> None:
        self.breaks += 1


class SyntheticGuest:
    def __init__(self, console: SyntheticConsole | None = None) -> None:
        self.state = GuestState.ATTACHED
        self.name = "synthetic"
        self.uuid = ""
        self.console = console or SyntheticConsole()
        self.consoles = {self.console.index: self.console}
        self.power = SyntheticPower()
        self.audio = SyntheticAudio()
        self.microphone = SyntheticMicrophone()
        self.clipboard = SyntheticClipboard()
        self.ports: dict[str, SyntheticPort] = {}
        self.ports_changes: Observers[[]] = Observers()
        self.lifecycle: Observers[[GuestState]] = Observers()

    def add_port(self, port: SyntheticPort) -> None:
        self.ports[port.name] = port
        self.ports_changes.notify()

    def remove_port(self, port: SyntheticPort) -> None:
        del self.ports[port.name]
        self.ports_changes.notify()
