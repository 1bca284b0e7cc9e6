"""Random numbers: their distribution, and that nothing but seed, name and counter decides them."""

import numba
import numpy as np
import pytest
from numba import prange
from scipy import stats

from dbpsim.kernels.policy import parallel_kernel
from dbpsim.kernels.random import bits, normal, stream, stream_key, uniform

COUNT = 200_000


@parallel_kernel
def _draw(key, uniforms, normals, words):
    for k in prange(len(uniforms)):
        uniforms[k] = uniform(key, k)
        normals[k] = normal(key, k)
        words[k] = bits(key, k)


@pytest.fixture(scope="module")
def drawn():
    return draw(stream_key(0, "test"))


def draw(key, count=COUNT):
    out = np.empty(count), np.empty(count), np.empty(count, np.uint64)
    _draw(key, *out)
    return out


def test_uniform_numbers_are_uniform(drawn):
    """Kolmogorov and Smirnov at level 1e-4 (seeded: this either holds or does not), and the open interval."""
    u = drawn[0]
    assert u.min() > 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-4


def test_normal_numbers_have_the_moments_of_the_normal_distribution(drawn):
    """Four standard errors each: mean 1/sqrt(n), variance sqrt(2/n), skewness sqrt(6/n), kurtosis sqrt(24/n)."""
    z = drawn[1]
    n = len(z)
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(stats.skew(z)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(z)) < 4 * np.sqrt(24 / n)
    assert stats.kstest(z, "norm").pvalue > 1e-4


def test_every_bit_is_fair_and_neighbours_are_uncorrelated(drawn):
    u, _, words = drawn
    ones = ((words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).mean(axis=0)
    # 64 bits at five standard errors of a fair coin
    assert np.abs(ones - 0.5).max() < 5 * 0.5 / np.sqrt(len(words))
    for lag in (1, 2, 3, 64):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 4.5 / np.sqrt(len(u))


def test_streams_of_other_names_and_seeds_are_uncorrelated(drawn):
    for key in (stream_key(1, "test"), stream_key(0, "other"), stream_key(0, "test", 1)):
        other = draw(key)[0]
        assert abs(np.corrcoef(drawn[0], other)[0, 1]) < 4.5 / np.sqrt(len(other))


def test_numbers_do_not_depend_on_the_number_of_threads(drawn):
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = draw(stream_key(0, "test"))
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(alone, drawn, strict=True))


def test_the_hash_is_splitmix64():
    """First outputs of SplitMix64 with state 0 advanced once per draw (Steele, Lea and Flood 2014), in plain integers."""
    mask = (1 << 64) - 1

    def reference(state):
        h = state & mask
        h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & mask
        h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & mask
        return h ^ (h >> 31)

    key = 12345
    words = draw(np.uint64(key), 5)[2]
    assert [int(w) for w in words] == [reference(key + k * 0x9E3779B97F4A7C15) for k in range(5)]


def test_a_stream_is_decided_by_seed_and_name():
    assert stream(3, "a").random() == stream(3, "a").random()
    assert stream(3, "a").random() != stream(3, "b").random()
    assert stream(3, "a").random() != stream(4, "a").random()
    assert stream(3, "a", 1).random() != stream(3, "a", 2).random()
