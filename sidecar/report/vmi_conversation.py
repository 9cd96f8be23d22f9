"""What is said to the API server about one VMI, and when. Does no I/O; time and randomness are passed in.

Three kinds of requests. A *look* (GET) tells whether the VMI is still ours and whether this pod is the one
that may speak for it. A *claim* (JSON merge patch with uid and resourceVersion) writes the annotations with
the name of this pod. A *report* (JSON patch) writes them again, if uid and pod are still what they were.
Whatever is refused as a conflict leads back to a look, so no writer goes over another's words unseen.

In a live migration two pods have a sidecar for the same VMI. Until it is over the source speaks; then the
target claims, and what the source still wants to say fails by the test of the pod.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal
from urllib.parse import urlencode

from sidecar.log import get_logger
from sidecar.problems import Problem, Severity
from sidecar.report.annotations import POD, ended

log = get_logger(__name__)

API: Final = "/apis/kubevirt.io/v1"
FIELD_MANAGER: Final = "vdi-sidecar"
"""The name that Kubernetes puts to our fields in `metadata.managedFields`."""

JSON: Final = "application/json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""Spares the API server and us the whole VMI in the answer to a patch."""
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"

INTERVAL = 5.0
"""Seconds between two writes, at least."""
FIRST_RETRY = 1.0
LONGEST_RETRY = 60.0
"""Seconds; retries are delayed twice as long each time, and by half of that at random."""
LONGEST_RETRY_AFTER = 300.0
"""Seconds that the API server may ask for."""
MIGRATION_LOOK = 10.0
"""Seconds between two looks at a migration that is under way."""
PATIENCE = 3
"""Failures in a row that are nobody's business."""

NOT_ALLOWED: Final = "AnnotationsForbidden"
NO_VMI: Final = "AnnotationsWithoutVmi"
FAILED: Final = "AnnotationsFailed"
CODES: Final = frozenset({NOT_ALLOWED, NO_VMI, FAILED})


@dataclass(frozen=True, slots=True)
class VmiName:
    """Which VirtualMachineInstance."""

    namespace: str
    name: str
    uid: str

    @property
    def path(self) -> str:
        """Its path at the API server. The names are DNS labels, which need no quoting."""
        return f"{API}/namespaces/{self.namespace}/virtualmachineinstances/{self.name}"


@dataclass(frozen=True, slots=True)
class Request:
    """`target`: path and query."""

    method: Literal["GET", "PATCH"]
    target: str
    accept: str = JSON
    content_type: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """`document`: the body's JSON, None when it is none or too long. `retry_after`: seconds."""

    status: int
    document: object = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer came; `cause`: why, in words for people."""

    cause: str


class _Standing(Enum):
    """What is known of the right to write."""

    UNKNOWN = "look first"
    FREE = "a look has shown that this pod may claim"
    OURS = "claimed by this pod"
    GONE = "the VMI is not there any more, and its uid will not come back"


class VmiConversation:
    """What to send next, and what an answer means.

    `pod`: the name of this pod; `account`: that of its service account, for messages. `random`: from 0 to 1.
    Take one request at a time, and give its answer to `take`.
    """

    def __init__(
        self,
        vmi: VmiName,
        pod: str,
        account: str,
        *,
        random: Callable[[], float],
        interval: float = INTERVAL,
    ) -> None:
        self.vmi = vmi
        self.pod = pod
        self.problem: Problem | None = None
        """What an admin should know of this moment."""
        self._account = account
        self._random = random
        self._interval = interval
        self._standing = _Standing.UNKNOWN
        self._version = ""
        self._not_before = -math.inf
        self._failures = 0
        self._claims = 0
        self._asked: tuple[Literal["look", "claim", "report"], Mapping[str, str]] = ("look", {})
        self._written: Mapping[str, str] | None = None

    def due(self, wanted: Mapping[str, str]) -> float:
        """When there is something to send; `math.inf`: not before `wanted` changes."""
        if self._standing is _Standing.GONE:
            return math.inf
        if self._standing is _Standing.OURS and wanted == self._written:
            return math.inf
        return self._not_before

    def request(self, wanted: Mapping[str, str], now: float) -> Request | None:
        """The request that is due, if one is."""
        if self.due(wanted) > now:
            return None
        if self._standing is _Standing.UNKNOWN:
            self._asked = ("look", {})
            return Request("GET", self.vmi.path)
        if self._standing is _Standing.FREE:
            self._asked = ("claim", dict(wanted))
            self._claims += 1
            metadata = {
                "uid": self.vmi.uid,
                "resourceVersion": self._version,
                "annotations": {**wanted, POD: self.pod},
            }
            return self._patch(MERGE_PATCH, {"metadata": metadata})
        self._asked = ("report", dict(wanted))
        return self._report(wanted)

    def farewell(self) -> Request | None:
        """The last request, if there is anything to take back; its answer is nobody's business."""
        if self._claims == 0 or self._standing is _Standing.GONE:
            return None
        return self._report(ended())

    def take(self, answer: Answer | NoAnswer, now: float) -> None:
        """Takes the answer to the last request."""
        what, annotations = self._asked
        if isinstance(answer, Answer) and answer.status == 200 and _text(answer.document, "metadata", "uid"):
            self._taken(what, annotations, answer.document, now)
            return
        # nobody knows whether a write that failed was done
        self._written = None
        if what == "claim":
            self._standing = _Standing.UNKNOWN
        self._failed(what, answer, now)

    def _taken(self, what: str, annotations: Mapping[str, str], document: object, now: float) -> None:
        if _text(document, "metadata", "uid") != self.vmi.uid:
            self._standing = _Standing.GONE
            self._tell(NO_VMI, f"another VMI has the name {self.vmi.name} now: it is left alone")
        elif what != "look":
            if what == "claim":
                log.info("VMI annotated", namespace=self.vmi.namespace, vmi=self.vmi.name, pod=self.pod)
            self._standing = _Standing.OURS
            self._written = annotations
            self._well(now + self._interval)
        elif (wait := patience(document, self.pod)) > 0:
            # half of it at random, so that the sidecars of a drained node do not ask together
            self._well(now + wait * (0.5 + 0.5 * self._random()))
        else:
            self._standing = _Standing.FREE
            self._version = _text(document, "metadata", "resourceVersion")

    def _well(self, not_before: float) -> None:
        self._not_before = not_before
        self._failures = 0
        self.problem = None

    def _failed(self, what: str, answer: Answer | NoAnswer, now: float) -> None:
        self._failures += 1
        delay = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(self._failures - 1, 32))
        status = answer.status if isinstance(answer, Answer) else 0
        if status == 403:
            delay = LONGEST_RETRY
            self._tell(
                NOT_ALLOWED,
                f"{self._account} may not {'get' if what == 'look' else 'patch'} the VMI: it needs a Role "
                "with apiGroups [kubevirt.io], resources [virtualmachineinstances], verbs [get, patch], "
                f"and a RoleBinding in {self.vmi.namespace}",
            )
        elif status == 404:
            delay = LONGEST_RETRY
            self._standing = _Standing.UNKNOWN
            self._tell(NO_VMI, f"there is no VMI {self.vmi.namespace}/{self.vmi.name} to annotate")
        else:
            if status in (409, 422):
                self._standing = _Standing.UNKNOWN
            if self._failures >= PATIENCE:
                self._tell(FAILED, f"the VMI's annotations are not up to date: {_cause(answer)}")
        delay *= 0.5 + 0.5 * self._random()
        if isinstance(answer, Answer) and answer.retry_after is not None:
            delay = max(delay, min(answer.retry_after, LONGEST_RETRY_AFTER))
        self._not_before = now + delay

    def _tell(self, code: str, message: str) -> None:
        self.problem = Problem(code, Severity.DEGRADED, message)

    def _report(self, annotations: Mapping[str, str]) -> Request:
        written = [
            {"op": "add", "path": f"/metadata/annotations/{_pointer(name)}", "value": value}
            for name, value in annotations.items()
        ]
        return self._patch(
            JSON_PATCH,
            [
                {"op": "test", "path": "/metadata/uid", "value": self.vmi.uid},
                {"op": "test", "path": f"/metadata/annotations/{_pointer(POD)}", "value": self.pod},
                *written,
            ],
        )

    def _patch(self, content_type: str, patch: object) -> Request:
        query = urlencode({"fieldManager": FIELD_MANAGER})
        body = json.dumps(patch, separators=(",", ":")).encode()
        return Request("PATCH", f"{self.vmi.path}?{query}", METADATA_ONLY, content_type, body)


def patience(vmi: object, pod: str) -> float:
    """Seconds after which `pod` may ask again whether it speaks for `vmi`; 0: it does.

    KubeVirt writes the target's name into `status.migrationState` before the target's hooks are called, and
    leaves it there when the migration is over.
    """
    target = _text(vmi, "status", "migrationState", "targetPod")
    completed = _part(vmi, "status", "migrationState", "completed") is True
    failed = _part(vmi, "status", "migrationState", "failed") is True
    if not target:
        return 0.0
    if not completed:
        return MIGRATION_LOOK if pod == target else 0.0
    # whoever is not where the machine is now is about to end
    return 0.0 if (pod == target) != failed else LONGEST_RETRY


def _cause(answer: Answer | NoAnswer) -> str:
    if isinstance(answer, NoAnswer):
        return answer.cause
    if answer.status == 200:
        return "the API server answers with something else than a VMI"
    message = _text(answer.document, "message")[:200]
    shown = "".join(character if character.isprintable() else " " for character in message)
    return f"the API server answers {answer.status}" + (f": {shown}" if shown else "")


def _part(document: object, *path: str) -> Any:
    """What is there in a JSON document; None when it is not."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _text(document: object, *path: str) -> str:
    found = _part(document, *path)
    return found if isinstance(found, str) else ""


def _pointer(name: str) -> str:
    """A key as JSON Pointer writes it (RFC 6901 section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
