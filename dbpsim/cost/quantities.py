"""Numbers for people: three digits and an SI prefix.  Files hold plain SI numbers with the unit in the key."""

from __future__ import annotations

_PREFIXES = (
    (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"),
    (1e-12, "p"), (1e-15, "f"), (1e-18, "a"), (1e-21, "z"),
)  # fmt: skip


def quantity(value: float, unit: str) -> str:
    """Return `value` with three digits and an SI prefix.

    Examples
    --------
    >>> quantity(1.234e-8, "J"), quantity(0.0, "s"), quantity(-2.5e-6, "W")
    ('12.3 nJ', '0 s', '-2.5 µW')
    """
    if value == 0:
        return f"0 {unit}"
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.9995:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:.2e} {unit}"
