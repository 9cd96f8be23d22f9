"""What PyRDP needs to be of use here; for the programs that run in its environment."""

import typing
from typing import Any


def name_what_python_dropped() -> None:
    """To be called before PyRDP is imported: it refers to typing.BinaryIO by a name that 3.13 has not."""
    if not hasattr(typing, "io"):
        typing.io = typing


def take_no_certificate() -> None:
    """To be called when PyRDP is imported: it takes lengths left out for no certificate, and zeros for one.

    This server says zeros, which every client takes that was tried.
    """
    from pyrdp.parser.rdp.connection import ServerConnectionParser

    certificate = ServerConnectionParser.parseServerCertificate
    security_data = ServerConnectionParser.parseServerSecurityData

    def parse_certificate(self: Any, data: bytes) -> Any:
        return certificate(self, data) if data else None

    def parse_security_data(self: Any, stream: Any) -> Any:
        parsed = security_data(self, stream)
        parsed.serverRandom = parsed.serverRandom or None
        return parsed

    ServerConnectionParser.parseServerCertificate = parse_certificate
    ServerConnectionParser.parseServerSecurityData = parse_security_data
