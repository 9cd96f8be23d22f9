"""Metrics of the parts that count for themselves (`metrics_sources.py`)."""

from collections.abc import Iterator

from sidecar.report.exposition import Family, Sample, single
from sidecar.report.metrics_sources import ListenerSource, Sources
from sidecar.report.session_totals import PROTOCOLS


def source_families(prefix: str, sources: Sources) -> Iterator[Family]:
    """The metrics of those sources that are there, whose names begin with `prefix`."""
    if sources.listeners is not None:
        yield from _of_listeners(prefix, sources.listeners)
    if sources.unsent is not None:
        total, most = dict.fromkeys(PROTOCOLS, 0), dict.fromkeys(PROTOCOLS, 0)
        for protocol, size in sources.unsent():
            total[protocol] += size
            most[protocol] = max(most[protocol], size)
        yield Family(
            prefix + "unsent_bytes",
            "gauge",
            "Bytes that wait for viewers to read them, of all connections.",
            tuple(Sample(size, {"protocol": protocol}) for protocol, size in total.items()),
        )
        yield Family(
            prefix + "max_unsent_bytes",
            "gauge",
            "Bytes that wait for the viewer for whom most wait.",
            tuple(Sample(size, {"protocol": protocol}) for protocol, size in most.items()),
        )
    if sources.failed_logins is not None:
        yield Family(
            prefix + "failed_logins_total",
            "counter",
            "Total logins that have failed, by protocol and cause.",
            tuple(
                Sample(count, {"protocol": protocol, "cause": cause})
                for (protocol, cause), count in sorted(sources.failed_logins.items())
            ),
        )
    if sources.tickets is not None:
        yield single(
            prefix + "tickets", "gauge", "Number of tickets that can be logged in with.", sources.tickets()
        )
    if sources.usb_devices is not None:
        yield single(
            prefix + "usb_devices", "gauge", "Number of USB devices redirected.", sources.usb_devices()
        )
    if sources.usb_traffic is not None:
        to_guest, from_guest = sources.usb_traffic()
        yield Family(
            prefix + "usb_bytes_total",
            "counter",
            "Total bytes of redirected USB devices, to the machine and from it.",
            (Sample(to_guest, {"direction": "to-guest"}), Sample(from_guest, {"direction": "from-guest"})),
        )
    if sources.api_requests is not None:
        yield Family(
            prefix + "api_requests_total",
            "counter",
            "Total requests of the management API by the status of their answer.",
            tuple(
                Sample(count, {"status": str(status)})
                for status, count in sorted(sources.api_requests().items())
            ),
        )


def _of_listeners(prefix: str, listeners: ListenerSource) -> Iterator[Family]:
    yield single(
        prefix + "display_messages_total",
        "counter",
        "Total messages in which the machine told of pixels.",
        listeners.messages,
    )
    yield single(
        prefix + "display_pixels_total",
        "counter",
        "Total pixels of which the machine said that they may have changed.",
        listeners.pixels,
    )
    yield single(
        prefix + "display_unchanged_total",
        "counter",
        "Total areas of which the machine told without need: they showed the same already.",
        listeners.unchanged,
    )
    yield single(
        prefix + "display_refused_total",
        "counter",
        "Total messages of the machine that cannot be shown.",
        listeners.refused,
    )
