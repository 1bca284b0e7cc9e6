"""Training steps of VGG9 on noisy tiles: dbpsim beside aihwkit 1.1.0, on all cores, in one run.

    python benchmarks/vgg9_chip_vs_aihwkit.py --peer-python .venv-peers-aihwkit/bin/python --out results/vgg9_chip_vs_aihwkit.json

The same network in both: six 3x3 convolutions of 64 to 256 channels with batch normalisation, three dense layers, 32 x 32 x 3
images, cross-entropy, float32 (`dbpsim.models.vgg9(normalise=True)`).  A step is forward, backward, the gradient and the update.

"hardware-aware": forward reads are noisy (preset pcm: noise of every cell, 8-bit converters with the ranges of each sample), the
way back is exact arithmetic on the weights held, the update is exact, then written; in aihwkit an InferenceRPUConfig, whose
forward is noisy through 8-bit converters and whose backward is, as there by default, perfect.  "noisy back too": the same with
stress sent through noisy cells and converters, which aihwkit's row does not do.
"pulsed": reads through 8-bit converters and stochastic pulse trains of at most 31 slots on every cell; HfO2 ReRAM of Gong
et al. 2018 in both (aihwkit's ReRamESPreset), and PCM: here the preset's cells, in aihwkit its PCMPreset.

Each simulator runs in a process of its own; the processes take turns.
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

ROWS = [
    ("hardware-aware step", "PCM", 4.0), ("hardware-aware step, noisy back too", "PCM", None),
    ("pulsed step", "ReRAM", 4.0), ("pulsed step", "PCM", 4.0),
]  # fmt: skip
RATE = 0.01


def timed(step: Callable[[], object], steps: int) -> list[float]:
    """Return the times of `step` in ms, after one to warm up."""
    step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def ours(batch: int, steps: int) -> dict[str, list[float]]:
    """Return the times of every row with dbpsim."""
    import dbpsim as dbp

    # isort: split
    import numpy as np

    random, found = np.random.default_rng(0), {}
    x, y = random.standard_normal((batch, 32, 32, 3)).astype(np.float32), random.integers(0, 10, batch)
    changes = {
        "hardware-aware step|PCM": {"update.mode": "ideal", "mapping.transpose": "digital"},
        "hardware-aware step, noisy back too|PCM": {"update.mode": "ideal"},
        "pulsed step|ReRAM": {"update.mode": "stochastic_pulses", "device": "reram_hfo2_gong2018"},
        "pulsed step|PCM": {"update.mode": "stochastic_pulses"},
    }
    for key, change in changes.items():
        chip = dbp.Chip.program(dbp.models.vgg9(normalise=True, seed=0), dbp.load_hardware("pcm", change), seed=0)

        def step(chip: Any = chip, pulsed: bool = key.startswith("pulsed")) -> None:
            run = dbp.backprop(chip, x, y)
            factors = chip.take_factors()
            for name, gradient in run.gradients.items():
                if name.removesuffix(".weight") not in factors:
                    chip.parameters[name] -= RATE * gradient
            chip.descend(factors, RATE)
            if not pulsed:
                chip.write()

        found[key] = timed(step, steps)
    return found


def theirs(batch: int, steps: int) -> dict[str, list[float]]:
    """Return the times of every row with aihwkit."""
    import torch
    from aihwkit.nn.conversion import convert_to_analog
    from aihwkit.optim import AnalogSGD
    from aihwkit.simulator.configs import InferenceRPUConfig
    from aihwkit.simulator.presets import PCMPreset, ReRamESPreset
    from torch import nn

    torch.manual_seed(0)
    x, y, found = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,)), {}
    inference = InferenceRPUConfig()
    inference.forward.out_noise = 0.06
    configs = {"hardware-aware step|PCM": inference, "pulsed step|ReRAM": ReRamESPreset(), "pulsed step|PCM": PCMPreset()}
    for key, config in configs.items():
        layers: list[Any] = []
        channels = 3
        for number, width in enumerate((64, 64, 128, 128, 256, 256), 1):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if number % 2 == 0 else []
            channels = width
        layers += [nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)]
        model = convert_to_analog(nn.Sequential(*layers), config)
        model.train()
        optimiser = AnalogSGD(model.parameters(), lr=RATE)
        optimiser.regroup_param_groups(model)

        def step(model: Any = model, optimiser: Any = optimiser) -> None:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()

        found[key] = timed(step, max(1, steps // 2))
    return found


def main() -> int:
    """Run the contenders in turns and print the table; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="interpreter of the environment that has aihwkit (default: only dbpsim is timed)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="timed steps of a process (the peer makes half as many)")
    parser.add_argument("--turns", type=int, default=4, help="processes of each contender")
    parser.add_argument("--out", type=Path, help="write the times and ratios here as JSON; the table beside it as .txt")
    parser.add_argument("--worker", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps((ours if options.worker == "ours" else theirs)(options.batch, options.steps)))
        return 0
    contenders = {"ours": sys.executable} | ({"theirs": options.peer_python} if options.peer_python else {})
    times: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for _ in range(options.turns):
        for name, python in contenders.items():
            command = [python, __file__, "--worker", name, "--batch", str(options.batch), "--steps", str(options.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                return 2
            for key, values in json.loads(done.stdout.strip().splitlines()[-1]).items():
                times[name].setdefault(key, []).extend(values)
    return report(times, options.batch, options.out)


def report(times: dict[str, dict[str, list[float]]], batch: int, out: Path | None) -> int:
    """Print the table, write it where asked, and return 1 where a bar is missed."""
    title = f"work, batch {batch}"
    lines = [f"{title:<36}{'cell':<8}{'dbpsim img/s':>14}{'aihwkit img/s':>15}{'ratio':>14}{'bar':>6}  held"]
    table, held = [], True
    for work, cell, bar in ROWS:
        key = f"{work}|{cell}"
        own = {name: found.get(key, found.get(f"{work.split(',')[0]}|{cell}", [])) for name, found in times.items()}
        best = {name: (min(values), statistics.median(values)) for name, values in own.items()}
        row: dict[str, Any] = {"work": work, "cell": cell, "batch": batch, "ours_ms": best["ours"]}
        row |= {} if bar is None else {"bar": bar}
        line = f"{work:<36}{cell:<8}{1e3 * batch / best['ours'][0]:>14.1f}"
        if "theirs" in best:
            ratios = tuple(t / o for t, o in zip(best["theirs"], best["ours"], strict=True))
            row |= {"theirs_ms": best["theirs"], "ratio": ratios}
            line += f"{1e3 * batch / best['theirs'][0]:>15.1f}{ratios[0]:>7.1f}{ratios[1]:>7.1f}"
            if bar is not None:
                row["held"] = ratios[0] >= bar
                held &= ratios[0] >= bar
                line += f"{bar:>6.1f}  {'yes' if ratios[0] >= bar else 'NO'}"
        table.append(row)
        lines.append(line)
    lines.append("images a second by the fastest step; ratios by minimum, then by median")
    print("\n".join(lines))
    if out:
        out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        out.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
