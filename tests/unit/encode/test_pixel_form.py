import numpy as np
import pytest
from pictures import WIRES, form_of

from sidecar.encode.pixel_form import CANONICAL, SWAPPED, PixelForm, PixelFormError

CORNERS = np.array([[0x000000, 0xFFFFFF, 0xFF0000], [0x00FF00, 0x0000FF, 0x808080]], np.uint32)


@pytest.mark.parametrize("name", WIRES)
def test_each_channel_keeps_its_upper_bits_or_is_stretched(name):
    wire = WIRES[name]
    pixels = np.concatenate(
        [CORNERS.reshape(-1), np.random.default_rng(0).integers(0, 1 << 24, 5000, dtype=np.uint32)]
    )
    written = form_of(wire).pixels(pixels)
    assert written.dtype == np.dtype(f"{'>' if wire.big_endian else '<'}u{wire.bits // 8}")
    np.testing.assert_array_equal(written, wire.expected(pixels))


@pytest.mark.parametrize(
    ("form", "bytes_of_orange"),
    [
        (CANONICAL, "00 80 ff 00"),
        (SWAPPED, "ff 80 00 00"),
        (PixelForm(big_endian=True), "00 ff 80 00"),
        (PixelForm(16, 16, False, True, 31, 63, 31, 11, 5, 0), "00 fc"),
        (PixelForm(16, 16, True, True, 31, 63, 31, 11, 5, 0), "fc 00"),
        (PixelForm.indexed(), "27"),
    ],
)
def test_orange_on_the_wire(form, bytes_of_orange):
    assert form.pixels(np.array([0xFF8000], np.uint32)).tobytes() == bytes.fromhex(bytes_of_orange)


def test_the_servers_own_form_costs_no_copy():
    assert CANONICAL.pixels(CORNERS) is CORNERS


@pytest.mark.parametrize(
    ("name", "cpixel", "tpixel"),
    [
        ("server's own", "0080ff", "ff8000"),
        ("noVNC", "ff8000", "ff8000"),
        ("big-endian", "ff8000", "ff8000"),
        ("big-endian swapped", "0080ff", "ff8000"),
        ("depth 32", "0080ff00", "0080ff00"),
        ("upper bytes", "0080ff", "ff8000"),
        ("upper bytes big-endian", "ff8000", "ff8000"),
        ("first and last byte", "008000ff", "ff8000"),
        ("10 bits", "0008f83f", "0008f83f"),
        ("RGB565", "00fc", "00fc"),
        ("colour map", "27", "27"),
        ("wide colour map", "00000027", "00000027"),
    ],
)
def test_compact_pixels_are_three_bytes_exactly_where_the_specification_says_so(name, cpixel, tpixel):
    form = form_of(WIRES[name])
    orange = np.array([0xFF8000], np.uint32)
    assert form.cpixels(orange).tobytes().hex() == cpixel
    assert form.tpixels(orange).tobytes().hex() == tpixel
    assert (form.cpixel_size, form.tpixel_size) == (len(cpixel) // 2, len(tpixel) // 2)


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 1000, 8191, 8192, 8193, 262144, 300001])
def test_three_bytes_of_each_pixel_lie_side_by_side_at_any_length(count):
    # the words that make them overlap: this is what would fail if numpy filled arrays in another order
    pixels = np.random.default_rng(count).integers(0, 1 << 24, count, dtype=np.uint32)
    parts = pixels.view(np.uint8).reshape(-1, 4)
    assert CANONICAL.cpixels(pixels).tobytes() == parts[:, :3].tobytes()
    assert CANONICAL.tpixels(pixels).tobytes() == parts[:, 2::-1].tobytes()


def test_a_colour_map_shows_each_index_as_its_channels():
    form = PixelForm.indexed()
    colour_map = form.colour_map
    assert len(colour_map) == 256
    assert (colour_map[0], colour_map[255]) == ((0, 0, 0), (65535, 65535, 65535))
    assert colour_map[0b01_010_100] == (4 * 65535 // 7, 2 * 65535 // 7, 65535 // 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bits_per_pixel": 24},
        {"bits_per_pixel": 0},
        {"red_max": 0},
        {"blue_max": 65536},
        {"green_shift": 25},
        {"green_shift": 255},
        {"blue_shift": -1},
        {"bits_per_pixel": 16},
        {"bits_per_pixel": 8, "red_max": 7, "green_max": 7, "blue_max": 3, "red_shift": 6},
    ],
)
def test_a_form_whose_channels_do_not_fit_is_refused(wrong):
    with pytest.raises(PixelFormError):
        PixelForm(**wrong)
