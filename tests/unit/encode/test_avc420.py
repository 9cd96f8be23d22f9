import subprocess
import sys

import numpy as np
import pytest
from support.avc420_decoder import Avc420Decoder, Stream
from support.guest_image import video
from support.pictures import channels, psnr

from sidecar.encode.avc420 import Avc420Encoder, avc_available, avc_fits, covered, limit, metablock
from sidecar.screen.rectangle import Rectangle

GOOD = 30.0
"""dB: what moves is to be shown at least as well."""

SEQUENCE_PARAMETERS, PICTURE_PARAMETERS, KEY, FOLLOWING = 7, 8, 5, 1
"""nal_unit_type."""


def whole(pixels) -> list[Rectangle]:
    return [Rectangle(0, 0, pixels.shape[1], pixels.shape[0])]


def smooth(width: int, height: int, phase: int = 0):
    """Soft colours without an edge, another picture for each phase."""
    x, y = np.arange(width), np.arange(height)[:, np.newaxis]
    # sums of places are few, pixels are many
    diagonal = _wave(np.arange(width + height) + 4 * phase, 47)[x + y]
    return _wave(x + 9 * phase, 31) << 16 | _wave(y - 5 * phase, 23) << 8 | diagonal


def _wave(places, length: int):
    return np.rint(128 + 100 * np.sin(places / length)).astype(np.uint32)


def noise(width: int, height: int, seed: int = 0):
    return np.random.default_rng(seed).integers(0, 1 << 24, (height, width), dtype=np.uint32)


class Client:
    """An encoder and who decodes its pictures."""

    def __init__(self, width: int, height: int, **options) -> None:
        self.encoder = Avc420Encoder(width, height, **options)
        self.decoder = Avc420Decoder()
        self.surface = np.zeros((height, width), np.uint32)
        self.data = b""

    def show(self, pixels, areas=None, key_frame: bool = False):
        self.data = self.encoder.encode(pixels, whole(pixels) if areas is None else areas, key_frame)
        self.decoder(self.data, self.surface, (0, 0, 0, 0))
        return self.surface

    @property
    def unit_types(self) -> list[int]:
        return Stream.parse(self.data).unit_types


def test_what_moves_is_shown_well_picture_by_picture():
    client = Client(640, 480)
    for ticks in range(0, 40, 2):
        assert psnr(client.show(video(ticks)), video(ticks)) >= GOOD
        assert client.unit_types[-1] == (FOLLOWING if ticks else KEY)


def test_text_in_shades_of_grey_is_shown_better_than_what_moves():
    letters = np.random.default_rng(5).random((200, 320)) < 0.2
    pixels = np.where(letters, 0xE0E0E0, 0x101010).astype(np.uint32)
    assert psnr(Client(320, 200).show(pixels), pixels) >= GOOD + 6


def test_only_the_regions_of_a_picture_change_what_is_shown():
    client = Client(320, 200)
    before = client.show(smooth(320, 200)).copy()
    after = smooth(320, 200, 5)
    areas = [Rectangle(64, 64, 128, 64), Rectangle(256, 128, 64, 72)]
    shown = client.show(after, areas)
    inside = np.zeros(shown.shape, np.bool_)
    for area in areas:
        inside[area.y : area.bottom, area.x : area.right] = True
    np.testing.assert_array_equal(shown[~inside], before[~inside])
    assert psnr(shown[inside], after[inside]) >= GOOD


def test_regions_that_do_not_lie_on_macroblocks_are_shown_whole():
    client = Client(200, 100)
    client.show(smooth(200, 100))
    after = smooth(200, 100, 7)
    area = Rectangle(13, 7, 101, 55)
    shown = client.show(after, [area])[area.y : area.bottom, area.x : area.right]
    assert psnr(shown, after[area.y : area.bottom, area.x : area.right]) >= GOOD


def test_a_key_frame_is_decoded_without_what_was_before():
    encoder = Avc420Encoder(320, 240)
    for phase in range(3):
        encoder.encode(smooth(320, 240, phase), [Rectangle(0, 0, 320, 240)], False)
    data = encoder.encode(smooth(320, 240, 3), [Rectangle(0, 0, 320, 240)], True)
    types = Stream.parse(data).unit_types
    assert [kind for kind in types if kind != 6] == [SEQUENCE_PARAMETERS, PICTURE_PARAMETERS, KEY]
    late = np.zeros((240, 320), np.uint32)
    decoder = Avc420Decoder()
    decoder(data, late, (0, 0, 0, 0))
    assert psnr(late, smooth(320, 240, 3)) >= GOOD
    decoder(encoder.encode(smooth(320, 240, 4), [Rectangle(0, 0, 320, 240)], False), late, (0, 0, 0, 0))
    assert psnr(late, smooth(320, 240, 4)) >= GOOD


def test_a_key_frame_holds_nothing_but_its_regions():
    client = Client(640, 480)
    client.show(noise(640, 480))
    everything = len(client.data)
    client.show(noise(640, 480), [Rectangle(64, 64, 64, 64)], key_frame=True)
    assert len(client.data) < everything / 20
    assert channels(client.decoder.decoded[256:]).max() <= 8, "the rest is black"


SIZES = [
    *((1, 1), (2, 1), (1, 2), (2, 2), (3, 5), (15, 17), (16, 16), (17, 33), (63, 65), (130, 70)),
    *((641, 479), (1366, 767), (1920, 1080), (4096, 16), (16, 4096), (4096, 2304)),
]


@pytest.mark.parametrize(("width", "height"), SIZES, ids=lambda size: str(size))
def test_every_size_is_shown_to_its_edges(width, height):
    client = Client(width, height)
    for phase in range(3):
        pixels = smooth(width, height, phase)
        shown = client.show(pixels)
        rows = covered(width, height).height
        # a single pixel has no neighbours that make up for its rounding
        assert psnr(shown[:rows], pixels[:rows]) >= (GOOD if width * height > 1 else 25)
        if height > 1:
            assert client.decoder.decoded.shape[0] <= height, (
                "FreeRDP refuses pictures higher than the surface"
            )
    assert rows in (height, height - 1)


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (4097, 16), (16, 4097), (4096, 2320)])
def test_sizes_that_decoders_do_not_take_are_refused(width, height):
    assert not avc_fits(width, height)
    with pytest.raises(ValueError, match=r"no H\.264 pictures"):
        Avc420Encoder(width, height)


@pytest.mark.parametrize(
    "colour", [0x000000, 0xFFFFFF, 0xFF0000, 0x00FF00, 0x0000FF, 0x808080, 0x204060, 0xFFC000]
)
def test_colours_are_those_of_full_range_bt_709(colour):
    pixels = np.full((64, 64), colour, np.uint32)
    shown = channels(Client(64, 64, quality=100).show(pixels)).astype(int)
    assert np.abs(shown - channels(pixels)).max() <= 3


def test_a_picture_converted_tile_by_tile_is_the_same():
    pixels = noise(330, 200)
    tiles = [
        Rectangle(x, y, min(64, 330 - x), min(64, 200 - y))
        for y in range(0, 200, 64)
        for x in range(0, 330, 64)
    ]
    at_once, in_parts = (
        Stream.parse(Avc420Encoder(330, 200).encode(pixels, areas, True)).units
        for areas in (whole(pixels), tiles)
    )
    assert at_once == in_parts


def test_what_stands_still_takes_no_bytes():
    client = Client(1920, 1080)
    pixels = smooth(1920, 1080)
    client.show(pixels)
    for phase in range(1, 4):
        pixels[512:576, 640:704] = smooth(64, 64, phase)
        client.show(pixels, [Rectangle(640, 512, 64, 64)])
        assert len(client.data) < 3000


def test_noise_all_over_is_made_coarser_until_it_fits():
    client = Client(640, 480)
    finest = client.encoder.quantiser
    assert client.encoder.limit == limit(640, 480, finest)
    for seed in range(5):
        client.show(noise(640, 480, seed))
        assert len(Stream.parse(client.data).units) <= client.encoder.limit
    coarse = client.encoder.quantiser
    assert coarse > finest
    # what is told to the client is what x264 used
    assert set(Stream.parse(client.data).qualities) == {(coarse, 75)}


def test_the_quantiser_is_fine_again_once_pictures_have_been_small_for_a_while():
    client = Client(320, 240)
    finest = client.encoder.quantiser
    client.show(noise(320, 240))
    assert client.encoder.quantiser > finest
    for phase in range(150):
        pixels = smooth(320, 240, phase)
        assert psnr(client.show(pixels), pixels) >= GOOD - 5
    assert client.encoder.quantiser == finest
    assert psnr(client.surface, pixels) >= GOOD


def test_a_better_quality_is_closer_and_takes_more_bytes():
    results = []
    for quality in (1, 40, 75, 100):
        client = Client(640, 480, quality=quality)
        shown = [(psnr(client.show(video(ticks)), video(ticks)), len(client.data)) for ticks in (0, 2, 4)]
        results.append(tuple(np.mean(shown, axis=0)))
    assert results == sorted(results)
    assert len(set(results)) == 4


def test_several_threads_make_pictures_that_are_decoded_alike():
    client = Client(640, 480, threads=2)
    for ticks in range(0, 10, 2):
        assert psnr(client.show(video(ticks)), video(ticks)) >= GOOD


def test_the_metablock_is_laid_out_as_in_the_specification():
    regions = [Rectangle(1, 2, 3, 4), Rectangle(0x100, 0x200, 0x300, 0x400)]
    assert metablock(regions, 23, 75) == bytes.fromhex(
        "02000000 0100 0200 0400 0600 0001 0002 0004 0006 174b 174b"
    )
    assert metablock([], 23, 75) == bytes(4)


def test_regions_never_reach_into_the_odd_last_row():
    client = Client(64, 65)
    client.show(smooth(64, 65), [Rectangle(0, 0, 64, 64), Rectangle(0, 64, 64, 1)])
    assert Stream.parse(client.data).regions == [(0, 0, 64, 64)]


def test_an_encoder_refuses_what_it_was_not_opened_for():
    encoder = Avc420Encoder(64, 48)
    with pytest.raises(ValueError, match="the stream is of"):
        encoder.encode(smooth(48, 64), [], True)
    encoder.close()
    encoder.close()
    with pytest.raises(ValueError, match="closed"):
        encoder.encode(smooth(64, 48), [], True)


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_nothing_behind_the_last_pixel_is_read():
    # in a process of its own, since reading there ends it
    result = run("""
import ctypes, mmap, os
import numpy as np
from sidecar.encode.avc420 import Avc420Encoder
from sidecar.screen.rectangle import Rectangle

def before_forbidden_page(width, height):
    size = 4 * width * height
    pages = -(-size // mmap.PAGESIZE)
    memory = np.frombuffer(mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE), np.uint8)
    end = pages * mmap.PAGESIZE
    forbidden = ctypes.c_void_p(memory.ctypes.data + end)
    assert ctypes.CDLL(None).mprotect(forbidden, mmap.PAGESIZE, 0) == 0
    return memory[end - size : end].view(np.uint32).reshape(height, width)

for width, height in [(1, 1), (2, 4), (5, 5), (10, 7), (30, 8), (64, 64), (66, 4), (1023, 65), (1920, 56)]:
    encoder = Avc420Encoder(width, height)
    encoder.encode(before_forbidden_page(width, height), [Rectangle(0, 0, width, height)], True)
print("done", flush=True)
os._exit(0)
""")
    assert result.stdout == "done\n", result


def test_pyav_is_looked_for_without_being_imported():
    assert avc_available()
    result = run("""
import sys
import sidecar.broadcast.video
from sidecar.encode.avc420 import avc_available
print(avc_available(), "av" in sys.modules)
""")
    assert result.stdout == "True False\n", result
