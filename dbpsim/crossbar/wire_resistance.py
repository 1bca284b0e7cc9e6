"""The [wires] table of a hardware file: resistance of the lines of an array, and of what drives and senses them.

Layout.  Both cells of a pair cross one word line and have bit lines side by side, so a tile of C outputs is an array of
2 C bit lines (plus, minus, plus, ...): both cells of a pair are equally far from everything, and what is common to their
losses cancels in the difference.  The reference of an offset column is the bit line furthest from the drivers.  Slices
are arrays of their own.  Every tile has drivers and senses of its own; lines and cells that a partly empty tile does not use
carry nothing, and the ones in use are those nearest to its drivers and senses.

    forward     word lines driven at their left end, bit lines sensed at their bottom end, at virtual ground
    transposed  bit lines driven at their bottom end, a pair with +V and -V (a reference with minus the sum of all V);
                word lines sensed at their left end

By reciprocity the two reads have the same matrix where driver_ohm = sense_ohm, whatever the segments.
Figures of metal per cell: `segment_row_ohm` is what a word line has from one bit line to the next.
"""

from __future__ import annotations

from typing import Literal

from dbpsim.crossbar.wires import Wires
from dbpsim.devices.sections import NotNegative, Positive, Section


class WireResistance(Section):
    """Resistances of the lines of a tile.

    Attributes
    ----------
    segment_row_ohm, segment_column_ohm : float
        Of a word line from bit line to bit line; of a bit line from word line to word line.
    driver_ohm, sense_ohm : float
        Of what drives a line, and of what senses one, in either direction.
    method : {"exact", "first_order"}
        Once after the cells of a tile have changed, "exact": nodal analysis; "first_order": closed forms that take
        milliseconds a tile, for training on large arrays (`dbpsim.crossbar.uncoupled_lines` states their error; read power
        is then that of inputs of random sign).
    """

    segment_row_ohm: Positive
    segment_column_ohm: Positive
    driver_ohm: NotNegative = 0.0
    sense_ohm: NotNegative = 0.0
    method: Literal["exact", "first_order"] = "exact"
    source: str = ""

    @property
    def resistances(self) -> Wires:
        """What the nodal analysis asks for."""
        return Wires(self.segment_row_ohm, self.segment_column_ohm, self.driver_ohm, self.sense_ohm)
