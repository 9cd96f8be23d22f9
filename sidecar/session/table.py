"""The sessions as a table in a terminal. Imports rich, so it is imported only where a table is shown."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

SHORT_LINE = 100
"""Columns of a terminal that is too narrow for everything."""


class SessionTable:
    """Makes tables of one status document after another; between two it works out how much was sent."""

    def __init__(self) -> None:
        self._sent: dict[str, tuple[float, int]] = {}

    def render(self, status: Mapping[str, Any], *, now: float, wide: bool = True) -> Table:
        """The table of `status`; `now`: seconds since 1970."""
        vm = status["vm"]
        # of USB there are devices
        count = sum(service.get("sessions", 0) for service in status["service"].values())
        title = f"{vm['name']} ({vm['state']}) - {count} session{'' if count == 1 else 's'}"
        table = Table(title=_text(title), title_justify="left", expand=False)
        for heading in ("id", "client", "user", "via", "login", "input", "since"):
            table.add_column(heading, overflow="fold")
        for heading in ("sent", "per second"):
            table.add_column(heading, justify="right")
        if wide:
            table.add_column("frames", justify="right")
            table.add_column("encoding")
        sent = {}
        for session in status["sessions"]:
            row, total = self._row(session, now), int(session["bytes_sent"])
            sent[session["id"]] = (now, total)
            table.add_row(*row[: None if wide else 9], style=None if session["initialized"] else "dim")
        self._sent = sent
        return table

    def _row(self, session: Mapping[str, Any], now: float) -> list[Text]:
        via = "+".join(
            part
            for part in (session["protocol"], "tls" if session["tls"] else "", session["transport"])
            if part
        )
        console = "" if not session["console"] else f" screen {session['console']}"
        if session["console"] < 0:
            console = " no screen"
        cells = [
            session["id"],
            session["address"] or "local",
            session["user"] or "-",
            via + console,
            " ".join(filter(None, (session["auth"], session["ticket"])))
            if session["initialized"]
            else "waits",
            "view only" if session["view_only"] else "yes",
            _duration(now - datetime.fromisoformat(session["connected"]).timestamp()),
            _bytes(session["bytes_sent"]),
            self._rate(session, now),
            str(session["frames"]),
            session["encoding"] or "-",
        ]
        return [_text(cell) for cell in cells]

    def _rate(self, session: Mapping[str, Any], now: float) -> str:
        before = self._sent.get(session["id"])
        if before is None or now <= before[0]:
            return "-"
        return _bytes((session["bytes_sent"] - before[1]) / (now - before[0]))


def print_sessions(status: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the table once; not cut to size where the output is not a terminal."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(SessionTable().render(status, now=time.time(), wide=console.width > SHORT_LINE))


def show_live(statuses: Iterable[Mapping[str, Any]], console: Console | None = None) -> None:
    """Shows a table that follows `statuses` until they end."""
    console = console or Console(highlight=False)
    table = SessionTable()
    with Live(console=console, auto_refresh=False) as live:
        for status in statuses:
            live.update(table.render(status, now=time.time(), wide=console.width > SHORT_LINE), refresh=True)


def _text(value: str) -> Text:
    # names come from the network: no terminal sequence and no markup of theirs is obeyed
    return Text("".join(character if character.isprintable() else "?" for character in value))


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
