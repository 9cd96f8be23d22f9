"""What `vdi-sidecar hook` takes of its container's memory: `./dev bench hook_memory`. Asserts nothing.

`charged`: what counts against the container's limit, so with dbus-daemon and the kernel's buffers, without
pages of files that the kernel can drop at once; it needs root, for a cgroup of its own. `RSS`: of the hook
alone, with the pages of libraries that other processes have too. In MiB.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from support import rfb_wire, virtio_guest
from support.daemon import COMMAND
from support.guest_image import Mode, assemble
from support.ports import free_port, is_listening
from support.processes import Process, resident_bytes
from support.qemu import Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import wait_until

MIB = 1024 * 1024
CONTROLLER = Path("/sys/fs/cgroup/memory")
PASSWORD = "measured"
JOIN = 'echo $$ > "$0"; exec "$@"'
"""For sh: into a cgroup, then the command."""

FORMS = {"tight": [int(Encoding.TIGHT)], "zrle": [int(Encoding.ZRLE)]}


class Cgroup:
    """A memory cgroup of version 1; `path` is None where none can be made."""

    def __init__(self) -> None:
        self.path: Path | None = CONTROLLER / f"vdi-bench-{os.getpid()}-{time.monotonic_ns()}"
        try:
            self.path.mkdir()
        except OSError:
            self.path = None

    def command(self, *command: str) -> tuple[str, ...]:
        """That starts `command` in it."""
        return ("sh", "-c", JOIN, f"{self.path}/cgroup.procs", *command) if self.path else command

    def charged(self) -> float | None:
        if self.path is None:
            return None
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        usage = int((self.path / "memory.usage_in_bytes").read_text())
        return (usage - int(stat["total_inactive_file"])) / MIB

    def close(self) -> None:
        if self.path is not None:
            self.path.rmdir()


class Hook:
    """`vdi-sidecar hook` in a cgroup of its own, and QEMU outside of it when `start_qemu` was called."""

    def __init__(self, stack: ExitStack, rdp: bool, api: bool) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="vdi-bench-", dir="/tmp"))
        stack.callback(shutil.rmtree, self.directory)
        self.cgroup = stack.enter_context(closing(Cgroup()))
        self.vnc, self.rdp = free_port(), free_port()
        self.hooks = self.directory / "hooks"
        self.hooks.mkdir()
        command = [
            *(*COMMAND, "hook", "--hook-dir", str(self.hooks), "--run-dir", str(self.directory / "run")),
            *("--vnc", f"127.0.0.1:{self.vnc}", "--auth", "none"),
        ]
        if rdp:
            command += ["--rdp", f"127.0.0.1:{self.rdp}"]
        self.api = self.directory / "api"
        if api:
            command += ["--api", f"unix:{self.api}"]
        environment = {"CONTAINER_NAME": "hook-sidecar-0"}
        self.process = Process(self.cgroup.command(*command), self.directory / "hook.log", environment)
        self._stack = stack
        stack.callback(self._end)
        wait_until((self.hooks / "vdi-sidecar.sock").exists, "the hook is ready")
        wait_until(lambda: is_listening(self.vnc), "it listens")

    def _end(self) -> None:
        self.process.stop()
        # its bus ends a moment later
        wait_until(lambda: self.cgroup.charged() is None or not self._members(), "the cgroup is empty")

    def _members(self) -> str:
        return (self.cgroup.path / "cgroup.procs").read_text() if self.cgroup.path else ""

    def start_qemu(self, large: bool) -> Qemu:
        """With a guest of 1024x768, or with one that takes every size."""
        (self.directory / "q").mkdir()
        display = dbus_display(f"unix:path={self.hooks}/dbus/bus")
        if large:
            kernel = virtio_guest.assemble(self.directory / "virtio.bin")
            qemu = Qemu(self.directory / "q", display, None, video="virtio-vga", kernel=kernel)
        else:
            qemu = Qemu(self.directory / "q", display, assemble(self.directory / "screen.img"))
        self._stack.enter_context(closing(qemu))
        return qemu

    def line(self, what: str) -> None:
        charged = self.cgroup.charged()
        shown = "" if charged is None else f"{charged:.0f}"
        print(f"| {what} | {shown} | {resident_bytes(self.process.pid) / MIB:.0f} |", flush=True)


@contextmanager
def hook(*, rdp: bool = False, api: bool = False) -> Iterator[Hook]:
    with ExitStack() as stack:
        yield Hook(stack, rdp, api)


def ask(socket: Path, path: str) -> None:
    """Asks the management API once."""
    command = ["curl", "--silent", "--fail", "--output", os.devnull, "--unix-socket", str(socket)]
    subprocess.run([*command, f"http://vm{path}"], check=True, timeout=60)


def play(module: str, then: Hook, what: str, **plan: object) -> None:
    """Runs clients; a line of the table while they are served."""
    command = [sys.executable, "-m", f"bench.{module}", json.dumps({"seconds": 6, **plan})]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout
        for line in child.stdout:
            if line == "end\n":
                then.line(what)
    if child.returncode:
        raise SystemExit(f"{what}: not every client was served")


def main() -> None:
    """Prints the table."""
    print("| hook | charged | RSS |\n|---|---|---|")
    with hook() as measured:
        time.sleep(2)
        measured.line("VNC, no machine")
        qemu = measured.start_qemu(large=False)
        time.sleep(3)
        measured.line("VNC, 1024x768")
        qemu.show(Mode.VIDEO)
        for form, encodings in FORMS.items():
            for viewers in (1, 16):
                play(
                    "load_clients", measured, f"VNC, 1024x768, film, {viewers} of {form}",
                    port=measured.vnc, viewers=viewers, encodings=encodings,
                )  # fmt: skip
    with hook(api=True) as measured:
        measured.start_qemu(large=False)
        time.sleep(3)
        measured.line("VNC and API, 1024x768")
        for path in ("status", "sessions", "consoles/0/screenshot"):
            ask(measured.api, f"/api/v1/{path}")
        measured.line("VNC and API, 1024x768, asked for status, sessions, a screenshot")
    with hook(rdp=True) as measured:
        measured.start_qemu(large=False).show(Mode.VIDEO)
        time.sleep(3)
        measured.line("VNC and RDP, 1024x768")
        for form in ("pipeline", "avc420"):
            for clients in (1, 4):
                play(
                    "rdp_load_clients", measured, f"RDP, 1024x768, film, {clients} of {form}",
                    port=measured.rdp, clients=clients, form=form,
                )  # fmt: skip
    with hook() as measured:
        measured.start_qemu(large=True)
        encodings = (Encoding.TIGHT, Encoding.DESKTOP_SIZE, Encoding.EXTENDED_DESKTOP_SIZE)
        with RfbClient(("127.0.0.1", measured.vnc), encodings=encodings) as viewer:
            for width, height in ((1280, 720), (1920, 1080), (2560, 1440), (3840, 2160)):
                viewer.refresh()
                viewer.send(rfb_wire.set_desktop_size(width, height))
                viewer.until_shown(virtio_guest.picture(width, height))
                for _ in range(10):
                    viewer.refresh()
                measured.line(f"VNC, {width}x{height}, 1 of tight, after ten whole pictures")


if __name__ == "__main__":
    main()
