"""Imports point downwards only (docs/architecture.md)."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "sidecar"

SHARED = {"alongside", "errors", "observers", "log", "guest", "guest_wrapper", "problems"}
TUNNEL = {"clipboard", "serial", "sound"}
FOUNDATION = {*SHARED, "screen", "encode", "session", "input"}
MAY_IMPORT = {
    "errors": set(),
    "bus_address": {"errors"},
    "command_line": {"errors"},
    "regular_file": set(),
    "socket_path": set(),
    "observers": set(),
    "log": set(),
    "spare_memory": set(),
    "alongside": {"log"},
    "problems": {"log", "observers"},
    "screen": {"errors"},
    "sound": set(),
    "guest": {"errors", "observers", "screen", "sound"},
    "guest_wrapper": {"guest", "observers"},
    "machine": {"errors"},
    "encode": {"errors", "log", "screen"},
    "session": SHARED,
    "input": {*SHARED, "screen", "session"},
    "domain": {"bus_address", "errors", "log", "socket_path"},
    "clipboard": {*SHARED, "session"},
    "serial": {*SHARED, "session"},
    "terminal": {*SHARED, "screen", "serial", "input"},
    "usb": {*SHARED, "session"},
    "qemu": {*SHARED, "bus_address", "machine", "screen", "socket_path", "sound"},
    "libvirt_domain": {*SHARED, "machine", "qemu"},
    "access": {"errors", "log", "regular_file"},
    "broadcast": {*SHARED, "screen", "encode", "session"},
    "transport": {*SHARED, "session", "socket_path"},
    "vnc": {*FOUNDATION, "access", "broadcast", "transport", *TUNNEL},
    "rdp": {*FOUNDATION, "access", "broadcast", "transport", *TUNNEL},
    "console": {"errors", "log", "vnc"},
    "web": {*FOUNDATION, "access", "regular_file", "socket_path", "vnc"},
    "hook": {*SHARED, "session", "domain", "socket_path"},
    "control": {
        *SHARED,
        "access",
        "machine",
        "regular_file",
        "screen",
        "session",
        "socket_path",
        "usb",
        "web",
    },
    "report": {*SHARED, "session"},
    "config": {"bus_address", "errors", "regular_file", "socket_path"},
    "advice": {*SHARED, "domain"},
    "drop_in": None,
    "demo": None,
    "pod": None,
    "tunnels": None,
    "entrance": None,
    "management": None,
    "daemon": None,
    "cli": None,
    "__main__": None,
    "__init__": set(),
}
"""What each room may import besides itself; None: anything."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sidecar":
            parts = node.module.split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("sidecar.")}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}: relative import")
    return rooms - {"__version__"}


def test_imports_point_downwards_only() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "hook" / "api"):
            continue
        room = room_of(path)
        assert room in MAY_IMPORT, f"{path} is a room that the table above does not know"
        allowed = MAY_IMPORT[room]
        if allowed is None:
            continue
        wrong += [f"{path}: {other}" for other in imported_rooms(path) - allowed - {room}]
    assert not wrong
