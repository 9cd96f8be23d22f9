"""The benchmark's result as Markdown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One server under one load. Times in milliseconds, memory in MiB."""

    load: str
    form: str
    viewers: int
    server: str
    milliseconds: float
    """processor time of the serving process per delivered update"""
    with_qemu: float
    """the same with what QEMU does more"""
    rate: float
    """updates per second and viewer"""
    slowest: float
    """updates per second of the viewer that got the fewest"""
    kilobytes: float
    """per update"""
    p50: float | None
    p95: float | None
    resident: float
    generator: float
    """processors that the load generator took"""

    @property
    def case(self) -> tuple[str, str, int]:
        return self.load, self.form, self.viewers


COLUMNS = (
    "load", "form", "viewers", "server", "CPU ms/update", "+QEMU", "ratio", "+QEMU", "updates/s", "slowest",
    "kB/update", "p50 ms", "p95 ms", "RSS MiB", "generator",
)  # fmt: skip


def print_table(rows: list[Row]) -> None:
    """Prints it, both servers of a case one below the other; `ratio` is against QEMU's built-in server."""
    reference = {row.case: row for row in rows if row.server == "qemu"}
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    order = {row.case: index for index, row in reversed(list(enumerate(rows)))}
    for row in sorted(rows, key=lambda row: (order[row.case], row.server == "qemu")):
        other = reference.get(row.case)
        ratio = full_ratio = ""
        if other is not None and row.server != "qemu" and other.milliseconds:
            ratio = f"{row.milliseconds / other.milliseconds:.2f}"
            full_ratio = f"{row.with_qemu / other.with_qemu:.2f}"
        cells = [
            *(row.load, row.form, str(row.viewers), row.server),
            *(f"{row.milliseconds:.3f}", f"{row.with_qemu:.3f}", ratio, full_ratio),
            *(f"{row.rate:.1f}", f"{row.slowest:.1f}", f"{row.kilobytes:.1f}"),
            *("" if value is None else f"{value:.0f}" for value in (row.p50, row.p95)),
            *(f"{row.resident:.0f}", f"{row.generator:.2f}"),
        ]
        print("| " + " | ".join(cells) + " |")
