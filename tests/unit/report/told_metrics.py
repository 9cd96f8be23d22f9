"""A page of metrics to which every source tells something."""

from collections import Counter
from concurrent.futures import Executor

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from support.synthetic_guest import SyntheticGuest

from sidecar.encode.form import Codec, Encoding
from sidecar.encode.store import SegmentStore
from sidecar.problems import Problem, Problems, Severity
from sidecar.qemu.listener import ListenerFigures
from sidecar.report.metrics import Metrics
from sidecar.report.metrics_sources import Sources
from sidecar.session.registry import Registry


class NoThreads(Executor):
    """For a store that is not asked for anything."""


class Told:
    """`metrics` of a daemon in which everything is there that can be."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.problems = Problems()
        self.problems.found(Problem("MemoryLimit", Severity.WARNING, "give it more memory"))
        self.store = SegmentStore(NoThreads())
        self.listeners = ListenerFigures(messages=7, pixels=4096, unchanged=2, refused=1)
        self.requests = Counter({200: 5, 403: 1})
        self.unsent: list[tuple[str, int]] = []
        sources = Sources(
            pictures=self.store,
            listeners=self.listeners,
            unsent=lambda: [("vnc", 10), ("vnc", 30), ("rdp", 5)],
            failed_logins=Counter({("vnc", "wrong"): 3, ("api", "throttled"): 2}),
            tickets=lambda: 4,
            usb_devices=lambda: 1,
            usb_traffic=lambda: (100, 200),
            api_requests=lambda: self.requests,
        )
        self.metrics = Metrics(self.registry, SyntheticGuest(), self.problems, sources)
        measures = self.store.measures
        assert measures is not None
        for encoding in (*Encoding, *Codec):
            measures.encoded(encoding, 0.003, 1000)
        measures.sent(0.02)

    def families(self) -> dict[str, Metric]:
        """By name; that of a counter is without its `_total`, as the parser has it."""
        return {each.name: each for each in text_string_to_metric_families(self.metrics.page().decode())}

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a family by their suffix, where they have one, and the values of their labels."""
        family = self.families()[f"kubevirt_vmi_vdi_{name}"]
        return {
            (
                *([suffix] if (suffix := each.name.removeprefix(family.name)) else []),
                *each.labels.values(),
            ): each.value
            for each in family.samples
        }


def exported(families: dict[str, Metric]) -> dict[str, str]:
    """Types by the names that a query uses, those of a histogram's parts included."""
    names: dict[str, str] = {}
    for name, family in families.items():
        names[name + ("_total" if family.type == "counter" else "")] = family.type
    return names
