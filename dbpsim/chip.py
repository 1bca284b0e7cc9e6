"""A chip: the same network with its weights on simulated crossbars.

The one place where a network meets hardware.  `Chip.program` copies a network and puts a crossbar
operator where each weight layer had a digital one; everything that can be done with a network, `backprop` and
`relax` first of all, can then be done with the chip.  Biases, normalisation and activations stay digital.
"""

from __future__ import annotations

import copy
import math
import os
import warnings
from collections.abc import Callable, Mapping

import numpy as np

from dbpsim.credit.backprop import backprop
from dbpsim.crossbar.activity import Activity, measure
from dbpsim.crossbar.calibration import check_pairs
from dbpsim.crossbar.hardware import Hardware, load_hardware
from dbpsim.crossbar.operators import CrossbarConvolution, CrossbarDense
from dbpsim.crossbar.ranges import Ranges
from dbpsim.crossbar.table import NAMES, csv_lines
from dbpsim.crossbar.wire_cost import solve_bytes, solve_seconds
from dbpsim.files import atomic
from dbpsim.network.graph import Network, Stage
from dbpsim.network.layers import Conv2d, WeightLayer
from dbpsim.network.operators import ConvolutionOperator, DenseOperator, Operator

_LONG_S = 20.0  # of solving wires: said before it starts


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
            A preset ("ideal", "pcm", "ecram", ...: `dbpsim.crossbar.list_hardware`), a TOML file, or an object.
        seed : int
            Two seeds are two chips of one kind.

        Raises
        ------
        ValueError
            If the hardware is not valid, a weight is nan or infinite, or the cells do not fit into memory.

        Warns
        -----
        UserWarning
            Where solving the wires of the tiles will take long, with an estimate of the time.

        Examples
        --------
        >>> from dbpsim.network.models import mlp
        >>> chip = Chip.program(mlp(8, 4, 2), "pcm", seed=1)
        >>> chip.hardware.name, chip.depth, chip.noisy
        ('pcm', 2, True)
        """
        if isinstance(network, Chip):
            raise ValueError(f"{network.name}: found a chip; accepted: a network that is not on hardware yet.")
        hardware = load_hardware(hardware)
        _refuse(network, hardware)
        _say_how_long(network, hardware)
        chip = copy.deepcopy(network)
        chip.__class__ = cls
        assert isinstance(chip, Chip)
        chip.hardware = hardware
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

    def assign(self, values: Mapping[str, np.ndarray]) -> None:
        """Copy named parameters and buffers in, and write the weights to the arrays.

        Raises
        ------
        ValueError
            For what `Network.assign` refuses, or weights that are nan or infinite; nothing is changed then.
        """
        for name, value in values.items():
            stage, _, what = name.partition(".")
            if what == "weight" and stage in self.crossbars:
                _refuse_infinite(stage, np.asarray(value, self.dtype))
        super().assign(values)

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

    def digital(self) -> Network:
        """Return the network this chip should compute: the same parameters (aliased), multiplied by digital operators.

        Examples
        --------
        >>> from dbpsim.network.models import mlp
        >>> chip = Chip.program(mlp(8, 4, 2), "pcm", seed=1)
        >>> chip.noisy, chip.digital().noisy
        (True, False)
        """
        return _twin(self, Network, _digital)

    def shadow(self) -> Chip:
        """Return a chip that reads the same cells, but numbers and counts its reads by itself: a rehearsal leaves no trace here.

        Cells and parameters are shared, so it is for reading only.

        Examples
        --------
        >>> from dbpsim.network.models import mlp
        >>> chip = Chip.program(mlp(8, 4, 2), "pcm", seed=1)
        >>> shadow, x = chip.shadow(), np.ones((1, 8))
        >>> bool((shadow.forward(x) == chip.forward(x)).all())  # as if only one of them had been read
        True
        """
        twin = _twin(self, type(self), lambda layer: layer.operator.shadow())  # type: ignore[attr-defined]
        assert isinstance(twin, Chip)
        return twin

    @property
    def clipped(self) -> dict[str, int]:
        """Weights of every stage that the window could not hold when they were last written, by the stage's name."""
        return {name: bar.clipped for name, bar in self.crossbars.items()}

    def wait(self, seconds: float, *, compensate: bool = False) -> None:
        """Let the cells age: retention and drift; slow read noise is drawn anew.

        Parameters
        ----------
        seconds : float
            Added to the time since programming.
        compensate : bool
            Scale every tile by what known inputs gave before the first wait over what they give now, as a chip would:
            by reads with noise and converters, which count as activity (`crossbar.tiles.TiledMatrix.wait`).

        Raises
        ------
        ValueError
            If `seconds` is not positive, or compensation starts on cells that have aged.

        Examples
        --------
        >>> from dbpsim.network.models import mlp
        >>> chip = Chip.program(mlp(8, 4, 2), "pcm", seed=1)
        >>> first = next(iter(chip.crossbars.values()))
        >>> before = abs(first.weight).sum()
        >>> chip.wait(86400.0)
        >>> bool(abs(first.weight).sum() < 0.8 * before)
        True
        """
        if not (seconds > 0 and math.isfinite(seconds)):
            raise ValueError(f"wait: found {seconds} s; accepted: a finite time above 0.")
        for bar in self.crossbars.values():
            bar.wait(float(seconds), compensate)

    def calibrate(self, pairs: int = 64, *, null_only: bool = False) -> None:
        """Correct gain and offset of every converter behind the arrays, by reads of known vectors (`crossbar.calibration`).

        Reads have noise and converters as any other, and count as activity; corrections are part of `state`.  What is left falls
        as 1 / sqrt(pairs), down to the nonlinearity.

        Parameters
        ----------
        pairs : int
            Pairs of opposite vectors read in each direction.
        null_only : bool
            Only the null of the stress path: the offsets of transposed reads, for which no weight need be known.

        Raises
        ------
        ValueError
            If `pairs` is not a whole number from 1 to 65536, or the hardware has no ADC.

        Examples
        --------
        >>> from dbpsim.crossbar import load_hardware
        >>> from dbpsim.network.models import mlp
        >>> chip = Chip.program(mlp(8, 4, 2), load_hardware("pcm", {"adc.offset_sigma_lsb": 2.0}), seed=1)
        >>> chip.calibrate(32)
        >>> [stage.transposed.vectors for stage in chip.activity.stages.values()]
        [64, 64]
        """
        pairs = check_pairs(pairs)
        if not self.hardware.adc.levels:
            raise ValueError(f"calibrate: {self.hardware.name} has no ADC to calibrate; accepted: adc.bits from 2 to 16.")
        for name, bar in self.crossbars.items():
            bar.calibrate(self.parameters[f"{name}.weight"], pairs, null_only)

    def calibrate_ranges(self, x: np.ndarray, y: np.ndarray) -> None:
        """Set every converter range that the hardware calls "calibrated" by what one batch sends through it, forward and back.

        Each matrix and direction gets a DAC limit and an ADC limit of its own; the reads count as activity.

        Parameters
        ----------
        x, y : arrays
            As for `backprop`.

        Raises
        ------
        ValueError
            If no range of the hardware is calibrated.
        """
        dac = self.hardware.dac
        if not self.hardware.calibrated:
            raise ValueError(f'calibrate_ranges: none in {self.hardware.name}; accepted: range = "calibrated" of dac or adc.')
        before = {bar.name: bar.tiles.ranges for bar in self.crossbars.values()}
        try:
            for bar in self.crossbars.values():
                bar.tiles.ranges = Ranges(noting=True)
            backprop(self, x, y)
            self.take_factors()
            before = {bar.name: bar.tiles.ranges.found((dac.fixed(False), dac.fixed(True))) for bar in self.crossbars.values()}
        finally:
            for bar in self.crossbars.values():
                bar.tiles.ranges = before[bar.name]

    def table(self, stage: str) -> dict[str, np.ndarray]:
        """Return where each weight of `stage` sits and what its cells hold, as columns (`dbpsim.crossbar.table`)."""
        if stage not in self.crossbars:
            raise ValueError(f"table: found stage {stage!r}; accepted: {', '.join(self.crossbars)}.")
        parts = list(self.crossbars[stage].cell_tables(self.parameters[f"{stage}.weight"]))
        return {name: np.concatenate([part[name] for part in parts]) for name in NAMES}

    def export_cells(self, path: str | os.PathLike[str]) -> None:
        """Write the tables of all stages to `path` as CSV, one line a cell, whole or not at all."""
        with atomic(path) as file:
            file.write(f"stage,{','.join(NAMES)}\n".encode())
            for stage, bar in self.crossbars.items():
                for part in bar.cell_tables(self.parameters[f"{stage}.weight"]):
                    file.write(csv_lines(stage, part))

    def state(self) -> dict[str, np.ndarray]:
        """Return cells, read counters and activity, for a checkpoint."""
        return {f"{name}.{key}": value for name, bar in self.crossbars.items() for key, value in bar.state().items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        for name, bar in self.crossbars.items():
            bar.load_state({k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")})


def _digital(layer: WeightLayer) -> Operator:
    weight = layer.parameters["weight"]
    if isinstance(layer, Conv2d):
        height, width, channels = layer.input_shape
        return ConvolutionOperator(weight, (height, width, channels), layer.stride, layer.padding)
    return DenseOperator(weight)


def _twin(chip: Chip, kind: type[Network], operator_of: Callable[[WeightLayer], Operator]) -> Network:
    # The same stages and parameters with other operators.
    twin = copy.copy(chip)
    twin.__class__ = kind  # type: ignore[assignment]
    twin.stages = [copy.copy(stage) for stage in chip.stages]
    for stage in twin.stages:
        stage.layers = [copy.copy(layer) for layer in stage.layers]
        for layer in stage.layers:
            if isinstance(layer, WeightLayer):
                layer.operator = operator_of(layer)
    return twin


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


def _refuse_infinite(stage: str, weight: np.ndarray) -> None:
    if not (np.isfinite(weight.max(initial=0)) and np.isfinite(weight.min(initial=0))):  # without an array of answers
        raise ValueError(f"{stage}: weights hold NaN or infinity; found {np.count_nonzero(~np.isfinite(weight))}.")


def _shapes(network: Network) -> list[tuple[int, int]]:
    # (rows, columns) of every weight as the arrays see it.
    weights = [stage.weight_layer.parameters["weight"] for stage in network.weight_stages]  # type: ignore[union-attr]
    return [(w.size // w.shape[-1], w.shape[-1]) if w.ndim == 4 else w.shape[::-1] for w in weights]


def _say_how_long(network: Network, hardware: Hardware) -> None:
    tiles, seconds = solve_seconds(_shapes(network), hardware)
    if seconds > _LONG_S:
        warnings.warn(
            f"{network.name} on {hardware.name}: solving the wires of {tiles} tiles takes about {seconds:.0f} s here, and again "
            "for every tile whose cells change; sooner: wires.method = \"first_order\", or effects.wires = false.",
            stacklevel=3,
        )


def _refuse(network: Network, hardware: Hardware) -> None:
    # What cannot be programmed, before any work.
    weights = {stage.name: stage.weight_layer.parameters["weight"] for stage in network.weight_stages}  # type: ignore[union-attr]
    for name, weight in weights.items():
        _refuse_infinite(name, weight)
    mapping = hardware.mapping
    cells = {"pair": 2, "offset_column": 1, "bit_sliced": 2 * mapping.slices}[mapping.scheme]
    arrays = (cells + 3) * (2 if mapping.transpose == "replica" else 1)  # with what reads see and the controller believes
    arrays += 6 if hardware.wired else 0  # a view a direction, and admittances
    needed = arrays * sum(weight.nbytes for weight in weights.values())
    needed += solve_bytes(_shapes(network), hardware)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    if needed > there:
        raise ValueError(
            f"{network.name} on {hardware.name}: cells of {needed / 2**30:.3g} GiB do not fit into the {there / 2**30:.3g} GiB "
            "of this machine; accepted: a smaller network, fewer slices, or smaller tiles where wires are solved."
        )
