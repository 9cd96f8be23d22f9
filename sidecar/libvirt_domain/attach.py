"""The way to the screen of a domain of libvirt's."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from dbus_fast.errors import AuthError

from sidecar.libvirt_domain.calls import Calls
from sidecar.libvirt_domain.definition import GRAPHICS, Display
from sidecar.libvirt_domain.library import load
from sidecar.libvirt_domain.watch import Sight, Watch, watching
from sidecar.log import get_logger
from sidecar.qemu.attach import FIRST_WAIT, LONGEST_WAIT, BusAttach, peer_link
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.connection import PeerConnection, connect_to_bus
from sidecar.qemu.errors import AttachError, ConnectionLost
from sidecar.qemu.link import Link

log = get_logger(__name__)

_REFUSALS: Final = (AuthError, EOFError, BrokenPipeError, ConnectionResetError, PermissionError)
"""A bus hangs up on another user, and its socket may be closed to it by its mode."""

RETURNS: Final = (1.0, 60.0)
"""Seconds, the first time and at most, until a connection that was lost is made again to a machine that still
runs: who has its display now may be another sidecar, which does the same."""

_LAST_REFUSAL: Final = 3
"""After so many in one run of the machine nobody expects another answer: a bus that ends hangs up too."""


class LibvirtAttach:
    """The domain with that name or UUID of the libvirt at `uri`; it has `<graphics type='dbus'>`.

    libvirt is asked only while there is no machine: once there is a link, libvirt may come and go.
    """

    def __init__(self, uri: str, domain: str, returns: tuple[float, float] = RETURNS) -> None:
        """`returns`: see RETURNS. Raises UsageError where libvirt-python is not installed."""
        self._libvirt = load()
        self._uri = uri
        self._domain = domain
        self._calls = Calls()
        self._was_there = False
        self._said = ""
        self._run: int | None = None
        """The run of the machine to which the last connection was, where there can be one only."""
        self._return = BackOff(*returns)
        self._not_before = 0.0

    @property
    def comes_back(self) -> bool:
        """See `Attach.comes_back`."""
        return True

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """See `Attach.link`.

        What can never work is an AttachError before the first link alone. Later there are viewers who wait:
        it is told in the log, and waited out.
        """
        if self._run is not None:
            self._not_before = time.monotonic() + self._return.next()
        async with AsyncExitStack() as stack:
            link = await self._find(stack)
            self._was_there = True
            self._said = ""
            yield link

    async def _find(self, stack: AsyncExitStack) -> Link:
        back_off = BackOff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            try:
                async with watching(self._libvirt, self._calls, self._uri, self._domain) as watch:
                    return await self._follow(watch, stack)
            except ConnectionLost as error:
                self._say(str(error))
            except AttachError as error:
                self._give_up(str(error))
            await asyncio.sleep(back_off.next())

    async def _follow(self, watch: Watch, stack: AsyncExitStack) -> Link:
        back_off = BackOff(FIRST_WAIT, LONGEST_WAIT)
        refused_run, refusals = None, 0
        while True:
            watch.news.clear()
            sight = await watch.look()
            display = self._judge(sight)
            if sight is None or display is None:
                self._forget()
                await watch.news.wait()
                continue
            if sight.run != self._run:
                self._forget()
            elif (left := self._not_before - time.monotonic()) > 0:
                await self._hold_back(left, watch.news)
                continue
            try:
                link = await self._enter(display, watch, stack)
            except _Refused:
                refusals = refusals + 1 if refused_run == sight.run else 1
                refused_run = sight.run
                if refusals >= _LAST_REFUSAL:
                    self._give_up(_other_user(self._domain, display))
            except ConnectionLost as error:
                self._say(str(error))
            else:
                if link is not None:
                    self._run = sight.run if display.address is None else None
                    return link
                continue
            await asyncio.sleep(back_off.next())

    def _forget(self) -> None:
        """The run of the machine that was last shown is over."""
        self._run = None
        self._return.reset()

    async def _hold_back(self, seconds: float, news: asyncio.Event) -> None:
        """Returns then, or when there are news."""
        # libvirt may need a moment longer to see that a machine has ended
        self._say(
            "the machine is just ending, or another program has taken its display, which one alone can have"
            " (p2p)"
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await news.wait()

    def _judge(self, sight: Sight | None) -> Display | None:
        """The display that should be there now; None: there is something to wait for. Raises AttachError."""
        name = self._domain
        if sight is None:
            self._say(f"libvirt at {self._uri} has no domain {name}; it may still be defined")
        elif not sight.defined:
            self._give_up(
                f"the domain {name} has no D-Bus display: add {GRAPHICS} to its devices (virsh edit {name}),"
                " then shut it down and start it"
            )
        elif sight.run is None:
            self._say("the virtual machine is shut off")
        elif sight.display is None:
            self._say(f"the virtual machine will have a D-Bus display ({GRAPHICS}) with its next start")
        elif sight.remote and (sight.display.address or "unix:").startswith("unix:"):
            self._give_up(
                f"the display of {name} can be reached only on the host that it runs on: run vdi-sidecar"
                f" there, with that host's own libvirt, instead of --libvirt {self._uri}"
            )
        else:
            return sight.display
        return None

    async def _enter(self, display: Display, watch: Watch, stack: AsyncExitStack) -> Link | None:
        """A link, which `stack` closes; None: the machine is another one by now.

        Raises _Refused, ConnectionLost, AttachError.
        """
        if display.address is None:
            descriptor = await watch.open_graphics(display.index)
            connection = PeerConnection(socket.socket(fileno=descriptor))
            await connection.open()
            stack.callback(connection.close)
            return peer_link(connection)
        if not display.address:
            raise ConnectionLost("the virtual machine is just starting or ending")
        try:
            # a way that waits for ever says less than one try
            (await connect_to_bus(display.address)).close()
        except ConnectionLost as error:
            if isinstance(error.__cause__, _REFUSALS):
                raise _Refused from error
            raise
        return await _unless_news(BusAttach(display.address), watch.news, stack)

    def _say(self, reason: str) -> None:
        if reason != self._said:
            log.info("waiting for the virtual machine", domain=self._domain, cause=reason)
            self._said = reason

    def _give_up(self, reason: str) -> None:
        if not self._was_there:
            raise AttachError(reason)
        if reason != self._said:
            log.warning("the virtual machine cannot be attached", domain=self._domain, cause=reason)
            self._said = reason


class _Refused(Exception):
    """The bus of the machine has closed the door."""


def _other_user(name: str, display: Display) -> str:
    known = "" if display.qemu_user is None else f" (id {display.qemu_user})"
    return (
        f"the bus of {name}'s display takes only the user that its QEMU runs as{known}, and this is the one"
        f" with id {os.geteuid()}: run vdi-sidecar as that user, or have <graphics type='dbus' p2p='yes'/>"
    )


async def _unless_news(attach: BusAttach, news: asyncio.Event, stack: AsyncExitStack) -> Link | None:
    """Enters `attach` into `stack`; None, and not entered, if there are news before."""
    entering = asyncio.create_task(stack.enter_async_context(attach.link()))
    hearing = asyncio.create_task(news.wait())
    try:
        await asyncio.wait({entering, hearing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hearing.cancel()
        if not entering.done():
            entering.cancel()
        await asyncio.wait({entering, hearing})
    return None if entering.cancelled() else entering.result()
