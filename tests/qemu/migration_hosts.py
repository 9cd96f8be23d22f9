"""Two pods of one machine: on each a sidecar, virt-launcher's side of it, and a QEMU."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.domain_samples import DIRECTORY, sample
from support.hook_sidecar import HookSidecar, Launcher, bus_of, launcher_of
from support.migration import IncomingQemu
from support.ports import free_port
from support.qemu import Qemu, dbus_display
from support.waiting import wait_until

from sidecar.hook.api.session_status_pb2 import GetRequest, Status

NAME = "amd64-default-vnc"
VMI = (DIRECTORY / f"{NAME}.vmi.json").read_bytes()


class Host:
    """One pod. Its virt-launcher has called OnDefineDomain; `domain` is what came of it.

    `image`: what its QEMU boots from. `rdp`: where its sidecar serves RDP; its VNC is at `vnc`.
    """

    def __init__(self, directory: Path, sidecar: HookSidecar, launcher: Launcher, image: Path) -> None:
        self.sidecar = sidecar
        self.launcher = launcher
        self.vnc = sidecar.address
        self.rdp = ("127.0.0.1", 0)
        self.domain = launcher.define(sample(NAME), VMI)
        self._directory = directory
        self._image = image
        self._qemus: list[Qemu] = []

    def boot(self) -> Qemu:
        """Starts the machine here."""
        self._qemus.append(Qemu(self._directory, self._display(self.domain), self._image))
        wait_until(lambda: self.state == "attached", "the machine is attached")
        return self._qemus[-1]

    def await_machine(self, domain: bytes) -> IncomingQemu:
        """Starts the QEMU that a machine of another host comes to. `domain`: that of the other host, as only
        that counts (facts: kubevirt 7)."""
        for name in ("qmp", "com1", "incoming"):
            (self._directory / name).unlink(missing_ok=True)
        incoming = IncomingQemu(self._directory, self._display(domain), self._image)
        self._qemus.append(incoming)
        wait_until(lambda: self.state == "attached", "the empty machine is attached")
        return incoming

    def _display(self, domain: bytes) -> tuple[str, ...]:
        return dbus_display(self.sidecar.as_seen_here(bus_of(domain)))

    @property
    def status(self) -> Status:
        """What the sidecar tells."""
        status: Status = self.launcher.status.Get(GetRequest(), timeout=30)
        return status

    @property
    def state(self) -> str:
        """Of the machine, as far as this sidecar knows."""
        return str(self.status.vm.state)

    @property
    def sessions(self) -> tuple[int, int]:
        """How many are counted: VNC, RDP."""
        service = self.status.service
        return service.vnc.sessions, service.rdp.sessions

    def leave(self) -> None:
        """QEMU ends, virt-launcher sees it, which it looks for once a second, and calls Shutdown."""
        self._qemus[-1].close()
        wait_until(lambda: self.state == "lost", "the sidecar knows that its machine is gone")
        self.launcher.shut_down()

    def close(self) -> None:
        """Ends what still runs."""
        for qemu in self._qemus:
            qemu.close()
        self.sidecar.process.kill()


@contextmanager
def two_hosts(directory: Path, image: Path, *, rdp: bool = False) -> Iterator[tuple[Host, Host]]:
    """A source and a target, each with folders of its own and the same place in the list of sidecars."""
    with ExitStack() as stack:
        sidecars = []
        for name in ("a", "b"):
            folder = directory / name
            folder.mkdir()
            port = free_port()
            options = ("--rdp", f"127.0.0.1:{port}") if rdp else ()
            # both start at once
            sidecar = HookSidecar(folder, *options)
            stack.callback(sidecar.process.kill)
            sidecars.append((folder, sidecar, port))
        hosts = []
        for folder, sidecar, port in sidecars:
            host = Host(folder, sidecar, stack.enter_context(launcher_of(sidecar)), image)
            host.rdp = ("127.0.0.1", port)
            stack.callback(host.close)
            hosts.append(host)
        source, target = hosts
        assert bus_of(source.domain) == bus_of(target.domain)
        yield source, target
