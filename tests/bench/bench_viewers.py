"""The daemon and QEMU's built-in VNC server, side by side: the same guest, load and viewers, in turn.

    ./dev bench viewers                                   the whole table (about half an hour)
    ./dev bench viewers --seconds 2 --viewers 1 --loads text --forms zrle     a glance

For each number of viewers it measures processor time per delivered update, updates per second and viewer, and
bytes per update; then the time from a key press to the picture in a still desktop, memory, and how long it
takes until 64 viewers that connect in one instant are greeted. Processor time of the daemon is that of its
process, and (`+QEMU`) with what QEMU does more than without a viewer; that of the built-in server is what
QEMU does more than without a viewer. The load generator runs on the same machine, for both alike.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.table import Row, print_table
from support.bus import Bus
from support.daemon import Daemon
from support.guest_image import Mode, assemble
from support.ports import free_port
from support.processes import cpu_seconds, resident_bytes
from support.qemu import Qemu, dbus_display, version, vnc_display

LAST_RECT, COMPRESSION_2, QUALITY_6 = -224, -254, -26
FORMS = {
    "tight": [7, LAST_RECT, COMPRESSION_2],
    "tight-jpeg": [7, LAST_RECT, COMPRESSION_2, QUALITY_6],
    "zrle": [16, LAST_RECT, COMPRESSION_2],
}
LOADS = {"text": Mode.TEXT, "video": Mode.VIDEO, "typing": Mode.TYPING}
MIB = 1 << 20


@dataclass
class Server:
    """One that is measured: `qemu` holds the guest; `daemon` is None for the built-in server."""

    name: str
    port: int
    qemu: Qemu
    daemon: Daemon | None = None

    def processor(self) -> tuple[float, float]:
        """Processor time so far: the daemon's, QEMU's."""
        return cpu_seconds(self.daemon.pid) if self.daemon else 0.0, cpu_seconds(self.qemu.pid)

    def resident(self) -> int:
        """Memory of the process that serves."""
        return resident_bytes((self.daemon or self.qemu).pid)


@contextmanager
def served(name: str, options: argparse.Namespace) -> Iterator[Server]:
    """Starts the guest and the server in a directory of their own."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="vdi-bench-", dir="/tmp"))
        stack.callback(shutil.rmtree, directory)
        image = assemble(directory / "screen.img")
        (directory / "q").mkdir()
        if name == "qemu":
            port = free_port()
            display = vnc_display(f"127.0.0.1:{port}", connections=128)
            qemu = stack.enter_context(closing(Qemu(directory / "q", display, image, program=options.qemu)))
            yield Server(name, port, qemu)
        else:
            bus = stack.enter_context(closing(Bus(directory)))
            display = dbus_display(bus.address)
            qemu = stack.enter_context(closing(Qemu(directory / "q", display, image, program=options.qemu)))
            daemon = Daemon(directory, "--dbus-address", bus.address, "--max-sessions", "128", *options.serve)
            stack.enter_context(closing(daemon))
            yield Server(name, daemon.port, qemu, daemon)


def baseline(load: str, options: argparse.Namespace) -> float:
    """Processor time per second of a QEMU that nobody looks at."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="vdi-bench-", dir="/tmp"))
        stack.callback(shutil.rmtree, directory)
        image = assemble(directory / "screen.img")
        display = ("-display", "none")
        qemu = stack.enter_context(closing(Qemu(directory, display, image, program=options.qemu)))
        qemu.show(LOADS[load])
        time.sleep(options.warm_up)
        before, start = cpu_seconds(qemu.pid), time.monotonic()
        time.sleep(options.seconds)
        return (cpu_seconds(qemu.pid) - before) / (time.monotonic() - start)


class LoadFailed(Exception):
    """The server did not serve all viewers."""


def play(server: Server, load: Mode | None = None, **plan: Any) -> tuple[dict[str, Any], float, float, int]:
    """Runs the load generator; its result, processor time of daemon and QEMU meanwhile, memory at the end.

    `load` begins when all viewers have a picture: QEMU's server greets few of them under load.
    """
    command = [sys.executable, "-m", "bench.load_clients", json.dumps({"port": server.port, **plan})]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    before = after = server.processor()
    resident = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout
        last = ""
        for line in child.stdout:
            last = line
            if line == "ready\n" and load is not None:
                server.qemu.show(load)
            elif line == "begin\n":
                before = server.processor()
            elif line == "end\n":
                after = server.processor()
                resident = server.resident()
    if child.returncode:
        raise LoadFailed("not every viewer got a picture within a minute")
    return json.loads(last), after[0] - before[0], after[1] - before[1], resident


def measure_load(
    server: Server, load: str, form: str, viewers: int, idle: float, options: argparse.Namespace
) -> Row:
    """One line of the table."""
    server.qemu.show(Mode.DESKTOP)
    result, daemon, qemu, resident = play(
        server,
        LOADS[load],
        viewers=viewers,
        encodings=FORMS[form],
        seconds=options.seconds,
        warm_up=options.warm_up,
        type_keys=load == "typing",
    )
    seconds = result["seconds"]
    updates = sum(result["updates"])
    extra = max(qemu - idle * seconds, 0.0)
    latencies = sorted(result["latencies"])
    return Row(
        load=load,
        form=form,
        viewers=viewers,
        server=server.name,
        milliseconds=1000 * ((daemon if server.daemon else extra) / max(updates, 1)),
        with_qemu=1000 * ((daemon + extra) / max(updates, 1)),
        rate=updates / seconds / viewers,
        slowest=min(result["updates"]) / seconds,
        kilobytes=result["bytes"] / max(updates, 1) / 1000,
        p50=1000 * statistics.median(latencies) if latencies else None,
        p95=1000 * latencies[int(len(latencies) * 0.95)] if latencies else None,
        resident=resident / MIB,
        generator=result["processor"] / seconds,
    )


def measure_burst(server: Server, viewers: int) -> str:
    """How soon viewers that come all at once are greeted."""
    server.qemu.show(Mode.DESKTOP)
    result, *_ = play(server, viewers=viewers, encodings=FORMS["tight"], seconds=20, greet_only=True)
    greeted = sorted(result["greeted"])
    if not greeted:
        return f"none of {viewers} within 20 s"
    return (
        f"{len(greeted)} of {viewers}; the first after {greeted[0]:.3f} s, the last after {greeted[-1]:.3f} s"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", nargs="+", default=["sidecar", "qemu"], choices=["sidecar", "qemu"])
    parser.add_argument("--loads", nargs="+", default=list(LOADS), choices=list(LOADS))
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--viewers", nargs="+", type=int, default=[1, 4, 16, 32])
    parser.add_argument("--seconds", type=float, default=10.0, help="measured time of every line")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before it")
    parser.add_argument("--burst", type=int, default=64, help="viewers that connect at once; 0: not measured")
    parser.add_argument("--qemu", default="qemu-system-x86_64", help="QEMU's program")
    parser.add_argument(
        "--serve", nargs=argparse.REMAINDER, default=[], help="further options of `serve`; last"
    )
    return parser.parse_args()


def main() -> None:
    """Measures and prints Markdown; progress goes to stderr."""
    options = arguments()
    idle = {load: baseline(load, options) for load in options.loads}
    rows: list[Row] = []
    notes: list[str] = []
    for name in options.servers:
        with served(name, options) as server:
            server.qemu.show(Mode.DESKTOP)
            time.sleep(options.warm_up)
            notes.append(f"{name}: {server.resident() / MIB:.0f} MiB RSS without a viewer")
            if options.burst:
                notes.append(f"{name}: greeted {measure_burst(server, options.burst)}")
        for load in options.loads:
            for form in options.forms:
                for viewers in options.viewers:
                    # a server of its own for every line: memory of the one before does not count
                    try:
                        with served(name, options) as server:
                            row = measure_load(server, load, form, viewers, idle[load], options)
                    except LoadFailed as failure:
                        notes.append(f"{name}: {load}, {form}, {viewers} viewers: {failure}")
                        continue
                    rows.append(row)
                    print(row, file=sys.stderr)
    major, minor = version()
    print(f"QEMU {major}.{minor}, {os.cpu_count()} processors, {options.seconds:g} s a line\n")
    print_table(rows)
    print()
    for note in notes:
        print(f"* {note}")


if __name__ == "__main__":
    main()
