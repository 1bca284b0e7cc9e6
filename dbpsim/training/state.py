"""All that changes while a network trains, what must stay the same, and how both are kept and taken up again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dbpsim.chip import Chip
from dbpsim.network import models
from dbpsim.network.activations import Activation
from dbpsim.network.graph import Network
from dbpsim.network.losses import CrossEntropy
from dbpsim.training import checkpoints
from dbpsim.training.configuration import TrainingConfig, differences
from dbpsim.training.datasets import Dataset
from dbpsim.training.journal import Journal

_SUMS = ("loss", "right", "images", "seconds", "data_s", "update_s")


@dataclass
class State:
    """All that changes while a network trains."""

    velocities: dict[str, np.ndarray]
    averages: dict[str, np.ndarray]
    step: int = 0
    gain: float | None = None
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0.0))
    epochs: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    log_bytes: int = 0

    def facts(self) -> dict[str, Any]:
        names = ("step", "gain", "sums", "epochs", "checks", "log_bytes")
        return {name: getattr(self, name) for name in names}


def identity_of(network: Network, train_set: Dataset, test_set: Dataset, config: TrainingConfig) -> dict[str, Any]:
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
            "activations": _activations(network),
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


def _activations(network: Network) -> list[str]:
    return sorted({layer.kind for stage in network.stages for layer in stage.layers if isinstance(layer, Activation)})


def save(network: Network, state: State, journal: Journal, identity: dict[str, Any]) -> None:
    """Write a checkpoint into the run's folder."""
    assert journal.folder is not None
    groups = {"value": network.parameters | network.buffers, "velocity": state.velocities, "average": state.averages}
    if isinstance(network, Chip):
        groups["chip"] = network.state()
    arrays = {f"{group}/{name}": value for group, members in groups.items() for name, value in members.items()}
    state.log_bytes = journal.size()
    checkpoints.save(journal.folder / "ckpt", state.step, arrays, {"identity": identity, "state": state.facts()})


def keep(network: Network, state: State, journal: Journal, identity: dict[str, Any]) -> None:
    """Put the weights of this step aside for good, in RUN/kept; `trained_network` finds them by the step."""
    if journal.folder is not None:
        arrays = {f"value/{name}": value for name, value in (network.parameters | network.buffers).items()}
        facts = {"identity": identity, "state": state.facts()}
        checkpoints.write(journal.folder / "kept" / checkpoints.name_of(state.step), arrays, facts)


def restore(network: Network, state: State, journal: Journal, identity: dict[str, Any]) -> None:
    """Take up the run of the newest checkpoint; refuse one whose identity differs."""
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


def trained_network(folder: Path, step: int | None = None) -> tuple[Network, dict[str, Any]]:
    """Return the network of a run as its newest checkpoint has it (averaged weights where it kept some), and the state's facts.

    With a `step`: as it was then, if the run kept it (``train(keep_every=...)``).

    Raises
    ------
    ValueError
        If there is none, or the run was a chip's or of a network that is not one of `models`.
    """
    if step is None:
        arrays, facts = checkpoints.load(folder / "ckpt")
    else:
        arrays, facts = checkpoints.read(folder / "kept" / checkpoints.name_of(step))
    about, shapes = facts["identity"]["network"], facts["identity"]["network"]["shapes"]
    if facts["identity"]["chip"] is not None:
        raise ValueError(f"{folder}: found the run of a chip; accepted: a digital network's.")
    options: dict[str, Any] = {"input_shape": tuple(facts["identity"]["data"]["image_shape"])}
    options |= {"normalise": True} if about["name"] == "vgg9" and "conv1.scale" in shapes else {}
    kinds = about.get("activations", ["relu"])  # there was nothing else once
    if len(kinds) == 1 and about["name"] not in models.FIXED_ACTIVATION:
        options["activation"] = kinds[0]
    network = models.by_name(about["name"], dtype=about["dtype"], seed=about["seed"], **options)
    if {name: list(value.shape) for name, value in network.parameters.items()} != shapes:
        raise ValueError(f"{folder}: found a {about['name']} of other shapes; accepted: one the command line makes.")
    smoothing = re.fullmatch(r"CrossEntropy\(label_smoothing=([0-9.e-]+)\)", about["loss"])
    if smoothing:
        network.loss = CrossEntropy(float(smoothing[1]))
    kept = {key.partition("/") for key in arrays}
    group = "average" if any(which == "average" for which, _, _ in kept) else "value"
    network.assign({name: arrays[f"{which}/{name}"] for which, _, name in kept if which == group})
    return network, facts["state"]
