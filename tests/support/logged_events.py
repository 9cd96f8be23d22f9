"""Every event that the program logs, as its source has it, and the table of docs/observability.md.

`python -m support.logged_events` in tests/ writes the table anew.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sidecar"
PAGE = ROOT / "docs" / "observability.md"

BEGIN = "<!-- events: written by tests/support/logged_events.py -->\n"
END = "<!-- end of events -->\n"

LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
ORDER = ("debug", "info", "warning", "error")


@dataclass
class Event:
    """One event, wherever it is logged. `open`: it may have further keys, which its caller gives."""

    name: str
    levels: set[str] = field(default_factory=set)
    keys: dict[str, None] = field(default_factory=dict)
    rooms: set[str] = field(default_factory=set)
    open: bool = False

    def row(self) -> str:
        keys = [f"`{key}`" for key in self.keys] + ["…"] * self.open
        levels = ", ".join(sorted(self.levels, key=ORDER.index))
        return f"| {self.name} | {levels} | {', '.join(keys)} | {', '.join(sorted(self.rooms))} |"


@cache
def logged_events() -> dict[str, Event]:
    """By name. Raises ValueError where the source logs what is not known before it runs."""
    events: dict[str, Event] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for call, levels in _log_calls(tree):
            name = _text(call.args[0], tree)
            if name is None:
                raise ValueError(f"{path}:{call.lineno}: the name of an event must be in the source")
            event = events.setdefault(name, Event(name))
            event.levels |= levels
            event.rooms.add(room)
            for keyword in call.keywords:
                if keyword.arg is None:
                    event.open = True
                else:
                    event.keys[keyword.arg] = None
    # by the gate before the log, which makes its line by itself
    events["lines left out"] = Event("lines left out", {"warning"}, {"of": None, "left_out": None}, {"log"})
    return events


def _log_calls(tree: ast.Module) -> Iterator[tuple[ast.Call, set[str]]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        functions = [node.func.body, node.func.orelse] if isinstance(node.func, ast.IfExp) else [node.func]
        levels = {
            LEVELS[each.attr]
            for each in functions
            if isinstance(each, ast.Attribute)
            and isinstance(each.value, ast.Name)
            and each.value.id == "log"
            and each.attr in LEVELS
        }
        if levels:
            yield node, levels


def _text(node: ast.expr, tree: ast.Module) -> str | None:
    """What an expression says: a text, or the name of a text of the module."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        for each in tree.body:
            targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]
            for target in targets:
                if isinstance(target, ast.Name) and target.id == node.id:
                    value = getattr(each, "value", None)
                    return _text(value, tree) if isinstance(value, ast.Constant) else None
    return None


def table() -> str:
    """The table of all events, as the page has it."""
    head = "| event | level | keys | room |\n|---|---|---|---|\n"
    events = sorted(logged_events().values(), key=lambda event: event.name.lower())
    return head + "".join(f"{event.row()}\n" for event in events)


def table_of(page: str) -> str:
    """The table that a page has."""
    found = re.search(re.escape(BEGIN) + "(.*?)" + re.escape(END), page, re.DOTALL)
    return found[1] if found else ""


if __name__ == "__main__":
    written = PAGE.read_text()
    PAGE.write_text(written.replace(BEGIN + table_of(written) + END, BEGIN + table() + END))
