from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from axon import plots
from axon.errors import GeometryError, MissingExtraError, RunFileError
from axon.geometry import Axon
from axon.runs import Run

FIBRE = Axon.cylinder(length="10 mm", diameter=476.0, compartments=20)  # of 500 µm each


def recorded(v, compartments=None, interval=0.1, title=None):
    compartments = np.arange(FIBRE.n) if compartments is None else np.asarray(compartments)
    return Run.in_memory(
        header={
            "axon_version": "0",
            "axon": FIBRE.to_dict(),
            "simulation": {"dt": interval, "duration": (len(v) - 1) * interval},
        }
        | ({"study": {"title": title}} if title else {}),
        x=FIBRE.x[compartments],
        compartments=compartments,
        axon_x=FIBRE.x,
        interval=interval,
        v=np.asarray(v, dtype=np.float32),
        spike_compartment=np.zeros(0, np.int64),
        spike_time=np.zeros(0),
    )


@pytest.fixture
def noise():
    return np.random.default_rng(1).normal(-65.0, 10.0, (50, FIBRE.n)).astype(np.float32)


def picture(ax):
    (found,) = [*ax.images, *ax.collections]
    return np.asarray(found.get_array())


def test_the_picture_is_the_field_with_position_upwards(noise):
    ax = plots.space_time(recorded(noise))
    assert np.array_equal(picture(ax), noise.T)
    assert ax.get_xlabel() == "time (ms)"
    assert ax.get_ylabel() == "position (mm)"
    # Cells about the rows at 0, 0.1, ..., 4.9 ms and about the centres of the compartments.
    assert ax.get_xlim() == pytest.approx((-0.05, 4.95))
    assert ax.get_ylim() == pytest.approx((0.0, 10.0))


def test_recorded_sites_may_be_few_and_in_any_order(noise):
    sites = [17, 3, 4]
    ax = plots.space_time(recorded(noise[:, sites], sites))
    assert np.array_equal(picture(ax), noise[:, [3, 4, 17]].T)


def test_a_single_site_can_be_drawn(noise):
    ax = plots.space_time(recorded(noise[:, [5]], [5]))
    assert np.array_equal(picture(ax), noise[:, [5]].T)


def test_a_short_run_is_drawn_row_by_row(noise):
    ax = plots.traces(recorded(noise), ["1.2 mm", 9000.0])
    first, second = ax.get_lines()
    assert np.array_equal(first.get_xdata(), np.arange(50) * 0.1)
    assert np.array_equal(first.get_ydata(), noise[:, 2])  # 1.0 to 1.5 mm
    assert np.array_equal(second.get_ydata(), noise[:, 18])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1.25 mm", "9.25 mm"]


def test_the_nearest_recorded_site_is_drawn(noise):
    (line,) = plots.traces(recorded(noise[:, [0, 19]], [0, 19]), ["4 mm"]).get_lines()
    assert np.array_equal(line.get_ydata(), noise[:, 0])


def test_by_default_traces_span_the_recording(noise):
    labels = [line.get_label() for line in plots.traces(recorded(noise)).get_lines()]
    assert labels == ["0.25 mm", "2.75 mm", "5.25 mm", "7.25 mm", "9.75 mm"]


def test_a_position_beside_the_axon_is_refused(noise):
    with pytest.raises(GeometryError, match="11000"):
        plots.traces(recorded(noise), ["11 mm"])


@pytest.mark.parametrize("values_at_once", [1, 10_000, 2**22])
def test_a_single_row_of_a_long_run_is_not_lost(monkeypatch, values_at_once):
    monkeypatch.setattr(plots, "_VALUES_AT_ONCE", values_at_once)
    v = np.full((20_001, FIBRE.n), -65.0)
    v[12_347, 7] = 40.0
    v[3_011, 7] = -90.0
    run = recorded(v)
    shown = picture(plots.space_time(run))
    assert shown.shape[1] <= plots._ROWS
    assert np.argwhere(shown == 40.0).tolist() == [[7, 12_347 // 11]]
    (line,) = plots.traces(run, [FIBRE.x[7]]).get_lines()
    assert len(line.get_xdata()) <= 2 * plots._ROWS
    y, t = line.get_ydata(), line.get_xdata()
    assert y.max() == 40.0
    assert y.min() == -90.0
    # A picture may be off by the rows that share a point, 11 of 0.1 ms.
    assert t[y.argmax()] == pytest.approx(1234.7, abs=1.1)


def test_many_sites_are_thinned(monkeypatch, noise):
    monkeypatch.setattr(plots, "_COLUMNS", 7)
    assert np.array_equal(picture(plots.space_time(recorded(noise))), noise[:, ::3].T)


def test_given_axes_are_drawn_into(noise):
    run = recorded(noise)
    upper, lower = Figure().subplots(2)
    assert plots.space_time(run, ax=upper) is upper
    assert plots.traces(run, ax=lower) is lower
    assert len(lower.get_lines()) == 5


def test_the_overview_holds_both(noise, tmp_path):
    figure = plots.overview(recorded(noise, title="A noisy axon"), ["5 mm"])
    upper, lower, _ = figure.axes
    assert np.array_equal(picture(upper), noise.T)
    assert len(lower.get_lines()) == 1
    assert upper.get_xlim() == lower.get_xlim()
    assert figure.get_suptitle() == "A noisy axon"
    figure.savefig(tmp_path / "noise.png")
    assert (tmp_path / "noise.png").read_bytes().startswith(b"\x89PNG")


def test_one_row_is_no_picture_yet(noise):
    for draw in (plots.space_time, plots.traces, plots.overview):
        with pytest.raises(RunFileError, match="1 row"):
            draw(recorded(noise[:1]))


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, noise):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'axon-cable\[plot\]'"):
        plots.overview(recorded(noise))


def test_pyplot_is_left_alone():
    code = (
        "import sys, axon.plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "axon.plots._figure().subplots()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
