"""What aihwkit's own tiles do: weights of its preset devices after pulses up, then down.  Run once, where it is installed.

    .venv-peers-aihwkit/bin/python tests/reference/aihwkit_pulses.py

writes aihwkit_pulses.json beside this file: of every device mean and spread over 40,000 cells (one in the exact runs) after so
many pulses, "exact" without any spread, "noisy" as the preset has it but for the write noise and the references, which
have no counterpart here.  Each update is one pulse a cell: bit length 1, both probabilities 1.
"""

import json
from pathlib import Path

import torch
from aihwkit.simulator.configs import SingleRPUConfig
from aihwkit.simulator.presets import devices
from aihwkit.simulator.tiles.analog import AnalogTile

PULSES = {"ReRamES": 300, "ReRamSB": 300, "Capacitor": 150, "EcRam": 300, "EcRamMO": 1500, "Idealized": 1500, "GokmenVlasov": 300,
          "PCM": 15, "ReRamArrayOM": 15, "ReRamArrayHfO2": 6}  # fmt: skip
QUIET = ("dw_min_dtod", "dw_min_std", "up_down_dtod", "w_max_dtod", "w_min_dtod", "gamma_up_dtod", "gamma_down_dtod",
         "dw_min_std_add", "dw_min_std_slope")  # fmt: skip
SILENT = ("write_noise_std", "reference_std", "lifetime", "reset", "reset_dtod")


def run(name: str, quiet: bool, size: int) -> list[dict[str, float]]:
    """Return (pulses, mean, spread) up and then down."""
    device = getattr(devices, f"{name}PresetDevice")()
    for key in (*SILENT, *(QUIET if quiet else ())):
        if hasattr(device, key):
            setattr(device, key, 0.0)
    if hasattr(device, "subtract_symmetry_point"):
        device.subtract_symmetry_point = False
    config = SingleRPUConfig(device=device)
    config.update.desired_bl = 1
    config.update.update_bl_management = config.update.update_management = False
    tile = AnalogTile(size, size, config)
    tile.set_weights(torch.zeros(size, size))
    tile.set_learning_rate(1e3 * device.dw_min)  # probabilities beyond 1 are 1, whatever the granularity
    x, found, done = torch.ones(1, size), [], 0
    for direction in (1, -1):
        if name == "PCM" and direction < 0:
            break
        for part in range(3):
            upto = PULSES[name] * (part + 1) // 3
            for _ in range(upto - done):
                tile.update(x, -direction * x)
            done = upto
            w = tile.get_weights()[0].double()
            spread = w.std().item() if size > 1 else 0.0
            found.append({"direction": direction, "pulses": upto, "mean": w.mean().item(), "spread": spread})
        done = 0
    return found


if __name__ == "__main__":
    torch.manual_seed(1)
    curves = {name: {"exact": run(name, True, 1), "noisy": run(name, False, 200)} for name in PULSES}
    Path(__file__).with_suffix(".json").write_text(json.dumps(curves, indent=1) + "\n", encoding="utf-8")
