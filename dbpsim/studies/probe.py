"""Time and memory of one gradient, in a process of its own: dbpsim's ways, or PyTorch's autograd.

    python probe.py '{"engine": "wavefront", "widths": [784, 256, 10], "activation": "relu", "batch": 128, "repeats": 5}'

Prints a line of JSON: seconds (the least of the repeats) and peak_B, by which the process grew from one gradient of one sample to
the repeats.  Runs by itself, with the standard library and the engine, so that another interpreter's PyTorch can be asked.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any


def dbpsim_step(given: dict[str, Any]) -> Callable[[int], object]:
    """Return a function of the batch that computes a gradient with dbpsim."""
    from dbpsim.credit.backprop import backprop  # first, for the threads' environment
    from dbpsim.credit.relax import relax
    from dbpsim.network.models import mlp

    # isort: split
    import numpy as np

    widths = given["widths"]
    net = mlp(*widths, activation=given["activation"])
    random = np.random.default_rng(0)
    x = random.standard_normal((given["batch"], widths[0]), dtype=np.float32)
    y = random.integers(0, widths[-1], given["batch"])
    ways: dict[str, Callable[[int], object]] = {
        "backprop": lambda n: backprop(net, x[:n], y[:n]),
        "wavefront": lambda n: relax(net, x[:n], y[:n], schedule="wavefront"),
        "synchronous": lambda n: relax(net, x[:n], y[:n], eta=given["eta"], max_steps=given["steps"]),
    }
    return ways[given["engine"]]


def torch_step(given: dict[str, Any]) -> Callable[[int], object]:
    """Return the same with PyTorch."""
    import torch

    layers: list[Any] = []
    for before, after in zip(given["widths"], given["widths"][1:], strict=False):
        layers += [torch.nn.Linear(before, after), torch.nn.Tanh() if given["activation"] == "tanh" else torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    x, y = torch.randn(given["batch"], given["widths"][0]), torch.randint(0, given["widths"][-1], (given["batch"],))

    def step(n: int) -> object:
        net.zero_grad(set_to_none=True)
        return torch.nn.functional.cross_entropy(net(x[:n]), y[:n]).backward()

    return step


def main(text: str) -> None:
    """Measure what `text` asks for."""
    given = json.loads(text)
    step = torch_step(given) if given["engine"] == "torch" else dbpsim_step(given)
    step(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(given["repeats"] + 1):  # the first is to warm up
        begun = time.perf_counter()
        step(given["batch"])
        seconds.append(time.perf_counter() - begun)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"seconds": min(seconds[1:]), "peak_B": grown * 1024}))


if __name__ == "__main__":
    main(sys.argv[1])
