"""Who is at the other end of a request's connection, as far as the connection itself tells."""

import socket

from aiohttp import web

from sidecar.control.api_access import Peer
from sidecar.control.certificate_names import ClientCertificate, client_certificate
from sidecar.web.http import local_address
from sidecar.web.peer import peer_uid


def peer_of(request: web.Request) -> Peer:
    """The peer of `request`."""
    connection = request.get_extra_info("socket")
    if connection is not None and connection.family == socket.AF_UNIX:
        return Peer(uid=peer_uid(connection))
    return Peer(
        address=peer_address(request),
        host=_host_and_port(request)[0],
        local_host=local_address(request),
        certificate=_certificate(request),
        tls=request.get_extra_info("ssl_object") is not None,
    )


def peer_address(request: web.Request) -> str:
    """Whence a request comes, for people; empty for a unix socket."""
    host, port = _host_and_port(request)
    if not host:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_and_port(request: web.Request) -> tuple[str, int]:
    name = request.get_extra_info("peername")
    if not isinstance(name, tuple) or len(name) < 2:
        return "", 0
    return str(name[0]), name[1]


def _certificate(request: web.Request) -> ClientCertificate | None:
    tls = request.get_extra_info("ssl_object")
    told = None if tls is None else tls.getpeercert()
    # one that was not verified is told as empty
    return client_certificate(told, tls.getpeercert(True)) if told else None
