"""The panels of a device show what its functions give, and say where there is nothing to show."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from dbpsim.devices import list_devices, load_device
from dbpsim.devices.programming import programming_sigma
from dbpsim.report.device_figures import draw_errors, draw_month, draw_pulses
from dbpsim.report.device_sheet import document, save_figure, sheet


def axes():
    return Figure().subplots()


@pytest.mark.parametrize("name", [r.name for r in list_devices() if load_device(r.name).update is not None])
def test_the_cell_without_noise_fills_its_window(name):
    device = load_device(name)
    *_, mean = (line for line in draw_pulses(axes(), device).lines if line.get_label() == "without noise")
    path = mean.get_ydata() * 1e-6
    assert path[0] == pytest.approx(device.conductance.g_min_S)
    assert path.max() > device.conductance.g_min_S + 0.94 * device.conductance.span_S
    if device.update.polarity == "both":
        assert path[-1] < device.conductance.g_min_S + 0.2 * device.conductance.span_S


def test_the_error_panel_is_the_programming_error_in_per_cent():
    pcm = load_device("pcm")
    line = draw_errors(axes(), pcm).lines[0]
    g = line.get_xdata() * 1e-6
    assert np.allclose(line.get_ydata(), programming_sigma(g, pcm) / 25e-6 * 100)


def test_the_month_panel_ends_where_drift_ends():
    line = draw_month(axes(), load_device("pcm")).lines[0]
    expected = 25.0 * (30 * 86400 / 20.0) ** -0.049
    assert line.get_ydata()[-1] == pytest.approx(expected, rel=0.03)  # the median of 400 cells


def test_a_billion_pulses_are_drawn_as_quickly_as_ten():
    ecram = load_device("ecram_li_tang2018")
    fine = ecram.model_copy(update={"update": ecram.update.model_copy(update={"step_S": 1e-15})})
    *_, mean = (line for line in draw_pulses(axes(), fine).lines if line.get_label() == "without noise")
    assert mean.get_xdata()[-1] > 1e9
    assert mean.get_ydata().max() > 0.94


def test_what_a_file_lacks_is_said():
    ideal = load_device("ideal")
    for draw in (draw_pulses, draw_errors, draw_month):
        assert draw(axes(), ideal).texts[0].get_text().startswith("no ")
    assert "not in the file, so not simulated: levels, spread" in sheet(ideal)


def test_the_sheet_gives_every_figure_and_source():
    for record in list_devices():
        device = load_device(record.name)
        words = sheet(device).split()
        for section in document(device).values():
            if isinstance(section, dict):
                assert section["source"].split()[0] in words
                assert all(f"{v:g}" in words for v in section.values() if isinstance(v, float))


def test_a_figure_is_written_under_a_safe_name_and_repeats_itself(tmp_path):
    odd = load_device("stt_mram").model_copy(update={"name": "../lot 7/a"})
    path = save_figure(odd, tmp_path)
    assert path.parent == tmp_path
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    assert save_figure(odd, tmp_path).read_bytes() == first
