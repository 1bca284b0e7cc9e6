"""What is likely to go wrong when a chip trains, said before it does.

One step of training is rehearsed on a shadow of the chip and held against backpropagation on the digital network with the
weights wanted.  Stage by stage:

    saturated   share of the forward conversions, inputs among them, beyond a fixed range
    lost        share of the conversions that turned what was not zero into zero (below half a step), each direction
    silent      share of the units that are zero for the whole batch
    clipped     share of the weights that the window could not hold
    step        weight that one pulse in the middle of the window is worth, over the root mean square weight
    pulses      root mean square step of training over that of the device
    1 - cos     misalignment of the gradient

The limits behind the warnings are choices, made so that a chip that trains is passed in silence; see `Limits`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbpsim.chip import Chip
from dbpsim.credit.backprop import Backprop, backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import Relaxation
from dbpsim.crossbar.activity import StageActivity
from dbpsim.crossbar.operators import CrossbarConvolution, CrossbarDense
from dbpsim.files import finite
from dbpsim.network.graph import Network

Gradient = Callable[[Network, np.ndarray, np.ndarray], Backprop | Relaxation]


@dataclass(frozen=True)
class Limits:
    """Above which figure a warning is given; all of them assumed."""

    saturated: float = 0.01
    lost_forward: float = 0.5
    lost_back: float = 0.5
    silent: float = 0.5
    clipped: float = 0.01
    step: float = 0.25
    misalignment: float = 0.3


@dataclass(frozen=True)
class StageCheck:
    """The figures of one weight stage; `step` and `pulses` are None where cells are programmed, not pulsed.

    Attributes
    ----------
    saturated, lost_forward, lost_back, silent, clipped : float
        Shares, 0 to 1.
    weight : float
        Root mean square of the weights wanted.
    step : float or None
        Weight that a pulse is worth.
    pulses : float or None
        Root mean square of rate x gradient, over `step`.
    misalignment : float
        1 - cos against backpropagation with the weights wanted.
    zero : bool
        Whether the gradient of the weights is exactly zero.
    """

    stage: str
    saturated: float
    lost_forward: float
    lost_back: float
    silent: float
    clipped: float
    weight: float
    step: float | None
    pulses: float | None
    misalignment: float
    zero: bool


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, what was found, what helps."""

    stage: str
    kind: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.found}; {self.remedy}."


@dataclass(frozen=True)
class Check:
    """What `check` returns; prints as a table with the warnings below it.

    Attributes
    ----------
    chip : str
    batch : int
    stages : tuple of StageCheck
    warnings : tuple of Finding
    gradient_s, write_s : float
        Wall time of one gradient and of writing one step.
    forward_s : float
        Wall time of one forward pass.
    memory_bytes : int or None
        Most that this process has held so far, the rehearsal included; None where the system does not say.
    """

    chip: str
    batch: int
    stages: tuple[StageCheck, ...]
    warnings: tuple[Finding, ...]
    gradient_s: float
    write_s: float
    forward_s: float
    memory_bytes: int | None

    @property
    def step_s(self) -> float:
        """Wall time (s) of one step of training."""
        return self.gradient_s + self.write_s

    @property
    def zero_gradient(self) -> bool:
        """Whether the gradient of a stage is exactly zero."""
        return any(row.zero for row in self.stages)

    @property
    def cost(self) -> str:
        """Time and memory of a step, in words."""
        memory = "unknown" if self.memory_bytes is None else f"{self.memory_bytes / 2**20:.0f} MiB"
        return f"a step of {self.batch} samples takes {self.step_s:.3g} s here, memory {memory}"

    def __str__(self) -> str:
        width = max(len(row.stage) for row in self.stages) + 2
        names = ("saturated", "lost", "lost back", "silent", "clipped", "step/weight", "pulses", "1 - cos")
        lines = [self.chip, f"{'stage':{width}}" + "".join(f"{name:>12}" for name in names)]
        for row in self.stages:
            shares = (row.saturated, row.lost_forward, row.lost_back, row.silent, row.clipped)
            steps = (None if row.step is None or not row.weight else row.step / row.weight, row.pulses)
            lines.append(
                f"{row.stage:{width}}" + "".join(f"{share:>12.2%}" for share in shares)
                + "".join(f"{'-' if value is None else f'{value:.2e}':>12}" for value in steps) + f"{row.misalignment:>12.2e}"
            )  # fmt: skip
        lines += [f"warning: {finding}" for finding in self.warnings]
        return "\n".join([*lines, self.cost])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, SI units in the keys."""
        return {
            "chip": self.chip,
            "batch": self.batch,
            "stages": [finite(asdict(row)) for row in self.stages],
            "warnings": [asdict(finding) for finding in self.warnings],
            "zero_gradient": self.zero_gradient,
            "step_s": self.step_s,
            "gradient_s": self.gradient_s,
            "write_s": self.write_s,
            "forward_s": self.forward_s,
            "memory_bytes": self.memory_bytes,
        }


def check(
    chip: Chip, x: np.ndarray, y: np.ndarray, *, rate: float = 0.5, gradient: Gradient = backprop, limits: Limits | None = None
) -> Check:
    """Rehearse one step of training on `chip` and say what is likely to go wrong.

    The chip stays as it is: cells, random streams and activity.

    Parameters
    ----------
    chip : Chip
    x, y : arrays
        One batch, of the size to train with: times and memory are those of this batch.
    rate : float
        Learning rate over 1 - momentum; 0.5 is that of `train` by default.
    gradient : function of (network, x, y)
        Where gradients come from; `backprop` by default.
    limits : Limits, optional

    Raises
    ------
    ValueError
        If `chip` is no chip, `rate` is not positive, or the data do not fit.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> x, y = np.random.default_rng(0).standard_normal((32, 16)), np.arange(32) % 4
    >>> check(Chip.program(mlp(16, 32, 4), "ideal"), x, y).warnings
    ()
    """
    if not isinstance(chip, Chip):
        raise ValueError(f"check: found {chip!r}; accepted: a chip (Chip.program).")
    if not (rate > 0 and np.isfinite(rate)):
        raise ValueError(f"rate: found {rate}; accepted: a finite number above 0.")
    x = chip.as_input(x)
    shadow, digital = chip.shadow(), chip.digital()
    exact = backprop(digital, x, y)
    gradient(shadow, x, y)  # compiles and warms
    start = time.perf_counter()
    run = gradient(shadow, x, y)
    gradient_s = time.perf_counter() - start
    factors = shadow.take_factors()
    start = time.perf_counter()
    seen = shadow.sweep(x, training=True).values
    forward_s = time.perf_counter() - start
    write_s = _write_seconds(chip, run.gradients, factors, rate / (getattr(run, "gain", None) or 1.0), rate)
    aligned = {row.stage: row.misalignment for row in fidelity(run.gradients, exact.gradients).stages}
    rows = []
    for name, bar in chip.crossbars.items():
        weight, found = chip.parameters[f"{name}.weight"], run.gradients[f"{name}.weight"]
        step, pulses = _steps(bar, found, rate)
        rows.append(StageCheck(
            name, *_conversions(run.activity.stages[name]), silent=_silent(seen[name]), clipped=bar.clipped / weight.size,
            weight=_rms(weight), step=step, pulses=pulses, misalignment=aligned[name], zero=not found.any(),
        ))  # fmt: skip
    healthy = {row.stage: _silent(digital_values[row.stage]) for row in rows} if (digital_values := _values(digital, x)) else {}
    warnings = _findings(chip, rows, exact.gradients, healthy, limits or Limits())
    return Check(f"{chip!r} on {chip.hardware.name}", len(x), tuple(rows), tuple(warnings), gradient_s, write_s, forward_s, _peak())


def _values(network: Network, x: np.ndarray) -> Mapping[str, np.ndarray]:
    return network.sweep(x, training=True).values


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _silent(values: np.ndarray) -> float:
    # Share of the units (the last axis) that are zero for every sample and position.
    return float(np.mean(~values.reshape(-1, values.shape[-1]).any(axis=0)))


def _conversions(done: StageActivity) -> tuple[float, float, float]:
    # (saturated, lost forward, lost back), as shares.
    into = done.forward.clipped / done.forward.dac if done.forward.dac else 0.0
    return max(done.forward.saturated_fraction, into), done.forward.lost_fraction, done.transposed.lost_fraction


def _steps(bar: CrossbarDense | CrossbarConvolution, gradient: np.ndarray, rate: float) -> tuple[float | None, float | None]:
    # (weight a pulse is worth, root mean square step of training in pulses).
    cells = bar.tiles.banks[0].slices[-1]
    update = cells.device.update
    fast = 1.0
    if cells.in_place is not None:
        step = cells.in_place.step_weight
        fast = 1.0 if cells.in_place.fast is None else bar.hardware.update.fast_rate
    elif update is None or bar.hardware.update.mode != "mixed_precision":
        return None, None
    else:
        step = update.step_S * float(np.median(cells.w_max)) / cells.device.conductance.span_S * (3 - len(cells.sides))
    return step, rate * fast * _rms(gradient) / step


def _write_seconds(
    chip: Chip, gradients: Mapping[str, np.ndarray], factors: Mapping[str, tuple[np.ndarray, np.ndarray]],
    descent: float, rate: float,
) -> float:  # fmt: skip
    # One stage after another on a copy of its own: no more than one stage is held twice.
    total = 0.0
    for name, bar in chip.crossbars.items():
        tried, key = copy.deepcopy(bar), f"{name}.weight"
        start = time.perf_counter()
        if key in factors:
            tried.descend(*factors[key], descent)
        else:
            weight = chip.parameters[key]
            tried.write((weight - weight.dtype.type(rate) * gradients[key]).astype(weight.dtype, copy=False))
        total += time.perf_counter() - start
    return total


def _peak() -> int | None:
    # Not getrusage: its figure outlives exec, so a small process started by a large one would report that one's.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def _findings(
    chip: Chip, rows: list[StageCheck], exact: Mapping[str, np.ndarray], healthy: Mapping[str, float], limits: Limits
) -> list[Finding]:
    found: list[Finding] = []
    for row in rows:
        add = _Adder(row.stage, found)
        if row.zero:
            add("zero gradient", *_why_zero(row, exact, healthy))
        if row.saturated > limits.saturated:
            add("saturated", f"{row.saturated:.1%} of the conversions are beyond a fixed range",
                'raise dac.limit and adc.limit, or set their range = "sample"')  # fmt: skip
        if row.lost_forward > limits.lost_forward:
            add("lost", f"{row.lost_forward:.1%} of the forward conversions lose a value below half an ADC step", _FINER)
        if row.lost_back > limits.lost_back:
            add("stress lost", f"{row.lost_back:.1%} of the stress is below half an ADC step and goes back as exact zeros",
                'raise adc.bits, or links = "analog"')  # fmt: skip
        if row.silent > limits.silent:
            also = healthy[row.stage] > limits.silent
            add("dead", f"{row.silent:.0%} of the units are zero for the whole batch ({healthy[row.stage]:.0%} digitally)",
                "initialise anew or normalise" if also else _FINER)  # fmt: skip
        if row.clipped > limits.clipped:
            add("clipped", f"{row.clipped:.1%} of the weights do not fit into the window",
                f"raise mapping.headroom (now {chip.hardware.mapping.headroom:g})")  # fmt: skip
        _coarse(chip, row, limits, add)
        if not row.zero and row.misalignment > limits.misalignment:
            add("misaligned", f"the gradient is misaligned by 1 - cos = {row.misalignment:.2f}",
                "look at the stages behind it; less read noise and programming error, or more bits, as [effects] tells apart")  # fmt: skip
    return found


_FINER = 'raise adc.bits, lower adc.limit, or set adc.range = "sample"'


class _Adder:
    """Appends findings of one stage."""

    def __init__(self, stage: str, found: list[Finding]) -> None:
        self.stage, self.found = stage, found

    def __call__(self, kind: str, text: str, remedy: str) -> None:
        self.found.append(Finding(self.stage, kind, text, remedy))


def _why_zero(row: StageCheck, exact: Mapping[str, np.ndarray], healthy: Mapping[str, float]) -> tuple[str, str]:
    if not exact[f"{row.stage}.weight"].any():
        return "the gradient is exactly zero, on the digital network as well", "initialise anew: no input or no stress reaches it"
    if row.silent == 1.0 and healthy[row.stage] < 1.0:
        return "the gradient is exactly zero: its forward read comes out as zeros", _FINER
    return "the gradient is exactly zero: input or stress is lost in a read before or behind it", _FINER


def _coarse(chip: Chip, row: StageCheck, limits: Limits, add: _Adder) -> None:
    if row.step is None or row.pulses is None:
        return
    if row.step > limits.step * row.weight:
        add("coarse", f"a pulse changes a weight by {row.step:.2g}, the weights are {row.weight:.2g}",
            'a device with more steps in its window, a smaller mapping.headroom, or update.mode = "write_verify"')  # fmt: skip
    if chip.hardware.update.in_place and row.pulses > chip.hardware.update.bit_length:
        add("cut", f"a step of training is {row.pulses:.3g} pulses, trains have {chip.hardware.update.bit_length}",
            "lower the rate, or raise update.bit_length")  # fmt: skip
