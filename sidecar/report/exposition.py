"""Prometheus' text format, version 0.0.4: families of samples in, bytes out.

By hand, since prometheus-client takes 2.8 MB in each daemon; in the tests its parser judges this one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a family, told from the others by its labels. `suffix`: of its name, in a histogram."""

    value: float
    labels: Mapping[str, str]
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """`samples` may be empty: then there is nothing to tell at the moment."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


def single(name: str, kind: Kind, text: str, value: float) -> Family:
    """A family of one sample without labels."""
    return Family(name, kind, text, (Sample(value, {}),))


def exposition(families: Iterable[Family]) -> bytes:
    """The text of `families`, each with its HELP and TYPE."""
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += [
            f"{family.name}{each.suffix}{_labels(each.labels)} {_number(each.value)}"
            for each in family.samples
        ]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = ",".join(
        f'{name}="{_escaped(value).replace(chr(34), chr(92) + chr(34))}"' for name, value in labels.items()
    )
    return f"{{{pairs}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    # as a whole number where it is one: counters of bytes pass the 16 digits of repr(float)
    return str(value) if isinstance(value, int) else repr(float(value))
