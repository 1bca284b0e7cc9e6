"""What a run would record, from shapes and expected statistics, without a run and without a chip.

    vectors    reads x batch x positions, of each stage and direction; conversions follow (`dbpsim.crossbar.read_counts`)
    power      vectors x q x v_read^2 x (sum of conductances):  q of `dbpsim.cost.drives`, conductances of `expected_cells`

How often each array is read follows from the schedule (`reads_of`).  Backpropagation and the wavefront read every array once
forward and, where stress goes on, once transposed.  The synchronous schedule reads both at every clock and once more forward for
the gradients; before the activity has arrived a line is driven by zeros, so from rest

    forward      stage l is driven from clock 1 + (clocks its first parent takes to wake)
    transposed   ... from the clock at which stress has arrived and its own gate is open

(ours).  Reads of zeros count as vectors and conversions and take no power in the cells.  Not expected: values lost or saturated,
inputs beyond a fixed range.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from dbpsim.cost.components import Components
from dbpsim.cost.drive_law import expected_statistics
from dbpsim.cost.drives import Statistics, as_matrix, matrix_shape, parameters_in_front, positions, read_back
from dbpsim.cost.estimate import estimate, states_of
from dbpsim.cost.expected_cells import expected_cells
from dbpsim.cost.expected_updates import Change, assumed_changes, expected_update
from dbpsim.cost.table import CostTable
from dbpsim.credit.settling import clocks_to
from dbpsim.crossbar.activity import Activity, Counts, StageActivity
from dbpsim.crossbar.hardware import Hardware, load_hardware
from dbpsim.crossbar.mapping import tile_count
from dbpsim.crossbar.read_counts import read_counts
from dbpsim.network.activations import Activation
from dbpsim.network.graph import INPUT, Network, Stage

_OFFSETS = ("bias", "shift", "position")


@dataclass(frozen=True)
class Reads:
    """How often one stage is read, how many of these reads are of anything but zeros, how often its gradient is formed."""

    forward: int
    transposed: int
    forward_driven: int
    transposed_driven: int
    gradients: int = 1


def expected_activity(
    network: Network,
    hardware: str | os.PathLike[str] | Hardware,
    *,
    batch: int = 1,
    forward_reads: int = 1,
    transposed_reads: int = 1,
    updates: int = 0,
    statistics: Statistics | None = None,
    reads: Mapping[str, Reads] | None = None,
    changes: Mapping[str, Change] | None = None,
) -> Activity:
    """Return the activity that runs of `network` on `hardware` are expected to record.

    Parameters
    ----------
    network : Network
        Its shapes and its weights.
    hardware : Hardware, str or path
    batch : int
        Samples.
    forward_reads, transposed_reads : int
        Of every array; none transposed where only the input is behind.  With any of these the gradient is formed once.
    updates : int
        Steps of training whose writes are counted (`dbpsim.cost.expected_updates`).
    statistics : Statistics, optional
        How hard lines are driven; expected (`dbpsim.cost.drive_law`) where not measured.
    reads : mapping of stage name to Reads, optional
        In place of the two numbers, from `reads_of`.
    changes : mapping of stage name to Change, optional
        How far a step moves the weights; by default an assumed share of them.

    Raises
    ------
    ValueError
        If a number is negative, or there is no sample.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> found = expected_activity(mlp(784, 256, 10), "pcm", batch=32)
    >>> counts = found.stages["dense1"].forward
    >>> counts.vectors, counts.dac, counts.adc  # four tiles, one below another
    (32, 25088, 32768)
    """
    numbers = {"batch": batch, "forward_reads": forward_reads, "transposed_reads": transposed_reads, "updates": updates}
    for what, value in numbers.items():
        if value < (least := int(what == "batch")):
            raise ValueError(f"expected_activity: {what}: found {value}; accepted: at least {least}.")
    hardware = load_hardware(hardware)
    if statistics is None:
        statistics = expected_statistics(network, hardware)
    given = Reads(forward_reads, transposed_reads, forward_reads, transposed_reads, min(transposed_reads, 1))
    stages = {}
    for stage in network.weight_stages:
        each = given if reads is None else reads[stage.name]
        stages[stage.name] = _stage_activity(stage, hardware, batch, each, statistics)
    if updates:
        changes = assumed_changes(network, batch) if changes is None else changes
        for stage in network.weight_stages:
            stages[stage.name] = _with_updates(stage, stages[stage.name], hardware, changes, updates)
    return Activity(MappingProxyType(stages))


def _with_updates(
    stage: Stage, activity: StageActivity, hardware: Hardware, changes: Mapping[str, Change], updates: int
) -> StageActivity:
    layer = stage.weight_layer
    assert layer is not None
    written, read = expected_update(as_matrix(layer), hardware, changes[stage.name], stage.name)
    write, forward = activity.write, activity.forward
    for name in ("cells", "pulses", "slots"):
        write = replace(write, **{name: updates * getattr(written, name)})
    for name in ("vectors", "outputs", "sensed"):
        forward = replace(forward, **{name: getattr(forward, name) + updates * getattr(read, name)})
    return replace(activity, write=write, forward=forward)


def expected_cost(
    network: Network,
    hardware: str | os.PathLike[str] | Hardware,
    *,
    batch: int = 1,
    eta: float = 1.0,
    schedule: str = "synchronous",
    steps: int | None = None,
    components: str | Path | Components = "default",
    statistics: Statistics | None = None,
) -> CostTable:
    """Return what a run of `network` on `hardware` is expected to cost, without programming or running anything.

    Parameters
    ----------
    network, hardware, batch, statistics
        As for `expected_activity`.
    eta, schedule, components
        As for `estimate`; the schedule "backprop" is costed as a wavefront.
    steps : int, optional
        Clocks of the synchronous schedule: by default 2 depth at eta = 1, below it those of the settling law for 1e-4.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> table = expected_cost(mlp(784, 256, 10), "pcm", batch=32)
    >>> table.samples, table.total_J > 0
    (32, True)
    """
    hardware = load_hardware(hardware)
    if schedule == "synchronous" and steps is None and eta < 1:
        steps = clocks_to(1e-4, eta, network.depth)
    activity = expected_activity(network, hardware, batch=batch, statistics=statistics, reads=reads_of(network, schedule, steps))
    schedule = "wavefront" if schedule == "backprop" else schedule
    return estimate(
        hardware, activity, eta=eta, schedule=schedule, components=components, samples=batch, states=states_of(network)
    )


def _stage_activity(stage: Stage, hardware: Hardware, batch: int, reads: Reads, statistics: Statistics) -> StageActivity:
    layer, name = stage.weight_layer, stage.name
    assert layer is not None
    shape, vectors = matrix_shape(layer), batch * positions(layer)
    cells = expected_cells(as_matrix(layer), hardware, name, common=statistics.common.get(name, 0.0))
    unit = hardware.read.v_read_V**2 * vectors
    power = unit * statistics.forward[name] * cells.forward_S * reads.forward_driven
    forward = read_counts(shape, hardware, False, vectors * reads.forward, power)
    transposed = Counts()
    if read_back(stage):
        power = unit * statistics.transposed[name] * cells.transposed_S * reads.transposed_driven
        transposed = read_counts(shape, hardware, True, vectors * reads.transposed, power)
    down, across = tile_count(shape, hardware.tile)
    mapping = hardware.mapping
    slices, banks = mapping.slices if mapping.scheme == "bit_sliced" else 1, 2 if mapping.transpose == "replica" else 1
    write = Counts(vectors=0 if hardware.update.in_place else vectors * reads.gradients)  # outer products
    return StageActivity(shape[0], shape[1], down * across * slices * banks, forward, transposed, write)


def reads_of(network: Network, schedule: str, steps: int | None = None) -> dict[str, Reads]:
    """Return how often every weight stage is read by one run.

    Parameters
    ----------
    network : Network
    schedule : {"synchronous", "wavefront", "backprop"}
        Synchronous from rest, as `relax` starts.
    steps : int, optional
        Clocks of the synchronous schedule, 2 depth by default.

    Raises
    ------
    ValueError
        For another schedule, or no clocks.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> reads_of(mlp(4, 8, 3), "synchronous")["dense2"]  # woken by dense1, which took a clock
    Reads(forward=5, transposed=4, forward_driven=4, transposed_driven=3, gradients=1)
    """
    if schedule not in ("synchronous", "wavefront", "backprop"):
        raise ValueError(f"schedule: found {schedule!r}; accepted: synchronous, wavefront, backprop.")
    if schedule != "synchronous":
        return {stage.name: Reads(1, 1, 1, 1) for stage in network.weight_stages}
    clocks = 2 * network.depth if steps is None else steps
    if clocks < 1:
        raise ValueError(f"steps: found {steps}; accepted: at least 1.")
    forward = _waking(network)
    transposed = _stress_waking(network, forward)
    found = {}
    for stage in network.weight_stages:
        name, gradient = stage.name, int(parameters_in_front(stage))
        found[name] = Reads(
            clocks + 1, clocks + gradient, max(0, clocks + 2 - forward[name]), max(0, clocks + 1 - transposed[name]) + gradient
        )
    return found


def _offsets(stage: Stage) -> bool:
    # Whether its neurons are active without input.
    return any(layer.parameters[key].any() for layer in stage.layers for key in _OFFSETS if key in layer.parameters)


def _waking(network: Network) -> dict[str, int]:
    # The first clock at which each stage is driven by anything but zeros.
    wakes = {INPUT: 0}  # clock after which a state is not zero
    first = {}
    for stage in network.stages:
        first[stage.name] = 1 + min(wakes[parent] for parent in stage.parents)
        wakes[stage.name] = 1 if _offsets(stage) else first[stage.name]
    return first


def _stress_waking(network: Network, forward: Mapping[str, int]) -> dict[str, int]:
    # The first clock at which each weight is driven by stress other than zero: that has arrived, and passes the gate.
    wakes = {network.output: 1}
    first = {}
    for stage in reversed(network.stages):
        gated = any(isinstance(layer, Activation) and layer.kind == "relu" for layer in stage.layers)
        opens = forward[stage.name] if gated and not _offsets(stage) else 1
        first[stage.name] = max(wakes[stage.name] + 1, opens)
        for parent in stage.parents:
            wakes[parent] = min(first[stage.name], wakes.get(parent, first[stage.name]))
    return first
