"""How often a value was how large, in Prometheus' way: counts up to fixed bounds, and the sum."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import inf
from typing import Final

from sidecar.report.exposition import Sample

SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""From a small rectangle's encoding to a connection over half the world that is full."""


class Histogram:
    """Counts observations in fixed buckets; what is above the last bound is in one of its own."""

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        """`bounds`: ascending; each is the largest value of its bucket."""
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Counts one."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def samples(self, labels: Mapping[str, str] | None = None) -> Iterator[Sample]:
        """As a family of the type `histogram` holds them, with these labels on each."""
        labels = labels or {}
        for bound, count in zip((*self.bounds, inf), accumulate(self._counts), strict=True):
            yield Sample(count, {**labels, "le": "+Inf" if bound == inf else repr(bound)}, "_bucket")
        yield Sample(self.sum, labels, "_sum")
        yield Sample(self.count, labels, "_count")
