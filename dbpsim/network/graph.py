"""A network is a directed acyclic graph of stages.

A stage l has a state a_l, parents pa(l), and a map f_l(a_pa; theta_l): a weight layer with its
nonlinearity, and whatever joins, normalises or pools around it.  One stage is one neuron layer of the
relaxing hardware: it has one pair of compartments a neuron.  The input is clamped.

`depth` is the number of stages on the longest path from the input: activations are settled after
`depth` unit steps, the stress after twice as many.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbpsim.kernels.random import stream
from dbpsim.network.layers import Layer, Shape, WeightLayer
from dbpsim.network.losses import CrossEntropy, Loss

INPUT = "input"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Stage:
    """A state and the map that drives it.

    Parameters
    ----------
    name : str
        Letters, digits and underscores, at most 64.
    layers : sequence of Layer
        Applied in order.  The first may join several parents (`Add`, `Concat`).
    parents : sequence of str, optional
        Names of stages, or "input".  By default the stage before this one.

    Examples
    --------
    >>> from dbpsim.network.layers import Dense
    >>> from dbpsim.network.activations import Activation
    >>> Stage("hidden", [Dense(64), Activation("tanh")], ["input"])
    Stage('hidden', [Dense(64), Activation(tanh)], ('input',))
    """

    def __init__(self, name: str, layers: Sequence[Layer], parents: Sequence[str] | None = None) -> None:
        if not _NAME.fullmatch(name) or name == INPUT:
            raise ValueError(f"stage name: found {name!r}; accepted: [A-Za-z_][A-Za-z0-9_]{{0,63}}, not {INPUT!r}.")
        if not layers:
            raise ValueError(f"stage {name}: found no layers; accepted: at least one.")
        self.name = name
        self.layers = list(layers)
        self.parents = tuple(parents or ())  # none: filled in by the network
        self.shape: Shape = ()

    def __repr__(self) -> str:
        return f"Stage({self.name!r}, {self.layers}, {self.parents})"

    @property
    def weight_layer(self) -> WeightLayer | None:
        """The stage's weight layer, if it has one."""
        return next((layer for layer in self.layers if isinstance(layer, WeightLayer)), None)

    def build(self, shapes: list[Shape], dtype: np.dtype, seed: int) -> None:
        """Give every layer its shape and parameters."""
        if sum(isinstance(layer, WeightLayer) for layer in self.layers) > 1:
            raise ValueError(f"stage {self.name}: found two weight layers; accepted: one, so split the stage.")
        if len(shapes) > 1 and not self.layers[0].joins:
            raise ValueError(f"stage {self.name}: {len(shapes)} parents need Add or Concat as the first layer.")
        shape: Any = shapes
        for place, layer in enumerate(self.layers):
            if place and layer.joins:
                raise ValueError(f"stage {self.name}: {layer} must be the first layer.")
            try:
                given = shape if layer.joins else shape[0] if place == 0 else shape
                shape = layer.build(given, dtype, stream(seed, "parameters", self.name, place))
            except ValueError as error:
                raise ValueError(f"stage {self.name}, layer {place + 1} of {len(self.layers)}: {error}") from None
        self.shape = shape

    def forward(self, inputs: list[np.ndarray], training: bool) -> tuple[np.ndarray, list[Any]]:
        """Return f(inputs) and the memory for the pullback."""
        memory = []
        a: Any = inputs if self.layers[0].joins else inputs[0]
        for layer in self.layers:
            a, kept = layer.forward(a, training)
            memory.append(kept)
        return a, memory

    def pullback(
        self, memory: list[Any], d: np.ndarray, *, inputs: bool = True, gradients: bool = False
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Return (J_x^T d for every parent, J_theta^T d), each only where asked for."""
        found: dict[str, np.ndarray] = {}
        last = 0
        if not inputs:  # go down no further than the first layer that has parameters
            last = next((i for i, layer in enumerate(self.layers) if layer.parameters), len(self.layers))
        for place in range(len(self.layers) - 1, last - 1, -1):
            layer = self.layers[place]
            if gradients and layer.parameters:
                found.update(layer.gradients(memory[place], d))
            if inputs or place > last:
                d = layer.pullback(memory[place], d)
        if not inputs:
            return [], found
        return (d if self.layers[0].joins else [d]), found  # type: ignore[return-value]


@dataclass
class Linearisation:
    """f and its derivative at one activation pattern: what one evaluation of all stages leaves behind."""

    values: dict[str, np.ndarray]
    memory: dict[str, list[Any]] = field(repr=False)


class Network:
    """Stages in topological order, their parameters, and the loss at the last one.

    Parameters
    ----------
    stages : sequence of Stage
        In any order; copied, so that a list of stages can be used again.
    input_shape : tuple of int
        Shape of one sample.
    loss : Loss, optional
        Cross entropy by default.
    dtype : {"float32", "float64"}
    seed : int
        Every parameter draws from its own stream under this seed.
    name : str
        What the network is called in reports.

    Raises
    ------
    ValueError
        For an unknown parent, a cycle (with its path), two ends, or shapes that do not fit.

    Examples
    --------
    >>> from dbpsim.network.layers import Dense
    >>> net = Network([Stage("a", [Dense(3)]), Stage("b", [Dense(2)])], (4,))
    >>> net.depth, sorted(net.parameters)
    (2, ['a.bias', 'a.weight', 'b.bias', 'b.weight'])
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        input_shape: Sequence[int],
        *,
        loss: Loss | None = None,
        dtype: str = "float32",
        seed: int = 0,
        name: str = "network",
    ) -> None:
        if np.dtype(dtype) not in (np.dtype("float32"), np.dtype("float64")):
            raise ValueError(f"dtype: found {dtype!r}; accepted: float32, float64.")
        self.input_shape = tuple(int(n) for n in input_shape)
        self.loss: Loss = CrossEntropy() if loss is None else loss
        self.dtype = np.dtype(dtype)
        self.seed = seed
        self.name = name
        self.stages = _sorted(_linked(stages))
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for stage in self.stages:
            stage.build([shapes[p] for p in stage.parents], self.dtype, seed)
            shapes[stage.name] = stage.shape
        self.levels, self.heights = _levels(self.stages)
        self.parameters = _collect(self.stages, "parameters")
        self.buffers = _collect(self.stages, "buffers")

    def __repr__(self) -> str:
        count = sum(p.size for p in self.parameters.values())
        return f"{type(self).__name__}({self.name}: {len(self.stages)} stages, depth {self.depth}, {count:,} parameters)"

    @property
    def depth(self) -> int:
        """Number of stages on the longest path from the input to the output."""
        return self.levels[self.stages[-1].name]

    @property
    def output(self) -> str:
        """Name of the last stage, at which the loss sits."""
        return self.stages[-1].name

    @property
    def activity(self) -> Any:
        """What the hardware has done so far: None here, an `Activity` on a chip."""
        return None

    @property
    def weight_stages(self) -> list[Stage]:
        """The stages that have a weight layer."""
        return [stage for stage in self.stages if stage.weight_layer is not None]

    @property
    def noisy(self) -> bool:
        """Whether two evaluations at the same point may differ."""
        return any(s.weight_layer.operator.noisy for s in self.weight_stages)  # type: ignore[union-attr]

    def as_input(self, x: np.ndarray) -> np.ndarray:
        """Return `x` in the network's dtype.

        Raises
        ------
        ValueError
            If its shape is not (N, *input_shape), N >= 1, or it holds nan or inf.
        """
        x = np.asarray(x)
        if x.shape[1:] != self.input_shape or len(x) == 0:
            raise ValueError(f"x: found shape {x.shape}; accepted: (N, {', '.join(map(str, self.input_shape))}), N >= 1.")
        if x.dtype.kind not in "fiu":
            raise ValueError(f"x: found type {x.dtype}; accepted: real numbers.")
        x = np.ascontiguousarray(x, self.dtype)
        if not np.isfinite(x).all():
            raise ValueError("x: found nan or inf; accepted: finite numbers.")
        return x

    def evaluate(self, x: np.ndarray, states: Mapping[str, np.ndarray] | None = None, *, training: bool = True) -> Linearisation:
        """Return f_l of every stage at the given `states` of its parents; without, at their new values, as in a sweep."""
        at = Linearisation({}, {})
        given = at.values if states is None else states
        for stage in self.stages:
            inputs = [x if p == INPUT else given[p] for p in stage.parents]
            at.values[stage.name], at.memory[stage.name] = stage.forward(inputs, training)
        return at

    def forward(self, x: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the output for inputs `x`, shape (N, ...), by plain evaluation from the first stage to the last."""
        return self.sweep(self.as_input(x), training=training).values[self.output]

    def sweep(self, x: np.ndarray, *, training: bool) -> Linearisation:
        """Evaluate the stages in order, each at its parents' new values."""
        return self.evaluate(x, training=training)

    def statistics(self, at: Linearisation) -> dict[str, np.ndarray]:
        """Return what the buffers become after a training step that settled at `at`."""
        return {
            f"{stage.name}.{key}": value
            for stage in self.stages
            for layer, memory in zip(stage.layers, at.memory[stage.name], strict=True)
            for key, value in layer.statistics(memory).items()
        }

    def assign(self, values: Mapping[str, np.ndarray]) -> None:
        """Copy named parameters and buffers in, and write the weights to whatever holds them.

        Raises
        ------
        ValueError
            For an unknown name, a shape that differs or what is no number; nothing is changed then.
        """
        known = self.parameters | self.buffers
        for name, value in values.items():
            if name not in known or np.shape(value) != known[name].shape:
                wanted = f"shape {known[name].shape}" if name in known else f"one of {', '.join(sorted(known))}"
                raise ValueError(f"{name}: found shape {np.shape(value)}; accepted: {wanted}.")
        ready = {name: np.asarray(value, self.dtype) for name, value in values.items()}  # may fail: before any is copied
        for name, value in ready.items():
            known[name][...] = value
        self.write()

    def take_factors(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the factors (d, a) of gradients that the hardware itself steps along: none here, see `Chip`."""
        return {}

    def descend(self, factors: Mapping[str, tuple[np.ndarray, np.ndarray]], rate: float) -> None:
        """Step along the gradients in `factors` on the hardware; nothing to do here."""

    def write(self) -> None:
        """Bring the operators up to date with `parameters` after these were changed in place."""
        for stage in self.weight_stages:
            layer = stage.weight_layer
            layer.operator.write(layer.parameters["weight"])  # type: ignore[union-attr]


def _linked(stages: Sequence[Stage]) -> list[Stage]:
    """Return copies with every default parent filled in and every name checked."""
    if not stages:
        raise ValueError("network: found no stages; accepted: at least one.")
    linked, before = [], INPUT
    names = [stage.name for stage in stages]
    for stage in stages:
        if names.count(stage.name) > 1:
            raise ValueError(f"stage {stage.name}: found twice; accepted: every name once.")
        parents = stage.parents or (before,)
        for parent in parents:
            if parent != INPUT and parent not in names:
                raise ValueError(f"stage {stage.name}: found parent {parent!r}; accepted: {INPUT}, {', '.join(names)}.")
        linked.append(Stage(stage.name, copy.deepcopy(stage.layers), parents))
        before = stage.name
    return linked


def _sorted(stages: list[Stage]) -> list[Stage]:
    """Return the stages so that parents come first, the given order kept where it can be."""
    by_name = {stage.name: stage for stage in stages}
    done: dict[str, Stage] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name == INPUT or name in done:
            return
        if name in path:
            loop = " -> ".join((*path[path.index(name) :], name)[::-1])
            raise ValueError(
                f"stage {name}: found a cycle, {loop}; accepted: an acyclic graph. "
                "A recurrent network has no finite number of steps after which its gradient is exact."
            )
        for parent in by_name[name].parents:
            visit(parent, (*path, name))
        done[name] = by_name[name]

    for stage in stages:
        visit(stage.name, ())
    ordered = list(done.values())
    used = {parent for stage in ordered for parent in stage.parents}
    ends = [stage.name for stage in ordered if stage.name not in used]
    if len(ends) != 1:
        raise ValueError(f"network: found the ends {', '.join(ends)}; accepted: one stage that nothing reads, the output.")
    ordered.sort(key=lambda stage: stage.name == ends[0])
    return ordered


def _levels(stages: list[Stage]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the longest path from the input to each stage, and from each to the output, counted in stages."""
    levels: dict[str, int] = {INPUT: 0}
    for stage in stages:
        levels[stage.name] = 1 + max(levels[p] for p in stage.parents)
    heights = {stage.name: 1 for stage in stages}
    for stage in reversed(stages):
        for parent in stage.parents:
            if parent != INPUT:
                heights[parent] = max(heights[parent], heights[stage.name] + 1)
    return levels, heights


def _collect(stages: list[Stage], what: str) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for stage in stages:
        for layer in stage.layers:
            for key, value in getattr(layer, what).items():
                name = f"{stage.name}.{key}"
                if name in found:
                    raise ValueError(f"stage {stage.name}: found two layers with a {key}; accepted: one, so split the stage.")
                found[name] = value
    return found
