"""One imperfection of a chip at a time: the hardware of a point with every other effect switched off.

    none               what an exact chip computes
    clipping           weights beyond the window are cut (headroom below 1)
    levels             cells hold levels
    programming_error  what write-verify leaves, anew at every write
    read_noise         white, 1/f and telegraph noise of the cells, noise of what senses a line
    drift              drift and retention, where the chip waits
    ir_drop            wire resistance
    adc_bits           converters before and behind the arrays, with their spread
    stuck_cells        faults
    update_steps       whole pulses of one size, up and down alike
    update_noise       the same, with the spread from pulse to pulse and from device to device
    update_asymmetry   whole pulses as the device's law has them, without spread: up unlike down, smaller near a bound
    update             pulses with all of it
    all                the hardware as its file says, endurance and window spread too

Without an update effect a write sets every cell to its target.  In training `programming_error` is that of programming all
cells anew at every step, whatever the file's own mode is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from dbpsim.crossbar.hardware import Effects, Hardware, load_hardware
from dbpsim.devices.update import middle_step
from dbpsim.devices.update_laws import ConstantStep, Update

Effect = Literal[
    "none", "clipping", "levels", "programming_error", "read_noise", "drift", "ir_drop", "adc_bits", "stuck_cells",
    "update_steps", "update_noise", "update_asymmetry", "update", "all",
]  # fmt: skip
EFFECTS: tuple[str, ...] = get_args(Effect)
_SPREADS = ("step_sigma", "step_spread", "asymmetry_spread", "upper_spread", "lower_spread")
ANEW = {"update.mode": "mixed_precision", "device.update": None}  # without pulses every write programs all cells
_NO_CONVERTERS = {"dac": {"bits": "none"}, "adc": {"bits": "none"}}


@dataclass(frozen=True)
class _Kept:
    # Switches of [effects] that stay on, what else stays, and which hardware has the effect at all.
    has: Callable[[Hardware], bool]
    switches: tuple[str, ...] = ()
    converters: bool = False
    writes: Literal["ideal", "anew", "pulses"] = "ideal"
    law: Callable[[Update], Update] = field(default=lambda law: law)


def _pulsed(hardware: Hardware) -> bool:
    return hardware.device.update is not None and hardware.update.mode not in ("ideal", "write_verify")


def _constant(law: Update) -> Update:
    facts = {key: getattr(law, key) for key in ("polarity", "energy_per_pulse_J", "pulse_s", "states", "source")}
    return ConstantStep(step_S=middle_step(law), **facts)


def _constant_with_spread(law: Update) -> Update:
    # Spreads count in steps of the law: in a constant step of another size they have to be as many siemens.
    ratio = law.step_S / middle_step(law)
    spreads = {key: getattr(law, key) for key in ("step_spread", "upper_spread", "lower_spread")}
    return _constant(law).model_copy(update=spreads | {"step_sigma": law.step_sigma * (ratio if law.noise == "fixed" else 1.0)})


def _even(law: Update) -> Update:
    return law.model_copy(update=dict.fromkeys(_SPREADS, 0.0) | {"asymmetry_spread": law.asymmetry_spread})


_KEPT: dict[str, _Kept] = {
    "none": _Kept(lambda h: True),
    "clipping": _Kept(lambda h: h.mapping.headroom < 1, ("clipping",)),
    "levels": _Kept(lambda h: h.device.levels is not None, ("levels",)),
    "programming_error": _Kept(
        lambda h: h.device.programming is not None or h.device.write_verify is not None,
        ("programming_error",),
        writes="anew",
    ),
    "read_noise": _Kept(
        lambda h: h.device.read_noise is not None or h.device.random_telegraph is not None or h.read.output_noise > 0,
        ("read_noise", "random_telegraph", "output_noise"),
    ),
    "drift": _Kept(lambda h: h.device.drift is not None or h.device.retention is not None, ("drift", "retention")),
    "ir_drop": _Kept(lambda h: h.wires is not None, ("wires",)),
    "adc_bits": _Kept(
        lambda h: bool(h.dac.levels or h.adc.levels),
        ("converter_gain", "converter_offset", "converter_nonlinearity"),
        converters=True,
    ),
    "stuck_cells": _Kept(lambda h: h.device.faults is not None, ("faults",)),
    "update_steps": _Kept(_pulsed, writes="pulses", law=_constant),
    "update_noise": _Kept(_pulsed, ("update_noise",), writes="pulses", law=_constant_with_spread),
    "update_asymmetry": _Kept(_pulsed, writes="pulses", law=_even),
    "update": _Kept(_pulsed, ("update_noise",), writes="pulses"),
}


def has_effect(hardware: Hardware, effect: str | None) -> bool:
    """Return whether `hardware` has the effect; "none" and "all" are had by all.

    Examples
    --------
    >>> has_effect(load_hardware("pcm"), "drift"), has_effect(load_hardware("ecram"), "drift")
    (True, False)
    """
    return effect in (None, "all") or _KEPT[str(effect)].has(hardware)


def with_only(hardware: Hardware, effect: str | None) -> Hardware:
    """Return `hardware` with `effect` alone; as it is for "all" and None.

    Examples
    --------
    >>> noisy = with_only(load_hardware("pcm"), "read_noise")
    >>> noisy.effects.read_noise, noisy.effects.drift, noisy.adc.bits, noisy.update.mode
    (True, False, 'none', 'ideal')
    """
    if effect in (None, "all"):
        return hardware
    kept = _KEPT[str(effect)]
    changes: dict[str, Any] = {f"effects.{name}": name in kept.switches for name in Effects.model_fields}
    if not kept.converters:
        changes |= _NO_CONVERTERS
    if kept.writes == "anew":
        changes |= ANEW
    elif kept.writes == "ideal":
        changes["update.mode"] = "ideal"
    elif hardware.device.update is not None:
        changes["device.update"] = kept.law(hardware.device.update).model_dump()
    return load_hardware(hardware, changes)
