from __future__ import annotations

import copy
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pint
import pytest

import axon
from axon import (
    CurrentClamp,
    DivergedError,
    NoRestError,
    Simulation,
    SimulationError,
    StoppedError,
)

FIBRE = axon.Axon.cylinder(10e3, 100.0, Ra=35.4, compartments=20)
HH = axon.models.hodgkin_huxley()


def stimulated(amplitude: float = 500.0, **options: object) -> Simulation:
    clamp = CurrentClamp(0.0, axon.pulse(amplitude, start=0.1, duration=0.5))
    return Simulation(FIBRE, HH, [clamp], **options)


@pytest.mark.parametrize("dt", ["5 us", "0.005 ms", 0.005, np.float32(0.0078125)])
def test_dt_is_a_number_in_ms_or_a_quantity(dt: object) -> None:
    assert Simulation(FIBRE, HH, dt=dt).dt == (0.0078125 if isinstance(dt, np.float32) else 0.005)


@pytest.mark.parametrize("dt", [0.0, -0.01, float("nan"), float("inf"), "5 mV", "5", None])
def test_impossible_dt_is_refused(dt: object) -> None:
    with pytest.raises(SimulationError, match="dt"):
        Simulation(FIBRE, HH, dt=dt)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"duration": 1.003}, r"duration=1\.003 ms is no whole number of steps.* 1 or 1\.005"),
        (
            {"duration": 1.0, "every": 0.012},
            r"every=0\.012 ms is no whole number.* 0\.01 or 0\.015",
        ),
        ({"duration": 1.0, "every": 0.001}, r"every=0\.001 ms is no whole number.*give 0\.005"),
        ({"duration": -1.0}, "duration"),
        ({"duration": 1.0, "every": 0.0}, "every"),
        ({"duration": 1.0, "dtype": "float16"}, "dtype='float16'; give float32 or float64"),
        ({"duration": 1.0, "record": [10.0, 20.0]}, "two of the positions lie in one compartment"),
    ],
)
def test_run_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        stimulated(dt=0.005).run(**arguments)


def test_positions_beyond_the_end_are_refused() -> None:
    with pytest.raises(axon.AxonError, match="10000"):
        Simulation(FIBRE, HH, [CurrentClamp(10001.0, axon.constant(1.0))])
    with pytest.raises(axon.AxonError, match="10000"):
        stimulated().run(1.0, record=["11 mm"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axon": HH, "membrane": HH}, "axon="),
        ({"axon": FIBRE, "membrane": FIBRE}, "membrane="),
        ({"axon": FIBRE, "membrane": HH, "stimuli": CurrentClamp(0, axon.constant(1))}, "stimuli"),
        ({"axon": FIBRE, "membrane": HH, "stimuli": [axon.constant(1)]}, "is no stimulus"),
        ({"axon": FIBRE, "membrane": HH, "method": "euler"}, "method='euler'; give one of"),
        ({"axon": FIBRE, "membrane": HH, "v_init": np.zeros(3)}, "v_init"),
        ({"axon": FIBRE, "membrane": HH, "celsius": "37 mV"}, "celsius"),
    ],
)
def test_simulation_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        Simulation(**arguments)


def test_values_along_the_axon_may_have_units() -> None:
    ureg, mv = pint.UnitRegistry(), np.linspace(-70.0, -60.0, FIBRE.n)
    for given in (ureg.Quantity(mv / 1e3, "V"), [f"{v!r} mV" for v in mv.tolist()]):
        sim = Simulation(FIBRE, HH, v_init=given)
        np.testing.assert_allclose(sim.v_init, mv, rtol=1e-15)
    sim = Simulation(FIBRE, HH, celsius=ureg.Quantity(np.full(FIBRE.n, 280.0), "K"))
    assert sim.celsius == pytest.approx(6.85)
    with pytest.raises(SimulationError, match=r"v_init .*<Quantity.*no numbers without a unit"):
        Simulation(FIBRE, HH, v_init=lambda x: ureg.Quantity(0 * x, "mV"))


def test_divergence_names_place_and_time() -> None:
    """A current a million times too large, as of a wrong unit, is noticed in the step it starts."""
    clamp = CurrentClamp("7.25 mm", axon.pulse(1e9, start=1.0, duration=0.5))
    with pytest.raises(DivergedError) as caught:
        Simulation(FIBRE, HH, [clamp], dt=0.01).run(5.0)
    error = caught.value
    assert error.time == pytest.approx(1.01)
    assert abs(error.v) > 1000.0
    assert error.x == FIBRE.x[error.compartment]
    for shown in (f"{error.time:g} ms", f"{error.x:g} um", f"compartment {error.compartment}"):
        assert shown in str(error)


def test_divergence_names_the_compartment_that_ran_away() -> None:
    """Where neighbours hardly conduct, only the stimulated compartment leaves all bounds."""
    fibre = axon.Axon.cylinder(10e3, 100.0, Ra=1e6, compartments=20)
    clamp = CurrentClamp("7.25 mm", axon.pulse(1e6, start=1.0, duration=0.5))
    with pytest.raises(DivergedError) as caught:
        Simulation(fibre, HH, [clamp], dt=0.01).run(5.0)
    assert caught.value.compartment == fibre.index("7.25 mm") == 14


def test_no_rest_asks_for_v_init() -> None:
    pump = axon.Membrane([axon.Channel("leak", gbar=1e-4, reversal=-500.0)])
    with pytest.raises(NoRestError, match="give v_init"):
        Simulation(FIBRE, pump).run(1.0)
    Simulation(FIBRE, pump, v_init=-65.0).run(0.1)


def test_nothing_recorded_but_spikes() -> None:
    run = stimulated().run(5.0, record=())
    assert run.v.shape == (101, 0)
    whole = stimulated().run(5.0)
    assert len(run.spikes) == FIBRE.n
    np.testing.assert_array_equal(run.spikes, whole.spikes)


def test_recording_is_a_selection() -> None:
    """What is recorded, where and how often, changes nothing of what is computed."""
    every_step = stimulated(dt=0.01).run(3.0, every=0.01, dtype="float64")
    some = stimulated(dt=0.01).run(3.0, every="0.1 ms", record=["9 mm", 0.0, 1234.5])
    assert some.compartments.tolist() == [18, 0, 2]
    assert some.v[:].dtype == np.float32
    wanted = np.asarray(every_step.v)[::10][:, [18, 0, 2]].astype(np.float32)
    np.testing.assert_array_equal(some.v, wanted)
    np.testing.assert_allclose(some.time, 0.1 * np.arange(31), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64")])
def test_the_field_has_the_type_that_was_asked_for_by_whatever_name(dtype: npt.DTypeLike) -> None:
    assert stimulated().run(1.0, dtype=dtype).v[:].dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_of_several_columns_of_chunks_holds_what_memory_does(
    tmp_path: Path, dtype: str
) -> None:
    fibre = axon.Axon.cylinder(10e3, 100.0, Ra=35.4, compartments=2500)
    clamp = CurrentClamp(0.0, axon.pulse(500.0, start=0.1, duration=0.5))
    sim = Simulation(fibre, HH, [clamp], dt=0.005)
    # The third column isn't full, nor is the third row.
    options: dict[str, Any] = {"every": 0.005, "dtype": dtype, "record": fibre.x[1:].tolist()}
    memory, file = sim.run(3.0, **options), sim.run(3.0, output=tmp_path / "run.h5", **options)
    assert memory.v.shape == (601, 2499) and memory.v.dtype == dtype
    np.testing.assert_array_equal(file.v, memory.v)


def test_run_of_no_duration_has_the_initial_state() -> None:
    run = stimulated(v_init=lambda x: -65.0 + x / 1e3).run(0.0, dtype="float64")
    np.testing.assert_array_equal(run.v, [-65.0 + FIBRE.x / 1e3])


def test_runs_repeat_to_the_last_bit() -> None:
    simulation = stimulated()
    first, second = (np.asarray(simulation.run(5.0, dtype="float64").v) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_spikes_are_interpolated_below_the_time_step() -> None:
    """As a straight line through the two steps around the crossing."""
    run = stimulated(dt=0.01, spike_threshold=-10.0).run(5.0, every=0.01, dtype="float64")
    v = np.asarray(run.v)
    for compartment in (0, 7, 19):
        times = run.spikes["time"][run.spikes["compartment"] == compartment]
        before = int(np.flatnonzero((v[:-1, compartment] < -10) & (v[1:, compartment] >= -10))[0])
        low, high = v[before : before + 2, compartment]
        assert times[0] == pytest.approx(0.01 * (before + (-10 - low) / (high - low)), abs=1e-12)
    assert np.all(np.diff(run.spikes["time"]) >= 0)


# Edges within steps


def shifted(start: float, dt: float, method: str) -> np.ndarray:
    """All potentials from 0.08 ms after 0.4 ms on; a current of 50 pA begins at `start`."""
    fibre = axon.Axon.cylinder("1 mm", 1.0, dx=20.0)
    clamp = CurrentClamp(0.0, axon.constant(0.05, start))
    run = Simulation(fibre, HH, [clamp], dt=dt, method=method, v_init=-65.0).run(
        1.2, every=0.04, dtype="float64"
    )
    return np.asarray(run.v[12:])


@pytest.mark.parametrize("method", ["crank-nicolson", "backward-euler"])
@pytest.mark.parametrize("dt", [0.02, 0.005])
def test_within_a_step_the_response_moves_evenly_with_an_edge(dt: float, method: str) -> None:
    # nearer the ends of the step one of its neighbours is damped in its stead, by and by
    v = [shifted(0.4 + part * dt, dt, method) for part in (0.14, 0.32, 0.5, 0.68, 0.86)]
    moved = np.diff(v, axis=0)
    # what is not even about it is of second order in the shift
    assert np.abs(np.diff(moved, axis=0)).max() < 0.03 * np.abs(moved).max()


@pytest.mark.parametrize("method", ["crank-nicolson", "backward-euler"])
def test_the_response_does_not_jump_when_an_edge_crosses_a_step(method: str) -> None:
    """The nearer the edge is to the step's end on both sides, the nearer are the responses."""
    dt, at = 0.02, shifted(0.4, 0.02, method)
    for side in (-1.0, 1.0):
        away = [
            np.abs(shifted(0.4 + side * part * dt, dt, method) - at).max()
            for part in (1e-2, 1e-3, 1e-4, 1e-5)
        ]
        assert away[0] < 0.02  # mV, of a response of 9 mV
        for far, near in pairwise(away):
            assert near == pytest.approx(far / 10, rel=0.1)


def test_a_sampled_wave_acts_as_the_wave_does() -> None:
    exact = axon.sine(300.0, 400.0, start=0.123, duration=4.1)
    copy = axon.sampled(
        lambda t: 300.0 * np.sin(0.8 * np.pi * (t - 0.123)), 0.123, 4.223, 0.5, tolerance=0.01
    )
    v = [
        np.asarray(Simulation(FIBRE, HH, [CurrentClamp(0.0, w)]).run(6.0, dtype="float64").v)
        for w in (exact, copy)
    ]
    assert np.ptp(v[0]) > 10.0
    # the currents differ by 3e-5 of their peak; nothing here makes more of it than 10 times that
    assert np.abs(v[0] - v[1]).max() < 3e-4 * np.ptp(v[0])


def test_progress_is_told() -> None:
    told: list[tuple[float, float]] = []
    stimulated().run(5.0, progress=lambda fraction, t: told.append((fraction, t)))
    fractions, times = np.transpose(told)
    assert fractions[-1] == 1.0
    assert np.all(np.diff(fractions) > 0)
    np.testing.assert_allclose(times, 5.0 * fractions, rtol=1e-12)


# Copies, estimates, states that are no numbers


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
@pytest.mark.parametrize("model", ["hodgkin_huxley", "tigerholm"])
def test_copies_compute_the_same_bits(copied, model):
    """Functions can't be pickled, and are not needed."""
    fibre = axon.Axon.cylinder("1 mm", diameter=1.0, compartments=9)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.3, start=0.1, duration=0.3))
    sim = axon.Simulation(fibre, getattr(axon.models, model)(), [clamp], dt=0.01)
    whole = sim.run(2.0, every=0.01)
    sim.run(1.0)
    sim.restore(sim.state())
    other = copied(sim)
    run = other.run(1.0, every=0.01)
    np.testing.assert_array_equal(run.v, np.asarray(whole.v)[100:])
    np.testing.assert_array_equal(run.time, whole.time[100:])
    assert run.header == sim.run(1.0, every=0.01).header
    assert other.state().step == 200 and repr(other) == repr(sim)


def test_what_came_through_pickle_has_no_membrane():
    sim = pickle.loads(pickle.dumps(stimulated()))
    with pytest.raises(AttributeError, match="membrane as data only"):
        _ = sim.membrane
    with pytest.raises(AttributeError, match="no attribute 'menbrane'"):
        _ = sim.menbrane


def test_what_a_run_will_take():
    sim = stimulated(dt=0.01)
    estimate = sim.estimate(50.0, every=0.1, record=["1 mm", "2 mm"], dtype="float64")
    assert (estimate.steps, estimate.rows, estimate.sites) == (5000, 501, 2)
    assert estimate.compartments == sim.axon.n
    assert estimate.field_bytes == 501 * 2 * 8
    assert 0 < estimate.seconds < 60 and estimate.file_bytes > 1000
    assert 1e7 < estimate.memory_bytes < 1e10
    # A thousand times as long takes about that much longer, though no more was computed.
    longer = sim.estimate(50_000.0, every=0.1)
    assert longer.seconds > 20 * estimate.seconds
    assert longer.memory_bytes < 2 * estimate.memory_bytes + 3e8
    assert sim.estimate(0.0).seconds == 0


def test_a_concentration_that_runs_away_is_no_result(tmp_path):
    """Nothing depends on it, so the potential never tells."""
    pool = axon.Pool("ca", "inside", bath=1e-4, time_constant=0.001)
    calcium = axon.Channel("ca", ion="ca", gbar=1e-5, reversal=120.0)
    leak = axon.Channel("leak", gbar=3e-4, reversal=-65.0)
    ions = [axon.Ion("ca", 2, inside=1e-4, outside=2.0)]
    membrane = axon.Membrane([calcium, leak], ions=ions, pools=[pool], celsius=20.0)
    fibre = axon.Axon.cylinder("100 um", diameter=1.0, compartments=3)
    sim = axon.Simulation(fibre, membrane, dt=0.01, v_init=-65.0)
    for output in (None, tmp_path / "run.h5"):
        with pytest.raises(axon.DivergedError, match=r"cai = (nan|-?inf)") as caught:
            sim.run(20.0, output=output)
        assert caught.value.state == "cai"
    assert not (tmp_path / "run.h5").exists()


# Slow steps

TIGERHOLM = axon.models.tigerholm()
THIN = axon.Axon.cylinder(400.0, 1.0, compartments=20)


def thin(membrane: axon.Membrane = TIGERHOLM, **options: Any) -> Simulation:
    clamp = CurrentClamp(0.0, axon.pulse(0.5, start=0.1, duration=0.5))
    return Simulation(THIN, membrane, [clamp], **({"v_init": -60.0} | options))


@pytest.mark.parametrize(
    ("options", "stride"),
    [
        ({}, 5),
        ({"dt": 0.001}, 5),
        ({"dt": 0.008}, 3),  # an odd number, in 0.025 ms
        ({"dt": 0.01}, 1),
        ({"stride": 1}, 1),
        ({"stride": 7}, 7),
        ({"stride": np.int64(7)}, 7),
        ({"membrane": HH}, 1),  # where there are none
        ({"membrane": HH, "stride": 5}, 1),
        ({"changes": [axon.Change(1.0, celsius=30.0)]}, 5),
        ({"changes": [axon.Change(1.005, celsius=30.0)]}, 3),  # step 201
        ({"changes": [axon.Change(1.0, celsius=30.0), axon.Change(1.01, celsius=37.0)]}, 1),
    ],
)
def test_how_often_concentrations_move(options: dict[str, Any], stride: int) -> None:
    sim = thin(**options)
    assert sim.stride == stride
    assert sim.header(*sim.recording(1.0))["simulation"]["stride"] == stride
    assert sim.state().stride == stride


def test_concentrations_that_are_fast_move_with_every_step() -> None:
    """Those of calcium settle the faster, the thinner an axon is."""
    fibres = [axon.Axon.cylinder(100.0, diameter, compartments=2) for diameter in (2.0, 1.0, 0.2)]
    sims = [Simulation(fibre, axon.models.schild97(), v_init=-60.0) for fibre in fibres]
    assert [sim.stride for sim in sims] == [5, 3, 1]
    # Less calcium, at rest, settles faster; at 14 a millisecond, an eighth in nine microseconds.
    assert Simulation(fibres[0], axon.models.schild97()).stride == 1
    assert Simulation(fibres[0], axon.models.schild97(), dt=0.0025).stride == 3
    # One place is enough, on an axon that tapers or is cooler there.
    taper = axon.Axon.tapered(100.0, 1.0, 0.2, compartments=20)
    assert Simulation(taper, axon.models.schild97(), v_init=-60.0).stride == 1
    cooler = Simulation(
        fibres[1], axon.models.schild97(), celsius=lambda x: 37.0 - x / 50, v_init=-60.0
    )
    assert cooler.stride == 3
    assert Simulation(fibres[2], axon.models.schild97(), stride=5).stride == 5


GATE = axon.Gate("s", 2, inf=lambda v: 1 / (1 + np.exp(-(v + 20) / 9)), tau=lambda v: 0.5)


def entering(
    g: float, begin: float, pump: Any, density: Any = 1.0, gate: Any = GATE
) -> axon.Membrane:
    """Calcium that enters, by Goldman, Hodgkin and Katz, and is pumped out."""

    def current(g: Any, v: Any, cai: Any, cao: Any, celsius: Any) -> Any:
        return g * axon.ghk(v, cai, cao, 2, celsius)

    return axon.Membrane(
        [axon.Channel("ca", g, gates=[gate], ion={"ca": current}), axon.Channel("l", 1e-4, -65.0)],
        celsius=37.0,
        ions=[axon.Ion("ca", 2, inside=begin, outside=2.0)],
        pools=[axon.Pool("ca", "inside")],
        pumps=[axon.Pump("p", pump, {"ca": 1}, density=density)],
    )


def hill(cai: Any) -> Any:
    return 0.08 * cai**4 / (cai**4 + 5e-4**4)


def slow_pump(cai: Any) -> Any:
    return 1e-3 * (cai - 1e-4) / (cai + 1e-3)


TINY = axon.Axon.cylinder(100.0, 0.2, compartments=1)


def test_a_pump_that_an_impulse_makes_steep_is_asked_before() -> None:
    """It is flat where calcium begins, and eight times the bound at ten times as much."""
    pulse = CurrentClamp(0.0, axon.pulse(0.1, start=0.5, duration=0.5))
    own, every, fifth = (
        Simulation(TINY, entering(5e-5, 5e-5, hill), [pulse], v_init=-65.0, stride=stride)
        for stride in (None, 1, 5)
    )
    assert own.stride == 1
    np.testing.assert_array_equal(own.run(4.0).final["cai"], every.run(4.0).final["cai"])
    with pytest.raises(axon.DivergedError, match=r"cai = -0\.\d+ at t = 4 ms.*stride=1"):
        fifth.run(4.0)


def test_a_pump_is_asked_at_rest_as_well_as_where_calcium_is_said_to_begin() -> None:
    membrane = axon.Membrane(
        [axon.Channel("leak", 1e-4, -65.0), axon.Channel("ca", 3e-5, ion="ca")],
        celsius=37.0,
        ions=[axon.Ion("ca", 2, inside=1e-3, outside=2.0)],
        pools=[axon.Pool("ca", "inside")],
        pumps=[axon.Pump("p", lambda cai: 0.012 * cai / (cai + 5e-5), {"ca": 1})],
    )
    sim = Simulation(TINY, membrane)
    assert sim.stride == 1
    assert sim.run(5.0).final["cai"] == pytest.approx(5.3e-5, rel=1e-2)
    with pytest.raises(axon.DivergedError):
        Simulation(TINY, membrane, stride=5).run(5.0)


@pytest.mark.parametrize("place", [3, 400, 996])
def test_one_fast_compartment_of_a_thousand_is_enough(place: int) -> None:
    axons = axon.Axon.tapered(1000.0, 1.0, 0.5, compartments=1000)
    density = np.ones(1000)
    assert Simulation(axons, entering(1e-6, 1e-4, slow_pump, density), v_init=-65.0).stride == 5
    density[place] = 400.0
    assert Simulation(axons, entering(1e-6, 1e-4, slow_pump, density), v_init=-65.0).stride == 1


def test_where_it_cannot_be_asked_concentrations_move_with_every_step() -> None:
    """At +20 mV this scheme has no single steady state; the other works with one dimension."""
    rates = {
        ("u", "b"): lambda v: np.where(v < 0, 0.1, 0.0),
        ("b", "u"): lambda v: np.where(v < 0, 0.2, 0.0),
    }
    scheme = axon.Markov("s", rates, open="u")
    assert Simulation(TINY, entering(1e-7, 1e-4, slow_pump, gate=scheme), v_init=-65.0).stride == 1
    flat = axon.Gate("s", inf=lambda v: np.array([float(u > 0) for u in v]), tau=lambda v: 0.5)
    assert Simulation(TINY, entering(1e-7, 1e-4, slow_pump, gate=flat), v_init=-65.0).stride == 5


SLOW = (
    "h.nf", "h.ns", "kf.h", "ks.nf", "ks.ns",
    "nav17.s", "nav18.s", "nav18.u", "nav19.h", "nav19.s",
)  # fmt: skip


def slow_gates(sim: Simulation) -> tuple[str, ...]:
    """Names of gates in tables that only slow steps look into."""
    program = sim._program
    found = (program.states[k] for table in program.tables if table.slow for k in table.gates)
    return tuple(sorted(found))


def test_gates_that_are_slow_move_with_slow_steps() -> None:
    """Those whose time constant is 0.75 ms or more from -100 to 60 mV; not where V is as fast as
    the steps are, nor where these take more than 0.025 ms."""
    sim = thin()
    v = np.linspace(-100.0, 60.0, 161)
    seen = TIGERHOLM.quantities(v, 37.0)
    taus = {
        f"{channel.name}.{gate.name}": (1.0 / gate.at(seen)[1]).min()
        for channel, gate in TIGERHOLM.gates
    }
    assert slow_gates(sim) == tuple(sorted(name for name, tau in taus.items() if tau >= 0.75))
    assert slow_gates(sim) == SLOW
    assert slow_gates(thin(stride=1)) == ()
    assert slow_gates(thin(stride=7)) == ()
    assert slow_gates(thin(dt=0.003, stride=7)) == SLOW


@pytest.mark.parametrize(
    ("waveforms", "smooth"),
    [
        ([], True),
        ([axon.pulse(0.1, 1.0, 0.01), axon.pulse(0.1, 1.02, 0.01)], True),
        ([axon.sine(0.1, 5000.0)], True),  # eight slow steps
        ([axon.sine(0.1, 5100.0)], False),
        ([axon.pulse(0.1, 1.0, 0.01), axon.sine(0.1, 20e3)], False),
        ([axon.pulse(0.1, 1.0 + 0.1 * k, 0.05) for k in range(3)], True),
        ([axon.pulse(0.1, 1.0 + 0.09 * k, 0.05) for k in range(3)], False),
        ([axon.noise(1.0, interval=0.05, seed=1)], False),
    ],
)
def test_slow_gates_are_fast_where_the_potential_is(
    waveforms: list[axon.Waveform], smooth: bool
) -> None:
    clamps = [CurrentClamp(0.0, waveform) for waveform in waveforms]
    assert slow_gates(thin().with_stimuli(clamps)) == (SLOW if smooth else ())


@pytest.mark.parametrize(("apart", "smooth"), [(0.1, True), (0.075, False)])
def test_slow_gates_are_fast_where_the_membrane_is(apart: float, smooth: bool) -> None:
    changes = [axon.Change(1.0 + k * apart, TIGERHOLM.scaled(kdr=float(k % 2))) for k in range(3)]
    sim = thin(changes=changes)
    assert (sim.stride, slow_gates(sim)) == (5, SLOW if smooth else ())


@pytest.mark.parametrize("through_pickle", [False, True])
def test_other_stimuli_have_the_program_that_is_theirs(through_pickle: bool) -> None:
    sim = thin()
    if through_pickle:
        sim = pickle.loads(pickle.dumps(sim))
    carrier = CurrentClamp(0.0, axon.sine(2.0, 20e3))
    alone = Simulation(THIN, TIGERHOLM, [carrier], v_init=-60.0).run(1.0, dtype="float64")
    run = sim.with_stimuli([carrier]).run(1.0, dtype="float64")
    np.testing.assert_array_equal(run.v, alone.v)
    again = sim.with_stimuli([carrier]).with_stimuli(sim.stimuli).run(1.0, dtype="float64")
    np.testing.assert_array_equal(again.v, thin().run(1.0, dtype="float64").v)


def test_under_a_voltage_clamp_concentrations_move_with_every_step() -> None:
    clamp = axon.VoltageClamp(0.0, axon.constant(0.0), resistance="1 Mohm")
    assert Simulation(THIN, TIGERHOLM, [clamp], v_init=-60.0).stride == 1
    assert Simulation(THIN, TIGERHOLM, [clamp], v_init=-60.0, stride=5).stride == 5


@pytest.mark.parametrize("stride", [0, -1, 2, 10_001, 2**40 + 1, 5.0, True, "5"])
def test_strides_that_are_none(stride: Any) -> None:
    with pytest.raises(SimulationError, match=r"stride=.*give an odd number of steps up to 9999"):
        thin(stride=stride)


@pytest.mark.parametrize("bound", [None, 0.0, 1e-6, 0.5, 1.0])
def test_a_buffer_is_as_fast_however_much_is_bound_at_first(bound: float | None) -> None:
    buffer = axon.Buffer("fura", 0.01, 100.0, 0.2, initial=bound)
    ca = axon.Ion("ca", 2, inside=1e-4, outside=2.0)
    pool = axon.Pool("ca", "inside", buffers=[buffer])
    membrane = axon.Membrane(
        [axon.Channel("cat", 1e-6, ion="ca"), axon.Channel("leak", 1e-4, -60.0)],
        ions=[ca],
        pools=[pool],
    )
    assert thin(membrane).stride == 5


@pytest.mark.parametrize("stride", [0, -1, 2, 5.0, True, "5"])
def test_impossible_strides_are_refused(stride: Any) -> None:
    with pytest.raises(SimulationError, match=r"stride=.*; give an odd number of steps"):
        thin(stride=stride)


def test_a_change_between_two_slow_steps_is_refused() -> None:
    with pytest.raises(SimulationError, match=r"stride=5: the change at 1\.01 ms .* divides 202"):
        thin(stride=5, changes=[axon.Change(1.01, celsius=30.0)])


def test_a_run_goes_on_between_two_slow_steps() -> None:
    whole = thin().run(1.0, every=0.005, dtype="float64")
    parts, sim = [], thin()
    for end in (0.005, 0.015, 0.02, 0.085, 1.0):
        parts.append(sim.run(end - sim.state().time, every=0.005, dtype="float64"))
        sim.restore(sim.state())
    rows = [np.asarray(part.v)[k > 0 :] for k, part in enumerate(parts)]
    np.testing.assert_array_equal(np.concatenate(rows), whole.v)
    for name, values in whole.final.items():
        np.testing.assert_array_equal(parts[-1].final[name], values, err_msg=name)


def test_a_state_is_of_one_stride() -> None:
    sim = thin()
    with pytest.raises(SimulationError, match="state has stride=5, and the simulation stride=1"):
        thin(stride=1).restore(sim.state())
    fast = Simulation(FIBRE, HH, stride=5)  # nothing of it moves so
    Simulation(FIBRE, HH).restore(fast.state())


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which 300 MB are free."""
    monkeypatch.setattr("axon.machine.memory", lambda: 300_000_000)


@pytest.mark.usefixtures("little_memory")
def test_what_memory_cannot_hold_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    fibre = axon.Axon.cylinder(1000, diameter=1.0, compartments=1000)
    sim = Simulation(fibre, axon.models.passive(), dt=0.01)
    with pytest.raises(
        SimulationError, match=r"would take 0\.4.* GB of memory, and 0\.3 GB are free; give output="
    ):
        sim.run(1000.0, every=0.01)
    # Less of it, or all of it in a file.
    assert sim.run(1000.0, record=[0.0], every=10.0).v.shape == (101, 1)
    with pytest.raises(StoppedError):
        sim.run(1000.0, every=0.01, output=tmp_path / "all.h5", stop=lambda: "enough")


@pytest.mark.usefixtures("little_memory")
def test_a_cable_that_memory_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        axon.GeometryError, match=r"2000000 compartments would take 0\.54 GB .* 0\.3 GB are free"
    ):
        axon.Axon.cylinder(1000, diameter=1.0, compartments=2_000_000)
    branch = axon.Axon.cylinder(1000, diameter=1.0, compartments=600_000)
    with pytest.raises(axon.GeometryError, match=r"1200001 compartments would take .* into fewer"):
        branch.branch(branch, at=1000)
    fibre = axon.Axon.cylinder(1000, diameter=1.0, compartments=1_100_000)
    monkeypatch.setattr("axon.machine.memory", lambda: 200_000_000)
    sim = Simulation(fibre, axon.models.hodgkin_huxley(), dt=0.01)
    with pytest.raises(SimulationError, match=r"GB are free; cut the axon into fewer compartments"):
        sim.run(0.1, record=())
