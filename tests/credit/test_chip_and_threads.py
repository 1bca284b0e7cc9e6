"""The same relaxation on a chip, and on any number of threads."""

import numba
import numpy as np
import pytest
from drawn_networks import batch

from dbpsim.chip import Chip
from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import relax
from dbpsim.network.models import mlp, resnet18, tiny_vit, vgg9

IMAGE = {"input_shape": (8, 8, 2), "classes": 4}
MODELS = {
    "mlp": lambda: mlp(6, 9, 5, 4, dtype="float64", seed=1),
    "vgg9 normalised": lambda: vgg9(width=2, normalise=True, dtype="float64", seed=1, **IMAGE),
    "tiny_vit": lambda: tiny_vit(width=8, heads=2, blocks=1, dtype="float64", seed=1, **IMAGE),
}


def error(run, exact):
    return fidelity(run.gradients, exact.gradients).worst.relative_error


@pytest.mark.parametrize("name", MODELS)
def test_an_ideal_chip_relaxes_to_the_digital_gradient(name):
    net = MODELS[name]()
    x, y = batch(net, 3)
    exact, chip = backprop(net, x, y), Chip.program(net, "ideal")
    for how in ({"init": "random"}, {"schedule": "wavefront"}, {"coordinates": "xz", "coupling": "split"}):
        # Conductances scale weights to siemens and back: a rounding a cell, over a depth of at most nine.
        assert error(relax(chip, x, y, **how), exact) < 1e-12


@pytest.mark.parametrize("name", ["mlp", "vgg9 normalised"])
def test_a_noisy_chip_repeats_itself_under_one_seed_and_not_under_another(name):
    net = MODELS[name]()
    x, y = batch(net, 3)
    one, again, other = (relax(Chip.program(net, "pcm", seed=s), x, y) for s in (1, 1, 2))
    for key, value in one.gradients.items():
        np.testing.assert_array_equal(value, again.gradients[key])
    assert error(one, other) > 1e-3  # per cent of programming and read noise
    assert 1e-3 < error(one, backprop(net, x, y)) < 10  # wrong by noise, but a gradient


def test_a_noisy_chip_makes_the_steps_of_the_settling_law_without_a_stop_test():
    net = MODELS["mlp"]()
    x, y = batch(net, 3)
    chip = Chip.program(net, "pcm", seed=1)
    assert relax(chip, x, y).steps == 2 * net.depth
    run = relax(chip, x, y, eta=0.5)
    assert run.steps > 2 * net.depth
    assert all(np.isfinite(g).all() for g in run.gradients.values())


def test_a_chips_activity_is_that_of_the_run():
    net = MODELS["mlp"]()
    x, y = batch(net, 3)
    chip = Chip.program(net, "ideal")
    one, again, longer = (relax(chip, x, y, max_steps=k).activity.stages["dense2"] for k in (4, 4, 8))
    assert one.forward.vectors == again.forward.vectors == 3 * (4 + 1)  # three samples; four clocks and the readout
    assert longer.forward.vectors == 3 * (8 + 1)
    assert one.transposed.vectors == 3 * 4  # the readout needs no feedback
    assert one.forward.power_W == pytest.approx(again.forward.power_W, rel=1e-12)  # a difference of running totals
    assert relax(net, x, y).activity is None


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
@pytest.mark.parametrize("hardware", [None, "pcm"])
def test_results_do_not_depend_on_the_number_of_threads(hardware):
    net = resnet18(input_shape=(16, 16, 3), width=4, seed=1) if hardware is None else vgg9(width=4, normalise=True, **IMAGE)
    x, y = batch(net, 4)
    found = {}
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            on = net if hardware is None else Chip.program(net, hardware, seed=1)
            found[threads] = [backprop(on, x, y), relax(on, x, y, eta=0.9, max_steps=5, coordinates="xz", record=True)]
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for one, two in zip(found[1], found[2], strict=True):
        assert one.loss == two.loss
        for kind in ("gradients", "statistics"):
            for key, value in getattr(one, kind).items():
                np.testing.assert_array_equal(value, getattr(two, kind)[key], err_msg=key)
    assert found[1][1].history == found[2][1].history
