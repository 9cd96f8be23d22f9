"""The listener, driven by a test double of QEMU: what the real one sends, and what it never should."""

import asyncio
import fcntl
import os
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from dbus_fast import Message, MessageFlag
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import Listening
from qemu_side import X8R8G8B8, message

from sidecar.guest import ConsoleChange
from sidecar.qemu import listener
from sidecar.qemu.display import Display
from sidecar.qemu.errors import CallRefused
from sidecar.qemu.listener import DISPLAY_OFF, DMABUF2, LISTENER, MAX_PIXELS, UNIX_MAP, Listener
from sidecar.screen.surface import MAX_EDGE, Pixels


def picture(width: int, height: int, seed: int = 1) -> Pixels:
    return np.random.default_rng(seed).integers(0, 1 << 24, (height, width), np.uint32)


def scanout(pixels: Pixels) -> tuple[Any, ...]:
    height, width = pixels.shape
    return "Scanout", "uuuuay", width, height, 4 * width, X8R8G8B8, pixels.tobytes()


def update(x: int, y: int, pixels: Pixels) -> tuple[Any, ...]:
    height, width = pixels.shape
    return "Update", "iiiiuuay", x, y, width, height, 4 * width, X8R8G8B8, pixels.tobytes()


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = os.memfd_create("display")
    yield descriptor
    os.close(descriptor)


# what QEMU asks


async def test_shared_memory_is_offered_and_nothing_else(listening: Listening) -> None:
    answer = await listening.qemu.ask("GetAll", "s", LISTENER, interface="org.freedesktop.DBus.Properties")
    assert {name: variant.value for name, variant in answer[0].items()} == {"Interfaces": [UNIX_MAP]}
    answer = await listening.qemu.ask(
        "Get", "ss", LISTENER, "Interfaces", interface="org.freedesktop.DBus.Properties"
    )
    assert answer[0].value == [UNIX_MAP]


async def test_an_interface_without_properties_has_none(listening: Listening) -> None:
    answer = await listening.qemu.ask("GetAll", "s", UNIX_MAP, interface="org.freedesktop.DBus.Properties")
    assert answer == [{}]


async def test_properties_that_do_not_exist_are_refused(listening: Listening) -> None:
    for member, signature, body in [("Get", "ss", [LISTENER, "Nothing"]), ("GetAll", "u", [1])]:
        with pytest.raises(CallRefused):
            await listening.qemu.ask(member, signature, *body, interface="org.freedesktop.DBus.Properties")


# pixels in messages


async def test_a_scanout_of_another_size_is_a_new_frame(listening: Listening) -> None:
    pixels = picture(100, 70)
    await listening.qemu.tell(*scanout(pixels))
    await listening.settle()
    assert np.array_equal(listening.pixels, pixels)
    assert listening.changes == [ConsoleChange.RESIZE]


async def test_a_scanout_of_the_same_size_is_damage_and_the_same_again_is_nothing(
    listening: Listening,
) -> None:
    await listening.qemu.tell(*scanout(picture(100, 70)))
    await listening.settle()
    frame = listening.display.surface.frame
    await listening.qemu.tell(*scanout(picture(100, 70, seed=2)))
    await listening.settle()
    await listening.qemu.tell(*scanout(picture(100, 70, seed=2)))
    await listening.settle()
    assert listening.display.surface.frame is frame
    assert np.array_equal(listening.pixels, picture(100, 70, seed=2))
    assert listening.changes == [ConsoleChange.RESIZE, ConsoleChange.DAMAGE]


async def test_an_update_changes_its_place_only(listening: Listening) -> None:
    expected = picture(100, 70)
    await listening.qemu.tell(*scanout(expected))
    await listening.qemu.tell(*update(33, 5, picture(20, 10, seed=2)))
    await listening.settle()
    expected[5:15, 33:53] = picture(20, 10, seed=2)
    assert np.array_equal(listening.pixels, expected)


async def test_an_update_beyond_the_edge_makes_the_screen_grow(listening: Listening) -> None:
    await listening.qemu.tell(*scanout(picture(64, 48)))
    await listening.settle()
    await listening.qemu.tell(*update(0, 10, picture(72, 16, seed=2)))
    await listening.settle()
    assert listening.pixels.shape == (48, 72)
    assert np.array_equal(listening.pixels[:10, :64], picture(64, 48)[:10])
    assert np.array_equal(listening.pixels[10:26], picture(72, 16, seed=2))
    assert listening.changes == [ConsoleChange.RESIZE, ConsoleChange.RESIZE]


async def test_an_announced_size_crops_and_keeps_the_picture(listening: Listening) -> None:
    await listening.qemu.tell(*scanout(picture(64, 48)))
    await listening.settle()
    listening.listener.announce_size(72, 40)
    assert listening.pixels.shape == (40, 72)
    assert np.array_equal(listening.pixels[:, :64], picture(64, 48)[:40])
    listening.listener.announce_size(0, 40)
    listening.listener.announce_size(40, MAX_EDGE + 1)
    listening.listener.announce_size(MAX_EDGE, MAX_EDGE)
    assert listening.pixels.shape == (40, 72)


async def test_an_announcement_older_than_the_picture_costs_nothing_of_it(listening: Listening) -> None:
    expected = picture(100, 70)
    await listening.qemu.tell(*scanout(expected))
    await listening.settle()
    listening.listener.announce_size(64, 48)
    assert np.array_equal(listening.pixels, expected[:48, :64])
    expected[5:15, 33:53] = picture(20, 10, seed=2)
    await listening.qemu.tell(*update(33, 5, picture(20, 10, seed=2)))
    await listening.settle()
    listening.listener.announce_size(40, 60)
    listening.listener.announce_size(100, 70)
    assert np.array_equal(listening.pixels, expected)


async def test_an_update_beyond_an_older_announcement_shows_what_that_had_cut_off(
    listening: Listening,
) -> None:
    expected = picture(100, 70)
    await listening.qemu.tell(*scanout(expected))
    await listening.settle()
    listening.listener.announce_size(64, 48)
    await listening.qemu.tell(*update(80, 60, picture(20, 10, seed=2)))
    await listening.settle()
    expected[60:70, 80:100] = picture(20, 10, seed=2)
    assert np.array_equal(listening.pixels, expected)


async def test_what_was_cut_off_is_forgotten_with_the_next_picture(listening: Listening) -> None:
    await listening.qemu.tell(*scanout(picture(100, 70)))
    await listening.settle()
    listening.listener.announce_size(64, 48)
    await listening.qemu.tell(*scanout(picture(64, 48, seed=2)))
    await listening.settle()
    listening.listener.announce_size(100, 70)
    assert np.array_equal(listening.pixels[:48, :64], picture(64, 48, seed=2))
    assert not listening.pixels[48:].any()
    assert not listening.pixels[:, 64:].any()


async def test_memory_of_what_was_cut_off_is_let_go_after_a_while(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LATEST", 0.0)
    await listening.qemu.tell(*scanout(picture(100, 70)))
    await listening.settle()
    before = weakref.ref(listening.pixels)
    listening.listener.announce_size(64, 48)
    assert before() is not None
    async with asyncio.timeout(30):
        while before() is not None:
            await asyncio.sleep(0.01)


async def test_a_listener_that_has_ended_keeps_nothing_that_was_cut_off(listening: Listening) -> None:
    await listening.qemu.tell(*scanout(picture(100, 70)))
    await listening.settle()
    before = weakref.ref(listening.pixels)
    listening.listener.announce_size(64, 48)
    listening.listener.close()
    assert before() is None


async def test_several_changes_are_told_at_once(listening: Listening) -> None:
    await listening.qemu.tell(*scanout(picture(64, 48)))
    await listening.qemu.tell(*update(0, 0, picture(5, 5, seed=2)))
    await listening.qemu.tell("MouseSet", "iii", 3, 4, 1)
    await listening.settle()
    both = ConsoleChange.RESIZE | ConsoleChange.DAMAGE | ConsoleChange.CURSOR_POSITION
    assert listening.changes == [both]


async def test_a_display_that_is_off_says_so_on_black(listening: Listening) -> None:
    await listening.qemu.tell(*scanout(np.full((200, 700), 0xFF0000, np.uint32)))
    await listening.qemu.ask("Disable", "")
    assert not (listening.pixels == 0xFF0000).any()
    assert listening.pixels.any(), DISPLAY_OFF
    await listening.qemu.tell(*scanout(picture(700, 200)))
    await listening.settle()
    assert np.array_equal(listening.pixels, picture(700, 200))


# pixels in shared memory


@pytest.mark.parametrize("sealed", [False, True])
async def test_shared_memory_is_shown_with_padding_and_offset(
    listening: Listening, memory: int, sealed: bool
) -> None:
    expected = picture(130, 150)
    padded = np.zeros((150, 140), np.uint32)
    padded[:, :130] = expected
    os.write(memory, b"\xff" * 52 + padded.tobytes())
    if sealed:
        # what is sealed by whoever made it cannot be undone: it is mapped
        descriptor = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
        os.write(descriptor, b"\xff" * 52 + padded.tobytes())
        seal(descriptor)
    else:
        descriptor = os.dup(memory)
    await listening.qemu.scanout_map(descriptor, 130, 150, 560, offset=52)
    await listening.settle()
    os.close(descriptor)
    assert np.array_equal(listening.pixels, expected)
    assert listening.changes == [ConsoleChange.RESIZE]


def seal(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)


async def test_only_the_damaged_part_of_shared_memory_is_read(listening: Listening, memory: int) -> None:
    os.write(memory, picture(128, 128).tobytes())
    await listening.qemu.scanout_map(memory, 128, 128, 512)
    await listening.settle()
    other = picture(128, 128, seed=2)
    os.pwrite(memory, other.tobytes(), 0)
    await listening.qemu.tell("UpdateMap", "iiii", 10, 60, 20, 8, interface=UNIX_MAP)
    await listening.settle()
    expected = picture(128, 128)
    expected[60:68, 10:30] = other[60:68, 10:30]
    assert np.array_equal(listening.pixels, expected)
    assert listening.changes == [ConsoleChange.RESIZE, ConsoleChange.DAMAGE]


async def test_rows_of_text_and_scattered_updates_are_all_shown(listening: Listening, memory: int) -> None:
    os.write(memory, bytes(4 * 320 * 400))
    await listening.qemu.scanout_map(memory, 320, 400, 1280)
    await listening.settle()
    expected = picture(320, 400)
    os.pwrite(memory, expected.tobytes(), 0)
    for y in range(0, 400, 16):
        await listening.qemu.tell("UpdateMap", "iiii", 0, y, 320, 16, interface=UNIX_MAP)
    await listening.settle()
    assert np.array_equal(listening.pixels, expected)
    expected = picture(320, 400, seed=2)
    os.pwrite(memory, expected.tobytes(), 0)
    for number in range(400):
        x, y = number % 16 * 20, number // 16 * 16
        await listening.qemu.tell("UpdateMap", "iiii", x, y, 20, 16, interface=UNIX_MAP)
    await listening.settle()
    assert np.array_equal(listening.pixels, expected)


async def test_an_update_outside_shared_memory_is_cut_off(listening: Listening, memory: int) -> None:
    os.write(memory, picture(64, 64).tobytes())
    await listening.qemu.scanout_map(memory, 64, 64, 256)
    for area in [(-5, -5, 100, 100), (64, 64, 5, 5), (0, 0, -1, 5), (2**31 - 1, 0, 2**31 - 1, 1)]:
        await listening.qemu.tell("UpdateMap", "iiii", *area, interface=UNIX_MAP)
    await listening.settle()
    assert np.array_equal(listening.pixels, picture(64, 64))


async def test_pixels_change_from_memory_to_messages_and_back(listening: Listening, memory: int) -> None:
    os.write(memory, picture(64, 64).tobytes())
    await listening.qemu.scanout_map(memory, 64, 64, 256)
    await listening.qemu.tell(*scanout(picture(32, 16, seed=2)))
    await listening.settle()
    assert np.array_equal(listening.pixels, picture(32, 16, seed=2))
    with pytest.raises(CallRefused):
        await listening.qemu.ask("UpdateMap", "iiii", 0, 0, 5, 5, interface=UNIX_MAP)
    await listening.qemu.scanout_map(memory, 64, 64, 256)
    await listening.settle()
    assert np.array_equal(listening.pixels, picture(64, 64))


async def test_an_update_in_a_message_ends_shared_memory_at_the_announced_size(
    listening: Listening, memory: int
) -> None:
    os.write(memory, picture(64, 64).tobytes())
    await listening.qemu.scanout_map(memory, 64, 64, 256)
    await listening.settle()
    listening.listener.announce_size(80, 32)
    assert listening.pixels.shape == (64, 64)
    await listening.qemu.tell(*update(0, 0, picture(80, 4, seed=2)))
    await listening.settle()
    assert listening.pixels.shape == (32, 80)


async def test_memory_that_shrinks_costs_its_picture_only(listening: Listening, memory: int) -> None:
    os.write(memory, picture(64, 64).tobytes())
    await listening.qemu.scanout_map(memory, 64, 64, 256)
    await listening.settle()
    os.ftruncate(memory, 100)
    await listening.qemu.tell("UpdateMap", "iiii", 0, 0, 64, 64, interface=UNIX_MAP)
    await listening.settle()
    assert np.array_equal(listening.pixels, picture(64, 64))
    await listening.qemu.tell(*scanout(picture(20, 20, seed=2)))
    await listening.settle()
    assert np.array_equal(listening.pixels, picture(20, 20, seed=2))


async def test_memory_that_is_no_file_or_too_small_is_refused_so_that_qemu_copies(
    listening: Listening, memory: int
) -> None:
    reading, writing = os.pipe()
    os.ftruncate(memory, 64 * 256 - 1)
    for descriptor, arguments in [
        (reading, (64, 64, 256)),
        (memory, (64, 64, 256)),
        (memory, (64, 64, 255)),
        (memory, (0, 64, 256)),
        (memory, (MAX_EDGE + 1, 1, 4 * MAX_EDGE + 4)),
    ]:
        with pytest.raises(CallRefused):
            await listening.qemu.scanout_map(descriptor, *arguments)
    with pytest.raises(CallRefused):
        await listening.qemu.ask("ScanoutMap", "huuuuu", 0, 0, 8, 8, 32, X8R8G8B8, interface=UNIX_MAP)
    os.close(reading)
    os.close(writing)


async def test_memory_is_let_go_when_the_listener_ends(listening: Listening, memory: int) -> None:
    os.write(memory, bytes(64 * 256))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await listening.qemu.scanout_map(memory, 64, 64, 256)
    await listening.settle()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    await listening.qemu.ask("Disable", "")
    assert len(os.listdir("/proc/self/fd")) == before


# pixels on the graphics card


async def test_pictures_on_the_graphics_card_are_refused_at_once_and_explained(
    listening: Listening, memory: int
) -> None:
    with pytest.raises(CallRefused, match="NotSupported"):
        await listening.qemu.ask(
            "ScanoutDMABUF", "huuuutb", 0, 64, 64, 256, 0x34325258, 0, False, fds=[memory]
        )
    assert listening.pixels.any()
    for member, signature, body, interface in [
        ("UpdateDMABUF", "iiii", (0, 0, 5, 5), LISTENER),
        (
            "ScanoutDMABUF2",
            "ahuuuuauauuuuutb",
            ([0], 0, 0, 8, 8, [0], [32], 1, 0x34325258, 8, 8, 0, False),
            DMABUF2,
        ),
    ]:
        with pytest.raises(CallRefused, match="NotSupported"):
            await listening.qemu.ask(member, signature, *body, interface=interface, fds=[memory])


# the pointer


async def test_a_pointer_is_defined_moved_and_hidden(listening: Listening) -> None:
    words = np.array([[0x80112233, 0xFF445566]], np.uint32)
    await listening.qemu.tell("CursorDefine", "iiiiay", 2, 1, 1, 0, words.tobytes())
    await listening.qemu.tell("MouseSet", "iii", 10, 20, 1)
    await listening.settle()
    display = listening.display
    assert display.cursor is not None
    assert np.array_equal(display.cursor.pixels, words)
    assert (display.cursor.hot_x, display.cursor.hot_y) == (1, 0)
    assert display.cursor_visible
    assert display.cursor_position == (11, 20)
    await listening.qemu.tell("MouseSet", "iii", 10, 20, 0)
    await listening.settle()
    assert not display.cursor_visible
    assert listening.changes == [
        ConsoleChange.CURSOR_SHAPE | ConsoleChange.CURSOR_POSITION,
        ConsoleChange.CURSOR_POSITION,
    ]


async def test_a_pointer_that_is_too_large_keeps_the_part_with_its_hot_spot(listening: Listening) -> None:
    words = picture(400, 300)
    await listening.qemu.tell("CursorDefine", "iiiiay", 400, 300, 300, 10, words.tobytes())
    await listening.settle()
    cursor = listening.display.cursor
    assert cursor is not None
    assert cursor.pixels.shape == (256, 256)
    assert cursor.pixels[cursor.hot_y, cursor.hot_x] == words[10, 300]


async def test_a_hot_spot_outside_is_moved_inside(listening: Listening) -> None:
    await listening.qemu.tell("CursorDefine", "iiiiay", 8, 8, -3, 99, bytes(256))
    await listening.settle()
    cursor = listening.display.cursor
    assert cursor is not None
    assert (cursor.hot_x, cursor.hot_y) == (0, 7)


# what no QEMU sends

HOSTILE = [
    ("Scanout", "uuuuay", (64, 64, 256, X8R8G8B8, bytes(64 * 256 - 1))),
    ("Scanout", "uuuuay", (64, 64, 255, X8R8G8B8, bytes(64 * 256))),
    ("Scanout", "uuuuay", (64, 64, 256, 0x12345678, bytes(64 * 256))),
    ("Scanout", "uuuuay", (0, 0, 0, X8R8G8B8, b"")),
    ("Scanout", "uuuuay", (2**32 - 1, 2**32 - 1, 2**32 - 1, X8R8G8B8, b"x")),
    ("Scanout", "uuu", (64, 64, 256)),
    ("Update", "iiiiuuay", (-1, 0, 4, 4, 16, X8R8G8B8, bytes(64))),
    ("Update", "iiiiuuay", (0, -1, 4, 4, 16, X8R8G8B8, bytes(64))),
    ("Update", "iiiiuuay", (0, 0, -4, 4, 16, X8R8G8B8, bytes(64))),
    ("Update", "iiiiuuay", (MAX_EDGE - 3, 0, 4, 4, 16, X8R8G8B8, bytes(64))),
    ("Update", "iiiiuuay", (MAX_EDGE - 4, MAX_EDGE - 4, 4, 4, 16, X8R8G8B8, bytes(64))),
    ("Update", "iiiiuuay", (2**31 - 1, 2**31 - 1, 4, 4, 16, X8R8G8B8, bytes(64))),
    ("Update", "iiiiuuay", (0, 0, 4, 4, 16, X8R8G8B8, bytes(63))),
    ("CursorDefine", "iiiiay", (8, 8, 0, 0, bytes(255))),
    ("CursorDefine", "iiiiay", (8, 8, 0, 0, bytes(257))),
    ("CursorDefine", "iiiiay", (-8, -8, 0, 0, bytes(256))),
    ("CursorDefine", "iiiiay", (0, 0, 0, 0, b"")),
    ("CursorDefine", "iiiiay", (2**31 - 1, 2**31 - 1, 0, 0, b"")),
    ("NoSuchMethod", "", ()),
    ("Disable", "u", (1,)),
]


@pytest.mark.parametrize(("member", "signature", "body"), HOSTILE)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    listening: Listening, member: str, signature: str, body: tuple[Any, ...]
) -> None:
    await listening.qemu.tell(*scanout(picture(64, 64)))
    await listening.settle()
    with pytest.raises(CallRefused):
        await listening.qemu.ask(member, signature, *body)
    await listening.qemu.tell(member, signature, *body)
    await listening.settle()
    assert np.array_equal(listening.pixels, picture(64, 64))
    assert listening.display.cursor is None
    assert listening.changes == [ConsoleChange.RESIZE]


async def test_a_connection_that_breaks_off_inside_a_message_is_told(listening: Listening) -> None:
    data = message(*scanout(picture(64, 64)))._marshall(True)
    await asyncio.get_running_loop().sock_sendall(listening.qemu._sock, data[: len(data) // 2])
    listening.qemu.close()


word = st.one_of(st.integers(0, 70), st.integers(0, 2**32 - 1), st.sampled_from([X8R8G8B8, 0x10020565, 256]))
number = st.one_of(st.integers(-2, 70), st.integers(-(2**31), 2**31 - 1))
FUZZED = {
    "Scanout": ("uuuuay", st.tuples(word, word, word, word, st.binary(max_size=5000))),
    "Update": (
        "iiiiuuay",
        st.tuples(number, number, number, number, word, word, st.binary(max_size=5000)),
    ),
    "MouseSet": ("iii", st.tuples(number, number, number)),
    "CursorDefine": ("iiiiay", st.tuples(number, number, number, number, st.binary(max_size=5000))),
    "Disable": ("", st.just(())),
}
calls = st.sampled_from(sorted(FUZZED)).flatmap(
    lambda member: FUZZED[member][1].map(lambda body: (member, FUZZED[member][0], *body))
)


@settings(max_examples=60, deadline=None)
@given(st.lists(calls, max_size=8), st.booleans())
def test_any_messages_are_taken_or_refused(sequence: list[tuple[Any, ...]], wants_answer: bool) -> None:
    async def run() -> None:
        display = Display()
        listener = Listener(display, lambda: None)
        flags = MessageFlag.NONE if wants_answer else MessageFlag.NO_REPLY_EXPECTED
        for call in sequence:
            answer = listener.handle(message(*call, flags=flags))
            assert isinstance(answer, Message) is wants_answer
            frame = display.surface.frame
            assert frame.width * frame.height <= MAX_PIXELS
        listener.close()

    asyncio.run(run())
