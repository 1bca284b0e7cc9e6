"""When the samples of a batch have settled: how many by which time, with the median, the 95th percentile and the last."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from dbpsim.cost.quantities import quantity
from dbpsim.report.figures import COLOURS

PERCENTILES = (50.0, 95.0, 100.0)


def settling_percentiles(times: np.ndarray) -> dict[str, float]:
    """Return p50, p95 and the maximum of the times (s) that settled, and the share of samples that did not.

    Examples
    --------
    >>> settling_percentiles(np.array([1.0, 2.0, 3.0, np.nan]))
    {'p50_s': 2.0, 'p95_s': 2.9, 'max_s': 3.0, 'unsettled_share': 0.25}
    """
    done = times[np.isfinite(times)]
    p50, p95, last = (float(v) for v in np.percentile(done, PERCENTILES)) if done.size else (float("nan"),) * 3
    return {"p50_s": p50, "p95_s": p95, "max_s": last, "unsettled_share": 1.0 - done.size / times.size}


def draw_settling_times(ax: Axes, times: np.ndarray, law_s: float | None = None) -> Axes:
    """Draw the share of samples that have settled over time (s), and what a chain of unit weights takes, `law_s`.

    Samples that did not settle (nan) leave the curve below 1.
    """
    done = np.sort(times[np.isfinite(times)])
    share = np.arange(1, done.size + 1) / max(times.size, 1)
    found = settling_percentiles(times)
    unit = 1e9
    begin = 0.8 * done[0] if done.size else 0.0
    time, settled = np.concatenate([[begin], done]) * unit, np.concatenate([[0.0], share])
    ax.step(time, settled, where="post", color=COLOURS[0], label="samples")
    for name, style in (("p50", "--"), ("p95", "-."), ("max", ":")):
        if np.isfinite(found[f"{name}_s"]):
            label = f"{name} {quantity(found[f'{name}_s'], 's')}"
            ax.axvline(found[f"{name}_s"] * unit, color=COLOURS[1], linestyle=style, linewidth=1, label=label)
    if law_s is not None:
        ax.axvline(law_s * unit, color=COLOURS[2], linewidth=1.5, label=f"chain of unit weights {quantity(law_s, 's')}")
    ax.set_xlabel("time (ns)")
    ax.set_ylabel("share of samples settled")
    ax.set_ylim(0.0, 1.05)
    ax.legend()
    return ax
