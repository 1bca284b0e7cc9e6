"""Random numbers that depend on a seed and a name, never on threads, order or history.

One integer seeds a run.  A consumer of random numbers draws from its own stream, named after what it
is (``stream(seed, "weights", "conv1")``): adding a consumer moves no other's numbers.  Inside kernels
numbers are *counter-based*: the k-th number of a stream is a hash of (key, k), so a loop may be cut
into threads anywhere.

The hash is SplitMix64's finaliser (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195; the mixing
constants are Stafford's variant 13) applied to ``key + k * golden``, which is that generator itself with a random
start; normal deviates are Box and Muller's (1958, doi 10.1214/aoms/1177706645), one of the pair per counter.
"""

from __future__ import annotations

import zlib

import numpy as np

from dbpsim.kernels.policy import kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


def _sequence(seed: int, names: tuple[str | int, ...]) -> np.random.SeedSequence:
    spawn = [n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names]
    return np.random.SeedSequence(seed, spawn_key=spawn)


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of the stream called `names` under `seed`.

    Examples
    --------
    >>> float(stream(0, "weights", "conv1").random()) == float(stream(0, "weights", "conv1").random())
    True
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, names)))


def stream_key(seed: int, *names: str | int) -> np.uint64:
    """Return the 64-bit key of the stream called `names`, for the counter-based kernels."""
    return _sequence(seed, names).generate_state(1, np.uint64)[0]


@kernel
def bits(key, counter):
    """Return 64 random bits, number `counter` (integer) of stream `key` (uint64)."""
    h = key + np.uint64(counter) * _GOLDEN
    h = (h ^ (h >> _S30)) * _MIX_1
    h = (h ^ (h >> _S27)) * _MIX_2
    return h ^ (h >> _S31)


@kernel
def uniform(key, counter):
    """Return number `counter` of stream `key`, uniform on the open interval (0, 1), float64."""
    return (np.float64(bits(key, counter) >> _S11) + 0.5) * _UNIT


@kernel
def normal(key, counter):
    """Return number `counter` of stream `key`, standard normal, float64."""
    radius = np.sqrt(-2.0 * np.log(uniform(key, 2 * counter)))
    return radius * np.cos(2.0 * np.pi * uniform(key, 2 * counter + 1))
