"""A dense chain as plain matrices, which all the neighbours share.

    u_l = W_l a_{l-1} + c_l        a_l = phi(u_l) below the top, a_L = u_L        a_0 = x

The methods work with the cost of one sample, C_n; gradients are means over the batch, as `backprop`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.network.activations import ACTIVATIONS, Activation
from dbpsim.network.graph import Network
from dbpsim.network.layers import Dense, Flatten
from dbpsim.network.losses import Loss

Layers = list[np.ndarray]  # one array (N, units) a layer


@dataclass(frozen=True)
class Chain:
    """Weights, biases and the activation of a chain of dense layers, float64.

    Attributes
    ----------
    weights : list of array, shape (outputs, inputs)
    biases : list of array, shape (outputs,)
    activation : str
        Of all layers but the last, which is linear.
    loss : Loss
    """

    weights: Layers
    biases: Layers
    activation: str
    loss: Loss

    def __len__(self) -> int:
        return len(self.weights)

    def forward_reads(self, x: np.ndarray, a: Layers) -> Layers:
        """Return u_l = W_l a_{l-1} + c_l of every layer at the activations `a`."""
        return [p @ w.T + c for w, c, p in zip(self.weights, self.biases, [x, *a[:-1]], strict=True)]

    def transposed_reads(self, d: Layers, top: np.ndarray) -> Layers:
        """Return W_{l+1}^T d_{l+1} of every layer, and `top` for the last."""
        return [above @ w for w, above in zip(self.weights[1:], d[1:], strict=True)] + [top]

    def fired(self, u: Layers) -> Layers:
        """Return phi(u_l); the last layer as it is."""
        phi, _ = ACTIVATIONS[self.activation]
        return [phi(each)[0] for each in u[:-1]] + [u[-1]]

    def gated(self, u: Layers, d: Layers) -> Layers:
        """Return phi'(u_l) d_l; the last layer as it is."""
        phi, slope = ACTIVATIONS[self.activation]
        return [slope(each, phi(v)[1]) for v, each in zip(u[:-1], d[:-1], strict=True)] + [d[-1]]

    def sweep(self, x: np.ndarray) -> Layers:
        """Return the activations of one forward pass."""
        a: Layers = []
        for number, (w, c) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            u = (a[-1] if a else x) @ w.T + c
            a.append(u if number == len(self) else ACTIVATIONS[self.activation][0](u)[0])
        return a

    def pull(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC_n/da of every sample at the outputs `a`."""
        return self.loss.gradient(a, y) * len(a)

    def outer(self, d: Layers, a: Layers, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the batch mean of d_l a_{l-1}^T and of d_l, under the names of the network's parameters."""
        found = {}
        for number, (error, below) in enumerate(zip(d, [x, *a[:-1]], strict=True), 1):
            found[f"dense{number}.weight"] = error.T @ below / len(x)
            found[f"dense{number}.bias"] = error.mean(axis=0)
        return found


def chain_of(network: Network) -> Chain:
    """Return the chain that `network`, an `mlp`, is.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> net, x = mlp(4, 3, 2, dtype="float64"), np.ones((1, 4))
    >>> np.array_equal(chain_of(net).sweep(x)[-1], net.forward(x))
    True
    """
    kinds = {layer.kind for stage in network.stages for layer in stage.layers if isinstance(layer, Activation)}
    plain = all(isinstance(layer, Dense | Activation | Flatten) for stage in network.stages for layer in stage.layers)
    named = [stage.name for stage in network.stages] == [f"dense{n}" for n in range(1, len(network.stages) + 1)]
    if not plain or not named or len(kinds) > 1:
        raise ValueError(f"model: found {network.name}; accepted: mlp:INPUTS-...-OUTPUTS.")
    values = {name: value.astype(np.float64) for name, value in network.parameters.items()}
    numbers = range(1, len(network.stages) + 1)
    weights, biases = ([values[f"dense{n}.{kind}"] for n in numbers] for kind in ("weight", "bias"))
    return Chain(weights, biases, kinds.pop() if kinds else "identity", network.loss)
