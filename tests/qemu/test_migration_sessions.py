"""A machine moves to another host by QEMU's own live migration: what viewers of both hosts see and can do."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from migration_hosts import Host, two_hosts
from support.guest_image import VIDEO, Mode, desktop, typed
from support.migration import ENDED, Migration
from support.qemu import Qemu
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding, key_event
from support.waiting import wait_until

from sidecar.broadcast.last_words import last_words
from sidecar.qemu.guest import LOST, WAITING
from sidecar.screen.notice import draw_notice
from sidecar.screen.surface import Surface

ENCODINGS = (Encoding.ZRLE, Encoding.DESKTOP_SIZE, Encoding.DESKTOP_NAME)

A, B = ord("a"), ord("b")
A_DOWN, A_UP = "K1E", "K9E"
"""What the guest says of the key with an A on it."""
A_CODE, B_CODE = 0x1E, 0x30


@pytest.fixture
def hosts(short_dir: Path, guest_image: Path) -> Iterator[tuple[Host, Host]]:
    with two_hosts(short_dir, guest_image) as hosts:
        yield hosts


def watch(host: Host) -> RfbClient:
    return RfbClient(host.vnc, encodings=ENCODINGS)


def type_key(viewer: RfbClient, keysym: int) -> None:
    viewer.send(key_event(keysym, True) + key_event(keysym, False))


def notice(text: str) -> np.ndarray:
    """A screen that shows nothing else."""
    surface = Surface()
    draw_notice(surface, text, keep_picture=False)
    return surface.frame.pixels


def hear_out(viewer: RfbClient) -> None:
    """Takes what comes until the server has closed the connection."""
    with contextlib.suppress(ConnectionError):
        # TimeoutError where it stays open
        while True:
            viewer.receive()


def assert_says_why(viewer: RfbClient) -> None:
    """The last that it shows is why it was ended."""
    area, pixels = last_words(viewer.width, viewer.height, ENDED.text)
    assert np.array_equal(viewer.rgb[area.y : area.bottom, area.x : area.right], pixels)
    assert viewer.name.endswith(ENDED.text)


def test_viewers_of_the_old_host_are_told_and_those_of_the_new_host_go_on(hosts: tuple[Host, Host]) -> None:
    source, target = hosts
    machine = source.boot()
    machine.show(Mode.STILL)
    with watch(source) as viewer, watch(target) as early:
        viewer.until_shown(machine.screendump())
        early.until_shown(notice(WAITING))
        assert (source.state, target.state) == ("attached", "waiting")

        incoming = target.await_machine(source.domain)
        # an empty QEMU shows a text of its own
        early.until_shown(incoming.screendump())
        migration = Migration(machine, incoming)
        machine.show(Mode.DESKTOP)
        viewer.until_shown(desktop())
        type_key(viewer, A)
        machine.com1.wait_for(typed(A_CODE))
        type_key(early, B)
        assert incoming.state == "inmigrate"
        assert (source.sessions, target.sessions) == ((1, 0), (1, 0))

        migration.complete()
        early.until_shown(desktop())
        assert np.array_equal(early.rgb, incoming.screendump())
        type_key(early, A)
        incoming.com1.wait_for(typed(A_CODE))
        # what was typed too early reached nobody
        assert f"K{B_CODE:02X}" not in incoming.com1.text
        # a machine that stands still because it has moved is still a machine
        assert (source.state, target.state) == ("attached", "attached")
        assert (source.sessions, target.sessions) == ((1, 0), (1, 0))

        source.leave()
        hear_out(viewer)
        assert_says_why(viewer)
        source.sidecar.assert_ends_well()
        assert f"reason={ENDED.code}" in source.sidecar.process.output

        with watch(target) as comes_again:
            comes_again.until_shown(incoming.screendump())
            assert target.sessions == (2, 0)


def test_a_moving_picture_goes_on_before_and_after(hosts: tuple[Host, Host]) -> None:
    source, target = hosts
    machine = source.boot()
    machine.show(Mode.VIDEO)
    with watch(source) as viewer, watch(target) as early:
        incoming = target.await_machine(source.domain)
        migration = Migration(machine, incoming)
        assert_moves(viewer)
        migration.complete()
        assert_moves(early)
        incoming.show(Mode.DESKTOP)
        early.until_shown(desktop())
        source.leave()
        hear_out(viewer)
        assert_says_why(viewer)
        source.sidecar.assert_ends_well()


def assert_moves(viewer: RfbClient) -> None:
    """It shows one picture after another."""
    for _ in range(5):
        before = viewer.values[VIDEO].copy()
        viewer.until(partial(differs, viewer, before), "the picture moves")


def differs(viewer: RfbClient, before: np.ndarray) -> bool:
    return not np.array_equal(viewer.values[VIDEO], before)


def test_a_migration_that_is_cancelled_or_fails_changes_nothing_for_viewers(
    hosts: tuple[Host, Host],
) -> None:
    source, target = hosts
    machine = source.boot()
    with watch(source) as viewer, watch(target) as early:
        incoming = target.await_machine(source.domain)
        Migration(machine, incoming).cancel()
        assert_works(viewer, machine)
        incoming.kill()
        wait_until(lambda: target.state == "lost", "the empty machine is gone")

        incoming = target.await_machine(source.domain)
        empty = incoming.screendump()
        early.until_shown(empty)
        migration = Migration(machine, incoming)
        incoming.kill()
        wait_until(lambda: migration.status == "failed", "QEMU has noticed")
        assert_works(viewer, machine)
        wait_until(lambda: target.state == "lost", "the empty machine is gone")
        early.until(lambda: early.shows(lost(empty)), "a notice is shown")
        assert (source.state, source.sessions, target.sessions) == ("attached", (1, 0), (1, 0))

        incoming = target.await_machine(source.domain)
        Migration(machine, incoming).complete()
        early.until_shown(incoming.screendump())
        type_key(early, A)
        incoming.com1.wait_for(typed(A_CODE))


def assert_works(viewer: RfbClient, machine: Qemu) -> None:
    """It shows what happens, and can be typed into."""
    for mode in (Mode.STILL, Mode.DESKTOP):
        machine.show(mode)
        viewer.until_shown(machine.screendump())
    type_key(viewer, A)
    machine.com1.wait_for(typed(A_CODE))


def lost(picture: np.ndarray) -> np.ndarray:
    """A picture with the notice that its machine is gone."""
    surface = Surface(picture.shape[1], picture.shape[0])
    surface.write(0, 0, picture)
    draw_notice(surface, LOST, keep_picture=True)
    return surface.frame.pixels


def test_a_target_whose_machine_never_came_ends_as_any_other(hosts: tuple[Host, Host]) -> None:
    source, target = hosts
    machine = source.boot()
    with watch(target) as early:
        Migration(machine, target.await_machine(source.domain)).cancel()
        target.leave()
        hear_out(early)
        assert_says_why(early)
        target.sidecar.assert_ends_well()


def test_a_key_that_is_held_while_the_machine_moves_is_up_after_it_is_typed_again(
    hosts: tuple[Host, Host],
) -> None:
    """Nobody can let go of it: the old QEMU takes no keys any more, and the new one holds it for up."""
    source, target = hosts
    machine = source.boot()
    with watch(source) as viewer:
        incoming = target.await_machine(source.domain)
        migration = Migration(machine, incoming)
        viewer.send(key_event(A, True))
        machine.com1.wait_for(A_DOWN)
        migration.complete()
        source.leave()
        hear_out(viewer)
    with watch(target) as comes_again:
        type_key(comes_again, B)
        incoming.com1.wait_for(typed(B_CODE))
        assert A_UP not in incoming.com1.text
        type_key(comes_again, A)
        incoming.com1.wait_for(typed(A_CODE))
