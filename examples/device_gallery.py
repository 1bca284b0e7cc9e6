"""The device library on one page: what pulses do, how far writes and reads miss, what a month of waiting leaves.

    python examples/device_gallery.py --out docs/figures/device_gallery.png

Every panel comes from the functions a chip uses, with the figures of devices/*.toml; a device stands only in the blocks for
which its file has figures.  Light blue: three cells with their noise and spread.  Bands: 80 % of 400 cells.
"""

import argparse

import matplotlib as mpl
from matplotlib.figure import Figure

from dbpsim.devices import list_devices, load_device
from dbpsim.files import atomic
from dbpsim.report.device_figures import draw_errors, draw_month, draw_pulses

WIDEST = 7  # panels in a row
STYLE = {
    "font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "axes.grid": True,
    "grid.alpha": 0.25, "axes.axisbelow": True, "axes.titlesize": 9, "axes.titleweight": "bold", "figure.facecolor": "white",
}  # fmt: skip
BLOCKS = [  # title, panel, which devices
    ("Potentiation, then depression", draw_pulses, lambda d: d.update is not None),
    ("Programming error and noise of a read (one standard deviation)", draw_errors, lambda d: d.programming or d.read_noise),
    ("A month after programming", draw_month, lambda d: d.drift or d.retention),
]


def gallery(path: str) -> int:
    """Draw the library into `path` and return the number of panels."""
    devices = [load_device(record.name) for record in list_devices()]
    shown = [(title, draw, [d for d in devices if has(d)]) for title, draw, has in BLOCKS]
    rows = [-(-len(members) // WIDEST) for _, _, members in shown]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(15.0, 2.3 * sum(rows) + 0.8), layout="constrained")
        blocks = figure.subfigures(len(shown), 1, height_ratios=rows)
        for block, height, (title, draw, members) in zip(blocks, rows, shown, strict=True):
            columns = -(-len(members) // height)
            block.suptitle(title, x=0.01, ha="left", fontsize=11, color="#0072B2")
            grid = block.subplots(height, columns, squeeze=False)
            for number, ax in enumerate(grid.flat):
                if number >= len(members):
                    ax.set_axis_off()
                    continue
                draw(ax, members[number])
                ax.set_title(members[number].name)
                if number:  # the first panel of a block explains them all
                    if ax.get_legend() is not None:
                        ax.get_legend().remove()
                    if number % columns:
                        ax.set_ylabel("")
        with atomic(path) as file:
            figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return sum(len(members) for _, _, members in shown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="device_gallery.png")
    out = parser.parse_args().out
    print(f"{gallery(out)} panels: {out}")
