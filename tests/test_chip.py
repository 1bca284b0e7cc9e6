"""A chip is its network, on hardware."""

import numpy as np
import pytest

import dbpsim as dbp


def _problem(dtype="float64"):
    net = dbp.models.vgg9(width=4, input_shape=(8, 8, 3), dtype=dtype)
    random = np.random.default_rng(0)
    return net, random.standard_normal((4, 8, 8, 3)), random.integers(0, 10, 4)


def test_an_ideal_chip_computes_what_its_network_computes():
    net, x, y = _problem()
    chip = dbp.Chip.program(net, "ideal")
    found = dbp.fidelity(dbp.backprop(chip, x, y).gradients, dbp.backprop(net, x, y).gradients)
    assert found.worst.relative_error < 1e-12  # float64 rounding over nine stages


def test_programming_leaves_the_network_alone():
    net, x, y = _problem()
    before = dbp.backprop(net, x, y).gradients
    chip = dbp.Chip.program(net, "pcm", seed=1)
    chip.parameters["conv1.weight"] += 1.0
    chip.write()
    after = dbp.backprop(net, x, y).gradients
    assert all(np.array_equal(before[k], after[k]) for k in before)


def test_one_seed_is_one_chip_and_two_are_two():
    net, x, y = _problem()
    first, again, other = (dbp.backprop(dbp.Chip.program(net, "pcm", seed=s), x, y).output for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_run_reports_its_own_share_of_the_activity():
    net, x, y = _problem()
    chip = dbp.Chip.program(net, "pcm")
    dbp.backprop(chip, x, y)
    before = chip.activity
    run = dbp.relax(chip, x, y, schedule="wavefront")
    assert run.activity == chip.activity - before
    assert run.activity.stages["conv2"].forward.vectors == 4 * 8 * 8  # one read a position and sample
    assert run.activity.stages["conv1"].transposed.vectors == 0  # the input is clamped: nobody reads conv1 backwards


def test_a_chip_taken_over_from_its_state_goes_on_as_the_first_would():
    net, x, y = _problem()
    first = dbp.Chip.program(net, "pcm", seed=1)
    dbp.backprop(first, x, y)
    second = dbp.Chip.program(net, "pcm", seed=1)
    second.load_state(first.state())
    a, b = dbp.backprop(first, x, y), dbp.backprop(second, x, y)
    assert all(np.array_equal(a.gradients[k], b.gradients[k]) for k in a.gradients)


def test_a_chip_cannot_be_programmed_twice_over():
    chip = dbp.Chip.program(_problem()[0], "ideal")
    with pytest.raises(ValueError, match="found a chip"):
        dbp.Chip.program(chip, "ideal")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_weights_that_are_no_numbers_leave_a_chip_as_it_was(bad):
    chip = dbp.Chip.program(dbp.models.mlp(4, 3, 2), "ecram", seed=1)
    new = {name: np.full(value.shape, 0.5) for name, value in chip.parameters.items()}
    new["dense2.weight"][1, 1] = bad
    kept = {name: value.copy() for name, value in chip.parameters.items()}, chip.state()
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="dense2: weights hold NaN or infinity; found 1"):
        chip.assign(new)
    assert all(np.array_equal(kept[0][name], value) for name, value in chip.parameters.items())
    assert all(np.array_equal(kept[1][name], value) for name, value in chip.state().items())
