"""docs/doctor.md explains every problem that the daemon can have, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
CODE = re.compile(r"([A-Z][a-z]+){2,}")


def makes_problems(module: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "sidecar.problems"
        and any(alias.name == "Problem" for alias in node.names)
        for node in ast.walk(module)
    )


def texts(module: ast.Module) -> Iterator[ast.expr | None]:
    """Where a code can stand: the value of a constant of the module, and the first argument of Problem()."""
    for statement in module.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            yield statement.value
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
            yield from node.args[:1]
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")


def codes_in_source() -> set[str]:
    """Every text of the form of a code, in the modules that make problems."""
    sources = [path.read_text() for path in (ROOT / "sidecar").rglob("*.py")]
    modules = [ast.parse(source) for source in sources if "sidecar.problems" in source]
    return {
        text.value
        for module in filter(makes_problems, modules)
        for text in texts(module)
        if isinstance(text, ast.Constant) and isinstance(text.value, str) and CODE.fullmatch(text.value)
    }


def codes_in_document() -> list[str]:
    """The first column of the tables."""
    return re.findall(r"^\| `([A-Z]\w+)` \|", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE)


def test_every_problem_is_explained_and_no_other() -> None:
    explained = codes_in_document()
    assert len(explained) == len(set(explained))
    assert set(explained) == codes_in_source()


def test_the_source_is_read_rightly() -> None:
    assert {"MasqueradeWithoutPorts", "MemoryLimit", "QemuNotOnTheBus"} <= codes_in_source()
