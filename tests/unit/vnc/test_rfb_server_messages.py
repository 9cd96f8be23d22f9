"""Every server to client message, byte for byte."""

import pytest

from sidecar.encode.form import Encoding, Segment
from sidecar.encode.pixel_form import PixelForm
from sidecar.guest import Led
from sidecar.screen.rectangle import Rectangle
from sidecar.vnc import messages
from sidecar.vnc.capabilities import LedKind
from sidecar.vnc.events import Screen
from sidecar.vnc.wire import FenceFlag, PseudoEncoding, ResizeReason, ResizeStatus, XvpCode

SCREEN = Screen(1, Rectangle(0, 0, 1024, 768))


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (messages.update_header(3), "00 00 0003"),
        (messages.update_header(messages.UNTIL_LAST_RECT), "00 00 ffff"),
        (messages.rectangle_header(1, 2, 3, 4, Encoding.ZRLE), "0001 0002 0003 0004 00000010"),
        (messages.copy_rect(Rectangle(1, 2, 3, 4), 5, 6), "0001 0002 0003 0004 00000001 0005 0006"),
        (messages.last_rect(), "0000 0000 0000 0000 ffffff20"),
        (messages.desktop_size(1024, 768), "00 00 0001 0000 0000 0400 0300 ffffff21"),
        (
            messages.extended_desktop_size(1024, 768, [SCREEN]),
            "00 00 0001 0000 0000 0400 0300 fffffecc 01 00000000000001 0000 0000 0400 0300 00000000",
        ),
        (
            messages.extended_desktop_size(
                1024, 768, [SCREEN], ResizeReason.THIS_CLIENT, ResizeStatus.REQUEST_FORWARDED
            ),
            "00 00 0001 0001 0004 0400 0300 fffffecc 01 00000000000001 0000 0000 0400 0300 00000000",
        ),
        (
            messages.desktop_name("vm \u2013"),
            "00 00 0001 0000 0000 0000 0000 fffffecd 00000006 766d20e28093",
        ),
        (messages.leds(LedKind.QEMU, Led.CAPS), "00 00 0001 0000 0000 0001 0001 fffffefb 04"),
        (
            messages.leds(LedKind.VMWARE, Led.NUM | Led.SCROLL),
            "00 00 0001 0000 0000 0000 0000 574d5668 00000003",
        ),
        (messages.leds(LedKind.LIBVNC, Led.NUM), "00 00 0001 0002 0000 0000 0000 fffe0000"),
        (
            messages.pointer_mode(is_absolute=True, width=640, height=480),
            "00 00 0001 0001 0000 0280 01e0 fffffeff",
        ),
        (
            messages.pointer_mode(is_absolute=False, width=640, height=480),
            "00 00 0001 0000 0000 0280 01e0 fffffeff",
        ),
        (
            messages.acknowledgement(PseudoEncoding.QEMU_EXTENDED_KEY_EVENT),
            "00 00 0001 0000 0000 0000 0000 fffffefe",
        ),
        (
            messages.acknowledgement(PseudoEncoding.EXTENDED_MOUSE_BUTTONS),
            "00 00 0001 0000 0000 0000 0000 fffffec4",
        ),
        (
            messages.acknowledgement(PseudoEncoding.QEMU_AUDIO),
            "00 00 0001 0000 0000 0000 0000 fffffefd",
        ),
        (messages.fence(FenceFlag.REQUEST | FenceFlag.SYNC_NEXT, b"ab"), "f8 000000 80000004 02 6162"),
        (messages.fence(FenceFlag(0)), "f8 000000 00000000 00"),
        (messages.end_of_continuous_updates(), "96"),
        (messages.bell(), "02"),
        (messages.server_cut_text("\u00e4\r\n\u20ac"), "03 000000 00000003 e40a3f"),
        (messages.extended_clipboard(bytes.fromhex("08000001")), "03 000000 fffffffc 08000001"),
        (messages.xvp(XvpCode.INIT), "fa 00 01 01"),
        (messages.xvp(XvpCode.FAIL), "fa 00 01 00"),
        (messages.audio_begin(), "ff 01 0001"),
        (messages.audio_end(), "ff 01 0000"),
        (messages.audio_data(b"\x01\x02\x03\x04"), "ff 01 0002 00000004 01020304"),
    ],
)
def test_a_message_is_written_as_specified(message: bytes, wire: str) -> None:
    assert message == bytes.fromhex(wire)


def test_the_colour_map_has_256_entries_that_spell_out_3_3_2_bits() -> None:
    message = messages.set_colour_map_entries(PixelForm.indexed())
    assert message[:6] == bytes.fromhex("01 00 0000 0100")
    entries = [message[start : start + 6].hex() for start in range(6, len(message), 6)]
    assert len(entries) == 256
    assert entries[0] == "000000000000"
    assert entries[0b00000111] == "ffff00000000"
    assert entries[0b00111000] == "0000ffff0000"
    assert entries[0b11000000] == "00000000ffff"
    assert entries[0b11111111] == "ffffffffffff"


def test_what_is_too_long_for_a_message_is_not_written() -> None:
    assert len(messages.fence(FenceFlag(0), bytes(64))) == 73
    with pytest.raises(ValueError, match="64 bytes"):
        messages.fence(FenceFlag(0), bytes(65))
    with pytest.raises(ValueError, match="too much"):
        messages.audio_data(bytes(messages.MAX_AUDIO_DATA + 1))


def test_an_update_holds_its_segments_one_after_the_other() -> None:
    segments = [
        Segment(Rectangle(0, 0, 1, 1), Encoding.RAW, b"raw!"),
        Segment(Rectangle(1, 0, 1, 1), Encoding.TIGHT, b"tight"),
    ]
    assert messages.update_message(segments, stream_begun=False) == (
        bytes.fromhex("00 00 0002 0000 0000 0001 0001 00000000")
        + b"raw!"
        + bytes.fromhex("0001 0000 0001 0001 00000007")
        + b"tight"
    )


@pytest.mark.parametrize("encoding", [Encoding.ZLIB, Encoding.ZRLE])
def test_only_the_first_segment_of_a_connection_opens_its_zlib_stream(encoding: Encoding) -> None:
    segments = [Segment(Rectangle(x, 0, 1, 1), encoding, b"body") for x in (0, 1)]
    fresh = messages.update_message(segments, stream_begun=False)
    later = messages.update_message(segments, stream_begun=True)
    assert fresh[16:] == b"\0\0\0\x06\x78\x01body" + later[24:]
    assert later[16:24] == b"\0\0\0\x04body"


def test_rectangles_beyond_the_counter_go_into_another_update() -> None:
    segment = Segment(Rectangle(0, 0, 1, 1), Encoding.RAW, b"raw!")
    message = messages.update_message([segment] * 0xFFFF, stream_begun=False)
    assert message[:4] == bytes.fromhex("00 00 fffe")
    assert message[4 + 16 * 0xFFFE :][:4] == bytes.fromhex("00 00 0001")
