"""What the demo tells in the terminal."""

import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live

from sidecar.config.address import TcpAddress, parse_listen_address
from sidecar.daemon import Daemon
from sidecar.session.status import Status
from sidecar.session.table import SHORT_LINE, SessionTable


def how_to_connect(title: str, addresses: Sequence[str], run_dir: Path) -> str:
    """What a person is told first: what is shown, where, and with which commands to look at it.

    `addresses`: as `Daemon.addresses` has them.
    """
    lines = [f"Showing {title}.", ""]
    told = {"vnc": _vnc, "rdp": _rdp, "metrics": _metrics}
    for address in addresses:
        protocol, _, where = address.partition(" ")
        lines += told[protocol](where) if where else [f"Web: {address}"]
    lines += [
        "",
        f"Who is there, from another terminal: vdi-sidecar sessions --watch --run-dir {run_dir}",
        "Ctrl-C ends it.",
        "",
    ]
    return "\n".join(lines)


def _vnc(address: str) -> list[str]:
    where = parse_listen_address(address)
    if not isinstance(where, TcpAddress):
        return [f"VNC: {where}"]
    host = where.host or "127.0.0.1"
    return [
        f"VNC: {where}, as often as you like and with any viewer:",
        f"  vncviewer {host}::{where.port}",
        f"  vncdotool -s {host}::{where.port} capture screen.png",
        f"  in Python: asyncvnc.connect({host!r}, {where.port})",
    ]


def _rdp(address: str) -> list[str]:
    where = parse_listen_address(address)
    if not isinstance(where, TcpAddress):
        return [f"RDP: {where}"]
    host = where.host or "127.0.0.1"
    return [
        f"RDP: {where}, at the same time:",
        f"  xfreerdp /v:{host}:{where.port} /cert:ignore /gfx",
        f"  rdesktop {host}:{where.port}",
    ]


def _metrics(address: str) -> list[str]:
    return [f"Metrics for Prometheus: {address}"]


async def show_sessions(daemon: Daemon) -> None:
    """A table of the sessions that follows them until it is cancelled."""
    console = Console(highlight=False)
    table = SessionTable()
    with Live(console=console, auto_refresh=False) as live, _log_above_the_table():
        statuses: AsyncIterator[Status]
        async with aclosing(daemon.feed.watch(refresh=1.0)) as statuses:
            async for status in statuses:
                wide = console.width > SHORT_LINE
                live.update(table.render(status, now=time.time(), wide=wide), refresh=True)


@contextmanager
def _log_above_the_table() -> Iterator[None]:
    """While a live table is shown, sys.stderr puts lines above it; the log has to go there as well."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, logging.StreamHandler)]
    streams = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            if stream is not None:
                handler.setStream(stream)
