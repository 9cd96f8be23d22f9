"""Every way to log in: the machine's password, users of their own, tickets. One object for all frontends."""

from collections.abc import Callable

from sidecar.access.grant import Attempt, Candidate, Grant, LoginFailed
from sidecar.access.password import Passwords, same


class Logins:
    """Judges logins. Belongs to the main loop.

    A frontend that gets a password in the clear asks `verify`. One whose peer proves a password without
    sending it looks through `candidates` and says how it went (`failed`). Both call `use` with the grant
    at the moment in which they let somebody in, and not before: that is what a one-time ticket is spent by.
    """

    def __init__(self, passwords: Passwords | None = None) -> None:
        self._passwords = Passwords() if passwords is None else passwords

    @property
    def asked(self) -> bool:
        """Whether anybody must prove anything. If not, nothing else here is called."""
        return self._passwords.asked

    @property
    def has_candidates(self) -> bool:
        """Whether there can be secrets in the clear, without which VNC's own authentication is no use."""
        return self._passwords.asked

    def check(self, attempt: Attempt) -> None:
        """Raises LoginThrottled where too many attempts of that address have failed lately."""

    def candidates(self, attempt: Attempt, user: str = "") -> list[Candidate]:
        """What would let `user` in (empty where the protocol has no names), the likeliest first.

        Those of NLA want a name: `nt_hash` is there only for protocol `rdp`. Raises LoginThrottled.
        """
        self.check(attempt)
        password = self._passwords.password_of(user)
        return [] if password is None else [Candidate(Grant("password"), password=password)]

    async def verify(self, attempt: Attempt, user: str, password: str) -> Grant:
        """What somebody may do who has sent `password`.

        Raises LoginFailed, which is counted, or LoginThrottled.
        """
        for candidate in self.candidates(attempt, user):
            if candidate.password is not None and same(password, candidate.password):
                return candidate.grant
        self.failed(attempt)
        raise LoginFailed

    def failed(self, attempt: Attempt) -> None:
        """Counts a login that has failed."""

    def use(self, attempt: Attempt, grant: Grant) -> None:
        """Takes note that somebody is let in by `grant`. Raises LoginFailed if that is used up meanwhile."""


def matching(candidates: list[Candidate], matches: Callable[[str], bool]) -> Grant | None:
    """The grant of the first candidate whose password `matches` takes."""
    for candidate in candidates:
        if candidate.password is not None and matches(candidate.password):
            return candidate.grant
    return None
