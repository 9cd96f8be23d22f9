"""One console of QEMU, whatever QEMU process is behind it at the time."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from sidecar.guest import ConsoleChange, ResizeRefused
from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.display import Display
from sidecar.qemu.errors import UNSUPPORTED, CallRefused, ConnectionLost
from sidecar.qemu.input_queue import Click, Finger, InputEvent, InputQueue, Key, Motion, Position
from sidecar.qemu.key_pace import KeyPace
from sidecar.qemu.keyboard import QemuKeyboard
from sidecar.qemu.link import CONSOLE, KEYBOARD, MOUSE, Link, Properties, console_path
from sidecar.qemu.listener import Listener
from sidecar.qemu.listener_thread import ListenerThread
from sidecar.qemu.pointer import QemuPointer
from sidecar.qemu.registration import register
from sidecar.qemu.touch import EVENT_KINDS, MULTI_TOUCH, QemuTouch, has_touch_screen, max_slots
from sidecar.screen.cursor import Cursor
from sidecar.screen.surface import MAX_EDGE, Surface

log = get_logger(__name__)

RESIZE_TIMEOUT: Final = 5.0

SIZE_SETTLES: Final = 0.05
"""Seconds for which a size must stand before it is believed: its Scanout comes by another socket."""


class QemuConsole:
    """org.qemu.Display1.Console; see `sidecar.guest.Console`. Lives as long as its guest."""

    def __init__(self, index: int, touch_screen: bool | None = None) -> None:
        """`touch_screen`: whether the guest has one; None: QEMU's monitor is asked where there is one."""
        self.display = Display()
        self._touch_screen = touch_screen
        self._touch: QemuTouch | None = None
        self._index = index
        self._label = ""
        self._queue = InputQueue(KeyPace())
        self._keyboard = QemuKeyboard(self._queue)
        self._pointer = QemuPointer(self._queue)
        self._link: Link | None = None
        self._listener: Listener | None = None
        self._size = (0, 0)

    @property
    def index(self) -> int:
        """QEMU's console number."""
        return self._index

    @property
    def label(self) -> str:
        """QEMU's name for the display device; empty before one was seen."""
        return self._label

    @property
    def surface(self) -> Surface:
        """The pixels; always the same object."""
        return self.display.surface

    @property
    def cursor(self) -> Cursor | None:
        """The pointer's picture, or None when the guest draws its own."""
        return self.display.cursor

    @property
    def cursor_visible(self) -> bool:
        """Whether the guest shows its hardware cursor."""
        return self.display.cursor_visible

    @property
    def cursor_position(self) -> tuple[int, int]:
        """Where the guest has put its pointer's hot spot."""
        return self.display.cursor_position

    @property
    def keyboard(self) -> QemuKeyboard:
        """Its keys and lights."""
        return self._keyboard

    @property
    def pointer(self) -> QemuPointer:
        """Its mouse or tablet."""
        return self._pointer

    @property
    def touch(self) -> QemuTouch | None:
        """Its touch screen; None where none is known."""
        return self._touch

    @property
    def input_backlog(self) -> int:
        """Input events that wait to be taken by the guest."""
        return len(self._queue)

    @property
    def changes(self) -> Observers[[ConsoleChange]]:
        """Called on the main loop, at most once in a turn of it."""
        return self.display.changes

    async def request_size(self, width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> None:
        """Asks the guest for another size. Raises ResizeRefused."""
        if self._link is None:
            raise ResizeRefused("the virtual machine is not running")
        if not (1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE):
            raise ResizeRefused(f"no screen is {width}x{height}")
        millimetres = [max(0, min(length, 0xFFFF)) for length in (width_mm, height_mm)]
        try:
            await self._call(
                CONSOLE, "SetUIInfo", "qqiiuu", [*millimetres, 0, 0, width, height], RESIZE_TIMEOUT
            )
        except CallRefused as error:
            if error.name == UNSUPPORTED:
                raise ResizeRefused("the display device cannot change its size on request") from error
            raise ResizeRefused(f"QEMU refused the size: {error.text}") from error
        except ConnectionLost as error:
            raise ResizeRefused("the virtual machine does not answer") from error

    async def _call(
        self, interface: str, member: str, signature: str, body: list[Any], timeout: float = 30.0
    ) -> None:
        if self._link is None:
            raise ConnectionLost("no machine is attached")
        await self._link.call(
            console_path(self._index), interface, member, signature=signature, body=body, timeout=timeout
        )

    async def serve(self, link: Link, thread: ListenerThread, first_try: asyncio.Event) -> None:
        """Shows this console of QEMU and feeds its input, until it is cancelled.

        Sets `first_try` when the listener is in place, or could not be put there at the first try. Raises
        CallRefused and ConnectionLost when QEMU does not tell of the console.
        """
        with ExitStack() as stack:
            sizes = _Settled(partial(self._announce_size, thread))
            stack.callback(sizes.cancel)
            # observed before it is read: no change is missed
            stack.callback(link.observe(console_path(self._index), partial(self._properties_changed, sizes)))
            await self._read_properties(link)
            self._link = link
            self._queue.open()
            stack.callback(self._detach)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._deliver_input())
                await self._listen(link, thread, first_try)

    async def _read_properties(self, link: Link) -> None:
        path = console_path(self._index)
        about = await link.properties(path, CONSOLE)
        self._label = str(about.get("Label", ""))
        self._read_size(about)
        self._keyboard.attached(await _optional(link, path, KEYBOARD))
        self._pointer.changed(await _optional(link, path, MOUSE))
        await self._find_touch_screen(link)
        self.display.changed(ConsoleChange.LEDS | ConsoleChange.POINTER_MODE)

    async def _find_touch_screen(self, link: Link) -> None:
        slots = max_slots(await _optional(link, console_path(self._index), MULTI_TOUCH))
        is_there = self._touch_screen
        if slots and is_there is None:
            is_there = await has_touch_screen(link.qmp)
        self._touch = QemuTouch(self._queue, slots) if slots and is_there else None

    def _detach(self) -> None:
        self._link = None
        self._touch = None
        self._queue.close()
        self._keyboard.detached()
        self._pointer.detached()
        self.display.changed(ConsoleChange.LEDS | ConsoleChange.POINTER_MODE)

    # the picture

    async def _listen(self, link: Link, thread: ListenerThread, first_try: asyncio.Event) -> None:
        back_off = BackOff(0.1, 5.0)
        while True:
            closed = asyncio.Event()
            listener = Listener(self.display, _from_other_thread(closed.set))
            try:
                await register(
                    link,
                    thread,
                    listener,
                    path=console_path(self._index),
                    interface=CONSOLE,
                    member="RegisterListener",
                )
                log.debug("listening to a console", console=self._index)
                back_off.reset()
                self._listener = listener
                first_try.set()
                await closed.wait()
                log.debug("a listener connection ended", console=self._index)
            except (CallRefused, ConnectionLost) as error:
                log.debug("a console takes no listener", console=self._index, cause=str(error))
            finally:
                self._listener = None
                thread.post(listener.close)
            first_try.set()
            await asyncio.sleep(back_off.next())

    def _properties_changed(self, sizes: "_Settled", interface: str, changed: Properties) -> None:
        if interface == CONSOLE and self._read_size(changed):
            sizes.start()
        elif interface == KEYBOARD and self._keyboard.changed(changed):
            self.display.changed(ConsoleChange.LEDS)
        elif interface == MOUSE and self._pointer.changed(changed):
            self.display.changed(ConsoleChange.POINTER_MODE)

    def _read_size(self, properties: Properties) -> bool:
        before = self._size
        width, height = properties.get("Width", before[0]), properties.get("Height", before[1])
        if isinstance(width, int) and isinstance(height, int):
            self._size = width, height
        return self._size != before

    def _announce_size(self, thread: ListenerThread) -> None:
        if self._listener:
            thread.post(self._listener.announce_size, *self._size)

    # the input

    async def _deliver_input(self) -> None:
        while True:
            events = await self._queue.take()
            async with asyncio.TaskGroup() as calls:
                # tasks begin in the order in which they are made, and so do their messages
                for event in events:
                    calls.create_task(self._deliver(event))
            self._queue.done()

    async def _deliver(self, event: InputEvent) -> None:
        try:
            await self._call(*self._message(event))
        except CallRefused as error:
            log.debug("QEMU refused an input event", event_kind=type(event).__name__, cause=str(error))
            if self._link and isinstance(event, Position | Motion):
                await self._read_pointer(self._link)
        except ConnectionLost as error:
            log.debug("an input event was lost", cause=str(error))

    async def _read_pointer(self, link: Link) -> None:
        """The device may have become another one before its change was told."""
        try:
            properties = await link.properties(console_path(self._index), MOUSE)
            if self._pointer.changed(properties):
                self.display.changed(ConsoleChange.POINTER_MODE)
        except (CallRefused, ConnectionLost) as error:
            log.debug("the pointer device cannot be asked", cause=str(error))

    def _message(self, event: InputEvent) -> tuple[str, str, str, list[Any]]:
        """Interface, member, signature and body (facts: QEMU D-Bus section 3)."""
        match event:
            case Key(qnum, down):
                return KEYBOARD, "Press" if down else "Release", "u", [qnum]
            case Click(button, down):
                return MOUSE, "Press" if down else "Release", "u", [int(button)]
            case Position(x, y):
                width, height = self._edges()
                return MOUSE, "SetAbsPosition", "uu", [int(_clamp(x, width)), int(_clamp(y, height))]
            case Motion(dx, dy):
                return MOUSE, "RelMotion", "ii", [dx, dy]
            case Finger(slot, change, x, y):
                width, height = self._edges()
                place = [float(_clamp(x, width)), float(_clamp(y, height))]
                return MULTI_TOUCH, "SendEvent", "utdd", [EVENT_KINDS[change], slot, *place]

    def _edges(self) -> tuple[int, int]:
        """The size by which events are clamped: QEMU refuses positions outside, and the size may have changed
        since an event came."""
        frame = self.surface.frame
        return self._size if all(self._size) else (frame.width, frame.height)


class _Settled:
    """Calls a function when `start` was not called for SIZE_SETTLES seconds."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(SIZE_SETTLES, self._callback)

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()


def _from_other_thread(callback: Callable[[], None]) -> Callable[[], None]:
    """Has `callback` called on the loop that runs now, by whichever thread calls what is returned."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(callback)

    return call


async def _optional(link: Link, path: str, interface: str) -> Properties:
    """The properties of an interface that need not be there."""
    try:
        return await link.properties(path, interface)
    except CallRefused:
        return {}


def _clamp(value: float, size: int) -> float:
    return max(0, min(value, size - 1))
