"""How hard lines are expected to be driven, by propagating moments through the network: no sample is computed.

Weights of random sign make the inputs u of a stage's neurons normal, independent from channel to channel, and two positions
of a channel as correlated as the activity they see (signal propagation: Poole et al., arXiv:1606.05340; the rectifier's
E[a(p) a(p')] is Cho and Saul's arc-cosine kernel, NIPS 2009).  So an image is described by a variance for each
position, one correlation r, and what an activation or a pool made of it:

    weights        v(p) = var(w) C sum over the window of E[a^2],    r = E[a(p) a(p')] / E[a^2]
    activation     E[a^2], E[a(p) a(p')] by quadrature (`dbpsim.cost.largest`); a pool takes the largest of its positions
    batch norm     v = 1, and what all samples and positions share is gone: r = 0
    join           means, variances and covariances add; the sum is taken as normal

The stress goes the same way back, gated: var(w) C_out sum over the window of E[d^2], times the share of open gates, and through a
pool to one position of each window.  At the output it is the loss's own gradient at normal outputs.  With the largest number
of a sample as full scale q = E[mean a^2 / max^2]; with a fixed range L, E[min(a^2, L^2)] / L^2; with a calibrated one, L is
the percentile of what is not zero.

Inputs are taken as independent standard normal numbers, and weights as random: images are smoother, and trained weights follow
their inputs, so `dbpsim.cost.drives.measured_statistics` is the better guide where there are data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from dbpsim.cost.drives import Statistics, read_back
from dbpsim.cost.largest import Function, Moments, moments, relative_square
from dbpsim.crossbar.converters import Converter
from dbpsim.crossbar.hardware import Hardware
from dbpsim.kernels.im2col import fold, patches
from dbpsim.kernels.random import stream
from dbpsim.network.activations import ACTIVATIONS, Activation
from dbpsim.network.attention import Attention
from dbpsim.network.graph import INPUT, Network, Stage
from dbpsim.network.layers import Add, Conv2d, Dense, Flatten, Layer, WeightLayer
from dbpsim.network.normalisation import BatchNorm, LayerNorm
from dbpsim.network.pooling import AveragePool, GlobalPool, MaxPool

_POOLED = 0.5  # of the spread by chance: means of overlapping windows, then further apart; as found on VGG9 at widths 16 and 64
_OUTPUTS = 512  # normal outputs at which the loss's gradient is taken


@dataclass(frozen=True)
class Field:
    """Numbers of one sample: what they were made of, u, and by which activation and pool.

    `variance` of u has the shape of the positions, and differs by chance from one to the next, with relative variance `spread`;
    `of` positions of u were pooled to one.
    """

    channels: int
    variance: np.ndarray
    correlation: float = 0.0
    mean: float = 0.0
    activation: str = "identity"
    of: int = 1
    spread: float = 0.0

    @cached_property
    def moments(self) -> Moments:
        """Moments at the mean variance."""
        return moments(float(self.variance.mean()), self.correlation, self.mean, *_functions(self.activation), self.of)

    @property
    def squares(self) -> np.ndarray:
        """E[a^2] at each position: as variance goes, which is exact for rectifiers without a mean."""
        return self.variance * (self.moments.square / self.variance.mean())

    def relative_square(self) -> float:
        """E[mean a^2 / max a^2] of a sample."""
        rising = self.activation in ("relu", "sigmoid", "gelu")
        return relative_square(
            self.channels, self.variance, self.correlation, mean=self.mean, of=self.of, two_sided=not rising,
            function=_functions(self.activation)[0], spread=self.spread,
        )  # fmt: skip

    def normal(self) -> Field:
        """Return a normal field of the same mean, variance and covariance."""
        found = self.moments
        variance = max(found.square - found.mean**2, 1e-30)
        return Field(
            self.channels, self.variance * (variance / self.variance.mean()), max(found.cross - found.mean**2, 0.0) / variance,
            found.mean, spread=self.spread,
        )  # fmt: skip


@dataclass(frozen=True)
class Stress:
    """Stress of one sample: normal numbers of `variance` at each position, of which a share is other than zero."""

    channels: int
    variance: np.ndarray
    correlation: float = 0.0
    share: float = 1.0
    spread: float = 0.0

    @property
    def squares(self) -> np.ndarray:
        """E[d^2] at each position."""
        return self.variance * self.share

    def plus(self, other: Stress | None) -> Stress:
        """Return the sum of two independent stresses."""
        if other is None:
            return self
        total = self.squares + other.squares
        cross = self.correlation * self.squares.mean() + other.correlation * other.squares.mean()
        spread = _summed_spread([self.squares, other.squares], [self.spread, other.spread])
        return Stress(self.channels, total, float(cross / total.mean()), spread=spread)


def _summed_spread(squares: list[np.ndarray], spreads: list[float]) -> float:
    sizes = np.array([float(np.mean(each)) for each in squares])
    return float((sizes**2 @ np.array(spreads)) / sizes.sum() ** 2) if sizes.any() else 0.0


def _window_spread(own: float, spread: float, channels: int, kernel: tuple[int, int]) -> float:
    """Return the relative variance, by chance, of a window's sum of squares: of its numbers, and what they inherit.

    Neighbours share most of their windows, so a window of n keeps of what it inherits the mean of 1 - |i - j| / n.
    """
    kept = 1.0
    for n in kernel:
        kept *= 1 - (n * n - 1) / (3 * n * n)
    return own / (channels * kernel[0] * kernel[1]) + spread * kept


def _functions(activation: str) -> tuple[Function, Function]:
    forward, pullback = ACTIVATIONS[activation]
    return (lambda u: forward(np.asarray(u, np.float64))[0]), (lambda u: pullback(np.ones_like(u), forward(u)[1]))


def expected_statistics(network: Network, hardware: Hardware) -> Statistics:
    """Return how hard the lines of every weight stage are expected to be driven.

    Examples
    --------
    >>> from dbpsim.crossbar import load_hardware
    >>> from dbpsim.network.models import mlp
    >>> found = expected_statistics(mlp(784, 256, 10), load_hardware("ideal"))
    >>> 0.05 < found.forward["dense2"] < 0.08  # a rectifier's output: half of it zero, the largest 3 sigma
    True
    """
    shape = network.input_shape
    fields = {INPUT: Field(shape[-1], np.ones(shape[:-1]))}
    seen: dict[str, list[Field]] = {}
    for stage in network.stages:
        seen[stage.name] = _through(stage, [fields[parent] for parent in stage.parents])
        fields[stage.name] = seen[stage.name][-1]
    forward = {stage.name: _forward_drive(stage, seen[stage.name], hardware.dac) for stage in network.weight_stages}
    transposed = _back(network, seen, hardware.dac)
    common = {}
    for stage in network.weight_stages:
        found = seen[stage.name][_weight_place(stage)].moments
        common[stage.name] = found.mean**2 / found.square if found.square > 0 else 0.0
    said = "drives: expected for random weights and independent inputs (cost.drive_law)"
    return Statistics(forward, transposed, said, common)


def _through(stage: Stage, inputs: list[Field]) -> list[Field]:
    # What each layer is given, and what the last one gives.
    found = [_joined(inputs) if len(inputs) > 1 else inputs[0]]
    for layer in stage.layers:
        found.append(_after(layer, found[-1]))
    return found


def _joined(inputs: list[Field]) -> Field:
    normal = [field.normal() for field in inputs]
    total = sum(field.variance for field in normal)
    cross = sum(field.correlation * field.variance.mean() for field in normal)
    spread = _summed_spread([field.variance for field in normal], [field.spread for field in normal])
    mean = sum(field.mean for field in normal)
    return Field(normal[0].channels, np.asarray(total), float(cross / np.mean(total)), mean, spread=spread)


def _weight_variance(layer: WeightLayer) -> float:
    weight = layer.parameters["weight"].ravel(order="K")
    return float(np.dot(weight, weight)) / weight.size


def _after(layer: Layer, field: Field) -> Field:
    if isinstance(layer, Conv2d):
        taps = patches(field.squares[None, :, :, None], layer.kernel, layer.stride, layer.padding).sum(axis=1)
        variance = _weight_variance(layer) * field.channels * taps.reshape(layer.output_size)
        spread = _window_spread(field.moments.own, field.spread, field.channels, layer.kernel)
        return Field(layer.channels, variance, _cross(field), spread=spread)
    if isinstance(layer, Dense):
        if len(layer.input_shape) == 1:
            return Field(layer.units, np.asarray(_weight_variance(layer) * field.channels * field.squares.sum()))
        spread = _window_spread(field.moments.own, field.spread, field.channels, (1, 1))
        return Field(layer.units, _weight_variance(layer) * field.channels * field.squares, _cross(field), spread=spread)
    if isinstance(layer, Activation):
        return replace(field if field.activation == "identity" else field.normal(), activation=layer.kind)
    if isinstance(layer, MaxPool):
        of = field.of * math.prod(layer.size)
        return replace(field, variance=_pooled(field.variance, layer), of=of, spread=_POOLED * field.spread)
    if isinstance(layer, AveragePool | GlobalPool):
        return _averaged(layer, field)
    if isinstance(layer, BatchNorm):
        normal = field.normal()
        return Field(field.channels, normal.variance / normal.variance.mean(), spread=field.spread)
    if isinstance(layer, LayerNorm):  # a position's sum of squares is fixed: chance cancels in the next window
        normal = Field(field.channels, np.ones(field.variance.shape), field.normal().correlation)
        return replace(normal, spread=-normal.moments.own / field.channels)
    if isinstance(layer, Flatten) and layer.axes > 1:
        return replace(field, variance=field.variance.reshape(-1))
    if isinstance(layer, Attention):
        return _attended(field.normal())
    return field


def _cross(field: Field) -> float:
    found = field.moments
    return found.cross / found.square if found.square > 0 else 0.0


def _pooled(values: np.ndarray, layer: MaxPool | AveragePool) -> np.ndarray:
    rows = patches(values[None, :, :, None], layer.size, layer.stride, (0, 0))
    height, width = ((n - k) // s + 1 for n, k, s in zip(values.shape, layer.size, layer.stride, strict=True))
    return rows.mean(axis=1).reshape(height, width)


def _averaged(layer: AveragePool | GlobalPool, field: Field) -> Field:
    if isinstance(layer, GlobalPool) and layer.kind == "max":
        return replace(field, variance=field.variance.mean()[None][0] * np.ones(()), of=field.of * field.variance.size)
    normal = field.normal()
    over = normal.variance.size if isinstance(layer, GlobalPool) else math.prod(layer.size)
    kept = normal.correlation + (1 - normal.correlation) / over
    variance = np.asarray(normal.variance.mean()) if isinstance(layer, GlobalPool) else _pooled(normal.variance, layer)
    return Field(field.channels, variance * kept, normal.correlation / kept, normal.mean)


def _attended(field: Field) -> Field:
    # Logits of unit variance: the softmax over T positions has sum of squares e / T.
    spread = min(1.0, math.e / field.variance.size)
    kept = field.correlation + (1 - field.correlation) * spread
    return Field(field.channels // 3, np.full(field.variance.shape, field.variance.mean() * kept), field.correlation / kept)


def _weight_place(stage: Stage) -> int:
    return next(i for i, layer in enumerate(stage.layers) if isinstance(layer, WeightLayer))


def _forward_drive(stage: Stage, fields: list[Field], dac: Converter) -> float:
    place = _weight_place(stage)
    layer, field = stage.layers[place], fields[place]
    covered = 1.0
    if isinstance(layer, Conv2d):
        covered = float(patches(field.squares[None, :, :, None], layer.kernel, layer.stride, layer.padding).mean())
        covered /= float(field.squares.mean())
    if dac.mode(False) == "sample":
        return covered * field.relative_square()
    return covered * _in_range(field.moments.values, dac, False)


def _in_range(values: np.ndarray, dac: Converter, transposed: bool) -> float:
    # E[min(a^2, L^2)] / L^2, of values that are equally likely but for z.
    limit = dac.fixed(transposed)
    magnitudes = np.abs(values[values != 0])
    if not limit:
        limit = float(np.percentile(magnitudes, dac.percentile)) if magnitudes.size else 1.0
    return float(np.minimum(np.square(values / limit), 1.0).mean())


def _back(network: Network, seen: dict[str, list[Field]], dac: Converter) -> dict[str, float]:
    found: dict[str, float] = {}
    stress: dict[str, Stress] = {}
    for stage in reversed(network.stages):
        fields = seen[stage.name]
        at_output = stage.name == network.output
        d, drive = _of_loss(network, fields[-1], dac) if at_output else (stress[stage.name], None)
        for place in range(len(stage.layers) - 1, -1, -1):
            layer = stage.layers[place]
            if isinstance(layer, WeightLayer) and read_back(stage):
                own = drive is not None and place == len(stage.layers) - 1
                found[stage.name] = drive if own else _transposed_drive(d, dac)  # type: ignore[assignment]
            d = _before(layer, d, fields, place, stage.layers)
        for parent in stage.parents:
            stress[parent] = d.plus(stress.get(parent))
    return found


def _of_loss(network: Network, field: Field, dac: Converter) -> tuple[Stress, float]:
    shape = network.stages[-1].shape
    random = stream(0, "expected drives", "loss")
    outputs = field.mean + random.standard_normal((_OUTPUTS, *shape)) * math.sqrt(field.moments.square)
    targets = np.arange(_OUTPUTS) % shape[-1] if len(shape) == 1 else random.standard_normal(outputs.shape)
    d = network.loss.gradient(outputs, targets).reshape(_OUTPUTS, -1)
    square = np.square(d).mean(axis=1)
    drive = float(np.mean(square / np.square(d).max(axis=1))) if dac.mode(True) == "sample" else _in_range(d, dac, True)
    return Stress(field.channels, np.full(field.variance.shape, square.mean())), drive


def _transposed_drive(d: Stress, dac: Converter) -> float:
    if dac.mode(True) == "sample":
        return relative_square(d.channels, d.variance, d.correlation, share=d.share, spread=d.spread)
    normal = math.sqrt(float(d.variance.mean())) * ndtri((np.arange(1024) + 0.5) / 1024)
    return d.share * _in_range(normal, dac, True)


def _before(layer: Layer, d: Stress, fields: list[Field], place: int, layers: list[Layer]) -> Stress:
    # Stress in front of a layer; `fields` has what it was given at `place`.
    given = fields[place]
    shape = given.variance.shape
    cross = d.correlation
    if isinstance(layer, Conv2d):
        rows = np.repeat(d.squares.reshape(-1, 1), math.prod(layer.kernel), axis=1)
        taps = fold(rows, (1, *shape, 1), layer.kernel, layer.stride, layer.padding)[0, :, :, 0]  # type: ignore[arg-type]
        own = (3 / d.share - 1) * (1 - cross**2)  # of normal numbers, most of them zero
        spread = _window_spread(own, d.spread, d.channels, layer.kernel)
        return Stress(given.channels, _weight_variance(layer) * d.channels * taps, cross, spread=spread)
    if isinstance(layer, Dense):
        squares = np.broadcast_to(d.squares if len(layer.input_shape) > 1 else d.squares.mean(), shape)
        if len(layer.input_shape) == 1:
            return Stress(given.channels, _weight_variance(layer) * d.channels * squares)
        spread = _window_spread((3 / d.share - 1) * (1 - cross**2), d.spread, d.channels, (1, 1))
        return Stress(given.channels, _weight_variance(layer) * d.channels * squares, cross, spread=spread)
    if isinstance(layer, Activation):
        gate = _gate(fields, place, layers)
        r = cross * (gate.gate_cross / gate.gate if gate.gate > 0 else 0.0)
        return replace(d, share=d.share * gate.gate, correlation=r)
    if isinstance(layer, MaxPool | AveragePool):
        return _spread(layer, d, shape)
    if isinstance(layer, GlobalPool):
        positions = given.variance.size
        if layer.kind == "max":
            return Stress(d.channels, np.full(shape, float(d.variance.mean())), 0.0, d.share / positions)
        return Stress(d.channels, np.full(shape, float(d.squares.mean()) / positions**2), 1.0)
    if isinstance(layer, BatchNorm | LayerNorm):
        normal = given.normal()
        chance = 0.0 if isinstance(layer, BatchNorm) else normal.spread + normal.moments.own / given.channels
        return replace(d, variance=d.variance / max(float(normal.variance.mean()), 1e-30), spread=d.spread + chance)
    if isinstance(layer, Attention):  # to the values: what comes to queries and keys is less by sum P^2 = e / T
        kept = cross + (1 - cross) * min(1.0, math.e / given.variance.size)
        return Stress(given.channels, d.squares * kept, cross / kept, 1 / 3, d.spread)
    return d if isinstance(layer, Add) or d.variance.shape == shape else replace(d, variance=d.variance.reshape(shape))


def _gate(fields: list[Field], place: int, layers: list[Layer]) -> Moments:
    # Through a pool behind it only the largest comes back, whose gate is open more often.
    last = place + 1
    while last < len(layers) and isinstance(layers[last], MaxPool):
        last += 1
    return fields[last].moments


def _spread(layer: MaxPool | AveragePool, d: Stress, shape: tuple[int, ...]) -> Stress:
    # A window's stress to all of its positions, or to one of them.
    of, largest = math.prod(layer.size), isinstance(layer, MaxPool)
    rows = np.repeat(d.variance.reshape(-1, 1), of, axis=1) / (1 if largest else of**2)
    spread = fold(rows, (1, *shape, 1), layer.size, layer.stride, (0, 0))[0, :, :, 0]  # type: ignore[arg-type]
    return replace(d, variance=spread, share=d.share / of if largest else d.share)
