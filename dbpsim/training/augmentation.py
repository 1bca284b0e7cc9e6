"""What is done to a training image on its way into the network: mirrored left to right, shifted a little, with a square cut out.

*Alternating* flip (Jordan 2024, arXiv 2404.00498): each image starts on a random side and then changes sides
every epoch, so two successive epochs show every image both ways; *random* flip shows half of the images twice
the same way.  Shifts are uniform on the (2 s + 1)^2 offsets of at most s pixels along either axis.
*Cutout* (DeVries and Taylor 2017, arXiv:1708.04552) hides a square of the image at a place of its own every epoch; here it is
wholly inside.

Every draw is a function of (seed, epoch, image number): the batch an image falls into, the order of batches
and the number of threads do not enter, so a resumed run sees the pictures the uninterrupted one saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.kernels.augmentation import FLIP_ALTERNATING, FLIP_NONE, FLIP_RANDOM, gather
from dbpsim.kernels.random import stream_key

_FLIPS = {"none": FLIP_NONE, "random": FLIP_RANDOM, "alternating": FLIP_ALTERNATING}
_PADDINGS = ("reflect", "zero")


@dataclass(frozen=True)
class Augmentation:
    """How training images vary from epoch to epoch.

    Parameters
    ----------
    flip : {"alternating", "random", "none"}
        Left-right mirroring.  Digits and letters want "none".
    shift : int
        Largest shift along either axis, in pixels.
    padding : {"reflect", "zero"}
        What a shift uncovers: the image's mirror image about its border pixel, or zero, which is the
        mean colour of the training set after standardising.
    cutout : int
        Side of the square that becomes the mean colour, in pixels; 0 is none.

    Examples
    --------
    >>> Augmentation(flip="random", shift=4)
    Augmentation(flip='random', shift=4, padding='reflect', cutout=0)
    """

    flip: str = "alternating"
    shift: int = 2
    padding: str = "reflect"
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.flip not in _FLIPS:
            raise ValueError(f"augmentation flip {self.flip!r}: one of {', '.join(_FLIPS)} is accepted.")
        if self.padding not in _PADDINGS:
            raise ValueError(
                f"augmentation padding {self.padding!r}: one of {', '.join(_PADDINGS)} is accepted."
            )
        for name, pixels in (("shift", self.shift), ("cutout", self.cutout)):
            if not isinstance(pixels, int) or pixels < 0:
                raise ValueError(
                    f"augmentation {name} {pixels!r}: a whole number of pixels, 0 or more, is accepted."
                )

    def gather(
        self, images: np.ndarray, index: np.ndarray, table: np.ndarray, *, seed: int, epoch: int
    ) -> np.ndarray:
        """Return the images numbered `index` as `epoch` shows them, standardised by `table`.

        Parameters
        ----------
        images : ndarray, uint8, shape (N, H, W, C)
        index : ndarray of int, shape (B,)
        table : ndarray, shape (C, 256)
            Standardised value of each byte in each channel; its dtype is the result's.
        seed, epoch : int

        Returns
        -------
        ndarray, shape (B, H, W, C)

        Raises
        ------
        ValueError
            Where the shift or the cut-out square is not smaller than the image.
        """
        side = min(images.shape[1:3])
        for name, pixels in (("shift", self.shift), ("cutout", self.cutout)):
            if pixels >= side:
                raise ValueError(
                    f"augmentation {name} {pixels} px: less than the image's side, {side} px, is accepted."
                )
        return gather(
            images,
            np.asarray(index, np.int64),
            table,
            mode=_FLIPS[self.flip],
            start_key=stream_key(seed, "augmentation", "side"),
            epoch_key=stream_key(seed, "augmentation", "epoch", epoch),
            epoch=epoch,
            limit=self.shift,
            reflect=self.padding == "reflect",
            cutout=self.cutout,
            cutout_key=stream_key(seed, "augmentation", "cutout", epoch),
        )
