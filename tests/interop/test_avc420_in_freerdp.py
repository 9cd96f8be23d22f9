"""FreeRDP's decoder, of the version that this system has, follows the streams of `sidecar.encode.avc420`."""

from contextlib import closing

import numpy as np
import pytest
from support.avc420_decoder import Avc420Decoder
from support.freerdp_avc420 import FreeRdpAvc420
from support.guest_image import video
from support.pictures import psnr

from sidecar.encode.avc420 import Avc420Encoder, covered
from sidecar.screen.rectangle import Rectangle

GOOD = 30.0
"""dB."""


def smooth(width: int, height: int, phase: int):
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = (x + 9 * phase) / 31, (y - 5 * phase) / 23, (x + y + 4 * phase) / 47
    red, green, blue = (np.rint(128 + 100 * np.sin(wave)).astype(np.uint32) for wave in waves)
    return red << 16 | green << 8 | blue


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (640, 480), (641, 479), (1366, 768), (1920, 1080), (1027, 771)]
)
def test_freerdp_shows_every_picture_as_well_as_ffmpeg(width, height):
    encoder = Avc420Encoder(width, height)
    rows = covered(width, height).height
    reference, surface = Avc420Decoder(), np.zeros((height, width), np.uint32)
    with closing(FreeRdpAvc420(width, height)) as client:
        for phase in range(6):
            pixels = smooth(width, height, phase)
            # a key frame in the middle of the stream, as when somebody joins
            data = encoder.encode(pixels, [Rectangle(0, 0, width, height)], phase == 3)
            shown = client.show(data)
            reference(data, surface, (0, 0, 0, 0))
            assert psnr(shown[:rows], pixels[:rows]) >= GOOD
            assert psnr(shown[:rows], surface[:rows]) >= 45, "both read the same colours"


def test_freerdp_paints_the_regions_only():
    encoder = Avc420Encoder(640, 480)
    with closing(FreeRdpAvc420(640, 480)) as client:
        client.surface[:] = 0x123456
        areas = [Rectangle(64, 64, 128, 128), Rectangle(448, 320, 64, 64)]
        inside = np.zeros((480, 640), np.bool_)
        for area in areas:
            inside[area.y : area.bottom, area.x : area.right] = True
        for ticks in range(0, 12, 2):
            shown = client.show(encoder.encode(video(ticks), areas, False))
            assert (shown[~inside] == 0x123456).all()
            assert psnr(shown[inside], video(ticks)[inside]) >= GOOD


def test_freerdp_goes_on_where_a_picture_was_made_coarser():
    encoder = Avc420Encoder(640, 480)
    random = np.random.default_rng(1)
    with closing(FreeRdpAvc420(640, 480)) as client:
        client.show(encoder.encode(video(0), [Rectangle(0, 0, 640, 480)], True))
        finest = encoder.quantiser
        client.show(
            encoder.encode(
                random.integers(0, 1 << 24, (480, 640), dtype=np.uint32), [Rectangle(0, 0, 640, 480)], False
            )
        )
        assert encoder.quantiser > finest
        for ticks in range(2, 8, 2):
            shown = client.show(encoder.encode(video(ticks), [Rectangle(0, 0, 640, 480)], False))
            assert psnr(shown, video(ticks)) >= GOOD - 8
