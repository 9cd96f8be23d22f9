"""The machine of `manifests/vm`: the command line of its sidecar, and real viewers."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import freerdp
from support.daemon import COMMAND
from support.domain_samples import DIRECTORY, sample
from support.freerdp import FreeRdp, Graphics
from support.guest_image import Mode, typed
from support.hook_sidecar import HookSidecar, bus_of, launcher_of
from support.ports import free_port
from support.qemu import Qemu, dbus_display
from support.viewers import TigerVnc, XServer
from support.waiting import wait_until

ROOT = Path(__file__).parents[2]
NAME = "amd64-default-vnc"


@dataclass(frozen=True)
class Machine:
    """A running machine and its sidecar; `volume` stands for the PVC with password and certificate."""

    sidecar: HookSidecar
    qemu: Qemu
    volume: Path
    rdp: tuple[str, int]
    x_server: XServer

    def tigervnc(self, password: str) -> TigerVnc:
        """A viewer that verifies the certificate."""
        done = subprocess.run(["vncpasswd", "-f"], input=password.encode(), capture_output=True, check=True)
        (self.volume / "vncpasswd").write_bytes(done.stdout)
        options = (
            *("-SecurityTypes", "X509Vnc", "-X509CA", str(self.volume / "tls.crt")),
            *("-passwd", str(self.volume / "vncpasswd")),
        )
        return TigerVnc(self.x_server, f"localhost::{self.sidecar.port}", options=options)

    def freerdp(self, password: str) -> freerdp.Settings:
        return freerdp.Settings(self.rdp, security="nla", password=password, graphics=Graphics.PIPELINE)

    def refuses(self, password: str) -> bool:
        return "ERRCONNECT_LOGON_FAILURE" in freerdp.ending(self.x_server, self.freerdp(password)).output

    def counts(self) -> tuple[int, int]:
        command = [*COMMAND, "status", "--json", "--run-dir", str(self.sidecar.run_directory)]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        service = json.loads(done.stdout)["service"]
        return service["vnc"]["sessions"], service["rdp"]["sessions"]


def annotation() -> dict[str, Any]:
    """The sidecar of `manifests/vm`."""
    machine = yaml.safe_load((ROOT / "manifests" / "vm" / "virtualmachine.yaml").read_text())
    annotations = machine["spec"]["template"]["metadata"]["annotations"]
    (sidecar,) = json.loads(annotations["hooks.kubevirt.io/hookSidecars"])
    return sidecar


def certificate_command() -> str:
    """The second of the six commands, for viewers that connect to localhost."""
    (command,) = re.findall(r"^openssl .*$", (ROOT / "docs" / "kubevirt.md").read_text(), re.MULTILINE)
    return str(command.replace("DNS:myvm-vnc", "DNS:localhost"))


def write_secret(volume: Path, password: str) -> None:
    """Puts there what the Job copies."""
    (volume / "password").write_text(f"{password}\n")
    subprocess.run(["/bin/sh", "-c", certificate_command()], cwd=volume, check=True, capture_output=True)


@pytest.fixture
def machine(short_dir: Path, guest_image: Path) -> Iterator[Machine]:
    volume = short_dir / "vdi"
    volume.mkdir()
    write_secret(volume, "opensesame")
    rdp = ("127.0.0.1", free_port())
    arguments = annotation()["args"]
    vnc = arguments.index("--vnc")
    # the sidecar of these tests has a VNC port of its own
    assert arguments[vnc : vnc + 2] == ["--vnc", ":5900"]
    del arguments[vnc : vnc + 2]
    here = {
        ":3389": f"127.0.0.1:{rdp[1]}",
        "/var/vdi": str(volume),
        "/var/vdi/password": str(volume / "password"),
    }
    arguments = [here.get(argument, argument) for argument in arguments]
    with ExitStack() as stack:
        x_server = XServer(short_dir, "2048x768")
        stack.callback(x_server.close)
        sidecar = HookSidecar(short_dir, *arguments, auth=())
        stack.callback(sidecar.process.kill)
        with launcher_of(sidecar) as launcher:
            launcher.info()
            domain = launcher.define(sample(NAME), (DIRECTORY / f"{NAME}.vmi.json").read_bytes())
        qemu = Qemu(short_dir, dbus_display(sidecar.as_seen_here(bus_of(domain))), guest_image)
        stack.callback(qemu.close)
        qemu.show(Mode.DESKTOP)
        yield Machine(sidecar, qemu, volume, rdp, x_server)


def test_the_machine_of_the_manifests_is_seen_by_vnc_and_rdp_with_its_password(machine: Machine) -> None:
    with closing(machine.tigervnc("opensesame")) as vnc:
        with closing(FreeRdp(machine.x_server, machine.freerdp("opensesame"))) as rdp:
            vnc.move(0, 0)
            rdp.move(1024, 0)
            wait_until(lambda: vnc.shows(machine.qemu.screendump()), "TigerVNC shows the machine")
            wait_until(lambda: rdp.shows(machine.qemu.screendump()), "FreeRDP shows the machine")
            assert machine.counts() == (1, 1)
            machine.qemu.show(Mode.STILL)
            for viewer, key, code in ((vnc, "a", 0x1E), (rdp, "b", 0x30)):
                viewer.type(key)
                machine.qemu.com1.wait_for(typed(code))
    wait_until(lambda: machine.counts() == (0, 0), "nobody is counted")
    assert machine.refuses("wrong")
    assert "opensesame" not in machine.sidecar.process.output


def test_a_new_password_and_a_new_certificate_count_from_the_next_viewer_on(machine: Machine) -> None:
    with closing(machine.tigervnc("opensesame")) as first:
        wait_until(lambda: first.shows(machine.qemu.screendump()), "the picture is there")
        write_secret(machine.volume, "changed!")
        with closing(machine.tigervnc("changed!")) as second:
            # it trusts the new certificate alone
            wait_until(lambda: second.shows(machine.qemu.screendump()), "the picture is there")
            assert machine.counts() == (2, 0)
    assert machine.refuses("opensesame")
