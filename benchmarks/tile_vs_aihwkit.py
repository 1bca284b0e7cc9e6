"""Reads of one tile, and a step of training by pulses: dbpsim beside aihwkit 1.1.0.

    python benchmarks/tile_vs_aihwkit.py --peer-python .venv-peers-aihwkit/bin/python --out results/tile_vs_aihwkit.json

"forward" is one noisy read of a batch of 128 through 8-bit converters, ranges fitted to each sample: here with the
preset pcm, whose noise is that of every cell (one more matrix product), in aihwkit with one Gaussian of 0.06 an output.

The steps do the same work in both: a square tile of one ReRAM-like cell a weight, batch 128, standard normal inputs and
errors (over 128), float32; forward and backward through 8-bit converters with their ranges fitted to each sample; then one
update by stochastic pulse trains, at most 31 slots, no longer than they must be, learning rate 0.01 of a weight range of
-1 to 1 (about four pulses a cell, most of them in trains of a single slot).  The dense updates have inputs and errors of
plus or minus one and trains of 31 slots in every sample, on with probability 0.3 on either side ("trains") or in every
slot ("all slots").

Cells, in both simulators with the same parameters: HfO2 ReRAM as fitted to Gong et al. 2018 (exponential step, pulses
five times as noisy as large: aihwkit's ReRamESPresetDevice without its write noise, an effect dbpsim does not have) and the
constant step of Gokmen and Vlasov 2016.  Noise of the reads: none here for these cells, 0.06 of an output in aihwkit (its
default).

Each simulator runs in a process of its own; the processes take turns.  aihwkit 1.1.0's wheel works with torch 2.10.0, not with
2.13 (its binary interface has changed: every set_weights fails).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = [  # work, cell, size, bar
    ("forward", "PCM", 256, 2.5),
    ("forward", "PCM", 512, 2.5),
    ("forward + backward + sparse update", "ReRAM", 256, 4.0),
    ("forward + backward + sparse update", "ReRAM", 512, 5.0),
    ("forward + backward + sparse update", "constant step", 256, 4.0),
    ("dense update, trains of 31", "constant step", 256, 20.0),
    ("dense update, trains of 31", "ReRAM", 256, 20.0),
    ("dense update, all 31 slots", "constant step", 256, 20.0),
    ("dense update, all 31 slots", "ReRAM", 256, 20.0),
]
BATCH, SLOTS, RATE, PROBABILITY = 128, 31, 0.01, 0.3


def timed(step: Callable[[], object], least: int, seconds: float) -> list[float]:
    """Return the times of `step` in ms, at least `least` of them and for about `seconds`, after two to warm up."""
    for _ in range(2 if seconds > 0.5 else 1):
        step()
    times: list[float] = []
    while len(times) < least or sum(times) < seconds * 1e3 and len(times) < 200:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def ours() -> dict[str, list[float]]:
    """Return the times of every row with dbpsim."""
    import dbpsim  # noqa: F401  sets the threads' environment before NumPy is loaded

    # isort: split
    import numpy as np

    from dbpsim.crossbar import CrossbarDense, load_hardware

    constant = {
        "law": "constant_step", "polarity": "both", "step_S": 1.0, "step_sigma": 0.3, "step_spread": 0.3,
        "asymmetry_spread": 0.01, "upper_spread": 0.3, "lower_spread": 0.3, "source": "Gokmen and Vlasov 2016, in aihwkit",
    }  # fmt: skip
    random, found = np.random.default_rng(0), {}
    for work, cell, size, _ in ROWS:
        changes: dict[str, Any] = {"device": "reram_hfo2_gong2018", "tile.rows": size, "tile.columns": size}
        changes |= {"update.mode": "stochastic_pulses", "update.managed": "dense" not in work}
        if work == "forward":
            changes = {"tile.rows": size, "tile.columns": size}
        hardware = load_hardware("pcm", changes)
        if cell == "constant step":
            step = 0.0016 / 2 * hardware.device.conductance.span_S
            hardware = load_hardware(hardware, {"device.update": constant | {"step_S": step}, "device.endurance": None})
        start = random.uniform(-0.5, 0.5, (size, size)).astype(np.float32)
        start[0, 0] = 1.0  # the weight that fills the window
        operator = CrossbarDense(start, hardware, "tile", 0)
        a = random.standard_normal((BATCH, size)).astype(np.float32)
        d = (random.standard_normal((BATCH, size)) / BATCH).astype(np.float32)
        rate = RATE
        if "dense" in work:
            a, d = np.sign(a), np.sign(d)
            in_place = operator.tiles.cells.in_place
            rate = SLOTS * in_place.step_weight * (PROBABILITY**2 if "trains" in work else 1e6)

        def step(operator: Any = operator, a: Any = a, d: Any = d, rate: float = rate, work: str = work) -> None:
            if "forward" in work:
                operator.forward(a)
            if "backward" in work:
                operator.transpose(d)
            if "update" in work:
                operator.descend(d, a, rate)

        found[f"{work}|{cell}|{size}"] = timed(step, 5, 1.0)
    return found


def theirs() -> dict[str, list[float]]:
    """Return the times of every row with aihwkit."""
    import torch
    from aihwkit.simulator.configs import SingleRPUConfig
    from aihwkit.simulator.presets.devices import GokmenVlasovPresetDevice, ReRamESPresetDevice
    from aihwkit.simulator.tiles.analog import AnalogTile

    torch.manual_seed(0)
    found = {}
    for work, cell, size, _ in ROWS:
        device = GokmenVlasovPresetDevice() if cell != "ReRAM" else ReRamESPresetDevice(write_noise_std=0.0)
        config = SingleRPUConfig(device=device)
        for io in (config.forward, config.backward):
            io.inp_res = io.out_res = 1 / 254
        a, d, rate = torch.randn(BATCH, size), torch.randn(BATCH, size) / BATCH, RATE
        config.update.desired_bl = SLOTS
        if "dense" in work:
            a, d = a.sign(), d.sign()
            config.update.update_bl_management = config.update.update_management = False
            rate = SLOTS * device.dw_min * (PROBABILITY**2 if "trains" in work else 1e6)
        tile = AnalogTile(size, size, config)
        tile.set_weights(torch.empty(size, size).uniform_(-0.5, 0.5))
        tile.set_learning_rate(rate)

        def step(tile: Any = tile, a: Any = a, d: Any = d, work: str = work) -> None:
            if "forward" in work:
                tile.forward(a)
            if "backward" in work:
                tile.backward(d)
            if "update" in work:
                tile.update(a, d)

        dense = "dense" in work
        found[f"{work}|{cell}|{size}"] = timed(step, 1 if dense else 20, 0.3 if dense else 1.0)
    return found


def main() -> int:
    """Run the contenders in turns and print the table; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="interpreter of the environment that has aihwkit (default: only dbpsim is timed)")
    parser.add_argument("--turns", type=int, default=2, help="processes of each contender")
    parser.add_argument("--out", type=Path, help="write the times and ratios here as JSON; the table beside it as .txt")
    parser.add_argument("--worker", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(ours() if options.worker == "ours" else theirs()))
        return 0
    contenders = {"ours": sys.executable} | ({"theirs": options.peer_python} if options.peer_python else {})
    times: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for _ in range(options.turns):
        for name, python in contenders.items():
            done = subprocess.run([python, __file__, "--worker", name], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                return 2
            for key, values in json.loads(done.stdout.strip().splitlines()[-1]).items():
                times[name].setdefault(key, []).extend(values)
    lines = [f"{'work':<36}{'cell':<15}{'size':>5}{'dbpsim ms':>16}{'aihwkit ms':>18}{'ratio':>14}{'bar':>6}  held"]
    table, held = [], True
    for work, cell, size, bar in ROWS:
        key = f"{work}|{cell}|{size}"
        best = {name: (min(found[key]), statistics.median(found[key])) for name, found in times.items()}
        row: dict[str, Any] = {"work": work, "cell": cell, "size": size, "bar": bar, "ours_ms": best["ours"]}
        line = f"{work:<36}{cell:<15}{size:>5}{best['ours'][0]:>8.2f}{best['ours'][1]:>8.2f}"
        if "theirs" in best:
            ratios = tuple(t / o for t, o in zip(best["theirs"], best["ours"], strict=True))
            row |= {"theirs_ms": best["theirs"], "ratio": ratios, "held": ratios[0] >= bar}
            held &= ratios[0] >= bar
            line += f"{best['theirs'][0]:>9.2f}{best['theirs'][1]:>9.2f}{ratios[0]:>7.1f}{ratios[1]:>7.1f}{bar:>6.1f}"
            line += f"  {'yes' if ratios[0] >= bar else 'NO'}"
        table.append(row)
        lines.append(line)
    lines.append("each figure by the minimum over all steps, then by the median")
    print("\n".join(lines))
    if options.out:
        options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        options.out.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
