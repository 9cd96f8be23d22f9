"""The sidecar's own entry in KubeVirt's annotation."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.advice.hook_sidecars import ANNOTATION, HookSidecar, find_hook_sidecar
from sidecar.domain.errors import DomainError
from sidecar.domain.vmi import Vmi

IMAGE = "registry.example.org/vdi-sidecar:0.1"


def annotated(text: str) -> Vmi:
    return Vmi(annotations={ANNOTATION: text})


def entries(*entries: dict[str, Any]) -> Vmi:
    return annotated(json.dumps(entries))


@pytest.mark.parametrize(
    "entry",
    [
        {"image": IMAGE, "command": ["vdi-sidecar", "hook"], "args": ["--vnc", ":5900"]},
        {"image": IMAGE, "command": ["/usr/bin/vdi-sidecar"], "args": ["hook", "--vnc", ":5900"]},
        {"image": IMAGE, "args": ["hook", "--vnc", ":5900"]},
        {"image": IMAGE, "command": None, "args": ["--vnc", ":5900"]},
        {"image": "example/other", "command": ["vdi-sidecar", "hook", "--vnc", ":5900"]},
    ],
)
def test_it_is_known_by_its_command_or_its_image(entry: dict[str, Any]) -> None:
    found = find_hook_sidecar(entries(entry))
    assert found is not None
    assert found.arguments == ("--vnc", ":5900")


def test_its_place_names_its_container() -> None:
    found = find_hook_sidecar(entries({"image": "other"}, {"image": IMAGE}))
    assert found == HookSidecar(1, IMAGE, ())
    assert found.container == "hook-sidecar-1"


@pytest.mark.parametrize(
    "vmi", [Vmi(), annotated(""), entries(), entries({"image": "other"}, {"args": ["a"]})]
)
def test_it_may_not_be_there(vmi: Vmi) -> None:
    assert find_hook_sidecar(vmi) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deep"),
        ("{}", "a list of objects"),
        ("[1]", "a list of objects"),
        ('[{"args": "--vnc"}]', "args in the annotation .* a list of texts"),
        ('[{"command": [1]}]', "command in the annotation .* a list of texts"),
    ],
)
def test_what_kubevirt_would_not_take_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DomainError, match=reason):
        find_hook_sidecar(annotated(text))


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(DomainError):
        find_hook_sidecar(annotated(text))
