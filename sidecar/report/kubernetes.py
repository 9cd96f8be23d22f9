"""Keeps the annotations of the pod's own VMI up to date, as long as it is entered."""

import asyncio
import math
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from random import random as random_number
from types import TracebackType
from typing import TYPE_CHECKING, Final

from sidecar.errors import NotReady
from sidecar.log import get_logger
from sidecar.problems import Problem, Severity
from sidecar.report.annotations import annotations_of
from sidecar.report.service_account import InCluster
from sidecar.report.vmi_conversation import CODES, FAILED, INTERVAL, NoAnswer, VmiConversation, VmiName
from sidecar.session.feed import StatusFeed

if TYPE_CHECKING:
    from sidecar.report.api_client import ApiClient

log = get_logger(__name__)

NO_ACCOUNT: Final = "NoServiceAccount"
OWN_CODES: Final = CODES | {NO_ACCOUNT}
"""Problems that cannot be read in the annotations: while they last, there is no writing them."""

MERGE_TIME = 0.5
"""Seconds in which changes are gathered before anybody looks at them."""
ACCOUNT_RETRY = 60.0
"""Seconds until a service account that is missing is looked for again."""
FAREWELL_TIME = 2.0
"""Seconds for the last request."""


class AnnotationReporter:
    """Tells the sessions in annotations of the VMI that `identify` names; sends nothing before.

    Belongs to the main loop. Never raises: what is wrong goes into the problems of `feed`. Leaving it sends
    a last word, within `FAREWELL_TIME`. `cluster`: None: the one that this process runs in. `interval`:
    seconds between two writes, at least. `clock`: monotonic seconds; `random`: from 0 to 1.
    """

    def __init__(
        self,
        feed: StatusFeed,
        *,
        cluster: InCluster | None = None,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_number,
    ) -> None:
        self._feed = feed
        self._problems = feed.problems
        self._cluster = InCluster(os.environ) if cluster is None else cluster
        self._interval = interval
        self._clock = clock
        self._random = random
        self._vmi: VmiName | None = None
        self._conversation: VmiConversation | None = None
        self._account_known = False
        self._client: ApiClient | None = None
        self._woken = asyncio.Event()
        self._told: str | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "AnnotationReporter":
        self._unsubscribe = self._feed.changes.subscribe(self._woken.set)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unsubscribe()
        try:
            if self._task is not None:
                self._task.cancel()
                # not awaited itself: that would take a cancellation of ours for its own
                await asyncio.wait({self._task})
            await self._say_farewell()
        finally:
            if self._client is not None:
                await self._client.close()
            self._tell(None)

    def identify(self, namespace: str, name: str, uid: str) -> None:
        """Says which VMI is this pod's own; may be called again, and from then on the newest counts."""
        vmi = VmiName(namespace, name, uid)
        if not (_is_name(namespace) and _is_name(name) and re.fullmatch(r"[A-Za-z0-9-]{1,64}", uid)):
            log.warning("VMI not annotated", cause="its namespace, name or uid is none", name=name[:253])
        elif vmi != self._vmi:
            self._vmi = vmi
            self._conversation = None
            self._woken.set()

    async def _run(self) -> None:
        try:
            while True:
                self._woken.clear()
                due = await self._step()
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if due == math.inf else max(0, due - self._clock())):
                        await self._woken.wait()
                await asyncio.sleep(min(MERGE_TIME, self._interval))
        except Exception:
            # nobody loses a screen for it
            log.exception("annotations given up")
            message = "the VMI's annotations are written no more: a fault of vdi-sidecar, see its log"
            self._tell(Problem(FAILED, Severity.DEGRADED, message))

    async def _step(self) -> float:
        """Does what is due, and returns when to come again."""
        if self._vmi is None and self._account_known:
            return math.inf
        if self._conversation is None:
            try:
                account = await asyncio.to_thread(self._cluster.read)
            except NotReady as error:
                self._tell(Problem(NO_ACCOUNT, Severity.DEGRADED, f"the VMI is not annotated: {error}"))
                return self._clock() + ACCOUNT_RETRY
            self._tell(None)
            self._account_known = True
            if self._vmi is None:
                return math.inf
            self._conversation = VmiConversation(
                self._vmi, account.pod, account.name, random=self._random, interval=self._interval
            )
        conversation = self._conversation
        while (request := conversation.request(self._wanted(), self._clock())) is not None:
            answer = await self._api().send(request)
            if isinstance(answer, NoAnswer):
                log.debug("no answer of the API server", cause=answer.cause)
            conversation.take(answer, self._clock())
            if conversation is not self._conversation:
                return self._clock()
            self._tell(conversation.problem)
        return conversation.due(self._wanted())

    def _wanted(self) -> dict[str, str]:
        return annotations_of(self._feed.status(), without=OWN_CODES)

    def _api(self) -> "ApiClient":
        if self._client is None:
            # for those who want annotations alone: aiohttp takes memory
            from sidecar.report.api_client import ApiClient

            self._client = ApiClient(self._cluster)
        return self._client

    async def _say_farewell(self) -> None:
        request = None if self._conversation is None else self._conversation.farewell()
        if request is None:
            return
        try:
            async with asyncio.timeout(FAREWELL_TIME):
                answer = await self._api().send(request)
        except TimeoutError:
            answer = NoAnswer("no answer in time")
        # after a migration the other pod's words stand there, which is well
        log.debug("last annotations sent", answer=answer if isinstance(answer, NoAnswer) else answer.status)

    def _tell(self, problem: Problem | None) -> None:
        """Makes `problem` the only one of ours."""
        if self._told is not None and (problem is None or problem.code != self._told):
            self._problems.gone(self._told)
        self._told = None if problem is None else problem.code
        if problem is not None:
            self._problems.found(problem)


def _is_name(text: str) -> bool:
    """Whether it may be the name of a namespace or an object (RFC 1123 subdomain, as Kubernetes wants)."""
    return len(text) <= 253 and bool(re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", text))
