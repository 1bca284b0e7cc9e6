"""Losses: gradients are slopes, values are the closed forms, and what does not fit is refused."""

import math

import numpy as np
import pytest

from dbpsim.network.losses import CrossEntropy, MeanSquaredError, targets

LOSSES = [CrossEntropy(), CrossEntropy(0.1), MeanSquaredError()]
A = np.random.default_rng(0).standard_normal((4, 3))
LABELS = np.array([0, 2, 1, 2])
DENSE = np.array([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("y", [LABELS, DENSE], ids=["labels", "targets"])
def test_gradient_is_the_slope_of_the_value(loss, y):
    grad, h = loss.gradient(A, y), 1e-5
    for place in np.ndindex(A.shape):
        step = np.zeros_like(A)
        step[place] = h
        slope = (loss.value(A + step, y) - loss.value(A - step, y)) / (2 * h)
        assert slope == pytest.approx(grad[place], abs=1e-9)  # h^2 truncation and epsilon / h rounding, 1e-10 each


def test_cross_entropy_is_minus_the_log_of_the_softmax():
    p = np.exp(A) / np.exp(A).sum(1, keepdims=True)
    wanted = -np.log(p[np.arange(4), LABELS]).mean()
    assert CrossEntropy().value(A, LABELS) == pytest.approx(wanted, rel=1e-14)  # a few roundings
    smoothed = -(np.eye(3)[LABELS] * 0.9 + 0.1 / 3) * np.log(p)
    assert CrossEntropy(0.1).value(A, LABELS) == pytest.approx(smoothed.sum(1).mean(), rel=1e-14)


def test_cross_entropy_does_not_overflow():
    far = np.array([[1e4, -1e4, 0.0]], np.float32)
    assert CrossEntropy().value(far, np.array([0])) == 0.0
    assert CrossEntropy().value(far, np.array([1])) == 2e4
    np.testing.assert_array_equal(CrossEntropy().gradient(far, np.array([1])), [[1, -1, 0]])


def test_mean_squared_error_is_half_the_squared_distance_a_sample():
    assert MeanSquaredError().value(A, DENSE) == pytest.approx(0.5 * ((A - DENSE) ** 2).sum() / 4, rel=1e-14)
    assert MeanSquaredError().value(A, LABELS) == MeanSquaredError().value(A, np.eye(3)[LABELS])


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_has_the_dtype_of_the_output(loss, dtype):
    assert loss.gradient(A.astype(dtype), LABELS).dtype == dtype
    assert loss.gradient(A.astype(dtype), DENSE).dtype == dtype


def test_smoothed_targets_still_sum_to_one():
    np.testing.assert_allclose(targets(A, LABELS, 0.3).sum(1), 1, rtol=1e-15)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.array([0, 1, 2, 3]), "labels: found 0 to 3; accepted: 0 to 2"),
        (np.array([-1, 1, 2, 0]), "labels: found -1 to 2"),
        (np.array([0, 1]), "accepted: 4 integer labels or (4, 3)"),
        (np.array([0.0, 1.0, 2.0, 0.0]), "type float64"),
        (np.zeros((4, 2)), "found shape (4, 2)"),
        (3, "found shape ()"),
        (np.full((4, 3), np.nan), "found nan or inf"),
        (np.full((4, 3), np.inf), "found nan or inf"),
    ],
)
def test_targets_that_do_not_fit_are_refused(y, words):
    with pytest.raises(ValueError) as caught:
        targets(A, y)
    assert words in str(caught.value)


@pytest.mark.parametrize("q", [-0.1, 1.0, math.nan])
def test_label_smoothing_is_a_share(q):
    with pytest.raises(ValueError, match="label_smoothing: found"):
        CrossEntropy(q)
