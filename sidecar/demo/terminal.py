"""What the demo tells in the terminal."""

import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial

from rich.console import Console
from rich.live import Live

from sidecar.config.address import ListenAddress, TcpAddress, parse_listen_address
from sidecar.config.options import DemoOptions
from sidecar.daemon import Daemon
from sidecar.demo.equipment import Equipment
from sidecar.demo.machine import DemoMachine
from sidecar.session.status import Status
from sidecar.session.table import SHORT_LINE, SessionTable

LOCAL_HOST = "127.0.0.1"


def how_to_connect(
    machine: DemoMachine, equipment: Equipment, addresses: Sequence[str], options: DemoOptions
) -> str:
    """What a person is told first: what is shown, where, and with which commands to look at it.

    `addresses`: as `Daemon.addresses` has them.
    """
    lines = [f"Showing {machine.title}.", ""]
    told: dict[str, Callable[[str], list[str]]] = {
        "vnc": _vnc,
        "vnc-console": _vnc_console,
        "rdp": _rdp,
        "metrics": _metrics,
    }
    told["api"] = partial(_api, scheme="http" if options.tls_dir is None else "https")
    vnc = rdp = None
    for address in addresses:
        protocol, _, where = address.partition(" ")
        lines += told[protocol](where) if where else [f"Web: {address}"]
        if protocol == "vnc":
            vnc = vnc or parse_listen_address(where)
        elif protocol == "rdp":
            rdp = rdp or parse_listen_address(where)
    lines += [
        *_serial_port(machine, options, vnc),
        *(_sound(machine, vnc, rdp) if equipment.sound and options.sound else ()),
        *(_clipboard() if equipment.clipboard and machine.has_agent and options.clipboard != "off" else ()),
        "",
        f"Who is there, from another terminal: vdi-sidecar sessions --watch --run-dir {options.run_dir}",
        *_tickets(options),
        f"The machine and its switches: vdi-sidecar vm --run-dir {options.run_dir}",
        "Ctrl-C ends it.",
        "",
    ]
    return "\n".join(lines)


def _tickets(options: DemoOptions) -> list[str]:
    if options.auth == "none":
        return []
    return [f"A password for ten minutes: vdi-sidecar ticket create --run-dir {options.run_dir}"]


def _serial_port(machine: DemoMachine, options: DemoOptions, vnc: ListenAddress | None) -> list[str]:
    if options.serial == "off":
        return []
    lines = [f"Serial port: {machine.serial_port}:"]
    if vnc:
        lines.append(f"  vdi-sidecar console --vnc {vnc}")
    if options.text_consoles:
        lines.append("  in a viewer: Ctrl-Alt-2, and Ctrl-Alt-1 for the screen")
    return lines


def _sound(machine: DemoMachine, vnc: ListenAddress | None, rdp: ListenAddress | None) -> list[str]:
    lines = [f"Sound ({machine.sounds}):"]
    if isinstance(vnc, TcpAddress):
        lines.append(f"  remote-viewer vnc://{vnc.host or LOCAL_HOST}:{vnc.port}")
    if isinstance(rdp, TcpAddress):
        lines.append(f"  xfreerdp /v:{rdp.host or LOCAL_HOST}:{rdp.port} /cert:ignore /gfx /sound")
    return lines


def _clipboard() -> list[str]:
    return ["Clipboard: text that is copied here can be pasted there, and the other way round."]


def _vnc(address: str) -> list[str]:
    where = parse_listen_address(address)
    if not isinstance(where, TcpAddress):
        return [f"VNC: {where}"]
    host = where.host or LOCAL_HOST
    return [
        f"VNC: {where}, as often as you like and with any viewer:",
        f"  vncviewer {host}::{where.port}",
        f"  vncdotool -s {host}::{where.port} capture screen.png",
        f"  in Python: asyncvnc.connect({host!r}, {where.port})",
    ]


def _vnc_console(address: str) -> list[str]:
    console, _, where = address.partition("=")
    return [f"VNC for {console} at {where}"]


def _rdp(address: str) -> list[str]:
    where = parse_listen_address(address)
    if not isinstance(where, TcpAddress):
        return [f"RDP: {where}"]
    host = where.host or LOCAL_HOST
    return [
        f"RDP: {where}, at the same time:",
        f"  xfreerdp /v:{host}:{where.port} /cert:ignore /gfx",
        f"  rdesktop {host}:{where.port}",
    ]


def _metrics(address: str) -> list[str]:
    return [f"Metrics for Prometheus: {address}"]


def _api(address: str, scheme: str) -> list[str]:
    where = parse_listen_address(address)
    if isinstance(where, TcpAddress):
        host = where.host or LOCAL_HOST
        return [f"Management API: {where}", f"  curl {scheme}://{host}:{where.port}/api/v1/status"]
    return [f"Management API: {where}", f"  curl --unix-socket {where.path} http://vm/api/v1/status"]


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
