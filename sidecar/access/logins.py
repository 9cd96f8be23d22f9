"""Every way to log in: the machine's password, users of their own, tickets. One object for all frontends."""

from collections import Counter
from collections.abc import Callable
from typing import get_args

from sidecar.access.grant import (
    Attempt,
    Candidate,
    Grant,
    LoginFailed,
    LoginProtocol,
    LoginsBusy,
    LoginThrottled,
)
from sidecar.access.password import Passwords, same
from sidecar.access.recent_logins import RecentLogins
from sidecar.access.slow_checks import SlowChecks
from sidecar.access.throttle import Throttle
from sidecar.access.tickets import VNC, Tickets
from sidecar.access.users import Users
from sidecar.access.users_file import User
from sidecar.log import get_logger

log = get_logger(__name__)


class Logins:
    """Judges logins. Belongs to the main loop.

    A frontend that gets a password in the clear asks `verify`. One whose peer proves a password without
    sending it looks through `candidates` and says how it went (`failed`). Both call `use` with the grant
    at the moment in which they let somebody in, and not before: that is what a one-time ticket is spent by.

    What is None is not there: nobody is asked where all but `throttle` is. `throttle` None: an address may
    fail as often as it likes.
    """

    def __init__(
        self,
        passwords: Passwords | None = None,
        users: Users | None = None,
        tickets: Tickets | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self._passwords = Passwords() if passwords is None else passwords
        self._users = users
        self._tickets = tickets
        self._throttle = throttle
        self._slow_checks = SlowChecks()
        self._recent = RecentLogins()
        self.failures: Counter[tuple[str, str]] = Counter(
            {(protocol, cause): 0 for protocol in get_args(LoginProtocol) for cause in ("wrong", "throttled")}
        )
        """How many logins have failed, by protocol and cause; `throttled`: were not even looked at."""

    @property
    def asked(self) -> bool:
        """Whether anybody must prove anything. If not, nothing else here is called."""
        return self._passwords.asked or self._users is not None or self._tickets is not None

    @property
    def has_candidates(self) -> bool:
        """Whether there can be secrets in the clear, without which VNC's own authentication is no use.

        Beside users with hashes, tickets count while one for VNC is there.
        """
        if self._passwords.asked:
            return True
        if self._tickets is None:
            return False
        return self._users is None or self._tickets.open_to(VNC) > 0

    def check(self, attempt: Attempt) -> None:
        """Raises LoginThrottled where too many attempts of that address have failed lately."""
        if self._throttle is not None and (wait := self._throttle.wait(attempt.host)) > 0:
            self._not_looked_at(attempt, wait)
            raise LoginThrottled(wait)

    def candidates(self, attempt: Attempt, user: str = "") -> list[Candidate]:
        """What would let `user` in (empty where the protocol has no names), the likeliest first.

        Those of NLA want a name: `nt_hash` is there only for protocol `rdp`. Raises LoginThrottled.
        """
        self.check(attempt)
        return self._candidates(attempt, user, self._user(user))

    async def verify(self, attempt: Attempt, user: str, password: str) -> Grant:
        """What somebody may do who has sent `password`.

        Raises LoginFailed, which is counted, or LoginThrottled. Where there are users of their own it may
        take a second.
        """
        self.check(attempt)
        known = self._user(user)
        grant = matching(self._candidates(attempt, user, known), lambda right: same(password, right))
        if grant is None and self._users is not None and user:
            right = (known is not None and self._recent.knows(known, password)) or (
                await self._matches(attempt, self._users, known, password)
            )
            # the file may have changed meanwhile
            if right and known is not None and self._user(user) == known and known.may_use(attempt.protocol):
                grant = known.grant
        if grant is None:
            self.failed(attempt)
            raise LoginFailed
        return grant

    def failed(self, attempt: Attempt) -> None:
        """Counts a login that has failed, and logs it: nobody else does. Not what was tried: people type
        passwords into the field for their name."""
        pause = 0.0 if self._throttle is None else self._throttle.failed(attempt.host)
        self.failures[attempt.protocol, "wrong"] += 1
        log.warning(
            "login failed",
            protocol=attempt.protocol,
            address=_whence(attempt),
            session=attempt.session,
            cause="wrong",
            pause=round(pause, 1),
        )

    def use(self, attempt: Attempt, grant: Grant) -> None:
        """Takes note that somebody is let in by `grant`. Raises LoginFailed if that is used up meanwhile."""
        if grant.ticket:
            if self._tickets is None:
                raise LoginFailed
            try:
                self._tickets.use(attempt, grant.ticket)
            except LoginFailed:
                log.warning(
                    "login failed",
                    protocol=attempt.protocol,
                    address=_whence(attempt),
                    session=attempt.session,
                    cause="used-up",
                    ticket=grant.ticket,
                )
                raise
        if self._throttle is not None:
            self._throttle.succeeded(attempt.host)

    def holds(self, grant: Grant) -> bool:
        """Whether who has got `grant` would get the same now; a change of the machine's password changes
        nothing for those who are in."""
        if grant.method != "user":
            return True
        known = self._user(grant.user)
        return known is not None and known.grant == grant

    async def _matches(self, attempt: Attempt, users: Users, known: User | None, password: str) -> bool:
        # a name that nobody has takes as long as a wrong password
        kept = users.nobodys_password if known is None else known.password
        try:
            right = await self._slow_checks.run(
                attempt.host, lambda: self.check(attempt), lambda: kept.matches(password)
            )
        except LoginsBusy as busy:
            self._not_looked_at(attempt, busy.wait)
            raise
        if right and known is not None:
            self._recent.remember(known, password)
        return right

    def _not_looked_at(self, attempt: Attempt, wait: float) -> None:
        self.failures[attempt.protocol, "throttled"] += 1
        # the line of the failure before has told the pause, and peers can be quick
        log.debug(
            "login throttled",
            protocol=attempt.protocol,
            address=_whence(attempt),
            session=attempt.session,
            wait=round(wait, 1),
        )

    def _user(self, name: str) -> User | None:
        return self._users.find(name) if self._users is not None and name else None

    def _candidates(self, attempt: Attempt, user: str, known: User | None) -> list[Candidate]:
        found = []
        # read in any case: the time that it takes must not tell which names there are
        password = self._passwords.password_of(user)
        if known is None:
            # a name of the users' file needs that user's password: the status says who somebody is
            if password is not None:
                found.append(Candidate(Grant("password"), password=password))
        elif attempt.protocol == "rdp" and known.nt_hash is not None and known.may_use("rdp"):
            found.append(Candidate(known.grant, nt_hash=known.nt_hash))
        if self._tickets is not None:
            found += self._tickets.candidates(attempt, user)
        return found


def _whence(attempt: Attempt) -> str:
    return attempt.host or "local"


def matching(candidates: list[Candidate], matches: Callable[[str], bool]) -> Grant | None:
    """The grant of the first candidate whose password `matches` takes; as slow if it is the last, or none."""
    found = [each.grant for each in candidates if each.password is not None and matches(each.password)]
    return found[0] if found else None
