"""How every program runs its command line, and how every kind of failure ends: in one line, no traceback."""

import os
import sys
from collections.abc import Sequence

import click

from sidecar.errors import SidecarError

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

DEBUG = "VDI_SIDECAR_DEBUG"
"""Set in the environment, it lets a fault of the program end with its traceback."""


def run(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; the exit status: 0, 1, 2 for wrong usage, 130 for Ctrl-C.

    `name`: of the program. `arguments`: None: those of the process.
    """
    try:
        result = command.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        return _fail(name, _usage_line(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has seen enough; nothing more may be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except Exception as error:
        return _failed_with(name, error)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            return EXIT_INTERRUPTED
        raise
    return result if isinstance(result, int) else 0


def _failed_with(name: str, error: Exception) -> int:
    cause = _first_cause(error)
    if isinstance(cause, SidecarError):
        return _fail(name, str(cause), cause.exit_code)
    if os.environ.get(DEBUG):
        raise error
    where = ""
    if (trace := cause.__traceback__) is not None:
        while trace.tb_next is not None:
            trace = trace.tb_next
        where = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
    return _fail(
        name,
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


def _fail(name: str, message: str, exit_code: int) -> int:
    line = " ".join(message.split())
    click.echo(f"{name}: {line}", err=True)
    return exit_code
