"""Domains with a D-Bus display of libvirt's own, and `vdi-sidecar serve --libvirt` for them."""

import sys
from collections.abc import Sequence
from pathlib import Path

from support.libvirt_daemon import USER
from support.libvirt_machine import NAME, Machine
from support.ports import free_port, is_listening
from support.processes import Process
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import wait_until

UUID = "2441a9c5-ef95-4224-9442-95a7bd41e2f2"

BUS = "<graphics type='dbus'/>"
PEER_TO_PEER = "<graphics type='dbus' p2p='yes'/>"

AS_QEMU: Sequence[str] = (
    ()
    if USER is None
    # who may pass by the modes of files, since the project may lie where only root comes
    else (
        *("setpriv", f"--reuid={USER}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    )
)
"""Runs what follows as the user that the machines' QEMU runs as."""


def domain_with(machine: Machine, graphics: str = BUS) -> bytes:
    """The definition of a machine with the guest of `machine`; one processor of four, at most 64 MB."""
    return f"""
    <domain type='qemu'>
      <name>{NAME}</name><uuid>{UUID}</uuid>
      <memory unit='MiB'>64</memory>
      <vcpu current='1'>4</vcpu>
      <os><type arch='x86_64' machine='pc'>hvm</type></os>
      <features><acpi/><vmport state='on'/></features>
      <on_reboot>restart</on_reboot>
      <devices>
        <disk type='file' device='disk'>
          <driver name='qemu' type='raw'/><source file='{machine.disk}'/><target dev='vda' bus='virtio'/>
        </disk>
        <serial type='unix'>
          <source mode='bind' path='{machine.directory}/com1'/><target port='0'/>
        </serial>
        {graphics}
        <video><model type='vga'/></video>
      </devices>
    </domain>""".encode()


class LibvirtSidecar:
    """`vdi-sidecar serve --libvirt` with VNC on loopback, its files in `directory`.

    As the user that QEMU runs as, unless `wrapper` says otherwise.
    """

    def __init__(
        self, directory: Path, uri: str, domain: str = NAME, wrapper: Sequence[str] = AS_QEMU
    ) -> None:
        self.port = free_port()
        self.process = Process(
            [
                *(*wrapper, sys.executable, "-W", "error", "-m", "sidecar", "serve"),
                *("--libvirt", uri, "--domain", domain, "--run-dir", str(directory / "run")),
                *("--vnc", f"127.0.0.1:{self.port}", "--auth", "none"),
            ],
            directory / "sidecar.log",
        )

    def wait_for_port(self) -> None:
        def listens() -> bool:
            assert self.process.is_running, self.process.output
            return is_listening(self.port)

        wait_until(listens, "the sidecar listens")

    def refusal(self) -> str:
        """It ends by itself, and says why in one line; that."""
        assert self.process.wait() == 1, self.process.output
        return self.process.output.splitlines()[-1]

    def viewer(self) -> RfbClient:
        """A VNC client."""
        return RfbClient(("127.0.0.1", self.port), encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE))

    def close(self) -> None:
        """Ends it; AssertionError unless it ends well and without complaint."""
        assert self.process.is_running, self.process.output
        status = self.process.stop()
        assert status == 0, (status, self.process.output)
        assert "Traceback" not in self.process.output, self.process.output
