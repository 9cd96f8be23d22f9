"""Which of many flags are set several times in a row: what run-length coders call runs."""

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


def of_three(flags: Flags) -> Flags:
    """Those of `flags` that belong to three and more in a row, along the last axis; the same shape."""
    found = np.zeros(flags.shape, np.bool_)
    if flags.shape[-1] >= 3:
        triples = flags[..., :-2] & flags[..., 1:-1]
        triples &= flags[..., 2:]
        found[..., :-2] = triples
        found[..., 1:-1] |= triples
        found[..., 2:] |= triples
    return found
