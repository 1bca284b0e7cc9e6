"""Forward and backward pass of VGG9 on this machine: dbpsim beside PyTorch.

    python benchmarks/vgg9_vs_pytorch.py --peer-python .venv-peers/bin/python --out vgg9.json
    python benchmarks/vgg9_vs_pytorch.py --model vgg9_fast --batch 250 --peer-python .venv-peers/bin/python

Every contender runs in a process of its own with its own environment; the processes take turns, so that
what else the machine does meets all of them.  A step is loss and all parameter gradients of one batch of
32 x 32 x 3 images, float32 unless named otherwise, no optimiser.  Ratios are given by the minimum over
all steps and by the median; where they disagree the machine was busy, the table says so, and neither is a figure to quote.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTENDERS = {  # name -> whether PyTorch runs it
    "dbpsim backprop": False,
    "dbpsim wavefront relaxation": False,
    "dbpsim wavefront, (x, z)": False,
    "dbpsim synchronous relaxation": False,
    "PyTorch NCHW": True,
    "PyTorch channels-last": True,
    "PyTorch channels-last bfloat16": True,
}
REFERENCE = "PyTorch NCHW"
# Without these glibc returns every large buffer to the system and PyTorch runs up to three times slower.
PEER_ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=20000000000"
    ":glibc.malloc.top_pad=200000000:glibc.malloc.hugetlb=1"
}
WARM_UP_STEPS = 3
BUSY = 1.5  # a median this many times the minimum; seen: 1.05 to 1.3 with priority over other work, up to 4 without
HOW_TO_GET_PYTORCH = """Only dbpsim is timed: this interpreter has no PyTorch.  To compare:
    python3 tasks.py bench --peers
"""
SLOW = "dbpsim synchronous relaxation"  # 18 evaluations of the network a step: one step to warm up, two to time


def dbpsim_step(name: str, model: str, batch: int) -> Callable[[], object]:
    """Return a function that does one step with dbpsim."""
    import dbpsim  # noqa: F401  sets the threads' environment before NumPy is loaded

    # isort: split
    import numpy as np

    from dbpsim.credit.backprop import backprop
    from dbpsim.network.models import by_name

    network = by_name(model)
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, 32, 32, 3), dtype=np.float32)
    y = random.integers(0, 10, batch)
    if name == "dbpsim backprop":
        return lambda: backprop(network, x, y)
    from dbpsim.credit.relax import relax

    schedule = "synchronous" if name == SLOW else "wavefront"
    coordinates = "xz" if "(x, z)" in name else "ms"
    return lambda: relax(network, x, y, eta=1.0, schedule=schedule, coordinates=coordinates)


def pytorch_step(name: str, model: str, batch: int) -> Callable[[], object]:
    """Return a function that does one step of the same network with PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(os.cpu_count() or 1)
    layers = pytorch_layers(model)
    kind = torch.bfloat16 if "bfloat16" in name else torch.float32
    order = torch.channels_last if "channels-last" in name else torch.contiguous_format
    module = nn.Sequential(*layers).to(dtype=kind, memory_format=order)
    x = torch.randn(batch, 3, 32, 32).to(dtype=kind, memory_format=order)
    y = torch.randint(0, 10, (batch,))

    def step() -> None:
        module.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(module(x).float(), y).backward()

    return step


def pytorch_layers(model: str) -> list[Any]:
    """Return the layers of `model` as PyTorch modules."""
    from torch import nn

    layers: list[nn.Module] = []
    channels = 3
    if model == "vgg9":
        for number, width in enumerate((64, 64, 128, 128, 256, 256), 1):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
            if number % 2 == 0:
                layers.append(nn.MaxPool2d(2))
        return [*layers, nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)]
    layers, channels = [nn.Conv2d(3, 24, 3, padding=1), nn.ReLU()], 24
    for number, width in enumerate((64, 64, 256, 256, 256, 256, 256), 2):
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
        channels = width
        if number in (2, 4, 6):
            layers.append(nn.MaxPool2d(2))
        norm = nn.BatchNorm2d(width)
        norm.weight.requires_grad = False
        layers += [norm, nn.ReLU()]
    return [*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(256, 10, bias=False)]


def work(name: str, model: str, batch: int, steps: int) -> int:
    """Time `steps` steps of one contender; print the seconds of each as JSON."""
    step = (pytorch_step if CONTENDERS[name] else dbpsim_step)(name, model, batch)
    for _ in range(1 if name == SLOW else WARM_UP_STEPS):
        step()
    seconds = []
    for _ in range(min(steps, 2) if name == SLOW else steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))
    return 0


def run(name: str, options: argparse.Namespace) -> list[float]:
    """Return the seconds per step of one contender, measured in a fresh process."""
    python = options.peer_python if CONTENDERS[name] else sys.executable
    root = str(Path(__file__).resolve().parent.parent)
    environment = dict(os.environ, PYTHONPATH="" if CONTENDERS[name] else root)
    environment |= PEER_ENVIRONMENT if CONTENDERS[name] else {}
    size = ["--batch", str(options.batch), "--steps", str(options.steps)]
    command = [python, __file__, "--worker", name, "--model", options.model, *size]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {python} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(seconds: dict[str, list[float]], batch: int) -> str:
    """Return the results as text: milliseconds, images a second, ratios to the reference."""
    lines = [f"{'':32}{'min ms':>9}{'median ms':>11}{'images/s':>10}{'ratio by min':>14}{'by median':>11}"]
    reference = seconds.get(REFERENCE, [float("nan")])
    for name, times in seconds.items():
        least, middle = min(times), statistics.median(times)
        lines.append(
            f"{name:32}{1e3 * least:9.1f}{1e3 * middle:11.1f}{batch / least:10.1f}"
            f"{min(reference) / least:14.2f}{statistics.median(reference) / middle:11.2f}"
        )
    busy = [name for name, times in seconds.items() if statistics.median(times) > BUSY * min(times)]
    if busy:
        lines.append(f"\nThe machine was busy (median above {BUSY} times the minimum: {', '.join(busy)}).  Run it again.")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    out = argparse.ArgumentParser(description="VGG9 forward + backward: dbpsim beside PyTorch.")
    out.add_argument("--peer-python", help="interpreter that has torch 2.13 (default: this one, where it has)")
    out.add_argument("--model", choices=("vgg9", "vgg9_fast"), default="vgg9")
    out.add_argument("--batch", type=int, default=128)
    out.add_argument("--steps", type=int, default=8, help="timed steps a process")
    out.add_argument("--repetitions", type=int, default=3, help="processes a contender")
    out.add_argument("--contender", action="append", choices=list(CONTENDERS), help="only these (may be repeated)")
    out.add_argument("--out", type=Path, help="write all step times as JSON")
    out.add_argument("--worker", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    return out


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    options = parser().parse_args(argv)
    if options.worker:
        return work(options.worker, options.model, options.batch, options.steps)
    if not options.peer_python and importlib.util.find_spec("torch"):
        options.peer_python = sys.executable
    if not options.peer_python:
        print(HOW_TO_GET_PYTORCH)
    names = [n for n in options.contender or CONTENDERS if options.peer_python or not CONTENDERS[n]]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.repetitions):
        for name in names:
            seconds[name] += run(name, options)
    print(f"{options.model}, batch {options.batch}, forward + backward, {os.cpu_count()} cores, {platform.processor() or 'CPU'}")
    print(f"ratio: times as fast as {REFERENCE}\n")
    print(table(seconds, options.batch))
    if options.out:
        record = {"model": options.model, "batch": options.batch}
        record |= {"cores": os.cpu_count(), "python": platform.python_version(), "seconds": seconds}
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
