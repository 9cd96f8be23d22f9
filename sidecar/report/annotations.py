"""The annotations of a VMI that tell who uses its screen. Does no I/O.

Whoever may get the VMI reads them, so they hold no user, no address and no text of a problem: only what a
cluster's admin looks for. Counters of bytes and frames are left out too, since every change is a write to
etcd that wakes all who watch VMIs.
"""

import json
from collections.abc import Collection
from typing import Any, Final

from sidecar.problems import Severity
from sidecar.session.status import ProblemStatus, SessionStatus, Status

VNC_SESSIONS: Final = "vdi-sidecar/vnc-sessions"
RDP_SESSIONS: Final = "vdi-sidecar/rdp-sessions"
"""How many sessions are initialized, as a decimal number."""
STATUS: Final = "vdi-sidecar/status"
"""A part of the status document as JSON, at most `MOST_BYTES` long."""
POD: Final = "vdi-sidecar/pod"
"""The pod whose sidecar writes the others. It has an annotation of its own, since a JSON patch can make a
write depend on a whole value only."""

MOST_SESSIONS = 16
"""Sessions that are listed one by one."""
MOST_PROBLEMS = 16
MOST_BYTES = 4096
"""Of the status; Kubernetes lets all annotations of an object have 256 KiB together."""


def annotations_of(status: Status, *, without: Collection[str] = ()) -> dict[str, str]:
    """What `status` looks like as annotations. `without`: codes of problems that are not told.

    Equal for two documents that differ in what is not told: generation, counters, sessions that wait.
    """
    sessions = [_session(each) for each in status["sessions"] if each["state"] == "initialized"]
    problems = [each for each in status["health"]["problems"] if each["code"] not in without]
    document: dict[str, Any] = {
        "state": "serving",
        "service": status["service"],
        "sessions": sessions[:MOST_SESSIONS],
        "more_sessions": len(sessions[MOST_SESSIONS:]),
        "vm": {"state": status["vm"]["state"]},
        "health": _health(problems),
    }
    while len(text := _json(document)) > MOST_BYTES and document["sessions"]:
        document["sessions"].pop()
        document["more_sessions"] += 1
    service = status["service"]
    return _annotations(service["vnc"]["sessions"], service["rdp"]["sessions"], text)


def ended() -> dict[str, str]:
    """The annotations that a sidecar leaves behind."""
    nobody = {"sessions": 0}
    document = {"state": "ended", "service": {"vnc": nobody, "rdp": nobody}, "sessions": []}
    return _annotations(0, 0, _json(document))


def _annotations(vnc: int, rdp: int, status: str) -> dict[str, str]:
    return {VNC_SESSIONS: str(vnc), RDP_SESSIONS: str(rdp), STATUS: status}


def _session(session: SessionStatus) -> dict[str, Any]:
    return {
        "id": session["id"],
        "protocol": session["protocol"],
        "transport": session["transport"],
        "tls": session["tls"],
        "auth": session["auth"],
        "view_only": session["view_only"],
        "initialized": session["initialized"],
    }


def _health(problems: list[ProblemStatus]) -> dict[str, Any]:
    severities = {each["severity"] for each in problems}
    worst = next((each.value for each in (Severity.DEGRADED, Severity.WARNING) if each in severities), "ok")
    return {"state": worst, "problems": [each["code"] for each in problems[:MOST_PROBLEMS]]}


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
