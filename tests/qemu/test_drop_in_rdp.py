"""vdi-qemu-rdp in qemu-rdp's place: a real bus, a real QEMU, gdbus as the manager."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.bus import Bus
from support.certificate import write_certificate
from support.ports import free_port
from support.processes import Process
from support.qemu import Qemu, dbus_display
from support.rdp_viewer import GRAPHICS_PROFILE, RdpViewer
from support.waiting import wait_until

COMMAND = (sys.executable, "-W", "error", "-m", "sidecar.drop_in.rdp_command")
NAMES = ("org.QemuDisplay.RDP", "org.QemuDisplay")
PATH = "/org/qemu_display/rdp"


class QemuRdp:
    """The program, started as libvirt starts it: before QEMU."""

    def __init__(self, bus: Bus, directory: Path) -> None:
        self.port = free_port()
        self.bus = bus
        self.certificate = write_certificate(directory)
        self.process = Process(
            [
                *(*COMMAND, f"--dbus-address={bus.address}", "serve"),
                *("--bind-address", f"127.0.0.1:{self.port}"),
                *(f"--cert={directory}/tls.crt", f"--key={directory}/tls.key"),
            ],
            directory / "qemu-rdp.log",
        )
        try:
            wait_until(self._listens, "it listens")
        except BaseException:
            self.process.kill()
            raise

    def _listens(self) -> bool:
        assert self.process.is_running, self.process.output
        return "listening" in self.process.output

    def gdbus(self, name: str, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [
                *("gdbus", command, "--address", self.bus.address, "--dest", name),
                *("--object-path", PATH, *arguments),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def set_credentials(self, user: str, password: str, domain: str = "", name: str = NAMES[0]) -> None:
        self.gdbus(name, "call", "--method", f"{NAMES[0]}.SetCredentials", user, password, domain)

    async def admits(self, user: str, password: str) -> bool:
        profile = replace(GRAPHICS_PROFILE, user=user, password=password)
        client = await RdpViewer.open("127.0.0.1", self.port, profile)
        try:
            await client.negotiate()
            await client.log_in()
            await client.activate()
        except (ConnectionError, EOFError):
            return False
        else:
            return True
        finally:
            await client.close()


@pytest.fixture
def qemu_rdp(bus: Bus, short_dir: Path) -> Iterator[QemuRdp]:
    with contextlib.ExitStack() as stack:
        program = QemuRdp(bus, short_dir)
        stack.callback(program.process.kill)
        yield program


async def test_one_user_gets_in_whom_the_manager_names_and_the_program_ends_with_qemu(
    bus: Bus, qemu_rdp: QemuRdp, start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    watching = Process(
        ["gdbus", "monitor", "--address", bus.address, "--dest", NAMES[0]], short_dir / "monitor.log"
    )
    try:
        wait_until(lambda: "is owned by" in watching.output, "gdbus sees the program")
        for name in NAMES:
            root = ElementTree.fromstring(qemu_rdp.gdbus(name, "introspect", "--xml"))
            (interface,) = root.findall("interface[@name='org.QemuDisplay.RDP']")
            (method,) = interface.findall("method")
            assert method.get("name") == "SetCredentials"
            assert [argument.get("type") for argument in method] == ["s", "s", "s"]
            (leaving,) = interface.findall("signal")
            assert leaving.get("name") == "Leaving"
            assert [argument.get("type") for argument in leaving] == ["s"]
        qemu = start_qemu(dbus_display(bus.address))
        wait_until(lambda: "attached to a virtual machine" in qemu_rdp.process.output, "it is attached")
        assert not await qemu_rdp.admits("alice", "")
        assert not await qemu_rdp.admits("", "")
        qemu_rdp.set_credentials("alice", "secret")
        assert await qemu_rdp.admits("alice", "secret")
        assert not await qemu_rdp.admits("bob", "secret")
        assert not await qemu_rdp.admits("alice", "wrong")
        qemu_rdp.set_credentials("bob", "changed", "EXAMPLE", name=NAMES[1])
        assert not await qemu_rdp.admits("alice", "secret")
        assert await qemu_rdp.admits("Bob", "changed")
        qemu_rdp.set_credentials("bob", "")
        assert not await qemu_rdp.admits("bob", "")
        qemu.kill()
        wait_until(
            lambda: "org.QemuDisplay.RDP.Leaving ('D-Bus peer org.qemu vanished',)" in watching.output,
            "the program says that it goes",
        )
        assert qemu_rdp.process.wait() == 0
        assert "Traceback" not in qemu_rdp.process.output
        for secret in ("secret", "changed"):
            assert secret not in qemu_rdp.process.output
    finally:
        watching.kill()


def test_libvirt_reads_its_capabilities() -> None:
    done = subprocess.run([*COMMAND, "--print-capabilities"], capture_output=True, timeout=60, check=True)
    assert done.stdout == b'{"features": ["dbus-address"]}\n'
    assert done.stderr == b""
