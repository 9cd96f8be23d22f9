"""The login as a whole, over a socket, with servers that are not ours."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.console import client
from sidecar.console.client import Client, Login, open_client
from sidecar.console.errors import ConnectionBroken, NoStreams, NotTrusted
from sidecar.console.handshake import ClientSecurity
from sidecar.console.transport import tls_context
from sidecar.vnc.stream_messages import Announce, pack
from sidecar.vnc.wire import PseudoEncoding, StreamFlag, StreamKind

SERIAL = Announce(7, StreamKind.SERIAL, StreamFlag.WRITE, "org.qemu.console.serial.0", "serial0")
HELLO = b"RFB 003.008\n\x01\x01\x00\x00\x00\x00" + struct.pack(">HHB15xI", 640, 480, 32, 2) + b"vm"
STREAMS = struct.pack(">BxHHHHHi", 0, 1, 1, 0, 0, 0, PseudoEncoding.STREAMS)
FENCE = struct.pack(">B3xIB", 248, 1 << 31, 0)
OUR_FENCE_ANSWERED = struct.pack(">B3xIB", 248, 1, 9) + b"announced"


async def no_credentials(_user: bool) -> tuple[str, str]:
    raise AssertionError("nobody asks for a password")


def not_used() -> ssl.SSLContext:
    return tls_context(None, verify=True)


@contextlib.asynccontextmanager
async def visited(sent: bytes, *, hangs_up: bool = False) -> AsyncIterator[Client]:
    """A client of a server that sends just this."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(sent)
        if hangs_up:
            theirs.shutdown(socket.SHUT_WR)
        async with open_client(ours, Login(ClientSecurity(), no_credentials, not_used, "localhost")) as one:
            yield one


async def test_a_server_with_fences_tells_when_all_is_announced() -> None:
    async with visited(HELLO + FENCE + STREAMS + pack(SERIAL) + OUR_FENCE_ANSWERED) as one:
        assert list(one.ports) == [SERIAL]


async def test_without_fences_announcements_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "QUIET_TIME", 0.1)
    async with visited(HELLO + STREAMS + pack(SERIAL)) as one:
        assert list(one.ports) == [SERIAL]


async def test_a_server_with_fences_says_at_once_that_it_has_no_streams() -> None:
    with pytest.raises(NoStreams):
        async with visited(HELLO + FENCE + OUR_FENCE_ANSWERED):
            pass


async def test_a_server_that_does_not_answer_the_list_has_no_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STREAMS_TIME", 0.1)
    with pytest.raises(NoStreams):
        async with visited(HELLO):
            pass


async def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_TIME", 0.1)
    with pytest.raises(ConnectionBroken, match="does not answer"):
        async with visited(b"RFB 003"):
            pass


@pytest.mark.parametrize("sent", [b"", b"RFB 003", HELLO, HELLO + FENCE + STREAMS])
async def test_a_server_that_hangs_up_is_told_so(sent: bytes) -> None:
    with pytest.raises(ConnectionBroken, match="closed the connection"):
        async with visited(sent, hangs_up=True):
            pass


async def test_a_server_that_breaks_the_protocol_is_told_so() -> None:
    with pytest.raises(ConnectionBroken, match="no message of type 99"):
        async with visited(HELLO + b"\x63"):
            pass


async def test_tls_with_one_who_speaks_none_ends_at_once() -> None:
    vencrypt = b"RFB 003.008\n\x01\x13\x00\x02\x00\x01" + struct.pack(">I", 260) + b"\x01"
    with pytest.raises(ConnectionBroken, match="TLS"):
        async with visited(vencrypt, hangs_up=True):
            pass


def test_a_file_without_certificates_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NotTrusted, match="cannot use the certificates"):
        tls_context(tmp_path / "none", verify=True)


async def test_the_loop_has_nothing_left_to_do() -> None:
    before = asyncio.all_tasks()
    async with visited(HELLO + FENCE + STREAMS + OUR_FENCE_ANSWERED):
        pass
    assert asyncio.all_tasks() == before
