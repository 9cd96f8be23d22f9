"""Log lines: one for each event, as text or JSON, and floods of one event left out but counted."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.log import (
    BURST,
    MOST_EVENTS,
    RATE,
    SETTLED,
    EventHandler,
    EventLogger,
    FloodGate,
    JsonFormatter,
    LineFormatter,
    counted,
    get_logger,
)


class Written:
    """A log of its own, with the handler that the program has, at a time that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.time", lambda: self.now)
        # from Python 3.13 on records take their time from this one
        monkeypatch.setattr("time.time_ns", lambda: int(self.now * 1e9))
        self.stream = io.StringIO()
        self.handler = EventHandler(self.stream)
        self.handler.setFormatter(JsonFormatter())
        logger = logging.Logger("test")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(self.handler)
        self.log = EventLogger(logger)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    written = Written(monkeypatch)
    yield written
    written.handler.close()


def test_an_event_is_one_line_of_json_whatever_is_in_it(written: Written) -> None:
    odd = 'a "b"\n{c} %s \x1b[31m ü\ud800'
    written.log.bind(session="v7").info("100 %s sure", cause=odd, size=3, path=None)
    (line,) = written.lines
    assert (line["event"], line["level"], line["logger"]) == ("100 %s sure", "info", "test")
    assert (line["session"], line["cause"], line["size"], line["path"]) == ("v7", odd, 3, None)
    assert isinstance(line["time"], float)


def test_a_fault_brings_its_traceback_along(written: Written) -> None:
    try:
        {"a": 1}["broken"]
    except KeyError:
        written.log.exception("given up")
    (line,) = written.lines
    assert line["level"] == "error"
    assert "KeyError: 'broken'" in str(line["traceback"])


def test_a_line_for_people_stays_one_line() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s", ("two\nlines",), None)
    record.sidecar_context = {"cause": 'b "c"\n=', "session": "r1"}
    text = LineFormatter().format(record)
    assert "\n" not in text
    assert text.endswith(r'warning two\nlines cause="b \"c\"\n=" session=r1')


def test_a_flood_of_one_event_is_cut_and_another_event_says_so_in_the_end(written: Written) -> None:
    for number in range(BURST + 5):
        written.log.warning("login failed", number=number)
    written.log.info("listening")
    assert len(written.lines) == BURST + 1
    written.now += 2
    written.log.warning("login failed", number="later")
    assert written.lines[-1]["left_out"] == 5
    for _ in range(BURST):
        written.log.warning("login failed")
    said = len(written.lines)
    written.now += SETTLED
    written.log.info("listening")
    told, other = written.lines[said:]
    assert (told["event"], told["of"], told["left_out"]) == (
        "lines left out",
        "login failed",
        BURST + 1 - 2 * RATE,
    )
    assert "left_out" not in other


def test_what_was_left_out_last_is_told_when_the_program_ends(written: Written) -> None:
    for _ in range(BURST + 100):
        written.log.warning("login failed")
    written.handler.close()
    assert len(written.lines) == BURST + 1
    assert (
        written.lines[-1].items()
        >= {"event": "lines left out", "of": "login failed", "left_out": 100}.items()
    )


def test_neither_changes_in_the_audit_log_nor_lines_for_fault_finders_are_left_out(written: Written) -> None:
    for outcome in ("done", "failed"):
        for _ in range(2 * BURST):
            written.log.info("audit", outcome=outcome)
    for _ in range(2 * BURST):
        written.log.debug("sound dropped")
    assert len(written.lines) == 6 * BURST


def test_refusals_cannot_fill_the_audit_log(written: Written) -> None:
    for _ in range(1000):
        written.log.info("audit", outcome="refused")
    assert len(written.lines) == BURST


@given(st.lists(st.tuples(st.floats(0, 60), st.integers(1, BURST)), max_size=10))
@example([(0.0, BURST), (0.0, BURST), (SETTLED, 1), (1.0, BURST)])
def test_every_line_is_either_let_through_or_counted(floods: list[tuple[float, int]]) -> None:
    gate, now, passed, told = FloodGate(), 0.0, 0, 0
    for pause, lines in floods:
        now += pause
        told += sum(left_out for _, left_out in gate.untold(now))
        for _ in range(lines):
            left_out = gate.admit("event", now)
            if left_out is not None:
                passed += 1
                told += left_out
    told += sum(left_out for _, left_out in gate.untold())
    assert passed + told == sum(lines for _, lines in floods)
    assert passed <= BURST + now * RATE + 1
    assert gate.untold() == []


def test_a_clock_that_is_set_back_opens_nothing() -> None:
    gate = FloodGate()
    for _ in range(BURST):
        assert gate.admit("event", 1000.0) == 0
    assert gate.admit("event", 10.0) is None
    assert gate.admit("event", 11.5) == 1


def test_names_without_end_take_no_memory_without_end() -> None:
    gate = FloodGate()
    for number in range(10 * MOST_EVENTS):
        gate.admit(str(number), 0.0)
    assert gate.admit("new", 0.0) is None
    assert len(gate.untold()) == 1


def test_events_are_counted_whether_or_not_they_are_written() -> None:
    log = get_logger("quiet")
    logging.getLogger("quiet").setLevel(logging.CRITICAL)
    before = counted().get((logging.WARNING, "counted in a test"), 0)
    log.warning("counted in a test")
    log.debug("counted in a test")
    assert counted()[logging.WARNING, "counted in a test"] == before + 1
    assert (logging.DEBUG, "counted in a test") not in counted()
