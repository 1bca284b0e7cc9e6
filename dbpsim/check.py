"""What is likely to go wrong when a chip trains, said before it does.

One step of training is rehearsed on a shadow of the chip and held against backpropagation on the digital network with the
weights wanted.  Stage by stage:

    saturated   share of the forward conversions beyond a fixed range, of outputs or of inputs
    lost        share of the conversions that turned what was not zero into zero (below half a step), each direction;
                of outputs or of inputs, whichever is larger
    silent      share of the units that are zero for the whole batch
    clipped     share of the weights that the window could not hold
    error       of the weights held, root mean square, over that of the weights wanted
    step        weight that one pulse in the middle of the window is worth, over the root mean square weight
    update      root mean square of a step of training, over the root mean square weight
    1 - cos     misalignment of the gradient
    held        the same, were the weights as they are held but reads exact: what is left is noise and conversion

A step of training is rate (1 + momentum) g, the first of Nesterov's; in place it is rate g / (1 - momentum).  It is also made,
with the chip's gradient, on a copy of the digital network, to see whether the loss of the batch falls.
The limits behind the warnings are choices (`Limits`), made so that a chip that trains passes in silence.
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
from dbpsim.devices.update import middle_step
from dbpsim.files import finite
from dbpsim.findings import Finding, Limits, Rehearsal, StageCheck, findings, summary
from dbpsim.network.graph import INPUT, Network

Gradient = Callable[[Network, np.ndarray, np.ndarray], Backprop | Relaxation]


@dataclass(frozen=True)
class Check:
    """What `check` returns; prints as a table with the warnings below it.

    Attributes
    ----------
    chip : str
    batch : int
    images : int or None
        In an epoch, where it is known.
    loss, loss_after : float
        Of the batch on the digital network, before and after a step along the chip's gradient.
    stages : tuple of StageCheck
    warnings : tuple of Finding
        None of them: nothing was found.
    gradient_s, write_s : float
        Wall time (s) of one gradient and of writing one step.
    memory_bytes : int or None
        Most that this process has held so far, the rehearsal included; None where the system does not say.
    """

    chip: str
    batch: int
    images: int | None
    loss: float
    loss_after: float
    stages: tuple[StageCheck, ...]
    warnings: tuple[Finding, ...]
    gradient_s: float
    write_s: float
    memory_bytes: int | None

    @property
    def step_s(self) -> float:
        """Wall time (s) of one step of training."""
        return self.gradient_s + self.write_s

    @property
    def epoch_s(self) -> float | None:
        """Wall time (s) of an epoch's steps, without evaluation; None where its length is not known."""
        return None if self.images is None else self.images // self.batch * self.step_s

    @property
    def zero_gradient(self) -> bool:
        """Whether the gradient of a stage is exactly zero."""
        return any(row.zero for row in self.stages)

    @property
    def cost(self) -> str:
        """Time and memory of the run to come, in words."""
        epoch = "" if self.epoch_s is None else f", an epoch of {self.images} {_duration(self.epoch_s)}"
        memory = "" if self.memory_bytes is None else f"; memory {self.memory_bytes / 2**20:.0f} MiB"
        return f"a step of {self.batch} samples takes {_duration(self.step_s)} here{epoch}{memory}"

    @property
    def lines(self) -> list[str]:
        """The warnings in words, those of one kind and remedy in one line."""
        return summary(self.warnings)

    def __str__(self) -> str:
        width = max(len(row.stage) for row in self.stages) + 2
        names = ("saturated", "lost", "lost back", "silent", "clipped", "error", "step/weight", "update", "1 - cos", "held")
        lines = [self.chip, f"{'stage':{width}}" + "".join(f"{name:>12}" for name in names)]
        for row in self.stages:
            shares = (row.saturated, row.lost_forward, row.lost_back, row.silent, row.clipped, row.error)
            step = None if row.step is None else row.relative(row.step)
            rest = (step, row.relative(row.update), row.misalignment, row.misalignment_held)
            cells = [f"{share:.2%}" for share in shares] + ["-" if value is None else f"{value:.2e}" for value in rest]
            lines.append(f"{row.stage:{width}}" + "".join(f"{cell:>12}" for cell in cells))
        lines += [f"warning: {line}" for line in self.lines] or ["nothing found"]
        change = f"the first step takes the loss from {self.loss:.4g} to {self.loss_after:.4g}"
        return "\n".join([*lines, change, self.cost])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, SI units in the keys."""
        return {
            "chip": self.chip,
            "batch": self.batch,
            "images": self.images,
            **finite({"loss": self.loss, "loss_after": self.loss_after}),
            "stages": [finite(asdict(row)) for row in self.stages],
            "warnings": [finite(asdict(finding)) for finding in self.warnings],
            "zero_gradient": self.zero_gradient,
            "step_s": self.step_s,
            "epoch_s": self.epoch_s,
            "gradient_s": self.gradient_s,
            "write_s": self.write_s,
            "memory_bytes": self.memory_bytes,
        }


def check(
    chip: Chip, x: np.ndarray, y: np.ndarray, *, rate: float = 0.05, momentum: float = 0.9,
    gradient: Gradient = backprop, images: int | None = None, limits: Limits | None = None,
) -> Check:  # fmt: skip
    """Rehearse one step of training on `chip` and say what is likely to go wrong.

    The chip stays as it is: cells, random streams and activity.

    Parameters
    ----------
    chip : Chip
    x, y : arrays
        One batch, of the size to train with: times and memory are those of this batch.
    rate, momentum : float
        Of the training to come.
    gradient : function of (network, x, y)
        Where gradients come from; `backprop` by default.
    images : int, optional
        Images in an epoch, to say how long it will take.
    limits : Limits, optional

    Returns
    -------
    Check

    Raises
    ------
    ValueError
        If `chip` is no chip, `rate` is not positive, `momentum` is not in [0, 1), or the data do not fit.

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
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum: found {momentum}; accepted: [0, 1).")
    x = chip.as_input(x)
    shadow, digital = chip.shadow(), chip.digital()
    exact = backprop(digital, x, y)
    few = max(1, len(x) // 8)
    gradient(shadow, x[:few], y[:few])  # compiles
    start = time.perf_counter()
    run = gradient(shadow, x, y)
    gradient_s = time.perf_counter() - start
    factors = shadow.take_factors()
    rates = rate * (1 + momentum), rate / (1 - momentum)
    write_s = _write_seconds(chip, run.gradients, factors, rates[0], rates[1] / (getattr(run, "gain", None) or 1.0))
    seen, done, gradients = _silences(shadow, x), run.activity.stages, run.gradients
    aligned, held = (_misalignments(each, exact.gradients) for each in (gradients, _held(chip, digital, x, y)))
    rows = tuple(
        _row(chip, name, done[name], gradients[f"{name}.weight"], seen[name], (aligned[name], held[name]), rates[bar.in_place])
        for name, bar in chip.crossbars.items()
    )
    parents = {stage.name: tuple(p for p in stage.parents if p != INPUT) for stage in chip.stages}
    weights = {name: bool(exact.gradients[f"{name}.weight"].any()) for name in chip.crossbars}
    aged = any(bar.tiles.cells.age_s > 0 for bar in chip.crossbars.values())
    silent = _silences(digital, x)
    losses = exact.loss, _loss_after(chip, digital, x, y, run.gradients, rates)
    unset = tuple(name for name, bar in chip.crossbars.items() if chip.hardware.calibrated and not bar.tiles.ranges.state())
    rehearsal = Rehearsal(chip.hardware, rows, seen, silent, weights, parents, aged, losses, unset)
    found = findings(rehearsal, limits or Limits())
    title = f"{chip!r} on {chip.hardware.name}"
    return Check(title, len(x), images, *losses, rows, tuple(found), gradient_s, write_s, _peak())


def _row(
    chip: Chip, name: str, done: StageActivity, gradient: np.ndarray, silent: float,
    misalignments: tuple[float, float], rate: float,
) -> StageCheck:
    bar, weight = chip.crossbars[name], chip.parameters[f"{name}.weight"]
    forward, back = done.forward, done.transposed
    scale = _rms(weight)
    return StageCheck(
        name,
        saturated=max(forward.saturated_fraction, forward.clipped_fraction),
        lost_forward=max(forward.lost_fraction, forward.dropped_fraction),
        lost_back=max(back.lost_fraction, back.dropped_fraction),
        silent=silent,
        clipped=bar.clipped / weight.size,
        weight=scale,
        error=_rms(bar.weight - weight) / scale if scale else 0.0,
        step=_step(bar),
        update=rate * _rms(gradient),
        misalignment=misalignments[0],
        misalignment_held=misalignments[1],
        zero=not gradient.any(),
    )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _silences(network: Network, x: np.ndarray) -> dict[str, float]:
    # Of every stage the share of the units (the last axis) that are zero for every sample and position.
    values = network.sweep(x, training=True).values
    return {name: float(np.mean(~a.reshape(-1, a.shape[-1]).any(axis=0))) for name, a in values.items()}


def _step(bar: CrossbarDense | CrossbarConvolution) -> float | None:
    # Weight that a pulse is worth; None where cells are programmed, not pulsed.
    cells = bar.tiles.banks[0].slices[-1]
    update = cells.device.update
    if cells.in_place is not None:
        return cells.in_place.step_weight
    if update is None or bar.hardware.update.mode != "mixed_precision":
        return None
    return middle_step(update) * float(np.median(cells.w_max)) / cells.device.conductance.span_S * (3 - len(cells.sides))


def _misalignments(gradients: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {row.stage: row.misalignment for row in fidelity(gradients, exact).stages}


def _held(chip: Chip, digital: Network, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    # Exact gradients of the weights that forward reads see.
    twin = copy.deepcopy(digital)
    for name, bar in chip.crossbars.items():
        twin.parameters[f"{name}.weight"][...] = bar.weight
    twin.write()
    return backprop(twin, x, y).gradients


def _loss_after(
    chip: Chip, digital: Network, x: np.ndarray, y: np.ndarray, gradients: Mapping[str, np.ndarray], rates: tuple[float, float]
) -> float:
    # Of a copy of the digital network that has made the step, as far as a pulse train reaches where it is made in place.
    moved = copy.deepcopy(digital)
    for name, parameter in moved.parameters.items():
        stage, _, what = name.partition(".")
        bar = chip.crossbars.get(stage) if what == "weight" else None
        in_place = bar is not None and bar.in_place
        step = rates[in_place] * gradients[name]
        if in_place and bar is not None:
            most = bar.hardware.update.bit_length * (_step(bar) or 0.0)
            step = np.clip(step, -most, most)
        parameter -= step.astype(parameter.dtype)
    moved.write()
    with np.errstate(all="ignore"):
        return moved.loss.value(moved.sweep(x, training=True).values[moved.output], y)


def _write_seconds(
    chip: Chip, gradients: Mapping[str, np.ndarray], factors: Mapping[str, tuple[np.ndarray, np.ndarray]],
    rate: float, descent: float,
) -> float:  # fmt: skip
    # One stage after another on a copy of its own, so that no more than one is held twice; the first of a kind compiles.
    total, compiled = 0.0, set()
    for name, bar in chip.crossbars.items():
        key = f"{name}.weight"
        for _ in range(1 if type(bar) in compiled else 2):
            tried, start = copy.deepcopy(bar), time.perf_counter()
            if key in factors:
                tried.descend(*factors[key], descent)
            else:
                weight = chip.parameters[key]
                tried.write((weight - weight.dtype.type(rate) * gradients[key]).astype(weight.dtype, copy=False))
            took = time.perf_counter() - start
        compiled.add(type(bar))
        total += took
    return total


def _peak() -> int | None:
    # Not getrusage: its figure outlives exec, so a small process started by a large one would report that one's.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
