"""What each command does: from parsed arguments to what is printed; returns the exit status.

The command line itself, its words and its errors, is in `dbpsim.cli`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dbpsim.check import check
from dbpsim.chip import Chip
from dbpsim.circuit.check import check_deck
from dbpsim.circuit.dense import dense_circuit
from dbpsim.circuit.netlist import netlist
from dbpsim.cost.comparison import compare
from dbpsim.cost.components import load_components
from dbpsim.cost.modes import list_modes
from dbpsim.cost.settling_times import settling_times
from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import Fidelity, fidelity
from dbpsim.credit.relax import Relaxation, relax
from dbpsim.crossbar.hardware import load_hardware
from dbpsim.crossbar.hardware_file import write_hardware
from dbpsim.crossbar.imports import import_aihwkit, import_crosssim
from dbpsim.devices.library import list_devices, load_device
from dbpsim.devices.schema import Device, suggestion
from dbpsim.explain import explain
from dbpsim.files import finite
from dbpsim.kernels.random import stream
from dbpsim.network import models
from dbpsim.network.graph import Network
from dbpsim.network.losses import CrossEntropy
from dbpsim.studies.engine import Tls, rehearse, run_study
from dbpsim.studies.study import load_study
from dbpsim.training import datasets
from dbpsim.training.augmentation import Augmentation
from dbpsim.training.configuration import TrainingConfig
from dbpsim.training.evaluation import evaluate
from dbpsim.training.loop import train
from dbpsim.training.recipes import RECIPES
from dbpsim.training.state import trained_network

_ALLOWED_ERROR = {("float64", "ms"): 1e-13, ("float64", "xz"): 1e-13, ("float32", "ms"): 2e-6, ("float32", "xz"): 1e-5}
_SETTLING = 32  # samples at most whose settling is followed
_SETTLING_ETA = 0.5  # clocks in which settling times are counted: 0.7 tau each
_FLOORS = 3.0  # times float32 backpropagation's own error that a float32 relaxation may differ from it
_ALLOWED_UNSETTLED = {"float64": 1e-9, "float32": 1e-3}  # eta != 1: the tolerance of the stop test, times the network's gain


def _network(args: argparse.Namespace, image_shape: Sequence[int] | None) -> Network:
    options: dict[str, Any] = {"dtype": args.dtype, "seed": args.seed}
    if getattr(args, "label_smoothing", None):
        options["loss"] = CrossEntropy(args.label_smoothing)
    if image_shape is not None:
        options["input_shape"] = tuple(image_shape)
    if args.normalise:
        if args.model != "vgg9":
            raise ValueError(f"--normalise: found model {args.model}; accepted: vgg9.")
        options["normalise"] = True
    if args.activation is not None:
        if args.model in models.FIXED_ACTIVATION:
            raise ValueError(f"--activation: found model {args.model}; accepted: vgg9, vgg9_fast, or a chain of dense layers.")
        options["activation"] = args.activation
    return models.by_name(args.model, **options)


def _sample(args: argparse.Namespace) -> tuple[Network, np.ndarray, np.ndarray, str, int | None]:
    """Return the network, one batch, what the data are and how many images an epoch has."""
    if args.data == "random":
        net = _network(args, None)
        random = stream(args.seed, "random data")
        x = random.standard_normal((args.batch, *net.input_shape))
        return net, x, random.integers(0, net.stages[-1].shape[-1], args.batch), "random numbers", None
    train_set, _ = datasets.load(args.data, args.path, image_shape=datasets.image_shape_for(args.model, args.data))
    x, y = train_set.batch(args.batch, dtype=args.dtype)
    return _network(args, train_set.image_shape), x, y, train_set.label, len(train_set)


def verify_command(args: argparse.Namespace) -> int:
    """Hold a relaxation's gradients against backpropagation's; 1 where they differ by more than is allowed."""
    net, x, y, label, _ = _sample(args)
    exact = backprop(net, x, y)
    tested: Network = net if args.hardware is None else Chip.program(net, args.hardware, seed=args.seed)
    how: dict[str, Any] = {"eta": args.eta, "coupling": args.coupling, "coordinates": args.coordinates, "seed": args.seed}
    # From random x0 != z0: the start must not matter.
    start: dict[str, Any] = {} if args.schedule == "wavefront" else {"init": "random"}
    run = relax(tested, x, y, schedule=args.schedule, **how, **start)
    found = fidelity(run.gradients, exact.gradients)
    before = None
    if args.eta == 1.0 and start:
        early = relax(tested, x, y, max_steps=2 * net.depth - 1, **how, **start)
        before = finite(fidelity(early.gradients, exact.gradients).worst.relative_error)
    floor = _floor(args, net, exact.gradients, x, y)
    allowed = args.max_error
    if allowed is None and args.hardware is None:
        allowed = _ALLOWED_ERROR[args.dtype, args.coordinates] if args.eta == 1.0 else _ALLOWED_UNSETTLED[args.dtype]
        # A neuron at its kink is gated one way or the other by rounding: no float32 gradient is better defined than that.
        allowed = max(allowed, _FLOORS * (floor or 0.0))
    held = allowed is None or found.worst.relative_error <= allowed
    _print_verdict(args, net, run, found, {
        "data": label, "relative_error_one_step_before": before, "float32_floor": floor,
        "max_error": allowed, "holds": held,
    })  # fmt: skip
    return 0 if held else 1


def _floor(
    args: argparse.Namespace, net: Network, gradients: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray
) -> float | None:
    """Return float32 backpropagation's own error against float64, the floor of what rounding allows."""
    if args.dtype == "float64":
        return None
    double = _network(argparse.Namespace(**{**vars(args), "dtype": "float64"}), net.input_shape)
    double.assign({**net.parameters, **net.buffers})
    return fidelity(gradients, backprop(double, x, y).gradients).worst.relative_error


def _print_verdict(args: argparse.Namespace, net: Network, run: Relaxation, found: Fidelity, facts: dict[str, Any]) -> None:
    document = {
        "model": args.model, "depth": net.depth, "dtype": args.dtype, "batch": args.batch, "hardware": args.hardware,
        "eta": run.eta, "coupling": run.coupling, "coordinates": run.coordinates, "schedule": run.schedule,
        "steps": run.steps, "gain": run.gain, "loss": run.loss, "seed": args.seed,
        "relative_error": finite(found.worst.relative_error), **facts, "fidelity": found.to_dict(),
    }  # fmt: skip
    if args.json:
        _print_json(document)
        return
    print(f"{net}, {facts['data']}, batch {args.batch}, {args.dtype}")
    held = ", ".join(run.coordinates)
    print(f"eta {run.eta:g}, {run.coupling}, ({held}), {run.schedule}, {run.steps} steps, gain {run.gain:g}")
    print(found)
    if facts["relative_error_one_step_before"] is not None:
        print(f"one step earlier ({run.steps - 1}): worst relative error {facts['relative_error_one_step_before']:.1e}")
    if facts["float32_floor"] is not None:
        print(f"float32 backprop against float64: worst relative error {facts['float32_floor']:.1e}")
    if facts["max_error"] is not None:
        word = "holds" if facts["holds"] else "DOES NOT HOLD"
        print(f"worst relative error {found.worst.relative_error:.1e} <= {facts['max_error']:.0e}: {word}")


def train_command(args: argparse.Namespace) -> int:
    """Train a network or a chip."""
    if args.resume and not args.out:
        raise ValueError("--resume: found no --out; accepted: with the --out of the run to go on with.")
    if args.keep_every and not args.out:
        raise ValueError("--keep-every: found no --out; accepted: with a folder.")
    if args.filter_rate is not None and args.recipe != "fast":
        raise ValueError("--filter-rate: found no --recipe fast; accepted: with it.")
    shape = datasets.image_shape_for(args.model, args.data)
    train_set, test_set = datasets.load(args.data, args.path, image_shape=shape, limit=args.limit, seed=args.seed)
    net = _network(args, train_set.image_shape)
    names = {f.name for f in dataclasses.fields(TrainingConfig)} & vars(args).keys()
    given: dict[str, Any] = {name: value for name in names if (value := getattr(args, name)) is not None}
    pictures = {name: value for name in ("flip", "shift", "cutout") if (value := getattr(args, name)) is not None}
    if args.recipe is None:
        augment = Augmentation(**{"flip": "none", "shift": 0, **pictures}) if pictures else None
        config = TrainingConfig(augment=augment, **given)
    else:
        given |= {name: value for name in ("label_smoothing", "filter_rate") if (value := getattr(args, name)) is not None}
        config = RECIPES[args.recipe](net, train_set, **given)
        config = dataclasses.replace(config, augment=dataclasses.replace(config.augment or Augmentation("none", 0), **pictures))
    if args.weights is not None:
        trained, _ = trained_network(Path(args.weights))
        net.assign(trained.parameters | trained.buffers)
    if args.hardware is not None:
        net = Chip.program(net, args.hardware, seed=args.seed)
    print(f"{net} on {train_set.label}: {len(train_set)} training, {len(test_set)} test images", file=sys.stderr)
    kept = {"resume": args.resume, "keep_every": args.keep_every}
    result = train(net, train_set, test_set, config, out=args.out, command=_command(args), **kept)
    if args.out:
        from dbpsim.report.figures import save_training_curves

        save_training_curves(result, Path(args.out) / "curves.png")
    _print_json(result.to_dict()) if args.json else print(result)
    return 0


def evaluate_command(args: argparse.Namespace) -> int:
    """Evaluate the newest checkpoint of a run."""
    net, facts = trained_network(Path(args.run))
    _, test_set = datasets.load(args.data, args.path, image_shape=datasets.image_shape_for(net.name, args.data))
    document: dict[str, Any] = {"run": args.run, "step": facts["step"], "data": test_set.label, "images": len(test_set)}
    for views in dict.fromkeys(("plain", args.views)):
        found = evaluate(net, test_set, batch=args.batch, views=views)
        document[views] = {"accuracy": found.accuracy, "loss": found.loss}
    if args.json:
        _print_json(document)
        return 0
    print(f"{net} after step {facts['step']}, {test_set}")
    for views in dict.fromkeys(("plain", args.views)):
        print(f"{views}: accuracy {document[views]['accuracy']:.2%}, loss {document[views]['loss']:.4f}")
    return 0


def check_command(args: argparse.Namespace) -> int:
    """Rehearse a step of training on a chip; 1 where it warns."""
    net, x, y, label, images = _sample(args)
    chip = Chip.program(net, args.hardware, seed=args.seed)
    found = check(chip, x, y, rate=args.rate, momentum=args.momentum, images=images)
    _print_json({"data": label, **found.to_dict()}) if args.json else print(found)
    return 1 if found.warnings else 0


def report_command(args: argparse.Namespace) -> int:
    """Write the page of one training step, or of what differs between two reports."""
    from dbpsim.report.diff import read_report
    from dbpsim.report.report import report

    if args.diff or args.schema:
        return _about_reports(args)
    for word, given in (("MODEL", args.model), ("--out", args.out)):
        if given is None:
            raise ValueError(f"found no {word}; accepted: report MODEL --out FOLDER, or --diff FOLDER FOLDER, or --schema.")
    modes = _known_modes(args)
    load_components(args.components)  # what is wrong with it is said before the work
    net, x, y, label, _ = _sample(args)
    exact = backprop(net, x, y)
    chip: Network = net if args.hardware is None else Chip.program(net, args.hardware, seed=args.seed)
    run = relax(chip, x, y, eta=args.eta, coupling=args.coupling, coordinates=args.coordinates, record=True)
    page = report(
        chip, run, args.out, exact=exact, dataset_label=label, command=_command(args), compare=modes, components=args.components,
        settling=settling_times(chip, x[:_SETTLING], y[:_SETTLING], eta=_SETTLING_ETA) if isinstance(chip, Chip) else None,
    )  # fmt: skip
    _print_json({"report": str(page), **read_report(args.out)}) if args.json else print(page)
    return 0


def _known_modes(args: argparse.Namespace) -> list[str] | None:
    if not args.compare:
        return None
    if args.hardware is None:
        raise ValueError("--compare: found no hardware; accepted: with --hardware.")
    modes = args.compare.split(",")
    for mode in modes:
        if mode not in list_modes():
            raise ValueError(f"--compare: found {mode!r}{suggestion(mode, list_modes())}; accepted: {', '.join(list_modes())}.")
    return modes


def _about_reports(args: argparse.Namespace) -> int:
    from dbpsim.report.diff import write_difference
    from dbpsim.report.schema import json_schema

    if args.model is not None:
        raise ValueError(f"report: found a model, {args.model}; accepted: none with --diff or --schema.")
    if args.schema:
        _print_json(json_schema())
        return 0
    first, second = args.diff
    found = write_difference(first, second, args.out)
    _print_json(found.to_dict()) if args.json else print(found)
    return 0


def compare_command(args: argparse.Namespace) -> int:
    """Print what a training sample costs by each mode."""
    changes = {"update.mode": args.update} if args.update else None
    found = compare(
        models.by_name(args.model, seed=args.seed), load_hardware(args.hardware, changes), components=args.components,
        modes=args.modes.split(",") if args.modes else None, bits=args.bits, eta=args.eta, batch=args.batch,
    )  # fmt: skip
    _print_json(found.to_dict()) if args.json else print(found)
    return 0


def explain_command(args: argparse.Namespace) -> int:
    """Print a constant with its source and what depends on it, or a line for each of several."""
    found = explain(args.name, hardware=args.hardware, components=args.components)
    if args.json:
        _print_json([constant.to_dict() for constant in found])
    elif len(found) == 1:
        print(found[0])
    else:
        print("\n".join(f"{c.path} = {c.value:.6g}{'' if c.unit == '1' else ' ' + c.unit}" for c in found))
    return 0


def study_command(args: argparse.Namespace) -> int:
    """Run a study, or say what it would take; 1 where points failed."""
    study = load_study(args.study, quick=args.quick, changes=dict(args.set))
    if args.dry_run:
        found = rehearse(study, args.out)
        _print_json(found) if args.json else print("\n".join(f"{key}: {value}" for key, value in found.items()))
        return 0
    if args.out is None:
        raise ValueError("study: found no --out; accepted: a folder, or --dry-run.")
    files = args.tls.split(",") if args.tls else []
    if args.tls and len(files) != 3:
        raise ValueError(f"--tls: found {args.tls!r}; accepted: AUTHORITY,CERTIFICATE,KEY.")
    outcome = run_study(
        study, args.out, workers=args.workers, scheduler=args.scheduler, tls=Tls(*files) if files else None, shard=args.shard,
        slurm=args.slurm, again=args.again, tell=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    if args.shard is None:
        from dbpsim.report.study_page import write_study_page

        write_study_page(study, outcome, args.out)
    counts = {"points": outcome.points, "computed": outcome.computed, "failed": outcome.failed}
    if args.json:
        _print_json({"study": study.name, "table": str(Path(args.out) / "table.csv"), **counts})
    else:
        rows = f"{len(outcome.rows)} rows of {outcome.points} points, {outcome.failed} without result"
        print(f"{Path(args.out) / 'table.csv'}: {rows}")
    return 1 if outcome.failed and args.shard is None else 0


def netlist_command(args: argparse.Namespace) -> int:
    """Write a SPICE deck, and run it in ngspice where asked to; 1 where that differs."""
    if not args.model.startswith("mlp:"):
        raise ValueError(f"model: found {args.model!r}; accepted in a netlist: mlp:INPUTS-...-OUTPUTS.")
    if args.check and args.dialect != "ngspice":
        raise ValueError(f"--check: found --dialect {args.dialect}; accepted: ngspice.")
    net = models.by_name(args.model, activation=args.activation, dtype="float64", seed=args.seed)
    x = stream(args.seed, "random data").standard_normal(net.input_shape)
    tested: Network = net if args.hardware is None else Chip.program(net, args.hardware, seed=args.seed)
    circuit = dense_circuit(tested, x, np.array(0))
    document: dict[str, Any] = {
        "model": args.model, "activation": args.activation, "hardware": args.hardware, "seed": args.seed,
        "out": args.out, "dialect": args.dialect, "elements": netlist(circuit, args.out, args.dialect),
    }  # fmt: skip
    found = check_deck(circuit) if args.check else None
    if args.json:
        _print_json(document | ({} if found is None else {"check": found.to_dict()}))
    else:
        print(f"{args.out}: {args.model}, {document['elements']:,} elements, for {args.dialect}")
        if found is not None:
            print(found)
    return 0 if found is None or found.holds else 1


def devices_command(args: argparse.Namespace) -> int:
    """List the memory cells, show one, or print the schema of their files."""
    from dbpsim.report import device_sheet

    if args.action == "show":
        return _show_device(args)
    if args.name is not None or args.out is not None:
        raise ValueError(f"devices {args.action}: found a name or --out; accepted: with show.")
    if args.action == "schema":
        _print_json(Device.model_json_schema())
        return 0
    records = list_devices()
    _print_json([dataclasses.asdict(r) for r in records]) if args.json else print(device_sheet.table(records))
    return 0


def _show_device(args: argparse.Namespace) -> int:
    from dbpsim.report import device_sheet

    if args.name is None:
        raise ValueError("devices show: found no name; accepted: a name of the list, or the path of a TOML file.")
    device = load_device(args.name)
    figure = None if args.out is None else str(device_sheet.save_figure(device, Path(args.out), args.seed))
    if args.json:
        _print_json(device_sheet.document(device) | ({} if figure is None else {"figure": figure}))
    else:
        print(device_sheet.sheet(device) + ("" if figure is None else f"\n\nfigure: {figure}"))
    return 0


def import_command(args: argparse.Namespace) -> int:
    """Write another simulator's configuration as a hardware file; say what became of every field."""
    if args.out is not None and not args.out.endswith(".toml"):
        raise ValueError(f"--out: found {args.out!r}; accepted: the path of a .toml file.")
    hardware, found = {"aihwkit": import_aihwkit, "crosssim": import_crosssim}[args.peer](args.source)
    if args.out is not None:
        write_hardware(hardware, args.out, f"{_command(args)}\n\n{found}")
    _print_json({"out": args.out, **found.to_dict()}) if args.json else print(found)
    return 0


def _command(args: argparse.Namespace) -> str:
    return shlex.join(["dbpsim", *args.typed])


def _print_json(document: object) -> None:
    print(json.dumps(document, indent=2, allow_nan=False))
