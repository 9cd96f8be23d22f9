"""docs/observability.md and what lies beside it name what the program exports, and nothing else."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from told_metrics import Told

from sidecar import log
from sidecar.encode.form import Codec, Encoding
from sidecar.report.error_metrics import ErrorKind
from sidecar.report.histogram import SECONDS
from sidecar.session.session import SessionProtocol
from sidecar.session.state import EndReason

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "observability.md").read_text()
METRICS, _, LOG = PAGE.partition("\n## The log\n")
ALERTS = yaml.safe_load((DOCS / "observability" / "alerts.yaml").read_text())
DASHBOARD = json.loads((DOCS / "observability" / "dashboard.json").read_text())

METRIC = re.compile(r"\b(?:kubevirt_vmi_vdi|process)_\w+")
PARTS = ("_bucket", "_sum", "_count")
CLUSTER = {"namespace", "pod"}
"""Labels that come from whoever scrapes."""


@pytest.fixture(scope="module")
def exported() -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each metric of a daemon that has everything."""
    told = Told()
    told.registry.connect("vnc", "tcp", "", end=lambda _reason: None)
    found = {}
    for name, family in told.families().items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name + ("_total" if family.type == "counter" else "")] = family.type, labels
    return found


def series(exported: dict[str, tuple[str, set[str]]]) -> dict[str, set[str]]:
    """The labels of everything that a query may name."""
    found = {}
    for name, (kind, labels) in exported.items():
        if kind == "histogram":
            found |= {name + part: labels | ({"le"} if part == "_bucket" else set()) for part in PARTS}
        else:
            found[name] = labels
    return found


def panels() -> list[dict[str, Any]]:
    return [each for each in DASHBOARD["panels"] if each["type"] != "row"]


def queries() -> list[str]:
    alerts = [rule["expr"] for group in ALERTS["spec"]["groups"] for rule in group["rules"]]
    return alerts + [target["expr"] for panel in panels() for target in panel["targets"]]


def test_the_table_has_every_metric_with_its_type_and_labels(
    exported: dict[str, tuple[str, set[str]]],
) -> None:
    rows = re.findall(r"^\| `(kubevirt_vmi\w+)` \| (\w+) \| ([^|]*)\| [^|]+ \|$", PAGE, re.MULTILINE)
    table = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert table == {name: each for name, each in exported.items() if not name.startswith("process_")}
    assert len(rows) == len(table)
    assert {name for name in METRIC.findall(PAGE) if name.startswith("process_")} == {
        name for name in exported if name.startswith("process_")
    }


def values_of(label: str) -> set[str]:
    (row,) = re.findall(rf"^\| `{label}` \| ([^|]*) \|$", METRICS, re.MULTILINE)
    return set(re.findall(r"`([a-z0-9-]+)`", row))


def test_the_values_of_labels_are_ours() -> None:
    told = Told()
    assert values_of("reason") == {reason.code for reason in EndReason} | {"login-failed"}
    assert values_of("kind") == {kind.value for kind in ErrorKind}
    assert values_of("encoding") == {labels[1] for labels in told.values("encoded_bytes")}
    assert len(values_of("encoding")) == len([*Encoding, *Codec])
    assert values_of("result") == {labels[1] for labels in told.values("cache_requests")}
    assert values_of("level") == {labels[1] for labels in told.values("log_lines")}
    assert values_of("direction") == {labels[1] for labels in told.values("usb_bytes")}
    assert values_of("protocol") == {*get_args(SessionProtocol), "web", "api"}


def test_its_figures_are_ours() -> None:
    assert SECONDS == (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
    assert "0.5, 1, 2, 5, 10, 20, 50, 100, 200 and 500 ms, 1 and 2 s" in PAGE
    assert (log.BURST, log.RATE, log.SETTLED) == (200, 2, 30)
    assert "200 lines are written at once and two a second" in PAGE


def test_a_line_of_the_log_is_as_the_page_shows_it() -> None:
    (example,) = map(json.loads, re.findall(r"```json\n(.*?)```", LOG, re.DOTALL))
    assert list(example)[:4] == ["time", "level", "logger", "event"]
    (row,) = re.findall(rf"^\| {example['event']} \| info \| (.*?) \|", PAGE, re.MULTILINE)
    assert list(example)[4:] == re.findall(r"`(\w+)`", row)


@pytest.mark.parametrize("query", queries())
def test_queries_name_metrics_and_labels_that_exist(
    query: str, exported: dict[str, tuple[str, set[str]]]
) -> None:
    known = series(exported)
    names = set(METRIC.findall(query))
    assert names
    assert names <= known.keys()
    for name, selected in re.findall(r"(\w+)\{([^}]*)\}", query):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected)) <= known[name] | CLUSTER
    for grouped in re.findall(r"\bby \(([^)]*)\)", query):
        labels = {label.strip() for label in grouped.split(",")}
        assert labels <= set().union(CLUSTER, *(known[name] for name in names))
    for opening, closing in ("()", "{}", "[]"):
        assert query.count(opening) == query.count(closing)
    # a histogram's buckets are of use by their quantile alone, and a counter by its rate alone
    for name in names:
        assert (name.endswith("_bucket")) <= ("histogram_quantile" in query)
        if name.endswith(("_total", "_sum", "_bucket")):
            assert re.search(rf"(?:rate|increase)\({name}", query)


def test_every_alert_is_explained_and_says_how_bad_it_is() -> None:
    (group,) = ALERTS["spec"]["groups"]
    assert (ALERTS["apiVersion"], ALERTS["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    for rule in group["rules"]:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert "{{ $labels.namespace }}/{{ $labels.pod }}: " in rule["annotations"]["summary"]
    named = [rule["alert"] for rule in group["rules"]]
    assert re.findall(r"^\| `(Vdi\w+)` \|", PAGE, re.MULTILINE) == named


def test_the_dashboard_shows_every_metric(exported: dict[str, tuple[str, set[str]]]) -> None:
    shown = set(METRIC.findall(" ".join(target["expr"] for each in panels() for target in each["targets"])))
    for name, (kind, _labels) in exported.items():
        if not name.startswith("process_"):
            assert name in shown or (kind == "histogram" and f"{name}_bucket" in shown), name


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    assert DASHBOARD.keys() >= {"title", "uid", "schemaVersion", "panels", "templating", "time"}
    # null: given by the Grafana that imports it
    assert DASHBOARD.get("id") is None
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert [each["type"] for each in variables.values()] == ["datasource", "query", "query"]
    identities = [each["id"] for each in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)
    assert len({each["title"] for each in panels()}) == len(panels())
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["type"] in ("timeseries", "stat", "table")
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == source
        assert [target["refId"] for target in panel["targets"]] == [*"ABCDEF"][: len(panel["targets"])]
        for target in panel["targets"]:
            assert target["datasource"] == source
            used = set(re.findall(r"\$(\w+)", target["expr"]))
            assert used <= variables.keys() | {"__rate_interval"}
            assert {"namespace", "pod"} <= used
            legend = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert all(re.search(rf"\b{label}\b", target["expr"]) for label in legend if label not in CLUSTER)


def test_no_panel_of_the_dashboard_lies_over_another() -> None:
    places = [each["gridPos"] for each in DASHBOARD["panels"]]
    assert all(at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["h"] > 0 for at in places)
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (DOCS / target).exists(), target
