"""`vdi-sidecar sessions`, `disconnect`, `view-only` and `status`: they talk to a running daemon."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from sidecar.cli.setting import SettingsCommand
from sidecar.cli.shared import running_daemon_settings
from sidecar.config.run_directory import ADMIN_SOCKET
from sidecar.control.admin_client import DaemonUnreachable, connect_admin
from sidecar.errors import SidecarError, UsageError


def complete_session(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The ids of sessions that a shell may complete; none where no daemon answers."""
    return completed(ctx, incomplete, "sessions", lambda each: " ".join((each["protocol"], each["address"])))


def completed(
    ctx: click.Context, incomplete: str, command: str, help_of: Callable[[dict[str, Any]], str]
) -> list[CompletionItem]:
    """The ids of what `command` lists that begin with `incomplete`, each with what is said of it."""
    run_dir = ctx.params.get("run_dir")
    if run_dir is None:
        return []
    try:
        with connect_admin(run_dir / ADMIN_SOCKET, time_limit=1) as daemon:
            listed = daemon.ask(command)
    except SidecarError:
        # a shell that completes has nobody to tell
        return []
    return [
        CompletionItem(each["id"], help=help_of(each)) for each in listed if each["id"].startswith(incomplete)
    ]


@click.command(
    cls=SettingsCommand,
    short_help="List who is connected.",
    epilog="""\b
Examples:
  vdi-sidecar sessions
  vdi-sidecar sessions --watch
  vdi-sidecar sessions --json | jq '.[].address'""",
)
@click.option("--watch", is_flag=True, help="Stay, and show every change.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one list a line.")
@running_daemon_settings
def sessions(run_dir: Path, watch: bool, as_json: bool) -> None:
    """List the sessions of a running daemon."""
    socket = run_dir / ADMIN_SOCKET
    if not watch:
        with connect_admin(socket) as daemon:
            if as_json:
                click.echo(json.dumps(daemon.ask("sessions"), indent=2))
            else:
                _print_sessions(daemon.ask("status"))
        return
    with connect_admin(socket, time_limit=None) as daemon:
        if as_json:
            for state in daemon.stream("watch"):
                click.echo(json.dumps(state["sessions"], separators=(",", ":")))
        else:
            from sidecar.session.table import show_live

            show_live(daemon.stream("watch", counters=True))
    raise DaemonUnreachable(f"the daemon in {run_dir} has ended")


@click.command(
    cls=SettingsCommand,
    short_help="End sessions.",
    epilog="""\b
Examples:
  vdi-sidecar disconnect v7
  vdi-sidecar disconnect --all""",
)
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=complete_session)
@click.option("--all", "everybody", is_flag=True, help="End every session.")
@running_daemon_settings
def disconnect(run_dir: Path, ids: tuple[str, ...], everybody: bool) -> None:
    """End the sessions named; `vdi-sidecar sessions` shows their ids."""
    if everybody == bool(ids):
        raise UsageError("say which sessions to end: ids, or --all")
    with connect_admin(run_dir / ADMIN_SOCKET) as daemon:
        if everybody:
            ended = daemon.ask("disconnect-all")["disconnected"]
            click.echo(f"ended {ended} session{'' if ended == 1 else 's'}")
        for each in ids:
            daemon.ask("disconnect", id=each)
            click.echo(f"ended {each}")


@click.command(
    "view-only",
    cls=SettingsCommand,
    short_help="Take input away from a session, or give it back.",
    epilog="""\b
Examples:
  vdi-sidecar view-only v7
  vdi-sidecar view-only v7 off""",
)
@click.argument("session_id", metavar="ID", shell_complete=complete_session)
@click.argument("value", type=click.Choice(["on", "off"]), default="on")
@running_daemon_settings
def view_only(run_dir: Path, session_id: str, value: str) -> None:
    """Ignore the input of one session from now on, or heed it again (off)."""
    with connect_admin(run_dir / ADMIN_SOCKET) as daemon:
        daemon.ask("view-only", id=session_id, value=value == "on")
    click.echo(f"{session_id} is {'view-only' if value == 'on' else 'in control'}")


@click.command(
    cls=SettingsCommand,
    short_help="Show the machine and the number of sessions.",
    epilog="""\b
Examples:
  vdi-sidecar status
  vdi-sidecar status --json | jq .service.vnc.sessions""",
)
@click.option("--json", "as_json", is_flag=True, help="Print the status document.")
@running_daemon_settings
def status(run_dir: Path, as_json: bool) -> None:
    """Show the state of the machine, its screens and the number of sessions."""
    with connect_admin(run_dir / ADMIN_SOCKET) as daemon:
        document = daemon.ask("status")
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    vm = document["vm"]
    click.echo(f"machine   {_printable(vm['name'])} ({vm['state']})")
    if vm["uuid"]:
        click.echo(f"uuid      {vm['uuid']}")
    for console in vm["consoles"]:
        size = f"{console['width']}x{console['height']}"
        click.echo(f"screen {console['index']}  {size} {_printable(console['label'])}".rstrip())
    for protocol, service in document["service"].items():
        # of USB there are devices
        for what, number in service.items():
            click.echo(f"{protocol:8}  {number} {what.removesuffix('s') if number == 1 else what}")
    for problem in document["health"]["problems"]:
        click.echo(f"{problem['severity']:8}  {problem['code']}: {_printable(problem['message'])}")


def _print_sessions(document: dict[str, Any]) -> None:
    if not document["sessions"]:
        click.echo("nobody is connected")
        return
    from sidecar.session.table import print_sessions

    print_sessions(document)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
