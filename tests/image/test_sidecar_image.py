"""The sidecar's image: what is in it, and that it serves a machine as KubeVirt runs it.

The first test that runs builds it, which takes about a minute and a half without a base image at hand.
"""

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from lxml import etree
from support.buildah import PROJECT, QEMU_USER, Container, Documented, Storage
from support.domain_samples import DIRECTORY, sample
from support.guest_image import Mode, desktop
from support.ports import free_port
from support.qemu import PROGRAM, Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import wait_until

from sidecar import __version__
from sidecar.hook.api import callbacks_v1alpha3_pb2, info_pb2
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksStub
from sidecar.hook.api.info_pb2_grpc import InfoStub

pytestmark = pytest.mark.timeout(900)

SOCKET = "vdi-sidecar.sock"
MOUNTED_AT = "/var/run/kubevirt-hooks/hook-sidecar-0"
"""Where the compute container sees the hook folder."""


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def listing(root: Path) -> dict[str, tuple[int, int, int, int]]:
    """Every file under it, with what changes when it is written."""
    found = {}
    for path in root.rglob("*"):
        about = path.lstat()
        found[str(path.relative_to(root))] = (about.st_mode, about.st_uid, about.st_size, about.st_mtime_ns)
    return found


def test_what_the_documentation_tells_to_type_does_what_it_says(documented: Documented) -> None:
    lines = documented.printed.splitlines()
    for name in ("vdi-sidecar", "vdi-sidecar-demo-guest"):
        assert [line for line in lines if line.split()[:1] == [f"localhost/{name}:{__version__}"]]
    assert f"vdi-sidecar {__version__}" in lines
    assert [line for line in lines if line.startswith("ok") and "dbus-daemon" in line]
    assert (documented.directory / "demo-guest.tar").stat().st_size > 0


def test_it_is_about_as_small_as_the_documentation_says(container: Container) -> None:
    stated = re.search(r"^(\d+) MB, and", (PROJECT / "docs" / "images.md").read_text(), re.MULTILINE)
    assert stated
    files = [path.lstat() for path in container.root.rglob("*")]
    size = sum(about.st_size for about in files if stat.S_ISREG(about.st_mode)) / 1e6
    # libraries' newest versions are taken
    assert size == pytest.approx(int(stated[1]), rel=0.15)


def test_it_runs_as_user_107_and_needs_no_shell_to_start(storage: Storage, sidecar_image: str) -> None:
    config = storage.configuration(sidecar_image)
    assert config["User"] == "107:107"
    assert config["Entrypoint"] == ["vdi-sidecar"]
    assert config["Cmd"] == ["hook"]
    assert "VDI_SIDECAR_RUN_DIR=/var/run/kubevirt-hooks/vdi-sidecar" in config["Env"]
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert "Healthcheck" not in config


def test_it_holds_three_programs_and_no_shell(container: Container) -> None:
    programs = {path.name for path in (container.root / "usr/bin").iterdir()}
    python = os.readlink(container.root / "usr/bin/python3")
    assert programs == {"dbus-daemon", "python3", python, "vdi-sidecar"}
    assert not (container.root / "usr/sbin").exists()
    assert not [path for path in container.root.rglob("*") if path.is_file() and path.stat().st_mode & 0o6000]


def test_it_knows_the_users_whom_dbus_daemon_has_to_let_in(container: Container) -> None:
    lines = [line.split(":") for line in (container.root / "etc/passwd").read_text().splitlines()]
    assert {(line[0], line[2], line[3]) for line in lines} == {("root", "0", "0"), ("qemu", "107", "107")}


def test_all_its_python_is_compiled(container: Container) -> None:
    sources = list(container.root.rglob("*.py"))
    assert len(sources) > 1000
    assert not [
        path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))
    ]


def test_it_names_the_packages_that_it_was_put_together_from(container: Container) -> None:
    entries = {path.name for path in (container.root / "var/lib/dpkg/status.d").iterdir()}
    assert {"dbus-daemon", "libc6"} <= entries
    assert [name for name in entries if re.fullmatch(r"libpython3\.\d+-stdlib", name)]
    for name in entries:
        assert (container.root / "usr/share/doc" / name / "copyright").exists()


def test_nothing_of_the_build_is_left_in_it(container: Container) -> None:
    for name in ("etc/pip.conf", "etc/apt", "run/secrets", "root", "build", "venv", "packages", "var/cache"):
        assert not (container.root / name).exists(), name


def test_it_says_its_version_and_lacks_nothing(other_container: Container) -> None:
    assert other_container.run("vdi-sidecar", "--version") == f"vdi-sidecar {__version__}\n"
    findings = json.loads(other_container.run("vdi-sidecar", "doctor", "--json"))
    assert not [finding for finding in findings if finding["verdict"] == "missing"]
    found = {finding["name"]: finding["verdict"] for finding in findings}
    assert found["pyspnego"] == "ok"
    # x264 is under the GPL: nobody gets it unasked
    assert found["av"] == "optional"


class Pod:
    """The sidecar in a container as KubeVirt makes it, and a hook volume as the kubelet makes it."""

    def __init__(self, directory: Path, container: Container) -> None:
        self.hooks = directory / "hooks"
        self.hooks.mkdir()
        # an emptyDir with fsGroup 107
        os.chown(self.hooks, 0, QEMU_USER)
        self.hooks.chmod(0o2777)
        self.vnc = "127.0.0.1", free_port()
        address = f"127.0.0.1:{self.vnc[1]}"
        command = (
            "/usr/bin/vdi-sidecar",
            "hook",
            "--vnc",
            address,
            "--auth",
            "ticket",
            "--api",
            "127.0.0.1:0",
        )
        self.process = container.start_read_only(command, self.hooks, directory)

    def wait_for_socket(self) -> None:
        def is_there() -> bool:
            assert self.process.is_running, self.process.output
            return (self.hooks / SOCKET).exists()

        wait_until(is_there, "the hook socket appears")

    def define(self) -> str:
        """virt-launcher's calls; the bus address in the domain, as it is reached from here."""
        name = "amd64-default-vnc"
        with grpc.insecure_channel(f"unix:{self.hooks / SOCKET}") as channel:
            points = InfoStub(channel).Info(info_pb2.InfoParams(), timeout=30).hookPoints
            assert "OnDefineDomain" in {point.name for point in points}
            parameters = callbacks_v1alpha3_pb2.OnDefineDomainParams(
                domainXML=sample(name), vmi=(DIRECTORY / f"{name}.vmi.json").read_bytes()
            )
            domain = CallbacksStub(channel).OnDefineDomain(parameters, timeout=60).domainXML
        (address,) = etree.fromstring(domain).xpath("devices/graphics[@type='dbus']/@address")
        assert MOUNTED_AT in address
        return str(address).replace(MOUNTED_AT, str(self.hooks))


@pytest.fixture
def pod(short_dir: Path, container: Container) -> Iterator[Pod]:
    short_dir.chmod(0o755)
    pod = Pod(short_dir, container)
    yield pod
    pod.process.kill()


def qemu_of_kubevirt(directory: Path, address: str, image: Path) -> Qemu:
    """QEMU as user 107, outside the container."""
    directory.mkdir()
    own_image = Path(shutil.copy(image, directory))
    for path in (directory, own_image):
        os.chown(path, QEMU_USER, QEMU_USER)
    program = directory / "qemu-of-kubevirt"
    program.write_text(
        f'#!/bin/sh\nexec setpriv --reuid={QEMU_USER} --regid={QEMU_USER} --clear-groups {PROGRAM} "$@"\n'
    )
    program.chmod(0o755)
    return Qemu(directory, dbus_display(address), own_image, program=str(program))


def test_it_serves_a_machine_from_a_read_only_root_with_no_capability(
    pod: Pod, container: Container, other_container: Container, short_dir: Path, guest_image: Path
) -> None:
    before = listing(container.root)
    pod.wait_for_socket()
    status = status_of(pod.process.contained_pid)
    assert status["Uid"].split() == status["Gid"].split() == [str(QEMU_USER)] * 4
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    mounts = Path(f"/proc/{pod.process.contained_pid}/mountinfo").read_text().splitlines()
    (root_options,) = [line.split()[5] for line in mounts if line.split()[4] == "/"]
    assert "ro" in root_options.split(",")
    # virt-launcher calls every file that it finds there, and passes directories over
    assert [path.name for path in pod.hooks.iterdir() if not path.is_dir()] == [SOCKET]

    qemu = qemu_of_kubevirt(short_dir / "qemu", pod.define(), guest_image)
    try:
        qemu.show(Mode.DESKTOP)
        # `kubectl exec`
        made = json.loads(other_container.run("vdi-sidecar", "ticket", "create", "--json", hooks=pod.hooks))
        encodings = (Encoding.RAW, Encoding.DESKTOP_SIZE)
        with RfbClient(pod.vnc, encodings=encodings, password=made["secret"]) as viewer:
            viewer.until_shown(desktop())
            assert np.array_equal(viewer.rgb, qemu.screendump())
            sessions = json.loads(other_container.run("vdi-sidecar", "sessions", "--json", hooks=pod.hooks))
            assert [session["protocol"] for session in sessions] == ["vnc"]
            shown = other_container.run("vdi-sidecar", "status", hooks=pod.hooks)
            assert "(attached)" in shown
            admin = pod.hooks / "vdi-sidecar"
            assert (admin.stat().st_uid, stat.S_IMODE(admin.stat().st_mode) & 0o777) == (QEMU_USER, 0o700)
    finally:
        qemu.close()

    assert pod.process.terminate() == 0, pod.process.output
    assert "Traceback" not in pod.process.output, pod.process.output
    assert [path for path in pod.hooks.rglob("*") if not path.is_dir()] == []
    assert listing(container.root) == before


def test_without_a_volume_it_says_where_it_may_write(container: Container, short_dir: Path) -> None:
    hooks = short_dir / "hooks"
    hooks.mkdir(mode=0o755)
    process = container.start_read_only(("/usr/bin/vdi-sidecar", "hook"), hooks, short_dir)
    assert process.wait() == 1
    assert "Traceback" not in process.output
    assert "/var/run/kubevirt-hooks" in process.output
