"""How often the pulse trains of a row and of a column meet, for every crossing of an array.

A number v becomes a train of `slots` pulses, each there with probability |v| scale (at most 1), with the sign of v.
Trains of all samples of a batch stand one after another in one string of bits a line.  A cell is pulsed where both of
its lines are: the count is the number of ones in `row AND column`, and those where the signs differ, `... AND (row
sign XOR column sign)`, are the pulses up, because the weight descends and goes up where the product is negative (Gokmen
and Vlasov, Front. Neurosci. 10:333, 2016).  64 slots are counted at a time.

Words lie line beside line, so that trains are drawn and counted for neighbouring lines in one instruction.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import prange
from numba.core import types
from numba.extending import intrinsic

from dbpsim.kernels.policy import kernel, parallel_kernel
from dbpsim.kernels.random import bits
from dbpsim.kernels.readout import largest

LONGEST = 63  # slots of one train
_NONE, _ALL, _S32, _LOW = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(32), np.uint64(0xFFFFFFFF)
_LINES, _WORDS = 1024, 8  # that a thread draws for at a time
_CERTAIN = 4294967296.0  # 2^32: a probability in the units of half a random word


@intrinsic
def ones(typing, word):
    """Return how many bits of a uint64 are set."""

    def generate(context, builder, signature, args):
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [ir.IntType(64)]), args)

    return types.uint64(types.uint64), generate


@kernel
def reaches(v):
    """Return the largest magnitude of every row of `v`, float64; nan for one that holds nan."""
    found = np.empty(v.shape[0])
    for s in range(v.shape[0]):
        found[s] = largest(v[s])
    return found


# Loops over whole arrays: an index that might be negative would keep them from becoming vector code.


@kernel
def _chances(v, scale, certain, sign):
    for line in range(v.shape[0]):
        value = np.float64(v[line])
        chance = abs(value) * scale
        chance = chance if chance < 1.0 else 1.0
        certain[line] = np.uint64(np.int64(chance * _CERTAIN))
        sign[line] = _ALL if value < 0 else _NONE


@kernel
def _words(key, first, random):
    for line in range(random.shape[0]):
        random[line] = bits(key, first + line)


@kernel
def _draw(random, half, certain, sign, at, on, negative):
    # One slot of every line: a half of its random word against its probability.
    for line in range(on.shape[0]):
        train = np.uint64(((random[line] >> half) & _LOW) < certain[line]) << at
        on[line] |= train
        negative[line] |= train & sign[line]


@parallel_kernel
def encode(v, scale, first, key, on, negative):
    """Draw the pulse trains of all lines.

    Parameters
    ----------
    v : array, shape (samples, lines)
    scale : float64 array, shape (samples,)
        Probability of a pulse for v = 1.
    first : int64 array, shape (samples + 1,)
        Where each sample's slots begin; its train is first[s + 1] - first[s] long, at most `LONGEST`.
    key : uint64
    on, negative : uint64 arrays, shape (words, lines), zero
        Set to the trains, and to those of negative numbers.
    """
    lines = v.shape[1]
    beside = (lines + _LINES - 1) // _LINES
    for task in prange(beside * ((on.shape[0] + _WORDS - 1) // _WORDS)):
        begin, top = task % beside * _LINES, task // beside * _WORDS
        end, bottom = min(lines, begin + _LINES), min(on.shape[0], top + _WORDS)
        certain, sign, random = np.empty(_LINES, np.uint64), np.empty(_LINES, np.uint64), np.empty(_LINES, np.uint64)
        # samples with a slot in these words; one at either end may be shared with the task beside, which draws it too
        s = np.searchsorted(first, top * 64, side="right") - 1
        while s < v.shape[0] and first[s] < bottom * 64:
            _chances(v[s, begin:end], scale[s], certain, sign)
            for slot in range(first[s + 1] - first[s]):
                if slot % 2 == 0:
                    _words(key, (s * (LONGEST + 1) + slot) * lines + begin, random[: end - begin])
                word, at = (first[s] + slot) >> 6, np.uint64((first[s] + slot) & 63)
                if top <= word < bottom:
                    half = _S32 if slot % 2 else _NONE
                    _draw(random, half, certain, sign, at, on[word, begin:end], negative[word, begin:end])
            s += 1


@parallel_kernel
def count(row_on, row_negative, column_on, column_negative, ups, downs):
    """Count coincidences.

    Parameters
    ----------
    row_on, row_negative : uint64 arrays, shape (words, rows)
    column_on, column_negative : uint64 arrays, shape (words, columns)
    ups, downs : int32 arrays, shape (rows, columns)
        Set to the coincidences of unlike and of like signs.
    """
    words, columns = column_on.shape
    for i in prange(row_on.shape[1]):
        all_, up = np.zeros(columns, np.uint64), np.zeros(columns, np.uint64)
        for w in range(words):
            word, sign = row_on[w, i], row_negative[w, i]
            if word != _NONE:
                for j in range(columns):
                    both = word & column_on[w, j]
                    all_[j] += ones(both)
                    up[j] += ones(both & (sign ^ column_negative[w, j]))
        for j in range(columns):
            ups[i, j] = up[j]
            downs[i, j] = all_[j] - up[j]
