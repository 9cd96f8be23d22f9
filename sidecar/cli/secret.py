"""A password that somebody gives to a command: from a file, from standard input, or at the terminal."""

import sys
from pathlib import Path

import click

from sidecar.config.password import LONGEST_PASSWORD, read_password_from, read_password_once
from sidecar.errors import UsageError


def given_secret(path: Path | None, from_stdin: bool) -> str | None:
    """What --password-file and --password-stdin say; None: nothing. Raises UsageError, PasswordUnreadable."""
    if path is not None and from_stdin:
        raise UsageError("--password-file and --password-stdin exclude each other")
    if path is not None:
        return read_password_once(path)
    return read_password_from(sys.stdin.buffer, "the password on standard input") if from_stdin else None


def asked_secret(whose: str) -> str:
    """What somebody types twice; it is not shown. Raises UsageError."""
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at: give --password-file PATH or --password-stdin")
    secret: str = click.prompt(f"Password of {whose}", hide_input=True, confirmation_prompt=True, err=True)
    if len(secret.encode("utf-8", "surrogateescape")) > LONGEST_PASSWORD:
        raise UsageError(f"the password is longer than {LONGEST_PASSWORD} bytes")
    return secret
