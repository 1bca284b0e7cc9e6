"""Fidelity: the three figures by hand, what they resolve, and what is refused."""

import json
import math

import numpy as np
import pytest

from dbpsim.credit.fidelity import fidelity


def test_figures_by_hand():
    found = fidelity({"a.w": np.array([3.0, 4.0]), "b.w": np.ones(2)}, {"a.w": np.array([4.0, 3.0]), "b.w": np.ones(2)})
    a, b = found.stages
    assert a.stage == "a"
    assert a.misalignment == pytest.approx(1 - 24 / 25, rel=1e-14)
    assert a.relative_error == pytest.approx(math.sqrt(2) / 5, rel=1e-14)
    assert a.signal_to_noise == pytest.approx(12.5, rel=1e-14)
    assert a.signal_to_noise_dB == pytest.approx(10 * math.log10(12.5), rel=1e-14)
    assert (b.misalignment, b.relative_error, b.signal_to_noise, b.signal_to_noise_dB) == (0, 0, math.inf, math.inf)
    assert found.worst is a
    assert found.whole.relative_error == pytest.approx(math.sqrt(2 / 27), rel=1e-14)


def test_all_parameters_of_a_stage_count_as_one_vector():
    row = fidelity({"a.w": np.array([[3.0]]), "a.b": np.array([1.0])}, {"a.w": np.array([[3.0]]), "a.b": np.array([4.0])}).worst
    assert row.relative_error == pytest.approx(3 / 5, rel=1e-14)


def test_a_scaled_gradient_is_aligned():
    a = np.random.default_rng(0).standard_normal(50)
    row = fidelity({"a.w": 3 * a}, {"a.w": a}).worst
    assert row.misalignment < 1e-30  # roundings squared
    assert row.relative_error == pytest.approx(2, rel=1e-14)


def test_opposite_and_orthogonal_gradients():
    e = np.eye(2)
    assert fidelity({"a.w": -e[0]}, {"a.w": e[0]}).worst.misalignment == 2.0
    assert fidelity({"a.w": e[1]}, {"a.w": e[0]}).worst.misalignment == pytest.approx(1.0, rel=1e-15)


def test_misalignment_resolves_angles_far_below_rounding():
    angle = 1e-10
    row = fidelity({"a.w": np.array([1.0, angle])}, {"a.w": np.array([1.0, 0.0])}).worst
    assert row.misalignment == pytest.approx(angle**2 / 2, rel=1e-6)  # 5e-21, where 1 - cos would say 0


def test_float32_gradients_are_compared_in_float64():
    a = np.full(100_000, 0.1, np.float32)
    row = fidelity({"a.w": a * np.float32(1 + 1e-6)}, {"a.w": a}).worst
    wanted = float(np.float32(0.1) * np.float32(1 + 1e-6)) / float(np.float32(0.1)) - 1
    assert row.relative_error == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("reference", [False, True])
def test_a_gradient_that_is_not_finite_is_infinitely_wrong(bad, reference):
    good = {"a.w": np.array([1.0, 1.1]), "b.w": np.ones(2), "c.w": np.ones(2)}
    other = {**good, "a.w": np.ones(2), "b.w": np.array([1.0, bad])}
    found = fidelity(good, other) if reference else fidelity(other, good)
    assert found.worst.stage == "b"
    assert found.worst.relative_error == math.inf
    assert found.worst.signal_to_noise == 0
    json.loads(found.to_json())


def test_a_gradient_where_there_should_be_none_is_infinitely_wrong_and_two_zeros_agree():
    zero, one = {"a.w": np.zeros(2)}, {"a.w": np.ones(2)}
    assert fidelity(one, zero).worst.relative_error == math.inf
    assert fidelity(zero, one).worst.relative_error == 1
    assert fidelity(zero, zero).worst.relative_error == 0


def test_text_has_a_row_a_stage_and_json_holds_no_infinity():
    found = fidelity({"a.w": np.ones(2), "long_name.w": np.ones(1)}, {"a.w": np.ones(2), "long_name.w": np.full(1, 2.0)})
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == ["stage", "a", "long_name", "all"]
    assert len({len(line) for line in lines}) == 1
    document = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert document["stages"][0]["signal_to_noise"] is None
    assert document["stages"][1]["relative_error"] == 0.5
    assert document["worst"] == "long_name"


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"a.w": np.ones(1)}, {"a.w": np.ones(1), "b.w": np.ones(1)}, "in one gradient only: b.w"),
        ({}, {}, "none at all"),
        ({"a.w": np.ones(2)}, {"a.w": np.ones(3)}, "a.w: found shapes (2,) and (3,)"),
        ({"a.w": np.ones((1, 2))}, {"a.w": np.ones(2)}, "found shapes (1, 2) and (2,)"),
    ],
)
def test_gradients_of_different_networks_are_refused(a, b, words):
    with pytest.raises(ValueError) as caught:
        fidelity(a, b)
    assert words in str(caught.value)
