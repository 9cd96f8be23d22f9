"""What `sidecar.qemu.connection` relies on in dbus-fast, and what it adds."""

import asyncio
import os
import socket

import pytest
from dbus_fast import Message, MessageFlag, MessageType
from qemu_side import QemuSide
from support.bus import Bus
from support.waiting import eventually

from sidecar.qemu.connection import Connection, PeerConnection, connect_to_bus
from sidecar.qemu.errors import CallRefused, ConnectionLost


async def pair() -> tuple[PeerConnection, QemuSide]:
    ours, theirs = socket.socketpair()
    peer, qemu = PeerConnection(ours), QemuSide(theirs)
    await asyncio.gather(peer.open(), qemu.open())
    return peer, qemu


def ping(connection: Connection) -> "asyncio.Task[list[object]]":
    call = connection.request(None, "/", "org.freedesktop.DBus.Peer", "Ping", timeout=30)
    return asyncio.create_task(call)


async def test_a_peer_authenticates_by_uid_with_descriptors_and_without_hello() -> None:
    peer, qemu = await pair()
    uid = str(os.getuid()).encode().hex().encode()
    assert qemu.lines == [b"AUTH EXTERNAL " + uid, b"NEGOTIATE_UNIX_FD", b"BEGIN"]
    assert await ping(peer) == []
    assert await ping(qemu) == []
    peer.close()
    qemu.close()


async def test_a_peer_that_is_rejected_says_so_and_closes() -> None:
    ours, theirs = socket.socketpair()
    peer, qemu = PeerConnection(ours), QemuSide(theirs, b"REJECTED EXTERNAL")
    opening = asyncio.create_task(qemu.open())
    with pytest.raises(ConnectionLost, match="REJECTED"):
        await peer.open()
    assert ours.fileno() == -1
    with pytest.raises(ConnectionLost):
        await opening


async def test_a_peer_that_hangs_up_while_we_authenticate_is_lost() -> None:
    ours, theirs = socket.socketpair()
    peer = PeerConnection(ours)
    theirs.close()
    with pytest.raises(ConnectionLost):
        await peer.open()
    assert ours.fileno() == -1


async def test_closing_while_it_authenticates_ends_the_opening() -> None:
    ours, theirs = socket.socketpair()
    peer = PeerConnection(ours)
    opening = asyncio.create_task(peer.open())
    await asyncio.sleep(0.01)
    peer.close()
    with pytest.raises(ConnectionLost):
        await opening
    assert ours.fileno() == -1
    theirs.close()


async def test_closing_before_it_is_opened_is_allowed() -> None:
    ours, theirs = socket.socketpair()
    peer = PeerConnection(ours)
    peer.close()
    assert ours.fileno() == -1
    with pytest.raises(ConnectionLost):
        await peer.open()
    theirs.close()


async def test_an_error_answer_keeps_its_name_and_text() -> None:
    peer, qemu = await pair()
    with pytest.raises(CallRefused) as caught:
        await peer.request(None, "/nowhere", "org.example.No", "Nothing", timeout=30)
    assert caught.value.name == "org.freedesktop.DBus.Error.UnknownMethod"
    assert "Nothing" in caught.value.text
    peer.close()
    qemu.close()


async def test_calls_that_wait_hear_of_the_end_and_later_ones_are_refused() -> None:
    peer, qemu = await pair()
    # a handled call without an answer: it waits for ever
    qemu.add_message_handler(lambda message: True)
    waiting = ping(peer)
    await asyncio.sleep(0.05)
    qemu.close()
    with pytest.raises(ConnectionLost):
        await waiting
    await peer.wait_closed()
    with pytest.raises(ConnectionLost):
        await ping(peer)


async def test_calls_that_wait_hear_that_we_closed() -> None:
    peer, qemu = await pair()
    qemu.add_message_handler(lambda message: True)
    waiting = ping(peer)
    await asyncio.sleep(0.05)
    peer.close()
    with pytest.raises(ConnectionLost):
        await waiting
    qemu.close()


async def test_a_call_that_is_not_answered_in_time_is_lost() -> None:
    peer, qemu = await pair()
    qemu.add_message_handler(lambda message: True)
    with pytest.raises(ConnectionLost, match="within"):
        await peer.request(None, "/", "org.freedesktop.DBus.Peer", "Ping", timeout=0.05)
    peer.close()
    qemu.close()


async def test_the_end_is_told_once_whoever_makes_it() -> None:
    peer, qemu = await pair()
    told = []
    peer.on_close = lambda: told.append("peer")
    qemu.close()
    await peer.wait_closed()
    peer.close()
    assert told == ["peer"]


async def test_sending_on_a_closed_connection_watches_no_foreign_descriptor() -> None:
    peer, qemu = await pair()
    number = peer._fd
    peer.close()
    # the next socket gets the number that the closed one had
    other, end = socket.socketpair()
    assert number in (other.fileno(), end.fileno())
    heard = asyncio.Event()
    asyncio.get_running_loop().add_reader(number, heard.set)
    peer.send(Message(path="/", interface="a.b", member="C"))
    peer.close()
    (other if number == end.fileno() else end).send(b"x")
    await asyncio.wait_for(heard.wait(), 5)
    asyncio.get_running_loop().remove_reader(number)
    for sock in (other, end):
        sock.close()
    qemu.close()


async def test_descriptors_that_nobody_wants_are_closed() -> None:
    peer, qemu = await pair()
    before = len(os.listdir("/proc/self/fd"))
    reading, writing = os.pipe()
    with pytest.raises(CallRefused):
        await qemu.request(
            None, "/", "a.b", "C", signature="hh", body=[0, 1], unix_fds=[reading, writing], timeout=5
        )
    os.close(reading)
    os.close(writing)
    assert len(os.listdir("/proc/self/fd")) == before
    peer.close()
    qemu.close()


async def test_a_handler_sees_a_descriptor_that_is_open() -> None:
    peer, qemu = await pair()
    seen = []

    def look(message: Message) -> Message | None:
        if message.message_type is MessageType.METHOD_CALL:
            seen.append(os.fstat(message.unix_fds[message.body[0]]).st_ino)
            return Message.new_method_return(message)
        return None

    peer.add_message_handler(look)
    reading, writing = os.pipe()
    await qemu.request(None, "/", "a.b", "C", signature="h", body=[0], unix_fds=[reading], timeout=30)
    assert seen == [os.fstat(reading).st_ino]
    os.close(reading)
    os.close(writing)
    peer.close()
    qemu.close()


@pytest.mark.parametrize(
    "octets",
    [
        b"garbage that is no message",
        b"l\x01\x01\x01" + b"\xff" * 12,
        b"l\x09\x01\x01" + bytes(12),
        b"B\x01\x00\x01" + bytes(60),
    ],
)
async def test_octets_that_are_no_message_end_the_connection(octets: bytes) -> None:
    peer, qemu = await pair()
    await asyncio.get_running_loop().sock_sendall(qemu._sock, octets)
    qemu._sock.shutdown(socket.SHUT_WR)
    await asyncio.wait_for(peer.wait_closed(), 5)
    qemu.close()


async def test_no_bus_is_said_plainly() -> None:
    with pytest.raises(ConnectionLost, match="no bus at unix:path=/nowhere/bus"):
        await connect_to_bus("unix:path=/nowhere/bus")
    with pytest.raises(ConnectionLost, match="not a D-Bus address"):
        await connect_to_bus("nonsense")


async def test_a_socket_that_is_no_bus_is_said_plainly(short_dir: object) -> None:
    path = f"{short_dir}/socket"

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(hang_up, path):
        with pytest.raises(ConnectionLost):
            await connect_to_bus(f"unix:path={path}")


async def test_many_calls_at_once_all_get_their_answer() -> None:
    peer, qemu = await pair()
    assert await asyncio.gather(*(ping(peer) for _ in range(200))) == [[]] * 200
    peer.close()
    await eventually(lambda: not qemu.is_open, "the other side notices")


async def test_what_a_full_socket_does_not_take_is_sent_later_with_its_descriptors() -> None:
    peer, qemu = await pair()
    received: list[tuple[str, int]] = []

    def take(message: Message) -> bool:
        received.append((message.body[0], len(message.unix_fds)))
        return True

    qemu.add_message_handler(take)
    reading, writing = os.pipe()
    for number in range(60):
        message = Message(
            path="/",
            interface="a.b",
            member="C",
            signature="sh",
            body=[f"{number} " + "x" * 20000, 0],
            unix_fds=[reading],
            flags=MessageFlag.NO_REPLY_EXPECTED,
        )
        peer.send(message)
    assert peer.is_open
    await eventually(lambda: len(received) == 60, "everything arrives")
    assert [(int(text.split()[0]), count) for text, count in received] == [(n, 1) for n in range(60)]
    os.close(reading)
    os.close(writing)
    peer.close()
    qemu.close()


async def test_a_cancelled_connection_is_not_watched_although_hello_was_answered(bus: Bus) -> None:
    connection = Connection(bus.address)
    loop = asyncio.get_running_loop()

    async def watched_when_cancelled() -> list[bool]:
        try:
            await connection.connect()
        except asyncio.CancelledError:
            # before the loop looks at its sockets again: uvloop's does so only once
            return [loop.remove_writer(connection._number), loop.remove_reader(connection._number)]
        return []

    connecting = asyncio.create_task(watched_when_cancelled())
    while not connection.unique_name:
        await asyncio.sleep(0)
    connecting.cancel()
    assert await connecting == [False, False]
