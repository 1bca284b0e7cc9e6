"""From a learning rate to pulse trains: which cells of an array a stochastic update pulses, and how often.

For the step W <- W - rate sum_s d_s a_s^T each sample's lines get trains of BL slots, a pulse in a slot with probability
C |a| m on rows and C |d| / m on columns.  A cell sees on average BL C^2 |a d| coincidences, each a step dw, so

    C = sqrt(rate / (BL dw))        (Gokmen and Vlasov, Front. Neurosci. 10:333, 2016)

With `managed` (Gokmen, Onen and Haensch, Front. Neurosci. 11:538, 2017), both sides use their probabilities alike,
m = sqrt(max|d| / max|a|), and trains are no longer than they must be, BL = ceil(rate max|a| max|d| / dw), at most `longest`.
Where even that would take probabilities above 1 they are cut at 1, and the step falls short.
"""

from __future__ import annotations

import numpy as np

from dbpsim.kernels import coincidences as kernels
from dbpsim.kernels.memory import empty
from dbpsim.kernels.random import bits


def train_lengths(
    a: np.ndarray, d: np.ndarray, rate_in_steps: float, longest: int, managed: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (slots, scale of `a`, scale of `d`) of every sample.

    Parameters
    ----------
    a, d : arrays, shape (samples, rows) and (samples, columns)
    rate_in_steps : float
        Learning rate over the weight that one pulse is worth.
    longest : int
        Most slots of a train.

    Examples
    --------
    >>> slots, of_a, of_d = train_lengths(np.array([[0.5, -2.0]]), np.array([[1.0]]), 1.2, 31)
    >>> slots.tolist(), round(float(slots[0] * of_a[0] * of_d[0]), 6)
    ([3], 1.2)
    """
    largest_a, largest_d = kernels.reaches(np.ascontiguousarray(a)), kernels.reaches(np.ascontiguousarray(d))
    wanted = rate_in_steps * largest_a * largest_d
    alive = wanted > 0
    if not managed:
        scale = np.sqrt(np.where(alive, rate_in_steps / longest, 0.0))
        return np.where(alive, longest, 0), scale, scale
    slots = np.where(alive, np.clip(np.ceil(wanted), 1, longest), 0).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.sqrt(rate_in_steps / slots)
        tilt = np.sqrt(largest_d / largest_a)
        return slots, np.where(alive, both * tilt, 0.0), np.where(alive, both / tilt, 0.0)


def coincidences(
    a: np.ndarray, d: np.ndarray, rate_in_steps: float, longest: int, key: np.uint64, managed: bool = True
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return (pulses up, pulses down, slots of all samples together) of every cell for one step of descent.

    Parameters
    ----------
    a, d : arrays, shape (samples, rows) and (samples, columns)
    rate_in_steps, longest, managed
        As in `train_lengths`.
    key : uint64
        Names the random stream of this update.

    Returns
    -------
    ups, downs : int32 arrays, shape (rows, columns)
    slots : int

    Raises
    ------
    ValueError
        If `longest` is not 1 to 63.

    Examples
    --------
    >>> ups, downs, slots = coincidences(np.array([[1.0, 0.0]]), np.array([[2.0, -1.0]]), 16.0, 31, np.uint64(1))
    >>> downs.tolist(), bool(0 < ups[0, 1] < 31), slots
    ([[31, 0], [0, 0]], True, 31)
    """
    if not 1 <= longest <= kernels.LONGEST:
        raise ValueError(f"bit_length: found {longest}; accepted: 1 to {kernels.LONGEST}.")
    slots, scale_a, scale_d = train_lengths(a, d, rate_in_steps, longest, managed)
    first = np.concatenate([[0], np.cumsum(slots)])
    words = max(1, -(-int(first[-1]) // 64))
    rows, columns = a.shape[1], d.shape[1]
    (row_on, row_negative), (column_on, column_negative) = (np.zeros((2, words, lines), np.uint64) for lines in (rows, columns))
    kernels.encode(a, scale_a, first, np.uint64(bits(key, 0)), row_on, row_negative)
    kernels.encode(d, scale_d, first, np.uint64(bits(key, 1)), column_on, column_negative)
    ups, downs = empty((2, rows, columns), np.int32)
    kernels.count(row_on, row_negative, column_on, column_negative, ups, downs)
    return ups, downs, int(first[-1])
