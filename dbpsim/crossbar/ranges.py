"""Ranges that a batch set: of the converters of one matrix, each direction by itself.

    DAC    r = percentile of |input|
    ADC    percentile of |result| / (what a column of full weights gives at inputs of r)

over the values other than zero, the largest of what single reads and stacks of tiles asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Pair = tuple[float, float]


@dataclass(frozen=True)
class Ranges:
    """Limits of the (DAC, ADC) of the forward and of the transposed read; 0 stands for each sample's own.

    Examples
    --------
    >>> ranges = Ranges(noting=True)
    >>> ranges.note(False, 0, np.array([0.0, 1.0, -3.0]), 100)
    >>> ranges.note(False, 1, np.array([6.0, 1.0]), 100, 4.0)
    >>> ranges.found((0.0, 0.0)).limits
    ((3.0, 0.5), (0.0, 0.0))
    """

    limits: tuple[Pair, Pair] = ((0.0, 0.0), (0.0, 0.0))
    noting: bool = False
    _seen: dict[tuple[bool, int], float] = field(default_factory=dict)

    def note(self, transposed: bool, which: int, values: np.ndarray, percentile: float, unit: float = 1.0) -> None:
        """Keep in mind what the DAC (`which` 0) or the ADC (1) would have needed for `values`, in `unit`; only while noting."""
        if not self.noting:
            return
        magnitudes = np.abs(values[values != 0])
        needed = float(np.percentile(magnitudes, percentile)) / unit if magnitudes.size else 0.0
        key = (bool(transposed), which)
        self._seen[key] = max(needed, self._seen.get(key, 0.0))

    def found(self, fixed: Pair) -> Ranges:
        """Return the limits that what was noted asks for, given the DACs' fixed ones (0 where there are none)."""
        pairs = []
        for way in (False, True):
            dac = self._seen.get((way, 0), 0.0)
            scale = fixed[way] or dac
            pairs.append((dac, self._seen.get((way, 1), 0.0) / scale if scale else 0.0))
        return Ranges((pairs[0], pairs[1]))

    def state(self) -> dict[str, np.ndarray]:
        """Return the limits as arrays; none where nothing was calibrated."""
        limits = np.array(self.limits, np.float64)
        return {"ranges": limits} if limits.any() else {}

    @staticmethod
    def of(state: dict[str, np.ndarray]) -> Ranges:
        """Return what `state` wrote down."""
        saved = state.get("ranges", np.zeros((2, 2)))
        return Ranges(((float(saved[0, 0]), float(saved[0, 1])), (float(saved[1, 0]), float(saved[1, 1]))))
