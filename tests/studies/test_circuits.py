"""The task `circuit`: ideal neurons, each imperfection against what it must do."""

import pytest

from dbpsim.credit.settling import time_to
from dbpsim.studies.tasks import run_task

DEEP = "mlp:16-12-12-12-12-12-12-12-12-10"


def settled(**settings):
    given = {"model": "mlp:16-12-10", "activation": "tanh", "dtype": "float64", "cost_gain": 8.0}
    return run_task("circuit", given | settings)[0]


def test_ideal_switched_neurons_are_exact_after_two_depth_clocks():
    found = settled(clocking="switched", **{"neuron.states": "ms"})
    assert found["settled"]
    assert found["clocks_taken"] == 5  # the fifth sees that nothing moves
    assert found["relative_error"] < 1e-14


def test_free_neurons_settle_when_the_law_says():
    found = settled(model=DEEP, bias=0.1)
    assert found["settled"]
    assert found["settling_time_tau"] == pytest.approx(time_to(1e-4, 9), rel=0.25)
    assert found["relative_error"] < 1e-3


def test_an_offset_is_an_error_that_gain_divides_and_calibration_removes():
    off = {"neuron.difference_offset_V": 1e-3}
    low, high = (settled(cost_gain=gain, **off)["relative_error"] for gain in (1.0, 16.0))
    assert low / high == pytest.approx(16, rel=0.2)
    assert settled(cost_gain=1.0, **off, **{"neuron.null_calibration": True})["relative_error"] < 0.02 * low


@pytest.mark.parametrize("clocking", ["free", "switched"])
def test_thermal_noise_falls_with_the_root_of_the_capacitance(clocking):
    errors, energies = [], []
    for capacitance in (1e-14, 1e-12):
        keys = {"neuron.noise_K": 300.0, "neuron.capacitance_F": capacitance, "neuron.leak_S": capacitance * 1e8}
        found = settled(clocking=clocking, clocks=12, **keys)
        errors.append(found["relative_error"])
        energies.append(found["state_energy_J"])
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.3)
    assert energies[1] / energies[0] == pytest.approx(100, rel=0.1)


def test_unequal_rates_cost_clocks_in_x_and_z_and_few_in_m_and_s():
    def clocks(states, mismatch):
        keys = {"neuron.states": states, "neuron.capacitor_matching_um": mismatch, "neuron.capacitor_area_um2": 1.0}
        return settled(model=DEEP, bias=0.1, clocking="switched", **keys)["clocks_taken"]

    assert clocks("xz", 0.0) <= 19
    assert clocks("ms", 0.1) < clocks("xz", 0.01)
