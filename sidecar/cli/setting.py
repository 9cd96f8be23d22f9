"""Settings: options that can also come from the environment and from a TOML file, shown in sections."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import click

from sidecar.config.address import (
    ConsoleAddress,
    ListenAddress,
    TcpAddress,
    UnixAddress,
    parse_console_address,
    parse_listen_address,
    parse_tcp_address,
)
from sidecar.config.options import DemoOptions, HookOptions, ServeOptions
from sidecar.config.quantity import parse_mebibytes, parse_seconds
from sidecar.errors import UsageError

ENVIRONMENT_PREFIX = "VDI_SIDECAR_"

DEFAULTS = {
    option.name: option.default
    for options in (ServeOptions, HookOptions, DemoOptions)
    for option in fields(options)
    if option.default is not MISSING
}
"""The defaults of the option classes, which are the only place that states them."""

T = TypeVar("T")
Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)


class Setting(click.Option):
    """An option `--some-name`, also `VDI_SIDECAR_SOME_NAME` in the environment; `section` groups the help."""

    def __init__(self, *args: Any, section: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section
        if self.name is not None and self.envvar is None:
            self.envvar = ENVIRONMENT_PREFIX + self.name.upper()


class SettingsCommand(click.Command):
    """A command whose help shows its settings section by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections in the order in which they first occur."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            # newer versions of click have a line for each argument too; the usage says all of them
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def setting(*names: str, section: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """Adds a Setting to a command; its default is that of the option class, shown if it says anything."""
    name = names[0].partition("/")[0].lstrip("-").replace("-", "_")
    default = DEFAULTS.get(name)
    if default is not None and "default" not in attributes:
        attributes["default"] = default
    attributes.setdefault("show_default", bool(attributes.get("default")))
    return click.option(*names, cls=Setting, section=section, **attributes)


if TYPE_CHECKING:
    AnyParamType = click.ParamType[Any]
else:
    # not generic before click 8.4
    AnyParamType = click.ParamType


class Parsed(AnyParamType, Generic[T]):
    """A parameter type made of a function that raises UsageError."""

    def __init__(self, name: str, parse: Callable[[str], T], kinds: tuple[type, ...]) -> None:
        self.name = name
        self._parse = parse
        self._kinds = kinds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Takes text, or what has been parsed already."""
        if isinstance(value, self._kinds):
            return cast(T, value)
        try:
            return self._parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


NO_ADDRESS = "none"


def _address_or_none(text: str) -> ListenAddress | str:
    return NO_ADDRESS if text == NO_ADDRESS else parse_listen_address(text)


LISTEN_ADDRESS: Parsed[ListenAddress | str] = Parsed("address", _address_or_none, (TcpAddress, UnixAddress))
CONSOLE_ADDRESS: Parsed[ConsoleAddress] = Parsed("name=address", parse_console_address, (ConsoleAddress,))
TCP_ADDRESS: Parsed[TcpAddress] = Parsed("host:port", parse_tcp_address, (TcpAddress,))
SECONDS: Parsed[float] = Parsed("time", parse_seconds, (float,))
MEBIBYTES: Parsed[int] = Parsed("size", parse_mebibytes, (int,))
