"""docs/reporting.md says what the program does."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.synthetic_guest import SyntheticGuest

from sidecar.problems import Problems
from sidecar.report.annotations import MOST_BYTES, MOST_SESSIONS, POD, annotations_of
from sidecar.report.kubernetes import OWN_CODES
from sidecar.report.metrics import Metrics
from sidecar.report.vmi_conversation import INTERVAL
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.session.state import EndReason

PAGE = (Path(__file__).parents[3] / "docs" / "reporting.md").read_text()
METRIC = re.compile(r"\b(?:kubevirt_vmi|process)_\w+")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def metric_names() -> dict[str, str]:
    """What is exported, and of which type it is."""
    page = Metrics(Registry(), SyntheticGuest(), Problems()).page().decode()
    return {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(page)
    }


def test_the_tables_name_metrics_with_their_types() -> None:
    exported = metric_names()
    assert set(METRIC.findall(PAGE)) - {"kubevirt_vmi_"} <= exported.keys()
    for name, kind in re.findall(r"^\| `(kubevirt_vmi\w+)` \| (\w+) \|", PAGE, re.MULTILINE):
        assert exported[name] == kind


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


def test_its_codes_and_reasons_are_ours() -> None:
    assert set(re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE)) == OWN_CODES
    (reasons,) = re.findall(r"`reason` is one of(.*?);", PAGE, re.DOTALL)
    assert set(re.findall(r"`([a-z-]+)`", reasons)) == {reason.code for reason in EndReason}


def test_its_role_is_what_a_missing_right_asks_for() -> None:
    role, _volume, _alerts = map(yaml.safe_load, blocks("yaml"))
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["kubevirt.io"], ["virtualmachineinstances"])
    assert rule["verbs"] == ["get", "patch"]


def test_every_alert_says_how_bad_it_is() -> None:
    *_, alerts = map(yaml.safe_load, blocks("yaml"))
    (group,) = alerts["groups"]
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert METRIC.search(rule["expr"])
        assert rule["annotations"]["summary"]
