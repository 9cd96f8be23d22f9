"""What `vdi-sidecar hook` needs of its volume, and what it does when that fails it later."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from support.daemon import COMMAND
from support.domain_samples import DIRECTORY, sample
from support.guest_image import Mode, desktop
from support.hook_sidecar import HookSidecar, Launcher, bus_of, launcher_of
from support.own_mounts import in_own_mounts
from support.ports import free_port
from support.processes import Process
from support.qemu import Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import wait_until

NAME = "amd64-default-vnc"
VMI = (DIRECTORY / f"{NAME}.vmi.json").read_bytes()
SOMEBODY = pwd.getpwnam("nobody").pw_uid
"""Stands for KubeVirt's 107, whom this machine may not know."""


Start = Callable[..., HookSidecar]


@pytest.fixture
def start(short_dir: Path) -> Iterator[Start]:
    """`start(option, ...)` -> a sidecar that has just been started."""
    short_dir.chmod(0o755)
    started: list[HookSidecar] = []

    def start(*options: str) -> HookSidecar:
        started.append(HookSidecar(short_dir, *options))
        return started[-1]

    yield start
    for sidecar in started:
        sidecar.process.kill()


def assert_shown(sidecar: HookSidecar, qemu: Qemu) -> None:
    qemu.show(Mode.DESKTOP)
    with RfbClient(sidecar.address, encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE)) as viewer:
        viewer.until_shown(desktop())


@pytest.fixture
def full_volume(short_dir: Path) -> Iterator[Path]:
    """A mounted file system without a byte to spare, in which files can be made."""
    hooks = short_dir / "hooks"
    hooks.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "full", hooks], check=True)
    yield hooks
    subprocess.run(["umount", "--lazy", hooks], check=True)


@in_own_mounts
def test_a_volume_may_be_full_from_the_start_and_nothing_is_written_to_it_later(
    full_volume: Path, start: Start, start_qemu: Callable[..., Qemu]
) -> None:
    rubbish = full_volume / "rubbish"
    with rubbish.open("wb", buffering=0) as file:
        assert file.write(b"\0" * 2**20) < 2**20
    sidecar = start()
    with launcher_of(sidecar) as launcher:
        domain = launcher.define(sample(NAME), VMI)
        qemu = start_qemu(dbus_display(sidecar.as_seen_here(bus_of(domain))))
        assert_shown(sidecar, qemu)
        written = [path for path in full_volume.rglob("*") if path.is_file()]
        assert written == [rubbish]
        sidecar.process.signal(signal.SIGINT)
        assert sidecar.process.wait() == 0, sidecar.process.output


def test_a_bus_whose_directory_vanishes_is_there_again_for_the_next_domain(start: Start) -> None:
    sidecar = start()
    with launcher_of(sidecar) as launcher:
        shutil.rmtree(sidecar.hook_directory / "dbus")
        domain = launcher.define(sample(NAME), VMI)
        path = sidecar.as_seen_here(bus_of(domain)).removeprefix("unix:path=")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        sidecar.process.signal(signal.SIGTERM)
        sidecar.assert_ends_well()


def test_a_whole_folder_that_vanishes_does_not_keep_it_from_ending_well(start: Start) -> None:
    sidecar = start()
    sidecar.wait_for_socket()
    wait_until(lambda: "hook socket ready" in sidecar.process.output, "it is there")
    shutil.rmtree(sidecar.hook_directory)
    sidecar.process.signal(signal.SIGTERM)
    sidecar.assert_ends_well()


def stale_socket(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.bind(str(path))


def test_what_an_earlier_container_has_left_is_replaced(start: Start, short_dir: Path) -> None:
    hooks, run = short_dir / "hooks", short_dir / "run"
    run.mkdir(mode=0o700)
    for path in (
        hooks / "dbus" / "bus",
        hooks / "vdi-sidecar.sock",
        hooks / ".vdi-sidecar.sock" / "s",
        run / "admin.sock",
    ):
        stale_socket(path)
    stale = (hooks / "vdi-sidecar.sock").stat().st_ino
    sidecar = start()
    wait_until(lambda: "hook socket ready" in sidecar.process.output, "the socket is its own")
    assert sidecar.socket.stat().st_ino != stale
    with launcher_of(sidecar) as launcher:
        domain = launcher.define(sample(NAME), VMI)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(sidecar.as_seen_here(bus_of(domain)).removeprefix("unix:path="))
        sidecar.process.signal(signal.SIGTERM)
        sidecar.assert_ends_well(hooks / "dbus")


def test_a_pvc_carries_the_bus_at_two_paths(
    start: Start, short_dir: Path, start_qemu: Callable[..., Qemu]
) -> None:
    volume, seen = short_dir / "pvc", Path("/var/run/vdi shared")
    stale_socket(volume / "bus")
    sidecar = start("--bus-dir", str(volume), "--bus-dir-for-qemu", str(seen))
    with launcher_of(sidecar) as launcher:
        address = bus_of(launcher.define(sample(NAME), VMI))
        assert address == "unix:path=/var/run/vdi%20shared/bus"
        qemu = start_qemu(dbus_display(address.replace("/var/run/vdi%20shared", str(volume))))
        assert_shown(sidecar, qemu)
        # another pod of the same volume takes its name: that of a migration's target, on another node
        (volume / "bus").unlink()
        stale_socket(volume / "bus")
        assert_shown(sidecar, qemu)
        with pytest.raises(grpc.RpcError) as refused:
            launcher.define(sample(NAME), VMI)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "was taken away: shut the machine down and start it" in refused.value.details()
        assert_shown(sidecar, qemu)
        sidecar.process.signal(signal.SIGINT)
        assert sidecar.process.wait() == 0, sidecar.process.output
    assert [path.name for path in volume.iterdir()] == ["bus"]
    assert sidecar.left_files() == []


READ_ONLY_ROOT = """
user=$1 scratch=$2 python=$3 closed=$4
shift 4
if [ "$closed" ]; then
    # where Python belongs to root alone, as pyenv's does, others see it and nothing else there
    mkdir $scratch/python
    mount --bind $python $scratch/python
    mount -t tmpfs -o mode=755 home $closed
    mkdir -p $python
    mount --bind $scratch/python $python
fi
mount -t tmpfs -o mode=755 run /run
mkdir /run/kubevirt-hooks
mount -t tmpfs -o mode=2777,gid=$user volume /run/kubevirt-hooks
for point in / /run /tmp; do
    if mountpoint --quiet $point; then mount -o remount,bind,ro $point; fi
done
exec setpriv --reuid=$user --regid=$user --clear-groups --bounding-set=-all --no-new-privs "$@"
"""
"""A container's file system: KubeVirt's hook volume alone can be written, by the pod's group (fsGroup)."""


@in_own_mounts
def test_without_rights_and_with_a_read_only_root_the_volume_alone_is_enough(short_dir: Path) -> None:
    # as KubeVirt 1.4 and 1.5 start it: they have no CONTAINER_NAME
    environment = {"CONTAINER_NAME": "", "XDG_RUNTIME_DIR": "/var/run"}
    python = Path(sys.base_prefix).resolve()
    closed = [str(parent) for parent in reversed(python.parents) if not parent.stat().st_mode & 0o001]
    place = (str(SOMEBODY), str(short_dir), str(python), *(closed or [""])[:1])
    container = ("sh", "-ec", READ_ONLY_ROOT, "sh", *place)
    hook = Process(
        [
            *("unshare", "--mount", *container, *COMMAND, "hook"),
            *("--vnc", f"127.0.0.1:{free_port()}", "--rdp", f"127.0.0.1:{free_port()}"),
        ],
        short_dir / "hook.log",
        environment,
    )
    try:
        volume = Path(f"/proc/{hook.pid}/root/run/kubevirt-hooks")

        def there() -> bool:
            assert hook.is_running, hook.output
            return (volume / "vdi-sidecar.sock").exists()

        wait_until(there, "the hook socket is there")
        with grpc.insecure_channel(f"unix:{volume}/vdi-sidecar.sock") as channel:
            launcher = Launcher(channel)
            launcher.info()
            assert bus_of(launcher.define(sample(NAME), VMI)) == "unix:path=/var/run/kubevirt-hooks/dbus/bus"
        made = {str(path.relative_to(volume)): path.stat() for path in volume.rglob("*")}
        assert {name: stat.S_IMODE(found.st_mode) & 0o777 for name, found in made.items()} == {
            "vdi-sidecar.sock": 0o660,
            "dbus": 0o700,
            "dbus/bus": 0o600,
            "vdi-sidecar": 0o700,
            "vdi-sidecar/admin.sock": 0o600,
            "vdi-sidecar/tls": 0o700,
            "vdi-sidecar/tls/tls.crt": 0o600,
            "vdi-sidecar/tls/tls.key": 0o600,
        }
        assert {found.st_uid for found in made.values()} == {SOMEBODY}
        # as `kubectl exec` does
        inside = ("nsenter", f"--target={hook.pid}", "--mount", "--wd", "setpriv", f"--reuid={SOMEBODY}")
        status = subprocess.run(
            [*inside, f"--regid={SOMEBODY}", "--clear-groups", *COMMAND, "status"],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=60,
        )
        assert status.returncode == 0, status.stderr
        hook.signal(signal.SIGTERM)
        assert hook.wait() == 0, hook.output
    finally:
        hook.kill()
