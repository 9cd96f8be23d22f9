"""A connection to libvirt that hears what becomes of one domain."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sidecar.libvirt_domain.calls import Calls, Crowded, NoAnswer, apart
from sidecar.libvirt_domain.definition import Display, display, parse
from sidecar.libvirt_domain.library import connect, find, is_denied, is_remote, is_wrong_address, words
from sidecar.log import get_logger
from sidecar.qemu.errors import AttachError, ConnectionLost

T = TypeVar("T")

log = get_logger(__name__)

CLOSING: Final = 2.0
"""Seconds for which the end of a connection is waited for."""

LIMIT: Final = 30.0
"""Seconds for one call."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A domain as it is. `run`: libvirt's number of this run of it; None: it is off."""

    run: int | None
    display: Display | None
    """Of the machine that runs, or of the definition."""
    defined: bool
    """Whether the next start will give it a D-Bus display."""
    remote: bool
    """Whether it runs on another host."""


class Watch:
    """Made by `watching`. Every call raises ConnectionLost when libvirt cannot be asked any more."""

    def __init__(self, libvirt: Any, calls: Calls, connection: Any, name: str, news: asyncio.Event) -> None:
        self.news = news
        """Set when something may have changed, and when the connection is gone."""
        self._libvirt = libvirt
        self._calls = calls
        self._connection = connection
        self._name = name
        self.in_use = threading.Lock()
        """Held by a call, which may go on when nobody waits for it any more."""

    async def look(self) -> Sight | None:
        """The domain; None: there is none."""

        def look() -> Sight | None:
            domain = find(self._libvirt, self._connection, self._name)
            if domain is None:
                return None
            run = domain.ID() if domain.isActive() else None
            now = display(parse(domain.XMLDesc()))
            defined = now is not None
            if run is not None and not defined and domain.isPersistent():
                later = domain.XMLDesc(self._libvirt.VIR_DOMAIN_XML_INACTIVE)
                defined = display(parse(later)) is not None
            return Sight(run, now, defined, is_remote(self._connection.getURI()))

        return await self._call(look)

    async def open_graphics(self, index: int) -> int:
        """A descriptor of a connection to a machine's display, which becomes the caller's.

        Raises AttachError when libvirt does not allow it.
        """

        def open_graphics() -> int:
            domain = find(self._libvirt, self._connection, self._name)
            if domain is None:
                raise ConnectionLost(f"libvirt has no domain {self._name} any more")
            try:
                return int(domain.openGraphicsFD(index))
            except self._libvirt.libvirtError as error:
                if is_denied(self._libvirt, error):
                    raise AttachError(
                        f"libvirt does not hand over the display of {self._name}: {words(error)}"
                    ) from error
                raise

        return await self._call(open_graphics, os.close)

    async def _call(self, work: Callable[[], T], dispose: Callable[[T], object] | None = None) -> T:
        def locked() -> T:
            with self.in_use:
                return work()

        try:
            return await self._calls.run(locked, LIMIT, dispose)
        except self._libvirt.libvirtError as error:
            raise ConnectionLost(f"libvirt does not tell: {words(error)}") from error
        except NoAnswer as error:
            raise ConnectionLost(str(error)) from error


@asynccontextmanager
async def watching(libvirt: Any, calls: Calls, uri: str, name: str) -> AsyncIterator[Watch]:
    """A connection to the libvirt at `uri`, for the domain of that name or UUID.

    Raises ConnectionLost when libvirt cannot be reached, AttachError when trying again is of no use.
    """
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    def tell(*_: object) -> None:
        # a loop that is closed has no use for it
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(news.set)

    def changed(_connection: object, domain: Any, *_: object) -> None:
        if name in (domain.name(), domain.UUIDString()):
            tell()

    def open_connection() -> tuple[Any, int]:
        connection, _ = connect(libvirt, uri)
        try:
            connection.registerCloseCallback(tell, None)
            lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
            registered = connection.domainEventRegisterAny(None, lifecycle, changed, None)
        except BaseException:
            connection.close()
            raise
        return connection, registered

    def close(opened: tuple[Any, int]) -> None:
        connection, registered = opened
        # what is registered would keep it; one that is broken already says so every time
        undo = (
            connection.unregisterCloseCallback,
            lambda: connection.domainEventDeregisterAny(registered),
            connection.close,
        )
        for step in undo:
            with contextlib.suppress(libvirt.libvirtError):
                step()

    try:
        opened = await calls.run(open_connection, LIMIT, close)
    except NoAnswer as error:
        raise ConnectionLost(str(error)) from error
    except libvirt.libvirtError as error:
        raise _unreachable(libvirt, uri, error) from error
    watch = Watch(libvirt, calls, opened[0], name, news)

    def close_unused() -> None:
        with watch.in_use:
            close(opened)

    try:
        yield watch
    finally:
        # a thread that is within libvirt does not bear well that the process ends
        try:
            await calls.run(close_unused, CLOSING)
        except Crowded:
            apart(close_unused)
        except NoAnswer:
            log.debug("libvirt is late to close a connection", uri=uri)


def _unreachable(libvirt: Any, uri: str, error: Any) -> Exception:
    if is_denied(libvirt, error):
        return AttachError(
            f"libvirt at {uri} does not let this user in: {words(error)};"
            " add the user to the group of libvirt's socket (libvirt), or run as another one"
        )
    if is_wrong_address(libvirt, error):
        return AttachError(f"--libvirt {uri}: {words(error)}")
    return ConnectionLost(f"no libvirt at {uri}: {words(error)}")
