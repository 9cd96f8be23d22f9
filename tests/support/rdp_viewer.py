"""An RDP client that shows what it is sent, over TCP and TLS, for tests of a running server.

It is a scripted client (`RdpPeer`) that answers by itself what real clients do: activations, dynamic
channels, capabilities of the graphics pipeline, acknowledgements. It reads only while it is waited for.
"""

import asyncio
import contextlib
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support import rdp_client_pdus as client
from support import rdp_decoders
from support import rdp_server_pdus as server
from support.rdp_graphics import Screen, caps_advertise, painting
from support.rdp_peer import RdpPeer
from support.rdp_script import ACTIVATION, DynamicMessage, Profile, Received
from support.waiting import DEADLINE

GRAPHICS = "Microsoft::Windows::RDS::Graphics"
DISPLAY_CONTROL = "Microsoft::Windows::RDS::DisplayControl"
TOUCH = "Microsoft::Windows::RDS::Input"

UPDATE, SET_KEYBOARD_INDICATORS = 2, 41
"""Types of share data PDUs."""

BITMAP, SURFACE_COMMANDS = 1, 4
POINTER_HIDDEN, POINTER_DEFAULT, POINTER_POSITION, POINTER_COLOUR, POINTER_CACHED, POINTER_NEW = (
    5,
    6,
    8,
    9,
    10,
    11,
)
"""Codes of fast-path updates."""

VERSION8, VERSION81, VERSION102, VERSION105 = 0x00080004, 0x00080105, 0x000A0200, 0x000A0502
AVC420_ENABLED, AVC_DISABLED = 0x10, 0x20

EXACT = ((VERSION8, bytes(4)), (VERSION105, struct.pack("<I", AVC_DISABLED)))
"""Capability sets of a client that scales and decodes no H.264."""

UNSCALED = ((VERSION8, bytes(4)), (VERSION102, struct.pack("<I", AVC_DISABLED)))

AVC420 = ((VERSION8, bytes(4)), (VERSION81, struct.pack("<I", AVC420_ENABLED)))

SUSPENDED = 0xFFFFFFFF

NOT_DRAWN = 0x01ABCDEF
"""What a window shows that has got nothing: no colour."""

Picture = NDArray[np.uint32]

GRAPHICS_PROFILE = Profile(early=client.ERRINFO | client.WANT_32BPP | client.DYNVC_GFX)


class RdpViewer(RdpPeer):
    """A client whose `picture` is what its window shows. `dynamic`: the dynamic channels that it has.

    `acknowledges`: whether it acknowledges frames, of the graphics pipeline or of bitmaps.
    """

    graphics_sets: tuple[tuple[int, bytes], ...] = EXACT

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.dynamic: set[str] = {GRAPHICS, DISPLAY_CONTROL, TOUCH}
        self.acknowledges = True
        self.numbers: dict[str, int] = {}
        """Of the dynamic channels that are open."""
        self.messages: list[DynamicMessage] = []
        """What came on other dynamic channels than that of the graphics pipeline."""
        self.clear_codec = rdp_decoders.ClearCodec()
        self.decoders: list[tuple[Picture, Any]] = []
        """H.264 decoders by surface."""
        self.screen = Screen({8: painting(self._clear), 0x0B: self._avc420})
        self.most_in_flight = 0
        self.bitmaps: Picture = np.zeros((0, 0), np.uint32)
        """What bitmap updates have drawn: pixels of their own depth."""
        self.depths: set[tuple[int, int]] = set()
        """Bits per pixel and flags of the bitmaps that came."""
        self.frames: list[int] = []
        """Frames of bitmaps that are not acknowledged."""
        self.pointers: list[tuple[int, bytes]] = []
        """Updates of the pointer: their codes and payloads."""
        self.leds: int | None = None
        self.errors: list[int] = []
        """What Set Error Info PDUs have said."""
        self.activations = 0
        """How often it has become active."""
        self.answers_demand = True
        """Whether it goes through another activation when told to."""

    @property
    def picture(self) -> Picture:
        """What its window shows."""
        return self.bitmaps if self.screen.size is None else self.screen.picture()

    def receive(self, data: bytes) -> list[Received]:
        heard = super().receive(data)
        for pdu in heard:
            self._take(pdu)
        return heard

    def shows(self, pixels: Picture) -> bool:
        """Whether the window shows exactly this."""
        return np.array_equal(self.picture, pixels)

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Reads until `condition` holds; AssertionError with `what` where it does not in time."""
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
            # not every condition is about what comes
            await self.listen(0.1, once=True)

    async def until_shown(self, pixels: Picture) -> None:
        """Reads until the window shows exactly this."""
        await self.until(lambda: self.shows(pixels), "the picture")

    async def listen(self, seconds: float, *, once: bool = False) -> None:
        """Takes what comes for so long, or until something has come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.hear()
                while not once:
                    await self.hear()

    def say(self, name: str, message: bytes) -> None:
        """Sends a message of up to 1598 bytes on a dynamic channel."""
        self.send(self.dynamic_data(self.numbers[name], message))

    def advertise(self) -> None:
        """Says what it can do of the graphics pipeline; its decoders begin anew."""
        self.clear_codec = rdp_decoders.ClearCodec()
        self.say(GRAPHICS, caps_advertise(*self.graphics_sets))

    def wish(self, *monitors: tuple[int, int]) -> None:
        """Wants monitors of these sizes, side by side."""
        self.say(DISPLAY_CONTROL, monitor_layout(*monitors))

    def acknowledge_frames(self, queue_depth: int = 0) -> None:
        """Acknowledges all frames of the graphics pipeline that have come."""
        if self.screen.frames:
            self.say(GRAPHICS, self.screen.acknowledge(queue_depth))

    def point(self, x: int, y: int, flags: int = 0x0800) -> None:
        self.send(client.fast_path_input([client.fast_path_mouse(flags, x, y)]))

    def type(self, code: int, flags: int = 0) -> None:
        self.send(client.fast_path_input([client.fast_path_scancode(code, flags)]))

    def _clear(self, data: bytes, width: int, height: int) -> Picture:
        return np.asarray(self.clear_codec.decode(data, width, height), np.uint32)

    def _avc420(self, data: bytes, surface: Picture, area: Any) -> None:
        from support.avc420_decoder import Avc420Decoder

        decoder = next((decoder for known, decoder in self.decoders if known is surface), None)
        if decoder is None:
            # a surface begins with a decoder of its own
            decoder = Avc420Decoder()
            self.decoders.append((surface, decoder))
        decoder(data, surface, area)

    def _take(self, pdu: Received) -> None:
        match pdu:
            case server.ChannelData("drdynvc", data):
                self._dynamic_pdu(data)
            case DynamicMessage(channel, data):
                if channel == GRAPHICS:
                    self._graphics(data)
                else:
                    self.messages.append(pdu)
            case server.FastPathUpdate(code, data):
                self._update(code, data)
            case server.ShareData(kind, body):
                if kind == UPDATE:
                    self._update(struct.unpack_from("<H", body)[0], body)
                elif kind == 27:
                    self._slow_path_pointer(body)
                elif kind == SET_KEYBOARD_INDICATORS:
                    self.leds = struct.unpack_from("<HH", body)[1]
                elif kind == server.SET_ERROR_INFO:
                    self.errors.append(struct.unpack("<I", body)[0])
                elif kind == server.FONT_MAP:
                    self.activations += 1
            case server.DemandActive():
                assert self.desktop is not None
                self.bitmaps = np.full(self.desktop[::-1], NOT_DRAWN, np.uint32)
                self.frames.clear()
                # the first activation is led by the caller, later ones go by themselves
                if self.activations and self.answers_demand:
                    self.reactivate()
            case _:
                pass

    def reactivate(self) -> None:
        """Answers a Demand Active."""
        for name in ACTIVATION:
            self.send(self.step(name))

    def _dynamic_pdu(self, data: bytes) -> None:
        command = data[0] >> 4
        if command == 5:
            self.send(self.dynamic_capabilities(3))
        elif command == 1:
            number = data[1]
            name = self.reader.asked[number]
            has_it = name in self.dynamic
            self.send(self.dynamic_create_response(number, 0 if has_it else -0x7FFFBFFF))
            if has_it:
                self.numbers[name] = number
                if name == GRAPHICS:
                    self.advertise()

    def _graphics(self, message: bytes) -> None:
        self.screen.receive(message)
        self.most_in_flight = max(self.most_in_flight, len(self.screen.frames))
        if self.acknowledges:
            self.acknowledge_frames()

    def _update(self, code: int, data: bytes) -> None:
        if code == BITMAP:
            self._draw(data)
        elif code == SURFACE_COMMANDS:
            while data:
                command, action, frame = struct.unpack_from("<HHI", data)
                assert command == 4
                data = data[8:]
                if action == 1:
                    self.frames.append(frame)
                    self.most_in_flight = max(self.most_in_flight, len(self.frames))
                    if self.acknowledges:
                        self.acknowledge_bitmaps()
        else:
            self.pointers.append((code, data))

    def _slow_path_pointer(self, body: bytes) -> None:
        # TS_POINTER_PDU: messageType, pad, then as on the fast path
        (kind,) = struct.unpack_from("<H", body)
        if kind == 1:
            code = POINTER_HIDDEN if body[4:] == bytes(4) else POINTER_DEFAULT
        else:
            code = {3: POINTER_POSITION, 6: POINTER_COLOUR, 7: POINTER_CACHED, 8: POINTER_NEW}[kind]
        self.pointers.append((code, body[4:]))

    def acknowledge_bitmaps(self) -> None:
        """Acknowledges all frames of bitmaps that have come."""
        for frame in self.frames:
            self.send(self.share(client.FRAME_ACKNOWLEDGE, struct.pack("<I", frame)))
        self.frames.clear()

    def _draw(self, data: bytes) -> None:
        kind, count = struct.unpack_from("<HH", data)
        assert kind == 1
        at = 4
        for _ in range(count):
            left, top, right, bottom, width, height, bits, flags, length = struct.unpack_from("<9H", data, at)
            body = data[at + 18 : at + 18 + length]
            assert len(body) == length
            at += 18 + length
            self.depths.add((bits, flags))
            pixels = np.asarray(decoded(body, width, height, bits, flags), np.uint32)
            area = self.bitmaps[top : bottom + 1, left : right + 1]
            assert area.shape == (bottom + 1 - top, right + 1 - left), "a bitmap leaves the desktop"
            area[:] = pixels[: area.shape[0], : area.shape[1]]
        assert at == len(data)


def decoded(body: bytes, width: int, height: int, bits: int, flags: int) -> Any:
    """The pixels of one TS_BITMAP_DATA."""
    if not flags & 1:
        return rdp_decoders.raw_bitmap(body, width, height, bits)
    if not flags & 0x400:
        first, main, row, size = struct.unpack_from("<4H", body)
        body = body[8:]
        assert first == 0
        assert main == len(body)
        assert size == width * height * ((bits + 7) // 8)
        assert row == width
    if bits == 32:
        return rdp_decoders.planar(body, width, height, bottom_up=True)
    return rdp_decoders.interleaved(body, width, height, bits)


def at_depth(pixels: Picture, bits: int) -> Picture:
    """Canonical pixels in the colours of a screen with so many bits per pixel."""
    red, green, blue = pixels >> 16 & 255, pixels >> 8 & 255, pixels & 255
    if bits == 16:
        return red >> 3 << 11 | green >> 2 << 5 | blue >> 3
    if bits == 15:
        return red >> 3 << 10 | green >> 3 << 5 | blue >> 3
    return pixels


def capability_sets(
    *,
    colour_depth: int = 32,
    fast_path: bool = True,
    resizable: bool = True,
    acknowledges: bool = False,
    compression_header: bool = False,
    new_pointers: bool = True,
    planar: bool = True,
) -> tuple[bytes, ...]:
    """What a client without the graphics pipeline says of itself."""
    extra = 0x0404 | int(fast_path)
    if compression_header:
        extra &= ~0x0400
    sets = {}
    for each in client.capability_sets(1024, 768):
        sets[struct.unpack_from("<H", each)[0]] = each
    sets[1] = client.capability_set(1, struct.pack("<9H2B", 1, 3, 0x200, 0, 0, extra, 0, 0, 0, 1, 1))
    drawing = 0x08 if planar else 0
    size = (1024, 768)
    bitmap = struct.pack("<9H2B2H", colour_depth, 1, 1, 1, *size, 0, int(resizable), 1, 0, drawing, 1, 0)
    sets[2] = client.capability_set(2, bitmap)
    if not new_pointers:
        sets[8] = client.capability_set(8, struct.pack("<2H", 1, 20))
    if not acknowledges:
        del sets[28], sets[30]
    return tuple(sets.values())


def bitmap_profile(**options: Any) -> Profile:
    """A client without the graphics pipeline; for the options see `capability_sets`."""
    return Profile(capability_sets=capability_sets(**options))


def graphics_profile(**options: Any) -> Profile:
    """A client with the graphics pipeline; `options` are fields of the profile."""
    return replace(GRAPHICS_PROFILE, **options)


def monitor_layout(*sizes: tuple[int, int]) -> bytes:
    """DISPLAYCONTROL_MONITOR_LAYOUT_PDU: monitors side by side, the first one being the primary."""
    monitors, left = b"", 0
    for number, (width, height) in enumerate(sizes):
        monitors += struct.pack("<IiiIIIIIII", int(not number), left, 0, width, height, 300, 200, 0, 100, 100)
        left += width
    return struct.pack("<IIII", 2, 16 + len(monitors), 40, len(sizes)) + monitors
