"""Files that hold settings and secrets, read so that nothing can hold up who reads them."""

import os
import stat
from pathlib import Path


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """The first `most` bytes of a file, and what it is. Raises OSError, also where it is no regular file.

    A pipe without a writer, or a terminal, would make who reads it wait for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(None, "it is not a regular file")
        return file.read(most), found
