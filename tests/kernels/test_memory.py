"""Pooled memory: never two arrays on one block, and blocks do come back."""

import gc

import numpy as np
import pytest

from dbpsim.kernels import memory

SHAPE = (512, 300)  # 600 kB of float32: pooled


@pytest.fixture(autouse=True)
def empty_pool():
    gc.collect()
    memory.release()


def address(a):
    return a.__array_interface__["data"][0]


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[3:9], lambda a: a.T, lambda a: a.reshape(-1)[5:], lambda a: a.view(np.int32),
        lambda a: np.asarray(memoryview(a)), lambda a: np.broadcast_to(a, (2, *a.shape)),
        lambda a: np.lib.stride_tricks.sliding_window_view(a, (2, 2))[1:], lambda a: a[None][..., ::2][0],
    ],
)  # fmt: skip
def test_no_array_shares_a_block_while_a_view_of_it_lives(view):
    a = memory.empty(SHAPE, "float32")
    a[...] = 7
    kept = view(a)
    before = kept.copy()
    del a
    gc.collect()
    others = [memory.empty(SHAPE, "float32") for _ in range(4)]
    for other in others:
        other[...] = -1
        assert not np.may_share_memory(other, kept)
    assert np.array_equal(kept, before)


def test_a_block_comes_back_when_its_last_view_dies():
    a = memory.empty(SHAPE, "float32")
    view = a[1:]
    where = address(a)
    del a
    assert address(memory.empty(SHAPE, "float32")) != where
    del view
    gc.collect()
    blocks = [memory.empty(SHAPE, "float32") for _ in range(3)]
    assert where in [address(b) for b in blocks]


def test_a_block_serves_another_shape_and_dtype_of_the_same_size():
    a = memory.empty(SHAPE, "float32")
    where = address(a)
    del a
    b = memory.empty((SHAPE[0], SHAPE[1] // 2), "float64")
    assert address(b) == where
    assert b.dtype == np.float64
    assert b.flags.c_contiguous
    assert b.flags.writeable


def test_blocks_are_aligned_to_cache_lines_and_small_arrays_are_plain():
    assert all(address(memory.empty((1 << 16) + k, "float64")) % 64 == 0 for k in range(3))
    assert type(memory.empty(10, "float32")) is np.ndarray
    assert type(memory.empty(SHAPE, "float32")) is np.ndarray


def test_release_gives_back_what_is_idle():
    a = memory.empty(SHAPE, "float32")
    size = a.nbytes
    assert memory.release() == 0
    del a
    gc.collect()
    assert memory.release() == size
    assert memory.release() == 0


def test_living_arrays_never_alias_over_a_random_history():
    """Two hundred allocations and releases in random order; every array keeps the number written into it."""
    random = np.random.default_rng(0)
    living = []
    for step in range(200):
        if living and random.random() < 0.5:
            number, a = living.pop(random.integers(len(living)))
            assert np.all(a == number)
        else:
            a = memory.empty((300, 300 + 100 * int(random.integers(3))), "float32")
            a[...] = step
            living.append((step, a if random.random() < 0.5 else a[::2]))
    assert all(np.all(a == number) for number, a in living)
