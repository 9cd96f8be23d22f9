"""Standard input and output that make nobody wait, whatever they are."""

import asyncio
import os
import pty
import socket
import tty
from pathlib import Path

import pytest
from support.waiting import eventually

from sidecar.console.descriptors import Input, Output


class Reader:
    """What an input has delivered."""

    def __init__(self, descriptor: int) -> None:
        self.data = bytearray()
        self.ends = 0
        self.input = Input(descriptor, self.data.extend, self._ended)

    def _ended(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("kind", ["pipe", "file", "nothing"])
async def test_input_is_read_to_its_end(kind: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 200
    if kind == "pipe":
        descriptor, end = os.pipe()
        os.write(end, content)
        os.close(end)
    else:
        path = tmp_path / "script"
        path.write_bytes(content)
        descriptor = os.open(os.devnull if kind == "nothing" else path, os.O_RDONLY)
        content = b"" if kind == "nothing" else content
    reader = Reader(descriptor)
    reader.input.resume()
    await eventually(lambda: reader.ends, "the end")
    reader.input.resume()
    assert reader.data == content
    assert reader.ends == 1
    os.close(descriptor)


async def test_a_file_is_read_no_faster_than_it_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_bytes(b"x" * (1 << 20))
    descriptor = os.open(path, os.O_RDONLY)
    taken: list[int] = []

    def take(data: bytes) -> None:
        taken.append(len(data))
        source.pause()

    source = Input(descriptor, take, lambda: None)
    source.resume()
    await eventually(lambda: taken, "the first part")
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(taken) == 1
    source.pause()
    os.close(descriptor)


async def test_a_terminal_that_hung_up_has_ended() -> None:
    keyboard, terminal = pty.openpty()
    reader = Reader(terminal)
    reader.input.resume()
    os.close(keyboard)
    await eventually(lambda: reader.ends, "the end")
    os.close(terminal)


async def test_a_slow_terminal_makes_nobody_wait_and_loses_nothing() -> None:
    keyboard, terminal = pty.openpty()
    tty.setraw(terminal)
    written: list[int] = []
    output = Output(terminal, written.append)
    content = bytes(range(256)) * 256
    output.write(content)
    assert output.queued > 0
    assert os.get_blocking(terminal)
    os.set_blocking(keyboard, False)
    seen = bytearray()

    def all_seen() -> bool:
        try:
            seen.extend(os.read(keyboard, 65536))
        except BlockingIOError:
            return False
        return len(seen) == len(content)

    draining = asyncio.ensure_future(output.drain())
    await eventually(all_seen, "all of it")
    await draining
    assert seen == content
    assert sum(written) == len(content)
    output.close()
    os.close(keyboard)
    os.close(terminal)


async def test_a_file_goes_on_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before ")
    with path.open("ab") as file:
        output = Output(file.fileno())
        output.write(b"after")
        await output.drain()
        output.close()
    assert path.read_bytes() == b"before after"


async def test_a_socket_is_left_as_it_was() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        output = Output(ours.fileno())
        output.write(b"x" * (1 << 20))
        assert not ours.getblocking() or not os.get_blocking(ours.fileno())
        assert output.queued > 0
        output.close()
        assert os.get_blocking(ours.fileno())


async def test_a_reader_that_is_gone_is_told_once() -> None:
    source, sink = os.pipe()
    errors: list[OSError] = []
    output = Output(sink, failed=errors.append)
    os.close(source)
    output.write(b"x")
    output.write(b"y")
    await output.drain()
    assert [type(error) for error in errors] == [BrokenPipeError]
    output.close()
    os.close(sink)


async def test_what_has_not_left_is_dropped_at_the_end() -> None:
    source, sink = os.pipe()
    output = Output(sink)
    output.write(b"x" * (1 << 20))
    output.close()
    output.close()
    output.write(b"y")
    os.close(source)
    os.close(sink)
