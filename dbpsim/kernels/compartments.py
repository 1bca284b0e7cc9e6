"""The classical Runge-Kutta method of fourth order for a dense chain of two-compartment neurons.

The equations are `dbpsim.circuit.dense.derivative`'s, in time constants.  A state is x of all neurons, then z of all.
Weights of all stages lie one behind the other, each (outputs, inputs) by rows; kinds are 0 identity, 1 relu,
2 tanh, 3 sigmoid; the loss is 0 for squared error and 1 for cross entropy.
"""

import numpy as np

from dbpsim.kernels.policy import kernel


@kernel
def _activate(kind, u):
    if kind == 1:
        return (u, 1.0) if u > 0.0 else (0.0, 0.0)
    if kind == 2:
        f = np.tanh(u)
        return f, 1.0 - f * f
    if kind == 3:
        f = 1.0 / (1.0 + np.exp(-u))
        return f, f * (1.0 - f)
    return u, 1.0


@kernel
def _slope(v, weights, biases, sizes, kinds, loss, given, target, out, forward, gate, back):
    n, stages = len(v) // 2, len(kinds)
    w, first, before = 0, 0, 0
    for stage in range(stages):
        for i in range(sizes[stage + 1]):
            u = biases[first + i]
            for j in range(sizes[stage]):
                at = before + j
                u += weights[w + j] * (given[j] if stage == 0 else 0.5 * (v[at] + v[n + at]))
            w += sizes[stage]
            forward[first + i], gate[first + i] = _activate(kinds[stage], u)
        before, first = first, first + sizes[stage + 1]
    first = before
    total, largest = 0.0, -np.inf
    for i in range(first, n):
        back[i] = 0.5 * (v[i] + v[n + i])
        largest = max(largest, back[i])
    if loss == 1:
        for i in range(first, n):
            back[i] = np.exp(back[i] - largest)
            total += back[i]
        for i in range(first, n):
            back[i] /= total
    for i in range(first, n):
        back[i] -= target[i - first]
    for stage in range(stages - 1, 0, -1):
        inputs, outputs = sizes[stage], sizes[stage + 1]
        w -= inputs * outputs
        before = first - inputs
        for j in range(inputs):
            back[before + j] = 0.0
        for i in range(outputs):
            d = gate[first + i] * (v[first + i] - v[n + first + i])
            if d != 0.0:
                for j in range(inputs):
                    back[before + j] += weights[w + i * inputs + j] * d
        first = before
    for i in range(n):
        out[i] = forward[i] - v[i] + 0.5 * back[i]
        out[n + i] = forward[i] - v[n + i] - 0.5 * back[i]


@kernel
def runge_kutta(weights, biases, sizes, kinds, loss, given, target, stop, steps):
    """Return the states after 0, 1, ... `steps` equal steps from rest to `stop` time constants, shape (steps + 1, 2 neurons)."""
    n = len(biases)
    states = np.zeros((steps + 1, 2 * n))
    slopes = np.empty((4, 2 * n))
    forward, gate, back, trial = np.empty(n), np.empty(n), np.empty(n), np.empty(2 * n)
    h = stop / steps
    share = (0.0, 0.5, 0.5, 1.0)
    for step in range(steps):
        v = states[step]
        for part in range(4):
            for i in range(2 * n):
                trial[i] = v[i] if part == 0 else v[i] + share[part] * h * slopes[part - 1, i]
            _slope(trial, weights, biases, sizes, kinds, loss, given, target, slopes[part], forward, gate, back)
        for i in range(2 * n):
            states[step + 1, i] = v[i] + h / 6.0 * (slopes[0, i] + 2.0 * (slopes[1, i] + slopes[2, i]) + slopes[3, i])
    return states
