"""What a gradient by relaxation keeps when states and weights are held in few bits.

A neuron's two numbers are rounded to a format after every clock, weights once before anything runs; everything between is done
in the network's own dtype, float64 unless said otherwise.  Formats: float64, float32, float16, bfloat16 and the two of eight
bits (OCP 8-bit floating point specification 1.0, as ml_dtypes has them); what is beyond a format's largest number stays at it,
as on a rail.  The gradient is held against backpropagation with the rounded weights, which is what exactness is about, and
with the weights as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import ml_dtypes
import numpy as np
from pydantic import Field

from dbpsim.credit.backprop import Arrays, backprop, in_order, read_gradients
from dbpsim.credit.dynamics import Coordinates, blend
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.field import drive_and_feedback
from dbpsim.credit.gain import automatic_gain
from dbpsim.credit.settling import clocks_to
from dbpsim.network.graph import Network
from dbpsim.studies.tasks.common import Common, Rows, Task, batch, measured, network

FORMATS: dict[str, Any] = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
Format = Literal["float64", "float32", "float16", "bfloat16", "float8_e4m3", "float8_e5m2"]


class PrecisionSettings(Common):
    """A row a gradient."""

    dtype: Literal["float32", "float64"] = "float64"
    batch: int = Field(default=16, ge=1)
    state: Format = "float64"
    weight: Format = "float64"
    coordinates: Literal["ms", "xz"] = "xz"
    eta: float = 1.0
    gain: float | Literal["auto"] = "auto"
    tolerance: float = Field(default=1e-6, gt=0, lt=1)  # sets the clocks by the settling law


def _precision(given: PrecisionSettings, changes: Mapping[str, Any]) -> Rows:
    net = network(given)
    x, y = batch(net, given, given.batch)
    exact = backprop(net, x, y)
    for value in net.parameters.values():
        value[...] = rounded(value, given.weight)
    held = backprop(net, x, y)
    gain = automatic_gain(net, x, y) if given.gain == "auto" else float(given.gain)
    steps = clocks_to(given.tolerance, given.eta, net.depth)
    gradients = relaxed(net, x, y, Coordinates(given.coordinates, "midpoint"), given.state, given.eta, gain, steps)
    found, whole = fidelity(gradients, held.gradients), fidelity(gradients, exact.gradients).whole
    return [{
        "depth": net.depth,
        "steps": steps,
        "cost_gain": gain,
        **measured(found),
        "with_weights_misalignment": whole.misalignment,
        "with_weights_relative_error": whole.relative_error,
    }]  # fmt: skip


def rounded(values: np.ndarray, form: str) -> np.ndarray:
    """Return `values` as numbers of `form`, in their own dtype; beyond the largest, that.

    Examples
    --------
    >>> rounded(np.array([1.1, 1e6]), "float8_e4m3").tolist(), rounded(np.array([1.1]), "bfloat16").tolist()
    ([1.125, 448.0], [1.1015625])
    """
    kind = FORMATS[form]
    most = float(ml_dtypes.finfo(kind).max)
    return np.clip(values, -most, most).astype(kind).astype(values.dtype)


def relaxed(
    network: Network, x: np.ndarray, y: np.ndarray, frame: Coordinates, form: str, eta: float, gain: float, steps: int
) -> Arrays:
    """Return the gradient after `steps` clocks from rest, states rounded to `form` after each.

    As `dbpsim.relax`, which rounds to the network's dtype.
    """
    x = network.as_input(x)
    zero = {stage.name: np.zeros((len(x), *stage.shape), network.dtype) for stage in network.stages}
    held = {name: (value, value) for name, value in zero.items()}
    for _ in range(steps):
        m, s = frame.read_all(held)
        at, b = drive_and_feedback(network, x, y, m, s, gain)
        aims = {name: frame.pair(at.values[name], b[name]) for name in held}
        held = {
            name: (rounded(blend(pair[0], aims[name][0], eta)[0], form), rounded(blend(pair[1], aims[name][1], eta)[0], form))
            for name, pair in held.items()
        }
    m, s = frame.read_all(held)
    return in_order(network, read_gradients(network, network.evaluate(x, m), s), gain)


PRECISION = Task(PrecisionSettings, _precision)
