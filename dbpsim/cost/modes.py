"""One training sample, by every way of doing it.

    dyadic-free         analog links, everything on for t = tau Q^-1(2L, 2^-(B+1)); an array for each direction and, since all
                        positions settle together, for each position of a convolution
    dyadic-clocked      the clocks that eta needs, every stage read both ways at every clock; positions take turns
    dyadic-wavefront    the same gradient by one sweep forward and one back: each array is on for its own two reads
    analog-bp           classical in-memory training: the same reads, DAC and ADC at every layer
    equilibrium-propagation   a free phase and nudged ones, 250 + 2 x 30 synchronous clocks (dense networks 30 + 10), two products
                        a weight
    digital-...         exact backpropagation on a digital machine (`dbpsim.cost.digital`)

The analog ones are costed from expected activity (`dbpsim.cost.workload`), with the same device, library and update, so that what
differs is the mode.  Free-running, a stage of R rows and C columns and P positions takes

    arrays      P (p_forward + p_transposed) t       p: mean power of one read
    amplifiers  P (C + R) x tiles stacked x power at a closed loop `amplifier_speed` times faster than the neuron
    neurons     P C x (power of the transconductors t + 2 C V^2)
    writes      those of P arrays, 2 P where stress is read back

On sampled states a convolution's positions can take turns instead: a sweep of them is then a clock, so that is dyadic-clocked at
the eta of the time that a position gets.

Steps of equilibrium propagation: the commands in the repository of Laborieux et al. (2021),
Laborieux-Axel/Equilibrium-Propagation (opened): CIFAR-10 by convolutions T1 = 250, T2 = 30 and a third phase; MNIST by a dense
network T1 = 30, T2 = 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from dbpsim.cost.components import Components
from dbpsim.cost.digital import Accelerator, Processor, list_digital, load_digital, products
from dbpsim.cost.estimate import estimate, states_of
from dbpsim.cost.limits import settling_time_s
from dbpsim.cost.lines import cells_per_weight
from dbpsim.cost.quantities import quantity
from dbpsim.cost.table import CostTable, Line
from dbpsim.cost.workload import expected_activity, positions, reads_of
from dbpsim.credit.settling import clocks_to
from dbpsim.crossbar.activity import Activity, Counts, StageActivity
from dbpsim.crossbar.converters import NO_COLUMN_CONVERTER, NO_CONVERTER, ColumnConverter, Converter
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import tile_count
from dbpsim.devices.schema import suggestion
from dbpsim.network.graph import Network

EQUILIBRIUM_STEPS = {"convolutions": (250, 30, 2), "dense": (30, 10, 1)}  # free, nudged, nudged phases
_PHASES = {1: "two", 2: "three"}  # the free one with them
_EQUILIBRIUM_PRODUCTS = 2  # a gradient is the difference of two phases


@dataclass(frozen=True)
class Setting:
    """What all modes share.

    Attributes
    ----------
    network : Network
    hardware : Hardware
    components : Components
    bits : int
        Resolution to which the gradient settles, and of the converters of classical training.
    eta : float
        Of the clocked mode.
    batch : int
        Samples of one step: pulses are written once a step.
    pulses_per_weight : float
        Of one step, each cell of the weight (a choice; a recorded run has the number).
    amplifier_speed : float
        How much faster than a neuron an amplifier settles, free-running.
    """

    network: Network
    hardware: Hardware
    components: Components
    bits: int = 8
    eta: float = 1.0
    batch: int = 64
    pulses_per_weight: float = 1.0
    amplifier_speed: float = 10.0


@dataclass(frozen=True)
class ModeCost:
    """One training sample by one mode.

    Attributes
    ----------
    name, label : str
    table : CostTable
        Energy by stage, phase and component (J), latency (s), area (m2), of one sample; the update's share of a step with it.
    assumptions : tuple of str
    """

    name: str
    label: str
    table: CostTable
    assumptions: tuple[str, ...]

    @property
    def energy_J(self) -> float:
        """Energy of a sample."""
        return self.table.total_J

    @property
    def latency_s(self) -> float:
        """Seconds of a sample."""
        return self.table.latency_s


Plan = Callable[[Components], ModeCost]


def list_modes() -> list[str]:
    """Return the names of the modes."""
    return [*_ANALOG, *list_digital()]


def mode_cost(name: str, setting: Setting) -> ModeCost:
    """Return what a training sample costs by the mode called `name`.

    Raises
    ------
    ValueError
        If there is no such mode.
    """
    if name in list_digital():
        return digital_cost(name, load_digital(name), setting.network)
    return planned(name, setting)(setting.components)


def planned(name: str, setting: Setting) -> Plan:
    """Return the analog mode called `name` as a function of the component library: expecting the activity is the slow part.

    Raises
    ------
    ValueError
        If there is no such mode.
    """
    if name not in _ANALOG:
        words = suggestion(name, list_modes()) or "."
        raise ValueError(f"mode {name!r}: not known{words} Accepted: {', '.join(list_modes())}")
    return _ANALOG[name](setting)


def digital_cost(name: str, machine: Processor | Accelerator, network: Network) -> ModeCost:
    """Return what a training sample of `network` costs on `machine`."""
    count = products(network)
    lines = []
    for phase, share in (("forward", count.forward), ("transposed", count.transposed), ("update", count.outer)):
        lines += [Line("all", phase, part, energy) for part, energy in machine.energy_J(share).items()]
    table = CostTable(
        hardware=machine.label, lines=tuple(lines), multiply_accumulates={"all": count.forward + count.transposed},
        read_s=count.total * machine.multiply_accumulate_s, write_s=0.0, period_s=machine.multiply_accumulate_s,
        schedule="wavefront", samples=1, area_m2={"all": {"alu": machine.area_m2}},
    )  # fmt: skip
    said = [machine.source]
    if isinstance(machine, Processor):
        said.insert(0, f"at {machine.utilisation:.0%} of its peak, in batches that keep it there")
    return ModeCost(name, machine.label, table, tuple(said))


def _clocked(setting: Setting) -> Plan:
    net, eta = setting.network, setting.eta
    clocks = clocks_to(2.0 ** -(setting.bits + 1), eta, net.depth)
    activity = expected_activity(net, setting.hardware, reads=reads_of(net, "synchronous", clocks))
    said = f"{clocks} clocks of eta = {eta:g} for {setting.bits} bits at depth {net.depth}; every stage reads both ways at each"
    words = (said, _links(setting.hardware))
    costed = _costed(setting, setting.hardware, activity, eta=eta, schedule="synchronous")
    return lambda parts: ModeCost("dyadic-clocked", f"dyadic, clocked, eta {eta:g}", costed(parts), words)


def _wavefront(setting: Setting) -> Plan:
    activity = expected_activity(setting.network, setting.hardware)
    costed = _costed(setting, setting.hardware, activity, eta=1.0, schedule="wavefront")
    words = ("unit clocks, only the stages that still change: one sweep forward, one back", _links(setting.hardware))
    return lambda parts: ModeCost("dyadic-wavefront", "dyadic, wavefront", costed(parts), words)


def _classical(setting: Setting) -> Plan:
    hardware = setting.hardware
    if hardware.links == "analog":
        converters = {"dac": Converter(bits=setting.bits), "adc": ColumnConverter(bits=setting.bits)}
        hardware = hardware.model_copy(update={"links": "digital", **converters})
    costed = _costed(setting, hardware, expected_activity(setting.network, hardware), eta=1.0, schedule="wavefront")
    said = f"DAC of {hardware.dac.bits} and ADC of {hardware.adc.bits} bits at every layer; neurons, states and gates are digital"
    return lambda parts: ModeCost("analog-bp", "analog in-memory backpropagation", costed(parts), (said,))


def _equilibrium(setting: Setting) -> Plan:
    shared = any(count > 1 for count in _positions(setting.network).values())
    free, nudged, phases = EQUILIBRIUM_STEPS["convolutions" if shared else "dense"]
    steps = free + nudged * phases
    activity = expected_activity(setting.network, setting.hardware, forward_reads=steps, transposed_reads=steps)
    twice = {
        name: replace(stage, write=replace(stage.write, vectors=_EQUILIBRIUM_PRODUCTS * stage.write.vectors))
        for name, stage in activity.stages.items()
    }
    nudges = Activity(MappingProxyType(twice))
    costed = _costed(setting, setting.hardware, nudges, eta=1.0, schedule="synchronous", products=_EQUILIBRIUM_PRODUCTS)
    of = "CIFAR-10" if shared else "MNIST, one hidden layer"
    said = f"{steps} clocks: {free} free, {phases} x {nudged} nudged (Laborieux 2021, {of}); products of two phases"
    name, words = "equilibrium-propagation", (said, _links(setting.hardware))
    return lambda parts: ModeCost(name, f"equilibrium propagation, {_PHASES[phases]} phases", costed(parts), words)


def _free(setting: Setting) -> Plan:
    # Of the two arrays, what `mapping.transpose` asks for is one, or neither: they are counted here, where stress is read back.
    one = setting.hardware.mapping.model_copy(update={"transpose": "same"})
    links = {"links": "analog", "dac": NO_CONVERTER, "adc": NO_COLUMN_CONVERTER}
    hardware = setting.hardware.model_copy(update={**links, "mapping": one})
    net, seconds = setting.network, settling_time_s(setting.network.depth, setting.bits, setting.hardware.clock.tau_s)
    activity = expected_activity(net, hardware)
    how = hardware.architecture.model_copy(update={"replicas": _positions(net)})
    wide = hardware.model_copy(update={"architecture": how})
    each_way = {name: 1 + (stage.transposed.vectors > 0) for name, stage in activity.stages.items()}
    both = {name: replace(stage, tiles=each_way[name] * stage.tiles) for name, stage in activity.stages.items()}
    costed = _costed(setting, wide, Activity(MappingProxyType(both)), eta=1.0, schedule="synchronous", arrays=each_way)
    words = (
        f"t = tau Q^-1(2L, 2^-{setting.bits + 1}) = {quantity(seconds, 's')} with tau {quantity(hardware.clock.tau_s, 's')}",
        "every array on all the time, one for each direction and each position of a convolution, all of them written",
        "x and z of every position on capacitors of their own",
        f"amplifiers {setting.amplifier_speed:g} times faster than neurons; only m and s for a digital product are converted",
    )

    def cost(parts: Components) -> ModeCost:
        once = costed(parts)
        lines = [line for line in once.lines if line.phase == "update" or line.component in ("dram", "edge")]
        for name, stage in activity.stages.items():
            lines += _held(name, stage, hardware, setting, parts, seconds)
        area = {name: _one_neuron(row, each_way.get(name, 1), parts) for name, row in once.area_m2.items()}
        table = replace(once, lines=tuple(lines), read_s=seconds, period_s=seconds, area_m2=area)
        return ModeCost("dyadic-free", "dyadic, free-running", table, words)

    return cost


def _one_neuron(row: Mapping[str, float], arrays: int, parts: Components) -> dict[str, float]:
    # An array each way, with what drives and senses it, hands its currents to the same neurons.
    out = {part: value / (arrays if part == "neuron" else 1) for part, value in row.items() if part != "control"}
    return out | {"control": parts.control.share * sum(out.values())}


def _held(
    name: str, stage: StageActivity, hardware: Hardware, setting: Setting, parts: Components, seconds: float
) -> list[Line]:
    tau_s = hardware.clock.tau_s
    down, across = tile_count((stage.rows, stage.columns), hardware.tile)
    regulation = parts.driver.regulation(hardware.read.v_read_V)
    amplifier_J = parts.amplifier.power_W(tau_s / setting.amplifier_speed) * seconds
    lines = []
    ways: tuple[tuple[str, Counts, int], ...] = (("forward", stage.forward, down), ("transposed", stage.transposed, across))
    for phase, counts, stacked in ways:
        array = counts.power_W * seconds
        rows = {"array": array, "regulation": regulation * array, "amplifier": counts.outputs * stacked * amplifier_J}
        if phase == "forward":
            rows["neuron"] = counts.outputs * (parts.neuron.power_W(tau_s) * seconds + parts.neuron.charging_J)
        rows["control"] = parts.control.share * sum(rows.values())
        lines += [Line(name, phase, component, energy) for component, energy in rows.items() if energy]
    return lines


def _costed(
    setting: Setting, hardware: Hardware, activity: Activity, *, eta: float, schedule: str, products: int = 1,
    arrays: Mapping[str, int] | None = None,
) -> Callable[[Components], CostTable]:  # fmt: skip
    if arrays is None:
        arrays = dict.fromkeys(activity.stages, 2 if hardware.mapping.transpose == "replica" else 1)
    written, states = _written(setting, hardware, activity, products, arrays), states_of(setting.network)

    def cost(parts: Components) -> CostTable:
        return estimate(
            hardware, written, eta=eta, schedule=schedule, components=parts, samples=1, states=states, in_flight=setting.batch
        )

    return cost


def _written(setting: Setting, hardware: Hardware, activity: Activity, products: int, arrays: Mapping[str, int]) -> Activity:
    # A sample's share of a step: pulses, and the time of rows written in turn; in place, a train a product and vector.
    stages = {}
    vectors = _positions(setting.network)
    for name, stage in activity.stages.items():
        cells = arrays[name] * cells_per_weight(hardware) * stage.rows * stage.columns
        pulses = cells * setting.pulses_per_weight / setting.batch
        trains = products * vectors[name] * float(hardware.update.bit_length)
        rows = min(hardware.tile.rows, stage.rows) * setting.pulses_per_weight / setting.batch
        slots = trains if hardware.update.in_place else rows
        written = replace(stage.write, cells=cells, pulses=math.ceil(pulses), slots=math.ceil(slots))
        stages[name] = replace(stage, write=written)
    return Activity(MappingProxyType(stages))


def _positions(network: Network) -> dict[str, int]:
    layers = {stage.name: stage.weight_layer for stage in network.weight_stages}
    return {name: positions(layer) for name, layer in layers.items() if layer is not None}


def _links(hardware: Hardware) -> str:
    return f"{hardware.links} links" + (", converters at every read" if hardware.links == "digital" else "")


_ANALOG: dict[str, Callable[[Setting], Plan]] = {
    "dyadic-free": _free,
    "dyadic-clocked": _clocked,
    "dyadic-wavefront": _wavefront,
    "analog-bp": _classical,
    "equilibrium-propagation": _equilibrium,
}
