"""How a figure depends on the state of a cell: the few forms that fits in the literature take.

    of_state(x)          clip(slope ln x + offset, low, high), or a polynomial in x from some x on (its value at 1 beyond)
    polynomial(x)        sum_k c_k x^k                          x = g / g_max
    saturating(g)        plateau (1 - exp(-g / knee))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dbpsim.devices.effects import StateDependence

_SMALLEST = 1e-12  # a state of nothing has a logarithm too


def polynomial(x: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Return sum_k c_k x^k, of the dtype of `x`."""
    result = np.zeros_like(x)
    for c in reversed(coefficients):
        result = result * x + c
    return result


def saturating(g: np.ndarray, plateau: float, knee: float) -> np.ndarray:
    """Return plateau (1 - exp(-g / knee))."""
    return -plateau * np.expm1(-g / knee)


def of_state(x: np.ndarray, law: StateDependence) -> np.ndarray:
    """Return `law` at the states `x` = g / g_max.

    Examples
    --------
    >>> law = StateDependence(slope=-1, offset=0, low=0.5, high=9, polynomial_from=1, polynomial=(0, 2))
    >>> of_state(np.array([0.0, 0.9, 3.0]), law).tolist()
    [9.0, 0.5, 2.0]
    """
    x = np.asarray(x)
    result = np.clip(law.slope * np.log(np.maximum(x, _SMALLEST)) + law.offset, law.low, law.high)
    if law.polynomial_from is not None:
        result = np.where(x < law.polynomial_from, result, polynomial(np.minimum(x, 1), law.polynomial))
    return result.astype(x.dtype, copy=False)
