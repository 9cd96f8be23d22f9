"""The demo's virtual machine: which guest, and the QEMU process that runs it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.config.options import DemoGuest
from sidecar.errors import SidecarError

QEMU = "qemu-system-x86_64"

BOX_IMAGE = Path(__file__).with_name("guest.img")
"""Built from guest.asm beside it."""

INSTALLERS = Path("/usr/lib/debian-installer/images")
"""Where Debian's packages debian-installer-*-netboot-amd64 put their kernels."""

PATIENCE = 5.0
"""Seconds that QEMU has to end when it is asked to."""


class DemoUnavailable(SidecarError):
    """Something that the demo needs is not installed, or does not run."""


@dataclass(frozen=True, slots=True)
class DemoMachine:
    """A guest, and QEMU's options for it."""

    title: str
    name: str
    """For viewers."""
    options: tuple[str, ...]

    def command(self, bus_address: str, memory: int) -> tuple[str, ...]:
        """QEMU's command line; `memory` in MiB."""
        return (
            *(QEMU, "-nodefaults", "-name", self.name, "-m", str(memory)),
            # KVM is left alone: where it is there but broken (nested virtualisation), nothing would be shown
            *("-accel", "tcg,thread=multi", "-device", "VGA"),
            *("-device", "qemu-xhci", "-device", "usb-tablet"),
            *("-display", f"dbus,addr={bus_address}"),
            *self.options,
        )


def choose_machine(guest: DemoGuest | None, installers: Path = INSTALLERS) -> DemoMachine:
    """The guest asked for, or the best that is there. Raises DemoUnavailable."""
    kernels = sorted(installers.glob("*/amd64/gtk/debian-installer/amd64/linux"))
    kernels = [kernel for kernel in kernels if kernel.with_name("initrd.gz").exists()]
    if guest == "debian" and not kernels:
        raise DemoUnavailable(
            "Debian's graphical installer is not here: "
            "apt install debian-installer-12-netboot-amd64, or take --guest box"
        )
    if guest == "box" or not kernels:
        # it reads a serial port too, and takes one that is not there for one that never falls silent
        devices = ("-drive", f"file={BOX_IMAGE},format=raw,snapshot=on", "-serial", "null")
        return DemoMachine(
            "a tiny test picture (F1 to F6 change it, keys and clicks leave marks)", "box", devices
        )
    kernel = kernels[-1]
    initrd = kernel.with_name("initrd.gz")
    boot = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", "vga=788 quiet")
    return DemoMachine("Debian's graphical installer (its first page comes within a minute)", "debian", boot)


@asynccontextmanager
async def running_machine(
    machine: DemoMachine, bus_address: str, memory: int, directory: Path
) -> AsyncIterator["asyncio.Task[None]"]:
    """Runs QEMU while it is entered. The task ends with QEMU, and raises DemoUnavailable if QEMU failed.

    `directory`: where QEMU's messages are kept.
    """
    command = machine.command(bus_address, memory)
    if not shutil.which(QEMU):
        raise DemoUnavailable(f"{QEMU} is not installed: ./dev demo installs it on Debian")
    if shutil.which("setpriv"):
        # QEMU must not outlive a demo that was killed
        command = ("setpriv", "--pdeathsig", "KILL", "--", *command)
    messages = directory / "qemu.log"
    with messages.open("wb") as output:
        # in a session of its own, or Ctrl-C would end it before its viewers are told
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    task = asyncio.create_task(_ended(process, messages), name="qemu")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await _stop(process)


async def _ended(process: asyncio.subprocess.Process, messages: Path) -> None:
    if status := await process.wait():
        raise DemoUnavailable(f"QEMU does not run: {_last_line(messages) or f'exit status {status}'}")


def _last_line(messages: Path) -> str:
    return (messages.read_text(errors="replace").strip().splitlines() or [""])[-1]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
