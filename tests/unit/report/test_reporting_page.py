"""docs/reporting.md says what the program does."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from support.synthetic_guest import SyntheticGuest

from sidecar.report.annotations import MOST_BYTES, MOST_SESSIONS, POD, annotations_of
from sidecar.report.kubernetes import OWN_CODES
from sidecar.report.vmi_conversation import INTERVAL
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry

PAGE = (Path(__file__).parents[3] / "docs" / "reporting.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_its_annotations_are_ours() -> None:
    registry = Registry()
    session = registry.connect("vnc", "tcp", "", end=lambda _reason: None)
    registry.initialize(session)
    annotations = annotations_of(StatusFeed(registry, SyntheticGuest()).status())
    assert set(re.findall(r"^\| `(vdi-sidecar/[a-z-]+)`", PAGE, re.MULTILINE)) == {*annotations, POD}
    (example,) = map(json.loads, blocks("json"))
    assert shape(example) == shape(json.loads(annotations["vdi-sidecar/status"]))
    assert f"at most {MOST_BYTES // 1024} KiB" in PAGE
    assert f"At most {MOST_SESSIONS} sessions" in PAGE
    assert INTERVAL == 5
    assert "at most once in five seconds" in PAGE


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value]
    return type(value)


def test_its_codes_are_ours() -> None:
    assert set(re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE)) == OWN_CODES


def test_its_role_is_what_a_missing_right_asks_for() -> None:
    role, _volume = map(yaml.safe_load, blocks("yaml"))
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["kubevirt.io"], ["virtualmachineinstances"])
    assert rule["verbs"] == ["get", "patch"]
