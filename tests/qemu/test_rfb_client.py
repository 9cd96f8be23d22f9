"""The tests' own RFB client, checked against QEMU's built-in VNC server before it judges ours."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import rfb_wire
from support.guest_image import Mode, desktop
from support.qemu import Qemu
from support.rfb_client import AsyncRfbClient, RfbClient
from support.rfb_wire import ALL_PSEUDO, Encoding, compression, jpeg_quality

LITTLE_ENDIAN = (rfb_wire.BGRX, rfb_wire.RGBX, rfb_wire.RGB565, rfb_wire.BGR233)
# only where QEMU's own server gets the byte order right: not for Tight, ZRLE and XRGB
BIG_ENDIAN = (rfb_wire.RGBX_BIG, rfb_wire.RGB555_BIG)


@pytest.fixture(params=[Mode.TEXT, Mode.VIDEO, Mode.DESKTOP], ids=lambda mode: mode.name)
def still_qemu(request: pytest.FixtureRequest, builtin_vnc_qemu: Qemu) -> Qemu:
    """QEMU's own VNC server with a picture that stays."""
    builtin_vnc_qemu.show(request.param)
    builtin_vnc_qemu.show(Mode.STILL)
    return builtin_vnc_qemu


@pytest.mark.parametrize("encoding", ["RAW", "HEXTILE", "ZLIB", "ZRLE", "TIGHT"])
def test_every_encoding_and_pixel_format_is_decoded_exactly(
    still_qemu: Qemu, short_dir: Path, encoding: str
) -> None:
    truth = still_qemu.screendump()
    formats = (*LITTLE_ENDIAN, *BIG_ENDIAN) if encoding == "RAW" else LITTLE_ENDIAN
    for pixel_format in formats:
        encodings = (Encoding[encoding], compression(2), Encoding.LAST_RECT)
        with RfbClient(f"{short_dir}/vnc", encodings=encodings, pixel_format=pixel_format) as client:
            update = client.refresh()
            assert update.encodings <= {Encoding[encoding], Encoding.RAW}
            client.until_shown(truth)
            client.refresh()
            client.until_shown(truth)


def test_jpeg_is_decoded_to_what_is_close_to_the_picture(builtin_vnc_qemu: Qemu, short_dir: Path) -> None:
    """Close, for whether QEMU's server makes a picture at rest exact depends on its own statistics."""
    builtin_vnc_qemu.show(Mode.VIDEO)
    encodings = (Encoding.TIGHT, jpeg_quality(6))
    with RfbClient(f"{short_dir}/vnc", encodings=encodings) as client:
        for _ in range(20):
            client.refresh(incremental=True)
        builtin_vnc_qemu.show(Mode.STILL)
        truth = channels(builtin_vnc_qemu.screendump())
        # quality 6 of noisy content; a channel taken for another, or a block in a wrong place, is far off
        client.until(lambda: np.abs(channels(client.rgb) - truth).mean() < 4, "the picture is close")


def channels(rgb: NDArray[np.uint32]) -> NDArray[np.int16]:
    """(height, width, 3): red, green, blue."""
    return np.stack([(rgb >> shift & 0xFF).astype(np.int16) for shift in (16, 8, 0)], axis=-1)


def test_colour_map_is_followed(builtin_vnc_qemu: Qemu, short_dir: Path) -> None:
    builtin_vnc_qemu.show(Mode.DESKTOP)
    with RfbClient(f"{short_dir}/vnc", pixel_format=rfb_wire.COLOUR_MAP) as client:
        client.refresh()
        assert np.array_equal(client.values, rfb_wire.BGR233.from_rgb(desktop()))
        assert len(np.unique(client.colour_map)) == 256


@pytest.mark.parametrize("version", [b"003.003", b"003.007", b"003.008"])
async def test_every_version_connects_and_keys_arrive(
    builtin_vnc_qemu: Qemu, short_dir: Path, version: bytes
) -> None:
    encodings = (Encoding.TIGHT, *ALL_PSEUDO)
    async with await AsyncRfbClient.connect(
        f"{short_dir}/vnc", version=version, encodings=encodings
    ) as client:
        await client.refresh()
        assert client.name.startswith("QEMU")
        await client.send(rfb_wire.key_event(ord("a"), True) + rfb_wire.key_event(ord("a"), False))
        builtin_vnc_qemu.com1.wait_for("K1E\nK9E\n")
        assert Encoding.QEMU_EXTENDED_KEY in client.acknowledged
