"""One step of an initial value problem dv/dt = g(v), time in units of the time constant.

*Exponential Euler* for g = T(v) - v: the leak is exact, the target T is held over the step,

    v(t + h) = e^-h v + (1 - e^-h) T(v)                    first order; the clock of rate eta = 1 - e^-h

With a rate p for each state, e^-ph.  White noise that gives a leak the variance V at rest adds a normal number of variance
V (1 - e^-2ph), which is exact (Ornstein and Uhlenbeck): exponential Euler-Maruyama.

*Heun* (Kloeden and Platen, Numerical Solution of Stochastic Differential Equations, section 15.1): second order; with additive
noise of variance 2 p h V a step, the same in predictor and corrector, second order in the mean and variance of the state.

*Dormand and Prince 5(4)* (J. Comput. Appl. Math. 6, 19, 1980): six slopes a step, the seventh is the next step's first; the
difference to the embedded fourth-order result estimates the error.  `next_step` is the PI controller of Gustafsson with
the constants of Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Slope = Callable[[np.ndarray], np.ndarray]

_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# the continuous extension (Shampine, Math. Comp. 46, 135, 1986, with the parameter SciPy takes): by slope, in powers of the share
_P = (
    (1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
    (0, 0, 0, 0),
    (0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
    (0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
    (0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
    (0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
    (0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # fifth minus fourth order


def exponential_euler(v: np.ndarray, slope: np.ndarray, h: float, rates: np.ndarray | float = 1.0) -> np.ndarray:
    """Return v after `h`, where `slope` = rates (T(v) - v).

    Examples
    --------
    >>> float(exponential_euler(np.array([1.0]), np.array([-1.0]), np.log(4.0))[0])
    0.25
    """
    return v - np.expm1(-h * rates) / rates * slope


def heun(g: Slope, v: np.ndarray, first: np.ndarray, h: float, kick: np.ndarray | float = 0.0) -> np.ndarray:
    """Return v after `h`; `first` is g(v), `kick` the step's noise.

    Examples
    --------
    >>> float(heun(lambda v: -v, np.array([1.0]), np.array([-1.0]), 0.1)[0])  # 1 - h + h^2 / 2
    0.905
    """
    return v + h / 2 * (first + g(v + h * first + kick)) + kick


def dormand_prince(g: Slope, v: np.ndarray, first: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return (v after `h`, its estimated error, the seven slopes, the last of them there); `first` is g(v).

    Examples
    --------
    >>> after, error, slopes = dormand_prince(lambda v: -v, np.array([1.0]), np.array([-1.0]), 0.1)
    >>> bool(abs(after[0] - np.exp(-0.1)) < 1e-8)
    True
    """
    slopes = [first]
    at = v
    for row in _A:
        at = v + h * _sum(row, slopes)
        slopes.append(g(at))
    return at, h * _sum(_E, slopes), slopes


def between(v: np.ndarray, slopes: list[np.ndarray], h: float, share: float) -> np.ndarray:
    """Return the state at a `share` of a step of `dormand_prince` from `v`: its continuous extension, of fourth order.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> _, _, slopes = dormand_prince(lambda v: -v, one, -one, 0.1)
    >>> bool(abs(between(one, slopes, 0.1, 0.37)[0] - np.exp(-0.037)) < 1e-8)
    True
    """
    powers = share ** np.arange(1, 5)
    return v + h * _sum(tuple(float(np.dot(row, powers)) for row in _P), slopes)


def _sum(weights: tuple[float, ...], slopes: list[np.ndarray]) -> np.ndarray:
    total = np.zeros_like(slopes[0])
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            total += weight * slope
    return total


def next_step(h: float, error: float, before: float) -> float:
    """Return the step to take after one of size `h` with `error` (1 is the most accepted) behind one with error `before`.

    Examples
    --------
    >>> next_step(1.0, 0.0, 1.0), next_step(1.0, 1e9, 1.0)
    (5.0, 0.2)
    """
    if error > 1.0:
        return h * max(0.2, 0.9 * error ** (-1 / 5))
    if error == 0.0:
        return 5.0 * h
    return h * float(np.clip(0.9 * error ** (-0.7 / 5) * max(before, 1e-4) ** (0.4 / 5), 0.2, 5.0))
