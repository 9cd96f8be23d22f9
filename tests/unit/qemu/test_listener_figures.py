"""What QEMU's messages about pixels add to the figures of the listeners."""

import os
from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from listening import Listening
from qemu_side import X8R8G8B8

from sidecar.qemu import listener
from sidecar.qemu.listener import UNIX_MAP, ListenerFigures

PICTURE = np.arange(64 * 48, dtype=np.uint32).reshape(48, 64)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> ListenerFigures:
    """Those of this test alone."""
    figures = ListenerFigures()
    monkeypatch.setattr(listener, "FIGURES", figures)
    return figures


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = os.memfd_create("display")
    yield descriptor
    os.close(descriptor)


def update(width: int, height: int) -> tuple[Any, ...]:
    pixels = np.ascontiguousarray(PICTURE[:height, :width])
    return "Update", "iiiiuuay", 0, 0, width, height, 4 * width, X8R8G8B8, pixels.tobytes()


async def test_pixels_in_messages_are_counted(listening: Listening, figures: ListenerFigures) -> None:
    await listening.qemu.tell("Scanout", "uuuuay", 64, 48, 256, X8R8G8B8, PICTURE.tobytes())
    await listening.qemu.tell(*update(10, 10))
    await listening.settle()
    # the update showed what the picture had shown already
    assert astuple(figures) == (2, 64 * 48 + 100, 1, 0)


async def test_pixels_in_shared_memory_are_counted(
    listening: Listening, figures: ListenerFigures, memory: int
) -> None:
    os.write(memory, PICTURE.tobytes())
    await listening.qemu.scanout_map(memory, 64, 48, 256)
    await listening.settle()
    await listening.qemu.tell("UpdateMap", "iiii", 0, 0, 10, 10, interface=UNIX_MAP)
    await listening.settle()
    assert astuple(figures) == (2, 64 * 48 + 100, 1, 0)


async def test_what_cannot_be_shown_is_counted_each_time(
    listening: Listening, figures: ListenerFigures
) -> None:
    for _ in range(3):
        await listening.qemu.tell("Scanout", "uuuuay", 64, 48, 256, X8R8G8B8, b"too little")
    await listening.settle()
    assert astuple(figures) == (0, 0, 0, 3)
