"""Expected activity against what chips record: the same counts, the power within a tenth."""

import numpy as np
import pytest

from dbpsim import Chip, backprop, cost, load_hardware, relax
from dbpsim.cost.drives import measured_statistics
from dbpsim.cost.estimate import estimate
from dbpsim.cost.expected_cells import expected_cells
from dbpsim.cost.largest import moments, relative_square
from dbpsim.cost.workload import expected_activity, expected_cost, reads_of
from dbpsim.network.models import mlp, resnet18, tiny_vit, vgg9

EXACT = ("vectors", "outputs", "sensed", "dac", "adc", "cells", "pulses", "slots")
PRESETS = ("ideal", "pcm", "ecram", "neurram", "sonos")


def _batch(network, samples):
    random = np.random.default_rng(0)
    return random.standard_normal((samples, *network.input_shape)), random.integers(0, 10, samples)


def _power(activity):
    return sum(stage.forward.power_W + stage.transposed.power_W for stage in activity.stages.values())


def _compare(network, hardware, samples, schedule, statistics=None, tolerance=0.1):
    x, y = _batch(network, samples)
    chip = Chip.program(network, hardware, seed=1)
    run = backprop(chip, x, y) if schedule == "backprop" else relax(chip, x, y, schedule=schedule)
    reads = reads_of(network, schedule)
    if statistics == "measured":
        statistics = measured_statistics(network, x, y, hardware)
    found = expected_activity(network, hardware, batch=samples, reads=reads, statistics=statistics)
    for name, stage in found.stages.items():
        recorded = run.activity.stages[name]
        assert (stage.rows, stage.columns, stage.tiles) == (recorded.rows, recorded.columns, recorded.tiles)
        for phase in ("forward", "transposed", "write"):
            for count in EXACT:
                assert getattr(getattr(stage, phase), count) == getattr(getattr(recorded, phase), count), (name, phase, count)
    assert _power(found) == pytest.approx(_power(run.activity), rel=tolerance)
    energy = [estimate(chip.hardware, a, samples=samples).total_J for a in (found, run.activity)]
    assert energy[0] == pytest.approx(energy[1], rel=tolerance)


@pytest.mark.parametrize("hardware", PRESETS)
@pytest.mark.parametrize("schedule", ["backprop", "synchronous"])
def test_expectation_agrees_with_runs_of_perceptrons(hardware, schedule):
    _compare(mlp(784, 256, 128, 10), hardware, 16, schedule)


@pytest.mark.parametrize("hardware", PRESETS)
def test_expectation_agrees_with_runs_of_vgg9(hardware):
    _compare(vgg9(width=16), hardware, 4, "backprop")


@pytest.mark.parametrize("hardware", ["ideal", "neurram"])
def test_expectation_agrees_with_synchronous_runs_from_rest(hardware):
    _compare(vgg9(width=8, seed=1), hardware, 4, "synchronous")


@pytest.mark.parametrize("hardware", ["pcm", "ecram", "sonos"])
def test_expectation_agrees_with_runs_of_resnet18(hardware):
    _compare(resnet18(width=8), hardware, 4, "wavefront")


def test_expectation_agrees_with_a_run_of_vgg9_at_full_width():
    _compare(vgg9(), "pcm", 2, "backprop")


@pytest.mark.parametrize(
    ("make", "samples"),
    [
        (lambda seed: vgg9(width=8, seed=seed), 4),
        (lambda seed: tiny_vit(seed=seed), 4),
        (lambda seed: mlp(100, 50, 10, seed=seed), 16),
    ],
    ids=["vgg9", "tiny_vit", "mlp"],
)
def test_mean_error_over_networks_is_a_few_per_cent(make, samples):
    # One network's own largest number scatters by 6 %, whatever the law: the mean over networks tells whether it is right.
    ratio = []
    for seed in range(6):
        network = make(seed)
        x, y = np.random.default_rng(seed).standard_normal((samples, *network.input_shape)), np.arange(samples) % 10
        run = backprop(Chip.program(network, "ideal"), x, y)
        ratio.append(_power(expected_activity(network, "ideal", batch=samples)) / _power(run.activity))
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("network", [tiny_vit(), resnet18(width=8)], ids=["tiny_vit", "resnet18"])
def test_measured_drives_agree_more_closely(network):
    _compare(network, "ecram", 4, "backprop", "measured", 0.02)


CHANGES = [
    {"mapping.scheme": "offset_column"},
    {"mapping.scheme": "bit_sliced"},
    {"mapping.transpose": "replica"},
    {"mapping.scale": "tile"},
    {"mapping.scale": "column"},
    {"dac.range": "fixed", "dac.limit": 2.0},
    {"tile.rows": 100, "tile.columns": 30},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda c: next(iter(c.values())))
def test_mappings_and_ranges(changes):
    base = "sonos" if changes.get("mapping.scheme") == "offset_column" else "pcm"
    _compare(mlp(300, 128, 64, 10), load_hardware(base, changes), 16, "backprop")
    _compare(mlp(300, 128, 64, 10), load_hardware(base, changes), 16, "backprop", "measured", 0.06)


@pytest.mark.parametrize("method", ["exact", "first_order"])
def test_power_behind_wires(method):
    # Enough resistance to take 20 % and more of the power.
    wires = {"segment_row_ohm": 20.0, "segment_column_ohm": 20.0, "driver_ohm": 1500.0, "sense_ohm": 500.0, "method": method}
    hardware = load_hardware("pcm", {"wires": wires, "tile.rows": 64, "tile.columns": 32})
    network = mlp(150, 70, 40, 10)
    x, y = _batch(network, 32)
    free, run = (backprop(Chip.program(network, h, seed=1), x, y).activity for h in ("pcm", hardware))
    assert _power(run) < 0.8 * _power(free)
    statistics = measured_statistics(network, x, y, hardware)
    for found, near in ((statistics, 0.06), (None, 0.1)):
        assert _power(expected_activity(network, hardware, batch=32, statistics=found)) == pytest.approx(_power(run), rel=near)


def test_expected_conductance_is_that_of_programmed_cells():
    matrix = np.random.default_rng(0).standard_normal((700, 300)).astype(np.float32)
    for name in PRESETS:
        hardware = load_hardware(name)
        chip = Chip.program(mlp(700, 300), hardware)
        chip.assign({"dense1.weight": matrix.T})
        tiles = Chip.program(chip.digital(), hardware).crossbars["dense1"].tiles
        found = expected_cells(matrix, hardware, "dense1")
        lines = tiles.cells.line_conductance()
        assert found.forward_S == pytest.approx(lines[0].sum(), rel=0.03)
        assert found.transposed_S == pytest.approx(lines[1].sum(), rel=0.03)
        assert found.cells == tiles.written.cells


@pytest.mark.parametrize(
    ("channels", "positions", "correlation", "rectified"),
    [(64, 256, 0.6, True), (16, 64, 0.9, True), (512, 1, 0.0, True), (10, 1, 0.0, False), (32, 64, 0.0, False)],
)
def test_relative_square_against_draws(channels, positions, correlation, rectified):
    random, found = np.random.default_rng(1), []
    for _ in range(400):
        common = random.standard_normal((channels, 1))
        u = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * random.standard_normal((channels, positions))
        a = np.maximum(u, 0) if rectified else u
        found.append(np.mean(a**2) / np.max(a**2))
    options = {"two_sided": False, "function": lambda u: np.maximum(u, 0)} if rectified else {}
    expected = relative_square(channels, np.ones(positions), correlation, **options)
    assert expected == pytest.approx(np.mean(found), rel=0.04)


def test_moments_of_a_rectifier_are_the_arc_cosine_kernel():
    for r in (0.0, 0.3, 0.9):
        found = moments(2.0, r, 0.0, lambda u: np.maximum(u, 0), lambda u: (u > 0) * 1.0)
        kernel = (np.sqrt(1 - r * r) + r * (np.pi - np.arccos(r))) / (2 * np.pi)
        assert found.square == pytest.approx(1.0, rel=0.01)
        assert found.cross == pytest.approx(2.0 * kernel, rel=0.01)


def test_reads_from_rest_match_what_lines_are_driven_by():
    network = vgg9(width=4)
    x, y = _batch(network, 1)
    chip = Chip.program(network, "ideal")
    driven = {name: np.zeros(2, int) for name in chip.crossbars}
    for name, bar in chip.crossbars.items():
        power = type(bar.tiles).power

        def counting(squares, transposed, name=name, tiles=bar.tiles, power=power):
            driven[name][int(transposed)] += bool(squares.any())
            return power(tiles, squares, transposed)

        bar.tiles.power = counting
    relax(chip, x, y)
    reads = reads_of(network, "synchronous")
    for name, (forward, transposed) in driven.items():
        assert reads[name].forward_driven == forward
        if name != "conv1":
            assert reads[name].transposed_driven == transposed


@pytest.mark.parametrize(("schedule", "eta"), [("synchronous", 1.0), ("synchronous", 0.9), ("wavefront", 1.0)])
def test_expected_cost_is_that_of_the_run(schedule, eta):
    network = mlp(300, 128, 10)
    x, y = _batch(network, 64)
    chip = Chip.program(network, "pcm")
    run = relax(chip, x, y, schedule=schedule, eta=eta)
    found, recorded = expected_cost(network, "pcm", batch=64, schedule=schedule, eta=eta), cost(chip, run)
    assert found.total_J == pytest.approx(recorded.total_J, rel=0.02)
    assert (found.latency_s, found.total_area_m2, found.samples) == (recorded.latency_s, recorded.total_area_m2, 64)
    assert found.by_component["array"] == pytest.approx(recorded.by_component["array"], rel=0.1)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda n: expected_activity(n, "pcm", batch=0), "batch: found 0"),
        (lambda n: expected_activity(n, "pcm", forward_reads=-1), "forward_reads: found -1"),
        (lambda n: reads_of(n, "free"), "schedule: found 'free'"),
        (lambda n: reads_of(n, "synchronous", 0), "steps: found 0"),
    ],
)
def test_refusals(call, says):
    with pytest.raises(ValueError, match=says):
        call(mlp(4, 3, 2))
