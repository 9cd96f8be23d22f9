"""Metrics of what goes wrong, from the events that are logged: nobody has to count beside logging."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from sidecar.report.exposition import Family, Sample


class ErrorKind(StrEnum):
    """What kinds are told apart. Logins that fail are told by who judges them: `Sources.failed_logins`."""

    PROTOCOL = "protocol"
    """a client, page or viewer said what its protocol does not allow"""
    TLS = "tls"
    """a TLS handshake failed"""
    CERTIFICATE = "certificate"
    """our own certificate cannot be used"""
    LOGIN_TIMEOUT = "login-timeout"
    """a connection did not log in in time"""
    REFUSED = "refused"
    """somebody was let in no further, since limits or rights forbid it"""
    SLOW_CLIENT = "slow-client"
    """a client was ended or lost something since it did not keep up"""
    MACHINE = "machine"
    """QEMU, or what runs it, said what cannot be, or did not do what it was asked"""
    SERVER = "server"
    """a fault of our own: any line of the level error"""


EVENTS: Final[Mapping[str, ErrorKind]] = {
    "connection ended by a fault of the client": ErrorKind.PROTOCOL,
    "WebSocket ended by a fault of the client": ErrorKind.PROTOCOL,
    "bad HTTP request refused": ErrorKind.PROTOCOL,
    "TLS handshake failed": ErrorKind.TLS,
    "TLS cannot be offered": ErrorKind.CERTIFICATE,
    "the certificate of before is used": ErrorKind.CERTIFICATE,
    "login timed out": ErrorKind.LOGIN_TIMEOUT,
    "login refused": ErrorKind.REFUSED,
    "session refused": ErrorKind.REFUSED,
    "connection refused": ErrorKind.REFUSED,
    "HTTP connection refused, there are too many": ErrorKind.REFUSED,
    "API request of a foreign page refused": ErrorKind.REFUSED,
    "WebSocket of a foreign page refused": ErrorKind.REFUSED,
    "client does not read": ErrorKind.SLOW_CLIENT,
    "WebSocket is silent": ErrorKind.SLOW_CLIENT,
    "API client does not read its answer": ErrorKind.SLOW_CLIENT,
    "input dropped, a client sends more than the machine takes": ErrorKind.SLOW_CLIENT,
    "QEMU sent what cannot be shown": ErrorKind.MACHINE,
    "QEMU said of its sound what cannot be": ErrorKind.MACHINE,
    "input is dropped, the machine takes it too slowly": ErrorKind.MACHINE,
    "the monitor sent a line without end": ErrorKind.MACHINE,
}
"""Which kind an event is of. Others are no errors, but for those of the level error: these are SERVER."""


def errors(lines: Mapping[tuple[int, str], int]) -> Counter[ErrorKind]:
    """How often there was an error of each kind. `lines`: see `sidecar.log.counted`."""
    found = Counter(dict.fromkeys(ErrorKind, 0))
    for (level, event), count in lines.items():
        kind = EVENTS.get(event)
        if kind is None and level >= logging.ERROR:
            kind = ErrorKind.SERVER
        if kind is not None:
            found[kind] += count
    return found


def error_families(prefix: str, lines: Mapping[tuple[int, str], int]) -> Iterator[Family]:
    """The metrics, whose names begin with `prefix`."""
    yield Family(
        prefix + "errors_total",
        "counter",
        "Total errors by their kind.",
        tuple(Sample(count, {"kind": kind.value}) for kind, count in errors(lines).items()),
    )
    levels = Counter(dict.fromkeys((logging.INFO, logging.WARNING, logging.ERROR), 0))
    for (level, _event), count in lines.items():
        levels[level] += count
    yield Family(
        prefix + "log_lines_total",
        "counter",
        "Total events from the level info on, written or not.",
        tuple(
            Sample(count, {"level": logging.getLevelName(level).lower()}) for level, count in levels.items()
        ),
    )
