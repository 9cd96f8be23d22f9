import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rfb_decoders
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import WIRES, form_of, picture, pictures
from rfb_decoders import TightClient, Wire

from sidecar.encode import deflate as deflate_module
from sidecar.encode import palette as palette_module
from sidecar.encode import tight
from sidecar.encode.encoders import encode
from sidecar.encode.form import ZLIB_HEADER, Encoding, Form
from sidecar.encode.pixel_form import SWAPPED
from sidecar.screen.rectangle import Rectangle
from sidecar.vnc.messages import segment_header

MARK = b"\x00\x00\xff\xff"


def decode(segment, wire: Wire) -> np.ndarray:
    """What a client that gets this segment first sees."""
    width, height = segment.rectangle.width, segment.rectangle.height
    body = segment.body
    if segment.encoding is Encoding.TIGHT:
        return TightClient().decode(body, width, height, wire)
    if segment.encoding.is_streamed:
        body = zlib.decompressobj().decompress(ZLIB_HEADER + body)
    decoder = {
        Encoding.RAW: rfb_decoders.raw,
        Encoding.ZLIB: rfb_decoders.raw,
        Encoding.HEXTILE: rfb_decoders.hextile,
        Encoding.ZRLE: rfb_decoders.zrle,
    }[segment.encoding]
    return decoder(body, width, height, wire)


def encoded(pixels, form: Form, x: int = 0, y: int = 0):
    height, width = pixels.shape
    return encode(Rectangle(x, y, width, height), pixels, form)


@pytest.mark.parametrize("encoding", Encoding, ids=lambda encoding: encoding.name)
@settings(max_examples=150, deadline=None)
@given(pixels=pictures(), name=st.sampled_from(sorted(WIRES)))
def test_a_client_decodes_exactly_the_pixels_that_were_encoded(encoding, pixels, name):
    wire = WIRES[name]
    segment = encoded(pixels, Form.of(encoding, form_of(wire)))
    assert not segment.lossy
    np.testing.assert_array_equal(decode(segment, wire), wire.expected(pixels))


@pytest.mark.parametrize("encoding", Encoding, ids=lambda encoding: encoding.name)
@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize("colour_count", [2, 12, 60, 200, 0])
def test_every_form_survives_every_encoding(encoding, name, colour_count):
    wire = WIRES[name]
    pixels = picture(np.random.default_rng(colour_count), 75, 70, colour_count, "runs")
    segment = encoded(pixels, Form.of(encoding, form_of(wire)))
    np.testing.assert_array_equal(decode(segment, wire), wire.expected(pixels))


@pytest.mark.parametrize("encoding", [Encoding.ZLIB, Encoding.ZRLE], ids=lambda encoding: encoding.name)
@settings(max_examples=30, deadline=None)
@given(many=st.lists(pictures(), min_size=1, max_size=6))
def test_segments_in_any_order_are_one_zlib_stream_after_one_header(encoding, many):
    wire = WIRES["server's own"]
    inflater = zlib.decompressobj()
    for number, pixels in enumerate(many):
        segment = encoded(pixels, Form.of(encoding))
        head = segment_header(segment, opens_stream=number == 0)
        height, width = pixels.shape
        assert head[:12] == b"\0\0\0\0" + bytes((0, width, 0, height, 0, 0, 0, encoding))
        body = head[16:] + segment.body
        assert int.from_bytes(head[12:16], "big") == len(body)
        assert body.startswith(ZLIB_HEADER) or number
        assert segment.body.endswith(MARK)
        data = inflater.decompress(body)
        assert not inflater.eof
        assert not inflater.unconsumed_tail
        decoder = rfb_decoders.raw if encoding is Encoding.ZLIB else rfb_decoders.zrle
        np.testing.assert_array_equal(decoder(data, width, height, wire), pixels)


@settings(max_examples=30, deadline=None)
@given(many=st.lists(pictures(), min_size=1, max_size=6), streams=st.lists(st.integers(0, 3), min_size=6))
def test_tight_rectangles_decode_on_one_connection_whatever_streams_they_use(many, streams):
    wire = WIRES["server's own"]
    client = TightClient()
    for pixels, stream in zip(many, streams, strict=False):
        body, _ = tight.encode(pixels, Form.of(Encoding.TIGHT), stream)
        height, width = pixels.shape
        np.testing.assert_array_equal(client.decode(body, width, height, wire), pixels)


@pytest.mark.parametrize("encoding", [Encoding.TIGHT, Encoding.ZRLE], ids=lambda encoding: encoding.name)
def test_threads_that_encode_at_once_do_not_disturb_each_other(encoding):
    random = np.random.default_rng(3)
    many = [
        picture(random, 256, 128, count, "runs") for count in (1, 2, 5, 12, 16, 17, 40, 100, 256, 300)
    ] * 4
    with ThreadPoolExecutor(4) as pool:
        segments = list(pool.map(lambda pixels: encoded(pixels, Form.of(encoding)), many))
    for pixels, segment in zip(many, segments, strict=True):
        np.testing.assert_array_equal(decode(segment, WIRES["server's own"]), pixels)


def test_neighbouring_tight_rectangles_use_different_streams():
    pixels = picture(np.random.default_rng(0), 64, 64, 0, "pixels")
    form = Form.of(Encoding.TIGHT)

    def stream(x, y):
        return encoded(pixels, form, x, y).body[0] >> 4 & 3

    assert {stream(64 * column, 0) for column in range(4)} == {0, 1, 2, 3}
    assert {stream(0, 64 * row) for row in range(4)} == {0, 1, 2, 3}
    assert {stream(0, 256 * band) for band in range(4)} == {0, 1, 2, 3}


def test_a_solid_rectangle_is_one_pixel_in_tight():
    assert (
        encoded(np.full((64, 64), 0x123456, np.uint32), Form.of(Encoding.TIGHT)).body == b"\x80\x12\x34\x56"
    )


def test_small_content_is_sent_by_tight_without_zlib():
    body = encoded(np.array([[1, 2, 3]], np.uint32), Form.of(Encoding.TIGHT)).body
    assert body == bytes((0, 0, 0, 1, 0, 0, 2, 0, 0, 3))
    body = encoded(np.array([[1, 2, 1]] * 11, np.uint32), Form.of(Encoding.TIGHT)).body
    assert body == bytes((0x40, 1, 1, 0, 0, 1, 0, 0, 2)) + b"\x40" * 11


def test_a_rectangle_that_tight_cannot_carry_is_refused():
    form = Form.of(Encoding.TIGHT)
    for shape in [(1, 2049), (513, 1024)]:
        with pytest.raises(ValueError, match="too many"):
            encoded(np.zeros(shape, np.uint32), form)


@pytest.mark.parametrize("effort", range(4))
def test_the_largest_rectangle_of_noise_still_has_a_length_that_tight_can_write(effort):
    wire = WIRES["depth 32"]
    pixels = np.random.default_rng(0).integers(0, 1 << 24, (512, 1024), dtype=np.uint32)
    body, _ = tight.encode(pixels, Form(Encoding.TIGHT, form_of(wire), effort=effort))
    length = body[1] & 127 | (body[2] & 127) << 7 | body[3] << 14
    assert length == len(body) - 4
    assert zlib.decompressobj().decompress(body[4:]) == pixels.tobytes()


@pytest.mark.parametrize("colour_count", [2, 3, 24, 25, 200, 256, 257])
@pytest.mark.parametrize("encoding", [Encoding.TIGHT, Encoding.ZRLE], ids=lambda encoding: encoding.name)
@pytest.mark.parametrize("layout", ["sparse", "runs", "pixels"])
def test_colours_that_a_sample_misses_are_not_lost(colour_count, encoding, layout):
    wire = WIRES["noVNC"]
    pixels = picture(np.random.default_rng(colour_count), 256, 130, colour_count, layout)
    if layout == "sparse":
        pixels[1:] = pixels[0, 0]
        pixels[129, 255] ^= np.uint32(1)
    segment = encoded(pixels, Form.of(encoding, form_of(wire)))
    np.testing.assert_array_equal(decode(segment, wire), wire.expected(pixels))


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (10000, "904e"),
        (16383, "ff7f"),
        (16384, "808001"),
        (4194303, "ffffff"),
    ],
)
def test_compact_lengths(length, written):
    assert tight.compact_length(length).hex() == written


def photo(width=192, height=128) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    red, green, blue = 120 + 90 * np.sin(x / 31), 120 + 90 * np.cos(y / 23), x + y / 2
    return red.astype(np.uint32) << 16 | green.astype(np.uint32) << 8 | blue.astype(np.uint32) & 255


@pytest.mark.parametrize("level", range(10))
def test_a_photo_is_sent_as_jpeg_where_the_client_allows_it(level):
    wire = WIRES["noVNC"]
    pixels = photo()
    pixels[:, -1] = 0xFF0000
    segment = encoded(pixels, Form.of(Encoding.TIGHT, form_of(wire), quality_level=level))
    assert segment.lossy
    shown = decode(segment, wire).astype(int)
    meant = np.stack([pixels >> 16 & 255, pixels >> 8 & 255, pixels & 255], axis=-1).astype(int)
    assert np.abs(shown - meant)[:, :-16].mean() < 22 - 2 * level


def test_what_is_drawn_stays_exact_even_where_jpeg_is_allowed():
    pixels = picture(np.random.default_rng(5), 128, 128, 20, "pixels")
    segment = encoded(pixels, Form.of(Encoding.TIGHT, quality_level=0))
    assert not segment.lossy
    np.testing.assert_array_equal(decode(segment, WIRES["server's own"]), pixels)


def test_text_with_soft_edges_stays_exact_even_where_jpeg_is_allowed():
    pixels = picture(np.random.default_rng(5), 128, 128, 100, "sparse")
    assert not encoded(pixels, Form.of(Encoding.TIGHT, quality_level=9)).lossy
    pixels = picture(np.random.default_rng(5), 128, 128, 100, "pixels")
    assert encoded(pixels, Form.of(Encoding.TIGHT, quality_level=9)).lossy


def test_a_small_photo_stays_exact():
    segment = encoded(photo(30, 30), Form.of(Encoding.TIGHT, quality_level=9))
    assert not segment.lossy
    np.testing.assert_array_equal(decode(segment, WIRES["server's own"]), photo(30, 30))


def test_zrle_uses_every_kind_of_tile_that_it_has():
    random = np.random.default_rng(1)
    kinds = set()
    for colour_count in (1, 2, 4, 16, 40, 0):
        for layout in ("pixels", "runs"):
            pixels = picture(random, 64, 64, colour_count, layout)
            body = encoded(pixels, Form.of(Encoding.ZRLE)).body
            kind = zlib.decompressobj(-15).decompress(body)[0]
            kinds.add("runs" if kind > 128 else "packed" if kind > 2 else kind)
    assert kinds == {0, 1, 2, "packed", "runs"}


def test_hextile_leaves_out_a_background_that_the_client_has():
    body = encoded(np.full((16, 48), 5, np.uint32), Form.of(Encoding.HEXTILE)).body
    assert body == bytes((2, 5, 0, 0, 0, 0, 0))


@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=5000), effort=st.integers(0, 3))
def test_zlib_takes_the_place_of_isal_where_that_is_missing(data, effort):
    for deflate in (deflate_module.deflate, deflate_module._with_zlib):
        segment = deflate(data, effort)
        assert segment.endswith(MARK)
        inflater = zlib.decompressobj(-15)
        assert inflater.decompress(segment * 2) == data * 2
        assert not inflater.eof


def test_wishes_that_lead_to_the_same_bytes_share_one_form():
    big_endian = form_of(WIRES["big-endian"])
    assert Form.of(Encoding.TIGHT, SWAPPED) == Form.of(Encoding.TIGHT, big_endian) == Form.of(Encoding.TIGHT)
    assert Form.of(Encoding.ZRLE, SWAPPED) == Form.of(Encoding.ZRLE, big_endian) != Form.of(Encoding.ZRLE)
    assert Form.of(Encoding.RAW, SWAPPED) != Form.of(Encoding.RAW)
    assert Form.of(Encoding.ZLIB, quality_level=3, compress_level=4) == Form.of(Encoding.ZLIB)
    assert Form.of(Encoding.TIGHT, form_of(WIRES["BGR233"]), quality_level=3).jpeg_quality is None


@settings(max_examples=100, deadline=None)
@given(pixels=pictures(), name=st.sampled_from(sorted(WIRES)))
def test_a_shared_form_gives_the_same_bytes_as_the_clients_own(pixels, name):
    own = form_of(WIRES[name])
    for encoding in (Encoding.TIGHT, Encoding.ZRLE):
        # palettes of before may be used again, which gives other bytes for the same pixels
        palette_module._recent = ()
        shared = encoded(pixels, Form.of(encoding, own))
        palette_module._recent = ()
        assert encoded(pixels, Form(encoding, own)).body == shared.body
