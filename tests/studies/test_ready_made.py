"""The studies that come with the package: their quick forms run, and what a task knows of trained networks."""

import html

import numpy as np
import pytest

from dbpsim.credit.backprop import backprop
from dbpsim.network import models
from dbpsim.report.study_page import write_study_page
from dbpsim.studies.engine import run_study
from dbpsim.studies.points import points
from dbpsim.studies.study import Study, list_studies, load_study
from dbpsim.studies.tasks import checked, run_task
from dbpsim.studies.tasks.common import batch, network
from dbpsim.training.datasets import load
from dbpsim.training.loop import train

DIGITS = {"model": "mlp:64-16-10", "data": "digits", "seed": 3}


@pytest.mark.parametrize("name", list_studies())
def test_the_quick_form_of_every_study_runs_and_draws(name, tmp_path):
    study = load_study(name, quick=True)
    assert study.question
    outcome = run_study(study, tmp_path, shard=(0, 1))
    assert outcome.failed == 0, (tmp_path / "failures.csv").read_text()
    assert outcome.computed == outcome.points >= len(points(study))  # more where rounds follow
    assert len(points(study)) <= len(points(load_study(name)))
    page = write_study_page(study, outcome, tmp_path).read_text()
    assert study.question in html.unescape(page)


@pytest.mark.parametrize("name", list_studies())
def test_every_point_of_every_study_is_one_its_task_accepts(name):
    for point in points(load_study(name)):
        checked(point.task, point.settings)


def test_a_quick_form_replaces_settings_and_axes(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(
        'name = "a"\ntask = "t"\n[settings]\nx = 1\nw = 5\n[axes]\ny = [1, 2]\nz = [3, 4]\n'
        '[quick]\nsettings = { z = 0 }\naxes = { y = [7], x = [1, 2] }\n'
    )
    assert load_study(path, quick=True).model_dump(exclude={"quick"}) == Study(
        name="a", task="t", settings={"w": 5, "z": 0}, axes={"y": [7], "x": [1, 2]}
    ).model_dump(exclude={"quick"})
    path.write_text('name = "a"\ntask = "t"\n[quick]\naxes = { y = [7] }\n')
    with pytest.raises(ValueError, match=r"quick.axes.y: neither"):
        load_study(path, quick=True)


def _given(**settings):
    return checked("gradient", DIGITS | settings)[1]


def test_training_steps_train_and_are_the_same_network_every_time():
    fresh, trained, again = (network(_given(training_steps=steps)) for steps in (0, 40, 40))
    x, y = batch(fresh, _given(), 64)
    assert backprop(trained, x, y).loss < 0.8 * backprop(fresh, x, y).loss
    for name, value in trained.parameters.items():
        np.testing.assert_array_equal(value, again.parameters[name])
        assert not np.shares_memory(value, again.parameters[name])


def test_weights_of_a_run_are_taken_at_its_end_and_at_a_step_it_kept(tmp_path):
    net = models.mlp(64, 16, 10, input_shape=(8, 8, 1), seed=3)
    sets = load("digits", limit=256, image_shape=(8, 8, 1))
    train(net, *sets, epochs=2, batch=64, out=tmp_path, keep_every=1)
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == ["step-00000004.safetensors", "step-00000008.safetensors"]
    last, kept, early = (network(_given(weights=str(tmp_path), checkpoint=step)) for step in (None, 8, 4))
    for name, value in net.parameters.items():
        np.testing.assert_array_equal(value, last.parameters[name])
        np.testing.assert_array_equal(value, kept.parameters[name])
        assert not np.array_equal(value, early.parameters[name])
    with pytest.raises(ValueError, match="step-00000005"):
        network(_given(weights=str(tmp_path), checkpoint=5))
    with pytest.raises(ValueError, match="accepted: a mlp:64-8-10"):
        run_task("gradient", DIGITS | {"model": "mlp:64-8-10", "weights": str(tmp_path)})


def test_batches_of_a_point_follow_an_order_of_its_seed():
    net = network(_given())
    first, second = (batch(net, _given(), 64, number) for number in (0, 1))
    assert not np.array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[0], batch(net, _given(), 64)[0])
    assert not np.array_equal(first[0], batch(net, _given(seed=4), 64)[0])
