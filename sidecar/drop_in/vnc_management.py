"""org.qemu.Vnc1: how a manager sees and drives `vdi-qemu-vnc` (QEMU's docs/interop/dbus-vnc.rst)."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dbus_fast import Variant

from sidecar.access.certificate import CertificateUnusable
from sidecar.drop_in.objects import Interface, Object, Objects, failed, invalid
from sidecar.drop_in.vnc_options import VncOptions
from sidecar.drop_in.vnc_password import CannotSet
from sidecar.drop_in.vnc_secrets import VncSecrets
from sidecar.log import get_logger
from sidecar.qemu.connection import Connection
from sidecar.session.session import Session
from sidecar.session.state import SessionState

log = get_logger(__name__)

BUS_NAME: Final = "org.qemu.vnc"
ROOT: Final = "/org/qemu/Vnc1"
SERVER_PATH: Final = f"{ROOT}/Server"

_CLIENT_SIGNAL: Final = (("client", "o"),)

SERVER: Final = Interface(
    "org.qemu.Vnc1.Server",
    methods={
        "SetPassword": ((("password", "s"),), ()),
        "ExpirePassword": ((("time", "s"),), ()),
        "ReloadCertificates": ((), ()),
        "AddClient": ((("socket", "h"), ("skipauth", "b")), ()),
    },
    signals={
        "ClientConnected": _CLIENT_SIGNAL,
        "ClientInitialized": _CLIENT_SIGNAL,
        "ClientDisconnected": _CLIENT_SIGNAL,
        "Leaving": (("reason", "s"),),
    },
    properties={"Name": "s", "Auth": "s", "VencryptSubAuth": "s", "Clients": "ao", "Listeners": "aa{sv}"},
)

CLIENT: Final = Interface(
    "org.qemu.Vnc1.Client",
    signals={"ShutdownRequest": (), "ResetRequest": ()},
    properties={
        "Host": "s",
        "Service": "s",
        "Family": "s",
        "WebSocket": "b",
        "X509Dname": "s",
        "SaslUsername": "s",
    },
)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where viewers can come. `host`: a numeric address; `service`: a port, or the path of a socket."""

    host: str
    service: str
    family: str
    """ipv4, ipv6 or unix"""
    websocket: bool = False


class VncManagement:
    """The objects on the bus. It answers at once; clients can be added when `add_client` is set."""

    def __init__(
        self,
        connection: Connection,
        options: VncOptions,
        secrets: VncSecrets,
    ) -> None:
        self._options = options
        self._password = secrets.password
        self._certificates = secrets.certificates
        self._name = ""
        self._clients: dict[str, str] = {}
        """The paths of the sessions, by their ids."""
        self._listeners: list[Listener] = []
        self.add_client: Callable[[socket.socket, bool], None] | None = None
        """Takes a connected stream socket, and whether its client is asked for nothing."""
        self._objects = Objects(connection, ROOT, manages=True)
        self._objects.add(
            Object(
                SERVER_PATH,
                SERVER,
                self._properties,
                {
                    "SetPassword": self._set_password,
                    "ExpirePassword": self._expire_password,
                    "ReloadCertificates": self._reload_certificates,
                    "AddClient": self._add_client,
                },
            )
        )

    def rename(self, name: str) -> None:
        """Tells the machine's name."""
        if name != self._name:
            self._name = name
            self._objects.changed(SERVER_PATH, "Name")

    def listens(self, listeners: list[Listener]) -> None:
        """Tells where viewers can come."""
        self._listeners = listeners
        self._objects.changed(SERVER_PATH, "Listeners")

    def follow(self, session: Session) -> None:
        """Tells what has just become of a session; to be subscribed to the registry's events."""
        match session.state:
            case SessionState.CONNECTED:
                path = self._clients[session.id] = f"{ROOT}/Client_{session.id[1:]}"
                self._objects.add(Object(path, CLIENT, lambda: _about(session)))
                self._objects.changed(SERVER_PATH, "Clients")
                self._objects.emit(SERVER_PATH, "ClientConnected", path)
            case SessionState.INITIALIZED:
                self._objects.emit(SERVER_PATH, "ClientInitialized", self._clients[session.id])
            case SessionState.DISCONNECTED:
                path = self._clients.pop(session.id)
                self._objects.emit(SERVER_PATH, "ClientDisconnected", path)
                self._objects.remove(path)
                self._objects.changed(SERVER_PATH, "Clients")

    def request(self, session: Session, signal: str) -> None:
        """Passes on what a client wants done to the machine: ShutdownRequest or ResetRequest."""
        path = self._clients.get(session.id)
        if path is not None:
            log.info("power asked for by a viewer", session=session.id, signal=signal)
            self._objects.emit(path, signal)

    def leave(self, reason: str) -> None:
        """Says that the program ends."""
        self._objects.emit(SERVER_PATH, "Leaving", reason)

    def _properties(self) -> Mapping[str, Any]:
        options = self._options
        return {
            "Name": self._name,
            "Auth": options.auth,
            "VencryptSubAuth": options.vencrypt_sub_auth,
            "Clients": list(self._clients.values()),
            "Listeners": [self._about_listener(each) for each in self._listeners],
        }

    def _about_listener(self, listener: Listener) -> dict[str, Variant]:
        options = self._options
        # TLS is below a WebSocket, and none of VNC's
        auth, sub_auth = (
            (options.inner_auth, "") if listener.websocket else (options.auth, options.vencrypt_sub_auth)
        )
        return {
            "Host": Variant("s", listener.host),
            "Service": Variant("s", listener.service),
            "Family": Variant("s", listener.family),
            "WebSocket": Variant("b", listener.websocket),
            "Auth": Variant("s", auth),
            "VencryptSubAuth": Variant("s", sub_auth),
        }

    def _set_password(self, password: str) -> None:
        self._refuse_without_password()
        try:
            self._password.set(password)
        except CannotSet as error:
            raise invalid(str(error)) from None
        log.info("password set by the manager", empty=not password)

    def _expire_password(self, moment: str) -> None:
        self._refuse_without_password()
        try:
            self._password.expire(moment)
        except CannotSet as error:
            raise invalid(str(error)) from None
        log.info("password expires", when=moment)

    def _refuse_without_password(self) -> None:
        # nobody would be asked for it, and a manager would believe the opposite
        if not self._options.asks_password:
            raise failed("no password is asked for: start with --password")

    def _reload_certificates(self) -> None:
        if self._certificates is None:
            raise failed("there are no certificates: start with --tls-creds DIR")
        try:
            self._certificates.reload()
        except CertificateUnusable as error:
            raise failed(str(error)) from None
        log.info("certificates loaded again")

    def _add_client(self, descriptor: int, skip_authentication: bool) -> None:
        if self.add_client is None:
            raise failed("the server is starting: try again")
        try:
            sock = socket.socket(fileno=os.dup(descriptor))
        except OSError as error:
            raise invalid(f"the file descriptor is no socket: {error.strerror}") from None
        why_not = _why_no_client(sock)
        if why_not:
            sock.close()
            raise invalid(why_not)
        self.add_client(sock, skip_authentication)


def _why_no_client(sock: socket.socket) -> str:
    """Why nobody can be at the other end of a socket; empty if somebody can."""
    if (
        sock.family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
        or sock.type != socket.SOCK_STREAM
    ):
        return "the socket is none of TCP, nor a unix stream socket"
    try:
        sock.getpeername()
    except OSError as error:
        return f"the socket is not connected: {error.strerror}"
    return ""


def _about(session: Session) -> Mapping[str, Any]:
    host, _, port = session.address.rpartition(":")
    family = "unix" if not host else "ipv6" if host.startswith("[") else "ipv4"
    return {
        "Host": host.strip("[]"),
        "Service": port,
        "Family": family,
        "WebSocket": session.transport == "websocket",
        "X509Dname": "",
        "SaslUsername": "",
    }
