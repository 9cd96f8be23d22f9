"""What a client is not sent because it is behind, with a clock that only the tests move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rdp.audio_pace import MAX_BEHIND, MAX_LATENCY, RESUME_BEHIND, AudioPace

EACH = 0.02
"""Seconds of a wave."""


class Client:
    """Is sent a wave every 20 ms, and confirms those that its lists say."""

    def __init__(self) -> None:
        self.pace = AudioPace()
        self.pace.began()
        self.now = 100.0
        self.block = 0
        self.sent: list[tuple[int, float]] = []
        self.dropped = 0

    def play(self, waves: int, latency: float | None, waits: float = 0.0, each: float = EACH) -> None:
        """`latency`: seconds until a wave is confirmed, None: never; `waits`: what the client says then."""
        for _ in range(waves):
            if self.pace.may_send(self.now):
                self.pace.sent(self.block % 256, int(self.now * 1000), each, self.now)
                self.sent.append((self.block, self.now))
                self.block += 1
            else:
                self.dropped += 1
            self.now += EACH
            while latency is not None and self.sent and self.sent[0][1] + latency <= self.now:
                self.confirm(waits)

    def confirm(self, waits: float = 0.0) -> None:
        block, at = self.sent.pop(0)
        self.pace.confirmed(block % 256, int((at + waits) * 1000) & 0xFFFF, self.now)


@pytest.mark.parametrize("latency", [0.0, 0.05, 0.3, 0.9])
def test_a_client_that_keeps_up_hears_all(latency: float) -> None:
    client = Client()
    client.play(3000, latency)
    assert client.dropped == 0


def test_a_client_that_stops_confirming_is_sent_200_ms() -> None:
    client = Client()
    client.play(500, 0.0)
    client.play(500, None)
    assert client.sent[-1][1] <= client.sent[0][1] + MAX_BEHIND
    assert len(client.sent) == pytest.approx(MAX_BEHIND / EACH, abs=2)


def test_a_client_that_never_confirms_is_sent_little() -> None:
    client = Client()
    client.play(5000, None)
    assert len(client.sent) * EACH <= MAX_LATENCY + MAX_BEHIND + 2 * EACH


def test_a_client_that_catches_up_hears_again() -> None:
    client = Client()
    client.play(100, 0.0)
    client.play(100, None)
    while client.pace.behind(client.now) > RESUME_BEHIND:
        assert not client.pace.may_send(client.now)
        client.confirm()
    assert client.pace.may_send(client.now)


def test_a_way_that_becomes_longer_is_the_clients_own_after_a_while() -> None:
    client = Client()
    client.play(500, 0.0)
    client.play(1500, 0.4)
    assert client.dropped
    client.dropped = 0
    client.play(1000, 0.4)
    assert client.dropped == 0


def test_what_waits_at_the_client_counts() -> None:
    """The client's clock is slower than the machine's: what it has got and not played grows."""
    client = Client()
    for waits in range(0, 400):
        client.play(1, 0.0, waits / 1000)
    assert client.dropped
    client.play(100, 0.0, 0.0)
    client.dropped = 0
    client.play(100, 0.0, 0.0)
    assert client.dropped == 0


def test_what_always_waits_at_the_client_is_its_own_latency() -> None:
    client = Client()
    client.play(1000, 0.0, 0.6)
    assert client.dropped == 0


def test_waves_that_are_confirmed_twice_wait_as_long_as_the_second_says() -> None:
    client = Client()
    for _ in range(300):
        assert client.pace.may_send(client.now)
        timestamp = int(client.now * 1000)
        client.pace.sent(client.block % 256, timestamp, EACH, client.now)
        client.pace.confirmed(client.block % 256, timestamp & 0xFFFF, client.now)
        client.pace.confirmed(client.block % 256, timestamp + 500 & 0xFFFF, client.now)
        client.block += 1
        client.now += EACH


def test_a_confirmation_counts_for_all_before() -> None:
    client = Client()
    client.play(5, None)
    client.pace.confirmed(4, 0, client.now)
    assert client.pace.behind(client.now) <= 0


def test_a_wait_below_zero_is_none() -> None:
    """FreeRDP adds modulo 65535."""
    client = Client()
    client.play(200, 0.0, -0.001)
    assert client.dropped == 0


def test_sound_after_silence_begins_anew() -> None:
    client = Client()
    client.play(100, 0.0, 0.0)
    for waits in range(0, 400, 10):
        client.play(1, 0.0, waits / 1000)
    assert not client.pace.may_send(client.now)
    client.pace.began()
    client.dropped = 0
    client.play(100, 0.0, 0.5)
    assert client.dropped == 0


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 65535), st.floats(0, 3))))
def test_whatever_is_confirmed_no_more_than_the_limit_is_on_the_way(
    confirmations: list[tuple[int, int, float]],
) -> None:
    pace = AudioPace()
    now, block, each = 5.0, 0, 0.1
    on_the_way: list[int] = []
    for confirmed, timestamp, seconds in confirmations:
        now += seconds
        while pace.may_send(now):
            pace.sent(block, int(now * 1000), each, now)
            on_the_way.append(block)
            assert len(on_the_way) * each <= MAX_LATENCY + MAX_BEHIND + 2 * each
            block = (block + 1) & 0xFF
        pace.confirmed(confirmed, timestamp, now)
        if confirmed in on_the_way:
            del on_the_way[: on_the_way.index(confirmed) + 1]
