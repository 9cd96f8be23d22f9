"""`vdi-sidecar screenshot` and `message`: they talk to a running daemon."""

import base64
import os
import sys
from pathlib import Path

import click

from sidecar.cli.sessions import complete_session
from sidecar.cli.setting import SECONDS, SettingsCommand
from sidecar.cli.shared import running_daemon_settings
from sidecar.config.run_directory import ADMIN_SOCKET
from sidecar.control.admin_client import DaemonUnreachable, connect_admin
from sidecar.errors import SidecarError, UsageError

SCREENSHOT_TIME = 60.0
"""Seconds to wait for a screenshot."""

STDOUT = "-"


class CannotWrite(SidecarError):
    """The file cannot be written."""


@click.command(
    cls=SettingsCommand,
    short_help="Save what a screen shows as a PNG file.",
    epilog="""\b
Examples:
  vdi-sidecar screenshot -o screen.png
  vdi-sidecar screenshot --console 1 --cursor -o - | display""",
)
@click.option("-o", "--output", metavar="FILE", help="Where to write it; -, the default, is standard output.")
@click.option("--console", type=click.IntRange(0), default=0, show_default=True, help="Number of the screen.")
@click.option("--cursor", is_flag=True, help="Draw the guest's pointer in, where it has one.")
@running_daemon_settings
def screenshot(run_dir: Path, output: str | None, console: int, cursor: bool) -> None:
    """Save a picture of a screen, every pixel as the guest has drawn it."""
    if output is None and sys.stdout.isatty():
        raise UsageError("say where the picture goes: -o FILE")
    file = bytearray()
    with connect_admin(run_dir / ADMIN_SOCKET, time_limit=SCREENSHOT_TIME) as daemon:
        answers = daemon.stream("screenshot", console=console, cursor=cursor)
        head = next(answers, None)
        while head is not None and len(file) < head["bytes"]:
            piece = next(answers, None)
            if piece is None:
                break
            file += base64.b64decode(piece)
        if head is None or len(file) != head["bytes"]:
            raise DaemonUnreachable(f"the daemon in {run_dir} has ended")
    if output is None or output == STDOUT:
        sys.stdout.buffer.write(file)
        sys.stdout.buffer.flush()
        return
    try:
        _write(Path(output), file)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotWrite(f"cannot write {output}: {reason}") from None


@click.command(
    cls=SettingsCommand,
    short_help="Show people a message on their screen.",
    epilog="""\b
Examples:
  vdi-sidecar message v7 "The machine restarts at noon: save your work."
  vdi-sidecar message --all --seconds 30 "Maintenance begins in five minutes." """,
)
@click.argument("words", nargs=-1, required=True, metavar="[ID] TEXT", shell_complete=complete_session)
@click.option("--all", "everybody", is_flag=True, help="Show it to every session.")
@click.option(
    "--seconds",
    type=SECONDS,
    default="10",
    show_default=True,
    metavar="TIME",
    help="How long it stays, 1 to 60 seconds.",
)
@running_daemon_settings
def message(run_dir: Path, words: tuple[str, ...], everybody: bool, seconds: float) -> None:
    """Show a text in the picture of one session, or of all; `vdi-sidecar sessions` shows their ids."""
    if len(words) != (1 if everybody else 2):
        raise UsageError('say to whom and what: ID "TEXT", or --all "TEXT"')
    with connect_admin(run_dir / ADMIN_SOCKET) as daemon:
        if everybody:
            shown = daemon.ask("message-all", text=words[0], seconds=seconds)["shown"]
        else:
            shown = daemon.ask("message", id=words[0], text=words[1], seconds=seconds)["shown"]
    click.echo(f"shown in {shown} session{'' if shown == 1 else 's'}")


def _write(path: Path, data: bytes | bytearray) -> None:
    """Writes a file that its owner alone may read where it is new: a screen may show anything."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
