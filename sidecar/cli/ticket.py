"""`vdi-sidecar ticket`: they talk to a running daemon."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from sidecar.cli.rights import console_option
from sidecar.cli.secret import given_secret
from sidecar.cli.sessions import completed
from sidecar.cli.setting import SECONDS, SettingsCommand
from sidecar.cli.shared import FILE, running_daemon_settings
from sidecar.config.run_directory import ADMIN_SOCKET
from sidecar.control.admin_client import connect_admin
from sidecar.errors import SidecarError, UsageError

PROTOCOLS = ("vnc", "rdp", "web", "api")


class SecretNotWritten(SidecarError):
    """The file for a ticket's secret cannot be written."""


@click.group(short_help="Let somebody in for a while.")
def ticket() -> None:
    """Make, list and revoke tickets: passwords that are valid for a while, with fewer rights if you like."""


def _complete_ticket(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return completed(ctx, incomplete, "tickets", lambda each: _printable(each["note"]))


@ticket.command(
    cls=SettingsCommand,
    short_help="Make one, and show its secret this once.",
    epilog="""\b
Examples:
  vdi-sidecar ticket create --valid 10m --view-only
  vdi-sidecar ticket create --once --protocol rdp --user ann --end-sessions
  vdi-sidecar ticket create --json | jq -r .secret
  vdi-sidecar ticket create --valid 2h --write-to guest.password""",
)
@click.option("--valid", type=SECONDS, default=600.0, show_default="10m", help="For how long it lets in.")
@click.option("--once", is_flag=True, help="For one session, or one request to the API.")
@click.option("--view-only", is_flag=True, help="Who comes in by it can look and do nothing else.")
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(PROTOCOLS),
    multiple=True,
    help="For what; web is VNC through a WebSocket, api is USB devices. By default all but api.",
)
@console_option
@click.option("--user", metavar="NAME", help="The name to give with it where the protocol has names.")
@click.option("--note", metavar="TEXT", help="For yourself, shown by `ticket list`.")
@click.option("--end-sessions", is_flag=True, help="Sessions that it let in end when it is over or revoked.")
@click.option("--password-file", type=FILE, metavar="PATH", help="Take the secret from a file.")
@click.option("--password-stdin", is_flag=True, help="Take the secret from standard input.")
@click.option(
    "--write-to",
    type=FILE,
    metavar="PATH",
    help="Write the secret into a new file of mode 0600 instead of showing it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@running_daemon_settings
def create(
    *,
    run_dir: Path,
    valid: float,
    once: bool,
    view_only: bool,
    protocols: tuple[str, ...],
    consoles: tuple[str, ...],
    user: str | None,
    note: str | None,
    end_sessions: bool,
    password_file: Path | None,
    password_stdin: bool,
    write_to: Path | None,
    as_json: bool,
) -> None:
    """Make a ticket. What it shows as `secret` is given as the password, to VNC, RDP and noVNC alike.

    There is no option for the secret itself: other processes can read a command line.
    """
    wanted: dict[str, Any] = {
        "valid": valid,
        "once": once,
        "view_only": view_only,
        "end_sessions": end_sessions,
        "protocols": list(protocols) or None,
        "consoles": list(consoles) or None,
        "user": user,
        "note": note,
        "secret": given_secret(password_file, password_stdin),
    }
    with _new_file(write_to) as descriptor, connect_admin(run_dir / ADMIN_SOCKET) as daemon:
        made = daemon.ask(
            "ticket-create", **{key: value for key, value in wanted.items() if value is not None}
        )
        if descriptor is not None:
            try:
                os.write(descriptor, f"{made.pop('secret')}\n".encode())
            except OSError as error:
                # nobody would ever know the secret
                daemon.ask("ticket-revoke", id=made["ticket"]["id"])
                reason = (error.strerror or str(error)).lower()
                raise SecretNotWritten(f"cannot write {write_to}, so there is no ticket: {reason}") from None
    if as_json:
        click.echo(json.dumps(made, indent=2))
        return
    click.echo(f"ticket  {made['ticket']['id']}")
    click.echo(f"secret  {_printable(made['secret'])}" if "secret" in made else f"secret  in {write_to}")
    click.echo(f"until   {_time(made['ticket']['valid_to'])}")
    click.echo(f"for     {_rights(made['ticket'])}")


@ticket.command(
    "list",
    cls=SettingsCommand,
    short_help="List them, without their secrets.",
    epilog="""\b
Examples:
  vdi-sidecar ticket list
  vdi-sidecar ticket list --json | jq -r '.[].id'""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@running_daemon_settings
def list_tickets(run_dir: Path, as_json: bool) -> None:
    """List the tickets that are not over."""
    with connect_admin(run_dir / ADMIN_SOCKET) as daemon:
        listed = daemon.ask("tickets")
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    if not listed:
        click.echo("there are no tickets")
        return
    rows = [("id", "until", "uses", "sessions", "for", "note")]
    rows += [
        (
            each["id"],
            _time(each["valid_to"]),
            "used up" if each["used_up"] else str(each["uses"]),
            " ".join(each["sessions"]) or "-",
            _rights(each),
            _printable(each["note"]) or "-",
        )
        for each in listed
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@ticket.command(
    cls=SettingsCommand,
    short_help="Take them away.",
    epilog="""\b
Examples:
  vdi-sidecar ticket revoke t3
  vdi-sidecar ticket revoke t3 --end-sessions""",
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...", shell_complete=_complete_ticket)
@click.option("--end-sessions", is_flag=True, help="End the sessions that they let in, too.")
@running_daemon_settings
def revoke(run_dir: Path, ids: tuple[str, ...], end_sessions: bool) -> None:
    """Take tickets away: nobody gets in by them any more; `vdi-sidecar ticket list` shows their ids."""
    with connect_admin(run_dir / ADMIN_SOCKET) as daemon:
        for each in ids:
            ended = daemon.ask("ticket-revoke", id=each, end_sessions=end_sessions)["sessions_ended"]
            also = f", ended {ended} session{'' if ended == 1 else 's'}" if ended else ""
            click.echo(f"revoked {each}{also}")


@contextmanager
def _new_file(path: Path | None) -> Iterator[int | None]:
    """A new file that nobody else can read; it goes again if what follows fails."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"--write-to makes a new file, and {path} is there: name another one") from None
    except OSError as error:
        raise UsageError(f"cannot make the file {path}: {(error.strerror or str(error)).lower()}") from None
    try:
        yield descriptor
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(descriptor)


def _rights(listed: dict[str, Any]) -> str:
    """What a ticket is good for, in words."""
    words = [" ".join(listed["protocols"])]
    if listed["user"]:
        words.append(f"user {_printable(listed['user'])}")
    if listed["once"]:
        words.append("once")
    if listed["view_only"]:
        words.append("view-only")
    if listed["consoles"] is not None:
        words.append(f"console {_printable(' '.join(listed['consoles']))}")
    if listed["end_sessions"]:
        words.append("ends sessions")
    return ", ".join(words)


def _time(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
