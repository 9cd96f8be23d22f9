"""How far a client is behind with the sound that it is sent, and what it is not sent therefore."""

from collections import deque
from dataclasses import dataclass

MAX_BEHIND = 0.2
"""Seconds of sound that may wait on the way or at the client, beyond the client's own latency."""

RESUME_BEHIND = 0.1
"""Seconds to which that must have shrunk before sound is sent again, so that it is lost in one piece."""

MAX_LATENCY = 1.0
"""Seconds that are believed to be a client's own latency."""

MAX_WAVES = 250
"""Waves that may be unconfirmed: their numbers have eight bits."""

WINDOW = 10.0
"""Seconds for which a client's latency is remembered: the way to it may become another one."""


@dataclass(frozen=True, slots=True)
class _Wave:
    block: int
    sent_at: float
    timestamp: int
    seconds: float


class AudioPace:
    """Books waves and their confirmations. Times are seconds of any clock that only goes forward.

    Two latencies are the client's own, and not counted against it: the shortest time in which it confirmed
    of late, at most MAX_LATENCY, and the shortest time that a wave waited to be played there since the
    sound began. What goes beyond either by more than MAX_BEHIND is not to be sent. A client that
    never confirms is sent MAX_LATENCY and MAX_BEHIND of sound, and then none. Confirmations of what was not
    sent, or too long ago, are left alone.
    """

    def __init__(self) -> None:
        self._waves: deque[_Wave] = deque()
        self._unconfirmed = 0.0
        self._last: _Wave | None = None
        """The wave that was confirmed last; it may be confirmed once more."""
        self._wait = 0.0
        """Seconds after its arrival at which that one is played, as far as is known."""
        self._wait_at = 0.0
        self._times: deque[tuple[float, float]] = deque()
        """When waves were confirmed and how long that took, as far as it could be the shortest: ascending."""
        self._queue = 0.0
        self._queue_at = 0.0
        self._shortest_queue: float | None = None
        self._lagging = False

    def began(self) -> None:
        """Sound follows, after silence: what was queued has been played."""
        self._last = None
        self._queue = 0.0
        self._shortest_queue = None

    def behind(self, now: float) -> float:
        """Seconds of sound that wait somewhere, beyond the client's own latency; may be negative."""
        self._forget(now)
        latency = min(self._times[0][1], MAX_LATENCY) if self._times else MAX_LATENCY
        # what the client had queued has been played since it said so
        queued = self._queue - (now - self._queue_at) - (self._shortest_queue or 0.0)
        return max(self._unconfirmed - latency, queued)

    def may_send(self, now: float) -> bool:
        """Whether the next wave is to be sent; else it is dropped."""
        limit = RESUME_BEHIND if self._lagging else MAX_BEHIND
        self._lagging = self.behind(now) > limit or len(self._waves) >= MAX_WAVES
        return not self._lagging

    def sent(self, block: int, timestamp: int, seconds: float, now: float) -> None:
        """A wave of so many seconds was sent."""
        self._waves.append(_Wave(block, now, timestamp & 0xFFFF, seconds))
        self._unconfirmed += seconds

    def confirmed(self, block: int, timestamp: int, now: float) -> None:
        """The client has confirmed a wave, and with it all before."""
        if any(wave.block == block for wave in self._waves):
            self._judge_wait()
            while (wave := self._waves.popleft()).block != block:
                self._unconfirmed -= wave.seconds
            # exact again whenever nothing is on the way
            self._unconfirmed = self._unconfirmed - wave.seconds if self._waves else 0.0
            self._last = wave
            self._took(now - wave.sent_at, now)
        elif self._last is None or self._last.block != block:
            return
        wait = (timestamp - self._last.timestamp) & 0xFFFF
        # played before its arrival: nonsense, or rounded
        self._wait, self._wait_at = (0.0 if wait > 0x7FFF else wait / 1000), now

    def _took(self, seconds: float, now: float) -> None:
        while self._times and self._times[-1][1] >= seconds:
            self._times.pop()
        self._times.append((now, seconds))
        self._forget(now)

    def _forget(self, now: float) -> None:
        # the last one is kept: it is the best that is known
        while len(self._times) > 1 and self._times[0][0] < now - WINDOW:
            self._times.popleft()

    def _judge_wait(self) -> None:
        """No more comes of the wave that was confirmed last: a first confirmation tells no wait yet."""
        if self._last is None:
            return
        self._queue, self._queue_at = self._wait, self._wait_at
        if self._shortest_queue is None or self._queue < self._shortest_queue:
            self._shortest_queue = self._queue
