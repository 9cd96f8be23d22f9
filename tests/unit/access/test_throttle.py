"""How often an address may try to log in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.access.throttle import (
    FIRST_PAUSE,
    FORGIVEN_EVERY,
    FORGOTTEN_AFTER,
    FREE_FAILURES,
    LONGEST_PAUSE,
    Throttle,
    network_of,
)

HOST = "192.0.2.1"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(clock)


def fail(throttle: Throttle, times: int, host: str = HOST) -> list[float]:
    return [throttle.failed(host) for _ in range(times)]


def test_some_failures_are_free_and_then_the_pause_grows_to_its_limit(throttle: Throttle) -> None:
    assert fail(throttle, FREE_FAILURES) == [0.0] * FREE_FAILURES
    assert throttle.wait(HOST) == 0
    assert fail(throttle, 7) == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE]
    assert throttle.wait(HOST) == LONGEST_PAUSE
    assert fail(throttle, 10_000)[-1] == LONGEST_PAUSE


def test_the_pause_ends(throttle: Throttle, clock: Clock) -> None:
    fail(throttle, FREE_FAILURES + 1)
    clock.now += FIRST_PAUSE / 2
    assert throttle.wait(HOST) == FIRST_PAUSE / 2
    clock.now += FIRST_PAUSE / 2
    assert throttle.wait(HOST) == 0
    # what counts then is one attempt
    assert throttle.failed(HOST) == FIRST_PAUSE * 2


def test_failures_are_forgotten_after_a_while(throttle: Throttle, clock: Clock) -> None:
    fail(throttle, FREE_FAILURES + 3)
    clock.now += FORGOTTEN_AFTER
    assert throttle.failed(HOST) == 0


def test_a_success_forgives_but_nobody_can_guess_on_with_a_ticket_of_their_own(
    throttle: Throttle, clock: Clock
) -> None:
    fail(throttle, FREE_FAILURES)
    throttle.succeeded(HOST)
    assert fail(throttle, FREE_FAILURES)[-1] == 0
    clock.now += FORGIVEN_EVERY / 2
    throttle.succeeded(HOST)
    assert throttle.failed(HOST) == FIRST_PAUSE
    clock.now += FORGIVEN_EVERY / 2
    throttle.succeeded(HOST)
    assert throttle.failed(HOST) == 0


def test_others_do_not_notice(throttle: Throttle) -> None:
    fail(throttle, FREE_FAILURES + 5)
    for host in ("192.0.2.2", "2001:db8::1", "unknown", ""):
        assert throttle.wait(host) == 0


def test_unix_sockets_are_not_throttled(throttle: Throttle) -> None:
    assert fail(throttle, 100, "") == [0.0] * 100
    assert throttle.wait("") == 0
    assert len(throttle) == 0


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
        ("pod-7", "pod-8", False),
    ],
)
def test_what_one_person_has_is_one_address(one: str, other: str, together: bool) -> None:
    assert (network_of(one) == network_of(other)) == together


def test_memory_is_bounded_and_the_latest_are_remembered(clock: Clock) -> None:
    throttle = Throttle(clock, most_addresses=8)
    fail(throttle, FREE_FAILURES + 1)
    for number in range(7):
        throttle.failed(f"198.51.100.{number}")
    assert throttle.wait(HOST) > 0
    fail(throttle, 1)
    for number in range(100, 107):
        throttle.failed(f"198.51.100.{number}")
    assert throttle.wait(HOST) > 0
    throttle.failed("198.51.100.200")
    assert throttle.wait(HOST) == 0
    assert len(throttle) == 8


@given(st.text(max_size=100))
@settings(deadline=None)
def test_anything_can_be_a_host(host: str) -> None:
    clock = Clock()
    throttle = Throttle(clock)
    fail(throttle, FREE_FAILURES + 1, host)
    assert (throttle.wait(host) > 0) == bool(host)
