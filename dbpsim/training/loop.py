"""Training: batch, gradient, descent, and a record of it that survives being killed.

The gradient comes from exact backpropagation or from dyadic relaxation, of a network or of a chip; nothing else
differs.  Order and augmentation are functions of (seed, epoch, image), so a checkpoint holds arrays and two counters
and a resumed run equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dbpsim.check import check
from dbpsim.chip import Chip
from dbpsim.credit.backprop import Backprop, backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import Relaxation, relax
from dbpsim.network.graph import Network
from dbpsim.training import checkpoints
from dbpsim.training.configuration import TrainingConfig, differences
from dbpsim.training.datasets import Dataset
from dbpsim.training.evaluation import evaluate
from dbpsim.training.journal import Journal, manifest
from dbpsim.training.optimisers import SGD, follow, rate_at
from dbpsim.training.progress import Progress, progress

_SAVE_EVERY_S = 300.0
_LOG_EVERY = 50


class TrainingInterrupted(RuntimeError):
    """Ctrl-C or SIGTERM: the run was saved, if it had a folder, and can be resumed."""


class TrainingDiverged(RuntimeError):
    """The loss or its gradient became infinite or nan."""


@dataclass(frozen=True)
class TrainingResult:
    """What `train` returns.

    Attributes
    ----------
    config : TrainingConfig
    epochs : list of dict
        One an epoch: epoch, loss, train_accuracy, test_accuracy, test_loss, seconds, images_per_s.
    checks : list of dict
        One a comparison with backpropagation: step, and the worst stage's misalignment, relative_error, signal_to_noise.
    steps : int
    network, data : str
        What was trained on what.
    """

    config: TrainingConfig
    epochs: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    steps: int
    network: str
    data: str

    @property
    def accuracy(self) -> float:
        """Share of the test set that was right after the last epoch."""
        return self.epochs[-1]["test_accuracy"]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.network}, {self.data}, {self.config.method}"]
        lines.append(f"{'epoch':>5}{'loss':>9}{'train':>9}{'test':>9}{'seconds':>10}{'images/s':>10}")
        lines += [
            f"{e['epoch']:>5}{e['loss']:>9.4f}{e['train_accuracy']:>9.2%}{e['test_accuracy']:>9.2%}"
            f"{e['seconds']:>10.1f}{e['images_per_s']:>10.0f}"
            for e in self.epochs
        ]
        return "\n".join(lines)


@dataclass
class _State:
    """All that changes while a network trains."""

    velocities: dict[str, np.ndarray]
    averages: dict[str, np.ndarray]
    step: int = 0
    gain: float | None = None
    sums: dict[str, float] = field(default_factory=lambda: {"loss": 0.0, "right": 0.0, "images": 0.0, "seconds": 0.0})
    epochs: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    log_bytes: int = 0

    def facts(self) -> dict[str, Any]:
        names = ("step", "gain", "sums", "epochs", "checks", "log_bytes")
        return {name: getattr(self, name) for name in names}


def train(
    network: Network,
    train_set: Dataset,
    test_set: Dataset,
    config: TrainingConfig | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    command: str | None = None,
    **settings: Any,
) -> TrainingResult:
    """Train `network` in place.

    Parameters
    ----------
    network : Network
        Or a `Chip`: weights are then written to its arrays after every step.  Before the first one `check` rehearses it;
        cost and warnings go to stderr and into the log.
    train_set, test_set : Dataset
    config : TrainingConfig, optional
        Or its fields as keyword arguments.
    out : path, optional
        Folder for the log, the configuration and the checkpoints.
    resume : bool
        Go on from the newest checkpoint in `out`.
    command : str, optional
        What the user typed, for the manifest.

    Raises
    ------
    ValueError
        For settings out of range; for `resume` without a checkpoint or with other settings than the run had.
    TrainingInterrupted
        After Ctrl-C or SIGTERM; the run is saved first.
    TrainingDiverged
        When the loss or its gradient is infinite or nan; the last checkpoint stays.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> from dbpsim.training.datasets import load
    >>> sets = load("digits", limit=256, image_shape=(8, 8, 1))
    >>> train(mlp(64, 32, 10, input_shape=(8, 8, 1)), *sets, epochs=2, batch=32).accuracy > 0.5
    True
    """
    config = TrainingConfig(**settings) if config is None else config
    per_epoch = len(train_set) // config.batch
    if per_epoch == 0:
        raise ValueError(f"batch: found {config.batch}; accepted: 1 to {len(train_set)}, the images there are.")
    if isinstance(network, Chip) and config.average is not None:
        raise ValueError("average: a chip holds one set of weights; accepted: none.")
    state = _State(
        {k: np.zeros_like(v) for k, v in network.parameters.items()},
        {} if config.average is None else {k: v.copy() for k, v in (network.parameters | network.buffers).items()},
    )
    journal = Journal(None if out is None else Path(out))
    identity = _identity(network, train_set, test_set, config)
    if resume:
        _restore(network, state, journal, identity)
    else:
        journal.start(identity, manifest(command))
    with _interruptible() as asked, progress(config.epochs * per_epoch) as shown:
        if isinstance(network, Chip) and state.step == 0:
            _rehearse(network, train_set, config, journal, shown)
        _run(network, train_set, test_set, config, state, journal, identity, asked, shown)
    return TrainingResult(config, state.epochs, state.checks, state.step, repr(network), train_set.label)


def _run(
    network: Network, train_set: Dataset, test_set: Dataset, config: TrainingConfig, state: _State,
    journal: Journal, identity: dict[str, Any], asked: list[str], shown: Progress,
) -> None:  # fmt: skip
    per_epoch = len(train_set) // config.batch
    saved = time.monotonic()
    for epoch in range(state.step // per_epoch, config.epochs):
        batches = train_set.batches(
            config.batch, seed=config.seed, epoch=epoch, augment=config.augment, dtype=network.dtype
        )
        for x, y in itertools.islice(batches, state.step - epoch * per_epoch, None):
            _step(network, x, y, config, per_epoch, state, journal)
            shown.step(state.step, state.sums["loss"] / state.sums["images"], state.sums["images"] / state.sums["seconds"])
            if state.step == (epoch + 1) * per_epoch:
                _finish_epoch(network, test_set, config, epoch, state, journal, shown)
            last = state.step == config.epochs * per_epoch
            if journal.folder and (asked or last or time.monotonic() - saved > _SAVE_EVERY_S):
                _save(network, state, journal, identity)
                saved = time.monotonic()
            if asked and not last:
                word = f"saved in {journal.folder}; continue with --resume" if journal.folder else "nothing was kept"
                raise TrainingInterrupted(f"stopped by {asked[0]} after step {state.step}: {word}.")


def _rehearse(chip: Chip, train_set: Dataset, config: TrainingConfig, journal: Journal, shown: Progress) -> None:
    # Says what the run will cost and what is likely to go wrong; changes nothing.
    x, y = next(iter(train_set.batches(config.batch, seed=config.seed, epoch=0, augment=config.augment, dtype=chip.dtype)))
    found = check(
        chip, x, y, rate=_rate(config, 0, len(train_set) // config.batch), momentum=config.momentum, images=len(train_set),
        gradient=lambda network, x, y: _gradient(network, x, y, config, _State({}, {})),
    )  # fmt: skip
    shown.line(found.cost)
    for line in found.lines:
        shown.line(f"warning: {line}")
    journal.write({"kind": "rehearsal", **found.to_dict()})


def _step(
    network: Network, x: np.ndarray, y: np.ndarray, config: TrainingConfig, per_epoch: int,
    state: _State, journal: Journal,
) -> None:  # fmt: skip
    start = time.perf_counter()
    run = _gradient(network, x, y, config, state)
    factors = network.take_factors()  # before anything else computes a gradient
    wrong = _wrong(run)
    if wrong:
        raise TrainingDiverged(f"step {state.step}: the {wrong}; lower the rate ({config.rate}) or warm up.")
    if config.check_every and config.method == "relax" and state.step % config.check_every == 0:
        _check(network, x, y, run, state, journal)
    rate = _rate(config, state.step, per_epoch)
    digital = {name: w for name, w in network.parameters.items() if name not in factors}
    SGD(config.momentum, config.weight_decay).step(digital, run.gradients, state.velocities, rate)
    # Pulses in place know no momentum: they take its mean step.  A relaxation's stress is the loss's times its gain.
    network.descend(factors, rate / (1 - config.momentum) / (getattr(run, "gain", None) or 1.0))
    for name, value in run.statistics.items():
        network.buffers[name][...] = value
    network.write()
    if config.average is not None:
        follow(state.averages, network.parameters | network.buffers, config.average)
    state.step += 1
    sums = state.sums
    sums["loss"] += run.loss * len(y)
    sums["right"] += float((run.output.argmax(axis=-1) == y).sum())
    sums["images"] += len(y)
    sums["seconds"] += time.perf_counter() - start
    if state.step % _LOG_EVERY == 0:
        journal.write({"kind": "step", "step": state.step, "loss": run.loss, "rate": rate})


def _wrong(run: Backprop | Relaxation) -> str | None:
    if not np.isfinite(run.loss):
        return f"loss is {run.loss}"
    return None if all(np.isfinite(g.sum()) for g in run.gradients.values()) else "gradient is infinite or nan"


def _rate(config: TrainingConfig, step: int, per_epoch: int) -> float:
    warm_up = round(config.warm_up * per_epoch)
    return rate_at(step, config.epochs * per_epoch, peak=config.rate, warm_up=warm_up, kind=config.schedule)


def _gradient(network: Network, x: np.ndarray, y: np.ndarray, config: TrainingConfig, state: _State) -> Backprop | Relaxation:
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


def _check(network: Network, x: np.ndarray, y: np.ndarray, run: Backprop | Relaxation, state: _State, journal: Journal) -> None:
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


def _finish_epoch(
    network: Network, test_set: Dataset, config: TrainingConfig, epoch: int, state: _State, journal: Journal, shown: Progress
) -> None:
    with averaged(network, state.averages):
        test = evaluate(network, test_set, batch=config.batch, flips=config.flips)  # no more memory than a step takes
    sums = state.sums
    entry = {
        "epoch": epoch + 1,
        "loss": sums["loss"] / sums["images"],
        "train_accuracy": sums["right"] / sums["images"],
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "seconds": sums["seconds"],
        "images_per_s": sums["images"] / sums["seconds"],
    }
    state.epochs.append(entry)
    state.sums = dict.fromkeys(sums, 0.0)
    journal.write({"kind": "epoch", **entry})
    shown.line(
        f"epoch {epoch + 1} of {config.epochs}: loss {entry['loss']:.4f}, train {entry['train_accuracy']:.2%}, "
        f"test {test.accuracy:.2%}, {entry['seconds']:.1f} s, {entry['images_per_s']:.0f} images/s"
    )


@contextmanager
def averaged(network: Network, averages: dict[str, np.ndarray]) -> Iterator[None]:
    """Put averaged parameters and buffers in the network's place for a while (no averages: nothing happens)."""
    present = {name: value.copy() for name, value in (network.parameters | network.buffers).items() if name in averages}
    if averages:
        network.assign(averages)
    try:
        yield
    finally:
        if averages:
            network.assign(present)


@contextmanager
def _interruptible() -> Iterator[list[str]]:
    """Collect Ctrl-C and SIGTERM instead of dying of them; a second one is fatal as usual."""
    asked: list[str] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: object) -> None:
        asked.append(signal.Signals(number).name)
        signal.signal(number, before[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: whoever runs the threads stops them
        pass
    try:
        yield asked
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def _identity(network: Network, train_set: Dataset, test_set: Dataset, config: TrainingConfig) -> dict[str, Any]:
    """Return what must be the same for a run to go on."""
    chip = None
    if isinstance(network, Chip):
        chip = {"hardware": network.hardware.model_dump(mode="json"), "seed": network.chip_seed}
    return {
        "network": {
            "name": network.name,
            "dtype": network.dtype.name,
            "seed": network.seed,
            "loss": repr(network.loss),
            "shapes": {name: list(value.shape) for name, value in network.parameters.items()},
        },
        "chip": chip,
        "data": {
            "label": train_set.label,
            "sha256": train_set.source_sha256,
            "train_images": len(train_set),
            "test_images": len(test_set),
            "image_shape": list(train_set.image_shape),
        },
        "training": config.as_dict(),
    }


def _save(network: Network, state: _State, journal: Journal, identity: dict[str, Any]) -> None:
    assert journal.folder is not None
    groups = {"value": network.parameters | network.buffers, "velocity": state.velocities, "average": state.averages}
    if isinstance(network, Chip):
        groups["chip"] = network.state()
    arrays = {f"{group}/{name}": value for group, members in groups.items() for name, value in members.items()}
    state.log_bytes = journal.size()
    checkpoints.save(journal.folder / "ckpt", state.step, arrays, {"identity": identity, "state": state.facts()})


def _restore(network: Network, state: _State, journal: Journal, identity: dict[str, Any]) -> None:
    if journal.folder is None:
        raise ValueError("resume: found no folder; accepted: the `out` of the run to go on with.")
    arrays, facts = checkpoints.load(journal.folder / "ckpt")
    changed = differences(facts["identity"], json.loads(json.dumps(identity)))
    if changed:
        raise ValueError(f"resume: {journal.folder} is another run: {'; '.join(changed)}.")
    groups: dict[str, dict[str, np.ndarray]] = {"value": {}, "velocity": {}, "average": {}, "chip": {}}
    for key, value in arrays.items():
        group, _, name = key.partition("/")
        groups[group][name] = value
    for name, value in (network.parameters | network.buffers).items():
        value[...] = groups["value"][name]
    state.velocities, state.averages = groups["velocity"], groups["average"]
    if isinstance(network, Chip):
        network.load_state(groups["chip"])
    for name, value in facts["state"].items():
        setattr(state, name, value)
    journal.truncate(state.log_bytes)
