"""The metrics as an independent reader of Prometheus' format takes them: prometheus-client's parser."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from support.synthetic_guest import SyntheticGuest

from sidecar import __version__
from sidecar.guest import GuestState
from sidecar.problems import Problem, Problems, Severity
from sidecar.report.exposition import Family, Sample, exposition
from sidecar.report.metrics import Metrics
from sidecar.report.process_figures import process_families
from sidecar.session.registry import Policy, Registry
from sidecar.session.session import Session, SessionProtocol
from sidecar.session.state import EndReason


class House:
    def __init__(self) -> None:
        self.registry = Registry(Policy(max_sessions=5))
        self.guest = SyntheticGuest()
        self.problems = Problems()
        self.metrics = Metrics(self.registry, self.guest, self.problems)

    def connect(self, protocol: SessionProtocol = "vnc") -> Session:
        return self.registry.connect(protocol, "tcp", "192.0.2.77:1", end=lambda _reason: None)

    def log_in(self, protocol: SessionProtocol = "vnc") -> Session:
        session = self.connect(protocol)
        self.registry.initialize(session, user="ann")
        return session

    def families(self) -> dict[str, Metric]:
        return {each.name: each for each in text_string_to_metric_families(self.metrics.page().decode())}

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a family by the values of their labels."""
        samples = self.families()[f"kubevirt_vmi_vdi_{name}"].samples
        return {tuple(each.labels.values()): each.value for each in samples}


def test_sessions_are_told_by_protocol_and_state() -> None:
    house = House()
    house.log_in()
    house.log_in()
    house.log_in("rdp")
    house.connect()
    assert house.values("sessions") == {("vnc",): 2, ("rdp",): 1}
    assert house.values("waiting_connections") == {("vnc",): 1, ("rdp",): 0}
    assert house.values("max_sessions") == {(): 5}
    assert house.values("connections") == {("vnc",): 3, ("rdp",): 1}
    assert house.values("sessions_started") == {("vnc",): 2, ("rdp",): 1}


def test_traffic_of_sessions_that_are_gone_stays_counted() -> None:
    house = House()
    session = house.log_in()
    session.bytes_sent, session.bytes_received, session.frames = 2**60 + 1, 7, 3
    house.registry.disconnected(session)
    assert house.values("transmit_bytes") == {("vnc",): 2**60 + 1, ("rdp",): 0}
    assert house.values("receive_bytes") == {("vnc",): 7, ("rdp",): 0}
    assert house.values("transmit_frames") == {("vnc",): 3, ("rdp",): 0}


def test_failed_logins_are_there_before_the_first_and_other_ends_when_they_happen() -> None:
    house = House()
    assert house.values("connections_ended") == {("vnc", "login-failed"): 0, ("rdp", "login-failed"): 0}
    house.registry.disconnected(house.connect(), EndReason.LOGIN_FAILED)
    house.registry.disconnected(house.connect("rdp"), EndReason.FULL)
    assert house.values("connections_ended") == {
        ("vnc", "login-failed"): 1,
        ("rdp", "login-failed"): 0,
        ("rdp", "full"): 1,
    }


def test_the_machine_and_the_problems_are_told() -> None:
    house = House()
    house.guest.state = GuestState.LOST
    assert house.values("guest_state") == {("waiting",): 0, ("attached",): 0, ("lost",): 1}
    assert house.values("problem") == {}
    house.problems.found(Problem("MemoryLimit", Severity.WARNING, "give it more memory"))
    assert house.values("problem") == {("MemoryLimit", "warning"): 1}
    house.problems.gone("MemoryLimit")
    assert house.values("problem") == {}
    assert house.values("info") == {(__version__,): 1}


def test_nobody_is_named() -> None:
    house = House()
    house.log_in()
    page = house.metrics.page()
    assert b"ann" not in page
    assert b"192.0.2.77" not in page


def test_names_keep_to_the_rules() -> None:
    """promlint's and those of KubeVirt's prom-metrics-linter, as far as they are about names."""
    families = House().families()
    for name, family in families.items():
        assert name.startswith(("kubevirt_vmi_", "process_")), name
        assert re.fullmatch(r"[a-z_]+", name), name
        assert family.documentation, name
        assert not re.search(r"gauge|counter|_count$|_ms|_mb|milli|kilo|mega", name), name
        # the parser takes _total off a counter's name, and leaves it alone everywhere else
        assert not name.endswith("_total"), name
        suffixes = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_sum", "_count"}}
        for sample in family.samples:
            assert sample.name.removeprefix(name) in suffixes[family.type]
            assert all(re.fullmatch(r"[a-z_]+", label) for label in sample.labels)


def test_the_process_s_figures_are_those_of_prometheus_client() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    theirs = {each.name: each for each in registry.collect()}
    text = exposition(process_families()).decode()
    ours = {each.name: each for each in text_string_to_metric_families(text)}
    assert ours.keys() == theirs.keys()
    for name, family in ours.items():
        assert family.documentation == theirs[name].documentation
        assert family.type == theirs[name].type
        # what changes while one looks differs by little
        expected = theirs[name].samples[0].value
        assert family.samples[0].value == pytest.approx(expected, rel=0.1, abs=2)


def test_where_proc_cannot_be_read_the_process_is_left_out(tmp_path: Path) -> None:
    assert process_families(tmp_path) == []
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "stat").write_text("1 (x) S 1")
    (tmp_path / "stat").write_text("cpu 1\n")
    assert process_families(tmp_path) == []


def test_odd_labels_and_help_come_out_as_they_went_in() -> None:
    odd = 'back\\slash "quote" new\nline \\n ü\ud800'
    text = exposition([Family("x", "gauge", odd, (Sample(0.1, {"a": odd, "b": ""}),))])
    (family,) = text_string_to_metric_families(text.decode())
    (sample,) = family.samples
    assert sample.labels == {"a": odd.replace("\ud800", "?"), "b": ""}
    assert sample.value == 0.1
    assert family.documentation == odd.replace("\ud800", "?")
