"""Tickets at the admin socket."""

from collections.abc import Collection
from typing import Final

from sidecar.access.tickets import TicketUnacceptable
from sidecar.control.admin_commands import Arguments, Command, Json
from sidecar.control.ticket_watch import TicketWatch
from sidecar.control.ticket_wishes import wished

MADE_BY: Final = "admin socket"


def ticket_commands(watch: TicketWatch) -> tuple[Command, ...]:
    """`tickets`, and those that make one and take one away."""

    def create(arguments: Arguments) -> Json:
        for name in ("protocols", "consoles"):
            _check_names(name, arguments.get(name, ()))
        return watch.create(wished(watch.now, **arguments), MADE_BY)

    def revoke(arguments: Arguments) -> Json:
        ended = watch.revoke(arguments["id"], end_sessions=arguments.get("end_sessions", False))
        return {"sessions_ended": ended}

    return (
        Command("tickets", "lists the tickets, without their secrets", lambda _arguments: watch.listed()),
        Command(
            "ticket-create",
            "makes a ticket, valid for some seconds or until a time (seconds since 1970), and shows its "
            "secret this once",
            create,
            optional={
                "valid": float,
                "valid_to": float,
                "once": bool,
                "protocols": list,
                "view_only": bool,
                "consoles": list,
                "user": str,
                "note": str,
                "end_sessions": bool,
                "secret": str,
            },
            changes=True,
            audited=(
                "valid",
                "valid_to",
                "once",
                "protocols",
                "view_only",
                "consoles",
                "user",
                "end_sessions",
            ),
        ),
        Command(
            "ticket-revoke",
            "takes a ticket away; with end_sessions, those that it let in end too",
            revoke,
            required={"id": str},
            optional={"end_sessions": bool},
            changes=True,
            audited=("id", "end_sessions"),
        ),
    )


def _check_names(argument: str, names: Collection[object]) -> None:
    if not all(isinstance(name, str) for name in names):
        raise TicketUnacceptable(f"{argument} must be a list of names")
