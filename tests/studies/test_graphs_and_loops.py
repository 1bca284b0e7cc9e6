"""The tasks `skips`, `recurrent` and `depth`: exact when, converging where, growing how."""

import numpy as np
import pytest

from dbpsim.credit.settling import clocks_to, time_to
from dbpsim.studies.tasks import checked, run_task
from dbpsim.studies.tasks.recurrent import relaxed

GRAPHS = [{"model": "mlp:8-6-6-6-3", "dense_skips": True}, {"model": "resnet18", "width": 2}, {"model": "tiny_vit", "width": 8}]


@pytest.mark.parametrize("graph", GRAPHS)
def test_any_graph_is_exact_after_twice_its_longest_path(graph):
    rows = run_task("skips", {**graph, "batch": 2, "before": 1})
    errors = {row["clocks_late"]: row["relative_error"] for row in rows}
    assert errors[-1] > 1e-8
    assert errors[0] == errors[1] == 0.0


def test_stages_come_right_from_the_last_to_the_first():
    rows = run_task("skips", {"model": "mlp:8-6-6-6-3", "dense_skips": True, "before": 4})
    wrong = [row["wrong_stages"] for row in rows]
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] > 1
    assert wrong[-1] == 0


def loop(**settings):
    return checked("recurrent", {"width": 8, **settings})[1]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_gradient_of_a_loop_is_that_of_its_fixed_point(activation):
    given = loop(radius=0.6, activation=activation, tolerance=1e-12)
    random = np.random.default_rng(3)
    weights, drive, target = random.standard_normal((8, 8)) * 0.2, random.standard_normal(8), random.standard_normal(8)

    def loss(w):
        return 0.5 * ((relaxed(w, drive, target, given)[0] - target) ** 2).sum()

    m, s, _, settled = relaxed(weights, drive, target, given)
    assert settled
    u = weights @ m + drive
    slope = 1 - np.tanh(u) ** 2 if activation == "tanh" else (u > 0).astype(float)
    gradient, step = np.outer(slope * s, m), 1e-5
    for place in [(0, 0), (3, 5), (7, 2)]:
        up, down = weights.copy(), weights.copy()
        up[place] += step
        down[place] -= step
        assert gradient[place] == pytest.approx((loss(up) - loss(down)) / (2 * step), rel=1e-5, abs=1e-8)


def test_a_loop_converges_inside_the_circle_and_not_far_outside():
    inside, outside = (
        [run_task("recurrent", {"radius": radius, "seed": seed, "activation": "relu"})[0] for seed in range(4)]
        for radius in (0.5, 4.0)
    )
    assert all(row["settled"] and row["relative_error"] < 1e-6 for row in inside)
    assert not any(row["settled"] for row in outside)


def test_a_smaller_rate_settles_what_a_symmetric_loop_with_negative_eigenvalues_does_not():
    # I - eta (I - J): eigenvalues near -radius lie outside the circle at eta = 1 and inside for a smaller rate
    found = [run_task("recurrent", {"radius": 1.6, "symmetric": True, "eta": eta, "seed": 1})[0]["settled"] for eta in (1.0, 0.3)]
    assert found[1] >= found[0]


def test_depth_has_the_laws_beside_what_was_measured():
    row = run_task("depth", {"model": "mlp:8-8-4", "depth": 5, "eta": 0.75, "activation": "tanh", "hardware": "ecram"})[0]
    assert (row["law_steps"], row["law_time_tau"]) == (clocks_to(1e-4, 0.75, 5), time_to(1e-4, 5))
    assert row["steps"] == pytest.approx(row["law_steps"], abs=4)
    assert row["settling_time_tau"] == pytest.approx(row["law_time_tau"], rel=0.3)
    exact = run_task("depth", {"model": "mlp:8-8-4", "depth": 5, "activation": "tanh", "hardware": "ecram"})[0]
    assert exact["steps"] == 10
    assert exact["relative_error"] == 0
    assert exact["synchronous_energy_J"] > exact["wavefront_energy_J"] > 0
    with pytest.raises(ValueError, match="whose hidden layer is repeated"):
        run_task("depth", {"model": "mlp:8-8-8-4", "depth": 5})


def test_overhead_has_a_row_an_engine_and_says_which_python_it_cannot_run():
    given = {"model": "mlp:16-16-4", "batch": 8, "repeats": 1}
    rows = run_task("overhead", given)
    assert [row["steps"] for row in rows] == [1, 6, 6, clocks_to(1e-4, 0.9, 3)]
    assert rows[0]["time_ratio"] == 1
    assert all(row["seconds"] > 0 for row in rows)
    with pytest.raises(ValueError, match="accepted: a Python that has PyTorch"):
        run_task("overhead", {**given, "peer_python": "/no/such/python"})
