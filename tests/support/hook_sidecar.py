"""`vdi-sidecar hook` as a process of its own, and virt-launcher's side of its socket."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from lxml import etree
from support.daemon import COMMAND
from support.ports import free_port
from support.processes import Process
from support.waiting import DEADLINE, wait_until

from sidecar.hook.api import (
    callbacks_v1alpha1_pb2,
    callbacks_v1alpha2_pb2,
    callbacks_v1alpha3_pb2,
    info_pb2,
)
from sidecar.hook.api.callbacks_v1alpha1_pb2_grpc import CallbacksStub as CallbacksV1alpha1Stub
from sidecar.hook.api.callbacks_v1alpha2_pb2_grpc import CallbacksStub as CallbacksV1alpha2Stub
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksStub as CallbacksV1alpha3Stub
from sidecar.hook.api.info_pb2_grpc import InfoStub
from sidecar.hook.api.session_status_pb2_grpc import SessionStatusStub

CONTAINER = "hook-sidecar-0"
MOUNTED_AT = f"/var/run/kubevirt-hooks/{CONTAINER}"
"""Where the compute container sees the sidecar's hook folder."""

MARK = "HOOK_OF_TEST"
"""Set in the environment of a sidecar, which its bus inherits."""

INFO_SECONDS = 1
"""virt-launcher's patience with Info; that of the other calls is a minute (facts: kubevirt 1)."""

CALLBACKS: dict[str, tuple[Any, Any]] = {
    "v1alpha1": (CallbacksV1alpha1Stub, callbacks_v1alpha1_pb2),
    "v1alpha2": (CallbacksV1alpha2Stub, callbacks_v1alpha2_pb2),
    "v1alpha3": (CallbacksV1alpha3Stub, callbacks_v1alpha3_pb2),
}

FOR_ANOTHER_QEMU = "import sidecar.pod as p; p.QEMU_UID = {uid}; from sidecar.__main__ import main; main()"


class HookSidecar:
    """The hook on a loopback port, its folders in `directory`; its socket is there when it is made.

    `qemu_uid`: the user who stands for KubeVirt's 107 on a machine that has none. `wrapper`: a command that
    runs the one that follows it, such as `setpriv`.
    """

    def __init__(
        self,
        directory: Path,
        *options: str,
        qemu_uid: int | None = None,
        wrapper: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        auth: Sequence[str] = ("--auth", "none"),
    ) -> None:
        self.port = free_port()
        self.hook_directory = directory / "hooks"
        self.hook_directory.mkdir(exist_ok=True)
        self.run_directory = directory / "run"
        self.socket = self.hook_directory / "vdi-sidecar.sock"
        program: Sequence[str] = COMMAND
        if qemu_uid is not None:
            program = (sys.executable, "-W", "error", "-c", FOR_ANOTHER_QEMU.format(uid=qemu_uid))
        self.process = Process(
            [
                *(*wrapper, *program, "hook", "--hook-dir", str(self.hook_directory)),
                *("--run-dir", str(self.run_directory), "--vnc", f"127.0.0.1:{self.port}"),
                *(*auth, *options),
            ],
            directory / "hook.log",
            {"CONTAINER_NAME": CONTAINER, MARK: str(self.hook_directory), **(environment or {})},
        )

    def wait_for_socket(self) -> None:
        """Returns in the moment in which virt-launcher could see the socket."""
        end = time.monotonic() + DEADLINE
        while not self.socket.exists():
            assert self.process.is_running, self.process.output
            assert time.monotonic() < end, self.process.output
            time.sleep(0.001)

    @property
    def address(self) -> tuple[str, int]:
        """Where viewers connect."""
        return "127.0.0.1", self.port

    def as_seen_here(self, address: str) -> str:
        """A bus address of the compute container, where the sidecar's folder is mounted elsewhere."""
        assert MOUNTED_AT in address
        return address.replace(MOUNTED_AT, str(self.hook_directory))

    def left_files(self) -> list[Path]:
        """What is in its folders."""
        return [*self.hook_directory.rglob("*"), *self.run_directory.rglob("*")]

    def bus_daemons(self) -> list[int]:
        """The processes that run its bus."""
        return processes_with("dbus-daemon", f"{MARK}={self.hook_directory}")

    def refusal(self, status: int = 1) -> str:
        """It ends by itself with that exit status, and says why in one line; that."""
        assert self.process.wait() == status, self.process.output
        assert "Traceback" not in self.process.output
        *_, last = self.process.output.splitlines()
        assert last.startswith("vdi-sidecar: ")
        return last

    def assert_ends_well(self, *left: Path) -> None:
        """It ends by itself with 0, has complained about nothing and leaves nothing behind, but `left`."""
        assert self.process.wait() == 0, self.process.output
        assert "Traceback" not in self.process.output, self.process.output
        assert self.left_files() == [*left]
        wait_until(lambda: self.bus_daemons() == [], "its bus is gone")


def processes_with(program: str, variable: str) -> list[int]:
    """The processes that run `program` with that in their environment, whoever their parent is by now."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().split(b"\0")[0] == program.encode():
                variables = (entry / "environ").read_bytes().split(b"\0")
                found += [int(entry.name)] if variable.encode() in variables else []
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # gone, or somebody else's
            continue
    return found


class Launcher:
    """virt-launcher's calls."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.status = SessionStatusStub(channel)

    def info(self) -> info_pb2.InfoResult:
        return InfoStub(self._channel).Info(info_pb2.InfoParams(), timeout=INFO_SECONDS)

    def define(self, domain: bytes, vmi: bytes, version: str = "v1alpha3") -> bytes:
        stub, messages = CALLBACKS[version]
        parameters = messages.OnDefineDomainParams(domainXML=domain, vmi=vmi)
        answer: bytes = stub(self._channel).OnDefineDomain(parameters, timeout=60).domainXML
        return answer

    def shut_down(self) -> None:
        CallbacksV1alpha3Stub(self._channel).Shutdown(callbacks_v1alpha3_pb2.ShutdownParams(), timeout=60)


@contextmanager
def launcher_of(sidecar: HookSidecar) -> Iterator[Launcher]:
    """Finds the socket as soon as it is there, and dials."""
    sidecar.wait_for_socket()
    with grpc.insecure_channel(f"unix:{sidecar.socket}") as channel:
        yield Launcher(channel)


def bus_of(domain: bytes) -> str:
    """The bus address in a domain's `<graphics type='dbus'>`."""
    (address,) = etree.fromstring(domain).xpath("devices/graphics[@type='dbus']/@address")
    return str(address)
