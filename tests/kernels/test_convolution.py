"""Convolutions: against plain loops, as adjoints of each other, independent of the thread count."""

import naive
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbpsim.kernels import im2col, winograd
from dbpsim.kernels.convolution import convolve, convolve_outer, convolve_transposed

# batch, height, width, in, out, kernel, stride, padding
SHAPES = [
    (2, 8, 8, 16, 16, (3, 3), (1, 1), (1, 1)),  # Winograd, whole tiles
    (3, 7, 9, 20, 37, (3, 3), (1, 1), (1, 0)),  # Winograd, cut tiles and padded channels
    (2, 10, 6, 64, 130, (3, 3), (1, 1), (0, 2)),  # Winograd, two groups of outputs
    (1, 5, 4, 150, 16, (3, 3), (1, 1), (1, 1)),  # Winograd, three groups of inputs in the gradient
    (2, 9, 11, 3, 8, (3, 3), (1, 1), (1, 1)),  # few channels
    (2, 9, 8, 16, 5, (3, 3), (2, 2), (1, 1)),
    (2, 11, 10, 4, 6, (3, 2), (3, 1), (2, 0)),
    (2, 8, 8, 3, 7, (4, 4), (4, 4), (0, 0)),  # patch embedding
    (2, 7, 7, 6, 5, (1, 1), (2, 2), (0, 0)),  # skip of a residual block
]
# Rounding of a sum of k products grows like sqrt(k) eps; Winograd's transforms multiply it by about ten.
TOLERANCE = {"float32": 1e-5, "float64": 2e-14}


def problem(shape, dtype, seed=0):
    n, h, w, c, k, kernel, stride, padding = shape
    random = np.random.default_rng(seed)
    oh, ow = im2col.output_size((h, w), kernel, stride, padding)
    a = random.standard_normal((n, h, w, c)).astype(dtype)
    weight = random.standard_normal((*kernel, c, k)).astype(dtype)
    d = random.standard_normal((n, oh, ow, k)).astype(dtype)
    return a, weight, d, kernel, stride, padding


def relative_error(found, exact):
    return np.linalg.norm(found - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolutions_equal_the_plain_loops(shape, dtype):
    a, w, d, kernel, stride, padding = problem(shape, dtype)
    found = {
        "forward": (convolve(a, w, stride, padding), naive.convolve(a, w, stride, padding)),
        "transposed": (
            convolve_transposed(d, w, a.shape, stride, padding),
            naive.convolve_transposed(d, w, a.shape, stride, padding),
        ),
        "outer": (convolve_outer(d, a, kernel, stride, padding), naive.convolve_outer(d, a, kernel, stride, padding)),
    }
    for name, (y, exact) in found.items():
        assert y.dtype == dtype, name
        assert y.shape == exact.shape, name
        assert relative_error(y, exact) < TOLERANCE[dtype], name


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pullback_and_gradient_are_adjoints_of_the_forward_map(shape, dtype):
    """<W a, d> = <a, W^T d> = <W, outer(d, a)>, in float64 sums."""
    a, w, d, kernel, stride, padding = problem(shape, dtype, seed=1)

    def inner(x, y):
        return float(np.sum(x.astype(np.float64) * y.astype(np.float64)))

    u = convolve(a, w, stride, padding)
    forward = inner(u, d)
    size = np.linalg.norm(u.astype(np.float64)) * np.linalg.norm(d.astype(np.float64))
    assert abs(forward - inner(a, convolve_transposed(d, w, a.shape, stride, padding))) < TOLERANCE[dtype] * size
    assert abs(forward - inner(w, convolve_outer(d, a, kernel, stride, padding))) < TOLERANCE[dtype] * size


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 3), h=st.integers(1, 9), w=st.integers(1, 9), c=st.integers(1, 20), k=st.integers(1, 20),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)), stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_small_shape_convolves(n, h, w, c, k, kernel, stride, padding, seed):
    if h + 2 * padding[0] < kernel[0] or w + 2 * padding[1] < kernel[1]:
        return
    a, weight, d, *_ = problem((n, h, w, c, k, kernel, stride, padding), "float32", seed)
    for y, exact in (
        (convolve(a, weight, stride, padding), naive.convolve(a, weight, stride, padding)),
        (
            convolve_transposed(d, weight, a.shape, stride, padding),
            naive.convolve_transposed(d, weight, a.shape, stride, padding),
        ),
        (convolve_outer(d, a, kernel, stride, padding), naive.convolve_outer(d, a, kernel, stride, padding)),
    ):
        # Against the sum of the magnitudes: single elements may cancel.
        assert np.abs(y - exact).max() <= 1e-5 * max(1.0, np.abs(exact).max())


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 9), h=st.integers(1, 14), w=st.integers(1, 14), c=st.integers(1, 70), k=st.integers(1, 140),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)), seed=st.integers(0, 99),
)  # fmt: skip
@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="Winograd's tiles are vector code, which needs the compiler")
def test_winograd_is_right_wherever_it_could_be_asked(n, h, w, c, k, padding, seed):
    if h + 2 * padding[0] < 3 or w + 2 * padding[1] < 3:
        return
    a, weight, d, *_ = problem((n, h, w, c, k, (3, 3), (1, 1), padding), "float32", seed)
    one = (1, 1)
    for y, exact in (
        (winograd.convolve(a, weight, padding), naive.convolve(a, weight, one, padding)),
        (winograd.convolve_transposed(d, weight, padding), naive.convolve_transposed(d, weight, a.shape, one, padding)),
        (winograd.convolve_outer(d, a, padding), naive.convolve_outer(d, a, (3, 3), one, padding)),
    ):
        assert np.abs(y - exact).max() <= 3e-5 * np.abs(exact).max()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="Winograd's tiles are vector code, which needs the compiler")
@pytest.mark.parametrize("channels", [64, 256])
def test_winograd_in_float32_is_within_1e_4_of_float64(channels):
    """The issue's bound; measured 2e-6, where im2col has 3e-7."""
    a, w, d, *_ = problem((16, 16, 16, channels, channels, (3, 3), (1, 1), (1, 1)), "float32")
    one = (1, 1)
    double = [x.astype(np.float64) for x in (a, w, d)]
    assert relative_error(winograd.convolve(a, w, one), convolve(double[0], double[1], one, one)) < 1e-5
    back = convolve_transposed(double[2], double[1], a.shape, one, one)
    assert relative_error(winograd.convolve_transposed(d, w, one), back) < 1e-5
    outer = convolve_outer(double[2], double[0], (3, 3), one, one)
    assert relative_error(winograd.convolve_outer(d, a, one), outer) < 1e-5


@pytest.mark.parametrize("shape", [(9, 15, 18, 64, 80), (5, 12, 12, 3, 24)], ids=["winograd", "im2col"])
def test_results_do_not_depend_on_the_number_of_threads(shape):
    a, w, d, kernel, stride, padding = problem((*shape, (3, 3), (1, 1), (1, 1)), "float32")
    results = []
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        before = numba.get_num_threads()
        numba.set_num_threads(count)
        try:
            y = convolve(a, w, stride, padding)
            back = convolve_transposed(d, w, a.shape, stride, padding)
            results.append((y, back, convolve_outer(d, a, kernel, stride, padding)))
        finally:
            numba.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_inputs_need_not_be_contiguous_and_are_not_changed():
    a, w, d, kernel, stride, padding = problem((2, 8, 8, 32, 32, (3, 3), (1, 1), (1, 1)), "float32")
    wide = np.repeat(a, 2, axis=3)
    kept = [x.copy() for x in (wide, w, d)]
    assert np.array_equal(convolve(wide[..., ::2], w, stride, padding), convolve(a, w, stride, padding))
    flipped = convolve_outer(d[:, ::-1], wide[..., ::2], kernel, stride, padding)
    assert np.array_equal(flipped, convolve_outer(d[:, ::-1].copy(), a, kernel, stride, padding))
    assert all(np.array_equal(x, y) for x, y in zip((wide, w, d), kept, strict=True))


def test_patches_and_fold_are_adjoint():
    random = np.random.default_rng(2)
    for shape, kernel, stride, padding in (((2, 9, 7, 5), (3, 2), (2, 3), (1, 1)), ((1, 6, 6, 1), (5, 5), (1, 1), (2, 2))):
        a = random.standard_normal(shape)
        rows = im2col.patches(a, kernel, stride, padding)
        assert np.array_equal(rows, naive.patches(a, kernel, stride, padding))  # moves numbers, rounds nothing
        r = random.standard_normal(rows.shape)
        folded = im2col.fold(r, shape, kernel, stride, padding)
        assert np.sum(rows * r) == pytest.approx(np.sum(a * folded), rel=1e-12)


def test_winograd_transforms_are_the_published_matrices():
    """Y = A^T [(G g) . (B^T d)] is the correlation of six numbers with three (Lavin and Gray 2016)."""
    random = np.random.default_rng(3)
    d, g, y = random.standard_normal(6), random.standard_normal(3), random.standard_normal(4)
    product = np.array(winograd.weight_transform(*g)) * np.array(winograd.input_transform(*d))
    assert np.allclose(winograd.output_transform(*product), np.correlate(d, g, "valid"), atol=1e-13)
    m = random.standard_normal(6)
    assert np.dot(winograd.output_transform(*m), y) == pytest.approx(np.dot(m, winograd.output_adjoint(*y)))
    assert np.dot(winograd.weight_transform(*g), m) == pytest.approx(np.dot(g, winograd.weight_adjoint(*m)))


def test_pytorch_agrees():
    torch = pytest.importorskip("torch")
    for shape in SHAPES[:6]:
        a, w, d, _, stride, padding = problem(shape, "float64")
        ta = torch.tensor(a.transpose(0, 3, 1, 2).copy(), requires_grad=True)
        tw = torch.tensor(w.transpose(3, 2, 0, 1).copy(), requires_grad=True)
        u = torch.nn.functional.conv2d(ta, tw, stride=stride, padding=padding)
        u.backward(torch.tensor(d.transpose(0, 3, 1, 2).copy()))
        assert np.allclose(convolve(a, w, stride, padding), u.detach().numpy().transpose(0, 2, 3, 1), atol=1e-11)
        back = convolve_transposed(d, w, a.shape, stride, padding)
        assert np.allclose(back, ta.grad.numpy().transpose(0, 2, 3, 1), atol=1e-11)
        outer = convolve_outer(d, a, w.shape[:2], stride, padding)
        assert np.allclose(outer, tw.grad.numpy().transpose(2, 3, 1, 0), atol=1e-11)
