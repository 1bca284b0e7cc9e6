"""Convolutions of 3x3, stride 1, with a quarter of the multiplications: Winograd's F(4x4, 3x3).

A 4 x 4 tile Y of the output comes from a 6 x 6 tile D of the input and the 3 x 3 weights g by

    Y = A^T [ (G g G^T) . (B^T D B) ] A            . elementwise, summed over input channels

(Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308, sec. 4.3; points 0, 1, -1, 2, -2, infinity): 36
multiplications in place of 144, done as 36 matrix products over tiles and channels.  The gradient of the weights is
the adjoint, dC/dg = G^T [ (B^T D B) . (A dY A^T) ] G, summed over tiles; W^T d is a convolution with turned weights.

A thread takes a block of tiles through all three steps while it is in its cache; blocks are small
enough that the BLAS takes them without packing, which is where it reaches the machine's peak.
Rounding: relative error 2e-6 in float32 (im2col: 3e-7); tests hold it below 1e-4.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import prange

from dbpsim.kernels.im2col import Pair, add_matrix
from dbpsim.kernels.lanes import LANES, tile_map
from dbpsim.kernels.memory import empty
from dbpsim.kernels.policy import kernel, parallel_kernel

TILE, POINTS = 4, 36
_COMPILED = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # the tiles' vector code needs the compiler
_UNPACKED = 1_000_000  # OpenBLAS multiplies without packing up to this many multiply-accumulates
_GROUP = 128  # output channels a block is multiplied with at once
_BLOCK = 32  # tiles a block has at most (times are flat from 16 to 64)
_SQUARE = 64  # channels, in and out, of one product in the gradient
_SLICE = 128  # tiles summed by one product in the gradient
_CHUNK_BYTES = 12 << 20  # transformed tiles of the gradient alive at once: they stay in the shared cache


def input_transform(d0, d1, d2, d3, d4, d5):
    """Return B^T d."""
    even, odd = d4 - 4 * d2, d3 - 4 * d1
    even2, odd2 = d4 - d2, 2 * (d3 - d1)
    return 4 * d0 - 5 * d2 + d4, even + odd, even - odd, even2 + odd2, even2 - odd2, 4 * d1 - 5 * d3 + d5


def output_transform(m0, m1, m2, m3, m4, m5):
    """Return A^T m."""
    s1, t1, s2, t2 = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + s1 + s2, t1 + 2 * t2, s1 + 4 * s2, t1 + 8 * t2 + m5


def output_adjoint(y0, y1, y2, y3):
    """Return A y."""
    even, odd = y0 + y2, y1 + y3
    even2, odd2 = y0 + 4 * y2, 2 * (y1 + 4 * y3)
    return y0, even + odd, even - odd, even2 + odd2, even2 - odd2, y3


def weight_transform(g0, g1, g2):
    """Return G g."""
    even, odd = (-1 / 6) * (g0 + g2), (1 / 6) * g1
    even2, odd2 = (1 / 24) * (g0 + 4 * g2), (1 / 12) * g1
    return (1 / 4) * g0, even - odd, even + odd, even2 + odd2, even2 - odd2, 1 * g2


def weight_adjoint(m0, m1, m2, m3, m4, m5):
    """Return G^T m."""
    s1, t1, s2, t2 = (1 / 6) * (m1 + m2), (1 / 6) * (m2 - m1), (1 / 24) * (m3 + m4), (1 / 12) * (m3 - m4)
    return (1 / 4) * m0 - s1 + s2, t1 + t2, 4 * s2 - s1 + m5


_input_tile = tile_map(input_transform, 6)
_output_tile = tile_map(output_transform, 6)
_output_adjoint_tile = tile_map(output_adjoint, 4)
_weight_tile = tile_map(weight_transform, 3)
_weight_adjoint_tile = tile_map(weight_adjoint, 6)


def _padded(channels: int, to: int = LANES) -> int:
    return -(-channels // to) * to


def suits(a_shape: tuple[int, ...], kernel_shape: Pair, outputs: int, stride: Pair, padding: Pair, dtype: np.dtype) -> bool:
    """Return whether a convolution is one that this file does, and does faster than im2col.

    3x3, stride 1, float32, padding 0 to 2, at least 16 channels on both sides (fewer would mostly
    multiply padding) and an output that fills at least half of its 4 x 4 tiles.
    """
    if not _COMPILED or dtype != np.float32 or kernel_shape != (3, 3) or stride != (1, 1):
        return False
    if max(padding) > 2 or min(a_shape[3], outputs) < 16 or 0 in a_shape:
        return False
    oh, ow = a_shape[1] + 2 * padding[0] - 2, a_shape[2] + 2 * padding[1] - 2
    return oh > 0 and ow > 0 and 2 * oh * ow >= _padded(oh, TILE) * _padded(ow, TILE)


@kernel
def _cut(image, top, left, tile):
    """Copy the part of `image` (H, W, C) at (top, left) into `tile`, with zeros where there is none."""
    h, w, c = image.shape
    for i in range(tile.shape[0]):
        y = top + i
        for j in range(tile.shape[1]):
            x = left + j
            if 0 <= y < h and 0 <= x < w:
                for k in range(c):
                    tile[i, j, k] = image[y, x, k]
                for k in range(c, tile.shape[2]):
                    tile[i, j, k] = 0
            else:
                for k in range(tile.shape[2]):
                    tile[i, j, k] = 0


@kernel
def _transform_input(a, number, rows, columns, ph, pw, tile, out, first, row_step, column_step, group, group_step):
    """Put B^T D B of tile `number` into the flat array `out`, channel c of group g at first + g group_step + c."""
    n, h, w, c = a.shape
    image, i, j = number // (rows * columns), (number // columns) % rows, number % columns
    top, left = 4 * i - ph, 4 * j - pw
    whole = top >= 0 and left >= 0 and top + 6 <= h and left + 6 <= w and c == tile.shape[2]
    inputs = tile.shape[2]
    if whole:
        source, corner, s_row, s_column = a.reshape(-1), ((image * h + top) * w + left) * c, w * c, c
    else:
        _cut(a[image], top, left, tile)
        source, corner, s_row, s_column = tile.reshape(-1), 0, 6 * inputs, inputs
    for start in range(0, inputs, group):
        at = first + (start // group) * group_step
        for k in range(0, group, LANES):
            _input_tile(source, corner + start + k, s_row, s_column, out, at + k, row_step, column_step)


@kernel
def _transform_gradient(d, number, rows, columns, tile, out, first, row_step, column_step, group, group_step):
    """Put A dY A^T of tile `number` into the flat array `out`, channels placed as by `_transform_input`."""
    n, h, w, c = d.shape
    image, i, j = number // (rows * columns), (number // columns) % rows, number % columns
    top, left = 4 * i, 4 * j
    whole = top + 4 <= h and left + 4 <= w and c == tile.shape[2]
    outputs = tile.shape[2]
    if whole:
        source, corner, s_row, s_column = d.reshape(-1), ((image * h + top) * w + left) * c, w * c, c
    else:
        _cut(d[image], top, left, tile)
        source, corner, s_row, s_column = tile.reshape(-1), 0, 4 * outputs, outputs
    for start in range(0, outputs, group):
        at = first + (start // group) * group_step
        for k in range(0, group, LANES):
            _output_adjoint_tile(source, corner + start + k, s_row, s_column, out, at + k, row_step, column_step)


@kernel
def _transform_output(m, slot, number, rows, columns, first_channel, tile, out):
    """Write A^T M A of tile `number`, row `slot` of `m` (36, tiles, channels), to its place in `out`."""
    n, h, w, c = out.shape
    image, i, j = number // (rows * columns), (number // columns) % rows, number % columns
    top, left = 4 * i, 4 * j
    tiles, channels = m.shape[1], m.shape[2]
    step = tiles * channels
    products = m.reshape(-1)
    whole = top + 4 <= h and left + 4 <= w and first_channel + channels <= c
    if whole:
        corner, t_row, t_column = ((image * h + top) * w + left) * c + first_channel, w * c, c
        target = out.reshape(-1)
    else:
        corner, t_row, t_column, target = 0, 4 * channels, channels, tile.reshape(-1)
    for k in range(0, channels, LANES):
        _output_tile(products, slot * channels + k, 6 * step, step, target, corner + k, t_row, t_column)
    if not whole:
        for y in range(top, min(top + 4, h)):
            for x in range(left, min(left + 4, w)):
                for k in range(min(channels, c - first_channel)):
                    out[image, y, x, first_channel + k] = tile[y - top, x - left, k]


@parallel_kernel
def _transform_weights(w, out):
    """Put G g G^T into `out` (groups, 36, in, group) from `w` (3, 3, in, groups * group), both padded."""
    groups, _, inputs, group = out.shape
    flat, target = w.reshape(-1), out.reshape(-1)
    step = inputs * groups * group
    for c in prange(inputs):
        for g in range(groups):
            for k in range(0, group, LANES):
                source = (c * groups + g) * group + k
                place = (g * 36 * inputs + c) * group + k
                _weight_tile(flat, source, 3 * step, step, target, place, 6 * inputs * group, inputs * group)


@parallel_kernel
def _convolve(a, u, ph, pw, v, m, cuts, pastes, out):
    """Fill `out` from images `a` and transformed weights `u`; v, m, cuts, pastes are scratch, one a thread."""
    workers, _, block, inputs = v.shape
    groups, group = u.shape[0], u.shape[3]
    rows, columns = (out.shape[1] + 3) // 4, (out.shape[2] + 3) // 4
    tiles = len(a) * rows * columns
    blocks = (tiles + block - 1) // block
    step = block * inputs
    for worker in prange(workers):
        mine, product, cut, paste = v[worker], m[worker], cuts[worker], pastes[worker]
        flat = mine.reshape(-1)
        for b in range(worker, blocks, workers):
            count = min(block, tiles - b * block)
            for t in range(count):
                _transform_input(
                    a, b * block + t, rows, columns, ph, pw, cut, flat, t * inputs, 6 * step, step, inputs, 0
                )
            for g in range(groups):
                for k in range(36):
                    np.dot(mine[k], u[g, k], product[k])
                for t in range(count):
                    _transform_output(product, t, b * block + t, rows, columns, g * group, paste, out)


@parallel_kernel
def _transform_chunk(a, d, first, count, ph, pw, workers, cuts, pastes, v, z):
    """Fill v and z (groups, 36, tiles, group) with the transforms of tiles first ... first + count of a and d."""
    rows, columns = (d.shape[1] + 3) // 4, (d.shape[2] + 3) // 4
    chunk, cw, kw = v.shape[2], v.shape[3], z.shape[3]
    flat_v, flat_z = v.reshape(-1), z.reshape(-1)
    vs, zs = chunk * cw, chunk * kw
    for worker in prange(workers):
        cut, paste = cuts[worker], pastes[worker]
        for t in range(worker * chunk // workers, (worker + 1) * chunk // workers):
            if t < count:
                number = first + t
                _transform_input(
                    a, number, rows, columns, ph, pw, cut, flat_v, t * cw, 6 * vs, vs, cw, 36 * vs
                )
                _transform_gradient(d, number, rows, columns, paste, flat_z, t * kw, 6 * zs, zs, kw, 36 * zs)
            else:
                v[:, :, t] = 0
                z[:, :, t] = 0


@parallel_kernel
def _add_products(v, z, slices, length, fresh, scratch, out):
    """Add V^T Z of each point and pair of groups, over `slices` slices of tiles, into `out` (groups, groups, 36, in, out)."""
    workers = len(scratch)
    inputs, outputs = len(v), len(z)
    for worker in prange(workers):
        product = scratch[worker]
        for unit in range(worker, 36 * inputs * outputs, workers):
            k, g, h = unit // (inputs * outputs), (unit // outputs) % inputs, unit % outputs
            total = out[g, h, k]
            for s in range(slices):
                part, other = v[g, k, s * length : (s + 1) * length], z[h, k, s * length : (s + 1) * length]
                if fresh and s == 0:
                    np.dot(part.T, other, total)
                else:
                    np.dot(part.T, other, product)
                    add_matrix(product, total)


@parallel_kernel
def _weights_back(u, out):
    """Put G^T U G into `out` (3, 3, in, out) from u (groups, groups, 36, in, out)."""
    inputs, outputs, _, cw, kw = u.shape
    flat, target = u.reshape(-1), out.reshape(-1)
    step, place = cw * kw, out.shape[2] * out.shape[3]
    for c in prange(inputs * cw):
        g, row = c // cw, c % cw
        for h in range(outputs):
            for k in range(0, kw, LANES):
                source = ((g * outputs + h) * 36 * cw + row) * kw + k
                at = c * out.shape[3] + h * kw + k
                _weight_adjoint_tile(flat, source, 6 * step, step, target, at, 3 * place, place)


def _pad_weights(w: np.ndarray, inputs: int, outputs: int) -> np.ndarray:
    if w.shape[2:] == (inputs, outputs):
        return np.ascontiguousarray(w)
    padded = np.zeros((3, 3, inputs, outputs), w.dtype)
    padded[:, :, : w.shape[2], : w.shape[3]] = w
    return padded


def convolve(a: np.ndarray, w: np.ndarray, padding: Pair) -> np.ndarray:
    """Return W * a, shape (N, OH, OW, out), for `a` (N, H, W, in) and `w` (3, 3, in, out), both float32.

    Examples
    --------
    >>> a, w = np.ones((1, 4, 4, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
    >>> np.round(convolve(a, w, (1, 1))[0, :2, :2, 0]).tolist()
    [[64.0, 96.0], [96.0, 144.0]]
    """
    n, h, width, c = a.shape
    outputs = w.shape[3]
    inputs = _padded(c)
    groups = -(-outputs // _GROUP)
    group = _padded(-(-outputs // groups))
    block = max(8, min(_BLOCK, _UNPACKED // (inputs * group)))
    u = empty((groups, POINTS, inputs, group), w.dtype)
    _transform_weights(_pad_weights(w, inputs, groups * group), u)
    out = empty((n, h + 2 * padding[0] - 2, width + 2 * padding[1] - 2, outputs), a.dtype)
    workers = numba.get_num_threads()
    v = empty((workers, POINTS, block, inputs), a.dtype)
    m = empty((workers, POINTS, block, group), a.dtype)
    cuts = np.empty((workers, 6, 6, inputs), a.dtype)
    pastes = np.empty((workers, 4, 4, group), a.dtype)
    _convolve(np.ascontiguousarray(a), u, *padding, v, m, cuts, pastes, out)
    return out


def convolve_transposed(d: np.ndarray, w: np.ndarray, padding: Pair) -> np.ndarray:
    """Return W^T d: the convolution of `d` with the weights turned by 180 degrees and in and out exchanged."""
    turned = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))
    return convolve(d, turned, (2 - padding[0], 2 - padding[1]))


def convolve_outer(d: np.ndarray, a: np.ndarray, padding: Pair) -> np.ndarray:
    """Return dC/dW, shape (3, 3, in, out), for `d` (N, OH, OW, out) and `a` (N, H, W, in), both float32.

    Sums run over slices of tiles in their order, so the result does not depend on the number of threads.
    """
    c, outputs = a.shape[3], d.shape[3]
    cw, kw = (_padded(-(-n // -(-n // _SQUARE))) for n in (c, outputs))
    cg, kg = -(-c // cw), -(-outputs // kw)
    tiles = len(d) * -(-d.shape[1] // TILE) * -(-d.shape[2] // TILE)
    length = min(_SLICE, _padded(tiles, 8))
    fitting = _CHUNK_BYTES // (4 * POINTS * (cg * cw + kg * kw))
    chunk = min(max(length, fitting // length * length), _padded(tiles, length))
    workers = numba.get_num_threads()
    v, z = empty((cg, POINTS, chunk, cw), a.dtype), empty((kg, POINTS, chunk, kw), a.dtype)
    u = empty((cg, kg, POINTS, cw, kw), a.dtype)
    scratch = np.empty((workers, cw, kw), a.dtype)
    cuts, pastes = np.empty((workers, 6, 6, cg * cw), a.dtype), np.empty((workers, 4, 4, kg * kw), a.dtype)
    a, d = np.ascontiguousarray(a), np.ascontiguousarray(d)
    for first in range(0, tiles, chunk):
        count = min(chunk, tiles - first)
        _transform_chunk(a, d, first, count, *padding, workers, cuts, pastes, v, z)
        _add_products(v, z, -(-count // length), length, first == 0, scratch, u)
    out = empty((3, 3, cg * cw, kg * kw), a.dtype)
    _weights_back(u, out)
    return out if out.shape[2:] == (c, outputs) else np.ascontiguousarray(out[:, :, :c, :outputs])
