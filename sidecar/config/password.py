"""The password, which comes from a file: an argument or the environment can be read by other processes."""

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from sidecar.errors import SidecarError
from sidecar.regular_file import read_regular

LONGEST_PASSWORD = 1024
"""Bytes of a password file that are believed."""


class PasswordUnreadable(SidecarError):
    """The password file is missing, empty or too long."""


def read_password(path: Path) -> str:
    """The password in `path`: UTF-8, without the line's end. Raises PasswordUnreadable.

    Read it again for every login: a mounted secret changes under a running daemon. So it must be a regular
    file; a pipe would hold up the daemon, and gives its password once.
    """
    try:
        content, _ = read_regular(path, LONGEST_PASSWORD + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    return read_password_from(BytesIO(content), f"the password file {path}")


def read_password_once(path: Path) -> str:
    """As `read_password`, but from a pipe too, for whose end it waits: `--password-file <(pass show vm)`."""
    try:
        with path.open("rb") as file:
            return read_password_from(file, f"the password file {path}")
    except OSError as error:
        raise _unreadable(path, error) from None


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


def _unreadable(path: Path, error: OSError) -> PasswordUnreadable:
    reason = (error.strerror or str(error)).lower()
    return PasswordUnreadable(f"cannot read the password file {path}: {reason}")
