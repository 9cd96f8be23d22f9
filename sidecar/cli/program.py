"""The program as a whole: its commands."""

from collections.abc import Sequence

import click

from sidecar import __version__
from sidecar.cli.completion import completion
from sidecar.cli.console import console
from sidecar.cli.daemon import demo, hook, serve
from sidecar.cli.doctor import doctor
from sidecar.cli.domain import define_domain
from sidecar.cli.machine import vm
from sidecar.cli.screen import message, screenshot
from sidecar.cli.sessions import disconnect, sessions, status, view_only
from sidecar.cli.ticket import ticket
from sidecar.cli.user import user
from sidecar.command_line import run

SECTIONS = {
    "Serve a machine": (serve, hook, demo),
    "Talk to a running daemon": (
        sessions,
        disconnect,
        view_only,
        message,
        status,
        ticket,
        screenshot,
        vm,
    ),
    "Use a machine": (console,),
    "Tools": (define_domain, user, doctor, completion),
}


class Program(click.Group):
    """The group of all commands, listed by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes one section for each purpose."""
        width = max(len(name) for name in self.commands)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(str(command.name).ljust(width), command.get_short_help_str(80)) for command in commands]
                )


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start here:
  vdi-sidecar demo       a guest to look at, on this machine
  vdi-sidecar doctor     what is missing on this machine
  vdi-sidecar COMMAND --help""",
)
@click.version_option(__version__, message="vdi-sidecar %(version)s")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Lets many people see and drive one QEMU virtual machine at once."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _commands in SECTIONS.values():
    for _command in _commands:
        program.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0, 1, 2 for wrong usage, 130 for Ctrl-C."""
    return run(program, "vdi-sidecar", arguments)
