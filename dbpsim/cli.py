"""The command line: parse, call, print.

Every command takes ``--json`` (one JSON document on stdout and nothing else there) and ``--seed``.  Exit status 0: done;
1: the work failed or a check did not hold; 2: bad usage or bad input, said in one line on stderr.

argparse rather than a framework: one-line errors and exit statuses are a contract here, and it has neither
dependencies nor releases of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from dbpsim.circuit.dense import ACTIVATIONS as IN_CIRCUITS
from dbpsim.circuit.netlist import DIALECTS
from dbpsim.commands import (
    check_command,
    compare_command,
    devices_command,
    evaluate_command,
    explain_command,
    import_command,
    netlist_command,
    report_command,
    study_command,
    train_command,
    verify_command,
)
from dbpsim.credit.relax import NotSettledError
from dbpsim.devices.schema import suggestion
from dbpsim.network import models
from dbpsim.network.activations import ACTIVATIONS
from dbpsim.training.evaluation import VIEWS
from dbpsim.training.loop import TrainingDiverged, TrainingInterrupted
from dbpsim.training.recipes import RECIPES


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest word that would be right."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        # Here, not in the parser of all commands that argparse leaves it to: this one knows the options there are.
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        found, accepted = "", []
        if "invalid choice: '" in message:
            found = message.split("invalid choice: '", 1)[1].split("'", 1)[0]
            accepted = [c for action in self._actions for c in (action.choices or ()) if isinstance(c, str)]
        elif message.startswith("unrecognized arguments: -"):
            found = message.split()[2].split("=")[0]
            accepted = [option for action in self._actions for option in action.option_strings]
        print(f"{self.prog}: {message}{suggestion(found, accepted)}", file=sys.stderr)
        sys.exit(2)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {text}; accepted: 1 or more")
    return value


def _change(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        raise argparse.ArgumentTypeError(f"found {text!r}; accepted: KEY=VALUE")
    return key.strip(), value.strip()


def _study_arguments(study: argparse.ArgumentParser) -> None:
    study.add_argument("study", help="a name of --list, or the path of a .toml file")
    study.add_argument("--out", help="folder of the results; goes on where it was stopped")
    study.add_argument("--workers", type=_positive, help="processes on this machine (one a core)")
    study.add_argument("--scheduler", help="address of a running Dask scheduler: tls://HOST:PORT")
    study.add_argument("--tls", help="AUTHORITY,CERTIFICATE,KEY: files, for tls://")
    study.add_argument("--slurm", action="store_true", help="as one of the tasks of a SLURM job: srun dbpsim study ...")
    study.add_argument("--shard", type=_shard, metavar="I/N", help="the I-th of N parts (from 0), without a server")
    study.add_argument("--again", action="store_true", help="try failed points once more")
    study.add_argument(
        "--set", type=_change, action="append", default=[], metavar="KEY=VALUE", help="a setting, or an axis: KEY=[1, 2]"
    )
    study.add_argument("--quick", action="store_true", help="its quick form: under a minute, no files from outside")
    study.add_argument("--dry-run", action="store_true", help="list the points; time one of them")


def _shard(text: str) -> tuple[int, int]:
    first, _, parts = text.partition("/")
    if not (first.isdigit() and parts.isdigit() and int(first) < int(parts)):
        raise argparse.ArgumentTypeError(f"found {text!r}; accepted: 0/N to N-1/N")
    return int(first), int(parts)


def _parser() -> argparse.ArgumentParser:
    about = "Learning by physical relaxation on simulated analog hardware."
    parser = _Parser(prog="dbpsim", description=about, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, call: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        command.set_defaults(call=call)
        command.add_argument("--json", action="store_true", help="one JSON document on stdout")
        command.add_argument("--seed", type=int, default=0)
        return command

    _verify_arguments(add("verify", verify_command, "hold a relaxation's gradients against exact backpropagation"))
    _train_arguments(add("train", train_command, "train a network or a chip"))
    again = add("evaluate", evaluate_command, "accuracy of the newest checkpoint of a run")
    again.add_argument("run", help="folder of the run")
    again.add_argument("--data", required=True, help="as for train")
    again.add_argument("--path", help="archive or folder of the data")
    again.add_argument("--batch", type=_positive, default=500)
    again.add_argument("--views", choices=VIEWS, default="flip-shift", help="what is averaged over, beside the plain accuracy")
    health = add("check", check_command, "rehearse a step of training on hardware: its cost, its warnings (exit 1)")
    _problem(health, hardware=True)
    health.set_defaults(batch=128)
    health.add_argument("--rate", type=float, default=0.05)
    health.add_argument("--momentum", type=float, default=0.9)
    report = add("report", report_command, "report fidelity, energy and latency of one training step on hardware")
    _problem(report, optional=True)
    report.add_argument("--out", help="folder of the report, or of the page of differences")
    report.add_argument("--diff", nargs=2, metavar="FOLDER", help="two reports: what differs between them")
    report.add_argument("--schema", action="store_true", help="print the JSON schema of report.json")
    report.add_argument("--compare", help="modes beside the dyadic ones, comma-separated: digital-gpu,analog-bp")
    report.add_argument("--components", default="default", help="default, or the TOML file of a component library")
    _relaxation(report)
    modes = add("compare", compare_command, "compare what a training sample costs: dyadic, classical analog, digital, ...")
    modes.add_argument("model", help="vgg9, resnet18, tiny_vit or mlp:784-256-10")
    modes.add_argument("--hardware", required=True, help="ideal, pcm, ecram or another preset, or a TOML file")
    modes.add_argument("--modes", help="comma-separated; all by default")
    modes.add_argument("--components", default="default", help="default, or the TOML file of a component library")
    modes.add_argument("--bits", type=int, default=8, help="to which gradients settle (8)")
    modes.add_argument("--eta", type=float, default=1.0, help="of the clocked mode (1)")
    modes.add_argument("--batch", type=int, default=64, help="samples of a step (64)")
    modes.add_argument("--update", help="an update mode in place of the hardware's, such as stochastic_pulses")
    words = add("explain", explain_command, "any constant: value, unit, source, range, and what of a cost depends on it")
    words.add_argument("name", help="such as adc.energy_factor, device.pcm.conductance.g_max_S, a part: *.g_max_S; all: .")
    words.add_argument("--hardware", default="pcm", help="of the reference cost (pcm)")
    words.add_argument("--components", default="default", help="default, or the TOML file of a component library")
    _study_arguments(add("study", study_command, "run a declarative sweep: a ready-made study by name, or a TOML file"))
    deck = add("netlist", netlist_command, "write the SPICE deck of a dense network; hold ngspice against our own integration")
    deck.add_argument("model", help="mlp:16-32-10")
    deck.add_argument("--hardware", help="ideal, pcm, ecram or another preset, or a TOML file; pairs of cells")
    deck.add_argument("--activation", choices=IN_CIRCUITS, default="relu")
    deck.add_argument("--out", required=True, help="file of the deck")
    deck.add_argument("--dialect", choices=DIALECTS, default="ngspice")
    deck.add_argument("--check", action="store_true", help="run it in ngspice and compare voltages and gradients")
    devices = add("devices", devices_command, "list the memory cells, show one with its sources, or print the schema of a file")
    devices.add_argument("action", nargs="?", choices=("list", "show", "schema"), default="list")
    devices.add_argument("name", nargs="?", help="show: a name of the list, or the path of a TOML file")
    devices.add_argument("--out", help="show: folder for a figure of pulses, errors and a month's drift")
    other = add("import", import_command, "another simulator's configuration as hardware, with a report field by field")
    other.add_argument("peer", choices=("aihwkit", "crosssim"))
    other.add_argument("source", help="aihwkit: the name of a preset, or a .json file; crosssim: a .json file")
    other.add_argument("--out", help="hardware file to write, for --hardware of other commands")
    return parser


def _problem(command: argparse.ArgumentParser, *, hardware: bool = False, optional: bool = False) -> None:
    command.add_argument("model", nargs="?" if optional else None, help=f"{', '.join(models.MODELS)}, or mlp:784-256-10")
    command.add_argument("--data", default="digits", help="digits, cifar10, mnist, fashion-mnist, images, a path, or random")
    command.add_argument("--path", help="archive or folder of the data")
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    command.add_argument("--batch", type=_positive, default=16)
    command.add_argument("--hardware", required=hardware, help="ideal, pcm, ecram or another preset, or a TOML file")
    command.add_argument("--normalise", action="store_true", help="batch normalisation (vgg9)")
    command.add_argument("--activation", choices=ACTIVATIONS, help="of the hidden stages (default: relu)")


def _relaxation(command: argparse.ArgumentParser) -> None:
    command.add_argument("--eta", type=float, default=1.0, help="rate of a clock")
    command.add_argument("--coupling", choices=("midpoint", "split"), default="midpoint")
    command.add_argument("--coordinates", choices=("ms", "xz"), default="ms")


def _verify_arguments(command: argparse.ArgumentParser) -> None:
    _problem(command)
    _relaxation(command)
    command.add_argument("--schedule", choices=("synchronous", "wavefront"), default="synchronous")
    command.add_argument("--max-error", type=float, help="largest relative error of a stage that passes")


def _train_arguments(command: argparse.ArgumentParser) -> None:
    _problem(command)
    _relaxation(command)
    command.set_defaults(batch=None, eta=None, coupling=None, coordinates=None)
    command.add_argument("--recipe", choices=RECIPES, help="settings that go together; what else is given here comes before them")
    command.add_argument("--method", choices=("bp", "relax"))
    command.add_argument("--epochs", type=_positive)
    command.add_argument("--micro-batch", type=_positive, help="images whose gradient is taken at once")
    command.add_argument("--out", help="folder of the run")
    command.add_argument("--weights", help="folder of a run whose newest checkpoint gives the initial weights")
    command.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    command.add_argument("--keep-every", type=_positive, default=0, metavar="N", help="keep the weights of every N-th epoch")
    command.add_argument("--limit", type=_positive, help="use so many images of each split")
    command.add_argument("--rate", type=float)
    command.add_argument("--filter-rate", type=float, help="Muon's, of the convolutions (recipe fast; default 0.07)")
    command.add_argument("--momentum", type=float)
    command.add_argument("--weight-decay", type=float)
    command.add_argument("--schedule", choices=("cosine", "linear", "constant"))
    command.add_argument("--warm-up", type=float, help="epochs")
    command.add_argument("--average", type=float, help="share an average of the weights keeps at each step")
    command.add_argument("--label-smoothing", type=float)
    command.add_argument("--flip", choices=("none", "random", "alternating"))
    command.add_argument("--shift", type=int, help="pixels")
    command.add_argument("--cutout", type=int, help="side of the square hidden in every training image, pixels")
    command.add_argument("--views", choices=VIEWS, help="evaluate once more at the end, averaging over views of each image")
    command.add_argument("--check-every", type=int, help="steps between comparisons with backpropagation")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    Examples
    --------
    >>> main(["devices", "--jsn"])
    Traceback (most recent call last):
        ...
    SystemExit: 2
    """
    typed = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(typed)
    args.typed = typed
    try:
        return args.call(args)
    except (NotSettledError, TrainingInterrupted, TrainingDiverged) as error:
        print(f"dbpsim {args.command}: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"dbpsim {args.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"dbpsim {args.command}: stopped", file=sys.stderr)
        return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader of a pipe has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
