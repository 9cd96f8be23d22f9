"""The daemon as a process, and those who come with a ticket that is no use, or with guesses.

No machine is needed for that: who is let in before there is one waits for it.
"""

import asyncio
import contextlib
import itertools
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.certificate import write_certificate
from support.daemon import Daemon
from support.ports import free_port
from support.processes import open_descriptors, resident_bytes
from support.rdp_nla import PROTOCOLS, NlaRefused, prove
from support.rdp_peer import RdpPeer
from support.rdp_script import Profile
from support.rfb_client import AsyncRfbClient
from support.rfb_session import Refused
from support.waiting import DEADLINE, eventually, wait_until
from support.web_client import by_web

from sidecar.access.throttle import FREE_FAILURES, MOST_ADDRESSES
from sidecar.control.admin_client import connect_admin

MEGABYTE = 1 << 20
NOT_LET_IN = (Refused, NlaRefused, EOFError, ConnectionError)
"""An end instead of an answer: what was good when it was shown was used up a moment later."""


class House:
    """A daemon with every way in; `tls`: also VNC and the web are encrypted."""

    def __init__(self, directory: Path, *options: str, tls: bool = True) -> None:
        self._web = web = free_port()
        self._url = f"{'wss' if tls else 'ws'}://127.0.0.1:{web}/websockify"
        options = ("--qmp", str(directory / "qmp"), "--web", f"127.0.0.1:{web}", *options)
        if tls:
            write_certificate(directory / "tls")
            options += ("--tls-dir", str(directory / "tls"))
        self.daemon = Daemon(directory, *options, auth=("--auth", "ticket"), rdp=True)
        self._numbers = itertools.count(3)

    def is_open(self) -> bool:
        """Whether it listens everywhere: it tells of all addresses at once."""
        return f"127.0.0.1:{self._web}" in self.daemon.process.output

    def stranger(self) -> str:
        """An address that nobody has come from."""
        number = next(self._numbers)
        return f"127.0.{number >> 8}.{number & 255}"

    def admin(self, command: str, **arguments: Any) -> Any:
        with connect_admin(self.daemon.run_directory / "admin.sock") as admin:
            return admin.ask(command, **arguments)

    def ticket(self, **wish: Any) -> tuple[str, str]:
        """Id and secret of a new one."""
        made = self.admin("ticket-create", **wish)
        return made["ticket"]["id"], made["secret"]

    @contextlib.asynccontextmanager
    async def vnc(self, secret: str, *, user: str = "", source: str = "") -> AsyncIterator[None]:
        source = source or self.stranger()
        address = self.daemon.address
        async with await AsyncRfbClient.connect(address, password=secret, user=user, source=source):
            yield

    @contextlib.asynccontextmanager
    async def web(self, secret: str, *, user: str = "", source: str = "") -> AsyncIterator[None]:
        async with by_web(self._url, password=secret, user=user, source=source or self.stranger()):
            yield

    @contextlib.asynccontextmanager
    async def rdp(self, secret: str, *, user: str = "", source: str = "") -> AsyncIterator[None]:
        name = user or "anybody"
        profile = Profile(protocols=PROTOCOLS, user=name, password=secret)
        source = source or self.stranger()
        async with await RdpPeer.open(*self.daemon.rdp, profile, source) as peer:
            await peer.negotiate()
            await prove(peer, name, secret)
            await peer.log_in()
            await peer.activate()
            yield

    @property
    def ways(self) -> dict[str, Callable[..., contextlib.AbstractAsyncContextManager[None]]]:
        return {"vnc": self.vnc, "web": self.web, "rdp": self.rdp}

    async def refuses(self, way: str, secret: str, **options: str) -> None:
        """Whoever comes by that way with it, from an address of their own, is not let in."""
        with pytest.raises(NOT_LET_IN):
            async with self.ways[way](secret, **options):
                pass

    async def admits(self, way: str, secret: str, **options: str) -> None:
        """Whoever comes by that way with it is let in."""
        async with self.ways[way](secret, **options):
            await eventually(self.daemon.sessions, "the session is there")
        await self.is_empty()

    async def is_empty(self) -> None:
        await eventually(lambda: not self.daemon.status()["sessions"], "nobody is left")


@pytest.fixture
def start(short_dir: Path) -> Iterator[Callable[..., House]]:
    """Starts one; it must end well, and without complaint, after the test."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, tls: bool = True) -> House:
            house = House(short_dir, *options, tls=tls)
            stack.callback(house.daemon.close)
            wait_until(house.is_open, "every way in is there")
            return house

        yield start


async def test_a_ticket_for_one_session_lets_in_one_of_all_who_come_at_once(
    start: Callable[..., House],
) -> None:
    house = start()
    number, secret = house.ticket(once=True)
    inside, over = asyncio.Queue[str](), asyncio.Event()

    async def come(way: str) -> bool:
        try:
            async with house.ways[way](secret):
                inside.put_nowait(way)
                await over.wait()
        except NOT_LET_IN:
            return False
        return True

    coming = [asyncio.create_task(come(way)) for way in (*house.ways, *house.ways)]
    async with asyncio.timeout(DEADLINE):
        await inside.get()
    await eventually(lambda: sum(each.done() for each in coming) == 5, "the others have had their answer")
    (session,) = house.daemon.sessions()
    assert session["ticket"] == number
    for way in house.ways:
        await house.refuses(way, secret)
    over.set()
    assert sorted([await each for each in coming]) == [False] * 5 + [True]
    await house.is_empty()
    for way in house.ways:
        await house.refuses(way, secret)
    assert house.admin("tickets") == []
    assert secret not in house.daemon.process.output


async def test_a_ticket_lets_in_nobody_when_it_is_over_or_revoked_or_meant_for_something_else(
    start: Callable[..., House],
) -> None:
    house = start()
    over, old = house.ticket(valid=1.0)
    revoked, gone = house.ticket()
    house.admin("ticket-revoke", id=revoked)
    wrong: list[tuple[str, str, dict[str, str]]] = [
        (way, secret, {}) for way in house.ways for secret in (old, gone)
    ]
    for way in house.ways:
        _, secret = house.ticket(protocols=[way])
        await house.admits(way, secret)
        wrong += [(other, secret, {}) for other in house.ways if other != way]
    _, secret = house.ticket(protocols=["api"])
    wrong += [(way, secret, {}) for way in house.ways]
    _, secret = house.ticket(user="ann")
    for way in house.ways:
        await house.admits(way, secret, user="ann")
        wrong.append((way, secret, {"user": "ben"}))
    await eventually(lambda: over not in [each["id"] for each in house.admin("tickets")], "one is over")
    before = house.admin("tickets")
    for way, secret, options in wrong:
        await house.refuses(way, secret, **options)
    # not even their use is counted
    assert house.admin("tickets") == before
    assert house.daemon.sessions() == []
    output = house.daemon.process.output
    told = re.findall(r"login failed protocol=(\w+) address=(127\S+)", output)
    assert len(told) == len(set(told)) == len(wrong)
    assert [protocol for protocol, _ in told] == [way for way, _, _ in wrong]
    assert not [secret for _, secret, _ in wrong if secret in output]


def guess(address: tuple[str, int], sources: Sequence[str]) -> list[bytes]:
    """What guessers are answered who come from these addresses, fifty at once."""
    answers = []
    for first in range(0, len(sources), 50):
        with contextlib.ExitStack() as stack:
            guessers = [stack.enter_context(socket.socket()) for _ in sources[first : first + 50]]
            for guesser, source in zip(guessers, sources[first:], strict=False):
                guesser.settimeout(DEADLINE)
                guesser.bind((source, 0))
                guesser.connect(address)
                # VNC's own authentication, and an answer to whatever its challenge is
                guesser.sendall(b"RFB 003.008\n\x02" + bytes(16))
            for guesser in guessers:
                answer = b""
                # one that is told before it has said all may find its connection reset
                with contextlib.suppress(ConnectionError):
                    while data := guesser.recv(4096):
                        answer += data
                answers.append(answer)
    return answers


async def test_guessing_slows_down_who_guesses_and_nobody_else(start: Callable[..., House]) -> None:
    house = start("--vnc", f"[::1]:{free_port()}", tls=False)
    _, secret = house.ticket()
    answers = guess(house.daemon.address, ["127.0.0.1"] * 200)
    # the pause doubles: a minute of guessing is worth six more
    assert FREE_FAILURES <= sum(b"Authentication failed" in answer for answer in answers) <= FREE_FAILURES + 6
    for way in house.ways:
        await house.refuses(way, "guessing", source="127.0.0.1")
        await house.admits(way, secret, source="127.0.0.2")
    sixth = re.search(r"\[::1\]:(\d+)", house.daemon.process.output)
    assert sixth
    async with await AsyncRfbClient.connect(("::1", int(sixth[1])), password=secret):
        await eventually(house.daemon.sessions, "who comes by IPv6 is there")


async def test_ten_thousand_guesses_from_everywhere_leave_nothing_behind(start: Callable[..., House]) -> None:
    house = start(tls=False)
    daemon = house.daemon
    _, secret = house.ticket()
    addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(5000)]
    assert len(set(addresses)) > MOST_ADDRESSES
    descriptors = open_descriptors(daemon.pid)
    async with await AsyncRfbClient.connect(daemon.address, password=secret) as viewer:
        await viewer.refresh()
        await asyncio.to_thread(guess, daemon.address, addresses[:500])
        before = resident_bytes(daemon.pid)
        guesses = (addresses[500:], ["127.0.0.2"] * 5000)
        answers = await asyncio.gather(*(asyncio.to_thread(guess, daemon.address, each) for each in guesses))
        assert [len(each) for each in answers] == [4500, 5000]
        await viewer.refresh()
        assert resident_bytes(daemon.pid) - before < 10 * MEGABYTE
    await house.is_empty()
    await eventually(lambda: open_descriptors(daemon.pid) <= descriptors, "every connection is closed")
    await house.admits("rdp", secret)
