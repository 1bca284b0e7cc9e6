"""Weight transport: what it costs when the stress travels back through other cells than the activity came through.

A crossbar can be read forward (W) and transposed (W^T), so that both ways share every error of every cell, and the gradient is
that of the weights the chip really holds.  A replica for the way back has errors of its own.  This prints how far
the gradient is from the exact one of the weights held, for both, and from that of the weights wanted.

    python examples/weight_transport.py --hardware pcm --chips 4
"""

import argparse
import sys

import numpy as np

import dbpsim as dbp

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--hardware", nargs="+", default=["pcm", "hermes", "neurram"], help="presets or TOML files")
arguments.add_argument("--chips", type=int, default=2, help="chips of each kind (default 2)")
arguments.add_argument("--width", type=int, default=16, help="width of the VGG9 (default 16)")
arguments.add_argument("--batch", type=int, default=32)


def relative(found: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> float:
    """Return |found - exact| / |exact| over all gradients."""
    return float(np.sqrt(sum(((found[k] - g) ** 2).sum() for k, g in exact.items()) / sum((g**2).sum() for g in exact.values())))


def held_by(chip: dbp.Chip, width: int) -> dbp.Network:
    """Return the digital network with the weights that the cells of `chip` hold."""
    network = dbp.models.vgg9(width=width, seed=0)
    for name, crossbar in chip.crossbars.items():
        network.parameters[f"{name}.weight"][...] = crossbar.weight
    return network


def main(options: argparse.Namespace) -> None:
    """Print the table."""
    network = dbp.models.vgg9(width=options.width, seed=0)
    x, y = dbp.datasets.load("digits")[0].batch(options.batch)
    wanted = dbp.backprop(network, x, y).gradients
    print("relative error of the whole gradient        of the weights held    of the weights wanted")
    for hardware in options.hardware:
        for transpose in ("same", "replica"):
            errors = []
            for seed in range(options.chips):
                kind = dbp.load_hardware(hardware, {"mapping.transpose": transpose, "effects.read_noise": False})
                chip = dbp.Chip.program(network, kind, seed=seed)
                found = dbp.backprop(chip, x, y).gradients
                held = dbp.backprop(held_by(chip, options.width), x, y).gradients
                errors.append((relative(found, held), relative(found, wanted)))
            of_held, of_wanted = np.mean(errors, axis=0)
            print(f"{hardware:12s} way back: {transpose:8s} cells {of_held:20.3f} {of_wanted:24.3f}")


if __name__ == "__main__":
    try:
        main(arguments.parse_args())
    except ValueError as error:
        sys.exit(str(error))
