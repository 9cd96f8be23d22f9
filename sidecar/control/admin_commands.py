"""The commands of the admin socket: one table, which also prints the help, and the lines they travel in.

A request is one JSON object on one line, `{"command": "disconnect", "id": "v7"}`; each answer is one too,
`{"ok": true, "result": ...}` or `{"ok": false, "error": "..."}`. A stream is answered with many lines.
Nothing here does I/O.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sidecar.errors import SidecarError
from sidecar.session.feed import StatusFeed

Json: TypeAlias = Any
Arguments: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = Json | Awaitable[Json] | AsyncGenerator[Json, None]

LONGEST_REQUEST = 4096
"""Bytes of a request line."""

LARGEST_NUMBER = 1e15
"""Of those that need not be whole: whoever takes one may reckon with it."""


class BadRequest(SidecarError):
    """A request line that is not understood."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `answer` takes the arguments, whose types are checked, and gives the result, a promise of
    it, or a stream of results; a SidecarError it raises is told to the client.

    `changes`: whether it changes anything, so that the audit log has a line of it; `audited`: the arguments
    which that line tells, never a secret.
    """

    name: str
    help: str
    answer: Callable[[Arguments], Answer]
    required: Mapping[str, type] = field(default_factory=dict)
    optional: Mapping[str, type] = field(default_factory=dict)
    changes: bool = False
    audited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been understood."""

    command: Command
    arguments: Arguments = field(repr=False)

    @property
    def told(self) -> Arguments:
        """What the audit log tells of the arguments."""
        return {name: self.arguments[name] for name in self.command.audited if name in self.arguments}


class CommandTable:
    """Commands by name. `help` is among them."""

    def __init__(self, *commands: Command) -> None:
        self._commands: dict[str, Command] = {}
        self.add(Command("help", "lists the commands", lambda _arguments: self.help()))
        for command in commands:
            self.add(command)

    def add(self, command: Command) -> None:
        """Adds a command; a second one of the same name is a fault of this program (ValueError)."""
        if command.name in self._commands:
            raise ValueError(f"two commands are named {command.name}")
        self._commands[command.name] = command

    def parse(self, line: bytes) -> Request:
        """Understands one request line. Raises BadRequest and nothing else."""
        if len(line) > LONGEST_REQUEST:
            raise BadRequest(f"the request is longer than {LONGEST_REQUEST} bytes")
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            raise BadRequest("the request is not a line of JSON") from None
        if not isinstance(fields, dict):
            raise BadRequest("the request is not a JSON object")
        name = fields.pop("command", None)
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            raise BadRequest(f"unknown command; there are {', '.join(self._commands)}")
        known = {**command.required, **command.optional}
        for argument, value in fields.items():
            if argument not in known:
                raise BadRequest(f"{command.name} takes {_names(known)}")
            # a whole number is a number too, true is none
            if type(value) is not known[argument] and not (known[argument] is float and type(value) is int):
                raise BadRequest(f"{argument} must be {_TYPE_NAMES[known[argument]]}")
            if (
                isinstance(value, int | float)
                and known[argument] is float
                and not abs(value) <= LARGEST_NUMBER
            ):
                raise BadRequest(f"{argument} is too large, or no number")
        for argument in command.required:
            if argument not in fields:
                raise BadRequest(f"{command.name} needs {argument}")
        return Request(command, fields)

    def help(self) -> list[dict[str, Json]]:
        """What each command is called, takes and does."""
        return [
            {
                "command": command.name,
                "required": _kinds(command.required),
                "optional": _kinds(command.optional),
                "help": command.help,
            }
            for command in self._commands.values()
        ]


def result_line(result: Json) -> bytes:
    """The line that carries a result."""
    return _line({"ok": True, "result": result})


def error_line(error: str) -> bytes:
    """The line that carries an error."""
    return _line({"ok": False, "error": error})


def session_commands(feed: StatusFeed) -> tuple[Command, ...]:
    """The commands that show and end the sessions of `feed`'s registry."""
    registry = feed.registry

    def disconnect(arguments: Arguments) -> Json:
        registry.end(arguments["id"])
        return {"disconnected": 1}

    def view_only(arguments: Arguments) -> Json:
        registry.set_view_only(arguments["id"], arguments["value"])
        return {"view_only": arguments["value"]}

    def watch(arguments: Arguments) -> Answer:
        # counters alone are no change; a client that wants them to move asks for it
        return feed.watch(refresh=feed.interval if arguments.get("counters") else None)

    return (
        Command("sessions", "lists the sessions", lambda _arguments: feed.status()["sessions"]),
        Command("status", "shows the whole status", lambda _arguments: feed.status()),
        Command(
            "watch",
            "streams the status: now, and after each change; with counters, every second",
            watch,
            optional={"counters": bool},
        ),
        Command(
            "disconnect", "ends one session", disconnect, required={"id": str}, changes=True, audited=("id",)
        ),
        Command(
            "disconnect-all",
            "ends every session",
            lambda _arguments: {"disconnected": registry.end_all()},
            changes=True,
        ),
        Command(
            "view-only",
            "takes input away from a session (true) or gives it back (false)",
            view_only,
            required={"id": str, "value": bool},
            changes=True,
            audited=("id", "value"),
        ),
    )


_TYPE_NAMES = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "a list",
}


def _kinds(arguments: Mapping[str, type]) -> dict[str, str]:
    return {name: _TYPE_NAMES[kind].split()[1] for name, kind in arguments.items()}


def _names(arguments: Mapping[str, type]) -> str:
    return f"only {', '.join(arguments)}" if arguments else "no arguments"


def _line(answer: Json) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"
