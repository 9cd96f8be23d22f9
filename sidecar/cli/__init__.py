"""The command `vdi-sidecar`: options in, one line of error out. Imports what a command needs when it runs."""

from sidecar.cli.program import main

__all__ = ["main"]
