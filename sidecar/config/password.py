"""The password, which comes from a file: an argument or the environment can be read by other processes."""

from pathlib import Path
from typing import BinaryIO

from sidecar.errors import SidecarError

LONGEST_PASSWORD = 1024
"""Bytes of a password file that are believed."""


class PasswordUnreadable(SidecarError):
    """The password file is missing, empty or too long."""


def read_password(path: Path) -> str:
    """The password in `path`: UTF-8, without the line's end. Raises PasswordUnreadable.

    Read it again for every login: a mounted secret changes under a running daemon.
    """
    try:
        with path.open("rb") as file:
            return read_password_from(file, f"the password file {path}")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PasswordUnreadable(f"cannot read the password file {path}: {reason}") from None


def read_password_from(stream: BinaryIO, what: str) -> str:
    """The password in an open file, read to its end; `what` it is, for errors. Raises PasswordUnreadable."""
    content = stream.read(LONGEST_PASSWORD + 1)
    if len(content) > LONGEST_PASSWORD:
        raise PasswordUnreadable(f"{what} is longer than {LONGEST_PASSWORD} bytes")
    try:
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise PasswordUnreadable(f"{what} is not UTF-8 text") from None
    if not password:
        raise PasswordUnreadable(f"{what} is empty")
    if "\n" in password or "\0" in password:
        raise PasswordUnreadable(f"{what} must hold one line: the password")
    return password
