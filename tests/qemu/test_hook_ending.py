"""How `vdi-sidecar hook` ends: with the machine, not before it, and without a trace."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from support.domain_samples import DIRECTORY, sample
from support.guest_image import Mode, desktop
from support.hook_sidecar import HookSidecar, Launcher, bus_of, launcher_of
from support.qemu import Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding, key_event
from support.waiting import wait_until

from sidecar.hook.api.session_status_pb2 import GetRequest, WatchRequest

VMI = (DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes()

Start = Callable[..., HookSidecar]


@pytest.fixture
def start(short_dir: Path) -> Iterator[Start]:
    """`start(option, ...)` -> a sidecar whose socket is there."""
    started: list[HookSidecar] = []

    def start(*options: str) -> HookSidecar:
        started.append(HookSidecar(short_dir, *options))
        started[-1].wait_for_socket()
        return started[-1]

    yield start
    for sidecar in started:
        sidecar.process.kill()


@pytest.fixture
def boot(start_qemu: Callable[..., Qemu]) -> Callable[[HookSidecar, Launcher], Qemu]:
    """Starts the machine that virt-launcher would, and waits until the sidecar knows it."""

    def boot(sidecar: HookSidecar, launcher: Launcher) -> Qemu:
        assert len(sidecar.bus_daemons()) == 1
        domain = launcher.define(sample("amd64-default-vnc"), VMI)
        qemu = start_qemu(dbus_display(sidecar.as_seen_here(bus_of(domain))))

        def attached() -> bool:
            return launcher.status.Get(GetRequest(), timeout=30).vm.state == "attached"

        wait_until(attached, "the machine is attached")
        return qemu

    return boot


Boot = Callable[[HookSidecar, Launcher], Qemu]

FOLLOWING = (Encoding.RAW, Encoding.DESKTOP_SIZE)
"""Of a viewer that may come before the machine's first picture, while a notice of another size is shown."""


def is_open(viewer: RfbClient) -> bool:
    try:
        viewer.refresh()
    except ConnectionError:
        return False
    return True


def test_shutdown_is_answered_then_all_is_let_go(start: Start, boot: Boot) -> None:
    sidecar = start()
    with launcher_of(sidecar) as launcher:
        qemu = boot(sidecar, launcher)
        watch = launcher.status.Watch(WatchRequest(), timeout=60)
        with RfbClient(sidecar.address, encodings=FOLLOWING) as viewer:
            while next(watch).service.vnc.sessions != 1:
                pass
            qemu.close()
            launcher.shut_down()
            sidecar.assert_ends_well()
            wait_until(lambda: not is_open(viewer), "it has had the last picture, and no more")
        *_, last = watch
        assert watch.code() is grpc.StatusCode.OK
        assert last.vm.state == "lost"


def test_sigterm_without_a_machine_ends_it(start: Start) -> None:
    sidecar = start("--grace", "1d")
    sidecar.process.signal(signal.SIGTERM)
    sidecar.assert_ends_well()


def test_sigterm_after_the_machine_ends_it(start: Start, boot: Boot) -> None:
    sidecar = start("--grace", "1d")
    with launcher_of(sidecar) as launcher:
        boot(sidecar, launcher).close()
        sidecar.process.signal(signal.SIGTERM)
        sidecar.assert_ends_well()


def test_after_sigterm_bus_and_viewers_stay_until_the_machine_has_shut_down(start: Start, boot: Boot) -> None:
    sidecar = start("--grace", "1d")
    with launcher_of(sidecar) as launcher:
        qemu = boot(sidecar, launcher)
        qemu.show(Mode.STILL)
        with RfbClient(sidecar.address, encodings=FOLLOWING) as viewer:
            viewer.until_shown(qemu.screendump())
            for _ in range(2):
                sidecar.process.signal(signal.SIGTERM)
                wait_until(lambda: "asked to end" in sidecar.process.output, "it has heard the signal")
            qemu.show(Mode.DESKTOP)
            viewer.until_shown(desktop())
            viewer.send(key_event(ord("a"), True) + key_event(ord("a"), False))
            qemu.com1.wait_for("K1E\nK9E\n")
            with RfbClient(sidecar.address, encodings=FOLLOWING) as newcomer:
                newcomer.until_shown(qemu.screendump())
            assert launcher.status.Get(GetRequest(), timeout=30).service.vnc.sessions >= 1
            qemu.close()
            sidecar.assert_ends_well()
            wait_until(lambda: not is_open(viewer), "it has had the last picture, and no more")


def test_a_machine_that_does_not_shut_down_is_left_when_the_grace_period_is_nearly_over(
    start: Start, boot: Boot
) -> None:
    sidecar = start("--grace", "2s")
    with launcher_of(sidecar) as launcher:
        qemu = boot(sidecar, launcher)
        sidecar.process.signal(signal.SIGTERM)
        sidecar.assert_ends_well()
        assert "grace period is nearly over" in sidecar.process.output
        assert qemu.process.is_running


def test_ctrl_c_does_not_wait_for_the_machine(start: Start, boot: Boot) -> None:
    sidecar = start("--grace", "1d")
    with launcher_of(sidecar) as launcher:
        boot(sidecar, launcher)
        sidecar.process.signal(signal.SIGINT)
        sidecar.assert_ends_well()


@pytest.mark.parametrize(
    ("end", "reason"), [(signal.SIGTERM, "gone"), (signal.SIGINT, "shutdown")], ids=["SIGTERM", "SIGINT"]
)
def test_viewers_are_told_before_anything_else_ends(start: Start, end: signal.Signals, reason: str) -> None:
    sidecar = start()
    with RfbClient(sidecar.address, encodings=FOLLOWING) as viewer:
        viewer.refresh()
        sidecar.process.signal(end)
        sidecar.assert_ends_well()
    after = sidecar.process.output.partition("ending cause=")[2]
    told, closed = (
        after.index(f"session disconnected session=v1 reason={reason}"),
        after.index("hook sockets"),
    )
    assert told < closed


def test_sigterm_while_it_starts_leaves_nothing_behind(short_dir: Path) -> None:
    sidecar = HookSidecar(short_dir)
    wait_until((sidecar.hook_directory / "dbus" / "bus").exists, "it has begun")
    sidecar.process.signal(signal.SIGTERM)
    sidecar.assert_ends_well()


def test_after_a_crash_it_starts_again_in_the_same_folders(start: Start, boot: Boot) -> None:
    crashed = start()
    wait_until(lambda: "hook socket ready" in crashed.process.output, "it has said so")
    crashed.process.kill()
    assert crashed.left_files() != []
    sidecar = start()
    # both write into one log
    wait_until(lambda: sidecar.process.output.count("hook socket ready") == 2, "it is there")
    with launcher_of(sidecar) as launcher:
        boot(sidecar, launcher)
        sidecar.process.signal(signal.SIGINT)
        # the crashed one has made it
        sidecar.assert_ends_well(sidecar.hook_directory / "dbus")
