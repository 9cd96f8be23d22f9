"""`vdi-sidecar demo`: a bus, a QEMU with a guest worth looking at, and the daemon that serves it."""

import asyncio
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from sidecar.config.address import ListenAddress, TcpAddress
from sidecar.config.options import DemoOptions
from sidecar.config.run_directory import SELF_SIGNED
from sidecar.daemon import attached, ending_signals, frontends
from sidecar.demo.equipment import equipment
from sidecar.demo.machine import MONITOR, choose_machine, running_machine
from sidecar.demo.terminal import how_to_connect, show_sessions
from sidecar.qemu.attach import BusAttach
from sidecar.qemu.bus import PrivateBus
from sidecar.qemu.machine import QmpMachine
from sidecar.qemu.machine_monitor import SocketMonitor

PORTS_TRIED = 100
"""How many ports from the first one on may be taken by somebody else."""


async def run(options: DemoOptions) -> None:
    """Runs the demo until SIGINT, SIGTERM or the guest's end. Raises SidecarError when it cannot run."""
    machine = choose_machine(options.guest)
    equipped = await equipment()
    if options.next_port:
        options = replace(options, vnc=tuple(_free(address) for address in options.vnc))
    if options.next_rdp_port:
        options = replace(options, rdp=tuple(_free(address) for address in options.rdp))
    with (
        _empty_directory(options.run_dir),
        tempfile.TemporaryDirectory(prefix="vdi-sidecar-demo-") as scratch,
        # from here on: whoever ends it while it starts finds nothing left behind either
        ending_signals() as ended,
    ):
        directory = Path(scratch)
        async with (
            PrivateBus(directory / "bus") as bus,
            running_machine(machine, equipped, bus.address, options.memory, directory) as qemu,
            attached(BusAttach(bus.address), options) as (guest, _),
            frontends(options, guest, machine=QmpMachine(SocketMonitor(directory / MONITOR))) as daemon,
        ):
            print(how_to_connect(machine, equipped, daemon.addresses, options), flush=True)
            others: set[asyncio.Task[Any]] = {asyncio.create_task(ended.wait())}
            if not options.headless and sys.stdout.isatty():
                others.add(asyncio.create_task(show_sessions(daemon)))
            try:
                done, _ = await asyncio.wait({qemu, *others}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
            for task in done:
                task.result()


@contextmanager
def _empty_directory(path: Path) -> Iterator[None]:
    """Takes a directory that was not there before away again, if nobody else put anything into it."""
    was_there = path.exists()
    try:
        yield
    finally:
        if not was_there:
            rmtree(path / SELF_SIGNED, ignore_errors=True)
            with suppress(OSError):
                path.rmdir()


def _free(address: ListenAddress) -> ListenAddress:
    """The address, or the next one whose port is free."""
    if not isinstance(address, TcpAddress) or address.port == 0:
        return address
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    for port in range(address.port, min(address.port + PORTS_TRIED, 65536)):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((address.host, port))
                return replace(address, port=port)
    return address
