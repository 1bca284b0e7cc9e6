"""The same weights and batch in PyTorch give the same loss, gradients and running averages (optional extra `torch`)."""

import numpy as np
import pytest

from dbpsim.credit.backprop import backprop
from dbpsim.credit.relax import relax
from dbpsim.network.layers import Conv2d, Dense
from dbpsim.network.losses import CrossEntropy
from dbpsim.network.models import mlp, resnet18, vgg9

torch = pytest.importorskip("torch")
F = torch.nn.functional

IMAGE = {"classes": 4, "dtype": "float64", "seed": 3}
MODELS = {
    "mlp": lambda: mlp(12, 9, 7, 4, input_shape=(2, 2, 3), dtype="float64", seed=3),
    "vgg9": lambda: vgg9(input_shape=(8, 8, 3), width=3, **IMAGE),
    "vgg9 normalised": lambda: vgg9(input_shape=(8, 8, 3), width=3, normalise=True, loss=CrossEntropy(0.1), **IMAGE),
    "resnet18": lambda: resnet18(input_shape=(16, 16, 3), width=2, **IMAGE),
}


class Twin:
    """One network's weights as PyTorch tensors, NCHW, and its layers written out in PyTorch."""

    def __init__(self, net):
        self.net = net
        self.parameters = {k: torch.tensor(_to_torch(v), requires_grad=True) for k, v in net.parameters.items()}
        self.buffers = {k: torch.tensor(v.copy()) for k, v in net.buffers.items()}

    def weight(self, stage, a):
        """Apply the stage's weight layer, and the batch norm behind it if there is one."""
        layer = self.net.stages[[s.name for s in self.net.stages].index(stage)].weight_layer
        w, b = self.parameters[f"{stage}.weight"], self.parameters.get(f"{stage}.bias")
        if isinstance(layer, Dense):
            return F.linear(a, w, b)
        assert isinstance(layer, Conv2d)
        a = F.conv2d(a, w, b, layer.stride, layer.padding)
        if f"{stage}.scale" not in self.parameters:
            return a
        mean, variance = self.buffers[f"{stage}.mean"], self.buffers[f"{stage}.variance"]
        scale, shift = self.parameters[f"{stage}.scale"], self.parameters[f"{stage}.shift"]
        return F.batch_norm(a, mean, variance, scale, shift, training=True, momentum=0.1, eps=1e-5)

    def mlp(self, x):
        a = torch.tensor(x.reshape(len(x), -1))
        for name in ("dense1", "dense2"):
            a = F.relu(self.weight(name, a))
        return self.weight("dense3", a)

    def vgg9(self, x):
        a = torch.tensor(x.transpose(0, 3, 1, 2))
        for number in range(1, 7):
            a = F.relu(self.weight(f"conv{number}", a))
            a = F.max_pool2d(a, 2) if number % 2 == 0 else a
        a = a.permute(0, 2, 3, 1).flatten(1)
        for name in ("dense7", "dense8"):
            a = F.relu(self.weight(name, a))
        return self.weight("dense9", a)

    def resnet18(self, x):
        a = F.relu(self.weight("stem", torch.tensor(x.transpose(0, 3, 1, 2))))
        for name in [f"block{group}_{block}" for group in range(1, 5) for block in (1, 2)]:
            skip = self.weight(f"{name}_skip", a) if f"{name}_skip.weight" in self.parameters else a
            a = F.relu(self.weight(f"{name}_conv2", F.relu(self.weight(f"{name}_conv1", a))) + skip)
        return self.weight("head", a.mean((2, 3)))

    def step(self, x, y):
        """Return loss and gradients, the latter in this project's layout."""
        forward = getattr(self, self.net.name.partition(":")[0])
        loss = F.cross_entropy(forward(x), torch.tensor(y), label_smoothing=self.net.loss.label_smoothing)
        loss.backward()
        return loss.item(), {k: _from_torch(p.grad.numpy()) for k, p in self.parameters.items()}


def _to_torch(a):
    return np.ascontiguousarray(a.transpose(3, 2, 0, 1)) if a.ndim == 4 else a.copy()


def _from_torch(a):
    return a.transpose(2, 3, 1, 0) if a.ndim == 4 else a


@pytest.mark.parametrize("how", ["backprop", "relax"])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_agree_with_pytorch(name, how):
    net = MODELS[name]()
    random = np.random.default_rng(4)
    for value in net.parameters.values():  # biases, shifts and scales that matter
        value += 0.1 * random.standard_normal(value.shape)
    x, y = random.standard_normal((6, *net.input_shape)), random.integers(0, 4, 6)
    twin = Twin(net)
    loss, gradients = twin.step(x, y)
    found = backprop(net, x, y) if how == "backprop" else relax(net, x, y)
    assert found.loss == pytest.approx(loss, rel=1e-12)  # a sum of six in another order
    assert found.gradients.keys() == gradients.keys()
    for key, value in gradients.items():
        # Float64 sums in another order, through Winograd, over a depth of up to 26: 1e-14, batch norms add a digit or two.
        assert np.linalg.norm(found.gradients[key] - value) <= 1e-9 * np.linalg.norm(value) + 1e-14, key
    for key, value in found.statistics.items():
        np.testing.assert_allclose(value, twin.buffers[key].numpy(), rtol=1e-9, atol=1e-12, err_msg=key)
