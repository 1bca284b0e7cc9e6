"""A chip: the same network with its weights on simulated crossbars.

The one place where a network meets hardware.  `Chip.program` copies a network and puts a crossbar
operator where each weight layer had a digital one; everything that can be done with a network, `backprop` and
`relax` first of all, can then be done with the chip.  Biases, normalisation and activations stay digital.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping

import numpy as np

from dbpsim.crossbar.activity import Activity, measure
from dbpsim.crossbar.hardware import Hardware, load_hardware
from dbpsim.crossbar.operators import CrossbarConvolution, CrossbarDense
from dbpsim.network.graph import Network, Stage
from dbpsim.network.layers import Conv2d


class Chip(Network):
    """A network on hardware; made by `Chip.program`.

    Attributes
    ----------
    hardware : Hardware
        What the chip is made of.
    chip_seed : int
        Seed of the devices, of the errors made in programming them and of the noise in reading them.
    """

    hardware: Hardware
    chip_seed: int

    @classmethod
    def program(cls, network: Network, hardware: str | os.PathLike[str] | Hardware, *, seed: int = 0) -> Chip:
        """Return `network` with its weights programmed into crossbars.

        Parameters
        ----------
        network : Network
            Stays as it is.
        hardware : str, path or Hardware
            A preset ("ideal", "pcm", "ecram"), a TOML file, or an object.
        seed : int
            Two seeds are two chips of one kind.

        Raises
        ------
        ValueError
            If the hardware is not valid, or a weight is nan or infinite.

        Examples
        --------
        >>> from dbpsim.network.models import mlp
        >>> chip = Chip.program(mlp(8, 4, 2), "pcm", seed=1)
        >>> chip.hardware.name, chip.depth, chip.noisy
        ('pcm', 2, True)
        """
        if isinstance(network, Chip):
            raise ValueError(f"{network.name}: found a chip; accepted: a network that is not on hardware yet.")
        chip = copy.deepcopy(network)
        chip.__class__ = cls
        assert isinstance(chip, Chip)
        chip.hardware = load_hardware(hardware)
        chip.chip_seed = seed
        for stage in chip.weight_stages:
            _place(stage, chip.hardware, seed)
        return chip

    @property
    def crossbars(self) -> dict[str, CrossbarDense | CrossbarConvolution]:
        """The arrays of every weight stage, by the stage's name."""
        return {stage.name: stage.weight_layer.operator for stage in self.weight_stages}  # type: ignore[union-attr, misc]

    @property
    def activity(self) -> Activity:
        """What arrays and converters have done since they were programmed."""
        return measure(self.crossbars)

    def take_factors(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return (d, a) of every weight that is trained in place, from the gradient just computed, by the parameter's name."""
        found = {f"{name}.weight": bar.take_factors() for name, bar in self.crossbars.items() if bar.in_place}
        return {name: factors for name, factors in found.items() if factors is not None}

    def descend(self, factors: Mapping[str, tuple[np.ndarray, np.ndarray]], rate: float) -> None:
        """Make the step W <- W - rate sum d a^T of every weight in `factors` by pulses; the parameters follow the arrays."""
        for name, (d, a) in factors.items():
            bar = self.crossbars[name.removesuffix(".weight")]
            bar.descend(d, a, rate)
            self.parameters[name][...] = bar.weight

    def state(self) -> dict[str, np.ndarray]:
        """Return cells, read counters and activity, for a checkpoint."""
        return {f"{name}.{key}": value for name, bar in self.crossbars.items() for key, value in bar.state().items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        for name, bar in self.crossbars.items():
            bar.load_state({k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")})


def _place(stage: Stage, hardware: Hardware, seed: int) -> None:
    layer = stage.weight_layer
    weight = layer.parameters["weight"]  # type: ignore[union-attr]
    if isinstance(layer, Conv2d):
        height, width, channels = layer.input_shape
        layer.operator = CrossbarConvolution(
            weight, hardware, stage.name, seed, (height, width, channels), layer.stride, layer.padding
        )
    else:
        layer.operator = CrossbarDense(weight, hardware, stage.name, seed)  # type: ignore[union-attr]
