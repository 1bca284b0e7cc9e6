"""How arrays and their periphery make a chip: copies of arrays, what takes turns, where states live.

    one stage                 ceil(rows / tile rows) x ceil(columns / tile columns) tiles, times `replicas`
    a convolution             its positions take turns on the stage's arrays: positions / replicas reads a sample and clock
    forward and transposed    take turns on one array; run at once where the mapping has a replica for the way back
    a batch                   its samples take turns; with `pipelined` and a wavefront the next sample follows one stage behind

The two states of every neuron of every position must live somewhere while a sample settles: on two capacitors each where links
are analog, in a buffer of `state_bits` each where they are digital (`dbpsim.cost.area`).  All keys are choices of a designer;
nothing here changes a number that a network computes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbpsim.devices.schema import Section

Copies = Annotated[int, Field(ge=1, le=1 << 20)]


class Architecture(Section):
    """Copies, turns and storage.

    Attributes
    ----------
    replicas : int or table of stage to int
        Copies of a stage's arrays, which share out its positions; 1 where a stage is not named.
    pipelined : bool
        Wavefront only: samples follow each other, one stage behind.
    power_gated : bool
        Whether an array is off when it is not read.  Without, it stays biased, at its mean power, for the whole latency.
    columns_per_adc : int
        Columns that share a converter and are held for it; a read then takes as many conversions one after another.
    state_bits : int
        Of x and of z each, where links are digital.
    precision : {"int8", "int16", "int32", "fp16", "bf16", "fp32"}
        Of digital arithmetic: neurons of digital links, outer products of updates that are not made in the array.
    update_converter_bits : int
        Analog links, digital outer products: what m and s are converted with.

    Examples
    --------
    >>> Architecture(replicas={"conv1": 16}).replicas_of("conv1"), Architecture().replicas_of("conv1")
    (16, 1)
    """

    replicas: Copies | dict[str, Copies] = 1
    pipelined: bool = False
    power_gated: bool = True
    columns_per_adc: int = Field(default=1, ge=1, le=65536)
    state_bits: int = Field(default=16, ge=1, le=64)
    precision: Literal["int8", "int16", "int32", "fp16", "bf16", "fp32"] = "fp16"
    update_converter_bits: int = Field(default=8, ge=1, le=16)
    source: str = ""

    def replicas_of(self, stage: str) -> int:
        """Return the copies of the arrays of `stage`."""
        return self.replicas if isinstance(self.replicas, int) else self.replicas.get(stage, 1)
