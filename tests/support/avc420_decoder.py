"""A client's side of AVC420, from MS-RDPEGFX 2.2.4.4 and ITU-R BT.709, with FFmpeg's H.264 decoder."""

import struct
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint32]
"""(height, width), 0x00RRGGBB."""

Area = tuple[int, int, int, int]
"""left, top, right, bottom, the latter two exclusive."""


@dataclass(frozen=True)
class Stream:
    """RFX_AVC420_BITMAP_STREAM."""

    regions: list[Area]
    qualities: list[tuple[int, int]]
    """Quantiser with its flags, and quality, of each region."""
    units: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Stream":
        (count,) = struct.unpack_from("<I", data)
        assert len(data) >= 4 + 10 * count, "the metablock ends early"
        regions = list(struct.iter_unpack("<4H", data[4 : 4 + 8 * count]))
        qualities = list(struct.iter_unpack("<2B", data[4 + 8 * count : 4 + 10 * count]))
        return cls(regions, qualities, data[4 + 10 * count :])

    @property
    def unit_types(self) -> list[int]:
        """nal_unit_type of each unit (ITU-T H.264 table 7-1): 7, 8 and 5 make a key frame."""
        starts = [part for part in self.units.split(b"\0\0\1") if part.strip(b"\0")]
        return [start[0] & 31 for start in starts]


class Avc420Decoder:
    """Follows one stream; calling it paints a picture's regions into a surface."""

    def __init__(self) -> None:
        self._context = av.CodecContext.create("h264", "r")
        self._context.thread_count = 1
        self.decoded: Picture = np.zeros((0, 0), np.uint32)
        """All that the decoder holds, shown or not."""

    def __call__(self, data: bytes, surface: Picture, area: Area) -> None:
        """Raises av.FFmpegError for a stream that cannot be decoded."""
        stream = Stream.parse(data)
        (frame,) = self._context.decode(av.Packet(stream.units))
        assert (frame.color_range, frame.colorspace) == (2, 1), "not BT.709 in full range"
        self.decoded = rgb(frame)
        height, width = surface.shape
        for left, top, right, bottom in stream.regions:
            assert left < right <= min(width, frame.width), "a region is outside"
            assert top < bottom <= min(height, frame.height), "a region is outside"
            surface[top:bottom, left:right] = self.decoded[top:bottom, left:right]


def rgb(frame: av.VideoFrame) -> Picture:
    """The colours of a decoded frame (BT.709, full range); each colour sample is shown two by two times."""
    luma, blue, red = (
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    )
    blue, red = blue - 128, red - 128
    shares = (1.5748 * red, -0.1873 * blue - 0.4681 * red, 1.8556 * blue)
    channels = (
        luma + np.repeat(np.repeat(share, 2, axis=0), 2, axis=1)[: frame.height, : frame.width]
        for share in shares
    )
    r, g, b = (np.clip(np.rint(channel), 0, 255).astype(np.uint32) for channel in channels)
    return r << 16 | g << 8 | b
