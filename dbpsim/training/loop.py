"""Training: batch, gradient, descent, and a record of it that survives being killed.

The gradient comes from exact backpropagation or from dyadic relaxation, of a network or of a chip; nothing else
differs.  Order and augmentation are functions of (seed, epoch, image), so a checkpoint holds arrays and two counters
and a resumed run equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbpsim.check import check
from dbpsim.chip import Chip
from dbpsim.network.graph import Network
from dbpsim.training.configuration import TrainingConfig
from dbpsim.training.datasets import Dataset
from dbpsim.training.evaluation import evaluate
from dbpsim.training.groups import members
from dbpsim.training.journal import Journal, manifest
from dbpsim.training.progress import Progress, progress
from dbpsim.training.state import State, identity_of, keep, restore, save
from dbpsim.training.step import TrainingDiverged as TrainingDiverged
from dbpsim.training.step import gradient, take_step

_SAVE_EVERY_S = 300.0


class TrainingInterrupted(RuntimeError):
    """Ctrl-C or SIGTERM: the run was saved, if it had a folder, and can be resumed."""


@dataclass(frozen=True)
class TrainingResult:
    """What `train` returns.

    Attributes
    ----------
    config : TrainingConfig
    epochs : list of dict
        One an epoch: epoch, loss, train_accuracy, test_accuracy, test_loss, seconds, images_per_s, the shares of making batches
        (data_share) and of the optimiser (update_share); the last also views_accuracy where `views` were asked for.
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


def train(
    network: Network,
    train_set: Dataset,
    test_set: Dataset,
    config: TrainingConfig | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    keep_every: int = 0,
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
    keep_every : int
        Keep the weights of every so many epochs in ``out/kept``; 0 keeps none but the last checkpoints.
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
    members(config.all_groups, list(network.parameters))  # refuses patterns that fit nothing
    state = State(
        {k: np.zeros_like(v) for k, v in network.parameters.items()},
        {} if config.average is None else {k: v.copy() for k, v in (network.parameters | network.buffers).items()},
    )
    journal = Journal(None if out is None else Path(out))
    identity = identity_of(network, train_set, test_set, config)
    if resume:
        restore(network, state, journal, identity)
    else:
        journal.start(identity, manifest(command))
    with _interruptible() as asked, progress(config.epochs * per_epoch) as shown:
        if isinstance(network, Chip) and state.step == 0:
            _rehearse(network, train_set, config, journal, shown)
        _run(network, train_set, test_set, config, state, journal, identity, asked, shown, keep_every)
    return TrainingResult(config, state.epochs, state.checks, state.step, repr(network), train_set.label)


def _run(
    network: Network, train_set: Dataset, test_set: Dataset, config: TrainingConfig, state: State,
    journal: Journal, identity: dict[str, Any], asked: list[str], shown: Progress, keep_every: int,
) -> None:  # fmt: skip
    per_epoch = len(train_set) // config.batch
    saved = time.monotonic()
    for epoch in range(state.step // per_epoch, config.epochs):
        batches = train_set.batches(
            config.batch, seed=config.seed, epoch=epoch, augment=config.augment, dtype=network.dtype
        )
        for x, y in _timed(itertools.islice(batches, state.step - epoch * per_epoch, None), state):
            take_step(network, x, y, config, per_epoch, state, journal)
            shown.step(state.step, state.sums["loss"] / state.sums["images"], state.sums["images"] / state.sums["seconds"])
            if state.step == (epoch + 1) * per_epoch:
                _finish_epoch(network, test_set, config, epoch, state, journal, shown)
                if keep_every and (epoch + 1) % keep_every == 0:
                    keep(network, state, journal, identity)
            last = state.step == config.epochs * per_epoch
            if journal.folder and (asked or last or time.monotonic() - saved > _SAVE_EVERY_S):
                save(network, state, journal, identity)
                saved = time.monotonic()
            if asked and not last:
                word = f"saved in {journal.folder}; continue with --resume" if journal.folder else "nothing was kept"
                raise TrainingInterrupted(f"stopped by {asked[0]} after step {state.step}: {word}.")


def _rehearse(chip: Chip, train_set: Dataset, config: TrainingConfig, journal: Journal, shown: Progress) -> None:
    # Says what the run will cost and what is likely to go wrong; changes nothing.
    x, y = next(iter(train_set.batches(config.batch, seed=config.seed, epoch=0, augment=config.augment, dtype=chip.dtype)))
    found = check(
        chip, x, y, rate=config.rates(0, len(train_set) // config.batch)[-1], momentum=config.momentum, images=len(train_set),
        gradient=lambda network, x, y: gradient(network, x, y, config, State({}, {})),
    )  # fmt: skip
    shown.line(found.cost)
    for line in found.lines:
        shown.line(f"warning: {line}")
    journal.write({"kind": "rehearsal", **found.to_dict()})


def _finish_epoch(
    network: Network, test_set: Dataset, config: TrainingConfig, epoch: int, state: State, journal: Journal, shown: Progress
) -> None:
    size, last = config.micro_batch or config.batch, epoch + 1 == config.epochs  # no more memory than a step takes
    with averaged(network, state.averages):
        test = evaluate(network, test_set, batch=size)
        seen = evaluate(network, test_set, batch=size, views=config.views) if last and config.views != "plain" else None
    sums = state.sums
    entry: dict[str, Any] = {
        "epoch": epoch + 1,
        "loss": sums["loss"] / sums["images"],
        "train_accuracy": sums["right"] / sums["images"],
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "seconds": sums["seconds"],
        "images_per_s": sums["images"] / sums["seconds"],
        "data_share": sums["data_s"] / sums["seconds"],
        "update_share": sums["update_s"] / sums["seconds"],
    }
    if seen is not None:
        entry |= {"views_accuracy": seen.accuracy, "views": config.views}
    state.epochs.append(entry)
    state.sums = dict.fromkeys(sums, 0.0)
    journal.write({"kind": "epoch", **entry})
    shown.line(
        f"epoch {epoch + 1} of {config.epochs}: loss {entry['loss']:.4f}, train {entry['train_accuracy']:.2%}, "
        f"test {test.accuracy:.2%}, {entry['seconds']:.1f} s, {entry['images_per_s']:.0f} images/s"
        + ("" if seen is None else f"; test, {config.views} views averaged, {seen.accuracy:.2%}")
    )


def _timed(batches: Iterator[tuple[np.ndarray, np.ndarray]], state: State) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hand batches on; what it took to make them is part of a step's time."""
    start = time.perf_counter()
    for batch in batches:
        taken = time.perf_counter() - start
        state.sums["data_s"] += taken
        state.sums["seconds"] += taken
        yield batch
        start = time.perf_counter()


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
