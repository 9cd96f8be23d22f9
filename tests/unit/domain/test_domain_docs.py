"""The examples of docs/domain.md are what the command gives."""

import re
from pathlib import Path

import pytest

from sidecar.domain.command import define_domain

DOCUMENT = (Path(__file__).parents[3] / "docs" / "domain.md").read_text()
BEFORE, REPLACED, BY_COMMANDLINE = re.findall(r"```xml\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize(("graphics", "after"), [(None, REPLACED), ("commandline", BY_COMMANDLINE)])
def test_the_example_is_what_the_command_gives(graphics: str | None, after: str) -> None:
    answer = define_domain(None, BEFORE, graphics=graphics, environ={"CONTAINER_NAME": "hook-sidecar-0"})
    assert answer.decode() == after
