"""The reporter over TLS against a double of the API server (support/kubernetes_api.py)."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.kubernetes_api import (
    NAME,
    NAMESPACE,
    OTHER_UID,
    POD,
    UID,
    VMI_PATH,
    KubernetesApi,
    Misdeed,
    Mounted,
    answering,
    babbling,
    dripping,
    endless,
    hanging,
    hanging_up,
    kubernetes_api,
    service_token,
    vmi,
)
from support.synthetic_guest import SyntheticGuest
from support.waiting import eventually

from sidecar.problems import Problem, Problems, Severity
from sidecar.report import api_client, kubernetes, vmi_conversation
from sidecar.report.kubernetes import AnnotationReporter
from sidecar.report.service_account import InCluster
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.session.session import Session

COUNT = "vdi-sidecar/vnc-sessions"
SOON = 0.02


class Pod:
    """A pod with a registry, and what its cluster has of its VMI."""

    def __init__(self, api: KubernetesApi, mounted: Mounted, stack: AsyncExitStack) -> None:
        self.api = api
        self.mounted = mounted
        self._stack = stack
        self.registry = Registry()
        self.problems = Problems()
        self.feed = StatusFeed(self.registry, SyntheticGuest(), problems=self.problems)

    def reporter(self) -> AnnotationReporter:
        cluster = InCluster(self.mounted.environ, self.mounted.directory)
        return AnnotationReporter(self.feed, cluster=cluster, interval=SOON, random=lambda: 0.0)

    async def report(self) -> AnnotationReporter:
        """A reporter that knows its VMI and stays until the test ends."""
        reporter = await self._stack.enter_async_context(self.reporter())
        reporter.identify(NAMESPACE, NAME, UID)
        return reporter

    def log_in(self) -> Session:
        session = self.registry.connect("vnc", "tcp", "192.0.2.1:1", end=lambda _reason: None)
        self.registry.initialize(session, user="ann")
        return session

    async def shows(self, sessions: int) -> None:
        await eventually(
            lambda: self.api.annotations.get(COUNT) == str(sessions), f"the VMI shows {sessions} sessions"
        )

    async def has_problem(self, code: str) -> Problem:
        return await eventually(
            lambda: next((each for each in self.problems if each.code == code), None), f"problem {code}"
        ) or pytest.fail("no problem")

    async def is_well(self) -> None:
        await eventually(lambda: self.problems.health == "ok", "the problem is gone")


@pytest.fixture
async def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    monkeypatch.setattr(vmi_conversation, "FIRST_RETRY", SOON)
    monkeypatch.setattr(vmi_conversation, "LONGEST_RETRY", 5 * SOON)
    monkeypatch.setattr(vmi_conversation, "MIGRATION_LOOK", SOON)
    monkeypatch.setattr(kubernetes, "ACCOUNT_RETRY", SOON)
    async with kubernetes_api(tmp_path) as (api, mounted), AsyncExitStack() as stack:
        yield Pod(api, mounted, stack)


async def test_the_sessions_of_a_machine_are_told_as_they_come_and_go(pod: Pod) -> None:
    await pod.report()
    await pod.shows(0)
    session = pod.log_in()
    await pod.shows(1)
    assert len(json.loads(pod.api.annotations["vdi-sidecar/status"])["sessions"]) == 1
    pod.registry.disconnected(session)
    await pod.shows(0)
    assert pod.api.annotations["vdi-sidecar/pod"] == POD
    assert pod.api.annotations["example.org/theirs"] == "kept"
    assert pod.problems.health == "ok"


async def test_nothing_is_sent_before_the_vmi_is_known(pod: Pod) -> None:
    (pod.mounted.directory / "token").unlink()
    async with pod.reporter():
        pod.log_in()
        await pod.has_problem("NoServiceAccount")
        pod.mounted.rotate(service_token())
        await pod.is_well()
    assert pod.api.seen == []


async def test_what_is_no_name_is_not_asked_for(pod: Pod) -> None:
    async with pod.reporter() as reporter:
        for namespace, name, uid in (("..", NAME, UID), (NAMESPACE, "a/b", UID), (NAMESPACE, NAME, "?")):
            reporter.identify(namespace, name, uid)
        assert pod.api.seen == []
        reporter.identify(NAMESPACE, NAME, UID)
        await pod.shows(0)
        assert {each.target.partition("?")[0] for each in pod.api.seen} == {VMI_PATH}


async def test_there_are_never_two_requests_at_once_and_the_last_state_arrives(pod: Pod) -> None:
    await pod.report()
    await pod.shows(0)
    for _ in range(50):
        session = pod.log_in()
        pod.registry.disconnected(session)
        await asyncio.sleep(0)
    pod.log_in()
    await pod.shows(1)
    assert pod.api.most_under_way == 1


@pytest.mark.parametrize(
    "misdeed",
    [
        answering(500),
        answering(503, b"<html>", Retry_After="0"),
        answering(429, b"", Retry_After="0"),
        answering(429, b"", Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"),
        answering(401),
        answering(302, b"", Location="https://127.0.0.1:1/elsewhere"),
        answering(200, b"[" * 100_000),
        answering(200, b"not json"),
        answering(200, b"{}", Content_Encoding="gzip"),
        answering(200, b"{}", X="y" * 100_000),
        hanging,
        dripping,
        endless,
        babbling,
        hanging_up,
    ],
    ids=lambda misdeed: getattr(misdeed, "__name__", ""),
)
async def test_it_gets_over_every_misdeed(
    pod: Pod, misdeed: Misdeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "ANSWER_TIME", 0.3)
    monkeypatch.setattr(api_client, "LONGEST_ANSWER", 2**18)
    pod.api.misdeeds = [misdeed]
    await pod.report()
    await pod.shows(0)
    pod.api.misdeeds = [misdeed]
    pod.log_in()
    await pod.shows(1)
    assert pod.api.misdeeds == []
    await pod.is_well()
    assert not any("elsewhere" in each.target for each in pod.api.seen)


async def test_a_rotated_token_is_used(pod: Pod) -> None:
    await pod.report()
    await pod.shows(0)
    pod.api.tokens = {service_token(serial=2)}
    pod.log_in()
    await pod.has_problem("AnnotationsFailed")
    pod.mounted.rotate(service_token(serial=2))
    await pod.shows(1)
    await pod.is_well()


async def test_a_missing_right_is_a_problem_until_it_is_given(pod: Pod) -> None:
    pod.api.verbs = {"get"}
    await pod.report()
    problem = await pod.has_problem("AnnotationsForbidden")
    assert "service account vdi may not patch the VMI" in problem.message
    assert problem.severity is Severity.DEGRADED
    pod.api.verbs = {"get", "patch"}
    await pod.shows(0)
    await pod.is_well()
    # what could not be written is not told afterwards either
    assert json.loads(pod.api.annotations["vdi-sidecar/status"])["health"] == {"state": "ok", "problems": []}


async def test_writes_of_others_in_between_are_no_obstacle(pod: Pod) -> None:
    pod.api.conflicts = 2
    await pod.report()
    await pod.shows(0)
    pod.api.conflicts = 2
    pod.log_in()
    await pod.shows(1)


async def test_annotations_that_somebody_has_removed_are_claimed_again(pod: Pod) -> None:
    await pod.report()
    await pod.shows(0)
    del pod.api.objects[VMI_PATH]["metadata"]["annotations"]
    pod.log_in()
    await eventually(lambda: "annotations" in pod.api.objects[VMI_PATH]["metadata"], "annotations are back")
    await pod.shows(1)
    assert pod.api.annotations["vdi-sidecar/pod"] == POD


async def test_another_vmi_of_the_same_name_is_never_patched(pod: Pod) -> None:
    await pod.report()
    await pod.shows(0)
    pod.api.objects[VMI_PATH] = vmi(OTHER_UID)
    pod.log_in()
    problem = await pod.has_problem("AnnotationsWithoutVmi")
    assert "another VMI" in problem.message
    assert COUNT not in pod.api.annotations


async def test_a_vmi_that_is_gone_is_a_problem(pod: Pod) -> None:
    del pod.api.objects[VMI_PATH]
    await pod.report()
    await pod.has_problem("AnnotationsWithoutVmi")
    pod.api.objects[VMI_PATH] = vmi()
    await pod.shows(0)
    await pod.is_well()


async def test_without_a_service_account_it_says_so_and_goes_on_when_there_is_one(pod: Pod) -> None:
    (pod.mounted.directory / "token").unlink()
    await pod.report()
    problem = await pod.has_problem("NoServiceAccount")
    assert "no service account is mounted" in problem.message
    assert pod.api.seen == []
    pod.mounted.rotate(service_token())
    await pod.shows(0)
    await pod.is_well()


async def test_leaving_says_that_nobody_watches(pod: Pod) -> None:
    async with pod.reporter() as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        pod.log_in()
        await pod.shows(1)
    assert pod.api.annotations[COUNT] == "0"
    assert json.loads(pod.api.annotations["vdi-sidecar/status"])["state"] == "ended"
    assert len(pod.feed.changes) == 0


async def test_leaving_takes_no_longer_than_it_may(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "FAREWELL_TIME", SOON)
    async with pod.reporter() as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        await pod.shows(0)
        pod.api.misdeeds = [hanging, hanging]
        pod.log_in()
        await eventually(lambda: len(pod.api.misdeeds) == 1, "a request hangs")
    assert pod.problems.health == "ok"


async def test_a_cancellation_while_leaving_is_not_lost(pod: Pod) -> None:
    async def life() -> None:
        async with pod.reporter() as reporter:
            reporter.identify(NAMESPACE, NAME, UID)
            await pod.shows(0)
            pod.api.misdeeds = [hanging]

    task = asyncio.create_task(life())
    await eventually(lambda: pod.api.under_way == 1 and pod.api.misdeeds == [], "the last word hangs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_a_migration_the_source_s_end_leaves_the_target_s_words_alone(pod: Pod) -> None:
    target = "virt-launcher-testvmi-target"
    source = AsyncExitStack()
    (await source.enter_async_context(pod.reporter())).identify(NAMESPACE, NAME, UID)
    pod.log_in()
    await pod.shows(1)
    document = pod.api.objects[VMI_PATH]
    document["status"]["migrationState"] = {"targetPod": target, "sourcePod": POD}

    pod.mounted.environ["POD_NAME"] = target
    async with AnnotationReporter(
        StatusFeed(Registry(), SyntheticGuest()),
        cluster=InCluster(pod.mounted.environ, pod.mounted.directory),
        interval=SOON,
    ) as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        looks = pod.api.methods().count("GET")
        await eventually(lambda: pod.api.methods().count("GET") >= looks + 3, "the target looks")
        # while it waits, the source goes on
        pod.log_in()
        await pod.shows(2)
        assert pod.api.annotations["vdi-sidecar/pod"] == POD

        pod.api.objects[VMI_PATH]["status"]["migrationState"]["completed"] = True
        await eventually(lambda: pod.api.annotations["vdi-sidecar/pod"] == target, "the target claims")
        assert pod.api.annotations[COUNT] == "0"
        looks = pod.api.methods().count("GET")
        pod.log_in()
        await eventually(lambda: pod.api.methods().count("GET") > looks, "the source is refused and looks")
        await source.aclose()
        assert pod.api.annotations[COUNT] == "0"
        assert json.loads(pod.api.annotations["vdi-sidecar/status"])["state"] == "serving"


async def test_a_server_with_another_s_certificate_is_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vmi_conversation, "FIRST_RETRY", SOON)
    async with kubernetes_api(tmp_path, named="127.0.0.2") as (api, mounted), AsyncExitStack() as stack:
        pod = Pod(api, mounted, stack)
        await pod.report()
        problem = await pod.has_problem("AnnotationsFailed")
        assert "certificate is not accepted" in problem.message
        assert api.seen == []


async def test_a_server_that_is_not_there_is_a_problem(pod: Pod) -> None:
    pod.mounted.environ["KUBERNETES_SERVICE_PORT"] = "1"
    await pod.report()
    problem = await pod.has_problem("AnnotationsFailed")
    assert problem.message.endswith("https://127.0.0.1:1 cannot be asked: connection refused")


async def test_a_server_on_ipv6_is_reached(tmp_path: Path) -> None:
    async with kubernetes_api(tmp_path, host="::1") as (api, mounted), AsyncExitStack() as stack:
        pod = Pod(api, mounted, stack)
        await pod.report()
        await pod.shows(0)


async def test_no_log_and_no_problem_has_the_token(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    pod.api.misdeeds = [answering(401), babbling, hanging_up, answering(403)]
    await pod.report()
    await pod.has_problem("AnnotationsForbidden")
    await pod.shows(0)
    said = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    assert "AnnotationsForbidden" in said
    assert service_token() not in said


async def test_a_fault_of_its_own_becomes_a_problem_and_ends_nothing_else(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_options: object) -> dict[str, str]:
        raise RuntimeError("a fault")

    monkeypatch.setattr(kubernetes, "annotations_of", broken)
    async with pod.reporter() as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        problem = await pod.has_problem("AnnotationsFailed")
        assert "a fault of vdi-sidecar" in problem.message
