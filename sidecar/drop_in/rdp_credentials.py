"""Who may come in by RDP: one user, whom a manager names while the program runs."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.access.password import Passwords


@dataclass(frozen=True, slots=True)
class RdpCredentials:
    """A name and a password. Clients may say any domain, or none."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OneUser(Passwords):
    """The password of that one user; nobody gets in before there is one.

    `credentials`: what they are now. A user without a name stands for all names.
    """

    credentials: Callable[[], RdpCredentials | None] = lambda: None

    @property
    def asked(self) -> bool:
        """Always."""
        return True

    def password_of(self, user: str) -> str | None:
        """As its base. Capitals and small letters of names are the same, as they are to Windows."""
        there = self.credentials()
        if there is None or (there.user and there.user.casefold() != user.casefold()):
            return None
        return there.password or None
