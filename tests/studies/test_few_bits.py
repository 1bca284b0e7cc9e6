"""The task `precision`: formats against their definition, the loop against `relax`, what the study claims."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbpsim.credit.dynamics import Coordinates
from dbpsim.credit.relax import relax
from dbpsim.network.models import mlp
from dbpsim.studies.tasks import run_task
from dbpsim.studies.tasks.precision import relaxed, rounded


def numbers_of(exponent_bits, mantissa_bits, most):
    """Return all numbers of a small format, from its definition, not above `most`."""
    bias, found = 2 ** (exponent_bits - 1) - 1, {0.0}
    for exponent in range(2**exponent_bits):
        for mantissa in range(2**mantissa_bits):
            part = mantissa / 2**mantissa_bits
            found.add(part * 2.0 ** (1 - bias) if exponent == 0 else (1 + part) * 2.0 ** (exponent - bias))
    return np.array(sorted(n for n in found if n <= most))


TABLES = {"float8_e4m3": numbers_of(4, 3, 448.0), "float8_e5m2": numbers_of(5, 2, 57344.0)}


@given(st.sampled_from(sorted(TABLES)), st.floats(-1e5, 1e5), st.integers(-12, 0))
def test_eight_bits_are_the_nearest_of_their_numbers(form, value, power):
    value *= 2.0**power
    got, table = float(rounded(np.array([value]), form)[0]), TABLES[form]
    assert abs(got) in table
    assert abs(abs(got) - abs(value)) == pytest.approx(np.abs(table - abs(value)).min(), abs=1e-12)
    assert got * value >= 0


def test_without_rounding_it_is_relax():
    net = mlp(8, 7, 6, 3, activation="tanh", dtype="float64", seed=1)
    random = np.random.default_rng(0)
    x, y = random.standard_normal((4, 8)), random.integers(0, 3, 4)
    for held in ("ms", "xz"):
        got = relaxed(net, x, y, Coordinates(held, "midpoint"), "float64", 0.75, 8.0, 15)
        wanted = relax(net, x, y, eta=0.75, coordinates=held, gain=8.0, max_steps=15).gradients
        for name, value in wanted.items():
            np.testing.assert_array_equal(got[name], value)


def error(**settings):
    given = {"model": "mlp:64-16-16-10", "data": "digits", "activation": "tanh", "training_steps": 50, **settings}
    return run_task("precision", given)[0]


def test_gain_restores_what_x_minus_z_loses_and_m_and_s_lose_less():
    without, gained = (error(state="float16", coordinates="xz", gain=gain) for gain in (1.0, "auto"))
    apart = error(state="float16", coordinates="ms")
    assert apart["relative_error"] < gained["relative_error"] < without["relative_error"]
    assert error()["relative_error"] < 1e-12
    coarse, fine = (error(state=form)["relative_error"] for form in ("float8_e4m3", "float32"))
    assert fine < 1e-4 < coarse


def test_rounded_weights_alone_leave_the_gradient_exact_for_those_weights():
    found = error(weight="bfloat16")
    assert found["relative_error"] < 1e-12
    assert 1e-4 < found["with_weights_relative_error"] < 0.3
