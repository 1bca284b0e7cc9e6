"""Programming pulses: what they do to a cell, for any number of them and any law.

    pulses = trunc(wanted change / mean step in the middle of the window)

is what a controller gives that does not look at the result; what is smaller than a step waits in its accumulator
(mixed-precision training: Nandakumar et al., Front. Neurosci. 14:406, 2020).  The laws of the step are those of
`dbpsim.devices.update_laws`; how n pulses are taken at once is explained in `dbpsim.kernels.pulses`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dbpsim.devices.schema import Conductance
from dbpsim.devices.update_laws import ExponentialStep, LinearStep, PiecewiseStep, SoftBounds, Update
from dbpsim.kernels import pulse_walk as law
from dbpsim.kernels import pulses as kernels
from dbpsim.kernels.pulse_cells import symmetry_points as symmetry_kernel

_NODES = 1025  # of the table that an exponential step is read from: within 1e-5 of it for the library's cells


def whole_pulses(wanted: np.ndarray, update: Update) -> np.ndarray:
    """Return the signed number of pulses that a wanted change of conductance (S) is worth.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> whole_pulses(np.array([0.9e-9, -2.5e-9]), load_device("ecram").update).tolist()
    [0.0, -2.0]
    """
    # A belief is a multiple of the step up to rounding: a step short of one by rounding is one.
    return np.trunc(wanted / wanted.dtype.type(middle_step(update)) * wanted.dtype.type(1 + 1e-6))


def middle_step(update: Update) -> float:
    """Return the mean step (S) in the middle of the window, of both directions or of the only one.

    That is step_S but for the exponential and piecewise laws, whose factors need not be 1 there.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> law = load_device("reram_hfo2_gong2018").update  # 1 + 1.18 exp(-2.5) up, 1 + 0.081 exp(2.5) down
    >>> round(middle_step(law) / law.step_S, 2)
    1.48
    """
    up, down = (float(factor) for factor in step_factors(update, np.zeros(())))
    up, down = (1 + update.asymmetry) * up, (1 - update.asymmetry) * down
    return update.step_S * (up if update.polarity == "up" else (up + down) / 2)


def step_factors(update: Update, xi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return f_up and f_down of the law at states `xi`, -1 at g_min to 1 at g_max, in units of step_S.

    The laws are those of `dbpsim.devices.update_laws`.

    Examples
    --------
    >>> from dbpsim.devices.update_laws import SoftBounds
    >>> law = SoftBounds(law="soft_bounds", polarity="both", step_S=1e-9, source="a doctest")
    >>> [f.tolist() for f in step_factors(law, np.array([-1.0, 0.0, 1.0]))]
    [[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]
    """
    xi = np.asarray(xi, np.float64)
    if isinstance(update, PiecewiseStep):
        nodes = np.linspace(-1, 1, len(update.up_factors))
        return np.interp(xi, nodes, update.up_factors), np.interp(xi, nodes, update.down_factors)
    if isinstance(update, ExponentialStep):
        z = update.a * xi + update.b
        up = 1 - update.A_up * np.exp(update.gamma_up * z)
        return np.maximum(up, 0), np.maximum(1 - update.A_down * np.exp(-update.gamma_down * z), 0)
    gamma_up, gamma_down = _slopes(update)
    return 1 - gamma_up * xi, 1 + gamma_down * xi


def mean_steps(update: Update, g: np.ndarray, window: Conductance) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean steps up and down (S, both positive) of a cell without spread at conductances `g` (S)."""
    xi = (2 * np.asarray(g, np.float64) - window.g_max_S - window.g_min_S) / window.span_S
    up, down = step_factors(update, xi)
    return update.step_S * (1 + update.asymmetry) * up, update.step_S * (1 - update.asymmetry) * down


def symmetry_point(update: Update, window: Conductance) -> float:
    """Return the conductance (S) at which a step up and a step down cancel; the middle of the window where there is none.

    Pulses up and down in equal numbers drive a cell there (Kim et al., arXiv:1907.10228): the natural zero of its weight.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> from dbpsim.devices.update_laws import SoftBounds
    >>> window = load_device("ecram").conductance
    >>> law = SoftBounds(law="soft_bounds", polarity="both", step_S=1e-9, asymmetry=0.5, source="a doctest")
    >>> round(symmetry_point(law, window) / window.span_S, 3)
    0.75
    """
    xi = np.linspace(-1, 1, _NODES)
    up, down = step_factors(update, xi)
    gain = (1 + update.asymmetry) * up - (1 - update.asymmetry) * down
    falls = np.flatnonzero((gain[:-1] > 0) & (gain[1:] <= 0))
    zero = 0.0
    if falls.size:
        at = falls[0]
        zero = float(xi[at] + (xi[1] - xi[0]) * gain[at] / (gain[at] - gain[at + 1]))
    return window.g_min_S + (1 + zero) * window.span_S / 2


def symmetry_points(shape: tuple[int, int], update: Update, window: Conductance, device_key: np.uint64) -> np.ndarray:
    """Return the symmetry point (S) of every cell, with its own asymmetry and bounds, float32.

    Hardware finds it by pulses up and down in turns until nothing moves on average; here that calibration is perfect.

    Parameters
    ----------
    shape : (rows, columns)
    update, window, device_key
        As in `pulse`.
    """
    numbers, table = law_numbers(update, window)
    g = np.empty(shape, np.float32)
    symmetry_kernel(numbers, table, device_key, g)
    return g


def _slopes(update: Update) -> tuple[float, float]:
    if isinstance(update, LinearStep):
        return update.gamma_up, update.gamma_down
    return (1.0, 1.0) if isinstance(update, SoftBounds) else (0.0, 0.0)


@lru_cache(maxsize=64)  # a step of training asks once a tile
def law_numbers(update: Update, window: Conductance) -> tuple[np.ndarray, np.ndarray]:
    """Return the law as the kernels of `dbpsim.kernels.pulses` take it: (numbers, table), shared, not to be changed."""
    half = window.span_S / 2
    gamma_up, gamma_down = _slopes(update)
    values = {
        law.STEP: update.step_S / half,
        law.SIGMA: update.step_sigma,
        law.FIXED: update.noise == "fixed",
        law.ASYMMETRY: update.asymmetry,
        law.STEP_SPREAD: update.step_spread,
        law.ASYMMETRY_SPREAD: update.asymmetry_spread,
        law.UPPER_SPREAD: update.upper_spread,
        law.LOWER_SPREAD: update.lower_spread,
        law.UP_0: 1.0,
        law.UP_1: -gamma_up,
        law.DOWN_0: 1.0,
        law.DOWN_1: gamma_down,
        law.OWN_BOUNDS: isinstance(update, SoftBounds),
        law.LOWEST: -1.0 - window.g_min_S / half,
        law.MIDDLE: window.g_min_S + half,
        law.HALF_WINDOW: half,
    }
    if isinstance(update, ExponentialStep):
        up, down = update.gamma_up / np.log(2), -update.gamma_down / np.log(2)
        values |= {law.EXPONENTIAL: True, law.UP_SIZE: update.A_up, law.UP_RATE: up * update.a, law.UP_SHIFT: up * update.b}
        values |= {law.DOWN_SIZE: update.A_down, law.DOWN_RATE: down * update.a, law.DOWN_SHIFT: down * update.b}
    numbers = np.zeros(law.NUMBERS, np.float32)
    for place, value in values.items():
        numbers[place] = value
    table = _table(update) if isinstance(update, PiecewiseStep | ExponentialStep) else np.empty((3, 0))
    numbers[law.PORTION] = _portion(update, numbers[law.STEP], table)
    return numbers, table.astype(np.float32)


def _portion(update: Update, step: float, table: np.ndarray) -> float:
    # How many pulses a cell may get until its factors have to be looked up again, in all but a tenth of its states.
    if not table.size:
        return np.inf
    up, down, move = table
    wander = (up + down) ** 2 / 4 + update.step_sigma**2 * (up**2 + down**2) / 2
    return max(12.0, float(np.quantile(move**2 / 2 / np.maximum(step**2 * wander, 1e-12), 0.1)))


def _table(update: Update) -> np.ndarray:
    # Factors at the nodes, and the stretch over which a tangent is within 2 % of them: f'' move^2 / 2 = f / 50, 0.02 to 0.25.
    xi = np.linspace(-1, 1, _NODES)
    up, down = step_factors(update, xi)
    apart = _NODES // 40
    low, high = np.maximum(np.arange(_NODES) - apart, 0), np.minimum(np.arange(_NODES) + apart, _NODES - 1)
    move = np.full(_NODES, 0.25)
    for f in (up, down):
        slope = np.gradient(f, xi)
        bend = np.abs(slope[high] - slope[low]) / (xi[high] - xi[low])
        move = np.minimum(move, np.sqrt(0.04 * f / np.maximum(bend, 1e-9)))
    return np.array([up, down, np.maximum(move, 0.02)])


def pulse(
    g: np.ndarray,
    ups: np.ndarray,
    downs: np.ndarray,
    update: Update,
    window: Conductance,
    pulse_key: np.uint64,
    device_key: np.uint64,
    first_row: int = 0,
) -> np.ndarray:
    """Give every cell its pulses, in place; return (cells pulsed, pulses given) of every row.

    Parameters
    ----------
    g : array, shape (rows, columns)
        Conductances (S).
    ups, downs : integer arrays, shape of `g`
        In random order where a cell gets both.
    update, window
        Sections of the device file.
    pulse_key, device_key : uint64
        Name the streams of this write and of the devices themselves (`dbpsim.kernels.random.stream_key`): the same
        `device_key` means the same devices.
    first_row : int
        Of the array that `g` is a part of: which devices these are.

    Returns
    -------
    array, shape (rows, 2)

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> ecram, g = load_device("ecram"), np.full((1, 2), 5e-7)
    >>> pulse(g, np.array([[3, 0]]), np.zeros((1, 2)), ecram.update, ecram.conductance, np.uint64(1), np.uint64(2)).tolist()
    [[1, 3]]
    >>> bool(5.01e-7 < g[0, 0] < 5.05e-7), bool(g[0, 1] == 5e-7)
    (True, True)
    """
    numbers, table = law_numbers(update, window)
    done = np.zeros((len(g), 2), np.int64)
    kernels.pulse_counts(
        g, np.ascontiguousarray(ups, np.int32), np.ascontiguousarray(downs, np.int32),
        numbers, table, pulse_key, device_key, first_row, done,
    )  # fmt: skip
    return done
