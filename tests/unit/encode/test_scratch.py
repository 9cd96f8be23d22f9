import threading

import numpy as np

from sidecar.encode.scratch import LARGEST, scratch


def test_the_same_memory_is_given_again_whatever_its_shape():
    first = scratch("test", (8, 16), np.uint32)
    first[:] = 7
    assert scratch("test", (8, 16), np.uint32) is first
    smaller = scratch("test", (3, 5), np.uint8)
    assert smaller.shape == (3, 5)
    assert np.shares_memory(first, smaller)
    assert not np.shares_memory(first, scratch("test, another", (8, 16), np.uint32))


def test_memory_that_was_too_small_is_replaced():
    scratch("test", (4,), np.uint8)
    larger = scratch("test", (1000, 3), np.uint16)
    larger[:] = 1
    assert larger.shape == (1000, 3)
    assert np.shares_memory(larger, scratch("test", (4,), np.uint8))


def test_threads_do_not_share_memory():
    mine, others = scratch("test", (16,), np.uint8), []
    thread = threading.Thread(target=lambda: others.append(scratch("test", (16,), np.uint8)))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, others[0])


def test_very_large_memory_is_not_kept():
    large = scratch("test", (LARGEST + 1,), np.uint8)
    assert not np.shares_memory(large, scratch("test", (LARGEST + 1,), np.uint8))
