"""How often an address may try to log in: a few times at once, then with a pause that grows.

Pods behind a Service with masquerading, and everybody behind `kubectl port-forward`, share one address. So
there are ten attempts before any pause, the longest pause is half a minute, and one login that succeeds
forgives all. It leaves a guesser three thousand attempts a day.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FREE_FAILURES: Final = 10
"""Failed logins of one address that cost no pause."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds. Each failure doubles the pause."""

FORGOTTEN_AFTER: Final = 900.0
"""Seconds after the last failure."""

FORGIVEN_EVERY: Final = 60.0
"""Seconds between two times that a success forgives: who has a ticket must not guess at the rest with it."""

MOST_ADDRESSES: Final = 4096
"""Those that have not failed for the longest time are forgotten."""


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0
    forgiven: float = -FORGIVEN_EVERY


class Throttle:
    """The failures of each address. `clock`: seconds that never go back. Does no I/O.

    An address is the `host` of an attempt: IPv4 addresses one by one, IPv6 by /64, since whoever has one
    of those has all of it. Attempts without a host, by a unix socket, are not throttled: its mode says who
    may use it.
    """

    def __init__(self, clock: Callable[[], float], *, most_addresses: int = MOST_ADDRESSES) -> None:
        self._clock = clock
        self._most = most_addresses
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait(self, host: str) -> float:
        """Seconds until the next attempt of `host` counts; 0: it counts now."""
        record = self._records.get(network_of(host)) if host else None
        return 0.0 if record is None else max(0.0, record.until - self._clock())

    def failed(self, host: str) -> float:
        """Counts a failure; how many seconds of pause it costs."""
        if not host:
            return 0.0
        network, now = network_of(host), self._clock()
        record = self._records.get(network)
        if record is None:
            record = self._records[network] = _Record(last=now)
            if len(self._records) > self._most:
                self._records.popitem(last=False)
        elif now - record.last >= FORGOTTEN_AFTER:
            record.failures = 0
        self._records.move_to_end(network)
        record.failures += 1
        record.last = now
        # the exponent is bounded: the number of failures is not
        doubled = min(record.failures - FREE_FAILURES - 1, 16)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**doubled) if doubled >= 0 else 0.0
        record.until = now + pause
        return pause

    def succeeded(self, host: str) -> None:
        """Forgives `host` its failures."""
        record = self._records.get(network_of(host)) if host else None
        if record is not None and self._clock() - record.forgiven >= FORGIVEN_EVERY:
            record.failures, record.until, record.forgiven = 0, 0.0, self._clock()

    def __len__(self) -> int:
        return len(self._records)


def network_of(host: str) -> str:
    """What is counted as one address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_link_local:
        # all of a link share one /64
        return str(address)
    return str(ipaddress.IPv6Network((address.packed, 64), strict=False))
