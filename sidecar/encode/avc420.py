"""H.264 pictures of what moves: AVC420 of the graphics pipeline, by x264 (PyAV, extra `h264`)."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from importlib.util import find_spec
from struct import Struct
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.scratch import scratch
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Pixels

if TYPE_CHECKING:
    from av import VideoCodecContext, VideoFrame

DEFAULT_QUALITY: Final = 75
"""Of 1..100."""

DEFAULT_QUANTISER: Final = 23
"""H.264's, of 0 (finest) to 51, for that quality."""

MAX_EDGE: Final = 4096
MAX_MACROBLOCKS: Final = 36864
"""The largest picture of H.264 level 5.2 (4096x2304): decoders in hardware take no more."""

MACROBLOCK: Final = 16

RATE: Final = 30
"""Pictures per second that x264 writes into its headers; no client asks."""

BYTES_PER_PIXEL: Final = 0.4
"""The largest picture at the default quality: 829 kB for 1920x1080. Noise all over takes more, a detailed
photograph that fills the screen somewhat less, and a moving one a tenth."""

SMALLEST_LIMIT: Final = 64_000
"""Bytes that every picture may have."""

COARSER: Final = 6
"""By how much the quantiser grows when a picture is too large: six steps halve its bytes."""

COARSEST: Final = 47

SMALL: Final = 8
"""A picture is small that takes no more than this part of the limit."""

CALM: Final = 30
"""Small pictures in a row after which a coarser quantiser is given up; twice as many after each time."""

MOST_PATIENT: Final = 1000
"""The most of them."""

BAND: Final = 64
"""Rows that are converted at once: they stay in the processor's cache."""

FEWEST_ROWS: Final = 4
"""Fewer are not converted soundly."""

OVERREAD: Final = 64
"""Pixels behind the last one that must be readable: the conversion takes whole vectors."""

REGION_COUNT = Struct("<I")
REGION = Struct("<4H")
QUANT_QUALITY = Struct("<BB")

Plane = NDArray[np.uint8]


@cache
def avc_available() -> bool:
    """Whether PyAV is installed; it is not imported for the answer."""
    return find_spec("av") is not None


def avc_fits(width: int, height: int) -> bool:
    """Whether a screen of this size can be sent as H.264."""
    macroblocks = -(-width // MACROBLOCK) * -(-height // MACROBLOCK)
    return 1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE and macroblocks <= MAX_MACROBLOCKS


class Avc420Encoder:
    """One stream of H.264 pictures of one screen: baseline profile, BT.709 in full range.

    A picture builds on the one before it: whoever misses one can go on with a key frame only. Pictures
    hold what was given as `areas` since the last key frame; the rest of the screen is black in them and is
    not shown, because the regions of a picture are its areas. An encoder belongs to one thread at a time;
    x264 and the conversion of colours leave the interpreter to others.

    The quantiser is constant: rate control by x264 would take a third more time. A picture of more
    than `limit` bytes is made anew as a key frame with a coarser quantiser, which then stays until pictures
    have been small for a while.

    `covered` is the part of the screen that the pictures hold: all but the last row of an odd height, since
    FreeRDP refuses pictures that are higher than the surface. `conversion_seconds` and `encoder_seconds` say
    where the time went. Raises ValueError for a size that `avc_fits` refuses.
    """

    __slots__ = (
        "_calm",
        "_coded",
        "_context",
        "_count",
        "_finest",
        "_frame",
        "_patience",
        "_planes",
        "_shape",
        "_threads",
        "_to_yuv",
        "conversion_seconds",
        "covered",
        "encoder_seconds",
        "limit",
        "quality",
        "quantiser",
    )

    def __init__(self, width: int, height: int, *, quality: int = DEFAULT_QUALITY, threads: int = 1) -> None:
        if not avc_fits(width, height):
            raise ValueError(f"no H.264 pictures of {width}x{height}")
        from av import VideoFrame

        self.quality = quality
        self.quantiser = self._finest = quantiser(quality)
        self.limit = limit(width, height, self.quantiser)
        self.covered = covered(width, height)
        self.conversion_seconds = 0.0
        self.encoder_seconds = 0.0
        self._threads = threads
        self._shape = (height, width)
        # two by two pixels share their colour: a last odd column is doubled, and so is a single row
        self._coded = (width + width % 2, max(2, height & ~1))
        self._to_yuv = _converter()
        frame = VideoFrame(*self._coded, "yuv420p")
        self._frame: VideoFrame | None = frame
        self._planes = _planes(frame)
        self._context: VideoCodecContext | None = None
        self._count = 0
        self._calm = 0
        self._patience = CALM

    def encode(self, pixels: Pixels, areas: Sequence[Rectangle], key_frame: bool) -> bytes:
        """RFX_AVC420_BITMAP_STREAM (MS-RDPEGFX 2.2.4.4) of a picture whose regions are `areas`.

        `pixels`: the whole screen, (height, width), which may be written to meanwhile. The first picture is
        a key frame in any case, and one that was too large becomes one. Raises ValueError after `close` and
        for pixels of another size, and what PyAV raises (av.FFmpegError) when x264 fails.
        """
        if self._frame is None:
            raise ValueError("the stream is closed")
        if pixels.shape != self._shape:
            raise ValueError(f"pixels are {pixels.shape}, the stream is of {self._shape}")
        regions = [region for area in areas if (region := area.intersect(self.covered)).area]
        if self._calm >= self._patience:
            self._requantise(max(self.quantiser - COARSER, self._finest))
        units = self._picture(self._frame, pixels, regions, key_frame)
        while len(units) > self.limit and self.quantiser < COARSEST:
            # what was too large does not become small at once: each time it is believed later
            self._patience = min(2 * self._patience, MOST_PATIENT)
            self._requantise(min(self.quantiser + COARSER, COARSEST))
            units = self._picture(self._frame, pixels, regions, True)
        if self.quantiser > self._finest:
            self._calm = self._calm + 1 if len(units) <= self.limit // SMALL else 0
        return metablock(regions, self.quantiser, self.quality) + units

    def close(self) -> None:
        """Gives the memory back to the system; nothing can be encoded any more."""
        self._context = self._frame = None
        self._planes = ()
        # glibc would keep half of x264's memory in case it is wanted again
        if (trim := _malloc_trim()) is not None:
            trim(0)

    def _requantise(self, quantiser: int) -> None:
        """Has the next picture begin anew with another quantiser."""
        self.quantiser = quantiser
        self._context = None
        self._calm = 0

    def _picture(
        self, frame: "VideoFrame", pixels: Pixels, regions: Sequence[Rectangle], key_frame: bool
    ) -> bytes:
        """The NAL units of a picture."""
        from av.video.frame import PictureType

        begin = perf_counter()
        if self._context is None:
            self._context = _open(*self._coded, self.quantiser, self._threads)
            key_frame = True
        opened = perf_counter()
        if key_frame:
            for plane, black in zip(self._planes, (0, 128, 128), strict=True):
                plane.fill(black)
        for region in regions:
            self._convert(pixels, region)
        converted = perf_counter()
        frame.pts = self._count
        frame.pict_type = PictureType.I if key_frame else PictureType.NONE
        self._count += 1
        units = b"".join(bytes(packet) for packet in self._context.encode(frame))
        self.conversion_seconds += converted - opened
        self.encoder_seconds += perf_counter() - converted + opened - begin
        return units

    def _convert(self, pixels: Pixels, region: Rectangle) -> None:
        """Puts the macroblocks that `region` touches into the picture."""
        left, top = region.x // MACROBLOCK * MACROBLOCK, region.y // MACROBLOCK * MACROBLOCK
        right = min(-(-region.right // MACROBLOCK) * MACROBLOCK, self.covered.width)
        bottom = min(-(-region.bottom // MACROBLOCK) * MACROBLOCK, self.covered.height)
        for row in range(top, bottom, BAND):
            block = pixels[row : min(row + BAND, bottom), left:right]
            height, width = block.shape
            behind = pixels.size - ((row + height - 1) * pixels.shape[1] + right)
            if behind < OVERREAD or width % 2 or height < FEWEST_ROWS:
                block = _with_edges(block)
            converted = _planes(self._to_yuv(block))
            for target, part, share in zip(self._planes, converted, (1, 2, 2), strict=True):
                y, x = row // share, left // share
                rows, columns = -(-height // share), -(-width // share)
                target[y : y + rows, x : x + columns] = part[:rows, :columns]


def covered(width: int, height: int) -> Rectangle:
    """The part of a screen that its H.264 pictures hold."""
    return Rectangle(0, 0, width, max(1, height & ~1))


def quantiser(quality: int) -> int:
    """The quantiser for a quality of 1..100: 49 to 14, 23 for the default."""
    return DEFAULT_QUANTISER + round(0.35 * (DEFAULT_QUALITY - quality))


def limit(width: int, height: int, quantiser: int) -> int:
    """The most bytes of a picture that is wanted with this quantiser."""
    finer = (DEFAULT_QUANTISER - quantiser) / COARSER
    return max(SMALLEST_LIMIT, round(width * height * BYTES_PER_PIXEL * 2**finer))


def metablock(regions: Sequence[Rectangle], quantiser: int, quality: int) -> bytes:
    """RFX_AVC420_METABLOCK (MS-RDPEGFX 2.2.4.4.1)."""
    return b"".join(
        (
            REGION_COUNT.pack(len(regions)),
            *(REGION.pack(region.x, region.y, region.right, region.bottom) for region in regions),
            QUANT_QUALITY.pack(quantiser, quality) * len(regions),
        )
    )


def _open(width: int, height: int, quantiser: int, threads: int) -> "VideoCodecContext":
    """x264 for pictures that are decoded as soon as they are there.

    A picture refers to the last one only, and begins anew only when told to.
    """
    from av import CodecContext

    parameters = {
        "keyint": "infinite",
        "scenecut": 0,
        "repeat-headers": 1,
        "sliced-threads": int(threads > 1),
        "qp": quantiser,
        "ipratio": 1,
        "fullrange": "on",
        "colorprim": "bt709",
        "transfer": "bt709",
        "colormatrix": "bt709",
    }
    context = CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, RATE), Fraction(RATE)
    context.thread_count = threads
    context.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "profile": "baseline",
        "x264-params": ":".join(f"{name}={value}" for name, value in parameters.items()),
    }
    context.open()
    return context


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """What has the C library give free memory back; None where it knows no such thing."""
    import ctypes

    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def _converter() -> "Callable[[Pixels], VideoFrame]":
    """From a block of pixels, whose edges are even, to its YUV.

    Two by two pixels get their average colour: of swscale's ways one in which a block's colours do not
    depend on its neighbours.
    """
    from av import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

    reformat = partial(
        VideoReformatter().reformat,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.AREA,
        threads=1,
    )

    def convert(block: Pixels) -> "VideoFrame":
        # a view: splitting the last axis never copies
        source = block.view(np.uint8).reshape(*block.shape, 4)
        return reformat(VideoFrame.from_numpy_buffer(source, format="bgra"))

    return convert


def _planes(frame: "VideoFrame") -> tuple[Plane, ...]:
    """Y, U and V of a frame to read and write: (rows, bytes of a line)."""
    return tuple(
        np.frombuffer(cast("memoryview[int]", plane), np.uint8).reshape(-1, plane.line_size)
        for plane in frame.planes
    )


def _with_edges(block: Pixels) -> Pixels:
    """A copy with readable memory behind it; a last odd column is doubled, and the last of too few rows."""
    height, width = block.shape
    rows, columns = max(FEWEST_ROWS, height), width + width % 2
    copy = scratch("video", (rows * columns + OVERREAD,), np.uint32)[: rows * columns].reshape(rows, columns)
    copy[:height, :width] = block
    copy[:height, width:] = block[:, -1:]
    copy[height:] = copy[height - 1]
    return copy
