"""Attaching in three ways to a real QEMU, which comes, goes and comes back."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attached_guest import attached, becomes, nothing_is_left_behind, running, shows_what_qemu_shows
from support.bus import Bus
from support.guest_image import Mode, desktop
from support.qemu import PEER_TO_PEER_DISPLAY, PROGRAM, Qemu, dbus_display
from support.waiting import eventually

from sidecar.guest import GuestState, PowerRefused
from sidecar.qemu.attach import BusAttach, FdAttach, QmpAttach
from sidecar.qemu.bus import PrivateBus
from sidecar.qemu.errors import AttachError
from sidecar.qemu.guest import ENDED, LOST, NO_DISPLAY, WAITING, QemuGuest
from sidecar.screen.notice import INK, draw_notice
from sidecar.screen.surface import Surface


def shows_notice(guest: QemuGuest, text: str, console: int = 0) -> bool:
    frame = guest.consoles[console].surface.frame
    expected = Surface(frame.width, frame.height)
    draw_notice(expected, text, keep_picture=False)
    return np.array_equal(frame.pixels == INK, expected.frame.pixels == INK)


# before


async def test_viewers_are_told_that_no_machine_is_there_yet() -> None:
    guest = QemuGuest(BusAttach("unix:path=/nowhere"))
    assert guest.state is GuestState.WAITING
    assert list(guest.consoles) == [0]
    assert shows_notice(guest, WAITING)
    assert (guest.name, guest.uuid, guest.consoles[0].label) == ("virtual machine", "", "")


async def test_bus_and_machine_may_come_late(short_dir: Path, start_qemu: Callable[..., Qemu]) -> None:
    attach = BusAttach(f"unix:path={short_dir}/bus")
    async with nothing_is_left_behind(), running(attach) as guest:
        await asyncio.sleep(0.2)
        async with PrivateBus(short_dir) as bus:
            await asyncio.sleep(0.3)
            assert guest.state is GuestState.WAITING
            qemu = await asyncio.to_thread(start_qemu, dbus_display(bus.address))
            await becomes(guest, GuestState.ATTACHED)
            await asyncio.to_thread(qemu.show, Mode.STILL)
            await shows_what_qemu_shows(guest, qemu)
            qemu.close()


async def test_name_and_uuid_are_the_machines(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        assert guest.name == "guest"
        assert guest.uuid == "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
        assert guest.consoles[0].label == "VGA"


# over a bus


async def test_viewers_stay_when_the_machine_dies_and_see_the_new_one(dbus_qemu: Qemu, bus: Bus) -> None:
    states: list[GuestState] = []
    async with nothing_is_left_behind(), attached(BusAttach(bus.address)) as guest:
        guest.lifecycle.subscribe(states.append)
        console, surface, keyboard = guest.consoles[0], guest.consoles[0].surface, guest.consoles[0].keyboard
        dbus_qemu.show(Mode.DESKTOP)
        await shows_what_qemu_shows(guest, dbus_qemu)
        for _ in range(2):
            dbus_qemu.kill()
            await becomes(guest, GuestState.LOST)
            await eventually(lambda: shows_notice(guest, LOST), "the notice")
            # the last picture is still there, at a quarter of its brightness
            assert surface.frame.pixels[300, 5] == desktop()[300, 5] >> 2 & 0x3F3F3F
            await asyncio.to_thread(dbus_qemu.start)
            await becomes(guest, GuestState.ATTACHED)
            await asyncio.to_thread(dbus_qemu.show, Mode.DESKTOP)
            await shows_what_qemu_shows(guest, dbus_qemu)
            keyboard.press(0x1E)
            keyboard.release(0x1E)
            await asyncio.to_thread(dbus_qemu.com1.wait_for, "K1E\nK9E\n")
        assert guest.consoles[0] is console
        assert (console.surface, console.keyboard) == (surface, keyboard)
    assert states == [GuestState.LOST, GuestState.ATTACHED] * 2


async def test_a_new_machine_with_fewer_heads_leaves_a_notice_on_the_others(
    start_qemu: Callable[..., Qemu], bus: Bus
) -> None:
    first = start_qemu(dbus_display(bus.address), extra=("-device", "secondary-vga"))
    async with attached(BusAttach(bus.address)) as guest:
        first.close()
        await becomes(guest, GuestState.LOST)
        await eventually(lambda: shows_notice(guest, LOST, console=1), "the notice on the second head")
        await asyncio.to_thread(start_qemu, dbus_display(bus.address))
        await becomes(guest, GuestState.ATTACHED)
        assert list(guest.consoles) == [0, 1]
        await eventually(lambda: shows_notice(guest, NO_DISPLAY, console=1), "the notice")


async def test_the_daemon_goes_on_while_the_machine_hangs(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        dbus_qemu.process.signal(signal.SIGSTOP)
        guest.consoles[0].keyboard.press(0x1E)
        await asyncio.sleep(0.2)
        assert guest.state is GuestState.ATTACHED
        assert guest.consoles[0].input_backlog == 1
        dbus_qemu.com1.forget()
        dbus_qemu.process.signal(signal.SIGCONT)
        await asyncio.to_thread(dbus_qemu.com1.wait_for, "K1E\n")
        guest.consoles[0].keyboard.release(0x1E)


async def test_stopping_while_the_machine_hangs_leaves_nothing_behind(dbus_qemu: Qemu, bus: Bus) -> None:
    dbus_qemu.process.signal(signal.SIGSTOP)
    async with nothing_is_left_behind(), running(BusAttach(bus.address)):
        await asyncio.sleep(0.3)
    dbus_qemu.process.signal(signal.SIGCONT)


async def test_stopping_in_the_moment_in_which_the_machine_goes_is_obeyed(dbus_qemu: Qemu, bus: Bus) -> None:
    async with nothing_is_left_behind():
        guest = QemuGuest(BusAttach(bus.address))
        run = asyncio.create_task(guest.run())
        await becomes(guest, GuestState.ATTACHED)
        assert guest._link
        guest._link.end("it went")
        # its end has been told in the loop, and is heard after this
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(run, 10)


async def test_a_second_sidecar_may_watch_the_same_machine(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as one, attached(BusAttach(bus.address)) as two:
        await asyncio.to_thread(dbus_qemu.show, Mode.STILL)
        await shows_what_qemu_shows(one, dbus_qemu)
        await shows_what_qemu_shows(two, dbus_qemu)


async def test_when_the_bus_dies_the_next_machine_comes_by_the_next_bus(
    short_dir: Path, start_qemu: Callable[..., Qemu]
) -> None:
    async with PrivateBus(short_dir) as bus, running(BusAttach(bus.address)) as guest:
        qemu = await asyncio.to_thread(start_qemu, dbus_display(bus.address))
        await becomes(guest, GuestState.ATTACHED)
        first = bus.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await becomes(guest, GuestState.LOST)
        await eventually(lambda: bus.pid not in (None, first), "the bus is started again")
        qemu.kill()
        await asyncio.to_thread(qemu.start)
        await becomes(guest, GuestState.ATTACHED)
        await asyncio.to_thread(qemu.show, Mode.STILL)
        await shows_what_qemu_shows(guest, qemu)


async def test_without_a_monitor_the_machine_cannot_be_switched(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        with pytest.raises(PowerRefused, match="--qmp"):
            await guest.power.reset()


# by the monitor


async def test_the_monitor_lets_us_in_again_after_a_restart(
    start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    monitor = short_dir / "display-qmp"
    qemu = start_qemu(PEER_TO_PEER_DISPLAY, extra=("-qmp", f"unix:{monitor},server=on,wait=off"))
    async with nothing_is_left_behind(), attached(QmpAttach(monitor)) as guest:
        qemu.show(Mode.DESKTOP)
        await shows_what_qemu_shows(guest, qemu)
        qemu.kill()
        await becomes(guest, GuestState.LOST)
        await asyncio.to_thread(qemu.start)
        await becomes(guest, GuestState.ATTACHED)
        await asyncio.to_thread(qemu.show, Mode.DESKTOP)
        await shows_what_qemu_shows(guest, qemu)
        guest.consoles[0].keyboard.press(0x1E)
        guest.consoles[0].keyboard.release(0x1E)
        await asyncio.to_thread(qemu.com1.wait_for, "K1E\nK9E\n")


async def test_a_machine_is_reset_and_switched_off_by_its_monitor(
    start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    monitor = short_dir / "display-qmp"
    qemu = start_qemu(PEER_TO_PEER_DISPLAY, extra=("-qmp", f"unix:{monitor},server=on,wait=off"))
    async with attached(QmpAttach(monitor)) as guest:
        qemu.com1.forget()
        await guest.power.reset()
        await asyncio.to_thread(qemu.com1.wait_for, "READY")
        # the guest does not listen to its power button: that QEMU takes the command is all there is to see
        await guest.power.shut_down()
        qemu.kill()
        await becomes(guest, GuestState.LOST)
        with pytest.raises(PowerRefused):
            await guest.power.reset()


async def test_a_sidecar_that_is_started_again_is_let_in_again(
    start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    monitor = short_dir / "display-qmp"
    qemu = start_qemu(PEER_TO_PEER_DISPLAY, extra=("-qmp", f"unix:{monitor},server=on,wait=off"))
    for _ in range(3):
        async with nothing_is_left_behind(), attached(QmpAttach(monitor)) as guest:
            await asyncio.to_thread(qemu.show, Mode.DESKTOP)
            await shows_what_qemu_shows(guest, qemu)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user than its QEMU")
async def test_a_machine_of_another_user_lets_us_in_by_its_monitor_and_by_a_socket(
    start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    program = short_dir / "qemu"
    # another user, who may write where ours does
    program.write_text(
        "#!/bin/sh\nexec setpriv --reuid=nobody --clear-groups --inh-caps=+dac_override"
        f' --ambient-caps=+dac_override {PROGRAM} "$@"\n'
    )
    program.chmod(0o755)
    monitor = short_dir / "display-qmp"
    qemu = start_qemu(
        PEER_TO_PEER_DISPLAY, extra=("-qmp", f"unix:{monitor},server=on,wait=off"), program=str(program)
    )
    assert Path(f"/proc/{qemu.pid}").stat().st_uid != os.geteuid()
    await asyncio.to_thread(qemu.show, Mode.DESKTOP)
    async with nothing_is_left_behind(), attached(QmpAttach(monitor)) as guest:
        await shows_what_qemu_shows(guest, qemu)
    ours = pass_socket(qemu)
    async with attached(FdAttach(ours)) as guest:
        await shows_what_qemu_shows(guest, qemu)


async def test_a_machine_without_such_a_display_is_waited_for(
    builtin_vnc_qemu: Qemu, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sidecar")
    builtin_vnc_qemu.qmp.close()
    async with running(QmpAttach(builtin_vnc_qemu.directory / "qmp")) as guest:
        await eventually(lambda: "no virtual machine can be reached" in caplog.text, "it is said")
        assert guest.state is GuestState.WAITING


# by a socket


async def test_a_socket_serves_until_the_machine_ends(p2p_qemu: Qemu) -> None:
    async with nothing_is_left_behind():
        ours = pass_socket(p2p_qemu)
        guest = QemuGuest(FdAttach(ours))
        run = asyncio.create_task(guest.run())
        await becomes(guest, GuestState.ATTACHED)
        p2p_qemu.show(Mode.DESKTOP)
        await shows_what_qemu_shows(guest, p2p_qemu)
        p2p_qemu.process.kill()
        await asyncio.wait_for(run, 10)
        assert guest.state is GuestState.LOST
        assert shows_notice(guest, ENDED)


def pass_socket(qemu: Qemu) -> int:
    """Does what libvirt does: a socket pair, one end to QEMU."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = b'{"execute": "getfd", "arguments": {"fdname": "display"}}\n'
        socket.send_fds(qemu.qmp._socket, [command], [theirs.fileno()])
        assert b"return" in qemu.qmp._lines.readline().encode()
        qemu.qmp("add_client", protocol="@dbus-display", fdname="display")
    return ours.detach()


@pytest.mark.parametrize("kind", ["closed", "a file", "nobody"])
async def test_a_descriptor_that_leads_nowhere_is_said_plainly(kind: str, short_dir: Path) -> None:
    ours, theirs = socket.socketpair()
    if kind == "nobody":
        theirs.close()
        descriptor = ours.detach()
    elif kind == "closed":
        descriptor = ours.fileno()
        ours.close()
        theirs.close()
    else:
        ours.close()
        theirs.close()
        (short_dir / "file").touch()
        descriptor = os.open(short_dir / "file", os.O_RDONLY)
    with pytest.raises(AttachError, match=f"file descriptor {descriptor}"):
        await QemuGuest(FdAttach(descriptor)).run()
    if kind == "a file":
        os.close(descriptor)
