"""docs/kubevirt.md: what an owner copies from it can be parsed by KubeVirt and by us."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from sidecar.cli.program import program
from sidecar.domain.bus import BUS_SOCKET, HOOK_DIRECTORY, bus_address
from sidecar.hook.server import SOCKET_NAME

PAGE = (Path(__file__).parents[3] / "docs" / "kubevirt.md").read_text()
SIDECARS = [json.loads(text) for text in re.findall(r"hookSidecars: >-\n(.*?\}\])", PAGE, re.DOTALL)]

KUBEVIRTS_KEYS = {"image", "imagePullPolicy", "command", "args", "configMap", "pvc"}
"""(facts: kubevirt 4)"""


def test_the_page_has_both_examples() -> None:
    assert len(SIDECARS) == 2


@pytest.mark.parametrize("sidecars", SIDECARS)
def test_kubevirt_knows_every_key_and_we_every_option(sidecars: list[dict[str, Any]]) -> None:
    (sidecar,) = sidecars
    assert sidecar.keys() <= KUBEVIRTS_KEYS
    assert sidecar.get("pvc", {}).keys() in (set(), {"name", "volumePath", "sharedComputePath"})
    name, *words = [*sidecar["command"], *sidecar["args"]]
    assert name == "vdi-sidecar"
    with click.Context(program) as context:
        _, command, options = program.resolve_command(context, words)
        assert command is not None
        command.make_context("hook", options, parent=context)


def test_its_paths_are_those_of_the_program() -> None:
    for path in (
        HOOK_DIRECTORY,
        SOCKET_NAME,
        f"`{BUS_SOCKET}`",
        bus_address({}, f"unix:path={HOOK_DIRECTORY}/{BUS_SOCKET}"),
    ):
        assert path in PAGE
