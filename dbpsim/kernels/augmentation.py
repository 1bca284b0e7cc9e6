"""From stored bytes to a network's input: gather, flip, shift and standardise in one pass over the output.

For output pixel (y, x) of image i, with horizontal flip f in {0, 1} and shift (dy, dx),

    x' = W - 1 - x  if f  else  x
    out[y, x, c] = table[c, images[i, r(y + dy, H), r(x' + dx, W), c]]

where r reflects an index about the border pixel (..., 2, 1, [0, 1, ..., n-1], n-2, ...), or the pixel is 0,
the standardised mean, outside the image.  ``table[c, v] = (v/255 - mean[c]) / std[c]`` holds every value a
byte can take, so a pixel is one look-up, rounded once.  A square may then be cut out (set to 0).

Flip and shift are functions of (key, image index) only: not of the batch an image falls into, nor of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.memory import empty
from dbpsim.kernels.policy import kernel, parallel_kernel
from dbpsim.kernels.random import bits

FLIP_NONE, FLIP_RANDOM, FLIP_ALTERNATING = 0, 1, 2
_NO_KEY = np.uint64(0)


@kernel
def flipped(mode, start_key, epoch_key, epoch, image):
    """Return whether `image` is mirrored in `epoch` under flip `mode`."""
    if mode == FLIP_RANDOM:
        return bits(epoch_key, 3 * image) >> np.uint64(63) == np.uint64(1)
    if mode == FLIP_ALTERNATING:
        return (np.int64(bits(start_key, image) >> np.uint64(63)) + epoch) % 2 == 1
    return False


@kernel
def offset(epoch_key, image, axis, limit):
    """Return the shift of `image` along `axis` (0 vertical, 1 horizontal), uniform on -limit .. limit."""
    draw = bits(epoch_key, 3 * image + 1 + axis) % np.uint64(2 * limit + 1)  # bias below limit / 2^63
    return np.int64(draw) - limit


@kernel
def corner(cutout_key, image, axis, places):
    """Return where the square cut out of `image` begins along `axis`, uniform on 0 .. places - 1."""
    return np.int64(bits(cutout_key, 2 * image + axis) % np.uint64(places))


@kernel
def _reflected(i, size):
    i = -i if i < 0 else i
    return 2 * size - 2 - i if i >= size else i


@parallel_kernel
def _cut_out(index, cutout_key, side, out):
    height, width, channels = out.shape[1:]
    for b in prange(len(index)):
        top = corner(cutout_key, index[b], 0, height - side + 1)
        left = corner(cutout_key, index[b], 1, width - side + 1)
        for y in range(top, top + side):
            for x in range(left, left + side):
                for c in range(channels):
                    out[b, y, x, c] = 0


@parallel_kernel
def _gather(images, index, table, mode, start_key, epoch_key, epoch, limit, reflect, out):
    height, width, channels = out.shape[1:]
    for b in prange(len(index)):
        image = index[b]
        mirror = flipped(mode, start_key, epoch_key, epoch, image)
        dy = offset(epoch_key, image, 0, limit)
        dx = offset(epoch_key, image, 1, limit)
        for y in range(height):
            row = y + dy
            row_inside = 0 <= row < height
            row = _reflected(row, height)
            for x in range(width):
                column = (width - 1 - x if mirror else x) + dx
                inside = row_inside and 0 <= column < width
                column = _reflected(column, width)
                for c in range(channels):
                    value = table[c, images[image, row, column, c]]
                    out[b, y, x, c] = value if inside or reflect else 0


def gather(
    images: np.ndarray,
    index: np.ndarray,
    table: np.ndarray,
    *,
    mode: int = FLIP_NONE,
    start_key: np.uint64 = _NO_KEY,
    epoch_key: np.uint64 = _NO_KEY,
    epoch: int = 0,
    limit: int = 0,
    reflect: bool = True,
    cutout: int = 0,
    cutout_key: np.uint64 = _NO_KEY,
) -> np.ndarray:
    """Return the images numbered `index`, flipped, shifted and looked up in `table`.

    Parameters
    ----------
    images : ndarray, uint8, shape (N, H, W, C)
        C-contiguous; may be read-only and memory-mapped.
    index : ndarray, int64, shape (B,)
        Each in 0 .. N-1; the caller has checked.
    table : ndarray, float, shape (C, 256)
        Value of each byte in each channel; its dtype is the result's.
    mode : {FLIP_NONE, FLIP_RANDOM, FLIP_ALTERNATING}
    start_key, epoch_key : uint64
        Streams of the flip's starting side and of one epoch's draws.
    epoch : int
    limit : int
        Largest shift in pixels, below min(H, W).
    reflect : bool
        Reflect at the border, else 0 outside.
    cutout : int
        Side in pixels of a square, somewhere inside the image, that becomes 0: the mean colour.
    cutout_key : uint64
        Stream of its places in one epoch.

    Returns
    -------
    ndarray, shape (B, H, W, C)
    """
    out = empty((len(index), *images.shape[1:]), table.dtype)
    _gather(images, index, table, mode, start_key, epoch_key, epoch, limit, reflect, out)
    if cutout:
        _cut_out(index, cutout_key, cutout, out)
    return out
