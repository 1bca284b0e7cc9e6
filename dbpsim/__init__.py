"""dbpsim: what happens when a neural network learns by physical relaxation on analog hardware.

    import dbpsim as dbp

    net = dbp.models.vgg9(seed=0)
    train, test = dbp.datasets.load("digits")
    x, y = train.batch(32)

    exact = dbp.backprop(net, x, y)                      # exact backpropagation
    run = dbp.relax(net, x, y, eta=1.0)                  # the same gradient by dyadic relaxation
    print(dbp.fidelity(run.gradients, exact.gradients))

    chip = dbp.Chip.program(net, "pcm", seed=1)          # weights on simulated crossbars
    run = dbp.relax(chip, x, y)
    print(dbp.cost(chip, run))                           # joules and seconds
    dbp.report(chip, run, "report/")

The equations are those of arXiv:2602.02281.  Rooms, lowest first: `kernels`, `network`, `credit`, `devices`, `crossbar`,
`circuit`, `chip`, `cost`, `findings`, `explain`, `check`, `training`, `report`, `commands`, `cli`; each imports only from
those before it.
"""

from dbpsim.kernels import threads as _threads

_threads.set_environment()  # before numpy is loaded

from dbpsim.check import check  # noqa: E402
from dbpsim.chip import Chip  # noqa: E402
from dbpsim.circuit.brian import to_brian  # noqa: E402
from dbpsim.circuit.netlist import netlist  # noqa: E402
from dbpsim.circuit.results import IntegrationError  # noqa: E402
from dbpsim.circuit.settle import settle  # noqa: E402
from dbpsim.circuit.spice_reader import read_netlist  # noqa: E402
from dbpsim.cost.comparison import compare  # noqa: E402
from dbpsim.cost.estimate import cost  # noqa: E402
from dbpsim.cost.workload import expected_cost  # noqa: E402
from dbpsim.credit.backprop import backprop  # noqa: E402
from dbpsim.credit.fidelity import fidelity  # noqa: E402
from dbpsim.credit.field import energy  # noqa: E402
from dbpsim.credit.relax import NotSettledError, relax  # noqa: E402
from dbpsim.crossbar.hardware import Hardware, load_hardware  # noqa: E402
from dbpsim.crossbar.hardware_file import write_hardware  # noqa: E402
from dbpsim.crossbar.imports import import_aihwkit, import_crosssim  # noqa: E402
from dbpsim.devices.library import list_devices  # noqa: E402
from dbpsim.network import activations, attention, layers, losses, models, normalisation, pooling  # noqa: E402
from dbpsim.network.graph import Network, Stage  # noqa: E402
from dbpsim.report.report import report  # noqa: E402
from dbpsim.training import datasets, recipes  # noqa: E402
from dbpsim.training.augmentation import Augmentation  # noqa: E402
from dbpsim.training.configuration import TrainingConfig  # noqa: E402
from dbpsim.training.evaluation import evaluate  # noqa: E402
from dbpsim.training.loop import train  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "Augmentation", "Chip", "Hardware", "IntegrationError", "Network", "NotSettledError", "Stage", "TrainingConfig",
    "activations", "attention", "backprop", "check", "compare", "cost", "datasets", "energy", "evaluate", "expected_cost",
    "fidelity", "import_aihwkit", "import_crosssim", "layers", "list_devices", "load_hardware", "losses", "models",
    "netlist", "normalisation", "pooling", "read_netlist", "recipes", "relax", "report", "settle", "to_brian", "train",
    "write_hardware",
]  # fmt: skip
