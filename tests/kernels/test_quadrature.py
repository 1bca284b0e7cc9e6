"""Sums over the nodes of a step against their plain NumPy twin, for one thread and for many."""

import numpy as np
import pytest

from dbpsim.kernels.quadrature import advance


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 40, 30), (64, 1500)])
def test_states_and_error_are_the_sums(shape: tuple[int, ...], dtype: type) -> None:
    random = np.random.default_rng(0)
    nodes = 6
    q, decay, estimate = (random.standard_normal(s).astype(dtype) for s in ((nodes, nodes + 1), (nodes,), (nodes + 1,)))
    start, drive = (random.standard_normal(shape).astype(dtype) for _ in range(2))
    drives = random.standard_normal((nodes, *shape)).astype(dtype)
    states, error = advance(q, decay, estimate, start, drive, drives)
    known = np.concatenate([drive[None], drives]).astype(float)
    wanted = np.multiply.outer(decay.astype(float), start) + np.tensordot(q.astype(float), known, 1)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    assert states.dtype == error.dtype == dtype
    assert np.allclose(states, wanted, atol=tolerance)
    assert np.allclose(error, np.tensordot(estimate.astype(float), known, 1), atol=tolerance)


def test_broadcast_drives_are_taken() -> None:
    drives = np.broadcast_to(np.ones(4), (3, 4))
    states, _ = advance(np.ones((3, 4)), np.zeros(3), np.zeros(4), np.zeros(4), np.ones(4), drives)
    assert (states == 4).all()
