"""The users of their own, read again when their file has changed."""

import os
import stat
from pathlib import Path
from typing import TypeAlias

from sidecar.access import scrypt
from sidecar.access.users_file import LONGEST_FILE, User, UsersFileUnusable, parse
from sidecar.log import get_logger
from sidecar.regular_file import read_regular

log = get_logger(__name__)

_Identity: TypeAlias = tuple[int, ...]


class Users:
    """The users in the file at `path`. Belongs to the main loop.

    While the file is not as it must be, there are no users: one that was taken out of it must not get in
    because of a slip elsewhere in it. The log says so once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Identity | None = None
        self._wrong: UsersFileUnusable | None = None
        self._users: dict[str, User] = {}
        self._fault = ""
        self._cost = scrypt.Cost()

    def check(self) -> None:
        """Raises UsersFileUnusable if the file cannot be used now."""
        self._read()

    def find(self, name: str) -> User | None:
        """The user of that name, as the file is now."""
        try:
            self._read()
        except UsersFileUnusable as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("users cannot log in", cause=self._fault)
        else:
            if self._fault:
                self._fault = ""
                log.info("users can log in again")
        return self._users.get(name)

    @property
    def nobodys_password(self) -> scrypt.PasswordHash:
        """What the password of a name that nobody has is compared with: it takes as long as that of the
        user whose hash is the dearest, and matches nothing."""
        return scrypt.nobodys(self._cost)

    def _read(self) -> None:
        """Raises UsersFileUnusable; then there are no users."""
        try:
            # a change makes another file, or another time or size of it
            if _identity(os.stat(self._path)) != self._seen:
                self._users, self._seen, self._wrong = {}, None, None
                content, self._seen = _content(self._path)
                self._understand(content, self._seen[-1])
        except OSError as error:
            self._users, self._seen = {}, None
            reason = (error.strerror or str(error)).lower()
            raise UsersFileUnusable(f"cannot use the users file {self._path}: {reason}") from None
        if self._wrong is not None:
            raise UsersFileUnusable(f"cannot use the users file {self._path}: {self._wrong}")

    def _understand(self, content: bytes, mode: int) -> None:
        try:
            users = parse(content)
            _check_mode(mode, users)
        except UsersFileUnusable as error:
            self._wrong = error
            return
        self._users = users
        costs = [user.password.cost for user in users.values()]
        self._cost = max(costs, key=lambda cost: (1 << cost.ln) * cost.r * cost.p, default=scrypt.Cost())


def read_users(path: Path) -> list[User]:
    """The users in a file. Raises UsersFileUnusable."""
    users = Users(path)
    users.check()
    return list(users._users.values())


def _content(path: Path) -> tuple[bytes, _Identity]:
    content, found = read_regular(path, LONGEST_FILE + 1)
    return content, _identity(found)


def _identity(found: os.stat_result) -> _Identity:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)


def _check_mode(mode: int, users: dict[str, User]) -> None:
    """Whoever writes the file can let in anybody, and an nt-hash is as good as a password to its reader.

    Other hashes may be read: a mounted Secret is so by default, and its directory keeps others out.
    """
    if mode & stat.S_IWOTH:
        raise UsersFileUnusable(f"everybody can write it (mode {stat.S_IMODE(mode):04o}): chmod o-w")
    if mode & stat.S_IROTH and any(user.nt_hash is not None for user in users.values()):
        raise UsersFileUnusable(
            f"everybody can read it (mode {stat.S_IMODE(mode):04o}) and there is an nt-hash in it, which is "
            "as good as a password: chmod 640 (of a Secret: defaultMode 0440)"
        )
