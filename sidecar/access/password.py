"""Whose password is what, and whether it was given."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.errors import SidecarError
from sidecar.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Passwords:
    """One password for everybody, whatever name they give.

    `read`: reads it anew for every login, so that a mounted secret can change; None where nobody is asked.
    It may raise SidecarError: then nobody gets in.
    """

    read: Callable[[], str] | None = None

    @property
    def asked(self) -> bool:
        """Whether a client must know a password."""
        return self.read is not None

    def password_of(self, user: str) -> str | None:
        """The present password of `user` (empty where the protocol has no names); None: there is no way in.

        Never empty: an empty password lets nobody in.
        """
        if self.read is None:
            return None
        try:
            password = self.read()
        except SidecarError as error:
            log.warning("nobody can log in", cause=str(error))
            return None
        return password or None


def same(one: str, other: str) -> bool:
    """Whether two passwords are equal, found out in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
