"""The program `vdi-sidecar console`, once its options are known."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from sidecar.console.attach import Manner, Standard, attach
from sidecar.console.client import Login, open_client
from sidecar.console.handshake import ClientSecurity
from sidecar.console.ports import Ports
from sidecar.console.prompt import ask_password
from sidecar.console.session_signals import SessionSignals

SIGNAL_STATUS = 128
"""Added to a signal's number, as shells do, for the exit status of a program that it has ended."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are, and who the server must be.

    `password`: reads the password; None where the person is asked. `tls`: makes what checks the server's
    certificate, and `tls_name` is the name that must be in it.
    """

    user: str
    password: Callable[[], str] | None
    tls: Callable[[], ssl.SSLContext]
    tls_name: str


@dataclass(frozen=True, slots=True)
class Attach:
    """Attach to the port of that name; None: the only serial port."""

    name: str | None
    manner: Manner


@dataclass(frozen=True, slots=True)
class List:
    """Show what there is."""

    show: Callable[[Ports], None]


def console(
    connection: socket.socket,
    security: ClientSecurity,
    identity: Identity,
    job: Attach | List,
    standard: Standard | None = None,
) -> int:
    """Does `job` over `connection`, which it closes. Returns the exit status; raises SidecarError."""
    return asyncio.run(_console(connection, security, identity, job, standard or Standard()))


async def _console(
    connection: socket.socket,
    security: ClientSecurity,
    identity: Identity,
    job: Attach | List,
    standard: Standard,
) -> int:
    signals = SessionSignals()

    async def credentials(_user: bool) -> tuple[str, str]:
        password = identity.password() if identity.password is not None else await ask_password(signals)
        return identity.user, password

    login = Login(security, credentials, identity.tls, identity.tls_name)
    task = cast(asyncio.Task[int], asyncio.current_task())
    with contextlib.closing(connection), signals.ending(task):
        try:
            async with open_client(connection, login) as client:
                if isinstance(job, List):
                    job.show(client.ports)
                else:
                    port = client.ports.choose(job.name)
                    await attach(client, port, job.manner, standard, signals)
        except asyncio.CancelledError:
            if signals.received is None:
                raise
            return SIGNAL_STATUS + signals.received
    return 0
