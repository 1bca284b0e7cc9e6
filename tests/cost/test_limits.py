"""Physical limits against reference/physics.md, other solvers, our own circuits, and dimensional analysis."""

import inspect
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.stats import erlang

import dbpsim as dbp
from dbpsim.cost import limits
from dbpsim.crossbar.neuron_circuit import NeuronCircuit
from dbpsim.crossbar.wires import Wires, solve
from dbpsim.devices.temperature import thermal_sigma


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (limits.sampled_noise_V(10e-15), 644e-6),
        (limits.least_capacitance_F(8, 0.5), 13e-15),
        (limits.least_capacitance_F(12, 0.5), 3.3e-12),
        (limits.thermal_current_A(256e-6, 100e-9), 4.6e-9),
        # shot noise is 1.4 x the thermal at 0.1 V, and equals it at 2kT/q = 52 mV
        (limits.shot_current_A(256e-6 * 0.1, 1e-7) / limits.thermal_current_A(256e-6, 1e-7), 1.4),
        (limits.shot_current_A(256e-6 * 0.0517, 1e-7) / limits.thermal_current_A(256e-6, 1e-7), 1.0),
        (limits.amplifier_energy_J(8, 0.9, 100e-15, 0.5, 15), 0.15e-12),
        (limits.most_gm_over_id_per_V(), 38.7),
        (limits.line_delay_s(59 / 256, 538e-15 / 256, 256), 16e-12),
        (limits.voltage_drop_share(2.97, 10e-6, 256), 0.98),
        (limits.column_energy_J(8) / 256, 3.2e-18),
        (limits.column_energy_J(6), 51e-18),
        (limits.feedback_factor(1e-4, 1e-4), 0.5),
        (limits.gain_error(1e3, 0.5), 2e-3),
        (limits.bits_of(limits.signal_to_noise(8)), 8.0),
        (limits.erasing_energy_J(1), 2.87e-21),
        (2.3e-13 / limits.BOLTZMANN_J_per_K / 300, 5.6e7),
        (limits.flicker_share(1e-4, 1e6, 1.0), 0.0372),
    ],
)
def test_the_numbers_of_the_reference(found, said):
    assert found == pytest.approx(said, rel=0.03)


@pytest.mark.parametrize(("depth", "bits", "taus"), [(2, 4, 8.4), (4, 6, 16.4), (8, 8, 30.0), (16, 10, 54.0), (1, 10, 10.0)])
def test_the_settling_law_is_that_of_the_reference_and_of_an_erlang_chain(depth, bits, taus):
    law = limits.settling_time_s(depth, bits, 1e-8)
    assert law == pytest.approx(taus * 1e-8, rel=0.01)
    assert erlang.sf(law, 2 * depth, scale=1e-8) == pytest.approx(2.0 ** -(bits + 1), rel=1e-9)


@given(st.integers(1, 60), st.integers(1, 16), st.floats(1e-10, 1e-3))
def test_settling_grows_with_depth_and_bits_and_clocks_take_longer(depth, bits, tau):
    free = limits.settling_time_s(depth, bits, tau)
    assert limits.settling_time_s(depth + 1, bits, tau) > free
    assert limits.settling_time_s(depth, bits + 1, tau) > free
    assert limits.clocked_settling_time_s(depth, bits, tau) > free


@pytest.mark.parametrize("depth", [2, 3, 4, 8])
def test_our_own_networks_settle_within_the_law(depth):
    # energy.md section 4 (n = 32, B = 8): rectifiers 0 to 8 % sooner, tanh 11 to 28 %; here 0 to 20 and 10 to 25 over three seeds
    law = limits.settling_time_s(depth, 8, 1.0)
    for activation, least in (("relu", 0.7), ("tanh", 0.65)):
        net = dbp.models.mlp(*[32] * depth, 10, activation=activation, dtype="float64", seed=1)
        x, y = np.random.default_rng(0).standard_normal((1, 32)), np.array([3])
        exact = dbp.backprop(net, x, y).gradients
        error = []
        for share in (least, 1.0):
            run = dbp.settle(net, x, y, tau=1.0, t_stop=share * law, method="dormand_prince", init="zero")
            error.append(dbp.fidelity(run.gradients, exact).worst.relative_error)
        assert error[1] < 2.0**-9 * 1.1 < error[0]


def test_current_noise_through_a_pole_does_not_depend_on_the_step():
    # physics.md 5: sigma_v^2 = S_I R^2 / (4 tau); Euler-Maruyama with sqrt(S_I / 2) R / tau dW
    tau, resistance, conductance = 1e-8, 1e5, 1e-5
    density = 4 * limits.BOLTZMANN_J_per_K * limits.ROOM_K * conductance
    expected = limits.one_pole_thermal_current_A(conductance, tau) * resistance
    random = np.random.default_rng(0)
    for step in (tau / 20, tau / 40):
        v = np.zeros(20000)
        for kick in random.standard_normal((round(8 * tau / step), v.size)) * math.sqrt(step):
            v += -v * step / tau + math.sqrt(density / 2) * resistance / tau * kick
        assert v.std() == pytest.approx(expected, rel=5 / math.sqrt(2 * v.size) + step / tau)


def test_integrated_thermal_noise_is_the_variance_of_a_sum():
    conductance, time, parts = 1e-4, 1e-7, 50
    kicks = np.random.default_rng(1).standard_normal((20000, parts))
    density = 4 * limits.BOLTZMANN_J_per_K * limits.ROOM_K * conductance  # one-sided: white noise of variance S / 2 a second
    mean = (kicks * math.sqrt(density / 2 * parts / time)).mean(axis=1)
    assert mean.std() == pytest.approx(limits.thermal_current_A(conductance, time), rel=5 / math.sqrt(40000))


@pytest.mark.parametrize(("slew", "step"), [(math.inf, 0.2), (1e8, 0.2), (2e7, 0.4)])
def test_an_amplifier_settles_as_its_equation_does(slew, step):
    width, beta, bits = 1e9, 0.4, 8
    tau = 1 / (2 * math.pi * width * beta)
    bound = limits.amplifier_settling_s(bits, width, beta, step, slew)

    def rate(_, v):
        return np.clip((step - v) / tau, -slew, slew)

    found = solve_ivp(rate, (0, 2 * bound), [0.0], max_step=tau / 20, rtol=1e-8, dense_output=True)
    times = np.linspace(0, 2 * bound, 20001)
    settled = times[np.argmax(step - found.sol(times)[0] < step * 2.0 ** -(bits + 1))]
    assert settled <= bound * 1.001
    if math.isinf(slew):
        assert settled == pytest.approx(bound, rel=1e-3)


@given(st.floats(1, 24), st.floats(4, 400))
def test_the_resolution_an_energy_buys_is_the_inverse_of_the_energy_of_a_resolution(bits, temperature):
    energy = limits.column_energy_J(bits, temperature)
    assert limits.thermal_bits(energy, temperature) == pytest.approx(bits, abs=0.01)


def test_noise_is_that_of_our_own_circuits_and_devices():
    neuron = NeuronCircuit(capacitance_F=2e-14, leak_S=1e-6, unit_V=0.25, noise_K=350.0)
    assert neuron.noise_rms * neuron.unit_V == pytest.approx(limits.sampled_noise_V(2e-14, 350.0), rel=1e-12)
    # the compartment's leak through the compartment: a conductance's noise through one pole, as a voltage
    of_leak = limits.one_pole_thermal_current_A(neuron.leak_S, neuron.tau_s, 350.0) / neuron.leak_S
    assert of_leak == pytest.approx(limits.sampled_noise_V(2e-14, 350.0), rel=1e-12)
    shot = NeuronCircuit(capacitance_F=2e-14, leak_S=1e-6, unit_V=0.25, bias_A=1e-8)
    through_pole_A = limits.shot_current_A(1e-8, 2 * shot.tau_s)  # a pole averages over 2 tau
    assert shot.noise_rms * shot.unit_V == pytest.approx(through_pole_A / shot.leak_S, rel=1e-12)
    # cells of a device, read in the bandwidth of an integration
    assert thermal_sigma(2e-6, 350.0, 5e6, 0.2) * 0.2 == pytest.approx(limits.thermal_current_A(2e-6, 1e-7, 350.0), rel=1e-12)


@pytest.mark.parametrize("cells", [32, 128])
def test_the_voltage_drop_is_the_exact_solver_s_where_it_is_small(cells):
    # one line of equal cells: columns are ideal, so only the row drops
    conductance, wires = np.full((1, cells), 1e-6), Wires(2.0, 1e-9, 0.0, 0.0)
    share = limits.voltage_drop_share(2.0, 1e-6, cells)
    lost = 1 - solve(conductance, np.ones((1, 1)), wires).row_voltages[0, 0, -1]
    assert share < 0.2
    assert lost == pytest.approx(share, rel=share)


def test_limits_are_below_real_machines_and_far_below_our_own_tables():
    # energy.md section 2 and physics.md 11: HERMES 205, NeuRRAM 218, Marinella 11 fJ a multiply-accumulate at 8 bits
    found = {limit.name: limit.energy_J for limit in limits.physical_limits(8, 256)}
    assert 14 * 0.9 < 11e-15 / found["array, rms of a sum"] < 205e-15 / found["array, rms of a sum"] < 270
    assert 3.4e3 < 11e-15 / found["array, full scale"] < 218e-15 / found["array, full scale"] < 7e4
    assert all(energy < 1e-15 for energy in found.values())


class Quantity:
    """A number with the exponents of (kg, m, s, A, K): adding unlike ones, or taking a logarithm of one, raises."""

    def __init__(self, value, units):
        self.value, self.units = value, tuple(Fraction(u) for u in units)

    @staticmethod
    def of(other):
        return other if isinstance(other, Quantity) else Quantity(other, (0,) * 5)

    def like(self, other):
        other = Quantity.of(other)
        if self.units != other.units and other.value != 0 and not math.isinf(other.value):
            raise ArithmeticError(f"{self.units} with {other.units}")
        return other

    def __add__(self, other):
        return Quantity(self.value + self.like(other).value, self.units)

    def __sub__(self, other):
        return Quantity(self.value - self.like(other).value, self.units)

    def __rsub__(self, other):
        return Quantity(self.like(other).value - self.value, self.units)

    def __mul__(self, other):
        other = Quantity.of(other)
        return Quantity(self.value * other.value, [a + b for a, b in zip(self.units, other.units, strict=True)])

    def __truediv__(self, other):
        other = Quantity.of(other)
        return Quantity(self.value / other.value, [a - b for a, b in zip(self.units, other.units, strict=True)])

    def __rtruediv__(self, other):
        return Quantity.of(other) / self

    def __pow__(self, power):
        return Quantity(self.value**power, [u * Fraction(power) for u in self.units])

    def __rpow__(self, base):
        return base**float(self)

    def __abs__(self):
        return Quantity(abs(self.value), self.units)

    def __float__(self):
        if any(self.units):
            raise ArithmeticError(f"{self.units} is not a plain number")
        return float(self.value)

    def __gt__(self, other):
        return self.value > self.like(other).value

    def __lt__(self, other):
        return self.value < self.like(other).value

    __radd__, __rmul__ = __add__, __mul__


J, S, F, A, V = (1, 2, -2, 0, 0), (-1, -2, 3, 2, 0), (-1, -2, 4, 2, 0), (0, 0, 0, 1, 0), (1, 2, -3, -1, 0)
UNITS = {
    "J": J, "S": S, "F": F, "A": A, "V": V, "s": (0, 0, 1, 0, 0), "Hz": (0, 0, -1, 0, 0), "ohm": tuple(-u for u in S),
    "K": (0, 0, 0, 0, 1), "C": (0, 0, 1, 1, 0), "per_V": tuple(-u for u in V), "V_per_s": (1, 2, -4, -1, 0),
    "J_per_K": (1, 2, -2, 0, -1), "W": (1, 2, -3, 0, 0), "m2": (0, 2, 0, 0, 0),
    "F_per_m2": (-1, -4, 4, 2, 0), "m": (0, 1, 0, 0, 0),
}  # fmt: skip


def unit_of(name):
    """The unit that a name ends in, as exponents."""
    words = name.split("_")
    for first in range(1, len(words)):
        if "_".join(words[first:]) in UNITS:
            return UNITS["_".join(words[first:])]
    return (0,) * 5


FORMULAS = [f for _, f in inspect.getmembers(limits, inspect.isfunction) if f.__module__ == limits.__name__]
FORMULAS = [f for f in FORMULAS if f.__name__ not in ("physical_limits", "bits_of")]  # a table of others; a logarithm of a ratio


def with_units(function, monkeypatch):
    """Call a formula with quantities, each argument in the unit its name ends in; return the unit of the result."""

    class Mathematics:
        inf, pi, log, log10 = math.inf, math.pi, math.log, math.log10
        isinf = staticmethod(lambda x: math.isinf(Quantity.of(x).value))

        @staticmethod
        def sqrt(x):
            return Quantity.of(x) ** Fraction(1, 2)

    for constant in ("BOLTZMANN_J_per_K", "ELECTRON_C"):
        number = getattr(limits, constant)
        monkeypatch.setattr(limits, constant, Quantity(getattr(number, "value", number), unit_of(constant)))
    monkeypatch.setattr(limits, "math", Mathematics)
    values = {}
    for name in inspect.signature(function).parameters:
        units = unit_of(name)
        values[name] = Quantity(3.0 if name != "beta" else 0.5, units) if any(units) else (0.5 if name == "beta" else 3)
    return Quantity.of(function(**values)).units


@pytest.mark.parametrize("function", FORMULAS, ids=lambda f: f.__name__)
def test_every_formula_comes_out_in_the_unit_of_its_name(function, monkeypatch):
    assert with_units(function, monkeypatch) == unit_of(function.__name__)


def test_dimensional_analysis_finds_a_wrong_exponent(monkeypatch):
    def noise_V(capacitance_F, temperature_K):
        return limits.BOLTZMANN_J_per_K * temperature_K / capacitance_F  # the root is missing

    assert with_units(noise_V, monkeypatch) != unit_of("noise_V")
    with pytest.raises(ArithmeticError):
        with_units(lambda load_F, line_S: load_F + line_S, monkeypatch)


def test_energies_and_areas_of_components_are_energies_and_areas():
    # the same for methods of the library: figures replaced by quantities of the unit in their key
    from dbpsim.cost import figures, load_components

    library, seen = load_components(), 0
    known = {"driver": (3, Quantity(2.0, V)), "dac": (8,), "adc": (8,), "alu": ("add", "fp16")}
    for name in type(library).model_fields:
        part = getattr(library, name)
        if isinstance(part, str):
            continue
        held = {}
        for figure in figures(library):
            owner, _, key = figure.path.partition(".")
            unit = unit_of(key.replace("_per_bit", "").replace("_per_cell", ""))
            if owner == name and "[" not in key and "." not in key and any(unit):
                held[key] = Quantity(figure.value, unit)
        twin = part.model_copy(update=held)
        for method, unit in (("energy_J", J), ("area_m2", UNITS["m2"]), ("charging_J", J), ("capacitor_area_m2", UNITS["m2"])):
            value = getattr(twin, method, None)
            if value is None or name in ("adc", "alu"):  # tables
                continue
            value = value(*known[name][: 1 if method == "area_m2" else 2]) if callable(value) else value
            if isinstance(value, Quantity):
                assert value.units == unit, (name, method)
                seen += 1
        if name in ("amplifier", "neuron"):
            assert twin.power_W(Quantity(1e-8, UNITS["s"])).units == UNITS["W"]
    assert seen >= 9
