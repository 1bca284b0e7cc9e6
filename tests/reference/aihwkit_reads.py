"""How far reads of aihwkit's own tile lie from exact products; run once, where it is installed: test_aihwkit_reads.py."""

import numpy as np
import torch
from aihwkit.simulator import presets
from aihwkit.simulator.tiles.analog import AnalogTile

if __name__ == "__main__":
    torch.manual_seed(1)
    random = np.random.default_rng(0)
    weights = random.uniform(-0.5, 0.5, (200, 256)).astype(np.float32)
    weights[0, 0] = 1.0
    x = random.standard_normal((512, 256)).astype(np.float32)
    d = (random.standard_normal((512, 200)) / 128).astype(np.float32)
    config = presets.IdealizedPreset()
    config.device.w_max_dtod = config.device.w_min_dtod = 0.0
    tile = AnalogTile(200, 256, config)
    tile.set_weights(torch.tensor(weights))
    forward, backward = tile.forward(torch.tensor(x)).detach().numpy(), tile.backward(torch.tensor(d)).detach().numpy()
    print((forward - x @ weights.T).std(), (backward - d @ weights).std())
