"""Wire resistance: what the lines of the arrays cost the gradient, over the resistance from cell to cell.

A cell far from driver and sense counts less than one near them.  The way back drives the other ends; by reciprocity it
still sees the same weights, to rounding, where drivers and senses have the same resistance: then the gradient is exact for the
weights that forward reads see, whatever the wires.  Where they differ, the stress travels through other weights.

For every resistance this prints the relative change of the weights that forward reads see, how far those of the way
back are from them, and the relative error of the whole gradient: against that of the weights seen and against that of the
weights wanted.

    python examples/wire_resistance.py --hardware ecram --ohm 0.23 1.34 4.92 --driver-ohm 500

The default resistances are those of one 4F-wide cell in copper lines of 130, 65, 45, 32, 22 and 14 nm nodes (DNN+NeuroSim
V2.1, Param.cpp); that of the drivers is assumed.
"""

import argparse
import sys
import time

import numpy as np

import dbpsim as dbp

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--hardware", default="pcm", help="preset or TOML file; its cells, without their other effects")
arguments.add_argument("--ohm", nargs="+", type=float, default=[0.23, 0.475, 1.337, 2.121, 2.967, 4.918], help="a cell")
arguments.add_argument("--driver-ohm", nargs="+", type=float, default=[0.0, 100.0], help="of drivers; senses have none")
arguments.add_argument("--tile", type=int, default=256, help="rows and columns of a tile (default 256)")
arguments.add_argument("--width", type=int, default=8, help="width of the VGG9 (default 8)")
arguments.add_argument("--batch", type=int, default=32)


def apart(found: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> float:
    """Return |found - exact| / |exact| over all arrays."""
    return dbp.fidelity(found, exact).whole.relative_error


def views(chip: dbp.Chip, way: int) -> dict[str, np.ndarray]:
    """Return the weights that forward (0) or transposed reads (1) see, as the arrays hold them."""
    return {f"{name}.weight": bar.tiles.views[way].weights for name, bar in chip.crossbars.items()}


def seen_by(chip: dbp.Chip, width: int) -> dbp.Network:
    """Return the digital network with the weights that forward reads of `chip` see."""
    network = dbp.models.vgg9(width=width, seed=0)
    for name, crossbar in chip.crossbars.items():
        network.parameters[f"{name}.weight"][...] = crossbar.weight
    return network


def main(options: argparse.Namespace) -> None:
    """Print the table."""
    network = dbp.models.vgg9(width=options.width, seed=0)
    x, y = dbp.datasets.load("digits")[0].batch(options.batch)
    wanted = dbp.backprop(network, x, y).gradients
    kind = dbp.load_hardware(options.hardware, {"tile.rows": options.tile, "tile.columns": options.tile})
    off = {f"effects.{name}": False for name in kind.effects.model_dump() if name != "wires"}
    kind = dbp.load_hardware(kind, off | {"dac.bits": "none", "adc.bits": "none"})
    bare = views(dbp.Chip.program(network, kind), 0)
    print("driver ohm   ohm a cell   weights seen   of the way back   gradient: of those seen   of those wanted   programmed in")
    for driver in options.driver_ohm:
        for ohm in options.ohm:
            wires = {"wires.segment_row_ohm": ohm, "wires.segment_column_ohm": ohm, "wires.driver_ohm": driver}
            start = time.perf_counter()
            chip = dbp.Chip.program(network, dbp.load_hardware(kind, wires))
            took = time.perf_counter() - start
            forward, back = views(chip, 0), views(chip, 1)
            found = dbp.backprop(chip, x, y).gradients
            errors = apart(found, dbp.backprop(seen_by(chip, options.width), x, y).gradients), apart(found, wanted)
            print(
                f"{driver:10g} {ohm:12.3g} {apart(forward, bare):14.4f} {apart(back, forward):17.2e}"
                f" {errors[0]:25.2e} {errors[1]:17.4f} {took:13.1f} s"
            )


if __name__ == "__main__":
    try:
        main(arguments.parse_args())
    except ValueError as error:
        sys.exit(str(error))
