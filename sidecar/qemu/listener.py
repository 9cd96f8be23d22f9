"""The object that QEMU tells of its pixels and pointer: org.qemu.Display1.Listener.

QEMU's main loop waits for some of the answers, and what is not read in time piles up in its memory (facts:
QEMU D-Bus sections 2 and 3). So this copies, marks and answers, and does nothing else.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from dbus_fast import Message, MessageFlag, MessageType, Variant

from sidecar.guest import ConsoleChange
from sidecar.log import get_logger
from sidecar.qemu.display import Display
from sidecar.qemu.errors import INVALID_ARGUMENTS, NOT_SUPPORTED, ListenerError
from sidecar.qemu.link import PROPERTIES
from sidecar.qemu.listener_connection import ListenerConnection
from sidecar.qemu.message_stream import Call
from sidecar.qemu.scanout_map import ScanoutMap
from sidecar.screen.cursor import MAX_CURSOR_EDGE, Cursor
from sidecar.screen.pixman import Layout, PixmanError, to_canonical
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import MAX_EDGE, Frame, Pixels

log = get_logger(__name__)

LISTENER: Final = "org.qemu.Display1.Listener"
UNIX_MAP: Final = f"{LISTENER}.Unix.Map"
DMABUF2: Final = f"{LISTENER}.Unix.ScanoutDMABUF2"

MAX_DAMAGE: Final = 64
"""Rectangles that are remembered one by one until they are read."""

LATEST: Final = 30.0
"""Seconds by which a size may come later than the picture of the next one, and what it cuts off is kept: as
much memory as the picture has."""

MAX_PIXELS: Final = 1 << 26
"""Largest screen that is shown: twice 8K, and as much as virtio-gpu has memory for unless told otherwise."""

DISPLAY_OFF: Final = "The display of the virtual machine is off."
NEEDS_GL_OFF: Final = (
    "This display is drawn by the graphics card and cannot be shown. Start the virtual machine with gl=off."
)


@dataclass(slots=True)
class ListenerFigures:
    """What QEMU has told of its screens since the process began. Written on the listener's thread alone.

    `messages`: those about pixels; `pixels`: what they said may have changed; `unchanged`: areas that showed
    the same already; `refused`: messages that cannot be shown.
    """

    messages: int = 0
    pixels: int = 0
    unchanged: int = 0
    refused: int = 0


FIGURES: Final = ListenerFigures()
"""Of all consoles, however often they were listened to anew: a process has one machine."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a message carries; its types are those of the signature."""

    arguments: list[Any]
    unix_fds: list[int]


class Listener:
    """Listens to one console, on the listener's thread, and writes into `display`.

    `on_close` is called on that thread when QEMU, or `close`, has ended it.
    """

    def __init__(self, display: Display, on_close: Callable[[], None]) -> None:
        self._display = display
        self._on_close = on_close
        self._connection: ListenerConnection | None = None
        self._map: ScanoutMap | None = None
        self._damage: list[Rectangle] = []
        self._announced: tuple[int, int] | None = None
        self._beyond: Pixels | None = None
        """A picture larger than the screen, of which a size has cut something off; the loop lets go of it."""
        self._expiry: asyncio.TimerHandle | None = None
        self._complained: set[str] = set()
        self._methods: dict[tuple[str, str], tuple[str, Callable[[Body], None]]] = {
            (LISTENER, "Scanout"): ("uuuuay", self._scanout),
            (LISTENER, "Update"): ("iiiiuuay", self._update),
            (LISTENER, "Disable"): ("", self._disable),
            (LISTENER, "MouseSet"): ("iii", self._mouse_set),
            (LISTENER, "CursorDefine"): ("iiiiay", self._cursor_define),
            (UNIX_MAP, "ScanoutMap"): ("huuuuu", self._scanout_map),
            (UNIX_MAP, "UpdateMap"): ("iiii", self._update_map),
            (LISTENER, "ScanoutDMABUF"): ("huuuutb", self._scanout_dmabuf),
            (LISTENER, "UpdateDMABUF"): ("iiii", self._update_dmabuf),
            (DMABUF2, "ScanoutDMABUF2"): ("ahuuuuauauuuuutb", self._scanout_dmabuf),
        }

    async def open(self, sock: socket.socket) -> None:
        """Serves QEMU on `sock`, whose other end it has, or gets by RegisterListener at this moment.

        Raises ConnectionLost.
        """
        self._connection = ListenerConnection(sock, self._closed, self.take)
        self._connection.add_message_handler(self.handle)
        await self._connection.open()

    def close(self) -> None:
        """Ends it; may be called again."""
        if self._connection:
            self._connection.close()
        self._let_go()

    def _closed(self) -> None:
        self._let_go()
        self._on_close()

    def announce_size(self, width: int, height: int) -> None:
        """QEMU says that the console has this size now.

        Where pixels are copied, that may be the only word of it: a new size need not come with a Scanout. It
        comes by another way than the pixels, and so may be older than they: what it cuts off is kept for a
        while.
        """
        if not (1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE and width * height <= MAX_PIXELS):
            return
        self._announced = width, height
        if self._map is None:
            self._fit()

    def handle(self, message: Message) -> Message | bool | None:
        """Takes one message: the answer, True where none is wanted, None where the message is not for us."""
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        wants_answer = not message.flags & MessageFlag.NO_REPLY_EXPECTED
        if message.interface == PROPERTIES:
            return self._properties(message) if wants_answer else True
        key = str(message.interface), str(message.member)
        if key not in self._methods:
            return None
        try:
            self._dispatch(key, message.signature, Body(message.body, message.unix_fds))
        except (ListenerError, PixmanError, OSError) as error:
            self._complain(key[1], error)
            name = NOT_SUPPORTED if isinstance(error, _NotSupported) else INVALID_ARGUMENTS
            return Message.new_error(message, name, str(error)) if wants_answer else True
        return Message.new_method_return(message) if wants_answer else True

    def take(self, call: Call) -> None:
        """Takes one call that wants no answer."""
        try:
            self._dispatch((call.interface, call.member), call.signature, Body(call.arguments, []))
        except (ListenerError, PixmanError, OSError) as error:
            self._complain(call.member, error)

    def _dispatch(self, key: tuple[str, str], signature: str, body: Body) -> None:
        known = self._methods.get(key)
        if known is None:
            raise ListenerError("no such method")
        expected, method = known
        if signature != expected:
            raise ListenerError(f"{key[1]} takes {expected!r}, not {signature!r}")
        method(body)

    def _properties(self, message: Message) -> Message:
        interfaces = Variant("as", [UNIX_MAP])
        if message.member == "GetAll" and message.signature == "s":
            values = {"Interfaces": interfaces} if message.body[0] == LISTENER else {}
            return Message.new_method_return(message, "a{sv}", [values])
        if message.member == "Get" and message.signature == "ss" and message.body == [LISTENER, "Interfaces"]:
            return Message.new_method_return(message, "v", [interfaces])
        return Message.new_error(message, INVALID_ARGUMENTS, "no such property")

    def _complain(self, member: str, error: Exception) -> None:
        FIGURES.refused += 1
        # a guest that does it wrong does it thirty times a second
        if member not in self._complained and len(self._complained) < MAX_DAMAGE:
            self._complained.add(member)
            log.warning("QEMU sent what cannot be shown", message=member, cause=str(error))

    # pixels that come in the messages

    def _scanout(self, body: Body) -> None:
        width, height, stride, code, data = body.arguments
        pixels = to_canonical(data, Layout.of(width, height, stride, code))
        _check_size(width, height)
        self._unmap()
        self._announced = None
        self._forget_beyond()
        resized = self._resize(width, height)
        changed = self._display.surface.write(0, 0, pixels)
        _count(width * height, changed)
        if changed and not resized:
            self._display.changed(ConsoleChange.DAMAGE)
        if resized:
            self._display.changed(ConsoleChange.RESIZE)

    def _update(self, body: Body) -> None:
        x, y, width, height, stride, code, data = body.arguments
        pixels = to_canonical(data, Layout.of(width, height, stride, code))
        if not (0 <= x <= MAX_EDGE - width and 0 <= y <= MAX_EDGE - height):
            raise ListenerError(f"{width}x{height} pixels cannot be at {x}, {y}")
        if self._map is not None:
            self._unmap()
            self._fit()
        surface = self._display.surface
        frame = surface.frame
        _check_size(max(x + width, frame.width), max(y + height, frame.height))
        surface.grow(x + width, y + height)
        if surface.frame is not frame:
            self._uncover(frame)
        changed = surface.write(x, y, pixels)
        _count(width * height, changed)
        if surface.frame is not frame:
            self._display.changed(ConsoleChange.RESIZE)
        elif changed:
            self._display.changed(ConsoleChange.DAMAGE)

    def _disable(self, _: Body) -> None:
        self._unmap()
        self._forget_beyond()
        self._display.show_notice(DISPLAY_OFF, keep_picture=False)

    def _resize(self, width: int, height: int) -> bool:
        frame = self._display.surface.frame
        self._display.surface.resize(width, height)
        return self._display.surface.frame is not frame

    def _fit(self) -> None:
        """Gives the screen the size that was announced and keeps what it shows."""
        if self._announced is None:
            return
        width, height = self._announced
        old = self._display.surface.frame
        if self._resize(width, height):
            self._uncover(old)
            if self._beyond is None and (old.width > width or old.height > height):
                self._beyond = old.pixels
                self._expiry = asyncio.get_running_loop().call_later(LATEST, self._forget_beyond)
            self._display.changed(ConsoleChange.RESIZE)

    def _uncover(self, old: Frame) -> None:
        """Shows in a frame of another size what `old` showed, and around it what had been cut off."""
        surface = self._display.surface
        if self._beyond is not None:
            height, width = self._beyond.shape
            self._beyond[: old.height, : old.width] = old.pixels[:height, :width]
            surface.write(0, 0, self._beyond)
            if surface.frame.width >= width and surface.frame.height >= height:
                self._forget_beyond()
        surface.write(0, 0, old.pixels)

    def _forget_beyond(self) -> None:
        self._beyond = None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    # pixels in shared memory

    def _scanout_map(self, body: Body) -> None:
        index, offset, *layout = body.arguments
        if index >= len(body.unix_fds):
            raise ListenerError("shared memory came without a file")
        _check_size(*layout[:2])
        scanout = ScanoutMap(body.unix_fds[index], offset, Layout.of(*layout))
        if self._map is None:
            log.debug("pixels come in shared memory", mapped=scanout.is_mapped)
        self._unmap()
        self._map = scanout
        self._announced = None
        self._forget_beyond()
        FIGURES.messages += 1
        self._add_damage(scanout.bounds)

    def _update_map(self, body: Body) -> None:
        if self._map is None:
            raise ListenerError("an update of shared memory that was not given")
        area = Rectangle(*body.arguments).intersect(self._map.bounds)
        FIGURES.messages += 1
        if area.area:
            self._add_damage(area)

    def _add_damage(self, area: Rectangle) -> None:
        """Has `area` read when all messages that are there have been taken: text comes row by row."""
        damage = self._damage
        if not damage:
            asyncio.get_running_loop().call_soon(self._read_damage)
            damage.append(area)
            return
        both = _cover(damage[-1], area)
        if both.area <= damage[-1].area + area.area:
            damage[-1] = both
        elif len(damage) < MAX_DAMAGE:
            damage.append(area)
        else:
            for other in damage:
                area = _cover(area, other)
            damage[:] = [area]

    def _read_damage(self) -> None:
        damage, self._damage = self._damage, []
        if self._map is None:
            return
        resized = self._resize(self._map.bounds.width, self._map.bounds.height)
        changed = False
        try:
            for area in damage:
                differs = False
                for y, pixels in self._map.read(area):
                    differs |= self._display.surface.write(area.x, y, pixels)
                FIGURES.pixels += area.area
                FIGURES.unchanged += not differs
                changed |= differs
        except (ListenerError, OSError) as error:
            self._complain("UpdateMap", error)
        if resized:
            self._display.changed(ConsoleChange.RESIZE)
        elif changed:
            self._display.changed(ConsoleChange.DAMAGE)

    def _let_go(self) -> None:
        self._unmap()
        self._forget_beyond()

    def _unmap(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None

    # pixels on the graphics card

    def _scanout_dmabuf(self, _: Body) -> None:
        self._unmap()
        self._forget_beyond()
        self._display.show_notice(NEEDS_GL_OFF, keep_picture=False)
        raise _NotSupported("pictures on the graphics card")

    def _update_dmabuf(self, _: Body) -> None:
        raise _NotSupported("pictures on the graphics card")

    # the pointer

    def _mouse_set(self, body: Body) -> None:
        x, y, on = body.arguments
        display = self._display
        # QEMU names the corner of the picture (its SPICE display adds the hot spot in the same way)
        hot_x, hot_y = (display.cursor.hot_x, display.cursor.hot_y) if display.cursor else (0, 0)
        position, visible = (x + hot_x, y + hot_y), bool(on)
        if (position, visible) != (display.cursor_position, display.cursor_visible):
            display.cursor_position, display.cursor_visible = position, visible
            display.changed(ConsoleChange.CURSOR_POSITION)

    def _cursor_define(self, body: Body) -> None:
        width, height, hot_x, hot_y, data = body.arguments
        if not (1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE) or len(data) != 4 * width * height:
            raise ListenerError(f"a pointer of {width}x{height} pixels in {len(data)} bytes")
        hot_x, hot_y = min(max(hot_x, 0), width - 1), min(max(hot_y, 0), height - 1)
        # of a picture that is too large, the part with the hot spot stays
        left, top = max(0, hot_x + 1 - MAX_CURSOR_EDGE), max(0, hot_y + 1 - MAX_CURSOR_EDGE)
        words = np.frombuffer(data, np.uint32).reshape(height, width)
        pixels = words[top : top + MAX_CURSOR_EDGE, left : left + MAX_CURSOR_EDGE].copy()
        self._display.cursor = Cursor(pixels, hot_x - left, hot_y - top)
        self._display.changed(ConsoleChange.CURSOR_SHAPE)


class _NotSupported(ListenerError):
    """A message that we do not take."""


def _count(pixels: int, changed: bool) -> None:
    """Counts a message that has brought so many pixels."""
    FIGURES.messages += 1
    FIGURES.pixels += pixels
    FIGURES.unchanged += not changed


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ListenerError(f"a screen of {width}x{height} pixels is too large")


def _cover(one: Rectangle, other: Rectangle) -> Rectangle:
    """The smallest rectangle that holds both."""
    x, y = min(one.x, other.x), min(one.y, other.y)
    return Rectangle(x, y, max(one.right, other.right) - x, max(one.bottom, other.bottom) - y)
