"""The annotation reporter before an API server, an account and a clock of which nothing can be believed.

The server is a double (tests/support/kubernetes_api.py).
"""

import asyncio
import json
import logging
import math
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from support.kubernetes_api import (
    NAME,
    NAMESPACE,
    OTHER_UID,
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

from sidecar.log import LineFormatter
from sidecar.problems import Problems
from sidecar.report import api_client, kubernetes, vmi_conversation
from sidecar.report.kubernetes import AnnotationReporter
from sidecar.report.service_account import InCluster
from sidecar.report.vmi_conversation import (
    LONGEST_RETRY,
    LONGEST_RETRY_AFTER,
    Answer,
    NoAnswer,
    VmiConversation,
    VmiName,
)
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.session.session import Session

COUNT = "vdi-sidecar/vnc-sessions"
SOON = 0.02


class Pod:
    """One with a registry; `moment`: what its clock says besides the time."""

    def __init__(self, api: KubernetesApi, mounted: Mounted) -> None:
        self.api = api
        self.mounted = mounted
        self.registry = Registry()
        self.problems = Problems()
        self.moment = 0.0

    def reporter(self) -> AnnotationReporter:
        feed = StatusFeed(self.registry, SyntheticGuest(), problems=self.problems)
        cluster = InCluster(self.mounted.environ, self.mounted.directory)
        return AnnotationReporter(feed, cluster=cluster, interval=SOON, random=lambda: 0.0, clock=self.clock)

    def clock(self) -> float:
        return asyncio.get_running_loop().time() + self.moment

    def log_in(self) -> Session:
        session = self.registry.connect("vnc", "tcp", "192.0.2.1:1", end=lambda _reason: None)
        self.registry.initialize(session, user="ann")
        return session

    async def shows(self, sessions: int) -> None:
        await eventually(
            lambda: self.api.annotations.get(COUNT) == str(sessions), f"the VMI shows {sessions} sessions"
        )

    async def has_problem(self, code: str) -> None:
        await eventually(lambda: code in {each.code for each in self.problems}, f"problem {code}")


@pytest.fixture
async def pod(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    monkeypatch.setattr(vmi_conversation, "FIRST_RETRY", SOON)
    monkeypatch.setattr(vmi_conversation, "LONGEST_RETRY", 5 * SOON)
    monkeypatch.setattr(vmi_conversation, "LONGEST_RETRY_AFTER", 5 * SOON)
    monkeypatch.setattr(kubernetes, "ACCOUNT_RETRY", SOON)
    monkeypatch.setattr(kubernetes, "MERGE_TIME", SOON)
    monkeypatch.setattr(api_client, "ANSWER_TIME", 0.2)
    monkeypatch.setattr(api_client, "LONGEST_ANSWER", 1 << 18)
    async with kubernetes_api(short_dir) as (api, mounted):
        yield Pod(api, mounted)


async def half_an_answer(request: web.Request) -> web.StreamResponse:
    """Promises more than it sends."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    request.transport.close()
    return web.Response()


MISDEEDS: list[Misdeed] = [
    *(
        answering(429, b"{}", Retry_After=seconds)
        for seconds in ("31536000", "-1", "NaN", "inf", "1e9", "٣", "1 2", "9" * 400, "")
    ),
    *(
        answering(status)
        for status in (100 + 102, 301, 308, 400, 401, 403, 404, 409, 410, 422, 500, 504, 599)
    ),
    answering(307, b"", Location="http://127.0.0.1:1/"),
    answering(200, b'{"metadata": {"uid": []}}'),
    answering(200, b'{"metadata": {"uid": "' + UID.encode() + b'", "resourceVersion": 7}, "status": 3}'),
    answering(200, b"\xff\xfe"),
    answering(200, b"NaN"),
    answering(200, b"9" * 5000),
    answering(200, b'{"a":' * 50_000),
    answering(500, json.dumps({"message": "\ud800\n" * 1000}).encode()),
    hanging,
    dripping,
    endless,
    babbling,
    hanging_up,
    half_an_answer,
]


async def test_a_storm_of_everything_that_can_go_wrong_ends(
    pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    storm = MISDEEDS.copy()
    random.Random(5).shuffle(storm)
    async with pod.reporter() as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        pod.api.misdeeds = storm
        while pod.api.misdeeds:
            left = len(pod.api.misdeeds)
            # what was written well is written again when there is something to say
            session = pod.log_in()
            await eventually(lambda left=left: len(pod.api.misdeeds) < left, "it goes on")
            pod.registry.disconnected(session)
        pod.log_in()
        await pod.shows(1)
        await eventually(lambda: pod.problems.health == "ok", "no problem is left")
    # at every level: neither the token nor a part of it that proves anything
    said = "".join(LineFormatter().format(record) + repr(record.__dict__) for record in caplog.records)
    assert "VMI annotated" in said
    assert service_token() not in said
    assert service_token().rpartition(".")[0] not in said


async def test_the_clock_may_jump(pod: Pod) -> None:
    async with pod.reporter() as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        await pod.shows(0)
        for sessions, moment in enumerate((1e9, 1e9 - SOON, 2e9), 1):
            pod.moment = moment
            pod.log_in()
            await pod.shows(sessions)


async def test_a_service_account_that_is_everything_but_that(pod: Pod) -> None:
    token, bundle = pod.mounted.directory / "token", (pod.mounted.directory / "ca.crt").read_bytes()
    async with pod.reporter() as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        await pod.shows(0)
        sessions = 0
        for make in (os.mkfifo, os.mkdir, lambda path: path.symlink_to(path), lambda path: path.touch()):
            token.unlink()
            make(token)
            pod.log_in()
            sessions += 1
            await pod.has_problem("AnnotationsFailed")
            token.rmdir() if token.is_dir() else token.unlink()
            pod.mounted.rotate(service_token())
            await pod.shows(sessions)
        for junk in (b"", b"\0" * 1000, b"-----BEGIN CERTIFICATE-----\n" * 1000, b"x" * (1 << 20)):
            (pod.mounted.directory / "ca.crt").write_bytes(junk)
            pod.log_in()
            sessions += 1
            await pod.has_problem("AnnotationsFailed")
            (pod.mounted.directory / "ca.crt").write_bytes(bundle)
            await pod.shows(sessions)


async def test_a_vmi_that_was_made_again_with_its_name_is_spoken_for_when_it_is_known(pod: Pod) -> None:
    async with pod.reporter() as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        await pod.shows(0)
        del pod.api.objects[VMI_PATH]
        pod.log_in()
        await pod.has_problem("AnnotationsWithoutVmi")
        pod.api.objects[VMI_PATH] = vmi(OTHER_UID)
        await eventually(lambda: "another VMI" in str([*pod.problems]), "it is another one")
        assert COUNT not in pod.api.annotations
        reporter.identify(NAMESPACE, NAME, OTHER_UID)
        await pod.shows(1)
        await eventually(lambda: pod.problems.health == "ok", "no problem is left")


@pytest.mark.parametrize("misdeed", [hanging, dripping, endless, babbling])
async def test_leaving_while_a_request_is_under_way_is_bounded(
    pod: Pod, misdeed: Misdeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "ANSWER_TIME", 600)
    monkeypatch.setattr(kubernetes, "FAREWELL_TIME", SOON)
    async with pod.reporter() as reporter:
        reporter.identify(NAMESPACE, NAME, UID)
        await pod.shows(0)
        pod.api.misdeeds = [misdeed] * 3
        pod.log_in()
        await eventually(lambda: len(pod.api.misdeeds) < 3, "one is under way")
    assert pod.problems.health == "ok"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(UID),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "uid", "status", "migrationState", "targetPod", "message", "completed"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)
ANSWERS = st.just(NoAnswer("a cause")) | st.builds(
    Answer,
    st.sampled_from([200, 201, 204, 301, 401, 403, 404, 409, 422, 429, 500]),
    JUNK | st.just(vmi()) | st.just(vmi(OTHER_UID)),
    st.none() | st.floats(0, 1e9),
)


@given(st.lists(st.tuples(ANSWERS, st.floats(0, 1e6)), max_size=20))
def test_whatever_is_answered_whenever_the_next_request_comes_in_good_time(
    answers: list[tuple[Any, float]],
) -> None:
    conversation = VmiConversation(VmiName(NAMESPACE, NAME, UID), "pod", "account", random=lambda: 1.0)
    now = 0.0
    for number, (answer, passes) in enumerate(answers):
        wanted = {COUNT: str(number)}
        request = conversation.request(wanted, now)
        if request is not None:
            conversation.take(answer, now)
        due = conversation.due({COUNT: "new"})
        assert due == math.inf or due <= now + max(LONGEST_RETRY, LONGEST_RETRY_AFTER) * 1.5
        if conversation.problem is not None:
            assert conversation.problem.message.isprintable()
        now += passes
