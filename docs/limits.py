#!/usr/bin/env python3
"""Write docs/limits.md and docs/figures/limits.png: `python3 docs/limits.py` (needs dbpsim installed)."""

from __future__ import annotations

import math
from pathlib import Path

import dbpsim as dbp
from dbpsim.cost import limits, load_components
from dbpsim.cost.machines import Machine, published_machines
from dbpsim.cost.quantities import quantity
from dbpsim.report.figures import drawn, png
from dbpsim.report.limit_figures import draw_limits

PAGE = Path(__file__).with_name("limits.md")
FIGURE = PAGE.parent / "figures" / "limits.png"

PARTS, HARDWARE = load_components(), dbp.load_hardware("ecram")
BITS, ROWS, CELL_S, RMS_V, TAU_s = 8, HARDWARE.tile.rows, 1e-6, 0.1, HARDWARE.clock.tau_s
PERIOD_s, FULL_V = HARDWARE.clock.period_s, HARDWARE.read.v_read_V
DEPTHS, RESOLUTIONS = (1, 2, 4, 8, 16), (4, 6, 8, 10)
MODES = ("dyadic-free", "dyadic-clocked", "analog-bp")
NETWORK = "mlp:256-256-256-256-10"

_INTRO = f"""# What physics allows

Written by `python3 docs/limits.py` from `dbpsim/cost/limits.py` (every formula with its source, in its docstring), held by
`tests/cost/test_limits.py`: against other solvers, our own circuits, and with units carried through every formula.

The point at which numbers are given: component library `{PARTS.name}`, arrays of {ROWS} rows of {quantity(CELL_S, "S")},
{quantity(RMS_V, "V")} rms of {quantity(FULL_V, "V")} full scale, tau = {quantity(TAU_s, "s")}, reads of
{quantity(PERIOD_s, "s")}, {BITS} bits, 300 K."""

_FULL_SCALE = """Two references, a factor of the rows apart: a line read to 2^-B of its *full scale* (all cells conduct
alike) may take 2 kT SNR in all, shared by its rows; read to 2^-B of the *rms of a sum of random signs*, which is what a layer
computes, every multiplication takes that. SNR = 1.5 x 4^B. A machine between the two lines is not in conflict with physics, it
resolves its full scale."""

_THERMAL = """What our own tables spend in the cells (both directions) and the resolution that thermal noise leaves a sum at
most for it, of the sum's rms and of full scale. A free-running circuit is read as it stands: its noise is averaged over
2 tau, however long it was on, so most of its array energy buys settling and none of it resolution. So "8 bits", to which
these modes are said to settle, are bits of full scale; of the rms of a sum the cells' own noise leaves fewer. A gradient's sum
over a batch gains half a bit for each doubling of the batch. Larger conductances or voltages buy more, at a factor of four
a bit."""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _formulas() -> list[str]:
    rows = [*_noise(), *_amplifiers(), *_wires(), *_least()]
    return ["## Formulas", "", *_table(("", "", "here"), rows)]


def _noise() -> list[tuple[str, ...]]:
    held, swing, line_S = PARTS.neuron.capacitance_F, PARTS.neuron.swing_V, ROWS * CELL_S
    thermal, pole = limits.thermal_current_A(line_S, PERIOD_s), limits.one_pole_thermal_current_A(line_S, TAU_s)
    shot, diffusive = (limits.shot_current_A(line_S * RMS_V, PERIOD_s, fano) / thermal for fano in (1, 1 / 3))
    seen = (line_S * RMS_V / thermal) ** 2
    full, of_rms = limits.bits_of(seen), limits.bits_of(seen / ROWS)
    least = [quantity(limits.least_capacitance_F(bits, swing), "F") for bits in (BITS, 10)]
    return [
        ("noise of a state", "sqrt(kT / C)", f"{quantity(limits.sampled_noise_V(held), 'V')} on {quantity(held, 'F')}"),
        ("capacitor of a state", "12 kT 4^B / V^2", f"{least[0]}; {least[1]} for 10 bits"),
        ("thermal noise of a line", "sqrt(4 kT G / (2 T))",
         f"{quantity(thermal, 'A')}: {full:.1f} bits of all cells at {quantity(RMS_V, 'V')}, "
         f"{of_rms:.1f} of a sum of random signs"),
        ("the same through a pole", "sqrt(4 kT G / (4 tau))", quantity(pole, "A")),
        ("shot noise", "sqrt(2 q I F / (2 T))", f"{shot:.2f} of the thermal at F = 1, {diffusive:.2f} at F = 1/3"),
        ("1/f noise", "sqrt(A ln(f_h / f_l))", f"{limits.flicker_share(1e-6, 1e7, 1):.2%}: A = 1e-6 (assumed), 1 Hz to 10 MHz"),
    ]  # fmt: skip


def _amplifiers() -> list[tuple[str, ...]]:
    part, swing, line_S = PARTS.amplifier, PARTS.neuron.swing_V, ROWS * CELL_S
    currents = (line_S * FULL_V, 4 * math.sqrt(ROWS) * CELL_S * RMS_V)  # full scale; four times the rms of a sum
    betas = (part.feedback_factor, *(limits.feedback_factor(current / swing, line_S) for current in currents))
    joules = [
        quantity(limits.amplifier_energy_J(part.settled_bits, part.supply_V, part.load_F, beta, part.gm_over_id_per_V), "J")
        for beta in betas
    ]
    width = quantity(1 / (2 * math.pi * part.feedback_factor * TAU_s / 10), "Hz")
    settled = (part.settled_bits + 1) * math.log(2)
    return [
        ("feedback factor", "G_f / (G_f + sum G)",
         f"{betas[1]:.2f} if full scale fills {quantity(swing, 'V')}, {betas[2]:.3f} if four times the rms of a sum does; "
         f"the library assumes {betas[0]:g}"),
        ("error of a finite gain", "1 / (A beta)", f"half a step of {BITS} bits from A = {2 ** (BITS + 1) / betas[0]:.0f}"),
        ("amplifier settles", "(B + 1) ln 2 / (2 pi GBW beta) + slewing", f"{settled:.2f} time constants; {width} for tau / 10"),
        ("amplifier's energy", "2 k Vdd C (B + 1) ln 2 / (beta gm/Id)",
         f"{joules[0]}; at the feedback factors above {joules[1]} and {joules[2]}"),
        ("transconductance", "gm/Id <= q / kT", f"{limits.most_gm_over_id_per_V():.1f} /V; assumed {part.gm_over_id_per_V:g}"),
    ]  # fmt: skip


def _wires() -> list[tuple[str, ...]]:
    wire_ohm, cell_F = 760 / 256, 32e-15 / 256  # 22 nm: reference/physics.md 8
    small, large = (limits.voltage_drop_share(wire_ohm, cell_S, ROWS) for cell_S in (CELL_S, 10 * CELL_S))
    delay = quantity(limits.line_delay_s(wire_ohm, cell_F, ROWS), "s")
    lost = f"{small:.1%}; {large:.0%} with cells of {quantity(10 * CELL_S, 'S')} (valid below 20 %: solve the mesh)"
    return [
        ("delay of a line", "r c n (n + 1) / 2", f"{delay} in 22 nm wires"),
        ("voltage lost on a line", "r G n (n + 1) / 2", lost),
    ]


def _least() -> list[tuple[str, ...]]:
    line, conversion, digital = (
        quantity(least(BITS), "J") for least in (limits.column_energy_J, limits.converter_energy_J, limits.erasing_energy_J)
    )
    return [
        ("a line's energy", "2 kT SNR", f"{line}, whatever its length"),
        ("a conversion", "8 kT SNR", f"{conversion}; the library's takes {quantity(PARTS.adc.energy_J(BITS), 'J')}"),
        ("digital", "B^2 kT ln 2", f"{digital}; int8 in 45 nm takes 230 fJ"),
    ]


def _settling() -> list[str]:
    rows = []
    for depth in DEPTHS:
        free = [limits.settling_time_s(depth, bits, 1.0) for bits in RESOLUTIONS]
        clocked = limits.clocked_settling_time_s(depth, BITS, 1.0)
        ratio = clocked / free[RESOLUTIONS.index(BITS)]
        rows.append((str(depth), *(f"{t:.1f}" for t in free), f"{clocked:.1f}", f"{ratio:.2f}"))
    head = ("stages L", *(f"{bits} bits" for bits in RESOLUTIONS), f"clocked, {BITS} bits", "clocked / free")
    four = quantity(limits.settling_time_s(4, BITS, TAU_s), "s")
    text = f"""In units of tau: free-running, Q(2L, t / tau) = 2^-(B+1), the tail of 2L first-order lags one after another;
clocked, each held until it has settled, 2 L (B + 1) ln 2. L = 4 at {BITS} bits takes {four} at tau = {quantity(TAU_s, "s")}. Our
own rectifier networks settle 0 to 20 % sooner than the law, tanh 10 to 30 % (tests). Faster is not cheaper: free-running
keeps every array on for the whole time, a gated clock for two reads."""
    return ["## How long a network settles", "", text, "", *_table(head, rows)]


def _energies() -> list[str]:
    resolutions = (4, 6, 8, 10, 12)
    by_bits = {bits: limits.physical_limits(bits, ROWS) for bits in resolutions}
    rows = [
        (limit.name, *(quantity(by_bits[bits][place].energy_J, "J") for bits in resolutions), limit.text)
        for place, limit in enumerate(by_bits[BITS])
    ]
    return [
        "## The least energy of a multiply-accumulate", "", _FULL_SCALE, "",
        *_table(("", *(f"{bits} bits" for bits in resolutions), ""), rows),
    ]  # fmt: skip


def _ours() -> tuple[list[Machine], list[str]]:
    comparison = dbp.compare(dbp.models.by_name(NETWORK), hardware=HARDWARE, modes=MODES)
    machines, rows = [], []
    for row in comparison.rows:
        table = row.table
        used = math.fsum(line.energy_J for line in table.lines if line.phase != "update" and line.component != "dram")
        each = used / (table.operations / 2)
        machines.append(Machine(f"dbpsim: {row.name}", "dbpsim", BITS, each, "docs/limits.py"))
        cells_J = table.by_component["array"] / (table.operations / 2)
        averaged = 2 * TAU_s / table.read_s if row.name == "dyadic-free" else 1.0
        bits = limits.thermal_bits(cells_J * averaged)
        of_full = bits + math.log2(ROWS) / 2
        rows.append((row.name, *(quantity(x, "J") for x in (each, cells_J, cells_J * averaged)), f"{bits:.1f}", f"{of_full:.1f}"))
    head = ("mode", "a multiply-accumulate", "its cells", "of it within the averaging", "bits of the rms", "bits of full scale")
    said = f"{NETWORK} on `{HARDWARE.name}`, without updates and DRAM, as published machines count. {_THERMAL}"
    return machines, ["## Where our own tables stand", "", said, "", *_table(head, rows)]


def _published() -> list[str]:
    rows, sources = [], {}
    for machine in published_machines():
        full, rms = (limit.energy_J for limit in limits.physical_limits(machine.bits, ROWS)[:2])
        of = (f"{machine.energy_J / rms:,.0f}", f"{machine.energy_J / full:,.0f}") if machine.kind != "digital" else ("", "")
        rows.append((machine.name, machine.kind, f"{machine.bits:g}", quantity(machine.energy_J, "J"), *of))
        sources[machine.name] = machine.source
    head = ("machine", "", "bits", "a multiply-accumulate", "times the array limit, rms", "full scale")
    text = f"1 multiply-accumulate = 2 operations. Limits for {ROWS} rows, whatever the machine's own."
    said = [f"- {name}: {source}." for name, source in sources.items()]
    image = "![Energy of a multiply-accumulate over resolution, limits as lines, machines as points](figures/limits.png)"
    return ["## Where machines stand", "", text, "", image, "", *_table(head, rows), "", *said]


def page() -> tuple[str, list[Machine]]:
    """Return the page, and our own points for the figure."""
    machines, ours = _ours()
    parts = (_INTRO.splitlines(), _formulas(), _settling(), _energies(), _published(), ours)
    return "\n".join(line for part in parts for line in (*part, "")), machines


if __name__ == "__main__":
    text, found = page()
    PAGE.write_text(text, encoding="utf-8")
    FIGURE.write_bytes(png(drawn(draw_limits, (*published_machines(), *found), ROWS, size=(6.4, 5.4))))
