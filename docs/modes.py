#!/usr/bin/env python3
"""Write docs/modes.md and its figure: what a training sample costs by every mode.  `python3 docs/modes.py` (dbpsim installed)."""

from __future__ import annotations

from pathlib import Path

import dbpsim as dbp
from dbpsim.cost.comparison import Comparison
from dbpsim.cost.limits import clocked_settling_time_s, physical_limits, settling_time_s
from dbpsim.cost.quantities import quantity
from dbpsim.report import cost_figures, figures

HERE = Path(__file__).resolve().parent
PULSES = {"update.mode": "stochastic_pulses"}
_DRAWS = 200


def _table(found: Comparison) -> list[str]:
    ranges = found.ranges(_DRAWS)
    lines = [
        "| mode | energy a sample | 5 to 95 % | of it update | latency | area, mm² |",
        "|---|---|---|---|---|---|",
    ]
    for row in found.rows:
        low, _, high = ranges[row.name]
        share = row.table.by_phase["update"] / row.energy_J
        lines.append(
            f"| {row.label} | {quantity(row.energy_J, 'J')} | {quantity(low, 'J')} to {quantity(high, 'J')} | {share:.0%} | "
            f"{quantity(row.latency_s, 's')} | {row.table.total_area_m2 * 1e6:.3g} |"
        )
    return lines


def _reads(found: Comparison, name: str) -> float:
    (row,) = [row for row in found.rows if row.name == name]
    return row.energy_J - row.table.by_phase["update"]


def _total(found: Comparison, name: str) -> float:
    return next(row.energy_J for row in found.rows if row.name == name)


def _depths() -> list[str]:
    lines = ["| depth | free-running | stage after stage | array on: free | gated | energy, free / gated |", "|" + "---|" * 6]
    for depth in (2, 4, 9, 16, 50):
        free, clocked = settling_time_s(depth, 8, 1.0), clocked_settling_time_s(depth, 8, 1.0)
        gated = clocked / depth
        lines.append(f"| {depth} | {free:.1f} tau | {clocked:.1f} tau | {free:.1f} tau | {gated:.1f} tau | {free / gated:.2f} |")
    return lines


def page() -> str:
    """Return the page."""
    vgg, mlp = dbp.models.vgg9(seed=0), dbp.models.mlp(784, 256, 128, 10)
    pcm = dbp.compare(vgg, "pcm")
    ecram = dbp.compare(vgg, "ecram")
    pulsed = dbp.compare(vgg, dbp.load_hardware("ecram", PULSES))
    dense = dbp.compare(mlp, dbp.load_hardware("ecram", PULSES))
    fast = dbp.load_hardware("ecram", {**PULSES, "architecture.replicas": 64, "architecture.pipelined": True})
    copied = dbp.compare(vgg, fast, modes=["dyadic-wavefront"])
    gpu, wave = (pulsed.ranges(_DRAWS)[name] for name in ("digital-gpu", "dyadic-wavefront"))
    say = {
        "gpu_pcm": _total(pcm, "digital-gpu") / _total(pcm, "dyadic-wavefront"),
        "asic_pcm": _total(pcm, "digital-asic") / _total(pcm, "dyadic-wavefront"),
        "gpu_ecram": _total(ecram, "digital-gpu") / _total(ecram, "dyadic-wavefront"),
        "gpu_pulsed": _total(pulsed, "digital-gpu") / _total(pulsed, "dyadic-wavefront"),
        "reads_bp": quantity(_reads(ecram, "analog-bp"), "J"),
        "reads_wave": quantity(_reads(ecram, "dyadic-wavefront"), "J"),
        "reads_ratio": _reads(ecram, "analog-bp") / _reads(ecram, "dyadic-wavefront"),
        "total_ratio": _total(ecram, "analog-bp") / _total(ecram, "dyadic-wavefront"),
        "pulsed_ratio": _total(pulsed, "analog-bp") / _total(pulsed, "dyadic-wavefront"),
        "clock_ratio": _reads(pcm, "dyadic-clocked") / _reads(pcm, "dyadic-wavefront"),
        "free_pulsed": _total(pulsed, "dyadic-free") / _total(pulsed, "dyadic-wavefront"),
        "free_s": quantity(next(r.latency_s for r in pulsed.rows if r.name == "dyadic-free"), "s"),
        "free_settle": quantity(settling_time_s(9, 8, 1e-8), "s"),
        "wave_s": quantity(next(r.latency_s for r in pulsed.rows if r.name == "dyadic-wavefront"), "s"),
        "gpu_s": quantity(_total_s(pulsed, "digital-gpu"), "s"),
        "copied_s": quantity(copied.rows[0].latency_s, "s"),
        "copied_J": quantity(copied.rows[0].energy_J, "J"),
        "copied_area": copied.rows[0].table.total_area_m2 * 1e6,
        "dense_ratio": _total(dense, "dyadic-free") / _total(dense, "dyadic-wavefront"),
        "dense_free_s": quantity(_total_s(dense, "dyadic-free"), "s"),
        "dense_wave_s": quantity(_total_s(dense, "dyadic-wavefront"), "s"),
        "least": gpu[0] / wave[2],
        "most": gpu[2] / wave[0],
    }
    return _TEXT.format(
        pcm="\n".join(_table(pcm)), ecram="\n".join(_table(ecram)), pulsed="\n".join(_table(pulsed)),
        dense="\n".join(_table(dense)),
        depths="\n".join(_depths()), draws=_DRAWS, decisive="\n".join(f"- {words}" for words in pulsed.decisive), **say,
    )  # fmt: skip


def _total_s(found: Comparison, name: str) -> float:
    return next(row.latency_s for row in found.rows if row.name == name)


def _draw(found: Comparison) -> None:
    image = figures.drawn(
        cost_figures.draw_comparison, found, found.ranges(_DRAWS), physical_limits(8, 256), size=(8.6, 4.0)
    )
    image.savefig(HERE / "figures" / "modes.png", dpi=130, metadata={"Software": None})


_TEXT = """# What a training step costs, by every way of doing it

Written by `python3 docs/modes.py`; `dbpsim compare vgg9 --hardware pcm` prints such a table for any network, hardware
and component library. Everything is per training sample, expected from shapes and statistics ([workloads](api.md)
agree with recorded runs within a tenth), with the components of `dbpsim/cost/components/default.toml`, their ranges
carried through by {draws} draws. How far the model itself holds: [validation](validation.md). Conventions: 1
multiply-accumulate = 2 operations; pulses, one a cell and step of 64 samples, are assumed.

## The paper's open question: does it pay?

**Against digital backpropagation, in energy: yes, where the outer product stays in the array.** VGG9 on ECRAM cells
with pulses that meet in the array takes {gpu_pulsed:.0f} times less than a GPU at 40 % of its peak; between the ends
of what its component figures may be, {least:.0f} to {most:.0f} times. With outer products formed digitally the
advantage is {gpu_ecram:.1f} (ECRAM) and {gpu_pcm:.1f} (PCM behind 8-bit converters): what the arrays do not do costs
what it costs an accelerator, and a 45 nm accelerator is within {asic_pcm:.1f} times of the PCM chip.

**Against digital backpropagation, in time: no, for convolutions.** Positions take turns on one array: {wave_s} a
sample against {gpu_s} of a GPU in large batches. With 64 copies of every array and samples in a pipeline it is
{copied_s}, at {copied_J} (every copy has to be written) and {copied_area:.0f} mm².

**Against classical analog backpropagation: the gain is the converters, and only that.** The wavefront of a relaxation
reads the same arrays as often as backpropagation does. With converters at every layer, as on the PCM chip, the two
cost the same to the last digit. With analog links the reads of VGG9 take {reads_wave} instead of {reads_bp},
{reads_ratio:.0f} times less; of the whole step, updates included, {total_ratio:.2f} times (digital products) to
{pulsed_ratio:.1f} times (pulses in the array). And {reads_wave} is less than any designed core has shown, as the
tables warn: 0.15 pJ for an amplifier that settles, with nothing for bias and margin, is optimistic.

**Free-running against clocked: faster, never cheaper.** Everything settles in {free_settle} at depth 9 and 8 bits
with tau = 10 ns, but every array is on all that time, and a convolution needs an array for every position and
direction, all of them to be written: {free_pulsed:.0f} times the energy of the wavefront on VGG9. A dense network
needs no copies: {dense_free_s} against {dense_wave_s}, at {dense_ratio:.2f} times the wavefront's energy. Clocking
all stages at every step (synchronous, what the paper simulates) is the worst of both: {clock_ratio:.0f} times the
reads of the wavefront.

{depths}

(Least times to half a step of 8 bits. Gated: an array is on for its own two reads.)

## VGG9 on ECRAM, pulses in the array

{pulsed}

![Energy of a training sample by mode, with ranges, and what physics asks at least.](figures/modes.png)

{decisive}

## VGG9 on ECRAM, digital outer products

{ecram}

## VGG9 on PCM behind 8-bit converters, digital outer products

{pcm}

## mlp 784-256-128-10 on ECRAM, pulses in the array

{dense}

## What decides it

1. **Where the outer product is formed.** Digital: 1.5 pJ a multiply-accumulate (fp16, 45 nm), a third of digital
   training. In the array: pulses, whose number we assume, and every line charged to 2.2 V for every slot of every
   train, an upper bound.
2. **The pulse.** 1 fJ (ECRAM, projected), 0.7 pJ (TaOx), 0.33 nJ (PCM): one TaOx pulse is some 95 settles of a 1 uS
   weight.
3. **Converters and buffers.** They are most of a read where links are digital; a 64 kB memory for the states is
   assumed, 2 kB would take a ninth.
4. **How long arrays are on**, and at what conductance: 74 fJ a weight at 10 uS, 7.4 at 1 uS (0.1 V rms, tau 10 ns,
   depth 4, free running). A linear driver multiplies it by supply over read voltage.
5. **Utilisation of the digital machine**: 40 % of peak here; small networks reach a few per cent, and then lose by
   ten times more.
6. **Equilibrium propagation** pays for 310 synchronous clocks (250 free, two nudged phases of 30: Laborieux et al.
   2021).

Not in the tables: loading the data set, host and cooling of the digital machines, accuracy. A chip that needs more
epochs than a GPU loses in proportion; what devices do to the gradient is `dbp.fidelity`'s and `dbp.check`'s to say."""


if __name__ == "__main__":
    _draw(dbp.compare(dbp.models.vgg9(seed=0), dbp.load_hardware("ecram", PULSES)))
    (HERE / "modes.md").write_text(page(), encoding="utf-8")
