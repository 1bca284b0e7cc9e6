"""Digital weight operators: the seam at which a weight layer meets whatever multiplies.

A weight layer owns one linear operator W and asks it for three things:

    forward(a)      u = W a
    transpose(d)    W^T d
    outer(d, a)     dC/dW = sum over the batch of d a^T

The operators here call digital kernels.  `dbpsim.crossbar.operators` has the ones that read
simulated arrays; nothing above this file can tell them apart.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dbpsim.kernels import convolution
from dbpsim.kernels.memory import empty


class Operator(Protocol):
    """What a weight layer asks of the thing that holds its weights."""

    @property
    def noisy(self) -> bool:
        """Whether two reads of the same input may differ."""

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Return W a."""

    def transpose(self, d: np.ndarray) -> np.ndarray:
        """Return W^T d."""

    def outer(self, d: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return the gradient of the weight, summed over the batch."""

    def write(self, weight: np.ndarray) -> None:
        """Make the operator hold `weight`."""


class DenseOperator:
    """A matrix acting on the last axis.

    Parameters
    ----------
    weight : array, shape (out, in)
        Aliased, not copied: the operator always holds the parameter's present value.
    """

    noisy = False

    def __init__(self, weight: np.ndarray) -> None:
        self.weight = weight

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Return W a for `a` of shape (..., in)."""
        return _matmul(a, self.weight.T)

    def transpose(self, d: np.ndarray) -> np.ndarray:
        """Return W^T d for `d` of shape (..., out)."""
        return _matmul(d, self.weight)

    def outer(self, d: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return dC/dW, shape (out, in), summed over all leading axes."""
        return d.reshape(-1, d.shape[-1]).T @ a.reshape(-1, a.shape[-1])

    def write(self, weight: np.ndarray) -> None:
        """Take over the values of `weight` (nothing to do when it is the aliased array)."""
        if weight is not self.weight:
            self.weight[...] = weight


class ConvolutionOperator:
    """A two-dimensional convolution of NHWC images.

    Parameters
    ----------
    weight : array, shape (kernel height, kernel width, in, out)
        Aliased, not copied.
    input_shape : (height, width, channels)
    stride, padding : (vertical, horizontal)
    """

    noisy = False

    def __init__(
        self,
        weight: np.ndarray,
        input_shape: tuple[int, int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> None:
        self.weight = weight
        self.input_shape = input_shape
        self.stride = stride
        self.padding = padding

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Return W a for `a` of shape (N, H, W, in)."""
        return convolution.convolve(a, self.weight, self.stride, self.padding)

    def transpose(self, d: np.ndarray) -> np.ndarray:
        """Return W^T d, shape (N, H, W, in), for `d` of shape (N, OH, OW, out)."""
        shape = (len(d), *self.input_shape)
        return convolution.convolve_transposed(d, self.weight, shape, self.stride, self.padding)

    def outer(self, d: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return dC/dW, shaped like the weight, summed over the batch and all positions."""
        kernel_shape = (self.weight.shape[0], self.weight.shape[1])
        return convolution.convolve_outer(d, a, kernel_shape, self.stride, self.padding)

    def write(self, weight: np.ndarray) -> None:
        """Take over the values of `weight` (nothing to do when it is the aliased array)."""
        if weight is not self.weight:
            self.weight[...] = weight


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    flat = a.reshape(-1, a.shape[-1])
    out = empty((len(flat), b.shape[1]), a.dtype)
    np.matmul(flat, b, out=out)
    return out.reshape(*a.shape[:-1], b.shape[1])
