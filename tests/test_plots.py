from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from axon import models, plots
from axon.analysis import action_potential
from axon.channels import Channel, Gate, Markov
from axon.errors import (
    GeometryError,
    MembraneError,
    MissingExtraError,
    RunFileError,
    SimulationError,
)
from axon.excitability import patch_recovery
from axon.geometry import Axon
from axon.membranes import Membrane
from axon.replay import membrane_at
from axon.runs import Run
from axon.simulation import Simulation
from axon.stimuli import CurrentClamp
from axon.waveforms import pulse

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


def test_a_title_is_no_formula(noise, tmp_path):
    figure = plots.overview(recorded(noise, title="costs $\\frac{"))
    figure.savefig(tmp_path / "run.png")
    assert plots.overview(recorded(noise, title=["no text"])).get_suptitle() == ""


@pytest.fixture(scope="module")
def impulse():
    membrane = models.tigerholm()
    clamp = CurrentClamp(0.0, pulse(0.5, 2.0, 1.0))
    fibre = Axon.cylinder("2 mm", 1.0, Ra=35.5, dx=40.0)
    return Simulation(fibre, membrane, [clamp], dt=0.01).run(30.0)


def test_currents_at_a_point(impulse):
    upper, middle, lower = plots.membrane_currents(impulse, "1 mm")
    there = membrane_at(impulse, "1 mm")
    (line,) = upper.lines
    first, last = np.searchsorted(there.time, line.get_xdata()[[0, -1]])
    np.testing.assert_array_equal(line.get_ydata(), there.v[first : last + 1])
    assert {line.get_label() for line in middle.lines} == set(there.states)
    drawn = {line.get_label(): line.get_ydata() for line in lower.lines}
    # The currents of the impulse, and not what is smaller than a line is wide.
    assert {"nav18", "kdr", "capacitive"} <= drawn.keys() and "leak_na" not in drawn
    kdr = there.currents["kdr"][first : last + 1]  # its last rows from fewer beyond them
    np.testing.assert_allclose(drawn["kdr"], kdr, rtol=1e-6)
    peak = action_potential(impulse, "1 mm").peak_time
    begin, end = lower.get_xlim()
    assert begin < peak < end < 30.0


def test_currents_from_when_to_when(impulse):
    axes = plots.membrane_currents(impulse, "1 mm", start="1 ms", stop=12.0)
    assert axes[0].get_xlim() == (1.0, 12.0)
    with pytest.raises(SimulationError, match="fewer than two rows"):
        plots.membrane_currents(impulse, "1 mm", start=12.0, stop=12.01)


def test_excitability(impulse):
    recovery = patch_recovery(impulse, "1 mm")
    ax = plots.excitability(recovery)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), recovery.interval)
    shown = np.isfinite(recovery.shock)
    np.testing.assert_allclose(
        ax.lines[0].get_ydata()[shown] * recovery.at_rest, recovery.shock[shown]
    )
    assert plots.excitability(recovery, ax=ax) is ax


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


# Membranes


def curves(ax):
    """Labelled lines by label, and what is drawn at each potential."""
    return {line.get_label(): line for line in ax.get_lines() if line.get_label()[0] != "_"}


def channels(figure):
    """Steady states and time constants by channel; then the currents' axes."""
    currents, *gated = figure.axes
    pairs = zip(gated[::2], gated[1::2], strict=True)
    return {upper.get_title(loc="left"): (upper, lower) for upper, lower in pairs}, currents


def dotted(ax):
    """Potentials that are marked."""
    return [line.get_xdata()[0] for line in ax.get_lines() if line.get_linestyle() == ":"
            and len(line.get_xdata()) == 2]  # fmt: skip


@pytest.mark.parametrize("celsius", [None, 16.3, "16.3 degC"])
def test_gates_are_drawn_by_channel(celsius):
    membrane = models.hodgkin_huxley()
    drawn, _ = channels(membrane.plot(celsius=celsius))
    assert list(drawn) == ["na", "k"]  # and none for the leak
    labels = {name: list(curves(upper)) for name, (upper, _) in drawn.items()}
    assert labels == {"na": ["m³", "h"], "k": ["n⁴"]}
    for channel in membrane.channels[:2]:
        upper, lower = drawn[channel.name]
        assert lower.get_yscale() == "log"
        times = [line for line in lower.get_lines() if len(line.get_xdata()) > 2]
        for gate, above, below in zip(channel.gates, curves(upper).values(), times, strict=True):
            v = above.get_xdata()
            assert (v[0], v[-1]) == (-100.0, 60.0)
            inf, rate = gate.at({"v": v, "celsius": 6.3})
            np.testing.assert_array_equal(above.get_ydata(), inf)
            warm = 1.0 if celsius is None else 3.0
            np.testing.assert_allclose(below.get_ydata(), 1.0 / rate / warm, rtol=1e-14)
            assert above.get_color() == below.get_color()
            assert above.get_linestyle() == below.get_linestyle()


def test_currents_are_drawn_by_ion_and_in_all():
    membrane = models.tigerholm()
    _, ax = channels(membrane.plot(celsius=30.0, v=(-80.0, "0.04 V")))
    drawn = curves(ax)
    assert list(drawn) == ["na", "k", "total"]
    v = drawn["total"].get_xdata()
    assert ax.get_xlim() == (v[0], v[-1]) == (-80.0, 40.0)
    expected = membrane.currents(v, 30.0)
    for ion in ("na", "k"):
        np.testing.assert_array_equal(drawn[ion].get_ydata(), expected[ion])
    np.testing.assert_allclose(
        drawn["total"].get_ydata(), membrane.steady_current(v, 30.0), rtol=1e-12, atol=1e-12
    )
    assert list(curves(models.sundt().plot().axes[0])) == ["na", "k", "no ion", "total"]


def test_rest_is_marked_everywhere():
    membrane = models.sundt()
    rests = {celsius: membrane.rest(celsius).v for celsius in (37.0, 10.0)}
    assert rests[37.0] != rests[10.0]
    for celsius, rest in rests.items():
        figure = membrane.plot(celsius=celsius)
        assert figure.get_suptitle() == f"sundt at {celsius:g} °C, resting at {rest:.1f} mV"
        for ax in figure.axes:
            assert dotted(ax) == [rest]
    beside = membrane.plot(v=(-40.0, 60.0))
    assert beside.get_suptitle() == "sundt at 37 °C"
    assert not any(dotted(ax) for ax in beside.axes)


def test_a_membrane_that_does_not_rest_is_drawn():
    driven = Membrane([Channel("leak", 1e-4, 200.0)], celsius=20.0)
    figure = driven.plot()
    assert figure.get_suptitle() == "membrane at 20 °C"
    assert len(figure.axes) == 1
    assert not dotted(figure.axes[0])


@pytest.mark.parametrize("name", models.names())
def test_every_model_can_be_drawn(name, tmp_path):
    membrane = getattr(models, name)()
    figure = membrane.plot()
    drawn, _ = channels(figure)
    gated = {channel.name: channel for channel in membrane.channels if channel.gates}
    assert list(drawn) == list(gated)
    for channel, (upper, lower) in drawn.items():
        assert [label[0] for label in curves(upper)] == [g.name[0] for g in gated[channel].gates]
        shortest, longest = lower.get_ylim()
        assert longest / shortest <= 1e7 * (1 + 1e-9)
    assert len({ax.get_ylim() for _, ax in drawn.values()}) <= 1  # may be compared
    figure.savefig(tmp_path / "membrane.png")


def test_text_does_not_overlap(tmp_path):
    """Of titles and legends, of the model with the most gates in a channel."""
    figure = models.tigerholm().plot()
    figure.savefig(tmp_path / "membrane.png")  # lays out
    drawn, currents = channels(figure)
    for ax in (currents, *(upper for upper, _ in drawn.values())):
        said = ax.get_title(loc="left")
        (title,) = ax.findobj(lambda text: isinstance(text, Text) and text.get_text() == said)  # noqa: B023
        legend = ax.get_legend().get_window_extent()
        assert title.get_window_extent().x1 < legend.x0
        assert legend.x1 <= figure.bbox.x1


def test_schemes_and_instantaneous_gates_have_no_time_constants():
    scheme = Markov(
        "s", {("c", "o"): lambda v: np.exp(v / 25), ("o", "c"): lambda v: 1.0}, open="o"
    )
    gate = Gate("p", 2, inf=lambda v: 1 / (1 + np.exp(-v / 9)))
    membrane = Membrane([Channel("k", 1e-3, -80.0, gates=[scheme, gate])])
    drawn, _ = channels(membrane.plot())
    upper, lower = drawn["k"]
    lines = curves(upper)
    v = lines["s"].get_xdata()
    np.testing.assert_allclose(lines["s"].get_ydata(), 1 / (1 + np.exp(-v / 25)), rtol=1e-12)
    np.testing.assert_allclose(lines["p²"].get_ydata(), 1 / (1 + np.exp(-v / 9)), rtol=1e-12)
    assert [text.get_text() for text in lower.texts] == ["no time constants"]


def test_powers_that_an_opening_does_without_are_not_drawn():
    gate = Gate("n", 4, inf=lambda v: 1 / (1 + np.exp(-v / 9)))
    membrane = Membrane([Channel("k", 1e-3, -80.0, gates=[gate], open=lambda n: n)])
    drawn, _ = channels(membrane.plot())
    assert list(curves(drawn["k"][0])) == ["n"]


@pytest.mark.parametrize("along", [lambda x: 2e-4 + x / 1e6, [2e-4, 5e-4]])
def test_what_varies_is_drawn_at_the_origin(along):
    def membrane(gbar, factor):
        own = Membrane([Channel("k", gbar, -80.0), Channel("leak", 1e-4, -50.0)])
        return own.scaled(leak=factor)

    there = membrane(along, [0.5, 1.0]).plot()
    uniform = membrane(2e-4, 0.5).plot()
    assert there.get_suptitle() == uniform.get_suptitle()
    np.testing.assert_array_equal(
        curves(there.axes[0])["total"].get_ydata(), curves(uniform.axes[0])["total"].get_ydata()
    )


def test_a_name_is_no_mathematics(tmp_path):
    membrane = Membrane([Channel("leak", 1e-4, -65.0)], name=r"$\none$")
    membrane.plot().savefig(tmp_path / "membrane.png")


@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        ({"celsius": "5 mV"}, "celsius = '5 mV'"),
        ({"v": (0.0, np.nan)}, "v = nan"),
        ({"v": (10.0, -10.0)}, r"v=\(10.0, -10.0\); give two potentials, the lower one first"),
    ],
)
def test_potentials_and_temperatures_that_are_none_are_refused(asked, advice):
    with pytest.raises(MembraneError, match=advice):
        models.sundt().plot(**asked)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, noise):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (lambda: plots.overview(recorded(noise)), models.sundt().plot):
        with pytest.raises(MissingExtraError, match=r"pip install 'axon-cable\[plot\]'"):
            draw()


def test_pyplot_is_left_alone():
    code = (
        "import sys, axon.plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "axon.plots._figure().subplots()\n"
        "axon.models.sundt().plot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
