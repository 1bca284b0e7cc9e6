"""One pass over a parameter: momentum, weight decay and descent together."""

from __future__ import annotations

from numba import prange

from dbpsim.kernels.policy import parallel_kernel


@parallel_kernel
def nesterov_step(w, g, v, rate, momentum, decay):
    """Update `w` and its velocity `v` in place: v = momentum v + (g + decay w), w -= rate (g + decay w + momentum v)."""
    for i in prange(w.size):
        slope = g[i] + decay * w[i]
        v[i] = momentum * v[i] + slope
        w[i] -= rate * (slope + momentum * v[i])


@parallel_kernel
def average_step(mean, w, keep, share):
    """Move the average of a parameter towards it in place: mean = keep mean + share w."""
    for i in prange(w.size):
        mean[i] = keep * mean[i] + share * w[i]
