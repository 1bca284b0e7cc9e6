"""The cost gain: where the stress sits between rounding, offset and saturation.

The stress is linear in the cost.  Scale C by gamma and divide the gradient by it: the result is the same at any
finite gain (theory, facts 4 and 15; ours), but the stress sits at a level of our choice.  In (x, z) coordinates rounding
errs by epsilon max(|m|, |s|), so a stage whose stress is r times its activation loses a factor max(r, 1/r); over all stages
the loss is smallest for

    gamma = 1 / sqrt(min r  max r),        r_l = rms(s_l) / rms(m_l) at gamma = 1

rounded to a power of two, so that scaling itself is exact.  In (m, s) coordinates any gain gives the same digits and 1 is used.
"""

from __future__ import annotations

import math

import numpy as np

from dbpsim.credit.backprop import pull
from dbpsim.network.graph import Network

_MOST_DOUBLINGS = 64  # half of what float32 has room for
_PROBE_SAMPLES = 4  # enough for a scale: it is rounded to a power of two


def stress_ratios(network: Network, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return rms(stress) / rms(activation) of every stage at gain 1, from one forward and one backward sweep.

    It is infinite for a stage that is silent (no activation to lose digits).
    """
    at = network.sweep(x, training=True)
    stress = {network.output: network.loss.gradient(at.values[network.output], y)}
    pull(network, at, reversed(network.stages), stress, stress)
    return {name: _rms(stress[name]) / r if (r := _rms(a)) > 0 else math.inf for name, a in at.values.items()}


def automatic_gain(network: Network, x: np.ndarray, y: np.ndarray) -> float:
    """Return the gain at which the stress of the stages lies around their activations.

    A few samples of the batch are enough; their stress is scaled to the whole batch's, which the loss averages over.
    """
    probe = min(_PROBE_SAMPLES, len(x))
    ratios = [r for r in stress_ratios(network, x[:probe], y[:probe]).values() if 0 < r < math.inf]
    if not ratios:
        return 1.0
    exponent = -0.5 * (math.log2(min(ratios)) + math.log2(max(ratios))) - math.log2(probe / len(x))
    return 2.0 ** max(-_MOST_DOUBLINGS, min(_MOST_DOUBLINGS, round(exponent)))


def _rms(a: np.ndarray) -> float:
    flat = a.reshape(-1).astype(float)
    return math.sqrt(float(flat @ flat) / flat.size)
