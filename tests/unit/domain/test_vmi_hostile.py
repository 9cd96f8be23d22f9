"""Whatever comes as a VMI is read, or refused with one line."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.domain_samples import DIRECTORY

from sidecar.domain.errors import DomainError
from sidecar.domain.vmi import Vmi, read_vmi

SAMPLE = (DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes()

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def read_or_refused(data: bytes) -> Vmi | None:
    try:
        return read_vmi(data)
    except DomainError as error:
        text = str(error)
        assert len(text) < 400
        assert text.isprintable(), text
        return None


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


PLACES = places(json.loads(SAMPLE))[1:]


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    read_or_refused(data)


@given(st.sampled_from(PLACES), VALUES)
def test_a_real_one_with_something_else_in_any_place(place: tuple[Any, ...], value: Any) -> None:
    document = json.loads(SAMPLE)
    part = document
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    vmi = read_or_refused(json.dumps(document).encode())
    if vmi is not None:
        # what others make of it: paths of a URL, keys and values of annotations, numbers
        assert (vmi.namespace + vmi.name + vmi.uid).isascii()
        assert all(isinstance(text, str) for text in vmi.annotations.values())
        assert vmi.grace is None or vmi.grace >= 0


@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255))
def test_a_real_one_with_another_byte(index: int, byte: int) -> None:
    read_or_refused(SAMPLE[:index] + bytes([byte]) + SAMPLE[index + 1 :])
