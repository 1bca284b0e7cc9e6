"""How often the pulse trains of a row and of a column meet, for every crossing of an array.

A number v becomes a train of `slots` pulses, each there with probability |v| scale (at most 1), with the sign of v.
Trains of all samples of a batch stand one after another in one string of bits a line.  A cell is pulsed where both of
its lines are: the count is the number of ones in `row AND column`, and those where the signs differ, `... AND (row
sign XOR column sign)`, are the pulses up, because the weight descends and goes up where the product is negative (Gokmen
and Vlasov, Front. Neurosci. 10:333, 2016).  64 slots are counted at a time.

A train is drawn as a comparison of random numbers with the probability, for all its slots at once, bit after bit from
the most significant one, until every slot is decided: log2(slots) + 2 random words on average.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import prange
from numba.core import types
from numba.extending import intrinsic

from dbpsim.kernels.policy import kernel, parallel_kernel
from dbpsim.kernels.random import bits

LONGEST = 63  # slots of one train
_ALL, _NONE, _B1 = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0), np.uint64(1)
_LINES = 16  # a thread encodes at a time: a cache line of float32
_FIXED_POINT = 32


@intrinsic
def ones(typing, word):
    """Return how many bits of a uint64 are set."""

    def generate(context, builder, signature, args):
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [ir.IntType(64)]), args)

    return types.uint64(types.uint64), generate


@kernel
def _train(probability, slots, key, counter):
    # Bits 0..slots-1, each set with `probability`.
    open_ = (_B1 << np.uint64(slots)) - _B1
    if probability >= 1.0:
        return open_
    code = np.uint64(probability * 4294967296.0)
    found = _NONE
    for k in range(_FIXED_POINT):
        if open_ == _NONE:
            break
        random = bits(key, counter * _FIXED_POINT + k)
        if (code >> np.uint64(_FIXED_POINT - 1 - k)) & _B1:
            found |= open_ & ~random
            open_ &= random
        else:
            open_ &= ~random
    return found


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
    on, negative : uint64 arrays, shape (lines, words), zero
        Set to the trains, and to those of negative numbers.
    """
    samples, lines = v.shape
    for block in prange((lines + _LINES - 1) // _LINES):
        for s in range(samples):
            slots, at = first[s + 1] - first[s], first[s]
            word, shift = at >> 6, np.uint64(at & 63)
            if slots == 0:
                continue
            for line in range(block * _LINES, min(lines, (block + 1) * _LINES)):
                value = v[s, line]
                if value == 0:
                    continue
                train = _train(abs(value) * scale[s], slots, key, s * lines + line)
                if train == _NONE:
                    continue
                on[line, word] |= train << shift
                spills = shift + np.uint64(slots) > np.uint64(64)
                if spills:
                    on[line, word + 1] |= train >> (np.uint64(64) - shift)
                if value < 0:
                    negative[line, word] |= train << shift
                    if spills:
                        negative[line, word + 1] |= train >> (np.uint64(64) - shift)


@parallel_kernel
def count(row_on, row_negative, column_on, column_negative, ups, downs):
    """Count coincidences.

    Parameters
    ----------
    row_on, row_negative : uint64 arrays, shape (rows, words)
    column_on, column_negative : uint64 arrays, shape (words, columns)
    ups, downs : int32 arrays, shape (rows, columns)
        Set to the coincidences of unlike and of like signs.
    """
    columns = column_on.shape[1]
    for i in prange(row_on.shape[0]):
        all_, up = np.zeros(columns, np.uint64), np.zeros(columns, np.uint64)
        for w in range(row_on.shape[1]):
            word, sign = row_on[i, w], row_negative[i, w]
            if word != _NONE:
                for j in range(columns):
                    both = word & column_on[w, j]
                    all_[j] += ones(both)
                    up[j] += ones(both & (sign ^ column_negative[w, j]))
        for j in range(columns):
            ups[i, j] = up[j]
            downs[i, j] = all_[j] - up[j]
