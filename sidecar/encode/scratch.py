"""Memory that encoders use again and again: large fresh arrays cost more than the work on them."""

import threading
from math import prod
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

LARGEST: Final = 1 << 21
"""Bytes kept for one name and thread; more is fresh memory each time."""

Scalar = TypeVar("Scalar", bound=np.generic)


class _Rooms(threading.local):
    """For each name the memory and how it was last asked for: that is mostly how it is asked for again."""

    def __init__(self) -> None:
        self.memory: dict[str, NDArray[np.uint8]] = {}
        self.last: dict[str, NDArray[Any]] = {}


_rooms = _Rooms()


def scratch(name: str, shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar]:
    """A contiguous array with any content. It is the caller's until this thread asks for `name` again."""
    last = _rooms.last.get(name)
    if last is not None and last.shape == shape and last.dtype.type is dtype:
        return last
    size = prod(shape) * np.dtype(dtype).itemsize
    if size > LARGEST:
        return np.empty(shape, dtype)
    memory = _rooms.memory.get(name)
    if memory is None or memory.size < size:
        memory = _rooms.memory[name] = np.empty(size, np.uint8)
    view: NDArray[Any] = memory[:size].view(dtype).reshape(shape)
    _rooms.last[name] = view
    return view
