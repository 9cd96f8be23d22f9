"""What the parts of a daemon count for themselves comes out as metrics, and what is not there does not."""

import logging
import math
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.logged_events import logged_events
from support.synthetic_guest import SyntheticConsole, SyntheticGuest
from support.waiting import eventually
from told_metrics import Told

from sidecar.broadcast.broadcast import Broadcast
from sidecar.broadcast.receiver import Receiver, Update
from sidecar.broadcast.timed_encoder import timed
from sidecar.encode.form import Codec, Encoding, Form
from sidecar.encode.store import SegmentStore
from sidecar.problems import Problems
from sidecar.report.error_metrics import EVENTS, ErrorKind, errors
from sidecar.report.exposition import Family, exposition
from sidecar.report.histogram import SECONDS, Histogram
from sidecar.report.metrics import Metrics
from sidecar.report.metrics_server import MetricsServer
from sidecar.report.metrics_sources import Sources
from sidecar.report.pulse import Pulse
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Pixels
from sidecar.session.registry import Registry
from sidecar.session.session import Session


def test_each_source_is_told() -> None:
    told = Told()
    assert told.values("display_messages") == {("_total",): 7}
    assert told.values("display_pixels") == {("_total",): 4096}
    assert told.values("display_unchanged") == {("_total",): 2}
    assert told.values("display_refused") == {("_total",): 1}
    assert told.values("unsent_bytes") == {("vnc",): 40, ("rdp",): 5}
    assert told.values("max_unsent_bytes") == {("vnc",): 30, ("rdp",): 5}
    assert told.values("failed_logins") == {("_total", "vnc", "wrong"): 3, ("_total", "api", "throttled"): 2}
    assert told.values("tickets") == {(): 4}
    assert told.values("usb_devices") == {(): 1}
    assert told.values("usb_bytes") == {("_total", "to-guest"): 100, ("_total", "from-guest"): 200}
    assert told.values("api_requests") == {("_total", "200"): 5, ("_total", "403"): 1}
    told.requests[500] += 1
    assert told.values("api_requests")["_total", "500"] == 1


def test_what_is_not_there_is_left_out() -> None:
    page = Metrics(Registry(), SyntheticGuest(), Problems()).page().decode()
    for name in ("tickets", "usb_", "api_", "cache_", "encode_", "display_", "unsent_", "failed_logins"):
        assert f"kubevirt_vmi_vdi_{name}" not in page


def test_sound_that_was_not_heard_stays_counted() -> None:
    told = Told()
    session = told.registry.connect("rdp", "tcp", "192.0.2.1:1", end=lambda _reason: None)
    session.audio_drop_outs = 3
    told.registry.disconnected(session)
    assert told.values("audio_drop_outs") == {("_total", "vnc"): 0, ("_total", "rdp"): 3}


@given(st.lists(st.floats(0, 10)))
def test_a_histogram_counts_every_value_once_and_up_to_its_bounds(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    samples = list(histogram.samples({"a": "b"}))
    buckets = {each.labels["le"]: each.value for each in samples if each.suffix == "_bucket"}
    assert list(buckets) == [*map(repr, SECONDS), "+Inf"]
    for bound, count in buckets.items():
        assert count == sum(value <= float(bound) for value in values)
    rest = {each.suffix: each.value for each in samples if each.suffix != "_bucket"}
    assert rest == {"_count": len(values), "_sum": pytest.approx(math.fsum(values))}
    assert all(each.labels["a"] == "b" for each in samples)


def test_a_histogram_is_written_as_prometheus_wants_it() -> None:
    histogram = Histogram((0.5,))
    histogram.observe(0.5)
    text = exposition([Family("x_seconds", "histogram", "X.", tuple(histogram.samples()))]).decode()
    assert text.splitlines()[1:] == [
        "# TYPE x_seconds histogram",
        'x_seconds_bucket{le="0.5"} 1',
        'x_seconds_bucket{le="+Inf"} 1',
        "x_seconds_sum 0.5",
        "x_seconds_count 1",
    ]


class Watcher(Receiver):
    """One who takes whatever comes."""

    def __init__(self, session: Session, console: SyntheticConsole) -> None:
        super().__init__(
            session,
            console.surface.frame,
            Form.of(Encoding.TIGHT),
            fail=lambda error: pytest.fail(str(error)),
        )
        self.updates = 0

    @property
    def area(self) -> Rectangle:
        return self.canvas.frame.bounds

    @property
    def ready(self) -> bool:
        return not self.job

    def send_update(self, update: Update, now: float) -> None:
        self.updates += 1


async def test_a_real_picture_is_measured_from_the_change_to_the_viewer() -> None:
    registry, console = Registry(), SyntheticConsole(0, 256, 128)
    session = registry.connect("vnc", "tcp", "", end=lambda _reason: None)
    with ThreadPoolExecutor(2) as pool:
        store = SegmentStore(pool, capacity=1)
        metrics = Metrics(registry, SyntheticGuest(), Problems(), Sources(pictures=store))
        broadcast = Broadcast(console, store)
        watcher = Watcher(session, console)
        try:
            broadcast.add(watcher)
            console.draw(0, 0, np.full((64, 64), 7, np.uint32))
            await eventually(lambda: watcher.updates > 0, "the viewer has a picture")
        finally:
            broadcast.close()
        assert store.jobs == 0
        page = metrics.page().decode()
        made = re.findall(r'vdi_encode_seconds_count\{encoding="tight"\} (\d+)', page)
        assert int(made[0]) >= 1
        assert re.search(r'vdi_encoded_bytes_total\{encoding="tight"\} [1-9]', page)
        assert re.search(r"vdi_update_delay_seconds_count [1-9]", page)
        assert re.search(r'vdi_cache_requests_total\{result="miss"\} [1-9]', page)
        metrics.close()
        assert store.measures is None


async def test_segments_that_make_room_are_counted() -> None:
    console = SyntheticConsole(0, 256, 64)
    areas = [Rectangle(x, 0, 64, 64) for x in range(0, 256, 64)]
    frame = console.surface.frame
    with ThreadPoolExecutor(1) as pool:
        store = SegmentStore(pool, capacity=2000)
        await store.segments(0, frame, frame.versions.copy(), areas, Form.of(Encoding.TIGHT))
        assert store.evictions == len(areas) - len(store)
        assert store.evictions > 0


def test_errors_are_told_by_kind() -> None:
    lines = {
        (logging.INFO, "TLS handshake failed"): 2,
        (logging.WARNING, "login failed"): 9,
        (logging.ERROR, "encoding failed"): 1,
        (logging.ERROR, "given up"): 1,
        (logging.INFO, "session initialized"): 5,
    }
    found = errors(lines)
    assert {kind: count for kind, count in found.items() if count} == {ErrorKind.TLS: 2, ErrorKind.SERVER: 2}
    assert set(found) == set(ErrorKind)


def test_every_event_that_counts_as_an_error_is_logged_somewhere() -> None:
    events = logged_events()
    assert EVENTS.keys() <= events.keys()
    # those of the level debug are not counted
    assert all(events[name].levels != {"debug"} for name in EVENTS)


def test_round_trips_are_looked_at_for_those_who_are_asked() -> None:
    registry = Registry()
    pulse = Pulse(registry)
    for round_trip in (0.03, None):
        session = registry.connect("vnc", "tcp", "", end=lambda _reason: None)
        registry.initialize(session)
        session.round_trip = round_trip
    registry.connect("rdp", "tcp", "", end=lambda _reason: None).round_trip = 1.0
    pulse.beat(0.004)
    pulse.beat(0.0)
    lag, trips = pulse.families("")
    counts = {each.labels["protocol"]: each.value for each in trips.samples if each.suffix == "_count"}
    assert counts == {"vnc": 2, "rdp": 0}
    assert [each.value for each in lag.samples if each.suffix in ("_sum", "_count")] == [0.004, 2]


async def test_the_loop_is_looked_at_while_metrics_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.report.pulse.BEAT", 0.01)
    metrics = Metrics(Registry(), SyntheticGuest(), Problems())

    def looks() -> int:
        (found,) = re.findall(rb"vdi_loop_lag_seconds_count (\d+)", metrics.page())
        return int(found)

    async with MetricsServer(metrics, "127.0.0.1", 0):
        await eventually(lambda: looks() > 2, "it was looked at")
        assert metrics.pulse.is_looking
    assert not metrics.pulse.is_looking


class Still:
    """A double of the H.264 encoder, which is an extra: a real one is in test_avc420.py."""

    def __init__(self, width: int, height: int, *, quality: int) -> None:
        self.is_open = True

    def encode(self, pixels: Pixels, areas: list[Rectangle], key_frame: bool) -> bytes:
        return b"picture"

    def close(self) -> None:
        self.is_open = False


def test_a_picture_of_a_film_is_measured_where_it_is_made() -> None:
    heard: list[tuple[Form, int]] = []

    def taken(form: Form, seconds: float, size: int) -> None:
        assert seconds > 0
        heard.append((form, size))

    form = Form(Codec.AVC420)
    encoder = timed(Still, form, taken)(64, 64, quality=50)
    assert encoder.encode(np.zeros((64, 64), np.uint32), [Rectangle(0, 0, 64, 64)], True) == b"picture"
    assert heard == [(form, 7)]
    encoder.close()
