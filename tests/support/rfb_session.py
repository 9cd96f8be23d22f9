"""The client's side of one RFB connection, without input or output.

Its generators yield how many bytes they need next (or `StartTls`) and leave what is to be sent in `outgoing`.
"""

import struct
import zlib
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support import rfb_decode, rfb_wire
from support.rfb_decode import Broken, TightStreams, ZlibStream, require
from support.rfb_wire import Encoding, PixelFormat, ServerMessage, Update
from support.vnc_password import response


class StartTls:
    """The driver is to go on under TLS."""


Needs = Generator[int | StartTls, bytes, Any]


class Refused(Exception):
    """The server does not let the client in; the text is its reason."""


SECURITY_NONE, SECURITY_VNC, SECURITY_VENCRYPT = 1, 2, 19
PLAIN, X509_NONE, X509_VNC, X509_PLAIN = 256, 260, 261, 262


class RfbSession:
    """What one client has asked for and what it has been shown."""

    def __init__(
        self,
        *,
        encodings: Sequence[int] = (Encoding.RAW,),
        pixel_format: PixelFormat | None = rfb_wire.BGRX,
        version: bytes = b"003.008",
        password: str = "",
        user: str = "",
        shared: bool = True,
        security: int | None = None,
    ) -> None:
        self.encodings = tuple(encodings)
        self.wanted_format = pixel_format
        self.version = version
        self.password = password
        self.user = user
        self.shared = shared
        self.security = security
        self.offered_security: tuple[int, ...] = ()
        self.offered_subtypes: tuple[int, ...] = ()
        self.server_version = b""
        self.outgoing = bytearray()
        self.bytes_received = 0
        self.name = ""
        self.values: NDArray[np.uint32] = np.zeros((0, 0), np.uint32)
        """What is shown, (height, width), as pixel values of `pixel_format`."""
        self.pixel_format = rfb_wire.BGRX
        self.colour_map: NDArray[np.uint32] = np.zeros(256, np.uint32)
        self.cursor: NDArray[np.uint32] | None = None
        """(height, width), 0xAARRGGBB, not premultiplied."""
        self.cursor_hot_spot = (0, 0)
        self.leds: int | None = None
        self.pointer_is_absolute: bool | None = None
        self.pointer_position: tuple[int, int] | None = None
        self.desktop_sizes: list[tuple[int, int, int, int]] = []
        """Every ExtendedDesktopSize: (reason, status, width, height)."""
        self.screens: list[tuple[int, int, int, int, int, int]] = []
        self.acknowledged: set[int] = set()
        """Empty rectangles by which the server agrees to an extension."""
        self.updates = 0
        self._zlib, self._zrle, self._tight = ZlibStream(), ZlibStream(), TightStreams()

    @property
    def width(self) -> int:
        return self.values.shape[1]

    @property
    def height(self) -> int:
        return self.values.shape[0]

    @property
    def rgb(self) -> NDArray[np.uint32]:
        """What is shown as 0x00RRGGBB."""
        if not self.pixel_format.true_colour:
            return self.colour_map[self.values]
        return self.pixel_format.to_rgb(self.values)

    def shows(self, rgb: NDArray[np.uint32]) -> bool:
        """Whether every pixel is that of `rgb` (0x00RRGGBB) as far as the pixel format can tell."""
        return self.values.shape == rgb.shape and bool(
            np.array_equal(self.values, self.pixel_format.from_rgb(rgb))
        )

    def needs(self, count: int) -> Needs:
        data = yield count
        self.bytes_received += count
        return data

    def unpack(self, form: str) -> Needs:
        return struct.unpack(form, (yield from self.needs(struct.calcsize(form))))

    # ---- handshake

    def handshake(self) -> Needs:
        """From the version to the first requests. Raises Refused."""
        self.server_version = yield from self.needs(12)
        require(self.server_version.startswith(b"RFB 003."), f"version {self.server_version!r}")
        self.outgoing += b"RFB " + self.version + b"\n"
        if self.version == b"003.003":
            (security,) = yield from self.unpack(">I")
            self.offered_security = (security,)
            if security == 0:
                raise Refused((yield from self._reason()))
        else:
            (count,) = yield from self.unpack(">B")
            if not count:
                raise Refused((yield from self._reason()))
            self.offered_security = tuple((yield from self.needs(count)))
            security = self.security or self._choose(self.offered_security)
            self.outgoing += bytes([security])
        yield from self._authenticate(security)
        if security != SECURITY_NONE or self.version == b"003.008":
            (result,) = yield from self.unpack(">I")
            if result:
                raise Refused((yield from self._reason()) if self.version == b"003.008" else "")
        self.outgoing += bytes([self.shared])
        width, height, form, length = yield from self.unpack(">HH16sI")
        self.name = (yield from self.needs(length)).decode()
        self.pixel_format = PixelFormat.unpack(form)
        self.values = np.zeros((height, width), np.uint32)
        if self.wanted_format:
            self.set_pixel_format(self.wanted_format)
        self.set_encodings(self.encodings)

    def _choose(self, offered: tuple[int, ...]) -> int:
        for security in (SECURITY_VENCRYPT, SECURITY_VNC, SECURITY_NONE):
            if security in offered and (security == SECURITY_NONE or self.password):
                return security
        return offered[0]

    def _authenticate(self, security: int) -> Needs:
        if security == SECURITY_VNC:
            self.outgoing += response(self.password, (yield from self.needs(16)))
        elif security == SECURITY_VENCRYPT:
            yield from self._vencrypt()

    def _vencrypt(self) -> Needs:
        require((yield from self.needs(2)) == b"\0\2", "VeNCrypt version")
        self.outgoing += b"\0\2"
        accepted, count = yield from self.unpack(">BB")
        require(accepted == 0, "VeNCrypt 0.2 is refused")
        self.offered_subtypes = yield from self.unpack(f">{count}I")
        wanted = (X509_PLAIN,) if self.user else (X509_VNC, X509_NONE) if self.password else (X509_NONE,)
        subtype = next((kind for kind in wanted if kind in self.offered_subtypes), self.offered_subtypes[0])
        self.outgoing += struct.pack(">I", subtype)
        if subtype != PLAIN:
            (accepted,) = yield from self.unpack(">B")
            require(accepted == 1, "the VeNCrypt subtype is refused")
            yield StartTls()
        if subtype in (PLAIN, X509_PLAIN):
            user, password = self.user.encode(), self.password.encode()
            self.outgoing += struct.pack(">II", len(user), len(password)) + user + password
        elif subtype == X509_VNC:
            self.outgoing += response(self.password, (yield from self.needs(16)))

    def _reason(self) -> Needs:
        (length,) = yield from self.unpack(">I")
        return (yield from self.needs(length)).decode("utf-8", "replace")

    # ---- what the client asks for

    def set_pixel_format(self, pixel_format: PixelFormat) -> None:
        """Takes effect with what the server sends after it has read this: ask while nothing is under way."""
        self.outgoing += rfb_wire.set_pixel_format(pixel_format)
        self.pixel_format = pixel_format

    def set_encodings(self, encodings: Sequence[int]) -> None:
        self.encodings = tuple(encodings)
        self.outgoing += rfb_wire.set_encodings(encodings)

    def request(self, incremental: bool = True) -> None:
        """Asks for an update of the whole screen."""
        self.outgoing += rfb_wire.update_request(incremental, 0, 0, self.width, self.height)

    # ---- what the server sends

    def message(self) -> Needs:
        """Reads one message, follows it and returns it as a `ServerMessage`."""
        start = self.bytes_received
        (kind,) = yield from self.unpack(">B")
        return (yield from self._rest_of(kind, start))

    def _rest_of(self, kind: int, start: int) -> Needs:
        """The same for a message of which the type was read; `start`: how many bytes came before it."""
        match kind:
            case 0:
                rectangles = yield from self._update()
                self.updates += 1
                return Update(tuple(rectangles), self.bytes_received - start)
            case 1:
                return (yield from self._colour_map())
            case 2:
                return rfb_wire.Bell()
            case 3:
                return (yield from self._cut_text())
            case 150:
                return rfb_wire.EndOfContinuousUpdates()
            case 248:
                return (yield from self._fence())
            case 250:
                _, _, action = yield from self.unpack(">BBB")
                return rfb_wire.Xvp(action)
            case _:
                raise Broken(f"server message {kind}")

    def _colour_map(self) -> Needs:
        _, first, count = yield from self.unpack(">BHH")
        data = (
            np.frombuffer((yield from self.needs(6 * count)), ">u2").reshape(count, 3).astype(np.uint32) >> 8
        )
        self.colour_map[first : first + count] = data[:, 0] << 16 | data[:, 1] << 8 | data[:, 2]
        return rfb_wire.ColourMap(first, count)

    def _cut_text(self) -> Needs:
        (length,) = yield from self.unpack(">xxxi")
        data = yield from self.needs(abs(length))
        if length >= 0:
            return rfb_wire.CutText(data)
        flags = int.from_bytes(data[:4], "big")
        return rfb_wire.ExtendedCutText(flags, zlib.decompress(data[4:]) if flags >> 24 == 16 else data[4:])

    def _fence(self) -> Needs:
        flags, length = yield from self.unpack(">xxxIB")
        payload = yield from self.needs(length)
        if flags & 1 << 31:
            self.outgoing += rfb_wire.fence(flags & 7, payload)
        return rfb_wire.Fence(flags, payload)

    def _update(self) -> Needs:
        (count,) = yield from self.unpack(">xH")
        rectangles: list[tuple[int, int, int, int, int]] = []
        while len(rectangles) < count or count == 0xFFFF:
            x, y, width, height, encoding = yield from self.unpack(">HHHHi")
            require(
                encoding in self.encodings or encoding == Encoding.RAW,
                f"encoding {encoding} was not asked for",
            )
            if encoding == Encoding.LAST_RECT:
                return rectangles
            rectangles.append((encoding, x, y, width, height))
            if 0 <= encoding < 256:
                require(
                    x + width <= self.width and y + height <= self.height, "a rectangle outside the screen"
                )
                yield from self._pixels(encoding, x, y, width, height)
            else:
                yield from self._pseudo(encoding, x, y, width, height)
        return rectangles

    def _pixels(self, encoding: int, x: int, y: int, width: int, height: int) -> Needs:
        form = self.pixel_format
        match encoding:
            case Encoding.COPY_RECT:
                left, top = yield from self.unpack(">HH")
                require(left + width <= self.width and top + height <= self.height, "a copy from outside")
                self.values[y : y + height, x : x + width] = self.values[
                    top : top + height, left : left + width
                ].copy()
                return
            case Encoding.RAW:
                decoder = rfb_decode.raw(width, height, form)
            case Encoding.HEXTILE:
                decoder = rfb_decode.hextile(width, height, form)
            case Encoding.ZLIB:
                decoder = rfb_decode.zlib_rectangle(width, height, form, self._zlib)
            case Encoding.ZRLE:
                decoder = rfb_decode.zrle(width, height, form, self._zrle)
            case Encoding.TIGHT:
                lossy = any(-32 <= wanted <= -23 for wanted in self.encodings)
                decoder = rfb_decode.tight(width, height, form, self._tight, lossy)
            case _:
                raise Broken(f"no decoder for {encoding}")
        self.values[y : y + height, x : x + width] = yield from self._counted(decoder)

    def _counted(self, decoder: rfb_decode.Needs) -> Needs:
        try:
            needed = next(decoder)
            while True:
                needed = decoder.send((yield from self.needs(needed)))
        except StopIteration as end:
            return end.value

    def _pseudo(self, encoding: int, x: int, y: int, width: int, height: int) -> Needs:
        match encoding:
            case Encoding.DESKTOP_SIZE:
                self._resize(width, height)
            case Encoding.EXTENDED_DESKTOP_SIZE:
                (count,) = yield from self.unpack(">Bxxx")
                self.screens = []
                for _ in range(count):
                    self.screens.append((yield from self.unpack(">IHHHHI")))
                self.desktop_sizes.append((x, y, width, height))
                if y == 0:
                    self._resize(width, height)
            case Encoding.CURSOR:
                pixels = yield from self._counted(rfb_decode.raw(width, height, self.pixel_format))
                mask = (
                    rfb_decode.unpack_indices(
                        (yield from self.needs(-(-width // 8) * height)), width, height, 1
                    )
                    if width * height
                    else np.zeros((height, width), np.uint8)
                )
                self._set_cursor(self.pixel_format.to_rgb(pixels) | np.where(mask, 0xFF000000, 0), x, y)
            case Encoding.ALPHA_CURSOR:
                (inner,) = yield from self.unpack(">i")
                require(inner == Encoding.RAW, f"alpha cursor in encoding {inner}")
                data = np.frombuffer((yield from self.needs(width * height * 4)), np.uint8)
                self._set_cursor(_straight(data.reshape(height, width, 4)), x, y)
            case Encoding.VMWARE_CURSOR:
                kind, _ = yield from self.unpack(">BB")
                require(kind == 1, f"VMware cursor type {kind}")
                rgba = np.frombuffer((yield from self.needs(width * height * 4)), np.uint8).astype(np.uint32)
                rgba = rgba.reshape(height, width, 4)
                self._set_cursor(
                    rgba[..., 3] << 24 | rgba[..., 0] << 16 | rgba[..., 1] << 8 | rgba[..., 2], x, y
                )
            case Encoding.DESKTOP_NAME:
                (length,) = yield from self.unpack(">I")
                self.name = (yield from self.needs(length)).decode()
            case Encoding.QEMU_LED:
                (self.leds,) = yield from self.unpack(">B")
            case Encoding.VMWARE_LED:
                (self.leds,) = yield from self.unpack(">I")
            case Encoding.POINTER_TYPE:
                self.pointer_is_absolute = bool(x)
            case Encoding.POINTER_POSITION:
                self.pointer_position = (x, y)
            case Encoding.QEMU_EXTENDED_KEY | Encoding.EXTENDED_MOUSE_BUTTONS | Encoding.QEMU_AUDIO:
                self.acknowledged.add(encoding)
            case _:
                raise Broken(f"pseudo-encoding {encoding} in an update")

    def _set_cursor(self, pixels: NDArray[np.uint32], x: int, y: int) -> None:
        self.cursor = np.asarray(pixels, np.uint32)
        self.cursor_hot_spot = (x, y)

    def _resize(self, width: int, height: int) -> None:
        old = self.values
        self.values = np.zeros((height, width), np.uint32)
        rows, columns = min(height, old.shape[0]), min(width, old.shape[1])
        self.values[:rows, :columns] = old[:rows, :columns]


def _straight(rgba: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """0xAARRGGBB of premultiplied bytes R, G, B, A."""
    wide = rgba.astype(np.uint32)
    alpha = wide[..., 3]
    divisor = np.maximum(alpha, 1)
    red, green, blue = (
        np.minimum((wide[..., index] * 255 + divisor // 2) // divisor, 255) for index in range(3)
    )
    return np.asarray(alpha << 24 | red << 16 | green << 8 | blue, np.uint32)


__all__ = ["Broken", "Refused", "RfbSession", "ServerMessage", "StartTls"]
