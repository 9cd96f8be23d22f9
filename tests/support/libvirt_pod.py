"""The sidecar of a pod whose QEMU is started by libvirt, and what its viewers see."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from support.domain_samples import DIRECTORY, kept_by_kubevirt
from support.hook_sidecar import HookSidecar, launcher_of
from support.libvirt_daemon import Libvirt
from support.libvirt_machine import Machine
from support.ports import free_port
from support.rdp_viewer import GRAPHICS_PROFILE, RdpViewer
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding

from sidecar.hook.api.session_status_pb2 import GetRequest, Status


class Pod:
    """`vdi-sidecar hook` with VNC and RDP, its files in `directory`. A context manager.

    Its bus is at the same path for libvirt's QEMU as for itself, so it is told what to write into the domain.
    """

    def __init__(self, directory: Path, libvirt: Libvirt) -> None:
        self.bus = f"unix:path={directory}/hooks/dbus/bus"
        self.rdp_port = free_port()
        options = ("--dbus-address", self.bus, "--rdp", f"127.0.0.1:{self.rdp_port}")
        self.sidecar = HookSidecar(directory, *options, qemu_uid=libvirt.user_id)
        self._stack = ExitStack()
        self._stack.callback(self.sidecar.process.kill)
        try:
            self._launcher = self._stack.enter_context(launcher_of(self.sidecar))
            self._launcher.info()
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None:
                self._launcher.shut_down()
                output = self.sidecar.process.output
                assert self.sidecar.process.wait() == 0, output
                assert "Traceback" not in output, output

    def answer(self, domain: bytes, **annotations: str) -> bytes:
        """What the hook makes of a domain for a VMI with these annotations."""
        return self._launcher.define(domain, vmi(**annotations))

    def boot(self, machine: Machine, domain: bytes, **annotations: str) -> None:
        """Defines and starts `domain`, cut down, as virt-launcher does.

        It defines twice; for the second time it passes on what it has kept of libvirt's copy.
        """
        machine.define(self.answer(machine.cut_down(domain), **annotations))
        machine.define(self.answer(kept_by_kubevirt(machine.definition()), **annotations))
        machine.start()

    def status(self) -> Status:
        status: Status = self._launcher.status.Get(GetRequest(), timeout=30)
        return status

    def viewer(self) -> RfbClient:
        """A VNC client."""
        return RfbClient(self.sidecar.address, encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE))

    def assert_rdp_shows(self, picture: NDArray[np.uint32]) -> None:
        """An RDP client sees exactly this."""

        async def watch() -> None:
            # its window has the size of the screen, else RDP would scale
            async with await RdpViewer.connect("127.0.0.1", self.rdp_port, GRAPHICS_PROFILE) as viewer:
                await viewer.until_shown(picture)

        asyncio.run(watch())


def vmi(**annotations: str) -> bytes:
    """A VirtualMachineInstance with the sidecar's annotations."""
    document = json.loads((DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes())
    document["metadata"]["annotations"] = {
        f"vdi-sidecar/{name}": value for name, value in annotations.items()
    }
    return json.dumps(document).encode()
