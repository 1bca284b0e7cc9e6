"""Wire resistance and read noise of crossbars: dbpsim beside badcrossbar and CrossSim.

    python benchmarks/wires_vs_peers.py --peer-python .venv-peers-wires/bin/python --out results/wires_vs_peers.json

"nodal solve" is an array of 10 to 100 kohm cells (uniform in resistance), 0.5 ohm a segment, 100 input vectors: all output
currents, badcrossbar 1.1.0 against `dbpsim.crossbar.wires.solve` without node voltages.  They must agree to 1e-9.

"wires" is a layer of differential pairs, 100 kohm to 1 Mohm, behind 0.5 ohm a segment, batch 128, float32: CrossSim solves
every batch anew, a chip here once after programming.  "a batch" is a read, "programming" everything until the first read
(both read directions) against one batch of CrossSim.  How far CrossSim is from the exact solve of its own array is printed.

"read noise" is a fresh Gaussian in every cell for every vector (pairs, batch 128, float32), 2 % of the largest conductance.

badcrossbar is installed without pycairo, which only its plots use.  CrossSim is on no package index: a checkout of
https://github.com/sandialabs/cross-sim (here commit 0a2eb1e, 3.2.0) goes into .venv-peers-wires/cross-sim, or
anywhere with --crosssim; without one its rows are skipped.  Each simulator runs in processes of its own, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = [  # work, peer, size, bar
    ("nodal solve", "badcrossbar", 64, 20.0),
    ("nodal solve", "badcrossbar", 128, 15.0),
    ("nodal solve", "badcrossbar", 256, 5.0),
    ("wires, a batch", "CrossSim", 256, 1000.0),
    ("wires, programming", "CrossSim", 256, 1.0),
    ("read noise", "CrossSim", 256, 300.0),
    ("read noise", "CrossSim", 512, 300.0),
]
INPUTS, BATCH, SEGMENT, NOISE = 100, 128, 0.5, 0.02
LOWEST, HIGHEST = 1e4, 1e5  # ohm, of the nodal solve; ten times as much in layers
AGREEMENT = 1e-9


def timed(step: Callable[[], object], least: int, seconds: float) -> list[float]:
    """Return the times of `step` in ms, at least `least` of them and for about `seconds`, after one to warm up."""
    times: list[float] = []
    if seconds:
        step()
    while len(times) < least or sum(times) < seconds * 1e3 and len(times) < 300:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def array(size: int) -> tuple[Any, Any]:
    """Return (resistances in ohm, voltages (inputs, size)) of the nodal solve, the same in every process."""
    import numpy as np

    random = np.random.default_rng(size)
    return random.uniform(LOWEST, HIGHEST, (size, size)), random.uniform(-0.2, 0.2, (INPUTS, size))


def layer(size: int) -> tuple[Any, Any]:
    """Return (weights (outputs, inputs), batch (size, BATCH)) of a layer."""
    import numpy as np

    random = np.random.default_rng(size)
    weights = random.uniform(-1, 1, (size, size)).astype(np.float32)
    return weights, random.uniform(-1, 1, (size, BATCH)).astype(np.float32)


def dbpsim_times(folder: Path) -> dict[str, list[float]]:
    """Return the times of every row with dbpsim; leave the output currents of the nodal solves in `folder`."""
    import dbpsim  # noqa: F401  sets the threads' environment before NumPy is loaded

    # isort: split
    import numpy as np

    from dbpsim.crossbar import CrossbarDense, load_hardware
    from dbpsim.crossbar.wires import Wires, end_currents

    found = {}
    for work, _, size, _ in ROWS:
        if work == "nodal solve":
            resistances, volts = array(size)
            cells, wires = 1 / resistances, Wires(SEGMENT, SEGMENT)
            np.save(folder / f"ours{size}.npy", end_currents(cells, volts, wires)[0])
            found[f"{work}|{size}"] = timed(lambda c=cells, v=volts, w=wires: end_currents(c, v, w), 5, 1.0)  # type: ignore[misc]
            continue
        largest = 1 / (10 * LOWEST)
        changes: dict[str, Any] = {"tile.rows": size, "tile.columns": size}
        changes |= {"device.conductance.g_max_S": largest, "device.conductance.g_min_S": largest / 10}
        if work == "read noise":
            changes["device.read_noise"] = {"white_floor_S": NOISE * largest, "source": "CrossSim's NormalIndependentDevice"}
        else:
            changes |= {"wires.segment_row_ohm": SEGMENT, "wires.segment_column_ohm": SEGMENT}
        hardware = load_hardware("ideal", changes)
        weights, batch = layer(size)
        start, batch = weights.T.copy(), batch.T.copy()
        if "programming" in work:
            found[f"{work}|{size}"] = timed(lambda w=start, h=hardware: CrossbarDense(w, h, "layer", 0), 3, 1.0)  # type: ignore[misc]
        else:
            chip = CrossbarDense(start, hardware, "layer", 0)
            found[f"{work}|{size}"] = timed(lambda c=chip, a=batch: c.forward(a), 20, 1.0)  # type: ignore[misc]
    return found


def badcrossbar_times(folder: Path) -> dict[str, list[float]]:
    """Return the times of the nodal solves with badcrossbar; leave its output currents in `folder`."""
    import logging

    import badcrossbar
    import numpy as np

    logging.disable(logging.INFO)
    found = {}
    for _, peer, size, _ in ROWS:
        if peer == "badcrossbar":
            resistances, volts = array(size)

            def solve(r: Any = resistances, v: Any = volts) -> Any:
                return badcrossbar.compute(v.T, r, SEGMENT, node_voltages=False, all_currents=False).currents.output

            np.save(folder / f"badcrossbar{size}.npy", solve())
            found[f"nodal solve|{size}"] = timed(solve, 2, 0.5)
    return found


def crosssim_times(folder: Path) -> dict[str, list[float]]:
    """Return the times of the layers with CrossSim; leave cells, inputs and currents of one of its arrays in `folder`."""
    import numpy as np
    from simulator import AnalogCore, CrossSimParameters

    found = {}
    for work, peer, size, _ in ROWS:
        if peer != "CrossSim" or "programming" in work:
            continue
        parameters = CrossSimParameters()
        parameters.core.style = "BALANCED"
        device, parasitics = parameters.xbar.device, parameters.xbar.array.parasitics
        device.Rmin, device.Rmax = 10 * LOWEST, 100 * LOWEST
        device.infinite_on_off_ratio = False
        if work == "read noise":
            device.read_noise.enable = True
            device.read_noise.model, device.read_noise.magnitude = "NormalIndependentDevice", NOISE
        else:
            parasitics.enable, parasitics.Rp_row, parasitics.Rp_col = True, SEGMENT, SEGMENT
        weights, batch = layer(size)
        core = AnalogCore(weights, parameters)
        found[f"{work}|{size}"] = timed(lambda c=core, x=batch: c @ x, 1, 0.0 if "wires" in work else 1.0)  # type: ignore[misc]
        if "wires" in work:
            inner = core.cores[0][0].core_pos
            currents = inner.run_xbar_mvm(batch) / device.Rmin
            np.savez(folder / "crosssim.npz", cells=inner.matrix / device.Rmin, volts=batch, currents=currents)
    return found


def agreement(folder: Path) -> dict[str, float]:
    """Return by how much, of the largest current, peers are off what is solved here."""
    import numpy as np

    from dbpsim.crossbar.wires import Wires, end_currents

    off = {}
    for theirs in sorted(folder.glob("badcrossbar*.npy")):
        ours = np.load(folder / theirs.name.replace("badcrossbar", "ours"))
        off[theirs.stem] = float(np.abs(np.load(theirs) - ours).max() / np.abs(ours).max())
    if (folder / "crosssim.npz").is_file():
        with np.load(folder / "crosssim.npz") as held:
            exact = end_currents(held["cells"].T, held["volts"].T, Wires(SEGMENT, SEGMENT))[0]
            off["crosssim"] = float(np.abs(held["currents"].T - exact).max() / np.abs(exact).max())
    return off


WORKERS = {"dbpsim": dbpsim_times, "badcrossbar": badcrossbar_times, "CrossSim": crosssim_times}


def run(name: str, python: str, crosssim: Path, folder: Path) -> dict[str, list[float]]:
    """Run one simulator's rows in a process of its own; raise RuntimeError with its last line where it fails."""
    command = [python, __file__, "--worker", name, "--folder", str(folder), "--crosssim", str(crosssim)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    times: dict[str, list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return times


def table(times: dict[str, dict[str, list[float]]], off: dict[str, float]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows and the lines that show them."""
    lines = [f"{'work':<20}{'peer':<13}{'size':>5}{'dbpsim ms':>18}{'peer ms':>20}{'ratio':>18}{'bar':>8}  held"]
    rows = []
    for work, peer, size, bar in ROWS:
        key = f"{work}|{size}"
        ours = times["dbpsim"][key]
        row: dict[str, Any] = {"work": work, "peer": peer, "size": size, "bar": bar}
        row["ours_ms"] = (min(ours), statistics.median(ours))
        line = f"{work:<20}{peer:<13}{size:>5}{row['ours_ms'][0]:>9.2f}{row['ours_ms'][1]:>9.2f}"
        theirs = times.get(peer, {}).get(key.replace("programming", "a batch"))
        if theirs:
            row["theirs_ms"] = (min(theirs), statistics.median(theirs))
            row["ratio"] = tuple(t / o for t, o in zip(row["theirs_ms"], row["ours_ms"], strict=True))
            row["off"] = off.get(f"badcrossbar{size}" if peer == "badcrossbar" else "crosssim")
            row["held"] = row["ratio"][0] >= bar and (peer != "badcrossbar" or row["off"] <= AGREEMENT)
            line += f"{row['theirs_ms'][0]:>10.1f}{row['theirs_ms'][1]:>10.1f}{row['ratio'][0]:>9.1f}{row['ratio'][1]:>9.1f}"
            line += f"{bar:>8.0f}  {'yes' if row['held'] else 'NO'}"
        rows.append(row)
        lines.append(line)
    lines.append("each figure by the minimum over all runs, then by the median")
    lines += [f"{name}: off by {value:.1e} of the largest current" for name, value in off.items()]
    return rows, lines


def main() -> int:
    """Run the contenders in turns and print the table; return 1 where a bar is missed, 2 where a contender fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="interpreter that has badcrossbar (default: only dbpsim is timed)")
    parser.add_argument("--crosssim", type=Path, help="checkout of CrossSim (default: cross-sim in the peers' environment)")
    parser.add_argument("--turns", type=int, default=2, help="processes of each contender")
    parser.add_argument("--out", type=Path, help="write the times and ratios here as JSON; the table beside it as .txt")
    parser.add_argument("--worker", choices=list(WORKERS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        if options.worker == "CrossSim":
            sys.path.insert(0, str(options.crosssim))
        print(json.dumps(WORKERS[options.worker](options.folder)))
        return 0
    contenders = {"dbpsim": sys.executable}
    checkout = options.crosssim or Path(options.peer_python or sys.executable).parent.parent / "cross-sim"
    if options.peer_python:
        contenders["badcrossbar"] = options.peer_python
        if (checkout / "simulator").is_dir():
            contenders["CrossSim"] = options.peer_python
        else:
            print(f"no CrossSim in {checkout}, its rows are skipped: git clone https://github.com/sandialabs/cross-sim")
    times: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        for name, python in list(contenders.items()) * options.turns:
            try:
                for key, values in run(name, python, checkout, Path(folder)).items():
                    times[name].setdefault(key, []).extend(values)
            except RuntimeError as error:
                print(error, file=sys.stderr)
                return 2
        rows, lines = table(times, agreement(Path(folder)))
    print("\n".join(lines))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        options.out.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if all(row.get("held", True) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
