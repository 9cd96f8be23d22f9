"""What a process that runs once for each virtual machine does without."""

import contextlib
import ctypes
import os


def spare_memory() -> None:
    """Keeps libraries from memory that one process for each virtual machine should not take.

    Before numpy is loaded, which starts a thread for each core to multiply matrices, and before there are
    threads, each of which glibc gives an arena of its own: 3 MB of a daemon that has encoded for a while.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # a C library without it (musl) has no such arenas either
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


M_ARENA_MAX = -8
"""malloc.h of glibc."""
