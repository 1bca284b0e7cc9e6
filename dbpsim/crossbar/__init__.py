"""What an array does: mapping, tiles, converters, and the reads and writes that a weight layer asks for."""

from dbpsim.crossbar.activity import Activity, Counts, StageActivity, measure
from dbpsim.crossbar.hardware import Hardware, list_hardware, load_hardware
from dbpsim.crossbar.operators import CrossbarConvolution, CrossbarDense

__all__ = [
    "Activity",
    "Counts",
    "CrossbarConvolution",
    "CrossbarDense",
    "Hardware",
    "StageActivity",
    "list_hardware",
    "load_hardware",
    "measure",
]
