from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.animation import writers
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from pictures import draw
from PIL import Image

from axon import analysis, models, plots
from axon.analysis import action_potential
from axon.channels import Channel, Gate, Markov
from axon.errors import (
    GeometryError,
    MembraneError,
    MissingExtraError,
    NoSpikeError,
    RunFileError,
    SimulationError,
    StimulusError,
    SweepError,
    WriteError,
)
from axon.excitability import patch_recovery
from axon.geometry import Axon
from axon.membranes import Membrane
from axon.plots import drawing
from axon.plots import impulses as of_impulses
from axon.plots import populations as of_populations
from axon.protocols import RecoveryCycle, StrengthDuration
from axon.replay import membrane_at
from axon.runs import Run
from axon.simulation import Simulation
from axon.sources import PointSource
from axon.stimuli import CurrentClamp, Extracellular
from axon.waveforms import pulse

OF_FIELDS = (
    plots.space_time,
    plots.traces,
    plots.overview,
    plots.waterfall,
    plots.snapshots,
    lambda run: plots.animation(run, "never.gif"),
)
FIBRE = Axon.cylinder(length="10 mm", diameter=476.0, compartments=20)  # of 500 µm each


def recorded(v, compartments=None, interval=0.1, title=None, spikes=()):
    compartments = np.arange(FIBRE.n) if compartments is None else np.array(compartments, int)
    return Run.in_memory(
        header={
            "axon_version": "0",
            "axon": FIBRE.to_dict(),
            "simulation": {
                "dt": interval,
                "duration": (len(v) - 1) * interval,
                "spike_threshold": -20.0,
            },
            "stimuli": [],
        }
        | ({"study": {"title": title}} if title else {}),
        x=FIBRE.x[compartments],
        compartments=compartments,
        axon_x=FIBRE.x,
        interval=interval,
        v=np.asarray(v, dtype=np.float32),
        spike_compartment=[compartment for compartment, _ in spikes],
        spike_time=[time for _, time in spikes],
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
    monkeypatch.setattr(drawing, "VALUES_AT_ONCE", values_at_once)
    v = np.full((20_001, FIBRE.n), -65.0)
    v[12_347, 7] = 40.0
    v[3_011, 7] = -90.0
    run = recorded(v)
    shown = picture(plots.space_time(run))
    assert shown.shape[1] <= drawing.ROWS
    assert np.argwhere(shown == 40.0).tolist() == [[7, 12_347 // 11]]
    (line,) = plots.traces(run, [FIBRE.x[7]]).get_lines()
    assert len(line.get_xdata()) <= 2 * drawing.ROWS
    y, t = line.get_ydata(), line.get_xdata()
    assert y.max() == 40.0
    assert y.min() == -90.0
    # A picture may be off by the rows that share a point, 11 of 0.1 ms.
    assert t[y.argmax()] == pytest.approx(1234.7, abs=1.1)


def test_many_sites_are_thinned(monkeypatch, noise):
    monkeypatch.setattr(drawing, "COLUMNS", 7)
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
    source = PointSource(0.0, 0.0, 1e3)
    for picture_of in (*OF_FIELDS, lambda run: plots.extracellular(run, source)):
        with pytest.raises(RunFileError, match="1 row"):
            picture_of(recorded(noise[:1]))


def test_a_run_without_places_has_no_potentials(noise):
    for picture_of in OF_FIELDS:
        with pytest.raises(RunFileError, match="no place is recorded"):
            picture_of(recorded(noise[:, :0], []))


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def named(ax):
    return ax.get_xlabel(), ax.get_ylabel()


def test_a_waterfall_is_traces_at_their_positions(noise):
    ax = plots.waterfall(recorded(noise))
    *lines, bar = ax.get_lines()
    assert named(ax) == ("time (ms)", "position (mm)")
    assert len(lines) == FIBRE.n  # fewer than it would draw
    shifts = [line.get_ydata() - x * 1e-3 for line, x in zip(lines, FIBRE.x, strict=True)]
    v = noise.T - np.median(noise)
    scale = np.ptp(bar.get_ydata()) / float(ax.texts[0].get_text().removesuffix(" mV"))
    np.testing.assert_allclose(shifts, scale * v, atol=1e-6 * np.abs(v).max())
    assert scale * np.ptp(noise) == pytest.approx(3 * 0.5)  # sites are 0.5 mm apart
    assert 0.1 < np.ptp(bar.get_ydata()) / (scale * np.ptp(noise)) <= 1.0


def test_a_waterfall_shows_what_it_is_told(noise):
    lines = plots.waterfall(recorded(noise), ["1.2 mm", 9000.0]).get_lines()
    assert len(lines) == 2 + 1
    flat = plots.waterfall(recorded(np.full((5, FIBRE.n), -65.0)), [5000.0])
    assert np.ptp(flat.get_lines()[0].get_ydata()) == 0.0


def test_snapshots_are_rows(noise):
    ax = plots.snapshots(recorded(noise), [1.0, "0.00234 s"])
    assert named(ax) == ("position (mm)", "membrane potential (mV)")
    assert labels(ax) == ["1 ms", "2.3 ms"]
    for line, row in zip(ax.get_lines(), (10, 23), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), FIBRE.x * 1e-3)
        np.testing.assert_array_equal(line.get_ydata(), noise[row])


def test_by_default_snapshots_follow_the_first_impulse(noise):
    (impulse,) = analysis.impulses(draw.squid())
    begin, end = impulse.time.min(), impulse.time.max()
    ax = plots.snapshots(draw.squid())
    times = [float(label.removesuffix(" ms")) for label in labels(ax)]
    assert times == pytest.approx(begin + (end - begin) * np.arange(1, 6) / 6, abs=0.05)
    tops = [line.get_xdata()[np.argmax(line.get_ydata())] for line in ax.get_lines()]
    assert (np.diff(tops) > 10.0).all()
    silent = plots.snapshots(recorded(noise))
    times = [float(label.removesuffix(" ms")) for label in labels(silent)]
    assert times == pytest.approx(4.9 * np.arange(1, 6) / 6, abs=0.051)


def test_an_impulse_that_goes_on_is_drawn_as_far_as_there_are_rows(noise):
    ahead = [(k, 4.0 + 0.2 * k) for k in range(FIBRE.n)]
    assert labels(plots.snapshots(recorded(noise, spikes=ahead))) == ["4.6 ms"] + 4 * ["4.9 ms"]


@pytest.mark.parametrize("time", [-0.1, 5.0, "1 s"])
def test_a_time_that_is_not_recorded_is_refused(noise, time):
    with pytest.raises(SimulationError, match=r"times = .* the rows go from 0 to 4.9 ms"):
        plots.snapshots(recorded(noise), [time])


# Animations


@pytest.fixture
def walk():
    """In each row another site is high."""
    return recorded(-65.0 + 100.0 * np.eye(FIBRE.n))


def test_an_animation_has_a_frame_for_each_row(walk, tmp_path):
    small = Figure(figsize=(4.0, 2.0)).add_axes((0.2, 0.2, 0.7, 0.7))
    ax = plots.animation(walk, tmp_path / "walk.gif", ax=small)
    assert named(ax) == ("position (mm)", "membrane potential (mV)")
    assert ax.get_title(loc="left") == "1.9 ms"
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), walk.v[19])
    with Image.open(tmp_path / "walk.gif") as movie:
        assert movie.n_frames == FIBRE.n
        tops = []
        for frame in range(movie.n_frames):
            movie.seek(frame)
            shown = np.asarray(movie.convert("RGB")).astype(int)
            blue = (np.abs(shown - [0, 114, 178]).max(axis=2) < 60).nonzero()
            tops.append(blue[1][blue[0] == blue[0].min()].mean())
    ax.figure.set_dpi(80)
    high = ax.transData.transform([(x * 1e-3, 35.0) for x in FIBRE.x])
    assert tops == pytest.approx(high[:, 0], abs=1.5)


def test_an_animation_has_as_many_frames_as_it_is_told(noise, tmp_path):
    run = recorded(noise)
    path = tmp_path / "noise.gif"
    (line,) = plots.animation(run, path, start=1.0, stop="3 ms", frames=5).get_lines()
    np.testing.assert_array_equal(line.get_ydata(), noise[30])
    with Image.open(path) as movie:
        assert (movie.n_frames, movie.size) == (5, (640, 360))
    theirs = Figure(figsize=(2.0, 1.0)).subplots()
    assert plots.animation(run, path, frames=2, ax=theirs) is theirs
    with Image.open(path) as movie:
        assert (movie.n_frames, movie.size) == (2, (160, 80))


@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        ({"frames": 1}, "frames=1; give a whole number from 2 to 400"),
        ({"frames": 401}, "frames=401"),
        ({"frames": 2.0}, r"frames=2\.0"),
        ({"start": 3.0, "stop": 2.0}, "start = 3 ms is not before stop = 2 ms"),
        ({"stop": 9.0}, "stop = 9 ms is not recorded"),
        ({"output": "noise.avi"}, r"output = 'noise.avi': an animation ends in .gif or .mp4"),
    ],
)
def test_animations_that_cannot_be(noise, asked, advice):
    with pytest.raises(SimulationError, match=advice):
        plots.animation(recorded(noise), **{"output": "never.gif"} | asked)
    assert not os.path.exists("never.gif")


def test_an_animation_that_cannot_be_written(noise, tmp_path):
    with pytest.raises(WriteError, match=r"no.such.a\.gif: cannot be written"):
        plots.animation(recorded(noise), tmp_path / "no" / "such" / "a.gif", frames=2)


def test_without_ffmpeg_the_error_says_so(noise, monkeypatch):
    monkeypatch.setattr(writers, "is_available", lambda name: name != "ffmpeg")
    with pytest.raises(MissingExtraError, match=r"needs ffmpeg, .* or write a \.gif"):
        plots.animation(recorded(noise), "never.mp4")


@pytest.mark.parametrize("code", [0, 1])
def test_mp4_is_left_to_ffmpeg(noise, tmp_path, monkeypatch, code):
    """One that keeps what it is given, or fails."""
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\nfor last; do :; done\ncat > "$last"\nexit {code}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "noise.mp4"
    if code:
        with pytest.raises(WriteError, match=r"noise\.mp4: cannot be written"):
            plots.animation(recorded(noise), path, frames=3)
    else:
        plots.animation(recorded(noise), path, frames=3)
        assert path.stat().st_size == 3 * 640 * 360 * 4


# Impulses


def ways(ax):
    """Lines by the fate that they are labelled with, and their colours."""
    found = [c for c in ax.collections if isinstance(c, LineCollection)]
    return {
        c.get_label(): (c.get_segments(), {to_hex(colour) for colour in c.get_color()})
        for c in found
    }


def test_impulses_are_lines_from_where_they_began():
    """One begins in the middle, arrives at the origin and fails on the other side."""
    up = [(10 + k, 1.0 + 0.1 * k) for k in range(1, 6)]
    down = [(10 - k, 1.0 + 0.2 * k) for k in range(1, 11)]
    run = recorded(np.zeros((60, FIBRE.n)), spikes=[(10, 1.0), *up, *down])
    ax = plots.spikes(run)
    assert named(ax) == ("time (ms)", "position (mm)")
    drawn = ways(ax)
    assert list(drawn) == ["arrived", "failed"]
    for fate, spikes in (("arrived", [*down[::-1], (10, 1.0)]), ("failed", [(10, 1.0), *up])):
        ((line,), _) = drawn[fate]
        np.testing.assert_allclose(line, [(t, FIBRE.x[k] * 1e-3) for k, t in spikes])
    assert len({colour for _, (colour,) in drawn.values()}) == 2
    (start,) = ax.get_lines()
    assert (start.get_xdata()[0], start.get_ydata()[0]) == (1.0, FIBRE.x[10] * 1e-3)
    assert labels(ax) == ["arrived", "failed", "beginning"]
    assert ax.get_ylim() == (0.0, 10.0)
    assert ax.get_xlim()[0] < 0.0 < 5.9 < ax.get_xlim()[1]  # all that was recorded


def test_impulses_that_collide_are_told_from_those_that_arrive():
    both = ways(plots.spikes(draw.collision()))
    assert [(fate, len(lines)) for fate, (lines, _) in both.items()] == [("collided", 2)]
    one = ways(plots.spikes(draw.squid()))
    assert [(fate, len(lines)) for fate, (lines, _) in one.items()] == [("arrived", 1)]


def test_long_ways_are_thinned(monkeypatch):
    monkeypatch.setattr(of_impulses, "COLUMNS", 7)
    (impulse,) = analysis.impulses(draw.squid())
    (((line,), _),) = ways(plots.spikes(draw.squid())).values()
    assert len(line) == 7
    ends = np.stack((impulse.time, impulse.x * 1e-3), axis=1)[[0, -1]]
    np.testing.assert_array_equal(line[[0, -1]], ends)


def test_without_an_impulse_there_are_no_lines(noise):
    with pytest.raises(NoSpikeError, match="the run has no impulse to draw"):
        plots.spikes(recorded(noise))
    with pytest.raises(NoSpikeError, match="of 0 sites"):
        plots.velocity(recorded(noise))


def test_velocities_are_those_of_the_profile():
    run = draw.squid()
    for window, asked in (("10 mm", None), (20e3, 20e3)):
        ax = plots.velocity(run, asked)
        profile = analysis.velocity_profile(run, window)
        (line,) = ax.get_lines()
        np.testing.assert_array_equal(line.get_xdata(), profile.x * 1e-3)
        np.testing.assert_array_equal(line.get_ydata(), profile.value)
        assert named(ax) == ("position (mm)", "conduction velocity (m/s)")


def test_a_velocity_that_is_not_known_is_a_gap():
    (line,) = plots.velocity(draw.collision()).get_lines()
    x, value = line.get_data()
    unknown = x[np.isnan(value)]
    assert unknown.size and np.abs(unknown - 50.0).max() < 5.0  # where they meet
    assert (value[x < 45.0] > 0).all() and (value[x > 55.0] < 0).all()


def test_velocities_need_no_recorded_place(noise):
    spikes = [(k, 1.0 + 0.5 * k) for k in range(FIBRE.n)]
    (line,) = plots.velocity(recorded(noise[:, :0], [], spikes=spikes), 2000.0).get_lines()
    np.testing.assert_allclose(line.get_ydata(), 1.0)  # 500 µm in 0.5 ms


@pytest.mark.parametrize("most", [None, 40])
def test_electrodes_record_the_potential_outside(monkeypatch, most):
    if most:  # of 151 rows
        monkeypatch.setattr(of_impulses, "ROWS", most)
    near, far = (PointSource("50 mm", 0.0, z, sigma=2.0) for z in ("1 mm", "2 mm"))
    ax = plots.extracellular(draw.squid(), [near, far, near - far])
    assert named(ax) == ("time (ms)", "potential outside (µV)")
    assert labels(ax) == ["(50, 0, 1) mm", "(50, 0, 2) mm", "electrode 3"]
    for line, source in zip(ax.get_lines(), (near, far, near - far), strict=True):
        phi = 1e3 * analysis.extracellular_potential(draw.squid(), source)
        y = line.get_ydata()
        if most:
            assert len(y) <= 2 * most
            assert (y.min(), y.max()) == (phi.min(), phi.max())
        else:
            np.testing.assert_array_equal(y, phi)
    (alone,) = plots.extracellular(draw.squid(), far).get_lines()
    assert len(alone.get_ydata()) == (76 if most else 151)


def test_what_is_no_electrode_is_refused():
    with pytest.raises(StimulusError, match=r"source = 3.0 is no source"):
        plots.extracellular(draw.squid(), [3.0])


# Thresholds


def test_strength_duration_has_dots_and_two_laws():
    curve = draw.curve()
    ax = plots.strength_duration(curve)
    assert named(ax) == ("duration (ms)", "threshold (nA)")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    dots, *rest = ax.get_lines()
    np.testing.assert_array_equal(dots.get_data(), [curve.durations, curve.thresholds])
    weiss, lapicque = rest[:3], rest[3:]
    for (law, base, mark), (rheobase, chronaxie), name in (
        (weiss, curve.weiss, "Weiss"),
        (lapicque, curve.lapicque, "Lapicque"),
    ):
        d, strength = law.get_data()
        assert (d[0], d[-1]) == pytest.approx((0.05, 10.0))
        if name == "Weiss":
            expected = rheobase * (1 + chronaxie / d)
        else:
            expected = rheobase / (1 - 2 ** (-d / chronaxie))
        np.testing.assert_allclose(strength, expected)
        assert base.get_ydata() == [rheobase, rheobase]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (chronaxie, 2 * rheobase)
        assert law.get_label() == (
            f"{name}: rheobase {rheobase:.3g} nA, chronaxie {chronaxie:.3g} ms"
        )


def test_strength_duration_of_an_electrode_outside():
    run = draw.squid()
    outside = Extracellular(PointSource(0.0, 0.0, 1e3), pulse("-1 mA", start=0.0, duration=1.0))
    header = run.header | {"stimuli": [outside.to_dict()]}
    there = Run.in_memory(
        header, [], [], 1.0, np.zeros((1, 0), np.float32), [], [], axon_x=run.axon_x
    )
    curve = draw.curve()
    detail = replace(curve.details[0], run=there)
    ax = plots.strength_duration(StrengthDuration(curve.durations, -curve.thresholds, (detail,)))
    assert ax.get_ylabel() == "−threshold (mA)"
    assert "rheobase 0.0183 mA, chronaxie 2.92 ms" in ax.get_lines()[1].get_label()
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), curve.thresholds)


def test_a_law_without_a_chronaxie_is_left_out():
    curve = replace(draw.curve(), durations=np.array([1.0, 2.0]), thresholds=np.array([1.0, 1.5]))
    assert curve.weiss[1] < 0
    ax = plots.strength_duration(curve)
    assert not any(label.startswith("Weiss") for label in labels(ax))


def test_one_duration_is_no_curve():
    alone = replace(draw.curve(), durations=np.array([1.0]), thresholds=np.array([1.0]))
    with pytest.raises(SimulationError, match="one duration makes no curve"):
        plots.strength_duration(alone)


def test_recovery_is_drawn_where_something_excites():
    cycle = draw.cycle()
    ax = plots.recovery(cycle)
    assert named(ax) == ("interval (ms)", "threshold / threshold at rest")
    assert ax.get_xscale() == "log"
    rest, line = ax.get_lines()
    assert rest.get_ydata() == [1.0, 1.0]
    np.testing.assert_array_equal(line.get_xdata(), cycle.intervals)
    np.testing.assert_array_equal(line.get_ydata()[2:], cycle.ratios[2:])
    assert np.isnan(line.get_ydata()[:2]).all()
    (shaded,) = ax.patches
    assert shaded.get_x() == ax.get_xlim()[0] < 1.0
    assert shaded.get_x() + shaded.get_width() == pytest.approx(2.0)
    assert labels(ax) == ["absolutely refractory"]


def test_recovery_may_be_in_any_order_and_never_refractory():
    ordered = RecoveryCycle(np.array([9.0, 3.0, 5.0]), np.array([1.0, 1.3, 1.1]), None, 10.0)
    ax = plots.recovery(ordered)
    np.testing.assert_array_equal(ax.get_lines()[1].get_data(), [[3, 5, 9], [1.3, 1.1, 1.0]])
    assert not ax.patches


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(1e-3, 1e3) | st.just(np.inf), min_size=1, max_size=30), st.booleans())
def test_recruitment_tells_how_many_are_activated(sizes, negative):
    if np.isinf(sizes).all():
        sizes = [1.0, *sizes]
    thresholds = [-size if negative else size for size in sizes]
    (steps,) = plots.recruitment(thresholds, unit="mA").patches
    share, edges, _ = steps.get_data()
    for amplitude in (edges[:-1] + edges[1:]) / 2:
        here = share[np.searchsorted(edges, amplitude) - 1]
        if amplitude not in edges:  # of equal thresholds
            assert here == np.mean(np.array(sizes) <= amplitude)


def test_recruitment_says_what_it_is_over():
    ax = plots.recruitment(draw.THRESHOLDS, unit="mA")
    assert named(ax) == ("−amplitude (mA)", "fraction activated")
    detail = draw.curve().details[0]
    factors = plots.recruitment([detail, replace(detail, value=2.0)])
    assert factors.get_xlabel() == "amplitude (times the stimulus)"
    np.testing.assert_allclose(factors.patches[0].get_data().edges, [0.8, 1.0, 2.0, 2.4])
    converted = plots.recruitment(["1 mA", "500 uA"], unit="mA")
    np.testing.assert_allclose(converted.patches[0].get_data().edges[1:3], [0.5, 1.0])


@pytest.mark.parametrize("thresholds", [[], [1.0, -1.0], [0.0], [np.inf], [[1.0, 2.0]]])
def test_thresholds_of_no_population_are_refused(thresholds):
    with pytest.raises(SimulationError, match=r"thresholds = .*; give finite ones, all of one"):
        plots.recruitment(thresholds)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_law_of_distance_is_found(sign):
    r = np.array([400.0, 100.0, 200.0, 800.0])  # µm
    ax = plots.threshold_against_distance(r, sign * (0.02 + 3.0 * (r * 1e-3) ** 2), unit="mA")
    assert named(ax) == ("distance (mm)", f"{'−' if sign < 0 else ''}threshold (mA)")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    dots, law = ax.get_lines()
    np.testing.assert_allclose(dots.get_xdata(), [0.1, 0.2, 0.4, 0.8])
    assert law.get_xdata()[[0, -1]] == pytest.approx([0.1, 0.8])
    np.testing.assert_allclose(law.get_ydata(), 0.02 + 3.0 * law.get_xdata() ** 2)
    assert law.get_label() == "a + k r²: a = 0.02 mA, k = 3 mA/mm²"


def test_the_law_of_distance_is_drawn_where_it_fits():
    r = np.geomspace(50.0, 1000.0, 12)
    bent = 0.01 + 4.0 * (r * 1e-3) ** 2 * np.maximum(1.0, r / 300.0) ** 1.5
    dots, law = plots.threshold_against_distance(r, bent).get_lines()
    x = dots.get_xdata()
    first, last = law.get_xdata()[[0, -1]]
    assert (first, last) == (x[0], x[x < 0.3].max())
    within = (x >= first) & (x <= last)
    fitted = np.interp(x[within], *law.get_data())
    np.testing.assert_allclose(dots.get_ydata()[within], fitted, rtol=0.05)
    assert law.get_label().startswith("a + k r²: a = 0.01, k = 4")


@pytest.mark.parametrize("thresholds", [[1.0, 4.0, 9.0], [1.0, 100.0, 1.0, 100.0, 1.0]])
def test_too_few_points_tell_of_no_law(thresholds):
    r = 100.0 * np.arange(1, len(thresholds) + 1)
    assert len(plots.threshold_against_distance(r, thresholds).get_lines()) == 1


@pytest.mark.parametrize(
    ("distances", "thresholds", "advice"),
    [
        ([100.0, 200.0], [1.0], r"distances has the shape \(2,\) and thresholds \(1,\)"),
        ([100.0, 200.0], [1.0, np.inf], "give a finite threshold for each distance"),
        ([100.0, 0.0], [1.0, 2.0], r"distances\[1\] = 0.0 must be greater than 0"),
        ([100.0, 200.0], [1.0, "2 mV"], r"thresholds\[1\] = '2 mV' cannot be converted to mA"),
    ],
)
def test_distances_that_do_not_fit_are_refused(distances, thresholds, advice):
    with pytest.raises(SimulationError, match=advice):
        plots.threshold_against_distance(distances, thresholds, unit="mA")


@pytest.mark.parametrize(
    ("widest", "told"), [(10.0, ["1", "2", "5", "10"]), (1e5, ["1", "10", "1000", "100000"])]
)
def test_logarithmic_scales_have_plain_numbers(widest, told, tmp_path):
    ax = plots.recruitment([1.0, widest], unit="mA")
    ax.figure.savefig(tmp_path / "recruitment.png")
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert set(told) <= set(shown)
    assert not any(label.get_text() for label in ax.get_xticklabels(minor=True))


# Populations


def test_fibres_are_circles_in_the_fascicle():
    fibres = draw.fibres()
    ax = plots.cross_section(fibres)
    assert named(ax) == ("y (µm)", "z (µm)") and ax.get_aspect() == 1.0
    (circles,) = ax.collections
    np.testing.assert_array_equal(circles.get_offsets(), np.stack((fibres.y, fibres.z), axis=1))
    # As large as they are: so many pixels, each as wide as it is high, are coloured.
    with Image.open(draw.png(ax)) as picture:
        red, _, blue, _ = np.moveaxis(np.asarray(picture).astype(float), -1, 0)
    (left, _), (right, _) = ax.transData.transform([(0.0, 0.0), (1.0, 0.0)])
    area = np.sum(blue - red) / 0xB2 * (ax.figure.dpi / draw.DPI / (right - left)) ** 2
    assert area == pytest.approx(np.pi / 4 * np.sum(fibres.diameter**2), rel=0.01)
    np.testing.assert_array_equal(ax.patches[0].get_xy()[:-1], fibres.fascicle.points)
    assert fibres.plot().figure is not ax.figure


@pytest.mark.parametrize("most", [None, 50])
def test_compounds_are_lines_of_the_electrodes(monkeypatch, most):
    if most:  # of 200 rows
        monkeypatch.setattr(of_populations, "ROWS", most)
    found = draw.compound()
    ax = found.plot()
    assert named(ax) == ("time (ms)", "potential outside (µV)")
    assert labels(ax) == ["(2, 0, 0.1) mm", "(3, 0, 0.1) mm"]
    for line, phi in zip(ax.get_lines(), 1e3 * found.potential.T, strict=True):
        y = line.get_ydata()
        if most:
            assert (len(y), y.min(), y.max()) == (2 * most, phi.min(), phi.max())
        else:
            np.testing.assert_array_equal(y, phi)


# Sweeps


def test_a_sweep_is_a_line_for_each_value_of_a_second_axis():
    ax = plots.sweep(draw.SWEPT, draw.VELOCITIES, "velocity")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("axon.diameter", "velocity")
    assert ax.get_xscale() == "log"
    for line, velocities in zip(ax.get_lines(), draw.VELOCITIES.T, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), draw.SWEPT["axon.diameter"])
        np.testing.assert_array_equal(line.get_ydata(), velocities)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [f"simulation.celsius = {celsius}" for celsius in ("6.3", "18.5", "30")]


def test_a_sweep_along_one_axis_may_have_gaps_units_and_names():
    values = np.array([1.0, np.nan, 3.0])
    ax = plots.sweep({"length": ["1 mm", "2 mm", "4 mm"]}, values, "answer")
    assert ax.get_xlabel() == "length (mm)" and ax.get_xscale() == "log"
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), values)
    ax = plots.sweep({"membrane.model": ["sundt", "tigerholm", "1.2.3 x"]}, values, "answer")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["sundt", "tigerholm", "1.2.3 x"]


def test_a_sweep_of_two_long_axes_is_a_map():
    x, y = np.arange(8.0)[::-1], np.arange(10.0)
    values = np.add.outer(x, 10.0 * y)
    ax = plots.sweep({"x": x, "y": y}, values, "sum")
    (mesh,) = ax.collections
    np.testing.assert_array_equal(mesh.get_array(), values[::-1].T)  # upwards along both


def test_a_sweep_along_many_axes_is_median_and_range():
    values = np.arange(24.0).reshape(4, 3, 2)
    values[1] = np.nan
    ax = plots.sweep({"x": [1, 2, 3, 4], "y": [1, 2, 3], "z": [1, 2]}, values, "answer")
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1, 3, 4])
    np.testing.assert_array_equal(line.get_ydata(), np.median(values[[0, 2, 3]], axis=(1, 2)))


def test_a_sweep_whose_values_do_not_fit_is_refused():
    with pytest.raises(SweepError, match=r"shape \(2,\)"):
        plots.sweep({"x": [1, 2, 3]}, [1.0, 2.0], "answer")
    with pytest.raises(SweepError):
        plots.sweep({}, np.array(1.0), "answer")


# Stored pictures


def seen(ax):
    """What makes a picture; marks, which are faint, are tested one by one."""
    lines = [
        line
        for line in ax.get_lines()
        if line.get_linestyle() != ":" and line.get_marker() != "D" and line.get_clip_on()
    ]
    ways = [c for c in ax.collections if isinstance(c, LineCollection)]
    circles = [c for c in ax.collections if isinstance(c, EllipseCollection)]
    return [*ax.images, *lines, *ways, *circles, *ax.patches]


def test_every_kind_is_stored():
    figures = {"animation", "membrane", "membrane_currents", "overview", "tree_animation"}
    assert draw.PICTURES.keys() == set(plots.__all__) - figures
    stored = {file.stem: file for file in draw.FOLDER.glob("*.png")}
    assert stored.keys() == draw.PICTURES.keys()
    for file in stored.values():
        assert file.stat().st_size < 20_000
        with Image.open(file) as picture:
            assert picture.size == (320, 240)


@pytest.mark.parametrize("name", draw.PICTURES)
def test_pictures_look_as_the_stored_ones(name):
    ax = draw.drawn(name)
    assert draw.difference(ax, name) < draw.TOLERANCE
    things = seen(ax)
    for thing in {things[0], things[len(things) // 2], things[-1]}:
        thing.set_visible(False)
        assert draw.difference(ax, name) > draw.TOLERANCE, thing
        thing.set_visible(True)
    for side in "xy":
        get, change = getattr(ax, f"get_{side}lim"), getattr(ax, f"set_{side}lim")
        low, high = get()
        log = getattr(ax, f"get_{side}scale")() == "log"
        change(low, high * (high / low) ** 0.2 if log else high + 0.2 * (high - low))
        assert draw.difference(ax, name) > draw.TOLERANCE, side
        change(low, high)
    assert draw.difference(ax, name) < draw.TOLERANCE


@pytest.mark.parametrize("name", draw.PICTURES)
def test_letters_do_not_matter(name):
    with matplotlib.rc_context({"font.family": "DejaVu Serif", "font.size": 7.0}):
        ax = draw.PICTURES[name](Figure(draw.SIZE, draw.DPI).add_axes(draw.PLACE))
        assert draw.difference(ax, name) < draw.TOLERANCE


@pytest.mark.parametrize("name", draw.PICTURES)
def test_nothing_is_cut_off(name, tmp_path):
    figure = draw.PICTURES[name](None).figure
    figure.savefig(tmp_path / "picture.png")  # lays out
    drawn = figure.get_tightbbox()  # inches
    assert 0.0 <= drawn.x0 < drawn.x1 <= 8.0
    assert 0.0 <= drawn.y0 < drawn.y1 <= 6.0


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
    for picture_of in (lambda: plots.overview(recorded(noise)), models.sundt().plot):
        with pytest.raises(MissingExtraError, match=r"pip install 'axon-cable\[plot\]'"):
            picture_of()


def test_pyplot_is_left_alone():
    code = (
        "import sys, axon.plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "axon.plots.drawing.new_figure().subplots()\n"
        "axon.models.sundt().plot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
