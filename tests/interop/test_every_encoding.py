"""What a client decodes is what QEMU's own screendump shows, pixel by pixel."""

import contextlib

import numpy as np
import pytest
from numpy.typing import NDArray
from support import rfb_wire
from support.daemon import Daemon
from support.guest_image import Mode, desktop
from support.qemu import Qemu
from support.rfb_client import RfbClient
from support.rfb_wire import ALL_PSEUDO, Encoding, PixelFormat, Update, compression, jpeg_quality

FORMATS = (
    rfb_wire.BGRX,
    rfb_wire.RGBX,
    rfb_wire.XRGB_BIG,
    rfb_wire.RGBX_BIG,
    rfb_wire.BGRX_DEPTH_32,
    rfb_wire.RGB565,
    rfb_wire.RGB555_BIG,
    rfb_wire.BGR233,
    rfb_wire.RGB222,
)
LOSSLESS = ("RAW", "HEXTILE", "ZLIB", "ZRLE", "TIGHT")


@pytest.mark.parametrize("mode", [Mode.TEXT, Mode.VIDEO, Mode.DESKTOP], ids=lambda mode: mode.name)
@pytest.mark.parametrize("encoding", LOSSLESS)
def test_every_pixel_format_is_exact(daemon: Daemon, dbus_qemu: Qemu, mode: Mode, encoding: str) -> None:
    dbus_qemu.show(mode)
    dbus_qemu.show(Mode.STILL)
    truth = dbus_qemu.screendump()
    for pixel_format in FORMATS:
        encodings = (Encoding[encoding], compression(2), Encoding.LAST_RECT)
        with RfbClient(daemon.address, encodings=encodings, pixel_format=pixel_format) as client:
            update = client.refresh()
            assert Encoding[encoding] in update.encodings
            client.until_shown(truth)


@pytest.mark.parametrize("encoding", LOSSLESS)
def test_a_moving_picture_is_exact_when_it_stops(daemon: Daemon, dbus_qemu: Qemu, encoding: str) -> None:
    """Incremental updates, CopyRect among them, by several clients of different forms at once."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(
                RfbClient(
                    daemon.address,
                    encodings=(Encoding.COPY_RECT, Encoding[encoding], *ALL_PSEUDO),
                    pixel_format=pixel_format,
                )
            )
            for pixel_format in (rfb_wire.BGRX, rfb_wire.RGBX, rfb_wire.RGB565)
        ]
        for mode in (Mode.TEXT, Mode.VIDEO, Mode.REPAINT):
            dbus_qemu.show(mode)
            for _ in range(5):
                for client in clients:
                    client.refresh(incremental=True)
            dbus_qemu.show(Mode.STILL)
            truth = dbus_qemu.screendump()
            for client in clients:
                client.until_shown(truth)


def test_jpeg_becomes_exact_when_the_picture_rests(daemon: Daemon, dbus_qemu: Qemu) -> None:
    dbus_qemu.show(Mode.VIDEO)
    with RfbClient(daemon.address, encodings=(Encoding.TIGHT, jpeg_quality(6))) as client:
        for _ in range(40):
            client.refresh(incremental=True)
        dbus_qemu.show(Mode.STILL)
        client.until_shown(dbus_qemu.screendump())


def test_jpeg_never_comes_unasked(daemon: Daemon, dbus_qemu: Qemu) -> None:
    """The client's decoder refuses it; what it shows is exact at every moment that nothing moves."""
    dbus_qemu.show(Mode.VIDEO)
    with RfbClient(daemon.address, encodings=(Encoding.TIGHT,)) as client:
        for _ in range(40):
            client.refresh(incremental=True)


def test_a_client_without_true_colour_gets_a_map(daemon: Daemon, dbus_qemu: Qemu) -> None:
    dbus_qemu.show(Mode.DESKTOP)
    with RfbClient(daemon.address, pixel_format=rfb_wire.COLOUR_MAP) as client:
        client.until(lambda: _is_close(client.rgb, desktop()), "the picture is as good as 256 colours can be")
        assert len(np.unique(client.colour_map)) == 256


def _is_close(shown: NDArray[np.uint32], wanted: NDArray[np.uint32]) -> bool:
    """Whether no channel is off by more than a step of 3, 3 and 2 bits."""
    steps = ((16, 36), (8, 36), (0, 85))
    return all(
        np.abs((shown >> shift & 0xFF).astype(int) - (wanted >> shift & 0xFF).astype(int)).max() <= step
        for shift, step in steps
    )


@pytest.mark.parametrize("encoding", LOSSLESS)
def test_the_pixel_format_may_change_at_any_time(daemon: Daemon, dbus_qemu: Qemu, encoding: str) -> None:
    dbus_qemu.show(Mode.DESKTOP)
    with RfbClient(daemon.address, encodings=(Encoding[encoding],)) as client:
        client.until_shown(desktop())
        changes: tuple[PixelFormat, ...] = (rfb_wire.BGR233, rfb_wire.RGBX, rfb_wire.RGB565, rfb_wire.BGRX)
        for pixel_format in changes:
            client.set_pixel_format(pixel_format)
            client.refresh()
            assert np.array_equal(client.values, pixel_format.from_rgb(desktop()))


@pytest.mark.parametrize("size_encoding", [Encoding.DESKTOP_SIZE, Encoding.EXTENDED_DESKTOP_SIZE])
def test_a_new_size_of_the_screen_is_followed(
    daemon: Daemon, dbus_qemu: Qemu, size_encoding: Encoding
) -> None:
    with RfbClient(daemon.address, encodings=(Encoding.ZRLE, size_encoding)) as client:
        client.refresh()
        for mode, shape in ((Mode.SIZE_800X600, (600, 800)), (Mode.SIZE_1024X768, (768, 1024))):
            dbus_qemu.show(mode)
            client.until(lambda shape=shape: client.values.shape == shape, f"the size is {shape}")
            dbus_qemu.show(Mode.STILL)
            client.until_shown(dbus_qemu.screendump())


def test_continuous_updates_come_without_being_asked_for(daemon: Daemon, dbus_qemu: Qemu) -> None:
    dbus_qemu.show(Mode.TEXT)
    with RfbClient(daemon.address, encodings=(Encoding.TIGHT, *ALL_PSEUDO)) as client:
        client.refresh()
        client.send(rfb_wire.enable_continuous_updates(True, 0, 0, 1024, 768))
        pushed = 0
        while pushed < 30:
            message = client.receive()
            pushed += isinstance(message, Update) and message.has_pixels
        dbus_qemu.show(Mode.STILL)
        truth = dbus_qemu.screendump()
        while not np.array_equal(client.values, truth):
            client.receive()
