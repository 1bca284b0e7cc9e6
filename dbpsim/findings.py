"""From the figures of a rehearsal (`dbpsim.check`) to warnings: where, what was found, where the limit lies, what helps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dbpsim.crossbar.hardware import Hardware

_SLOWER = "lower the rate, warm up, or normalise"


@dataclass(frozen=True)
class Limits:
    """Above which figure a warning is given; all of them are choices.

    Attributes
    ----------
    saturated : float
        A conversion out of a hundred beyond the range is an outlier; more cut the activations themselves.
    lost_forward, lost_back : float
        More zeros than numbers come out.
    silent : float
        Half of a layer does not take part.  Rectifiers as initialised are silent for a batch in some per cent of the units.
    clipped : float
        Gaussian weights cut where a fifth of them is beyond err by 28 % of their root mean square.
    error : float
        Weights held with a quarter of their own size as error; the worst preset has 0.18 on VGG9.
    step : float
        A pulse worth a quarter of a weight: some ten values in all.  Digits on ReRAM at 0.34: 0.85 right, 0.93 at 0.007.
    step_summed : float
        The same where a controller or a second array sums up what is less than a pulse: a weight is a pulse.
    update : float
        A step of training as large as the weights.
    cut : float
        Ten times what a pulse train can hold; less is gradient clipping, and trained best.
    overshoot : float
        Loss of the batch after a step over that before.  Digits, VGG9 and small networks: runs above lost their first epoch, or
        never learnt, or diverged; a VGG9 at 1.03 went on as at lower rates.
    misalignment : float
        At 1 - cos = 0.75 a step goes down by a quarter of what it should.  Errors that are fresh at each step average out, as a
        batch's do, and training makes up for those that stay: PCM at 0.6 still trains.
    """

    saturated: float = 0.01
    lost_forward: float = 0.5
    lost_back: float = 0.5
    silent: float = 0.5
    clipped: float = 0.2
    error: float = 0.25
    step: float = 0.25
    step_summed: float = 1.0
    update: float = 1.0
    cut: float = 10.0
    overshoot: float = 1.25
    misalignment: float = 0.75


@dataclass(frozen=True)
class StageCheck:
    """The figures of one weight stage.

    Attributes
    ----------
    saturated, lost_forward, lost_back, silent, clipped : float
        Shares, 0 to 1.
    weight : float
        Root mean square of the weights wanted.
    error : float
        Root mean square of held - wanted, over `weight`.
    step : float or None
        Weight that a pulse is worth; None where cells are programmed, not pulsed.
    update : float
        Root mean square of a step of training.
    misalignment : float
        1 - cos against backpropagation with the weights wanted.
    misalignment_held : float
        The same of backpropagation with the weights held, through exact reads.
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
    error: float
    step: float | None
    update: float
    misalignment: float
    misalignment_held: float
    zero: bool

    def relative(self, change: float) -> float:
        """Return `change` over the root mean square weight; 0 where all weights are zero, which is no scale."""
        return change / self.weight if self.weight else 0.0


@dataclass(frozen=True)
class Rehearsal:
    """What a step on the chip and one on the digital network showed.

    Attributes
    ----------
    silent, silent_digitally : mapping of stage to share of silent units
    nonzero : mapping of weight stage to whether its digital gradient is not zero throughout
    parents : mapping of stage to its parents, without the input
    aged : bool
        Whether time has passed since the cells were programmed.
    losses : (before, after) the step
    uncalibrated : weight stages whose calibrated ranges no batch has set yet
    """

    hardware: Hardware
    rows: tuple[StageCheck, ...]
    silent: Mapping[str, float]
    silent_digitally: Mapping[str, float]
    nonzero: Mapping[str, bool]
    parents: Mapping[str, tuple[str, ...]]
    aged: bool
    losses: tuple[float, float]
    uncalibrated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, what (a figure beyond its limit), in words, and what helps."""

    stage: str
    kind: str
    figure: float
    limit: float
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.found}; {self.remedy}."


def summary(warnings: Iterable[Finding]) -> list[str]:
    """Return the warnings in words: those of one kind and remedy in one line, with the figure of the worst.

    Examples
    --------
    >>> summary([Finding(name, "clipped", 0.2, 0.1, "too many", "less") for name in "ab"])
    ['a (and b): too many; less.']
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in warnings:
        groups.setdefault((finding.kind, finding.remedy), []).append(finding)
    lines = []
    for same in groups.values():
        worst = max(same, key=lambda finding: finding.figure)
        others = ", ".join(finding.stage for finding in same if finding is not worst)
        lines.append(f"{worst.stage}{f' (and {others})' if others else ''}: {worst.found}; {worst.remedy}.")
    return lines


def findings(seen: Rehearsal, limits: Limits) -> list[Finding]:
    """Return what exceeds its limit: of the network, then stage by stage, in the order of the stages."""
    return [*_of_network(seen, limits), *(finding for row in seen.rows for finding in _of_stage(seen, row, limits))]


def _of_network(seen: Rehearsal, limits: Limits) -> Iterator[Finding]:
    before, after = seen.losses
    if not after <= limits.overshoot * before and not seen.hardware.update.mode.startswith("tiki_taka"):  # A steps there, not W
        text = f"the first step takes the loss from {before:.3g} to {after:.3g}"
        yield Finding("network", "overshoot", after / before if before else after, limits.overshoot, text, _SLOWER)


def _of_stage(seen: Rehearsal, row: StageCheck, limits: Limits) -> Iterator[Finding]:
    finer = _finer(seen.hardware)
    if row.zero:
        yield Finding(row.stage, "zero gradient", 1.0, 0.0, *_why_zero(seen, row))
    if row.stage in seen.uncalibrated:
        text = "no batch has set its calibrated ranges: each sample has its own until then"
        yield Finding(row.stage, "uncalibrated", 1.0, 0.0, text, "call Chip.calibrate_ranges before training")
    if row.saturated > limits.saturated:
        calibrated = seen.hardware.adc.mode(False) == "calibrated"
        yield Finding(
            row.stage, "saturated", row.saturated, limits.saturated,
            f"{row.saturated:.1%} of the forward conversions are beyond a {'calibrated' if calibrated else 'fixed'} range",
            "calibrate ranges anew, or raise their percentile" if calibrated
            else 'raise dac.limit and adc.limit, or set their range = "sample"',
        )  # fmt: skip
    if row.lost_forward > limits.lost_forward:
        text = f"{row.lost_forward:.1%} of the forward results are below half a step of a converter and come out as zeros"
        yield Finding(row.stage, "lost", row.lost_forward, limits.lost_forward, text, finer)
    if row.lost_back > limits.lost_back:
        text = f"{row.lost_back:.1%} of the stress is below half a step of a converter and goes back as exact zeros"
        yield Finding(row.stage, "stress lost", row.lost_back, limits.lost_back, text, _finer(seen.hardware, transposed=True))
    if row.silent > limits.silent:
        digitally = seen.silent_digitally[row.stage]
        text = f"{row.silent:.0%} of the units are zero for the whole batch ({digitally:.0%} on the digital network)"
        remedy = "initialise anew, or normalise" if digitally > limits.silent else finer
        yield Finding(row.stage, "dead", row.silent, limits.silent, text, remedy)
    yield from _weights(seen, row, limits)
    yield from _steps(seen, row, limits)
    if not row.zero and row.misalignment > limits.misalignment:
        weights = row.misalignment_held > 0.5 * row.misalignment
        text = f"the gradient is off: 1 - cos = {row.misalignment:.2f}, {row.misalignment_held:.2f} by the weights alone"
        remedy = _better_weights(seen) if weights else _better_reads(seen.hardware)
        yield Finding(row.stage, "misaligned", row.misalignment, limits.misalignment, text, remedy)


def _weights(seen: Rehearsal, row: StageCheck, limits: Limits) -> Iterator[Finding]:
    headroom = seen.hardware.mapping.headroom
    if row.clipped > limits.clipped:
        yield Finding(
            row.stage, "clipped", row.clipped, limits.clipped, f"{row.clipped:.1%} of the weights do not fit into the window",
            f"raise mapping.headroom (now {headroom:g})",
        )  # fmt: skip
    elif row.error > limits.error:
        text = f"the weights that reads see miss those wanted by {row.error:.0%} of their size"
        yield Finding(row.stage, "inexact", row.error, limits.error, text, _better_weights(seen))


def _steps(seen: Rehearsal, row: StageCheck, limits: Limits) -> Iterator[Finding]:
    scheme = seen.hardware.update
    limit = limits.step if scheme.mode == "stochastic_pulses" else limits.step_summed
    if row.step is not None and row.relative(row.step) > limit:
        yield Finding(
            row.stage, "coarse", row.relative(row.step), limit,
            f"a pulse changes a weight by {row.step:.2g}, the weights are {row.weight:.2g}",
            f"cells with more steps, less mapping.headroom (now {seen.hardware.mapping.headroom:g}), or another update.mode",
        )  # fmt: skip
    if scheme.mode.startswith("tiki_taka"):
        return  # what a step of training moves is not the weights
    if row.relative(row.update) > limits.update:
        yield Finding(
            row.stage, "large update", row.relative(row.update), limits.update,
            f"a step of training changes a weight by {row.update:.2g}, the weights are {row.weight:.2g}",
            _SLOWER,
        )  # fmt: skip
    if scheme.in_place and row.step is not None and row.update > limits.cut * scheme.bit_length * row.step:
        yield Finding(
            row.stage, "cut", row.update / (scheme.bit_length * row.step), limits.cut,
            f"a step of training is {row.update / row.step:.3g} pulses, a train has {scheme.bit_length} slots",
            "lower the rate, or raise update.bit_length",
        )  # fmt: skip


def _better_weights(seen: Rehearsal) -> str:
    headroom = seen.hardware.mapping.headroom
    remedy = "more slices, or better cells (programming error, faults)"
    if headroom > 1:
        remedy = f"a smaller mapping.headroom (now {headroom:g}), {remedy}"
    if seen.hardware.wired:
        remedy = f"smaller tiles or wires of less resistance (effects.wires = false shows how much is theirs), {remedy}"
    return f"write anew or wait with compensation, since the cells have aged, {remedy}" if seen.aged else remedy


def _better_reads(hardware: Hardware) -> str:
    remedies = ["raise adc.bits and dac.bits"] if hardware.adc.levels or hardware.dac.levels else []
    if hardware.noisy:
        remedies.append("take cells of less read noise, or a longer clock period")
    if hardware.output_noise:
        remedies.append("lower read.output_noise")
    return ", ".join(remedies) or "look at the layers that are silent"


def _finer(hardware: Hardware, transposed: bool = False) -> str:
    if transposed and hardware.dac.fixed(True):
        return 'set transposed_range = "sample" in dac and adc'
    if hardware.dac.mode(transposed) == "calibrated":
        return "calibrate ranges anew, lower their percentile, or raise bits"
    if not transposed and hardware.dac.fixed(False):
        return 'lower dac.limit and adc.limit, set their range = "sample", or raise their bits'
    return 'raise adc.bits, or set links = "analog"'


def _why_zero(seen: Rehearsal, row: StageCheck) -> tuple[str, str]:
    # (what was found, remedy): whether the input, the gate or the stress is missing, and which read lost it.
    if not seen.nonzero[row.stage]:
        remedy = "look at the data, or initialise anew: no input or no stress reaches it"
        return "the gradient is exactly zero, on the digital network as well", remedy
    text = "the gradient is exactly zero: "
    finer = _finer(seen.hardware)
    for parent in seen.parents[row.stage]:
        if seen.silent[parent] == 1.0:
            return f"{text}its input, what {parent} sends, is all zeros", finer
    if seen.silent[row.stage] == 1.0:
        return f"{text}all its units are silent, no gate is open", finer
    children = [stage for stage, parents in seen.parents.items() if row.stage in parents]
    return f"{text}no stress comes back to it from {', '.join(children)}", _finer(seen.hardware, transposed=True)
