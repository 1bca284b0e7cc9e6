"""Layers: the maps a stage is made of, each with its pullback.

A layer is y = f(x; theta).  `forward` returns y and a *memory* of what the pullback needs;
``pullback(memory, d)`` is the adjoint of the derivative at that point, J_x^T d, and
``gradients(memory, d)`` is J_theta^T d.  Backpropagation and relaxation are both built from these three.

This file holds the weight layers and the ones that only move numbers; `activations`, `pooling`,
`normalisation` and `attention` hold the rest.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from dbpsim.kernels.normalisation import add_bias
from dbpsim.network.operators import ConvolutionOperator, DenseOperator, Operator

Shape = tuple[int, ...]


class Layer:
    """What every layer offers.  Shapes exclude the batch axis.

    A layer is described by its constructor and becomes usable when a `Network` builds it: `build`
    receives the input's shape, fills `parameters` (and `buffers`) and returns the output's shape.
    """

    joins: ClassVar[bool] = False  # takes a list of inputs instead of one

    def __init__(self) -> None:
        self.parameters: dict[str, np.ndarray] = {}
        self.buffers: dict[str, np.ndarray] = {}

    def build(self, shape: Any, dtype: np.dtype, random: np.random.Generator) -> Shape:
        """Allocate parameters for inputs of `shape` and return the output's shape.

        Raises
        ------
        ValueError
            If the layer cannot take inputs of this shape.
        """
        raise NotImplementedError

    def forward(self, x: Any, training: bool) -> tuple[np.ndarray, Any]:
        """Return f(x) and the memory that `pullback` and `gradients` need."""
        raise NotImplementedError

    def pullback(self, memory: Any, d: np.ndarray) -> Any:
        """Return J_x^T d."""
        raise NotImplementedError

    def gradients(self, memory: Any, d: np.ndarray) -> dict[str, np.ndarray]:
        """Return J_theta^T d, one array a parameter."""
        return {}

    def statistics(self, memory: Any) -> dict[str, np.ndarray]:
        """Return what a finished training step makes of the buffers (batch norm's averages)."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._describe()})"

    def _describe(self) -> str:
        return ""


class WeightLayer(Layer):
    """A layer whose map is W x + b: `operator` holds W, and a chip puts a crossbar there."""

    operator: Operator

    def __init__(self, gain: float, bias: bool) -> None:
        super().__init__()
        self.gain = gain
        self.has_bias = bias

    def _allocate(self, shape: Shape, fan_in: int, outputs: int, dtype: np.dtype, random: np.random.Generator) -> None:
        # He et al. 2015 (doi 10.1109/ICCV.2015.123) for gain sqrt(2), LeCun for gain 1; drawn in float64
        # so that a float32 and a float64 network of one seed hold the same weights up to rounding.
        self.parameters["weight"] = (random.standard_normal(shape) * (self.gain / math.sqrt(fan_in))).astype(dtype)
        if self.has_bias:
            self.parameters["bias"] = np.zeros(outputs, dtype)

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates of one forward pass of one sample."""
        raise NotImplementedError

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, np.ndarray]:
        u = self.operator.forward(x)
        return (add_bias(u, self.parameters["bias"]) if self.has_bias else u), x

    def pullback(self, memory: np.ndarray, d: np.ndarray) -> np.ndarray:
        return self.operator.transpose(d)

    def gradients(self, memory: np.ndarray, d: np.ndarray) -> dict[str, np.ndarray]:
        found = {"weight": self.operator.outer(d, memory)}
        if self.has_bias:
            rows = d.reshape(-1, d.shape[-1])
            found["bias"] = np.ones(len(rows), d.dtype) @ rows
        return found


class Dense(WeightLayer):
    """y = W x + b on the last axis.

    Parameters
    ----------
    units : int
        Number of outputs.
    bias : bool
    gain : float
        Initial weights have standard deviation gain / sqrt(inputs); sqrt(2) suits ReLU.
    """

    def __init__(self, units: int, *, bias: bool = True, gain: float = 1.0) -> None:
        super().__init__(gain, bias)
        self.units = units

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        self.input_shape = shape
        self._allocate((self.units, shape[-1]), shape[-1], self.units, dtype, random)
        self.operator = DenseOperator(self.parameters["weight"])
        return (*shape[:-1], self.units)

    @property
    def multiply_accumulates(self) -> int:
        return math.prod(self.input_shape) * self.units

    def _describe(self) -> str:
        return f"{self.units}"


class Conv2d(WeightLayer):
    """y = W * x + b, a two-dimensional convolution (correlation) of NHWC images.

    Parameters
    ----------
    channels : int
        Number of output channels.
    kernel, stride, padding : int or (int, int)
        ``padding="same"`` keeps the size of the image at stride 1 (odd kernels).
    bias : bool
    gain : float
        Initial weights have standard deviation gain / sqrt(kernel height x kernel width x channels in).
    identity : bool
        The first filters, one an input channel, begin as the identity: they hand their channel on (odd kernels; Zagoruyko
        and Komodakis 2017, arXiv:1706.00388, for plain networks without skips).
    """

    def __init__(
        self,
        channels: int,
        kernel: int | tuple[int, int] = 3,
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = "same",
        bias: bool = True,
        gain: float = math.sqrt(2.0),
        identity: bool = False,
    ) -> None:
        super().__init__(gain, bias)
        self.channels = channels
        self.identity = identity
        self.kernel = pair("kernel", kernel, 1)
        self.stride = pair("stride", stride, 1)
        if isinstance(padding, str):
            if padding != "same":
                raise ValueError(f"Conv2d padding: found {padding!r}; accepted: 'same', an integer or a pair of them.")
            self.padding = (self.kernel[0] // 2, self.kernel[1] // 2)
        else:
            self.padding = pair("padding", padding, 0)

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"Conv2d expects (height, width, channels); found {shape}.")
        size = [
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(shape[:2], self.kernel, self.stride, self.padding, strict=True)
        ]
        if min(size) < 1:
            raise ValueError(f"Conv2d: a {self.kernel} kernel with padding {self.padding} does not fit into {shape[:2]}.")
        self.input_shape, self.output_size = shape, (size[0], size[1])
        fan_in = math.prod(self.kernel) * shape[2]
        self._allocate((*self.kernel, shape[2], self.channels), fan_in, self.channels, dtype, random)
        if self.identity:
            handed_on = min(shape[2], self.channels)
            self.parameters["weight"][..., :handed_on] = 0
            centre = self.parameters["weight"][self.kernel[0] // 2, self.kernel[1] // 2]
            np.fill_diagonal(centre[:handed_on, :handed_on], 1)
        self.operator = ConvolutionOperator(
            self.parameters["weight"], (shape[0], shape[1], shape[2]), self.stride, self.padding
        )
        return (*self.output_size, self.channels)

    @property
    def multiply_accumulates(self) -> int:
        return math.prod(self.output_size) * math.prod(self.kernel) * self.input_shape[2] * self.channels

    def _describe(self) -> str:
        return f"{self.channels}, {self.kernel}, stride={self.stride}, padding={self.padding}"


class Flatten(Layer):
    """y = x as one axis, or as `axes` axes with the leading ones merged: ``Flatten(2)`` turns (H, W, C) into (H W, C)."""

    def __init__(self, axes: int = 1) -> None:
        super().__init__()
        self.axes = axes

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        if not 1 <= self.axes <= len(shape):
            raise ValueError(f"Flatten({self.axes}) expects at least {self.axes} axes; found {shape}.")
        kept = shape[len(shape) - self.axes + 1 :]
        self.output_shape = (math.prod(shape) // math.prod(kept), *kept)
        return self.output_shape

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Shape]:
        return x.reshape(len(x), *self.output_shape), x.shape

    def pullback(self, memory: Shape, d: np.ndarray) -> np.ndarray:
        return d.reshape(memory)


class Add(Layer):
    """y = x_1 + x_2 + ...: the residual connection.  First layer of a stage with several parents."""

    joins = True

    def build(self, shape: list[Shape], dtype: np.dtype, random: np.random.Generator) -> Shape:
        if len(set(shape)) != 1:
            raise ValueError(f"Add expects inputs of one shape; found {', '.join(map(str, shape))}.")
        return shape[0]

    def forward(self, x: list[np.ndarray], training: bool) -> tuple[np.ndarray, int]:
        total = x[0] + x[1] if len(x) > 1 else x[0].copy()
        for other in x[2:]:
            total += other
        return total, len(x)

    def pullback(self, memory: int, d: np.ndarray) -> list[np.ndarray]:
        return [d] * memory


class Concat(Layer):
    """y = (x_1, x_2, ...) along the last axis.  First layer of a stage with several parents."""

    joins = True

    def build(self, shape: list[Shape], dtype: np.dtype, random: np.random.Generator) -> Shape:
        if len({s[:-1] for s in shape}) != 1:
            raise ValueError(f"Concat expects equal leading axes; found {', '.join(map(str, shape))}.")
        self.ends = np.cumsum([s[-1] for s in shape]).tolist()
        return (*shape[0][:-1], self.ends[-1])

    def forward(self, x: list[np.ndarray], training: bool) -> tuple[np.ndarray, None]:
        return np.concatenate(x, axis=-1), None

    def pullback(self, memory: None, d: np.ndarray) -> list[np.ndarray]:
        return [np.ascontiguousarray(part) for part in np.split(d, self.ends[:-1], axis=-1)]


def pair(name: str, value: int | tuple[int, int], least: int) -> tuple[int, int]:
    """Return `value` as a pair of integers of at least `least`."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or any(not isinstance(v, int) or v < least for v in both):
        raise ValueError(f"{name}: found {value!r}; accepted: an integer of at least {least}, or a pair of them.")
    return both
