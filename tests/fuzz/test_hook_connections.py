"""Clients of the hook socket and of the plugin socket that do not speak gRPC as gRPC's own do."""

import asyncio
import contextlib
import random
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from http2_frames import (
    BEGINNING,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    NO_WINDOW,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    call,
    call_headers,
    frame,
    header,
)
from served_hook import DEFINE, GET, INFO, SHUTDOWN, WATCH, ServedHook, served_hook
from support.waiting import eventually

MANY = 200


@pytest.fixture
async def hook(short_dir: Path) -> AsyncIterator[ServedHook]:
    async with served_hook(short_dir) as hook:
        yield hook
        await hook.is_there()


async def say(path: Path, said: Iterator[bytes] | list[bytes]) -> None:
    """Says it until nobody listens any more; reads what comes meanwhile."""
    reader, writer = await asyncio.open_unix_connection(path)
    reading = asyncio.create_task(_read(reader))
    with contextlib.suppress(ConnectionError):
        for piece in said:
            writer.write(piece)
            await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    await reading


async def _read(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


async def test_noise_harms_nobody(hook: ServedHook) -> None:
    chance = random.Random(4)
    for number in range(60):
        noise = chance.randbytes(chance.randrange(1, 3000))
        begun = (
            b"",
            BEGINNING,
            BEGINNING + frame(HEADERS, call_headers(DEFINE), flags=END_HEADERS, stream=1),
        )
        path = (hook.socket, hook.plugin_socket)[number % 2]
        await say(path, [begun[number % 3] + noise])
    assert not hook.server.shutdown_requested.is_set()


FLOODS = {
    "http/1.1": [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
    "a huge frame": [BEGINNING + b"\xff\xff\xff" + bytes([DATA, 0, 0, 0, 0, 1]), b"x" * (1 << 20)],
    "settings": [BEGINNING, *[frame(SETTINGS) * MANY] * 10],
    "pings": [BEGINNING, *[frame(PING, b"12345678") * MANY] * 10],
    "endless headers": [
        BEGINNING + frame(HEADERS, call_headers(INFO), stream=1),
        *[frame(CONTINUATION, header(b"x-a", b"v" * 4000) * 4, stream=1)] * MANY,
    ],
    "many headers": [
        BEGINNING + frame(HEADERS, call_headers(INFO) + header(b"x", b"") * 1000, flags=END_HEADERS, stream=1)
    ],
    "calls that are taken back": [
        BEGINNING,
        *[
            frame(HEADERS, call_headers(DEFINE), flags=END_HEADERS, stream=2 * number + 1)
            + frame(DATA, struct.pack(">BI", 0, 1 << 20) + b"x" * 1000, stream=2 * number + 1)
            + frame(RST_STREAM, CANCEL, stream=2 * number + 1)
            for number in range(10 * MANY)
        ],
    ],
    "unknown methods": [BEGINNING, *[call(f"/a/{number}", 2 * number + 1) for number in range(MANY)]],
    "a message in pieces": [
        BEGINNING + frame(HEADERS, call_headers(DEFINE), flags=END_HEADERS, stream=1),
        *[frame(DATA, b"\0", stream=1)] * MANY,
    ],
    "a message that is longer than it says": [
        BEGINNING + call(GET, message=b"x" * 10) + frame(DATA, b"x" * 1000, stream=1)
    ],
    "a compressed message": [
        BEGINNING
        + frame(HEADERS, call_headers(GET) + header(b"grpc-encoding", b"gzip"), flags=END_HEADERS, stream=1)
        + frame(DATA, struct.pack(">BI", 1, 10) + b"x" * 10, stream=1)
    ],
}


@pytest.mark.parametrize("said", FLOODS.values(), ids=FLOODS.keys())
async def test_what_no_client_of_grpc_would_say_harms_nobody(hook: ServedHook, said: list[bytes]) -> None:
    await say(hook.socket, said)
    await say(hook.plugin_socket, said)


async def test_hundreds_of_connections_that_stay(hook: ServedHook) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(2 * MANY):
            with contextlib.suppress(ConnectionError):
                _, writer = await asyncio.open_unix_connection(hook.socket)
                stack.callback(writer.close)
                writer.write((b"", PREFACE[:9], BEGINNING, BEGINNING + frame(DATA)[:5])[number % 4])


@pytest.mark.parametrize("path", [GET, INFO, WATCH, SHUTDOWN])
async def test_an_answer_that_is_never_read_keeps_nobody(short_dir: Path, path: str) -> None:
    async with served_hook(short_dir) as hook:
        _, writer = await asyncio.open_unix_connection(hook.socket)
        calls = b"".join(call(path, 2 * number + 1) for number in range(20))
        writer.write(NO_WINDOW + calls)
        if path == WATCH:
            await eventually(lambda: hook.server.watchers == 16, "as many watch as may")
            for _ in range(100):
                hook.viewers.change()
                await asyncio.sleep(0)
        await hook.is_there()
    writer.close()


async def test_the_end_does_not_wait_for_a_client_that_reads_nothing(
    short_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served_hook(short_dir) as hook:
        reader, writer = await asyncio.open_unix_connection(hook.socket, limit=1)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(BEGINNING)
        end = time.monotonic() + 30
        while writer.transport.get_write_buffer_size() == 0:
            # each has an answer; when none of them can be written, no more are read
            writer.write(frame(SETTINGS) * 1000)
            await asyncio.sleep(0.001)
            assert time.monotonic() < end
        await hook.is_there()
    assert "hung up on" in caplog.text
    writer.close()
