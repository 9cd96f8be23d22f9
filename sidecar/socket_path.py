"""How long the path of a unix socket may be."""

import os
from pathlib import Path

LONGEST_SOCKET_PATH = 107
"""Bytes (unix(7), sun_path without its final zero)."""


def excess_bytes(path: Path) -> int:
    """By how much `path` is too long for a unix socket; 0 or less: it is not."""
    return len(os.fsencode(path)) - LONGEST_SOCKET_PATH
