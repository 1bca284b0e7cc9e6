#!/usr/bin/env python3
"""Write docs/validation.md, published chips against the model: `python3 docs/validation.py` (needs dbpsim installed)."""

from __future__ import annotations

from pathlib import Path

from dbpsim.cost import load_components, with_values
from dbpsim.cost.published import hermes, inputs, isaac, marinella, neurram, neurram_published, relative, worst_and_mean
from dbpsim.cost.table import CostTable

PAGE = Path(__file__).with_name("validation.md")
_HERMES = """Nothing is fitted. Our first prediction counted in the array only what its cells dissipate (sum V^2 G T) and gave
{:.1f} nJ, {:.2f} of the published: outside a factor of two. What was missing is physics, not a constant: a linear driver and a
virtual ground draw the cells' current from the supply, not from the read voltage. The line `regulation` has it since, for every
chip; so this comparison is blind in its constants, no longer in its structure. The converters' share is too small here: generic
SAR converters take 1.7 pJ, HERMES' current-controlled oscillators more."""
_MARINELLA = """{:.1f} fJ a multiply-accumulate against 11, counting forward, transposed and outer product. Nearly half of ours is
buffers (inputs and both states of every neuron as 16-bit numbers from a 64 kB memory); what theirs is made of was not in what we
opened. Agreement of totals within a factor of three is all that is claimed."""
_PARTS = ("word_line_J_per_op", "neuron_J_per_op", "input_J_per_op")


def _neurram() -> list[str]:
    rows, totals, parts, speeds = [], [], [], []
    for published in neurram_published():
        model = neurram(published.out_bits, published.in_bits)
        totals.append(relative(model.total_J_per_op, published.total_J_per_op))
        parts += [relative(getattr(model, part), getattr(published, part)) for part in _PARTS]
        speeds.append(relative(model.tops, published.tops))
        said = " | ".join(
            " / ".join(f"{getattr(point, part) * 1e15:.2f}" for part in _PARTS) for point in (published, model)
        )
        speed = f"{published.tops:.3f} | {model.tops:.3f} | {speeds[-1]:+.1%}"
        rows.append(f"| {published.out_bits}/{published.in_bits} | {said} | {totals[-1]:+.1%} | {speed} |")
    summary = "; ".join(
        f"{name}: worst {worst:.1%}, mean {mean:.1%}"
        for name, (worst, mean) in (
            ("total", worst_and_mean(totals)), ("parts", worst_and_mean(parts)), ("TOPS", worst_and_mean(speeds)),
        )
    )  # fmt: skip
    return [
        "## NeuRRAM (measured, 130 nm, 48 arrays of 256 x 256 read in both directions)",
        "",
        "Word lines / neurons / inputs, fJ an operation; bits out / in.",
        "",
        "| bits | published | modelled | total | TOPS | modelled | |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"{summary}.",
        "",
        f"*{inputs()['neurram']['source']}. Published: {inputs()['neurram']['published']['source']}.*",
    ]


def _isaac() -> list[str]:
    chip = inputs()["isaac"]
    rows = []
    for name, words in (("ima", "in-situ unit"), ("tile", "tile of 12"), ("chip", "chip of 168 tiles and links")):
        power, published = isaac()[name].total_J / chip["cycle_s"], chip["published"][f"{name}_W"]
        rows.append(f"| {words} | {published:.5g} | {power:.5g} | {relative(power, published):+.2%} |")
    read, published = isaac()["ima"].total_J / 8, chip["published"]["array_read_J"]
    rows.append(f"| one 128 x 128 read, pJ | {published * 1e12:.5g} | {read * 1e12:.5g} | {relative(read, published):+.2%} |")
    return [
        "## ISAAC (a design on paper, 32 nm): bookkeeping",
        "",
        "| | published W | sum of parts W | |",
        "|---|---|---|---|",
        *rows,
        "",
        f"*{chip['source']}.*",
    ]


def _blind(title: str, table: CostTable, published_J: float, per: str, words: str, source: str) -> list[str]:
    used = {name: value for name, value in table.by_component.items() if value > 0}
    parts = ", ".join(f"{name.replace('_', ' ')} {value * 1e9:.2f}" for name, value in sorted(used.items(), key=lambda x: -x[1]))
    ratio = table.total_J / published_J
    line = f"Published {published_J * 1e9:.1f} nJ {per}, modelled **{table.total_J * 1e9:.1f} nJ: {ratio:.2f} of it**. {words}"
    return [f"## {title}", "", line, "", f"Parts, nJ: {parts}.", "", f"*{source}.*"]


def page() -> str:
    """Return the page."""
    chips = inputs()
    efficient = hermes(with_values(load_components(), {"driver.linear_share": 0.0})).total_J * 1e9
    core = chips["marinella"]
    step_J = 3 * core["rows"] * core["columns"] * core["published_J_per_multiply_accumulate"]
    each = marinella().total_J / (3 * core["rows"] * core["columns"])
    text = [
        "# Costs against published silicon",
        "",
        "Written by `python3 docs/validation.py` from `dbpsim/cost/published.py` and `published.toml`; held by",
        "`tests/reference/test_published_chips.py`. 1 multiply-accumulate = 2 operations.",
        "",
        *_neurram(),
        "",
        *_isaac(),
        "",
        *_blind(
            "HERMES (measured, 14 nm PCM): generic components",
            hermes(),
            chips["hermes"]["published_J"],
            "a 256 x 256 product",
            _HERMES.format(efficient, efficient * 1e-9 / chips["hermes"]["published_J"]),
            chips["hermes"]["source"],
        ),
        "",
        *_blind(
            "Marinella et al.'s training core (designed, 14/16 nm)",
            marinella(),
            step_J,
            "a training step of 1024 x 1024",
            _MARINELLA.format(each * 1e15),
            core["source"],
        ),
        "",
    ]
    return "\n".join(text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
