"""The [update] table of a hardware file: how a step of training reaches the cells.

    ideal               every cell is set to its target, exactly
    write_verify        every cell whose target has changed is programmed anew, with the error that leaves
    mixed_precision     the controller sums up changes and gives whole pulses, blind
                        (Nandakumar et al., Front. Neurosci. 14:406, 2020)
    stochastic_pulses   trains of pulses from the factors of the gradient meet in the array, in place
                        (Gokmen and Vlasov, Front. Neurosci. 10:333, 2016)
    tiki_taka           they meet in a second array A; its lines are read in turn and move the weights
                        (Gokmen and Haensch, Front. Neurosci. 14:103, 2020)
    tiki_taka_2         what is read is summed up in a digital buffer H first and moves a weight by whole steps
                        (Gokmen, Front. Artif. Intell. 4:699148, 2021)

The last three change the array in place: no digital copy of the weights decides what a cell should hold, and momentum
and weight decay have nothing to act on.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dbpsim.devices.sections import Positive, Section

IN_PLACE = ("stochastic_pulses", "tiki_taka", "tiki_taka_2")


class UpdateScheme(Section):
    """How training writes.

    Attributes
    ----------
    mode : str
        See above.  A device without an [update] section is programmed anew whatever "mixed_precision" would do.
    bit_length : int
        Most slots of a pulse train.
    managed : bool
        Trains as short as the step allows, rows and columns with like probabilities (Gokmen, Onen and Haensch, Front.
        Neurosci. 11:538, 2017); without, every train has `bit_length` slots.
    fast_rate : float
        Of Tiki-Taka: learning rate of A over that of training.
    transfer_rate : float
        Share of what is read of a line of A that goes to the weights (or to H).
    transfer_every, transfer_lines : int
        Steps of training from one transfer to the next; lines read each time (fewer where the last line comes first).
    """

    mode: Literal["ideal", "write_verify", "mixed_precision", "stochastic_pulses", "tiki_taka", "tiki_taka_2"] = "mixed_precision"
    bit_length: int = Field(default=31, ge=1, le=63)
    managed: bool = True
    fast_rate: Positive = 1.0
    transfer_rate: Positive = 1.0
    transfer_every: int = Field(default=1, ge=1)
    transfer_lines: int = Field(default=1, ge=1)
    source: str = ""

    @property
    def in_place(self) -> bool:
        """Whether pulses change the array directly."""
        return self.mode in IN_PLACE
