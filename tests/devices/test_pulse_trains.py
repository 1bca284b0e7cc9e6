"""Pulse trains and their coincidences against bits looked at one by one."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbpsim.devices.pulse_trains import coincidences, train_lengths
from dbpsim.kernels import coincidences as kernels

KEY = np.uint64(7)


def trains(v, scale, slots):
    """The bits of every line, unpacked: (on, negative), shape (lines, slots of all samples)."""
    first = np.concatenate([[0], np.cumsum(slots)])
    words = max(1, -(-int(first[-1]) // 64))
    packed = np.zeros((2, words, v.shape[1]), np.uint64)
    kernels.encode(v, scale, first, KEY, *packed)
    lines = np.ascontiguousarray(packed.swapaxes(1, 2)).view(np.uint8)
    return np.unpackbits(lines, axis=-1, bitorder="little")[..., : first[-1]].astype(bool), packed


@pytest.mark.parametrize("probability", [1e-4, 0.03, 0.5, 0.9, 1.0])
def test_a_slot_is_on_with_its_probability(probability):
    v = np.full((400, 200), -probability)
    (on, negative), _ = trains(v, np.ones(400), np.full(400, 31))
    assert np.array_equal(on, negative)
    n = on.size
    assert abs(on.mean() - probability) <= 5 * math.sqrt(probability * (1 - probability) / n)
    if probability < 1:  # slots of a train, trains of a line, and lines are independent
        for shift in (1, 31, 200):
            both = (on[:, shift:] & on[:, :-shift]).mean()
            assert abs(both - probability**2) < 6 * probability / math.sqrt(n) + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 70), st.integers(1, 63), st.integers(0, 2**32))
def test_counts_are_those_of_the_bits(rows, columns, samples, longest, seed):
    random = np.random.default_rng(seed)
    a = random.standard_normal((samples, rows)) * (random.random((samples, rows)) < 0.7)
    d = random.standard_normal((samples, columns))
    slots = random.integers(0, longest + 1, samples)
    (a_on, a_negative), packed_a = trains(a, np.full(samples, 0.5), slots)
    (d_on, d_negative), packed_d = trains(d, np.full(samples, 0.5), slots)
    ups, downs = np.empty((2, rows, columns), np.int32)
    kernels.count(*packed_a, *packed_d, ups, downs)
    both = a_on[:, None] & d_on[None]
    unlike = a_negative[:, None] ^ d_negative[None]
    assert np.array_equal(ups, (both & unlike).sum(axis=2))
    assert np.array_equal(downs, (both & ~unlike).sum(axis=2))


@pytest.mark.parametrize("managed", [True, False])
def test_the_mean_number_of_pulses_is_the_wanted_step(managed):
    random = np.random.default_rng(0)
    a, d = random.uniform(-1, 1, (20, 30)), 0.1 * random.uniform(-1, 1, (20, 25))
    rate, runs = 5.0, 400
    net, total = np.zeros((30, 25)), 0
    for run in range(runs):
        ups, downs, _ = coincidences(a, d, rate, 10, np.uint64(run), managed)
        net += ups - downs.astype(float)
        total += ups + downs
    wanted = -rate * a.T @ d
    spread = np.sqrt(np.maximum(total, 1)) / runs
    assert np.abs((net / runs - wanted) / spread).max() < 6
    assert abs(np.sum(net * wanted) / runs / np.sum(wanted**2) - 1) < 0.02


def test_trains_are_as_long_as_they_must_be():
    a, d = np.array([[1.0], [1.0], [0.0], [3.0]]), np.array([[0.2], [2.5], [1.0], [100.0]])
    slots, of_a, of_d = train_lengths(a, d, 1.0, 31)
    assert slots.tolist() == [1, 3, 0, 31]
    # at most 1, and alike on both sides; the last sample asks for more than the longest train can give
    assert np.allclose((of_a * np.abs(a)[:, 0])[:2], (of_d * np.abs(d)[:, 0])[:2])
    assert (of_a * np.abs(a)[:, 0])[:3].max() <= 1
    assert of_a[2] == of_d[2] == 0


def test_threads_change_nothing():
    random = np.random.default_rng(0)
    a, d = random.standard_normal((9, 70)).astype(np.float32), random.standard_normal((9, 40)).astype(np.float32)
    threads, found = numba.get_num_threads(), []
    for count in (1, threads):
        numba.set_num_threads(count)
        found.append(coincidences(a, d, 3.0, 31, KEY))
    numba.set_num_threads(threads)
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


def test_a_train_of_no_slots_or_too_many_is_refused():
    for longest in (0, 64):
        with pytest.raises(ValueError, match="bit_length: found .*; accepted: 1 to 63"):
            coincidences(np.ones((1, 1)), np.ones((1, 1)), 1.0, longest, KEY)
