"""The decoders that judge the encoders are judged by the specifications' own bytes."""

import pytest
from support import rdp_decoders

# MS-RDPEGFX 4.1.1.1, example 2
TEXT = bytes.fromhex(
    "00 0d 00 00 00 00 00 00 00 00 82 00 00 00 00 00 00 00 4e 00 11 00 75 00 00 00 02 0e ff ff ff 00"
    "00 00 db ff ff 00 3a 90 ff b6 66 66 b6 ff b6 66 00 90 db ff 00 00 3a db 90 3a 3a 90 db 66 00 00"
    "ff ff b6 64 64 64 11 04 11 4c 11 4c 11 4c 11 4c 11 4c 00 47 13 00 01 01 04 00 01 00 00 47 16 00"
    "11 02 00 47 29 00 11 01 00 49 0a 00 01 00 04 00 01 00 00 4a 0a 00 09 00 01 00 00 47 05 00 01 01"
    "1c 00 01 00 11 4c 11 4c 11 4c 00 47 0d 4d 00 4d"
)

# MS-RDPEGFX 4.1.1.1, example 4: one band with short bars, and bars of the cache
BAND = bytes.fromhex(
    "00 00 00 00 46 00 00 00 00 00 00 00 00 00 06 00 00 00 0e 00 00 00 00 00 0f ff ff ff"
    "ff ff ff ff ff ff b6 ff ff ff ff ff ff ff ff ff b6 66 ff ff ff ff ff ff ff b6 66 db 90 3a ff ff"
    "b6 ff ff ff ff ff ff ff ff ff 46 91 47 91 48 91 49 91 4a 91 1b 91"
)


def test_rlex_of_the_specification():
    decoder = rdp_decoders.ClearCodec()
    decoder.next_sequence_number = 0x0D
    picture = decoder.decode(TEXT, 78, 17)
    white, black, grey = 0xFFFFFF, 0, 0x646464
    assert picture[0].tolist() == [white] * 5 + [black] + [white] * 72
    assert (picture[:15, 5] == black).all()
    assert (picture[:15, 6:] == white).all()
    assert (picture[15] == grey).all()
    assert (picture[16] == white).all()
    assert picture[8, :3].tolist() == [0xFFDB90, 0x3A0000, 0x3A90DB]


def test_bars_of_the_specification():
    decoder = rdp_decoders.ClearCodec()
    for index in (0x1146, 0x1147, 0x1148, 0x1149, 0x114A, 0x111B):
        decoder.bars[index] = [index] * 15
    picture = decoder.decode_payload(BAND, 7, 15)
    assert picture[:, 1:].tolist() == [[0x1146, 0x1147, 0x1148, 0x1149, 0x114A, 0x111B]] * 15
    ink = {3: 0xFFFFB6, 6: 0x66B6FF, 9: 0x66B6FF, 10: 0x3A90DB, 11: 0xB6FFFF}
    assert picture[:, 0].tolist() == [ink.get(row, 0xFFFFFF) for row in range(15)]
    assert decoder.bars[0] == picture[:, 0].tolist()


def test_every_order_of_interleaved_rle():
    data = bytes.fromhex(
        "02"  # background: black, black
        "62 0500"  # a run of a colour
        "fd fe"  # white, black
        "c2 0300"  # foreground set, a run of it
        "02"  # the second row: background
        "01"  # and again, which draws a foreground pixel
        "22"  # foreground
        "e1 0700 0800"  # dithered
        "81 0900"  # a colour image
    )
    picture = rdp_decoders.interleaved(data, 8, 2, 16)
    assert picture[1].tolist() == [0, 0, 5, 5, 0xFFFF, 0, 3, 3]
    assert picture[0].tolist() == [0, 0, 5 ^ 3, 5 ^ 3, 0xFFFF ^ 3, 7, 8, 9]


def test_masks_of_interleaved_rle():
    data = bytes.fromhex("68 0f00" + "d1 ff00 0f" + "41 f0" + "f9" + "fa" + "40 02 02" + "f2 0500 ff")
    picture = rdp_decoders.interleaved(data, 8, 6, 16)[::-1]
    assert picture[0].tolist() == [15] * 8
    assert picture[1].tolist() == [15 ^ 255] * 4 + [15] * 4
    assert picture[2].tolist() == [15 ^ 255] * 8
    assert picture[3].tolist() == [15] * 2 + [15 ^ 255] * 6
    assert picture[4].tolist() == [15 ^ 255, 15, 15, *[15 ^ 255] * 5]
    assert picture[5].tolist() == [15 ^ 255, 15 ^ 255, 15, 15, 15, 15, 15, 15]


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (rdp_decoders.planar, b"\x30\x01"),
        (rdp_decoders.planar, b"\x20" + bytes(12)),
        (rdp_decoders.planar, b"\x30" + b"\x04" * 3 + b"\0"),
        (lambda data, width, height: rdp_decoders.interleaved(data, width, height, 16), b"\x05"),
        (lambda data, width, height: rdp_decoders.interleaved(data, width, height, 16), b"\x02"),
        (lambda data, width, height: rdp_decoders.raw_bitmap(data, width, height, 16), bytes(15)),
        (rdp_decoders.ClearCodec().decode_payload, bytes(12)),
        (rdp_decoders.ClearCodec().decode_payload, b"\x04" + bytes(11) + b"\0\0\0\x03"),
        (rdp_decoders.ClearCodec().decode_payload, b"\x04" + bytes(11) + b"\0\0\0\x05"),
        (rdp_decoders.ClearCodec().decode_payload, b"\x04" + bytes(11) + b"\0\0\0\x04\0"),
    ],
)
def test_decoders_refuse_what_a_strict_client_may_refuse(decode, data):
    with pytest.raises(AssertionError):
        decode(data, 4, 1)
