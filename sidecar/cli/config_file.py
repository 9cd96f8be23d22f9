"""The TOML file of `--config`."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sidecar.cli.setting import Setting
from sidecar.errors import UsageError

LARGEST_FILE = 1024 * 1024


def read_settings(path: Path, command: str, commands: Mapping[str, click.Command]) -> dict[str, Any]:
    """The settings in the file at `path` for one command, by parameter name.

    Keys at the top are for every command that has such an option; a table named as a command is for it
    alone and goes first. Raises UsageError, also for keys that no command knows: a slip must not pass.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    if len(content) > LARGEST_FILE:
        raise UsageError(f"{path} is too large for a configuration file")
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    return settings_for(table, command, commands, where=str(path))


def settings_for(
    table: Mapping[str, Any], command: str, commands: Mapping[str, click.Command], *, where: str
) -> dict[str, Any]:
    """Like `read_settings`, of a file that has been parsed; `where` names it in errors."""
    known = {name: _settings_of(each) for name, each in commands.items()}
    everywhere: dict[str, Any] = {}
    here: dict[str, Any] = {}
    for key, value in table.items():
        if key in known and isinstance(value, dict):
            for inner, setting in value.items():
                name = _name(inner)
                if name not in known[key]:
                    raise UsageError(f"{where}: {key} has no setting {inner!r}")
                checked = _checked(known[key][name], setting, f"{where}: [{key}] {inner}")
                if key == command:
                    here[name] = checked
            continue
        name = _name(key)
        owners = [settings[name] for settings in known.values() if name in settings]
        if not owners:
            raise UsageError(f"{where}: there is no setting {key!r}")
        checked = _checked(owners[0], value, f"{where}: {key}")
        if name in known[command]:
            everywhere[name] = checked
    return everywhere | here


def _settings_of(command: click.Command) -> dict[str, Setting]:
    return {
        str(parameter.name): parameter
        for parameter in command.params
        # a file that names another file would hide where a setting comes from
        if isinstance(parameter, Setting) and parameter.name != "config"
    }


def _name(key: str) -> str:
    return key.replace("-", "_")


def _checked(setting: Setting, value: Any, where: str) -> Any:
    """`value`, as a list if the option can be repeated. The option's own type checks what is in it."""
    if setting.multiple:
        values = value if isinstance(value, list) else [value]
        return [_checked_scalar(each, where) for each in values]
    if setting.is_flag and not isinstance(value, bool):
        raise UsageError(f"{where} must be true or false")
    if not setting.is_flag and isinstance(value, bool):
        raise UsageError(f"{where} must not be true or false")
    return _checked_scalar(value, where)


def _checked_scalar(value: Any, where: str) -> Any:
    if not isinstance(value, str | int | float):
        raise UsageError(f"{where} must be a text, a number, true or false")
    return value
