"""Whether QEMU comes onto the bus in time."""

from sidecar.advice.arrival import PATIENCE, ArrivalWatch
from sidecar.guest import GuestState


def is_missed(watch: ArrivalWatch, now: float) -> bool:
    return watch.problem(now) is not None


def test_before_a_domain_is_defined_nobody_is_missed() -> None:
    assert not is_missed(ArrivalWatch(), 1e9)


def test_a_machine_that_does_not_come_is_missed_after_a_minute() -> None:
    watch = ArrivalWatch()
    watch.defined(100)
    assert not is_missed(watch, 100 + PATIENCE - 1)
    problem = watch.problem(100 + PATIENCE)
    assert problem is not None
    assert problem.code == "QemuNotOnTheBus"
    assert "qemu-kvm-ui-dbus" in problem.message
    assert "kubectl describe vmi" in problem.message


def test_tries_again_and_again_do_not_put_it_off() -> None:
    watch = ArrivalWatch()
    for now in range(0, 70, 10):
        watch.defined(now)
    assert is_missed(watch, PATIENCE)


def test_it_is_over_as_soon_as_the_machine_comes() -> None:
    watch = ArrivalWatch()
    watch.defined(0)
    assert is_missed(watch, 90)
    watch.guest_changed(GuestState.ATTACHED)
    assert not is_missed(watch, 90)
    assert not is_missed(watch, 1e9)


def test_one_that_came_in_time_and_went_is_not_missed() -> None:
    watch = ArrivalWatch()
    watch.defined(0)
    watch.guest_changed(GuestState.ATTACHED)
    watch.guest_changed(GuestState.LOST)
    assert not is_missed(watch, 1e9)


def test_a_definition_beside_a_running_machine_starts_nothing() -> None:
    watch = ArrivalWatch()
    watch.guest_changed(GuestState.ATTACHED)
    watch.defined(10)
    watch.guest_changed(GuestState.LOST)
    assert not is_missed(watch, 1e9)


def test_the_next_start_is_watched_again() -> None:
    watch = ArrivalWatch()
    watch.defined(0)
    watch.guest_changed(GuestState.ATTACHED)
    watch.guest_changed(GuestState.LOST)
    watch.defined(500)
    assert not is_missed(watch, 500 + PATIENCE - 1)
    assert is_missed(watch, 500 + PATIENCE)


def test_a_guest_that_waits_still_is_missed() -> None:
    watch = ArrivalWatch()
    watch.defined(0)
    watch.guest_changed(GuestState.WAITING)
    assert is_missed(watch, PATIENCE)
