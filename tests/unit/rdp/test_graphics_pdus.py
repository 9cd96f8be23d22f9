"""The PDUs of MS-RDPEGFX 2.2.2, field by field."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rdp_graphics import caps_advertise, client_pdu

from sidecar.encode.form import Codec
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.events import Monitor
from sidecar.rdp.graphics_pipeline import pdus
from sidecar.rdp.graphics_pipeline.capability_sets import CapabilitySet
from sidecar.screen.rectangle import Rectangle


@pytest.mark.parametrize(
    ("pdu", "expected"),
    [
        (
            pdus.caps_confirm(CapabilitySet(0x000A0502, b"\x20\0\0\0")),
            "1300 0000 14000000 02050a00 04000000 20000000",
        ),
        (
            pdus.caps_confirm(CapabilitySet(0x000A0100, bytes(16))),
            "1300 0000 20000000 00010a00 10000000" + "00" * 16,
        ),
        (pdus.create_surface(1, 1024, 768), "0900 0000 0f000000 0100 0004 0003 20"),
        (pdus.delete_surface(1), "0a00 0000 0a000000 0100"),
        (pdus.map_surface_to_output(0, 1, 2), "0f00 0000 14000000 0000 0000 01000000 02000000"),
        (
            pdus.map_surface_to_scaled_output(3, Rectangle(1, 2, 640, 480)),
            "1700 0000 1c000000 0300 0000 01000000 02000000 80020000 e0010000",
        ),
        (pdus.start_frame(5), "0b00 0000 10000000 00000000 05000000"),
        (pdus.end_frame(5), "0c00 0000 0c000000 05000000"),
        (
            pdus.wire_to_surface_1(0, Codec.CLEARCODEC, Rectangle(0x3A5, 0x2DE, 6, 9), 0xC9),
            "0100 0000 e2000000 0000 0800 20 a503 de02 ab03 e702 c9000000",
        ),
        (
            pdus.solid_fill(0, (1, 2, 3), [Rectangle(0, 0, 64, 64), Rectangle(64, 0, 1, 2)]),
            "0400 0000 20000000 0000 030201ff 0200 0000 0000 4000 4000 4000 0000 4100 0200",
        ),
        (
            pdus.surface_to_surface(0, Rectangle(0xC8, 0x3C, 0x1DC, 0x58), 1, [(0x80, 0x3C)]),
            "0500 0000 1a000000 0000 0100 c800 3c00 a402 9400 0100 8000 3c00",
        ),
        (pdus.empty_cache_import_reply(), "1100 0000 0a000000 0000"),
    ],
)
def test_server_pdus(pdu: bytes, expected: str) -> None:
    assert pdu == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("codec", "number"),
    [(Codec.UNCOMPRESSED, 0), (Codec.CLEARCODEC, 8), (Codec.PLANAR, 10), (Codec.AVC420, 11)],
)
def test_codec_numbers(codec: Codec, number: int) -> None:
    pdu = pdus.wire_to_surface_1(1, codec, Rectangle(0, 0, 64, 64), 4)
    assert struct.unpack_from("<H", pdu, 10) == (number,)


def test_codecs_of_bitmap_updates_are_not_of_the_graphics_pipeline() -> None:
    with pytest.raises(KeyError):
        pdus.wire_to_surface_1(1, Codec.BITMAP_RAW, Rectangle(0, 0, 64, 64), 4)


MONITORS = (
    Monitor(Rectangle(0, 0, 1920, 1080), primary=True),
    Monitor(Rectangle(-1024, 8, 1024, 768), primary=False),
)


def test_a_reset_has_340_bytes_whatever_it_holds() -> None:
    pdu = pdus.reset_graphics(2944, 1080, MONITORS)
    head = bytes.fromhex(
        "0e00 0000 54010000 800b0000 38040000 02000000"
        "00000000 00000000 7f070000 37040000 01000000"
        "00fcffff 08000000 ffffffff 07030000 00000000"
    )
    assert pdu == head + bytes(340 - len(head))
    assert len(pdus.reset_graphics(640, 480, MONITORS[:1])) == 340


def test_a_reset_names_at_most_16_monitors() -> None:
    pdu = pdus.reset_graphics(1920, 1080, MONITORS[:1] * 17)
    assert len(pdu) == 340
    assert struct.unpack_from("<I", pdu, 16) == (16,)


def test_client_pdus() -> None:
    message = (
        caps_advertise((0x00080004, bytes(4)), (0x000A0100, bytes(16)))
        + client_pdu(0x16, bytes(12))
        + client_pdu(0x0D, struct.pack("<III", 7, 8, 9))
        + client_pdu(0x10, struct.pack("<HQI", 1, 2, 3))
        + client_pdu(0x7777, b"later")
        + client_pdu(0x18)
    )
    assert list(pdus.read_client_pdus(message)) == [
        pdus.CapsAdvertise((CapabilitySet(0x00080004, bytes(4)), CapabilitySet(0x000A0100, bytes(16)))),
        pdus.FrameAcknowledge(7, 8, 9),
        pdus.CacheImportOffer.OFFER,
    ]


def test_an_empty_message_holds_no_pdu() -> None:
    assert list(pdus.read_client_pdus(b"")) == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x0d", Reason.TRUNCATED),
        (client_pdu(0x0D, bytes(12))[:-1], Reason.TRUNCATED),
        (struct.pack("<HHI", 0x0D, 0, 7), Reason.MALFORMED),
        (struct.pack("<HHI", 0x7777, 0, 0), Reason.MALFORMED),
        (struct.pack("<HHI", 0x7777, 0, 0xFFFFFFFF), Reason.TRUNCATED),
        (client_pdu(0x0D, bytes(11)), Reason.TRUNCATED),
        (client_pdu(0x0D, bytes(13)), Reason.TRAILING),
        (client_pdu(0x12, b"\x01"), Reason.TRUNCATED),
        (client_pdu(0x12, struct.pack("<HII", 1, 0x00080004, 4)), Reason.TRUNCATED),
        (client_pdu(0x12, struct.pack("<HII", 1, 0x00080004, 0xFFFFFFFF)), Reason.TRUNCATED),
        (client_pdu(0x12, struct.pack("<HIII", 1, 0x00080004, 4, 0) + b"x"), Reason.TRAILING),
        (client_pdu(0x12, b"\x41\0" + bytes(65 * 8)), Reason.OVERSIZED),
    ],
)
def test_broken_client_pdus_are_refused(message: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        list(pdus.read_client_pdus(message))
    assert caught.value.reason is reason


@given(st.binary(max_size=80))
def test_any_bytes_are_understood_or_refused(message: bytes) -> None:
    try:
        found = list(pdus.read_client_pdus(message))
    except RemoteError:
        return
    assert len(found) <= len(message) // 8
