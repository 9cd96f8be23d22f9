"""How both programs are run, and how every kind of failure ends: one line, and libvirt's log has it."""

import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import click

from sidecar.errors import SidecarError
from sidecar.log import configure
from sidecar.spare_memory import spare_memory

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130


def run(command: click.Command, name: str, arguments: Sequence[str] | None) -> int:
    """Runs a command line; the exit status: 0, 1, 2 for wrong usage, 130 for Ctrl-C."""
    try:
        command.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        return _fail(name, error.format_message().rstrip("."), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except SidecarError as error:
        return _fail(name, str(error), error.exit_code)
    except ExceptionGroup as group:
        known = group.subgroup(SidecarError)
        if known is None:
            raise
        cause = _first(known)
        return _fail(name, str(cause), getattr(cause, "exit_code", EXIT_FAILURE))
    return 0


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def _fail(name: str, message: str, exit_code: int) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return exit_code


def run_service(entry: Callable[[], Coroutine[Any, Any, None]], *, debug: bool = False) -> None:
    """Runs a service to its end; its log goes to stderr, which libvirt keeps."""
    spare_memory()
    import uvloop

    configure("debug" if debug else "info")
    uvloop.run(entry())
