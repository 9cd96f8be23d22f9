"""The daemon and FreeRDP's shadow server, side by side: the same moving content and clients, in turn.

    ./dev bench rdp                                       the whole table (about ten minutes)
    ./dev bench rdp --seconds 3 --clients 1 --loads text  a glance

The content is the tests' guest in QEMU. The daemon has it from QEMU; the shadow server, which shares an X
display, from a VNC viewer that fills one (Xvfb) with the screen of such a QEMU. Both serve scripted clients
with the graphics pipeline that acknowledge every frame at once, with and without H.264.

Processor time of a server is that of its process. `+display` adds what the display does more than without a
client: QEMU for the daemon, Xvfb for the shadow server. `x1` is processor time per second against that with
one client. The clients run on the same machine, for both alike; the last column tells how many processors
they took. Without H.264 the daemon's pictures are exact, the shadow server's are not: RemoteFX, of
version 2 by surface commands.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.bus import Bus
from support.daemon import Daemon
from support.guest_image import Mode, assemble
from support.ports import free_port, is_listening
from support.processes import Process, cpu_seconds, resident_bytes
from support.qemu import Qemu, dbus_display, vnc_display
from support.viewers import TigerVnc, XServer
from support.waiting import wait_until

LOADS = {"text": Mode.TEXT, "video": Mode.VIDEO}
SHADOW = ("freerdp-shadow-cli3", "freerdp-shadow-cli")
MIB = 1 << 20


@dataclass
class Server:
    """One that is measured; `display` is the process that it has its pictures from."""

    name: str
    port: int
    qemu: Qemu
    pid: int
    display: int

    def processor(self) -> tuple[float, float]:
        """Processor time so far: its own, the display's."""
        return cpu_seconds(self.pid), cpu_seconds(self.display)


@contextmanager
def served(name: str, options: argparse.Namespace) -> Iterator[Server]:
    """Starts the guest and the server in a directory of their own."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="vdi-bench-", dir="/tmp"))
        stack.callback(shutil.rmtree, directory)
        image = assemble(directory / "screen.img")
        (directory / "q").mkdir()
        if name == "sidecar":
            bus = stack.enter_context(closing(Bus(directory)))
            display = dbus_display(bus.address)
            qemu = stack.enter_context(closing(Qemu(directory / "q", display, image)))
            daemon = Daemon(directory, "--dbus-address", bus.address, *options.serve, rdp=True)
            stack.enter_context(closing(daemon))
            yield Server(name, daemon.rdp[1], qemu, daemon.pid, qemu.pid)
        else:
            vnc = free_port()
            qemu = Qemu(directory / "q", vnc_display(f"127.0.0.1:{vnc}"), image)
            stack.enter_context(closing(qemu))
            x_server = stack.enter_context(closing(XServer(directory, "1024x768")))
            viewer = TigerVnc(x_server, f"127.0.0.1::{vnc}", encoding="Raw")
            stack.enter_context(closing(viewer))
            viewer.move(0, 0)
            port = free_port()
            process = Process(
                [shadow_server(), "/bind-address:127.0.0.1", f"/port:{port}", "-auth", "/sec:tls"],
                directory / "shadow.log",
                {"DISPLAY": x_server.display, "HOME": str(directory), "XAUTHORITY": "/dev/null"},
            )
            stack.callback(process.stop)
            wait_until(lambda: is_listening(port), "the shadow server listens")
            yield Server(name, port, qemu, process.pid, x_server.process.pid)


def shadow_server() -> str:
    """Its command, by the major version that is installed."""
    found = next((name for name in SHADOW if shutil.which(name)), None)
    if found is None:
        raise SystemExit(
            "FreeRDP's shadow server is not installed (freerdp3-shadow-x11, freerdp2-shadow-x11)"
        )
    return found


@dataclass(frozen=True)
class Row:
    """One server under one load."""

    load: str
    form: str
    clients: int
    server: str
    busy: float
    """processor time of the server per second"""
    milliseconds: float
    """the same per frame that a client got"""
    with_display: float
    """with what the display does more"""
    rate: float
    """frames per second and client"""
    slowest: float
    kilobytes: float
    """per frame"""
    resident: float
    """MiB"""
    generator: float


def idle_memory() -> str:
    """What serving RDP costs while nobody comes."""
    used = []
    for rdp in (False, True):
        with ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="vdi-bench-", dir="/tmp"))
            stack.callback(shutil.rmtree, directory)
            image = assemble(directory / "screen.img")
            (directory / "q").mkdir()
            bus = stack.enter_context(closing(Bus(directory)))
            display = dbus_display(bus.address)
            stack.enter_context(closing(Qemu(directory / "q", display, image)))
            daemon = Daemon(directory, "--dbus-address", bus.address, rdp=rdp)
            stack.enter_context(closing(daemon))
            time.sleep(2)
            used.append(resident_bytes(daemon.pid) / MIB)
    return f"sidecar without a client: {used[0]:.1f} MiB RSS, {used[1]:.1f} MiB when it serves RDP too"


class LoadFailed(Exception):
    """The server did not serve all clients."""


def measure(name: str, load: str, form: str, clients: int, options: argparse.Namespace) -> Row:
    """One line of the table, with a server of its own."""
    with served(name, options) as server:
        server.qemu.show(LOADS[load])
        time.sleep(options.warm_up)
        before, start = server.processor(), time.monotonic()
        time.sleep(options.seconds / 2)
        idle = (server.processor()[1] - before[1]) / (time.monotonic() - start)
        plan = {"clients": clients, "form": form, "seconds": options.seconds, "warm_up": options.warm_up}
        result, busy, display, resident = play(server, **plan)
        seconds, frames = result["seconds"], sum(result["frames"])
        extra = max(display - idle * seconds, 0.0)
        return Row(
            load=load,
            form=form,
            clients=clients,
            server=name,
            busy=busy / seconds,
            milliseconds=1000 * busy / max(frames, 1),
            with_display=1000 * (busy + extra) / max(frames, 1),
            rate=frames / seconds / clients,
            slowest=min(result["frames"]) / seconds,
            kilobytes=result["bytes"] / max(frames, 1) / 1000,
            resident=resident / MIB,
            generator=result["processor"] / seconds,
        )


def play(server: Server, **plan: Any) -> tuple[dict[str, Any], float, float, int]:
    """Runs the clients; their result, processor time of server and display meanwhile, memory at the end."""
    command = [sys.executable, "-m", "bench.rdp_load_clients", json.dumps({"port": server.port, **plan})]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    before = after = server.processor()
    resident = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout
        last = ""
        for line in child.stdout:
            last = line
            if line == "begin\n":
                before = server.processor()
            elif line == "end\n":
                after = server.processor()
                resident = resident_bytes(server.pid)
    if child.returncode:
        raise LoadFailed("not every client was served")
    return json.loads(last), after[0] - before[0], after[1] - before[1], resident


COLUMNS = (
    "load", "form", "clients", "server", "CPU", "x1", "CPU ms/frame", "+display", "frames/s", "slowest",
    "kB/frame", "RSS MiB", "clients' CPU",
)  # fmt: skip


def print_table(rows: list[Row]) -> None:
    """As Markdown."""
    alone = {(row.load, row.form, row.server): row.busy for row in rows if row.clients == 1}
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for row in rows:
        single = alone.get((row.load, row.form, row.server))
        cells = [
            *(row.load, row.form, str(row.clients), row.server, f"{row.busy:.2f}"),
            f"{row.busy / single:.2f}" if single else "",
            *(f"{row.milliseconds:.2f}", f"{row.with_display:.2f}", f"{row.rate:.1f}", f"{row.slowest:.1f}"),
            *(f"{row.kilobytes:.1f}", f"{row.resident:.0f}", f"{row.generator:.2f}"),
        ]
        print("| " + " | ".join(cells) + " |")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", nargs="+", default=["sidecar", "shadow"], choices=["sidecar", "shadow"])
    parser.add_argument("--loads", nargs="+", default=list(LOADS), choices=list(LOADS))
    forms = ["pipeline", "avc420"]
    parser.add_argument("--forms", nargs="+", default=forms, choices=forms)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--seconds", type=float, default=10.0, help="measured time of every line")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before it")
    parser.add_argument(
        "--serve", nargs=argparse.REMAINDER, default=[], help="further options of `serve`; last"
    )
    return parser.parse_args()


def main() -> None:
    """Measures and prints Markdown; progress goes to stderr."""
    options = arguments()
    rows: list[Row] = []
    notes = [idle_memory()] if "sidecar" in options.servers else []
    for load in options.loads:
        for form in options.forms:
            for clients in options.clients:
                for name in options.servers:
                    try:
                        rows.append(measure(name, load, form, clients, options))
                    except LoadFailed as failure:
                        notes.append(f"{name}: {load}, {form}, {clients} clients: {failure}")
                        continue
                    print(rows[-1], file=sys.stderr)
    print(f"{os.cpu_count()} processors, {options.seconds:g} s a line\n")
    print_table(rows)
    print()
    for note in notes:
        print(f"* {note}")


if __name__ == "__main__":
    main()
