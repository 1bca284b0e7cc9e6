"""How close two gradients are: the paper's three figures, per stage.

    misalignment      1 - cos(a, b)
    relative error    ||a - b|| / ||b||
    signal to noise   ||b||^2 / ||a - b||^2          (linear and in dB)

with b the reference.  The misalignment is computed as ||a/||a|| - b/||b|||^2 / 2, which is the same number without
the cancellation of 1 - cos: it resolves 1e-32 instead of 1e-16.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from dbpsim.files import finite


@dataclass(frozen=True)
class StageFidelity:
    """Agreement of one stage's gradients."""

    stage: str
    misalignment: float
    relative_error: float
    signal_to_noise: float

    @property
    def signal_to_noise_dB(self) -> float:
        """The ratio in decibel."""
        return 10.0 * math.log10(self.signal_to_noise) if self.signal_to_noise > 0 else -math.inf


@dataclass(frozen=True)
class Fidelity:
    """Agreement of all gradients, a row per stage; prints as a table.

    Attributes
    ----------
    stages : tuple of StageFidelity
    whole : StageFidelity
        Of all parameters taken as one vector, called "all".
    """

    stages: tuple[StageFidelity, ...]
    whole: StageFidelity

    @property
    def worst(self) -> StageFidelity:
        """The stage with the largest relative error."""
        return max(self.stages, key=lambda row: row.relative_error)

    def __str__(self) -> str:
        width = max(len(row.stage) for row in (*self.stages, self.whole)) + 2
        lines = [f"{'stage':{width}}{'misalignment':>14}{'relative error':>16}{'SNR':>12}{'SNR (dB)':>10}"]
        for row in (*self.stages, self.whole):
            lines.append(
                f"{row.stage:{width}}{row.misalignment:>14.2e}{row.relative_error:>16.2e}"
                f"{row.signal_to_noise:>12.2e}{row.signal_to_noise_dB:>10.1f}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return plain data; an infinite ratio (exact agreement) becomes None, which JSON can hold."""

        def plain(row: StageFidelity) -> dict[str, object]:
            return finite(asdict(row) | {"signal_to_noise_dB": row.signal_to_noise_dB})

        return {"stages": [plain(row) for row in self.stages], "all": plain(self.whole), "worst": self.worst.stage}

    def to_json(self) -> str:
        """Return the same as JSON text."""
        return json.dumps(self.to_dict(), indent=2)


def fidelity(gradients: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> Fidelity:
    """Compare `gradients` with `reference`, stage by stage.

    Parameters
    ----------
    gradients, reference : mapping of "stage.parameter" to array

    Raises
    ------
    ValueError
        If the two do not hold the same names and shapes.

    Examples
    --------
    >>> row = fidelity({"a.weight": np.array([1.0, 0.1])}, {"a.weight": np.array([1.0, 0.0])}).worst
    >>> round(row.relative_error, 3), round(row.signal_to_noise), round(row.misalignment, 5)
    (0.1, 100, 0.00496)
    """
    if gradients.keys() != reference.keys() or not gradients:
        odd = sorted(gradients.keys() ^ reference.keys())
        raise ValueError(f"fidelity: found names in one gradient only: {', '.join(odd) or 'none at all'}.")
    by_stage: dict[str, list[str]] = {}
    for name in reference:
        if np.shape(gradients[name]) != np.shape(reference[name]):
            shapes = f"{np.shape(gradients[name])} and {np.shape(reference[name])}"
            raise ValueError(f"fidelity: {name}: found shapes {shapes}; accepted: equal shapes.")
        by_stage.setdefault(name.partition(".")[0], []).append(name)
    rows = [_compare(stage, gradients, reference, names) for stage, names in by_stage.items()]
    return Fidelity(tuple(rows), _compare("all", gradients, reference, list(reference)))


def _compare(
    stage: str, gradients: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], names: list[str]
) -> StageFidelity:
    a = np.concatenate([np.ravel(gradients[n]).astype(float) for n in names])
    b = np.concatenate([np.ravel(reference[n]).astype(float) for n in names])
    norm_a, norm_b, error = np.linalg.norm(a), np.linalg.norm(b), np.linalg.norm(a - b)
    if error == 0:
        return StageFidelity(stage, 0.0, 0.0, math.inf)
    if norm_b == 0 or not np.isfinite(error):  # nan must not hide from a maximum
        return StageFidelity(stage, 1.0, math.inf, 0.0)
    if norm_a == 0:
        return StageFidelity(stage, 1.0, 1.0, 1.0)
    apart = np.linalg.norm(a / norm_a - b / norm_b)
    return StageFidelity(stage, float(0.5 * apart**2), float(error / norm_b), float((norm_b / error) ** 2))
