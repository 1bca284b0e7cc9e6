"""The vectorised normal deviates are normal, independent of each other and of the number of threads."""

import math

import numba
import numpy as np
from scipy import stats

from dbpsim.kernels.normals import normals
from dbpsim.kernels.random import stream_key

N = 1 << 22
SIGMAS = 5.0  # standard errors


def test_moments_are_those_of_the_normal_distribution():
    z = normals(stream_key(0, "moments"), N).astype(np.float64)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs((z**power).mean() - moment) < SIGMAS * math.sqrt(variance / N)


def test_distribution_passes_kolmogorov_and_smirnov():
    assert stats.kstest(normals(stream_key(0, "ks"), 1 << 20), "norm").pvalue > 1e-4


def test_tails_are_as_heavy_as_they_should_be():
    z = np.abs(normals(stream_key(1, "tails"), N))
    expected = N * math.erfc(4 / math.sqrt(2))  # 266 beyond four sigma
    assert abs(np.count_nonzero(z > 4) - expected) < SIGMAS * math.sqrt(expected)


def test_neighbours_pairs_and_streams_are_uncorrelated():
    z = normals(stream_key(0, "a"), N).astype(np.float64)
    other = normals(stream_key(0, "b"), N).astype(np.float64)
    for product in (z[1:] * z[:-1], z[2048:] * z[:-2048], z * other, z[1:] ** 2 * z[:-1] ** 2 - 1):
        assert abs(product.mean()) < SIGMAS * product.std() / math.sqrt(len(product))


def test_numbers_do_not_depend_on_the_number_of_threads():
    threads = numba.get_num_threads()
    try:
        many = normals(stream_key(0, "threads"), 100_001).copy()
        numba.set_num_threads(1)
        assert np.array_equal(many, normals(stream_key(0, "threads"), 100_001))
    finally:
        numba.set_num_threads(threads)


def test_a_longer_request_begins_with_the_shorter_one():
    assert np.array_equal(normals(np.uint64(5), 3 * 4096)[:4096], normals(np.uint64(5), 4096))
