"""aihwkit's pulsed devices as device files of this project.

There a weight w runs from w_min to w_max; here a conductance runs over the window, xi from -1 to 1:

    w = c + h xi,     c = (w_max + w_min) / 2,  h = (w_max - w_min) / 2,     dg = dw span / (w_max - w_min).

Its steps at w = 0 are s_up = dw_min (1 + min(u, 0)) and s_down = dw_min (1 - max(u, 0)) with u = up_down: a bias lowers one
of them and raises none.  A law f of w becomes a law of xi by what it is at the middle of the window, w = c:

    step_S = (s_up f_up(c) + s_down f_down(c)) / 2 in siemens,     asymmetry = (up - down) / (up + down) of the same two.

    ConstantStepDevice          constant_step
    LinearStepDevice            linear_step:  1 - gamma_up w / w_max = (1 - gamma_up c / w_max) (1 - gamma' xi)
    SoftBounds*Device           linear_step with gamma = 1:  1 - w / w_max = (h / w_max) (1 - xi)
    ExpStepDevice               exponential_step, b' = b + a c / h, with s_up and s_down themselves
    PowStep*Device              piecewise_step through ((1 - xi) / 2)^gamma_up and ((1 + xi) / 2)^gamma_down
    PiecewiseStepDevice         piecewise_step through the same nodes

The mean step of a mean device is aihwkit's exactly, but for the power law between its nodes.  Spreads from device to
device are relative to dw_min there and to step_S here; where the two steps differ they agree for their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dbpsim.crossbar.imports.ledger import Ledger

SECONDS_A_MINI_BATCH = 5e-7  # assumed, as in devices/capacitor_li2018.toml
_NODES = 65
_SOURCE = "imported from aihwkit, brought to this window"


class PulsedDevice:
    """One pulsed device of aihwkit on its way into a device file.

    Parameters
    ----------
    values : mapping
        All fields of its class.
    prefix : str
        Of its fields in the report.
    window_S : (float, float)
        Conductances that stand for w_min and w_max.
    ledger : Ledger
    """

    def __init__(self, values: Mapping[str, Any], prefix: str, window_S: tuple[float, float], ledger: Ledger) -> None:
        self.values, self.prefix, self.ledger = values, prefix, ledger
        self.window_S = window_S
        self.bias, self.dw = self.number("up_down", -0.999, 0.999), self.number("dw_min", 1e-12, 1e12)
        self.w_min, self.w_max = self.number("w_min", -1e12, 0.0), self.number("w_max", 0.0, 1e12)
        if self.w_max - self.w_min < 1e-12:
            raise ledger.error(f"{prefix}.w_max", self.w_max, f"a number above w_min = {self.w_min:g}")
        self.middle, self.half = (self.w_max + self.w_min) / 2, (self.w_max - self.w_min) / 2
        self.up, self.down = self.dw * (1 + min(self.bias, 0.0)), self.dw * (1 - max(self.bias, 0.0))

    def number(self, key: str, least: float = -1e12, most: float = 1e12) -> float:
        """Return a field that must be a number."""
        return self.ledger.number(self.values, self.prefix, key, least, most)

    def switch(self, key: str) -> bool:
        """Return a field that must be true or false."""
        return self.ledger.switch(self.values, self.prefix, key)

    def mapped(self, here: str, *keys: str) -> None:
        """Say that fields became `here`."""
        for key in keys:
            self.ledger.mapped(f"{self.prefix}.{key}", here)

    def approximated(self, key: str, here: str, reason: str) -> None:
        """Say that a field became `here`, nearly."""
        self.ledger.approximated(f"{self.prefix}.{key}", here, reason)

    def siemens(self, weight: float) -> float:
        """Return what a difference of weight is in this window."""
        return weight * (self.window_S[1] - self.window_S[0]) / (2 * self.half)

    def state(self, weight: float) -> float:
        """Return the conductance (S) of a weight, within the window."""
        return float(np.clip(self.window_S[0] + self.siemens(weight - self.w_min), *self.window_S))

    def steps(self, up_factor: float, down_factor: float) -> dict[str, Any]:
        """Return step and asymmetry of an [update] table whose law is worth these factors where it is 1 here."""
        up, down = self.up * up_factor, self.down * down_factor
        mean = (up + down) / 2
        if not mean > 0:
            raise self.ledger.error(f"{self.prefix}.dw_min", self.dw, "a device that moves in the middle of its range")
        asymmetry = (up - down) / (up + down)
        if not abs(asymmetry) < 1:
            raise self.ledger.error(f"{self.prefix}.up_down", self.bias, "steps in both directions in the middle of the range")
        self.mapped("update.step_S", "dw_min", "w_min", "w_max")
        self.mapped("update.asymmetry", "up_down")
        table = {"step_S": self.siemens(mean), "asymmetry": asymmetry}
        return table | self._spreads(mean, up_factor, down_factor)

    def _spreads(self, mean: float, up_factor: float, down_factor: float) -> dict[str, Any]:
        # A spread of dw_min scales both directions (s_up, s_down); one of up_down adds to one what it takes from the other.
        shares = 2 * self.dw / (self.up + self.down), self.dw * (up_factor + down_factor) / (2 * mean)
        same = self.bias == 0, self.bias == 0 and math.isclose(up_factor, down_factor)
        names = ("step_spread", "dw_min_dtod"), ("asymmetry_spread", "up_down_dtod")
        table: dict[str, Any] = {}
        for (key, there), share, exact in zip(names, shares, same, strict=True):
            table[key] = self.number(there, 0.0, 1e6) * share
            if exact:
                self.mapped(f"update.{key}", there)
            else:
                self.approximated(there, f"update.{key}", "relative to the mean of both steps here, to dw_min there")
        if self.switch("dw_min_dtod_log_normal"):
            self.approximated(
                "dw_min_dtod_log_normal", "update.step_spread", "log-normal there, |normal| of the same spread here"
            )
        for key, there, bound in (("upper_spread", "w_max_dtod", self.w_max), ("lower_spread", "w_min_dtod", self.w_min)):
            table[key] = self.number(there, 0.0, 1e6) * abs(bound) / self.half
            self.mapped(f"update.{key}", there)
        return table

    def noise(self, table: dict[str, Any], fixed: bool) -> dict[str, Any]:
        """Return `table` with the spread from pulse to pulse: of the actual step, or fixed to that at w = 0."""
        sigma = self.number("dw_min_std", 0.0, 1e9)
        if not fixed:
            self.mapped("update.step_sigma", "dw_min_std")
            return table | {"step_sigma": sigma}
        ratio = (self.up + self.down) / 2 * self.siemens(1.0) / table["step_S"]
        if abs(ratio - 1) < 1e-9:
            self.mapped('update.step_sigma, noise = "fixed"', "dw_min_std")
        else:
            self.approximated(
                "dw_min_std", 'update.step_sigma, noise = "fixed"', "the mean of both directions; a share of each there"
            )
        return table | {"step_sigma": sigma * ratio, "noise": "fixed"}

    def update(self, kind: str) -> dict[str, Any]:
        """Return the [update] table, without its polarity."""
        return _LAWS[kind](self) | {"source": _SOURCE}


def _constant(device: PulsedDevice) -> dict[str, Any]:
    return device.noise(device.steps(1.0, 1.0) | {"law": "constant_step"}, fixed=False)


def _linear(device: PulsedDevice) -> dict[str, Any]:
    for key in ("reverse_up", "reverse_down"):
        if device.switch(key):
            raise device.ledger.error(
                f"{device.prefix}.{key}", True, "false: steps that grow towards their bound have no law here"
            )
    factors, gammas = [], []
    for key, bound in (("gamma_up", device.w_max), ("gamma_down", device.w_min)):
        slope = device.number(key, -1.0, 1.0) / bound if bound else 0.0
        middle = 1 - slope * device.middle
        if not middle > 1e-9 or abs(slope) * device.half / middle > 1 + 1e-9:
            raise device.ledger.error(f"{device.prefix}.{key}", device.values[key], "a slope that leaves a step at every weight")
        factors.append(middle)
        gammas.append(float(np.clip(slope * device.half / middle * (1 if key == "gamma_up" else -1), -1, 1)))
        device.mapped(f"update.{key}", key)
    table = device.steps(*factors) | {"law": "linear_step", "gamma_up": gammas[0], "gamma_down": gammas[1]}
    fixed = not device.switch("mult_noise")
    device.mapped("update.noise", "mult_noise")
    if device.switch("mean_bound_reference"):
        device.mapped("slopes by the mean bounds", "mean_bound_reference")
    else:
        device.approximated("mean_bound_reference", "slopes by the mean bounds", "by each device's own bounds there")
    return device.noise(table, fixed)


def _soft(device: PulsedDevice) -> dict[str, Any]:
    if not (device.w_min < 0 < device.w_max):
        raise device.ledger.error(f"{device.prefix}.w_min", device.w_min, "soft bounds on both sides of zero")
    for key in ("reverse_up", "reverse_down"):
        if device.values.get(key):
            raise device.ledger.error(
                f"{device.prefix}.{key}", True, "false: steps that grow towards their bound have no law here"
            )
    table = device.steps(device.half / device.w_max, -device.half / device.w_min)
    table |= {"law": "linear_step", "gamma_up": 1.0, "gamma_down": 1.0}
    # Not our soft_bounds: that law shifts a device's steps with its bound, aihwkit's tilts them, and zero stays where steps up
    # and down cancel.  Its tiles are nearer to cells that are cut at their own bounds (tests/reference/aihwkit_pulses.py).
    for key, here in (("w_max_dtod", "update.upper_spread"), ("w_min_dtod", "update.lower_spread")):
        if device.values[key]:
            device.approximated(key, here, "steps vanish at the mean bounds here, at each device's own there")
    fixed = not device.switch("mult_noise")
    device.mapped("update.noise", "mult_noise")
    if device.values.get("reference_mean"):
        device.ledger.ignored(f"{device.prefix}.reference_mean", "the reference rests at the symmetry point here")
    return device.noise(table, fixed)


def _soft_pmax(device: PulsedDevice) -> dict[str, Any]:
    for key in ("p_max", "alpha", "range_min", "range_max"):
        device.mapped("update.step_S, asymmetry", key)
    return _soft(device)


def _exponential(device: PulsedDevice) -> dict[str, Any]:
    a, b = device.number("a", -1e3, 1e3), device.number("b", -1e3, 1e3)
    table = device.steps(1.0, 1.0) | {"law": "exponential_step", "a": a, "b": b + a * device.middle / device.half}
    for key in ("A_up", "A_down", "gamma_up", "gamma_down"):
        table[key] = device.number(key, -1e6, 1e6)
    device.mapped("update, the same law", "a", "A_up", "A_down", "gamma_up", "gamma_down")
    device.mapped("update.b, about the middle of the window", "b")
    extra = device.number("dw_min_std_add", 0.0, 1e6), device.number("dw_min_std_slope", 0.0, 1e6)
    table = device.noise(table, fixed=False)
    if not any(extra):
        return table
    # sigma (|dw| + add + slope |w|): taken in the middle of the window, and the same everywhere
    up = device.up * max(0.0, 1 - table["A_up"] * float(np.exp(np.clip(table["gamma_up"] * table["b"], -40, 40))))
    spread = device.number("dw_min_std") * (up + extra[0] + extra[1] * abs(device.middle))
    for key in ("dw_min_std", "dw_min_std_add", "dw_min_std_slope"):
        device.approximated(key, 'update.step_sigma, noise = "fixed"', "its size in the middle of the window, for pulses up")
    return table | {"step_sigma": device.siemens(spread) / table["step_S"], "noise": "fixed"}


def _power(device: PulsedDevice) -> dict[str, Any]:
    gamma, bias = device.number("pow_gamma", 0.0, 100.0), device.number("pow_up_down", -1.0, 1.0)
    xi = np.linspace(-1, 1, _NODES)
    factors = [((1 - sign * xi) / 2) ** (gamma * (1 + sign * bias)) for sign in (1, -1)]
    for key in ("pow_gamma", "pow_up_down"):
        device.approximated(key, "update, piecewise_step", f"straight lines through {_NODES} nodes")
    return device.noise(device.steps(1.0, 1.0) | _piecewise_law(*factors), fixed=False)


def _piecewise(device: PulsedDevice) -> dict[str, Any]:
    factors = []
    for key in ("piecewise_up", "piecewise_down"):
        nodes = device.values[key]
        if not isinstance(nodes, list) or not 1 <= len(nodes) <= 4096:
            raise device.ledger.error(f"{device.prefix}.{key}", nodes, "a list of 1 to 4096 numbers")
        numbered = {str(at): node for at, node in enumerate(nodes)}
        read = [device.ledger.number(numbered, f"{device.prefix}.{key}", at, 0.0, 1e9) for at in numbered]
        factors.append(np.array(read * 2 if len(read) == 1 else read))
        device.mapped("update, piecewise_step", key)
    return device.noise(device.steps(1.0, 1.0) | _piecewise_law(*factors), fixed=False)


def _piecewise_law(up: np.ndarray, down: np.ndarray) -> dict[str, Any]:
    return {"law": "piecewise_step", "up_factors": up.tolist(), "down_factors": down.tolist()}


_LAWS: dict[str, Callable[[PulsedDevice], dict[str, Any]]] = {
    "PulsedDevice": _constant,
    "ConstantStepDevice": _constant,
    "LinearStepDevice": _linear,
    "SoftBoundsDevice": _soft,
    "SoftBoundsPmaxDevice": _soft_pmax,
    "SoftBoundsReferenceDevice": _soft,
    "ExpStepDevice": _exponential,
    "PowStepDevice": _power,
    "PowStepReferenceDevice": _power,
    "PiecewiseStepDevice": _piecewise,
}
PULSED = tuple(_LAWS)


def pmax_fields(values: Mapping[str, Any], prefix: str, ledger: Ledger) -> dict[str, Any]:
    """Return the fields of a soft-bounds device that goes from range_min to range_max in p_max pulses.

    With B = (range_max - range_min) / (1 - exp(-alpha p_max)): bounds range_min and range_min + B, steps of alpha B at w = 0
    up, and up_down = 1 + 2 range_min / B.
    """
    low, high = (ledger.number(values, prefix, key, -1e6, 1e6) for key in ("range_min", "range_max"))
    alpha, most = ledger.number(values, prefix, "alpha", 1e-12, 1e3), ledger.number(values, prefix, "p_max", 1, 1e12)
    if high <= low:
        raise ledger.error(f"{prefix}.range_max", high, f"a number above range_min = {low:g}")
    reach = (high - low) / -float(np.expm1(-alpha * most))
    return {"w_min": low, "w_max": low + reach, "dw_min": reach * alpha, "up_down": 1 + 2 * low / reach}


def device_effects(device: PulsedDevice) -> dict[str, Any]:
    """Return the sections of a device file besides [conductance] and [update]: what leaks, drifts or is stuck."""
    sections: dict[str, Any] = {}
    lifetime = device.number("lifetime", 0.0, 1e15)
    if lifetime > 0:
        reason = f"{SECONDS_A_MINI_BATCH:g} s a mini-batch assumed; acts at Chip.wait"
        device.approximated("lifetime", "retention.lifetime_s", reason)
        device.approximated("lifetime_dtod", "retention.lifetime_sigma", "log-normal here, normal there")
        sections["retention"] = {
            "law": "exponential", "lifetime_s": lifetime * SECONDS_A_MINI_BATCH,
            "lifetime_sigma": device.number("lifetime_dtod", 0.0, 10.0), "level_S": device.state(0.0),
            "source": f"{_SOURCE}; seconds assumed",
        }  # fmt: skip
    stuck = device.number("corrupt_devices_prob", 0.0, 1.0)
    if stuck > 0:
        device.approximated("corrupt_devices_prob", "faults.stuck_random", "anywhere in the window here")
        device.approximated("corrupt_devices_range", "faults.stuck_random", "anywhere in the window here")
        sections["faults"] = {"stuck_random": stuck, "source": _SOURCE}
    drift = device.values.get("drift") or {}
    if not isinstance(drift, dict):
        raise device.ledger.error(f"{device.prefix}.drift", drift, "a table of fields")
    fields = {"nu": 0.0, "nu_dtod": 0.0, "t_0": 1.0} | {key: drift[key] for key in ("nu", "nu_dtod", "t_0") if key in drift}
    nu = device.ledger.number(fields, f"{device.prefix}.drift", "nu", 0.0, 1.0)
    if nu > 0:
        device.approximated("drift", "drift", "nu, nu_dtod and t_0 of conductances; of weights there. Acts at Chip.wait")
        spread = nu * device.ledger.number(fields, f"{device.prefix}.drift", "nu_dtod", 0.0, 1.0)
        sections["drift"] = {
            "t0_s": device.ledger.number(fields, f"{device.prefix}.drift", "t_0", 1e-12, 1e12),
            "nu_mean": _constant_law(nu), "nu_sigma": _constant_law(spread), "source": _SOURCE,
        }  # fmt: skip
    elif drift:
        device.mapped("absent: nu is 0", "drift")
    return sections


def _constant_law(value: float) -> dict[str, float]:
    return {"slope": 0.0, "offset": value, "low": value, "high": value}
