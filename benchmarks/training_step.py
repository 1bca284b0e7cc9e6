"""Where the time of a training step of the fast recipe goes: data, gradient by stage and layer, optimiser; peak memory.

    python benchmarks/training_step.py --data cifar10-jpeg.zip --steps 3

Whole steps of batch 2000 in micro-batches, as `dbpsim train vgg9_fast --recipe fast --batch 2000` makes them; then one
micro-batch with every layer timed by itself.  Without `--data` the embedded digits are shown again and again: times are the same.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import replace

import dbpsim as dbp

# isort: split
import numpy as np

from dbpsim.network.graph import Network
from dbpsim.training.journal import Journal
from dbpsim.training.recipes import fast
from dbpsim.training.state import State
from dbpsim.training.step import take_step

BATCH = 2000


def shares(network: Network, sets: tuple, config: dbp.TrainingConfig, steps: int) -> dict[str, list[float]]:
    """Return the seconds of every step's parts, after one step to compile and warm up."""
    state = State({name: np.zeros_like(value) for name, value in network.parameters.items()}, {})
    seconds = defaultdict(list)
    for number in range(steps + 1):
        start = time.perf_counter()
        x, y = next(sets[0].batches(BATCH, seed=number, augment=config.augment))
        data = time.perf_counter() - start
        before = dict(state.sums)
        take_step(network, x, y, config, steps + 1, state, Journal(None))
        whole, update = (state.sums[name] - before[name] for name in ("seconds", "update_s"))
        if number:
            for name, value in (("data", data), ("gradient", whole - update), ("optimiser", update)):
                seconds[name].append(value)
    return seconds


def layers(network: Network, x: np.ndarray, y: np.ndarray, repetitions: int) -> list[tuple[str, float, float, float]]:
    """Return name, forward, backward and gradient seconds of every layer: the least of `repetitions` passes."""
    found: dict[str, list[float]] = defaultdict(lambda: [np.inf] * 3)

    def timed(name: str, place: int, call, *arguments):  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        result = call(*arguments)
        found[name][place] = min(found[name][place], time.perf_counter() - start)
        return result

    for _ in range(repetitions):
        a, passed = x, []
        for stage in network.stages:
            for layer in stage.layers:
                name = f"{stage.name} {type(layer).__name__}"
                a, memory = timed(name, 0, layer.forward, a, True)
                passed.append((name, layer, memory))
        d = network.loss.gradient(a, y)
        for name, layer, memory in reversed(passed):
            if layer.parameters:
                timed(name, 2, layer.gradients, memory, d)
            if layer is not passed[0][1]:
                d = timed(name, 1, layer.pullback, memory, d)
    return [(name, *(0.0 if t == np.inf else t for t in times)) for name, times in found.items()]


def main() -> int:
    """Print both tables; return the exit code."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", default="digits")
    options.add_argument("--steps", type=int, default=3)
    options.add_argument("--method", choices=("bp", "relax"), default="bp")
    chosen = options.parse_args()
    sets = dbp.datasets.load(chosen.data)
    if len(sets[0]) < BATCH:
        again = -(-BATCH // len(sets[0]))
        images, labels = np.tile(sets[0].images, (again, 1, 1, 1)), np.tile(sets[0].labels, again)
        sets = (replace(sets[0], images=images, labels=labels), sets[1])
    network = dbp.models.vgg9_fast()
    config = fast(network, sets[0], method=chosen.method, batch=BATCH)
    seconds = shares(network, sets, config, chosen.steps)
    whole = sum(min(times) for times in seconds.values())
    parts = f"micro-batches of {config.micro_batch}, {chosen.steps} steps, minimum (median)"
    print(f"vgg9_fast, {chosen.method}, batch {BATCH} in {parts}")
    for name, times in seconds.items():
        least, middle = min(times), statistics.median(times)
        print(f"{name:12}{1e3 * least:9.1f} ms ({1e3 * middle:.1f}){least / whole:9.2%} of a step")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{BATCH / whole:.0f} images/s; peak memory {peak:.2f} GiB\n")
    size = config.micro_batch or BATCH
    x, y = next(sets[0].batches(size, seed=0, augment=config.augment))
    rows = layers(network, x, y, chosen.steps)
    total = sum(sum(row[1:]) for row in rows)
    print(f"{'layer, ms for ' + str(size) + ' images':32}{'forward':>9}{'backward':>10}{'gradient':>10}{'share':>8}")
    for name, *times in rows:
        print(f"{name:32}{1e3 * times[0]:9.1f}{1e3 * times[1]:10.1f}{1e3 * times[2]:10.1f}{sum(times) / total:8.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
