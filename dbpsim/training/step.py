"""One step of training: the gradient of a batch, in parts where memory asks for it, and the descent along it.

A part (micro-batch) is a batch of its own to batch normalisation, so its gradient is exact and a relaxation's is still
backpropagation's bit for bit; the step goes along the mean over the parts.  Running averages move once a part.
"""

from __future__ import annotations

import time

import numpy as np

from dbpsim.credit.backprop import Arrays, Backprop, backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import Relaxation, relax
from dbpsim.network.graph import Network
from dbpsim.training.configuration import TrainingConfig
from dbpsim.training.groups import descend
from dbpsim.training.journal import Journal
from dbpsim.training.optimisers import follow
from dbpsim.training.state import State

_LOG_EVERY = 50


class TrainingDiverged(RuntimeError):
    """The loss or its gradient became infinite or nan."""


def take_step(
    network: Network, x: np.ndarray, y: np.ndarray, config: TrainingConfig, per_epoch: int, state: State, journal: Journal
) -> None:
    """Change the network's parameters and buffers, and the state, by one step along the gradient at (x, y)."""
    start = time.perf_counter()
    size = len(y) if config.micro_batch is None else config.micro_batch
    parts, loss, right = len(y) // size, 0.0, 0
    total: Arrays = {}
    for first in range(0, len(y), size):
        run, factors = _part(network, x[first : first + size], y[first : first + size], config, state, journal, first == 0)
        if factors and parts > 1:
            raise ValueError("micro_batch: pulses in place step along one gradient; accepted: none.")
        _add(total, run.gradients)
        loss += run.loss / parts
        right += int((run.output.argmax(axis=-1) == y[first : first + size]).sum())
        for name, statistic in run.statistics.items():
            network.buffers[name][...] = statistic
    middle = time.perf_counter()
    if parts > 1:
        for summed in total.values():
            summed /= parts
    rates = config.rates(state.step, per_epoch)
    descend(config.all_groups, rates, network, total, state.velocities, factors, getattr(run, "gain", None) or 1.0)
    network.write()
    if config.average is not None:
        follow(state.averages, network.parameters | network.buffers, config.average)
    state.step += 1
    now = time.perf_counter()
    added = {"loss": loss * len(y), "right": right, "images": len(y), "seconds": now - start, "update_s": now - middle}
    for name, amount in added.items():
        state.sums[name] += amount
    if state.step % _LOG_EVERY == 0:
        journal.write({"kind": "step", "step": state.step, "loss": loss, "rate": max(rates)})


def _part(
    network: Network, x: np.ndarray, y: np.ndarray, config: TrainingConfig, state: State, journal: Journal, first: bool
) -> tuple[Backprop | Relaxation, dict[str, tuple[np.ndarray, np.ndarray]]]:
    run = gradient(network, x, y, config, state)
    factors = network.take_factors()  # before anything else computes a gradient
    wrong = _wrong(run)
    if wrong:
        raise TrainingDiverged(f"step {state.step}: the {wrong}; lower the rate ({config.rate}) or warm up.")
    if first and config.check_every and config.method == "relax" and state.step % config.check_every == 0:
        _check(network, x, y, run, state, journal)
    return run, factors


def _add(total: Arrays, gradients: Arrays) -> None:
    for name, value in gradients.items():
        if name in total:
            total[name] += value
        else:
            total[name] = value


def _wrong(run: Backprop | Relaxation) -> str | None:
    if not np.isfinite(run.loss):
        return f"loss is {run.loss}"
    return None if all(np.isfinite(g.sum()) for g in run.gradients.values()) else "gradient is infinite or nan"


def gradient(network: Network, x: np.ndarray, y: np.ndarray, config: TrainingConfig, state: State) -> Backprop | Relaxation:
    """Return the gradient by the method of `config`."""
    if config.method == "bp":
        return backprop(network, x, y)
    # A gain found once serves until the next epoch's first step: it is rounded to a power of two and drifts slowly.
    gain = "auto" if state.gain is None or state.sums["images"] == 0 else state.gain
    run = relax(
        network, x, y, eta=config.eta, coupling=config.coupling, coordinates=config.coordinates, gain=gain,
        schedule="wavefront" if config.eta == 1.0 else "synchronous",
    )  # fmt: skip
    state.gain = run.gain
    return run


def _check(network: Network, x: np.ndarray, y: np.ndarray, run: Backprop | Relaxation, state: State, journal: Journal) -> None:
    worst = fidelity(run.gradients, backprop(network, x, y).gradients).worst
    found = {
        "step": state.step,
        "stage": worst.stage,
        "misalignment": worst.misalignment,
        "relative_error": worst.relative_error,
        "signal_to_noise": worst.signal_to_noise if np.isfinite(worst.signal_to_noise) else None,
    }
    state.checks.append(found)
    journal.write({"kind": "check", **found})
