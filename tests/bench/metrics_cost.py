"""What metrics cost: of each thing that is counted, of a page, and of a line of the log. Prints a table.

`./dev bench metrics_cost`; asserts nothing.
"""

import io
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from timeit import Timer

from support.synthetic_guest import SyntheticGuest

from sidecar.encode.form import Codec, Encoding
from sidecar.encode.store import SegmentStore
from sidecar.log import EventHandler, EventLogger, JsonFormatter
from sidecar.problems import Problems
from sidecar.qemu import listener
from sidecar.report.metrics import Metrics
from sidecar.report.metrics_sources import Sources
from sidecar.session.registry import Registry


def microseconds(timer: Timer) -> float:
    """The best of five, of one call."""
    number, _ = timer.autorange()
    return min(timer.repeat(5, number)) / number * 1e6


def main() -> None:
    registry = Registry()
    for _ in range(20):
        session = registry.connect("vnc", "tcp", "192.0.2.1:1", end=lambda _reason: None)
        registry.initialize(session)
        session.round_trip = 0.02
    with ThreadPoolExecutor(1) as pool:
        store = SegmentStore(pool)
        sources = Sources(
            pictures=store,
            listeners=listener.FIGURES,
            unsent=lambda: [("vnc", 1000)] * 20,
            failed_logins=Counter({("vnc", "wrong"): 1}),
            tickets=lambda: 1,
            usb_devices=lambda: 1,
            usb_traffic=lambda: (1, 1),
            api_requests=lambda: Counter({200: 1, 403: 1}),
        )
        metrics = Metrics(registry, SyntheticGuest(), Problems(), sources)
        measures = store.measures
        assert measures is not None
        for encoding in (*Encoding, *Codec):
            measures.encoded(encoding, 0.003, 1000)
        stream = io.StringIO()
        logger = logging.Logger("bench")
        handler = EventHandler(stream)
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
        log = EventLogger(logger)
        print(f"page: {len(metrics.page())} bytes, {metrics.page().count(b'{')} series with labels")
        for what, timer in {
            "a job of an encoder": Timer(lambda: measures.encoded(Encoding.TIGHT, 0.003, 1000)),
            "an update sent": Timer(lambda: measures.sent(0.003)),
            "a message of QEMU's listener": Timer(lambda: listener._count(4096, True)),
            "a look at loop and 20 sessions": Timer(lambda: metrics.pulse.beat(0.001)),
            "a page": Timer(metrics.page),
            "a line that is left out": Timer(lambda: log.info("flood", session="v7", cause="closed")),
        }.items():
            print(f"{what:32} {microseconds(timer):8.2f} us")
        handler.close()


if __name__ == "__main__":
    main()
