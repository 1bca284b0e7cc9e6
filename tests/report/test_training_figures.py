"""The curves of a training: what is drawn is what was logged."""

import matplotlib.pyplot as plt
import numpy as np

import dbpsim as dbp
from dbpsim.report.figures import draw_checks, save_training_curves
from dbpsim.training.loop import TrainingResult


def _result(checks):
    names = ("epoch", "loss", "train_accuracy", "test_accuracy", "test_loss", "seconds", "images_per_s")
    epochs = [dict(zip(names, (1, 1.0, 0.5, 0.4, 1.1, 1.0, 2.0), strict=True))]
    return TrainingResult(dbp.TrainingConfig(method="relax"), epochs, checks, 20, "net", "data")


def test_checks_are_drawn_at_their_steps_and_exact_ones_at_the_floor(tmp_path):
    checks = [
        {"step": 0, "stage": "a", "misalignment": 1e-9, "relative_error": 4e-5, "signal_to_noise": 6e8},
        {"step": 10, "stage": "a", "misalignment": 0.0, "relative_error": 0.0, "signal_to_noise": None},
    ]
    ax = draw_checks(plt.figure().subplots(), _result(checks))
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["relative error"].get_xdata().tolist() == [0, 10]
    np.testing.assert_allclose(lines["relative error"].get_ydata(), [4e-5, 1e-17])
    np.testing.assert_allclose(lines["1 / SNR"].get_ydata(), [1 / 6e8, 1e-17])
    assert "1e-17" in ax.get_xlabel()
    plt.close("all")
    for name, found in (("with", checks), ("without", [])):
        save_training_curves(_result(found), tmp_path / f"{name}.png")
    assert (tmp_path / "with.png").stat().st_size > (tmp_path / "without.png").stat().st_size > 1000
