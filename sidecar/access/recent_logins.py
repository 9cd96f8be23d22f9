"""Passwords of users that were right a moment ago, so that not every request of a program takes a part of a
second."""

import hashlib
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sidecar.access.users_file import User

REMEMBERED_FOR: Final = 60.0
"""Seconds, which no further login makes longer."""

MOST: Final = 64
"""Users."""


@dataclass(frozen=True, slots=True)
class _Seen:
    user: User
    digest: bytes
    until: float


class RecentLogins:
    """Belongs to the main loop. Keeps no password, but a hash under a key that no other process has.

    `clock`: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = os.urandom(32)
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def knows(self, user: User, password: str) -> bool:
        """Whether `password` was that of `user`, as the file has the user now, a moment ago."""
        seen = self._seen.get(user.name)
        if seen is None:
            return False
        if seen.user != user or seen.until <= self._clock():
            del self._seen[user.name]
            return False
        return hmac.compare_digest(seen.digest, self._digest(password))

    def remember(self, user: User, password: str) -> None:
        """`password` was found to be that of `user`."""
        self._seen[user.name] = _Seen(user, self._digest(password), self._clock() + REMEMBERED_FOR)
        self._seen.move_to_end(user.name)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)

    def _digest(self, password: str) -> bytes:
        return hashlib.blake2b(password.encode("utf-8", "surrogatepass"), key=self._key).digest()
