"""Logins for tests of those who ask them: tickets that are made by a line, and a clock that stands still."""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from sidecar.access.grant import Attempt, Grant
from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.access.throttle import Throttle
from sidecar.access.tickets import Tickets, TicketWish
from sidecar.access.users import Users

NOW = 1_800_000_000.0


@dataclass
class Desk:
    """Where logins are judged: the real thing, and what it was asked.

    `gate`: what `verify` waits for where that is to take long.
    """

    password: str | None = None
    users: Users | None = None
    gate: asyncio.Event | None = None
    now: float = NOW
    throttle: Throttle | None = None
    attempts: list[Attempt] = field(default_factory=list)
    used: list[Grant] = field(default_factory=list)
    waiting: int = 0
    """Logins before the gate."""

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        password = self.password
        passwords = Passwords(None if password is None else lambda: password)
        self.tickets = Tickets(lambda: self.now, lambda below: next(numbers) % below, passwords)
        self.logins = _Observed(self, passwords, self.users, self.tickets, self.throttle)

    def ticket(self, secret: str, **wish: Any) -> str:
        """Makes a ticket of ten minutes with that secret; its id."""
        return self.tickets.create(TicketWish(self.now + 600, secret=secret, **wish), "a test").id


class _Observed(Logins):
    """The real logins; what is asked is written down."""

    def __init__(self, desk: Desk, *parts: Any) -> None:
        super().__init__(*parts)
        self._desk = desk

    def check(self, attempt: Attempt) -> None:
        self._desk.attempts.append(attempt)
        super().check(attempt)

    async def verify(self, attempt: Attempt, user: str, password: str) -> Grant:
        if self._desk.gate is not None:
            self._desk.waiting += 1
            try:
                await self._desk.gate.wait()
            finally:
                self._desk.waiting -= 1
        return await super().verify(attempt, user, password)

    def use(self, attempt: Attempt, grant: Grant) -> None:
        super().use(attempt, grant)
        self._desk.used.append(grant)
