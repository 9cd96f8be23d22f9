"""What has happened to sessions lately, for whoever follows it: a bounded past, and bounded readers."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict

from sidecar.errors import NotReady
from sidecar.session.registry import Registry
from sidecar.session.session import Session
from sidecar.session.status import SessionStatus, session_status

KEPT: Final = 256
"""Events that can be had again."""

MOST_BEHIND: Final = 256
"""Events that may wait for one reader; one more drops it."""

MOST_READERS: Final = 32

MOST_OF_ONE: Final = 8
"""Readers of one caller at one address."""


class TooManyReaders(NotReady):
    """No more can follow now."""


class SessionNews(TypedDict):
    """`event`: connected, initialized or disconnected; `time`: seconds since 1970; `reason`: why it ended."""

    event: str
    time: float
    session: SessionStatus
    reason: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `number` counts from 1; 0 stands before all."""

    number: int
    news: SessionNews


class Reader:
    """One who follows. Iterate over it; `leave` at the end."""

    def __init__(self, whose: str) -> None:
        self.whose = whose
        self.missed = False
        """Whether events were lost since the one that it asked for."""
        self.is_over = False
        """Nothing more comes: it was too slow, or the daemon ends."""
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()

    def put(self, event: Event) -> None:
        """Hands it an event."""
        if len(self._events) >= MOST_BEHIND:
            self.end()
            return
        self._events.append(event)
        self._news.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        self._events.clear()
        self._news.set()

    async def next(self, patience: float) -> Event | None:
        """The next event; None after `patience` seconds without any, and at the end."""
        if not self._events and not self.is_over:
            self._news.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._news.wait()
            except TimeoutError:
                return None
        return self._events.popleft() if self._events else None


class SessionEvents:
    """Keeps the last events of `registry`'s sessions until it is closed. `clock`: seconds since 1970.

    An event's id is `RUN-NUMBER`: the first part differs with every start of the daemon.
    """

    def __init__(self, registry: Registry, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.run = f"{int(clock() * 1000):x}"
        """What all ids of this daemon begin with."""
        self._past: deque[Event] = deque(maxlen=KEPT)
        self._number = 0
        self._readers: set[Reader] = set()
        self._unsubscribe = registry.events.subscribe(self._happened)
        self._is_closed = False

    def close(self) -> None:
        """Ends all readers. May be called twice."""
        self._is_closed = True
        self._unsubscribe()
        for reader in self._readers:
            reader.end()

    def id_of(self, event: Event) -> str:
        """As a reader may name it when it comes again."""
        return f"{self.run}-{event.number}"

    @property
    def readers(self) -> int:
        """How many follow."""
        return len(self._readers)

    def follow(self, whose: str, last_id: str = "") -> Reader:
        """A reader from now on, or from behind the event with `last_id`. Raises TooManyReaders."""
        of_one = Counter(reader.whose for reader in self._readers)[whose]
        if self._is_closed or len(self._readers) >= MOST_READERS or of_one >= MOST_OF_ONE:
            raise TooManyReaders("too many follow the events already: try again later")
        reader = Reader(whose)
        if last_id:
            self._catch_up(reader, last_id)
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """It follows no more."""
        self._readers.discard(reader)

    def _catch_up(self, reader: Reader, last_id: str) -> None:
        run, _, text = last_id.rpartition("-")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
        oldest = self._past[0].number if self._past else self._number + 1
        if run != self.run or number is None or not oldest - 1 <= number <= self._number:
            reader.missed = True
            return
        for event in self._past:
            if event.number > number:
                reader.put(event)

    def _happened(self, session: Session) -> None:
        self._number += 1
        news = SessionNews(
            event=session.state.value, time=round(self._clock(), 3), session=session_status(session)
        )
        if session.end_reason is not None:
            news["reason"] = session.end_reason.code
        event = Event(self._number, news)
        self._past.append(event)
        for reader in list(self._readers):
            reader.put(event)
