"""`vdi-sidecar hook` with a volume that cannot be used: it ends, and says in one line what to do about it."""

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.hook_sidecar import HookSidecar, launcher_of
from support.own_mounts import in_own_mounts

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

Start = Callable[..., HookSidecar]


@pytest.fixture
def start(short_dir: Path) -> Iterator[Start]:
    """`start(option, ...)` -> a sidecar that has just been started."""
    short_dir.chmod(0o755)
    started: list[HookSidecar] = []

    def start(*options: str, **how: object) -> HookSidecar:
        started.append(HookSidecar(short_dir, *options, **how))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for sidecar in started:
        sidecar.process.kill()


def mounted(short_dir: Path, *commands: str) -> tuple[str, ...]:
    """Runs a program in mounts of its own, after shell commands in which $1 is the hook folder."""
    return (
        "unshare",
        "--mount",
        "sh",
        "-ec",
        f'{"; ".join(commands)}; shift; exec "$@"',
        "sh",
        f"{short_dir}/hooks",
    )


@as_root
def test_a_folder_of_somebody_else(start: Start, short_dir: Path) -> None:
    (short_dir / "hooks").mkdir(mode=0o755)
    os.chown(short_dir / "hooks", pwd.getpwnam("nobody").pw_uid, -1)
    refusal = start(wrapper=("setpriv", "--inh-caps=-all", "--bounding-set=-all")).refusal()
    assert "hooks/dbus: permission denied; user 0 must be able to write there" in refusal


@in_own_mounts
def test_a_read_only_volume(start: Start, short_dir: Path) -> None:
    read_only = mounted(short_dir, "mount --bind $1 $1", "mount -o remount,bind,ro $1")
    refusal = start(wrapper=read_only).refusal()
    assert f"hooks/dbus: read-only file system; user {os.geteuid()} must be able to write there" in refusal


@in_own_mounts
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (1, "the bus cannot be set up in {}/dbus: no space left on device; make room there"),
        (2, "{}/dbus/bus"),
        (3, "cannot use the hook folder {}: no space left on device; make room there"),
        (4, "cannot use the hook folder {}: no space left on device; make room there"),
    ],
    ids=["no directory for the bus", "no socket of the bus", "no directory for the hook", "no hook socket"],
)
def test_a_volume_that_takes_no_more_files(start: Start, short_dir: Path, files: int, reason: str) -> None:
    full = mounted(short_dir, f"mount -t tmpfs -o nr_inodes={files} full $1")
    refusal = start(wrapper=full).refusal()
    assert reason.format(short_dir / "hooks") in refusal
    assert "no space left on device" in refusal.lower()


@in_own_mounts
def test_a_run_directory_without_room_for_a_certificate(start: Start, short_dir: Path) -> None:
    full = mounted(
        short_dir, "mount -t tmpfs -o size=16k full $1", "! head -c 1M /dev/zero > $1/rubbish 2>/dev/null"
    )
    run = short_dir / "hooks" / "vdi-sidecar"
    refusal = start("--run-dir", str(run), "--rdp", "127.0.0.1:0", wrapper=full).refusal()
    assert f"cannot make a certificate in {run}/tls: no space left on device" in refusal


def test_no_dbus_daemon(start: Start, short_dir: Path) -> None:
    refusal = start(environment={"PATH": str(short_dir)}).refusal()
    assert "dbus-daemon is not installed: install the package dbus-daemon" in refusal


def test_a_folder_of_which_nobody_knows_where_qemu_sees_it(start: Start) -> None:
    refusal = start(environment={"CONTAINER_NAME": ""}).refusal(2)
    assert "Give --bus-dir-for-qemu DIR, or CONTAINER_NAME" in refusal


def test_a_folder_in_which_another_hook_lives(start: Start, short_dir: Path) -> None:
    first = start()
    with launcher_of(first) as launcher:
        launcher.info()
        second = start("--run-dir", str(short_dir / "run2"))
        wanted = f"another process answers on {short_dir}/hooks/dbus/bus: stop it"
        # both write into one log
        assert wanted in second.refusal()
        assert first.process.is_running
        launcher.info()
        assert len(first.bus_daemons()) == 1
