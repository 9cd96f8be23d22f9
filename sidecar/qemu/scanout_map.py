"""A picture in memory that QEMU shares with us (facts: QEMU D-Bus section 3, Listener.Unix.Map)."""

import fcntl
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sidecar.qemu.errors import ListenerError
from sidecar.screen.pixman import Layout, to_canonical
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Pixels

_BAND: Final = TILE


class ScanoutMap:
    """Pixels in the file `descriptor`, which is duplicated, from the byte `offset` on.

    The memory is mapped only where its owner has sealed it against shrinking: reading a mapped page that is
    not there any more would end this process (SIGBUS). Otherwise it is read with preadv.

    Raises ListenerError when the file is none, or is too small.
    """

    def __init__(self, descriptor: int, offset: int, layout: Layout) -> None:
        self._layout = layout
        self._offset = offset
        needed = layout.size
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise ListenerError("shared memory is not a file")
        if state.st_size < offset + needed:
            raise ListenerError(f"shared memory has {state.st_size} bytes of {offset + needed}")
        self._memory: memoryview | None = None
        self._mapping: mmap.mmap | None = None
        self._scratch = bytearray()
        self._descriptor = -1
        if _cannot_shrink(descriptor):
            self._mapping = mmap.mmap(descriptor, offset + needed, mmap.MAP_SHARED, mmap.PROT_READ)
            self._memory = memoryview(self._mapping)
        else:
            self._scratch = bytearray(min(needed, _BAND * layout.stride))
            self._descriptor = os.dup(descriptor)

    @property
    def bounds(self) -> Rectangle:
        """The whole picture."""
        return Rectangle(0, 0, self._layout.width, self._layout.height)

    @property
    def is_mapped(self) -> bool:
        """Whether the memory is mapped, not read."""
        return self._mapping is not None

    def read(self, area: Rectangle) -> Iterator[tuple[int, Pixels]]:
        """The pixels of `area`, which must lie inside, as bands from the top down: row, (rows, columns).

        The pixels of a band are valid until the next one is asked for; the top byte is anything. Raises
        ListenerError when the file has become shorter.
        """
        layout = self._layout
        y = area.y
        while y < area.bottom:
            end = min((y // _BAND + 1) * _BAND, area.bottom)
            band = replace(layout, width=area.width, height=end - y)
            start = self._offset + y * layout.stride + area.x * layout.form.bytes_per_pixel
            yield y, to_canonical(self._bytes(start, band.size), band)
            y = end

    def _bytes(self, start: int, size: int) -> memoryview:
        if self._memory is not None:
            return self._memory[start : start + size]
        view = memoryview(self._scratch)[:size]
        if os.preadv(self._descriptor, [view], start) != size:
            raise ListenerError("shared memory has shrunk")
        return view

    def close(self) -> None:
        """Lets go of the memory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._memory is not None and self._mapping is not None:
            self._memory.release()
            self._mapping.close()
            self._memory = self._mapping = None


def _cannot_shrink(descriptor: int) -> bool:
    try:
        return bool(fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:
        # only memfds have seals
        return False
