"""The demo's virtual machine: which guest, and the QEMU process that runs it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.config.options import DemoGuest
from sidecar.demo.equipment import QEMU, Equipment
from sidecar.demo.installer import PASSWORD, USER, agent_is_here, write_initrd
from sidecar.errors import SidecarError

BOX_IMAGE = Path(__file__).with_name("guest.img")
"""Built from guest.asm beside it."""

INSTALLERS = Path("/usr/lib/debian-installer/images")
"""Where Debian's packages debian-installer-*-netboot-amd64 put their kernels."""

MONITOR = "qmp"
"""QEMU's monitor socket, in the directory of what is made for the machine."""

PATIENCE = 5.0
"""Seconds that QEMU has to end when it is asked to."""


class DemoUnavailable(SidecarError):
    """Something that the demo needs is not installed, or does not run."""


@dataclass(frozen=True, slots=True)
class DemoMachine:
    """A guest, QEMU's options for it, and what a person is told about it."""

    title: str
    name: str
    """For viewers."""
    options: tuple[str, ...]
    sound_card: tuple[str, ...]
    """QEMU's options for one that plays to the audiodev `sound`."""
    serial_port: str
    """What is to be found there."""
    sounds: str
    """What makes it sound."""
    initrd: Path | None = None
    """A first file system to which the demo adds something."""
    has_agent: bool = False
    """Whether a program in it shares the clipboard."""

    def command(
        self,
        bus_address: str,
        memory: int,
        equipment: Equipment,
        initrd: Path | None = None,
        monitor: Path | None = None,
    ) -> tuple[str, ...]:
        """QEMU's command line; `memory` in MiB, `initrd` with what the demo added, `monitor` its socket."""
        sound = equipment.sound
        return (
            *(QEMU, "-nodefaults", "-name", self.name, "-m", str(memory)),
            # KVM is left alone: where it is there but broken (nested virtualisation), nothing would be shown
            *("-accel", "tcg,thread=multi", "-device", "VGA"),
            *("-device", "qemu-xhci", "-device", "usb-tablet"),
            *("-display", f"dbus,addr={bus_address}" + ",audiodev=sound" * sound),
            *(("-audiodev", "dbus,id=sound", *self.sound_card) if sound else ()),
            *("-chardev", "dbus,id=serial0,name=org.qemu.console.serial.0", "-serial", "chardev:serial0"),
            *(CLIPBOARD if equipment.clipboard and self.has_agent else ()),
            *self.options,
            *(("-initrd", str(initrd)) if initrd else ()),
            *(("-qmp", f"unix:{monitor},server=on,wait=off") if monitor else ()),
        )


CLIPBOARD = (
    *("-device", "virtio-serial-pci"),
    # the pointer stays with the tablet, which is there before the agent
    *("-chardev", "qemu-vdagent,id=vdagent,name=vdagent,clipboard=on,mouse=off"),
    *("-device", "virtserialport,chardev=vdagent,name=com.redhat.spice.0"),
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
        return DemoMachine(
            title="a tiny test picture (F1 to F6 change it, keys and clicks leave marks)",
            name="box",
            options=("-drive", f"file={BOX_IMAGE},format=raw,snapshot=on"),
            sound_card=("-machine", "pcspk-audiodev=sound"),
            serial_port="it tells there which keys and clicks arrive",
            sounds="F8 beeps while it is held",
        )
    kernel = kernels[-1]
    return DemoMachine(
        title="Debian's graphical installer (its first page comes within a minute)",
        name="debian",
        options=("-kernel", str(kernel), "-append", "vga=788 quiet"),
        sound_card=("-device", "intel-hda", "-device", "hda-duplex,audiodev=sound"),
        serial_port=f"log in as {USER} with the password {PASSWORD}",
        sounds="it speaks what you tell it to on the serial port, such as: say hello",
        initrd=kernel.with_name("initrd.gz"),
        has_agent=agent_is_here(),
    )


@asynccontextmanager
async def running_machine(
    machine: DemoMachine, equipment: Equipment, bus_address: str, memory: int, directory: Path
) -> AsyncIterator["asyncio.Task[None]"]:
    """Runs QEMU while it is entered. The task ends with QEMU, and raises DemoUnavailable if QEMU failed.

    `directory`: where QEMU's messages are kept, and what is made for it, among that its monitor (MONITOR).
    """
    if not shutil.which(QEMU):
        raise DemoUnavailable(f"{QEMU} is not installed: ./dev demo installs it on Debian")
    initrd = None
    if machine.initrd:
        initrd = directory / "initrd"
        await asyncio.to_thread(write_initrd, machine.initrd, initrd)
    command = machine.command(bus_address, memory, equipment, initrd, directory / MONITOR)
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
