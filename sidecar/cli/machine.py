"""`vdi-sidecar vm`: asks about the machine and works its switches, by a running daemon."""

import json
from pathlib import Path
from typing import Any, Final

import click

from sidecar.cli.setting import SettingsCommand
from sidecar.cli.shared import running_daemon_settings
from sidecar.config.quantity import parse_mebibytes
from sidecar.config.run_directory import ADMIN_SOCKET
from sidecar.control.admin_client import connect_admin
from sidecar.errors import UsageError

SWITCHES: Final = {
    "shut-down": "its power button is pressed",
    "power-off": "it is off",
    "reset": "it was reset",
    "pause": "it is paused",
    "resume": "it goes on",
    "start": "it was started",
}
"""What is said when each has been done."""

RESIZES: Final = ("set-memory", "set-cpus")

LONGEST_CHANGE: Final = 180.0
"""Seconds to wait for an answer: longer than the daemon gives a change."""

MEBIBYTE: Final = 1024 * 1024


@click.command(
    cls=SettingsCommand,
    short_help="Show the machine, switch it, resize it.",
    epilog="""\b
Examples:
  vdi-sidecar vm
  vdi-sidecar vm --json | jq .capabilities.memory
  vdi-sidecar vm pause
  vdi-sidecar vm set-memory 2G
  vdi-sidecar vm set-cpus 4""",
)
@click.argument(
    "action", type=click.Choice(["info", *SWITCHES, *RESIZES]), default="info", metavar="[ACTION]"
)
@click.argument("value", required=False, metavar="[VALUE]")
@click.option("--json", "as_json", is_flag=True, help="Print what info tells as JSON.")
@running_daemon_settings
def vm(run_dir: Path, action: str, value: str | None, as_json: bool) -> None:
    """Show the machine as it is now and what can be done to it (info, the default), or change it.

    The other actions: shut-down presses its power button; power-off, reset, pause, resume and start act at
    once. set-memory SIZE (512M, 2G) and set-cpus N give the guest more or less, as far as the machine was
    started for that.
    """
    if (value is None) == (action in RESIZES):
        needs = {"set-memory": "a size, such as 2G", "set-cpus": "a number"}
        raise UsageError(
            f"{action} needs {needs[action]}" if value is None else f"{action} takes no value: leave it out"
        )
    if as_json and action != "info":
        raise UsageError("--json is for info")
    command, arguments = _request(action, value or "")
    with connect_admin(run_dir / ADMIN_SOCKET, time_limit=LONGEST_CHANGE) as daemon:
        answer = daemon.ask(command, **arguments)
    if action != "info":
        click.echo(SWITCHES.get(action, "done: the guest may need a while to follow"))
    elif as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(answer)


def _request(action: str, value: str) -> tuple[str, dict[str, Any]]:
    """The admin command and its arguments. Raises UsageError."""
    if action == "info":
        return "machine", {}
    if action == "set-memory":
        return "machine-memory", {"size": parse_mebibytes(value) * MEBIBYTE}
    if action == "set-cpus":
        if not (value.isascii() and value.isdigit() and len(value) < 6):
            raise UsageError(f"set-cpus needs a number, not {value!r}")
        return "machine-cpus", {"count": int(value)}
    return f"machine-{action}", {}


def _print(machine: dict[str, Any]) -> None:
    host = machine["host"]
    lines = [
        ("machine", f"{machine['name'] or '(no name)'} ({machine['state']})"),
        ("uuid", machine["uuid"]),
        ("memory", _amount(machine["memory"], machine["maximum_memory"], _size)),
        ("cpus", _amount(machine["cpus"], machine["maximum_cpus"], str)),
        ("up for", "" if machine["uptime"] is None else _time(int(machine["uptime"]))),
        ("run by", " ".join(part for part in ("QEMU", host["version"], host["accelerator"]) if part)),
        ("kvm", "can be used" if host["kvm"] else "not here"),
    ]
    lines += [("device", _device(device)) for device in machine["devices"]]
    for name, capability in machine["capabilities"].items():
        lines.append(
            (name, "possible" if capability["possible"] else f"not possible: {capability['reason']}")
        )
    for name, text in lines:
        if text:
            click.echo(f"{name:9}  {_printable(text)}")


def _device(device: dict[str, str]) -> str:
    return "  ".join(
        part for part in (device["kind"], device["name"], device["model"], device["detail"]) if part
    )


def _amount(now: int | None, most: int | None, write: Any) -> str:
    if now is None:
        return ""
    return f"{write(now)} of {write(most)}" if most is not None and most != now else str(write(now))


def _size(size: int) -> str:
    return f"{size / MEBIBYTE:g} MiB"


def _time(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} days {clock}" if days else clock


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
