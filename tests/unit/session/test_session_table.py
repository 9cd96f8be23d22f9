"""The table of sessions in a terminal."""

import io
from typing import Any

import pytest
from rich.console import Console

from sidecar.session.table import SessionTable, show_live


def status(**changes: Any) -> dict[str, Any]:
    session = {
        "id": "v7",
        "protocol": "vnc",
        "transport": "tcp",
        "tls": False,
        "state": "initialized",
        "address": "192.0.2.1:4000",
        "user": "ann",
        "auth": "VncAuth",
        "ticket": "",
        "view_only": False,
        "console": 0,
        "connected": "2004-01-10T13:37:04.000Z",
        "initialized": "2004-01-10T13:37:04.000Z",
        "bytes_sent": 0,
        "bytes_received": 0,
        "frames": 12,
        "encoding": "Tight",
    }
    return {
        "service": {"vnc": {"sessions": 1}, "rdp": {"sessions": 0}, "usb": {"devices": 3}},
        "sessions": [{**session, **changes}],
        "vm": {"state": "attached", "name": "myvm", "uuid": "", "consoles": []},
    }


def shown(table: SessionTable, document: dict[str, Any], after: float, *, wide: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    console.print(table.render(document, now=2**30 + after, wide=wide))
    file = console.file
    assert isinstance(file, io.StringIO)
    row = next(line for line in file.getvalue().splitlines() if line.startswith("│"))
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_a_row_tells_who_how_and_how_much() -> None:
    assert shown(SessionTable(), status(bytes_sent=1_234_567), 75) == [
        *("v7", "192.0.2.1:4000", "ann", "vnc+tcp", "VncAuth", "yes", "1 min 15 s"),
        *("1.2 MB", "-", "12", "Tight"),
    ]


def test_the_rate_is_worked_out_between_two_documents() -> None:
    table = SessionTable()
    shown(table, status(bytes_sent=1000), 10)
    assert shown(table, status(bytes_sent=9000), 14)[8] == "2.0 kB"


@pytest.mark.parametrize(
    ("changes", "column", "text"),
    [
        ({"address": ""}, 1, "local"),
        ({"user": ""}, 2, "-"),
        ({"user": "[red]x\x1b[0m"}, 2, "[red]x?[0m"),
        ({"tls": True, "transport": "websocket"}, 3, "vnc+tls+websocket"),
        ({"console": 1}, 3, "vnc+tcp screen 1"),
        ({"initialized": None}, 4, "waits"),
        ({"view_only": True}, 5, "view only"),
        ({"ticket": "t3"}, 4, "VncAuth t3"),
        ({"console": -1}, 3, "vnc+tcp no screen"),
    ],
)
def test_what_is_out_of_the_ordinary_is_shown(changes: dict[str, Any], column: int, text: str) -> None:
    assert shown(SessionTable(), status(**changes), 0)[column] == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59, "59 s"), (3599, "59 min 59 s"), (90_000, "25 h 00 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert shown(SessionTable(), status(), seconds)[6] == text


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    assert len(shown(SessionTable(), status(), 0, wide=False)) == 9


def test_a_live_table_ends_with_its_source() -> None:
    file = io.StringIO()
    show_live([status(), status(user="bob")], Console(file=file, width=150, force_terminal=True))
    assert "ann" in file.getvalue()
    assert "bob" in file.getvalue()
