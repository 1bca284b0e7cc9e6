"""Expected writes of a step of training against chips that take steps."""

import numpy as np
import pytest

from dbpsim import Chip, backprop, load_hardware
from dbpsim.cost.drives import as_matrix
from dbpsim.cost.expected_updates import assumed_changes, expected_update, measured_changes
from dbpsim.cost.workload import expected_activity
from dbpsim.network.models import mlp, vgg9


def _steps(network, hardware, relative, count, warm):
    """Return what `count` steps by independent normal numbers write, a step, after `warm` steps that are not counted."""
    chip, random = Chip.program(network, hardware, seed=2), np.random.default_rng(5)
    matrix = chip.parameters["dense1.weight"]
    rms = relative * float(np.sqrt(np.mean(matrix**2)))
    for step in range(warm + count):
        if step == warm:
            before = chip.activity.stages["dense1"].write
        matrix += (rms * random.standard_normal(matrix.shape)).astype(matrix.dtype)
        chip.write()
    return chip.activity.stages["dense1"].write - before


@pytest.mark.parametrize(
    ("name", "changes", "relative", "warm"),
    [
        ("ecram", {}, 3e-3, 10),  # a step of the device is more than one of training
        ("ecram", {}, 3e-2, 3),  # and less
        ("pcm", {}, 1e-2, 10),  # pulses up only
        ("ecram", {"mapping.scheme": "offset_column"}, 1e-2, 5),
        ("neurram", {"update.mode": "write_verify"}, 1e-2, 0),
        ("mram", {}, 1e-2, 0),
        ("ideal", {"update.mode": "ideal"}, 1e-2, 0),
    ],
)
def test_pulses_of_written_steps(name, changes, relative, warm):
    network, count = mlp(300, 80, 10), 6
    hardware = load_hardware(name, changes)
    took = _steps(network, hardware, relative, count, warm)
    change = assumed_changes(network, 1, relative)["dense1"]
    written, read = expected_update(as_matrix(network.stages[0].weight_layer), hardware, change, "dense1")
    assert read.vectors == 0
    assert written.pulses == pytest.approx(took.pulses / count, rel=0.15)
    assert written.cells == pytest.approx(took.cells / count, rel=0.15)
    assert written.slots == pytest.approx(took.slots / count, rel=0.25)


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize("network", [mlp(60, 40, 10), vgg9(width=2, input_shape=(8, 8, 3))], ids=["mlp", "vgg9"])
def test_pulses_in_the_array(network, managed):
    hardware = load_hardware("ecram", {"update.mode": "stochastic_pulses", "update.managed": managed})
    random, rate = np.random.default_rng(0), 0.02
    x, y = random.standard_normal((8, *network.input_shape)), random.integers(0, 10, 8)
    chip = Chip.program(network, hardware)
    backprop(chip, x, y)
    before = chip.activity
    chip.descend(chip.take_factors(), rate)
    took = chip.activity - before
    changes = measured_changes(network, x, y, rate)
    found = expected_activity(network, hardware, batch=8, updates=1, changes=changes)
    for name, stage in found.stages.items():
        recorded = took.stages[name].write
        assert stage.write.slots == pytest.approx(recorded.slots, rel=0.1)
        if not managed:  # probabilities are cut at 1: fewer than are asked for
            assert recorded.pulses < 1.1 * stage.write.pulses + 30
            continue
        assert stage.write.pulses == pytest.approx(recorded.pulses, rel=0.1, abs=30)
        assert stage.write.cells == pytest.approx(recorded.cells, rel=0.2, abs=30)


def test_transfers_are_read_and_their_pulses_left_out():
    hardware = load_hardware("reram", {"update.mode": "tiki_taka", "update.transfer_lines": 2})
    network = mlp(30, 20, 10)
    found = expected_activity(network, hardware, updates=3, transposed_reads=0, forward_reads=0).stages["dense1"]
    assert (found.forward.vectors, found.forward.outputs) == (6, 120)
    assert found.write.pulses > 0


def test_small_independent_steps_take_the_square_of_their_size():
    # A random walk leaves (-1, 1) after 1 / r^2 steps.
    network, hardware = mlp(300, 80, 10), load_hardware("ecram")
    matrix = as_matrix(network.stages[0].weight_layer)
    step = 1e-3 * np.abs(matrix).max()  # of 1000 states
    change = assumed_changes(network, 1, 0.2 * step / float(np.sqrt(np.mean(matrix**2))))["dense1"]
    written, _ = expected_update(matrix, hardware, change, "dense1")
    assert written.pulses / matrix.size == pytest.approx(0.2**2 / (1 + 0.58 * 0.2) ** 2, rel=0.2)
