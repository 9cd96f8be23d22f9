"""What annotations tell of the status, and what they keep for themselves."""

import json
from typing import Any

from support.synthetic_guest import SyntheticGuest

from sidecar.problems import Problem, Problems, Severity
from sidecar.report.annotations import MOST_BYTES, MOST_SESSIONS, annotations_of, ended
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Policy, Registry
from sidecar.session.session import Session


class House:
    """A registry with problems, and the annotations of this moment."""

    def __init__(self) -> None:
        self.registry = Registry(Policy(max_sessions=1000), clock=lambda: 2**30 + 0.25)
        self.problems = Problems()
        self.feed = StatusFeed(self.registry, SyntheticGuest(), problems=self.problems)

    def log_in(self, user: str = "ann", auth: str = "X509Plain") -> Session:
        session = self.registry.connect("vnc", "tcp", "[2001:db8::1]:4000", True, end=lambda _reason: None)
        self.registry.initialize(session, user=user, auth=auth)
        return session

    def annotations(self, **options: Any) -> dict[str, str]:
        return annotations_of(self.feed.status(), **options)

    def status(self, **options: Any) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.annotations(**options)["vdi-sidecar/status"])
        return document


def test_the_annotations_have_the_agreed_shape() -> None:
    house = House()
    house.log_in()
    house.problems.found(Problem("MemoryLimit", Severity.WARNING, "give it more memory"))
    annotations = house.annotations()
    assert annotations.keys() == {
        "vdi-sidecar/vnc-sessions",
        "vdi-sidecar/rdp-sessions",
        "vdi-sidecar/status",
    }
    assert annotations["vdi-sidecar/vnc-sessions"] == "1"
    assert annotations["vdi-sidecar/rdp-sessions"] == "0"
    assert json.loads(annotations["vdi-sidecar/status"]) == {
        "state": "serving",
        "service": {"vnc": {"sessions": 1}, "rdp": {"sessions": 0}},
        "sessions": [
            {
                "id": "v1",
                "protocol": "vnc",
                "transport": "tcp",
                "tls": True,
                "auth": "X509Plain",
                "view_only": False,
                "initialized": "2004-01-10T13:37:04.250Z",
            }
        ],
        "more_sessions": 0,
        "vm": {"state": "attached"},
        "health": {"state": "warning", "problems": ["MemoryLimit"]},
    }


def test_nobody_is_named_who_watches() -> None:
    house = House()
    house.log_in(user="ann")
    house.problems.found(Problem("X", Severity.WARNING, "look at /var/vdi/password"))
    text = house.annotations()["vdi-sidecar/status"]
    assert not any(word in text for word in ("ann", "2001:db8", "4000", "/var/vdi"))


def test_what_is_not_told_changes_nothing() -> None:
    house = House()
    session = house.log_in()
    before = house.annotations()
    session.bytes_sent += 1000
    session.frames += 1
    session.encoding = "ZRLE"
    house.registry.connect("rdp", "tcp", "192.0.2.1:1", end=lambda _reason: None)
    assert house.annotations() == before


def test_problems_of_the_annotations_themselves_are_not_told() -> None:
    house = House()
    house.problems.found(Problem("Own", Severity.DEGRADED, "no right to write"))
    house.problems.found(Problem("Memory", Severity.WARNING, "too little"))
    assert house.status()["health"] == {"state": "degraded", "problems": ["Own", "Memory"]}
    assert house.status(without={"Own"})["health"] == {"state": "warning", "problems": ["Memory"]}


def test_a_long_list_is_cut_with_a_count() -> None:
    house = House()
    for _ in range(100):
        house.log_in()
    status = house.status()
    assert len(status["sessions"]) == MOST_SESSIONS
    assert status["more_sessions"] == 100 - MOST_SESSIONS
    assert status["service"]["vnc"]["sessions"] == 100
    assert len(house.annotations()["vdi-sidecar/status"]) <= MOST_BYTES


def test_the_text_stays_within_its_bound_whatever_a_session_is_like() -> None:
    house = House()
    for _ in range(10):
        house.log_in(auth="\ud800" * 100)
    text = house.annotations()["vdi-sidecar/status"]
    assert len(text.encode("ascii")) <= MOST_BYTES
    status = json.loads(text)
    assert len(status["sessions"]) + status["more_sessions"] == 10


def test_what_is_left_behind_says_that_nobody_watches() -> None:
    annotations = ended()
    assert annotations["vdi-sidecar/vnc-sessions"] == annotations["vdi-sidecar/rdp-sessions"] == "0"
    assert json.loads(annotations["vdi-sidecar/status"])["state"] == "ended"
