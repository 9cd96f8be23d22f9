"""What is said to the API server, and when: the whole conversation without a socket."""

import json
import math
from typing import Any

import pytest
from support.kubernetes_api import NAME, NAMESPACE, OTHER_UID, POD, UID, VMI_PATH, vmi

from sidecar.report.annotations import ended
from sidecar.report.vmi_conversation import (
    LONGEST_RETRY,
    LONGEST_RETRY_AFTER,
    MIGRATION_LOOK,
    Answer,
    NoAnswer,
    Request,
    VmiConversation,
    VmiName,
    patience,
)

ZERO = {"vdi-sidecar/vnc-sessions": "0", "vdi-sidecar/rdp-sessions": "0", "vdi-sidecar/status": "{}"}
ONE = {**ZERO, "vdi-sidecar/vnc-sessions": "1"}
TWO = {**ZERO, "vdi-sidecar/vnc-sessions": "2"}
TARGET = "virt-launcher-testvmi-target"


class Talk:
    """A conversation with a clock; `chance` is what `random` gives, 1.0: the longest delay."""

    def __init__(self, pod: str = POD, chance: float = 1.0) -> None:
        self.now = 1000.0
        self.chance = chance
        self.conversation = VmiConversation(
            VmiName(NAMESPACE, NAME, UID), pod, "service account vdi", random=lambda: self.chance
        )

    def ask(self, wanted: dict[str, str]) -> Request | None:
        return self.conversation.request(wanted, self.now)

    def must_ask(self, wanted: dict[str, str], method: str) -> Request:
        request = self.ask(wanted)
        assert request is not None
        assert request.method == method
        return request

    def take(self, answer: Answer | NoAnswer) -> None:
        self.conversation.take(answer, self.now)

    def claim(self, wanted: dict[str, str]) -> Request:
        """Looks and claims; returns the claim."""
        self.must_ask(wanted, "GET")
        self.take(Answer(200, vmi()))
        request = self.must_ask(wanted, "PATCH")
        self.take(Answer(200, vmi()))
        return request

    def wait(self, wanted: dict[str, str]) -> float:
        """Seconds until the next request; then that much later."""
        seconds = self.conversation.due(wanted) - self.now
        self.now += seconds
        return seconds

    @property
    def problem(self) -> str | None:
        found = self.conversation.problem
        return None if found is None else found.code


def body(request: Request | None) -> Any:
    assert request is not None
    return json.loads(request.body)


def test_it_looks_claims_and_then_rests_until_something_changes() -> None:
    talk = Talk()
    request = talk.must_ask(ZERO, "GET")
    assert request.target == VMI_PATH
    talk.take(Answer(200, vmi()))
    request = talk.must_ask(ZERO, "PATCH")
    assert request.target == f"{VMI_PATH}?fieldManager=vdi-sidecar"
    assert request.content_type == "application/merge-patch+json"
    assert body(request) == {
        "metadata": {
            "uid": UID,
            "resourceVersion": "100",
            "annotations": {**ZERO, "vdi-sidecar/pod": POD},
        }
    }
    talk.take(Answer(200, vmi()))
    assert talk.conversation.due(ZERO) == math.inf
    talk.now += 1e6
    assert talk.ask(dict(ZERO)) is None


def test_a_report_depends_on_the_uid_and_on_the_pod() -> None:
    talk = Talk()
    talk.claim(ZERO)
    assert talk.wait(ONE) == 5.0
    request = talk.must_ask(ONE, "PATCH")
    assert request.content_type == "application/json-patch+json"
    tests = [each for each in body(request) if each["op"] == "test"]
    assert tests == [
        {"op": "test", "path": "/metadata/uid", "value": UID},
        {"op": "test", "path": "/metadata/annotations/vdi-sidecar~1pod", "value": POD},
    ]
    assert body(request)[:2] == tests
    assert {each["path"] for each in body(request)[2:]} == {
        "/metadata/annotations/vdi-sidecar~1vnc-sessions",
        "/metadata/annotations/vdi-sidecar~1rdp-sessions",
        "/metadata/annotations/vdi-sidecar~1status",
    }


def test_at_most_one_write_in_an_interval_and_the_last_state_arrives() -> None:
    talk = Talk()
    talk.claim(ZERO)
    talk.now += 1
    assert talk.ask(ONE) is None
    talk.now += 1
    assert talk.ask(TWO) is None
    assert talk.wait(TWO) == 3.0
    assert body(talk.must_ask(TWO, "PATCH"))[2]["value"] == "2"


def test_a_change_that_was_taken_back_is_not_written() -> None:
    talk = Talk()
    talk.claim(ZERO)
    talk.now += 10
    assert talk.conversation.due(ONE) <= talk.now
    assert talk.ask(ZERO) is None


def test_after_a_write_with_no_answer_the_old_state_is_written_again() -> None:
    talk = Talk()
    talk.claim(ZERO)
    talk.wait(ONE)
    talk.must_ask(ONE, "PATCH")
    talk.take(NoAnswer("no answer in time"))
    talk.wait(ZERO)
    assert body(talk.must_ask(ZERO, "PATCH"))[2]["value"] == "0"


def test_retries_wait_longer_each_time_up_to_a_minute() -> None:
    talk = Talk()
    waits = []
    for _ in range(9):
        talk.must_ask(ZERO, "GET")
        talk.take(Answer(500))
        waits.append(talk.wait(ZERO))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    talk.claim(ZERO)
    talk.wait(ONE)
    talk.must_ask(ONE, "PATCH")
    talk.take(NoAnswer("connection refused"))
    assert talk.wait(ONE) == 1


def test_half_of_a_delay_is_left_to_chance() -> None:
    talk = Talk(chance=0.0)
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(503))
    assert talk.wait(ZERO) == 0.5


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_the_server_asks_within_reason(status: int) -> None:
    talk = Talk()
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(status, retry_after=17.0))
    assert talk.wait(ZERO) == 17.0
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(status, retry_after=0.0))
    assert talk.wait(ZERO) == 2.0
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(status, retry_after=999999999.0))
    assert talk.wait(ZERO) == LONGEST_RETRY_AFTER


def test_a_short_trouble_is_not_told_and_a_long_one_is_until_it_is_over() -> None:
    talk = Talk()
    told = []
    for _ in range(3):
        talk.must_ask(ZERO, "GET")
        talk.take(Answer(500, {"message": "etcd\n is slow" + "." * 1000}))
        told.append(talk.problem)
        talk.wait(ZERO)
    assert told == [None, None, "AnnotationsFailed"]
    assert talk.conversation.problem is not None
    assert "500: etcd  is slow..." in talk.conversation.problem.message
    assert len(talk.conversation.problem.message) < 300
    talk.claim(ZERO)
    assert talk.problem is None


def test_a_missing_right_is_told_at_once_with_the_rule_that_grants_it() -> None:
    talk = Talk()
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(403, {"message": "forbidden"}))
    assert talk.problem == "AnnotationsForbidden"
    assert talk.conversation.problem is not None
    for word in ("service account vdi", "kubevirt.io", "virtualmachineinstances", "get, patch", NAMESPACE):
        assert word in talk.conversation.problem.message
    assert talk.wait(ZERO) == LONGEST_RETRY
    talk.claim(ZERO)
    assert talk.problem is None


def test_a_vmi_that_is_not_there_is_told_and_asked_for_slowly() -> None:
    talk = Talk()
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(404))
    assert talk.problem == "AnnotationsWithoutVmi"
    assert talk.wait(ZERO) == LONGEST_RETRY
    talk.must_ask(ZERO, "GET")


def test_another_vmi_of_the_same_name_is_left_alone_for_good() -> None:
    talk = Talk()
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(200, vmi(OTHER_UID)))
    assert talk.problem == "AnnotationsWithoutVmi"
    talk.now += 1e6
    assert talk.ask(ONE) is None
    assert talk.conversation.farewell() is None


@pytest.mark.parametrize("status", [409, 422])
def test_a_conflict_leads_back_to_a_look(status: int) -> None:
    talk = Talk()
    talk.claim(ZERO)
    talk.wait(ONE)
    talk.must_ask(ONE, "PATCH")
    talk.take(Answer(status, {"message": "the object has been modified"}))
    talk.wait(ONE)
    talk.claim(ONE)
    assert talk.conversation.due(ONE) == math.inf


def test_a_claim_that_is_refused_again_and_again_becomes_a_problem() -> None:
    talk = Talk()
    for _ in range(3):
        talk.must_ask(ZERO, "GET")
        talk.take(Answer(200, vmi()))
        talk.must_ask(ZERO, "PATCH")
        talk.take(Answer(422, {"message": "metadata.annotations: Too long"}))
        talk.wait(ZERO)
    assert talk.problem == "AnnotationsFailed"


@pytest.mark.parametrize(
    "document",
    [None, [], "x", 7, {}, {"metadata": None}, {"metadata": {"uid": 7}}, {"metadata": {"uid": ""}}],
)
def test_an_answer_that_is_no_vmi_is_a_failure(document: object) -> None:
    talk = Talk()
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(200, document))
    assert talk.wait(ZERO) == 1
    talk.claim(ZERO)
    talk.wait(ONE)
    talk.must_ask(ONE, "PATCH")
    talk.take(Answer(200, document))
    assert talk.wait(ONE) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 415, 500])
def test_no_other_answer_stops_it(status: int) -> None:
    talk = Talk()
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(status, retry_after=None))
    assert 0 < talk.wait(ZERO) <= LONGEST_RETRY
    talk.claim(ZERO)


def test_the_target_of_a_migration_is_silent_until_it_is_over() -> None:
    talk = Talk(TARGET)
    for _ in range(3):
        talk.must_ask(ZERO, "GET")
        talk.take(Answer(200, vmi(migrationState={"targetPod": TARGET, "sourcePod": POD})))
        assert talk.ask(ZERO) is None
        assert talk.wait(ZERO) == MIGRATION_LOOK
    assert talk.problem is None
    assert talk.conversation.farewell() is None
    talk.must_ask(ZERO, "GET")
    talk.take(Answer(200, vmi(migrationState={"targetPod": TARGET, "completed": True})))
    assert body(talk.must_ask(ZERO, "PATCH"))["metadata"]["annotations"]["vdi-sidecar/pod"] == TARGET


def test_the_source_of_a_migration_speaks_until_it_is_over_and_again_when_it_fails() -> None:
    for state, seconds in (
        ({}, 0),
        ({"targetPod": TARGET}, 0),
        ({"targetPod": TARGET, "completed": True}, LONGEST_RETRY),
        ({"targetPod": TARGET, "completed": True, "failed": True}, 0),
        # an earlier migration has brought the machine here
        ({"targetPod": POD, "completed": True}, 0),
    ):
        assert patience(vmi(migrationState=state), POD) == seconds
    assert patience(vmi(migrationState={"targetPod": TARGET, "completed": True, "failed": True}), TARGET) > 0


@pytest.mark.parametrize("status", [None, [], {"migrationState": 7}, {"migrationState": {"targetPod": []}}])
def test_a_status_that_says_nothing_of_migrations_hinders_nobody(status: object) -> None:
    assert patience({"status": status}, POD) == 0


def test_the_last_word_depends_on_the_pod_too() -> None:
    talk = Talk()
    assert talk.conversation.farewell() is None
    talk.claim(ONE)
    last = body(talk.conversation.farewell())
    assert {"op": "test", "path": "/metadata/annotations/vdi-sidecar~1pod", "value": POD} in last
    assert [each["value"] for each in last[2:]] == list(ended().values())


def test_a_claim_with_no_answer_is_taken_back_too() -> None:
    talk = Talk()
    talk.must_ask(ONE, "GET")
    talk.take(Answer(200, vmi()))
    talk.must_ask(ONE, "PATCH")
    talk.take(NoAnswer("no answer in time"))
    assert talk.conversation.farewell() is not None
