import asyncio
import subprocess
import sys

import pytest

from sidecar.guest import GuestState
from sidecar.hook.termination import EndReason, Termination, time_to_go

ATTACHED, LOST, WAITING = GuestState.ATTACHED, GuestState.LOST, GuestState.WAITING


@pytest.fixture
def termination() -> Termination:
    return Termination(grace=60.0, margin=5.0)


def test_without_being_asked_it_stays(termination: Termination) -> None:
    for state in (WAITING, ATTACHED, LOST, ATTACHED):
        termination.guest_changed(state)
        assert termination.reason(1e9) is None
        assert termination.remaining(1e9) is None


@pytest.mark.parametrize("state", [WAITING, ATTACHED, LOST])
def test_shutdown_ends_it_at_once_whatever_the_guest_does(
    termination: Termination, state: GuestState
) -> None:
    termination.guest_changed(state)
    termination.shutdown_answered()
    assert termination.reason(0.0) is EndReason.SHUTDOWN_CALLED


def test_sigterm_ends_it_at_once_when_no_guest_was_ever_seen(termination: Termination) -> None:
    termination.sigterm(100.0)
    assert termination.reason(100.0) is EndReason.GUEST_GONE


def test_sigterm_after_the_guest_has_gone_ends_it_at_once(termination: Termination) -> None:
    termination.guest_changed(ATTACHED)
    termination.guest_changed(LOST)
    termination.sigterm(100.0)
    assert termination.reason(100.0) is EndReason.GUEST_GONE


def test_sigterm_waits_for_an_attached_guest_until_the_grace_period_is_nearly_over(
    termination: Termination,
) -> None:
    termination.guest_changed(ATTACHED)
    termination.sigterm(100.0)
    assert termination.reason(154.9) is None
    assert termination.remaining(120.0) == 35.0
    assert termination.reason(155.0) is EndReason.GRACE_OVER
    assert termination.remaining(155.0) is None


def test_sigterm_waits_no_longer_than_for_the_guest_to_go(termination: Termination) -> None:
    termination.guest_changed(ATTACHED)
    termination.sigterm(100.0)
    termination.guest_changed(LOST)
    assert termination.reason(101.0) is EndReason.GUEST_GONE


def test_shutdown_during_the_grace_period_ends_it(termination: Termination) -> None:
    termination.guest_changed(ATTACHED)
    termination.sigterm(100.0)
    termination.shutdown_answered()
    assert termination.reason(101.0) is EndReason.SHUTDOWN_CALLED


def test_a_second_sigterm_neither_hurries_nor_delays_it(termination: Termination) -> None:
    termination.guest_changed(ATTACHED)
    termination.sigterm(100.0)
    termination.sigterm(150.0)
    assert termination.reason(154.0) is None
    assert termination.reason(155.0) is EndReason.GRACE_OVER


def test_a_short_grace_period_keeps_half_of_it_for_letting_go() -> None:
    termination = Termination(grace=4.0, margin=5.0)
    termination.guest_changed(ATTACHED)
    termination.sigterm(0.0)
    assert termination.remaining(0.0) == 2.0


async def test_time_to_go_comes_with_the_guests_end(termination: Termination) -> None:
    termination.guest_changed(ATTACHED)
    going = asyncio.create_task(time_to_go(termination, clock=lambda: 100.0))
    await asyncio.sleep(0)
    termination.sigterm(100.0)
    await asyncio.sleep(0)
    assert not going.done()
    termination.guest_changed(LOST)
    assert await going is EndReason.GUEST_GONE
    assert len(termination.changes) == 0


async def test_time_to_go_comes_with_the_end_of_the_grace_period() -> None:
    termination = Termination(grace=0.02, margin=0.0)
    termination.guest_changed(ATTACHED)
    loop = asyncio.get_running_loop()
    termination.sigterm(loop.time())
    assert await time_to_go(termination, clock=loop.time) is EndReason.GRACE_OVER


async def test_nobody_listens_after_waiting_was_given_up(termination: Termination) -> None:
    going = asyncio.create_task(time_to_go(termination))
    await asyncio.sleep(0)
    assert len(termination.changes) == 1
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert len(termination.changes) == 0


def test_deciding_does_not_load_grpc() -> None:
    program = "import sidecar.hook.termination, sys; sys.exit('grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("state", [WAITING, ATTACHED, LOST])
def test_who_interrupts_it_at_a_terminal_does_not_wait(termination: Termination, state: GuestState) -> None:
    termination.guest_changed(state)
    termination.interrupted()
    assert termination.reason(0.0) is EndReason.INTERRUPTED


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def unattended(clock: Clock) -> Termination:
    """Nobody will call Shutdown."""
    return Termination(grace=60.0, margin=5.0, leave_after=30.0, clock=clock)


def test_unattended_it_leaves_when_the_guest_has_not_come_back(unattended: Termination) -> None:
    unattended.guest_changed(ATTACHED)
    unattended.guest_changed(LOST)
    assert unattended.reason(129.9) is None
    assert unattended.remaining(110.0) == 20.0
    assert unattended.reason(130.0) is EndReason.GUEST_LOST
    assert unattended.remaining(130.0) is None


def test_unattended_it_stays_as_long_as_it_takes_for_a_guest_to_come_first(unattended: Termination) -> None:
    unattended.guest_changed(WAITING)
    unattended.domain_wanted()
    assert unattended.reason(1e9) is None
    assert unattended.remaining(1e9) is None


def test_unattended_it_stays_when_the_guest_is_back_in_time(unattended: Termination, clock: Clock) -> None:
    unattended.guest_changed(ATTACHED)
    unattended.guest_changed(LOST)
    clock.now = 120.0
    unattended.guest_changed(ATTACHED)
    assert unattended.reason(1e9) is None
    clock.now = 500.0
    unattended.guest_changed(LOST)
    assert unattended.remaining(500.0) == 30.0


def test_unattended_a_new_start_of_the_machine_is_waited_for_as_long_again(
    unattended: Termination, clock: Clock
) -> None:
    unattended.guest_changed(ATTACHED)
    unattended.guest_changed(LOST)
    clock.now = 125.0
    unattended.domain_wanted()
    assert unattended.remaining(130.0) == 25.0
    assert unattended.reason(155.0) is EndReason.GUEST_LOST


def test_unattended_sigterm_after_the_guest_was_lost_ends_it_at_once(unattended: Termination) -> None:
    unattended.guest_changed(ATTACHED)
    unattended.guest_changed(LOST)
    unattended.sigterm(101.0)
    assert unattended.reason(101.0) is EndReason.GUEST_GONE


def test_unattended_sigterm_waits_for_an_attached_guest_as_ever(unattended: Termination) -> None:
    unattended.guest_changed(ATTACHED)
    unattended.sigterm(100.0)
    assert unattended.remaining(100.0) == 55.0
    unattended.guest_changed(LOST)
    assert unattended.reason(100.0) is EndReason.GUEST_GONE


def test_who_will_be_told_to_go_does_not_leave_a_lost_guest(termination: Termination) -> None:
    termination.guest_changed(ATTACHED)
    termination.guest_changed(LOST)
    assert termination.reason(1e9) is None


async def test_time_to_go_comes_when_the_guest_has_not_come_back() -> None:
    loop = asyncio.get_running_loop()
    termination = Termination(leave_after=0.02, clock=loop.time)
    termination.guest_changed(ATTACHED)
    going = asyncio.create_task(time_to_go(termination, clock=loop.time))
    await asyncio.sleep(0)
    termination.guest_changed(LOST)
    assert await going is EndReason.GUEST_LOST
    assert len(termination.changes) == 0
