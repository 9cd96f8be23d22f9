"""Every way to reach the screen, in the management API."""

from collections.abc import Sequence
from typing import TypedDict

from sidecar.control.listener import Listener
from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.guest import Guest
from sidecar.session.status import ConsoleStatus, vm_status


class ConsolePort(TypedDict):
    """One way. `address`: empty means every interface of the host, or a unix socket. `secure`: whether
    nobody on the way can listen, which is so of a unix socket too."""

    protocol: str
    address: str
    port: int | None
    path: str
    tls: str
    secure: bool
    console: str


class Consoles(TypedDict):
    """`ports`: the ways; `screens`: what the machine shows."""

    ports: list[ConsolePort]
    screens: list[ConsoleStatus]


def console_operations(listeners: Sequence[Listener], guest: Guest) -> tuple[Operation, ...]:
    """GET /api/v1/consoles. `listeners` may grow until everything listens."""

    async def told(_call: Call) -> Consoles:
        return Consoles(ports=[_port(each) for each in listeners], screens=vm_status(guest)["consoles"])

    return (
        Operation(
            "GET",
            "/api/v1/consoles",
            "listConsoles",
            "Every way to reach the screen now",
            Role.VIEWER,
            told,
            result=Consoles,
        ),
    )


def _port(listener: Listener) -> ConsolePort:
    return ConsolePort(
        protocol=listener.protocol,
        address=listener.host,
        port=listener.port,
        path=listener.path,
        tls=listener.tls,
        secure=listener.tls != "never" or listener.port is None,
        console=listener.console,
    )
