"""The program as a whole: its commands, and how every kind of failure ends."""

import os
import sys
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
from sidecar.errors import SidecarError

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

DEBUG = "VDI_SIDECAR_DEBUG"
"""Set in the environment, it lets a fault of the program end with its traceback."""

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
    try:
        result = program.main(arguments, prog_name="vdi-sidecar", standalone_mode=False)
    except click.ClickException as error:
        return _fail(_usage_line(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has seen enough; nothing more may be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except Exception as error:
        return _failed_with(error)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            return EXIT_INTERRUPTED
        raise
    return result if isinstance(result, int) else 0


def _failed_with(error: Exception) -> int:
    cause = _first_cause(error)
    if isinstance(cause, SidecarError):
        return _fail(str(cause), cause.exit_code)
    if os.environ.get(DEBUG):
        raise error
    where = ""
    if (trace := cause.__traceback__) is not None:
        while trace.tb_next is not None:
            trace = trace.tb_next
        where = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
    return _fail(
        f"a fault of this program ({type(cause).__name__}{where}: {cause}); "
        f"set {DEBUG}=1 to see more, and please report it",
        EXIT_FAILURE,
    )


def _first_cause(error: Exception) -> Exception:
    """The error in a tree of groups that says most to a person: the first SidecarError, or the first."""
    if not isinstance(error, ExceptionGroup):
        return error
    known = error.subgroup(SidecarError)
    return _first_cause((known or error).exceptions[0])


def _usage_line(error: click.ClickException) -> str:
    message = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.rstrip('.')} (see: {error.ctx.command_path} --help)"
    return message


def _fail(message: str, exit_code: int) -> int:
    line = " ".join(message.split())
    click.echo(f"vdi-sidecar: {line}", err=True)
    return exit_code
