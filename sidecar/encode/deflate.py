"""Self-contained pieces of deflate (RFC 1951) that can be appended to any stream (facts: RFB section 5)."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Data = bytes | bytearray | NDArray[Any]


def _with_zlib(data: Data, effort: int) -> bytes:
    compressor = zlib.compressobj(max(effort, 1), zlib.DEFLATED, -zlib.MAX_WBITS)
    buffer = data.data if isinstance(data, np.ndarray) else data
    return compressor.compress(buffer) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _find() -> Callable[[Data, int], bytes]:
    try:
        from isal import isal_zlib
    except ImportError:
        # no wheel for this machine
        return _with_zlib

    def with_isal(data: Data, effort: int) -> bytes:
        compressor = isal_zlib.compressobj(effort, zlib.DEFLATED, -zlib.MAX_WBITS)
        return bytes(compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))

    return with_isal


deflate = _find()
"""`deflate(data, effort)`: raw deflate of contiguous `data` by a fresh compressor, `effort` 0..3.

The result ends in 00 00 ff ff on a byte's edge, refers to nothing before itself and never ends its stream.
"""
