"""Metrics of pictures: what encoders take, what the segment store saves, how long an update is on its way."""

from collections.abc import Iterator
from enum import Enum
from typing import Final

from sidecar.report.exposition import Family, Sample, single
from sidecar.report.histogram import Histogram
from sidecar.report.metrics_sources import PictureSource


class PictureMetrics:
    """Listens to `pictures` until it is closed. Belongs to the main loop."""

    def __init__(self, pictures: PictureSource) -> None:
        self._pictures = pictures
        self._seconds: dict[Enum, Histogram] = {}
        self._bytes: dict[Enum, int] = {}
        self._delays: Final = Histogram()
        pictures.measure(self)

    def close(self) -> None:
        """Listens no more."""
        self._pictures.measure(None)

    def encoded(self, encoding: Enum, seconds: float, size: int) -> None:
        """See `PictureMeasures`."""
        histogram = self._seconds.get(encoding)
        if histogram is None:
            histogram = self._seconds[encoding] = Histogram()
            self._bytes[encoding] = 0
        histogram.observe(seconds)
        self._bytes[encoding] += size

    def sent(self, seconds: float) -> None:
        """See `PictureMeasures`."""
        self._delays.observe(seconds)

    def families(self, prefix: str) -> Iterator[Family]:
        """Their metrics, whose names begin with `prefix`."""
        pictures = self._pictures
        yield Family(
            prefix + "encode_seconds",
            "histogram",
            "Time that one job of an encoder has taken.",
            tuple(
                sample
                for encoding, histogram in self._seconds.items()
                for sample in histogram.samples({"encoding": _word(encoding)})
            ),
        )
        yield Family(
            prefix + "encoded_bytes_total",
            "counter",
            "Total bytes that encoders have made; each is sent to any number of viewers.",
            tuple(Sample(size, {"encoding": _word(encoding)}) for encoding, size in self._bytes.items()),
        )
        yield single(
            prefix + "encoder_jobs",
            "gauge",
            "Number of jobs that encoders work at or have before them.",
            pictures.jobs,
        )
        yield Family(
            prefix + "update_delay_seconds",
            "histogram",
            "Time from a change of the screen to the moment the update was handed to a connection.",
            tuple(self._delays.samples()),
        )
        yield Family(
            prefix + "cache_requests_total",
            "counter",
            "Total pieces of pictures asked of the store of encoded ones: hit, miss (encoded for this), or "
            "join (being encoded for somebody else).",
            (
                Sample(pictures.hits, {"result": "hit"}),
                Sample(pictures.misses, {"result": "miss"}),
                Sample(pictures.joins, {"result": "join"}),
            ),
        )
        yield single(
            prefix + "cache_evictions_total",
            "counter",
            "Total encoded pieces that were let go of to make room.",
            pictures.evictions,
        )
        yield single(prefix + "cache_bytes", "gauge", "Memory that encoded pieces take.", pictures.size)
        yield single(prefix + "cache_segments", "gauge", "Number of encoded pieces kept.", len(pictures))


def _word(encoding: Enum) -> str:
    return encoding.name.lower().replace("_", "-")
