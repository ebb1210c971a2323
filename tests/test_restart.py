"""Runs that are interrupted and go on: to the last byte what they would have been."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import axon
from axon import (
    CurrentClamp,
    DivergedError,
    RunFileError,
    Simulation,
    SimulationError,
    StoppedError,
    VoltageClamp,
    equations,
    restart,
    simulation,
)
from axon._kernel import instruction_sets
from axon.segments import chain, parts_of

N = 12


class After:
    """Stops a run after so many blocks."""

    def __init__(self, blocks: int) -> None:
        self.left = blocks

    def __call__(self) -> str:
        self.left -= 1
        return "" if self.left >= 0 else "enough"


@contextlib.contextmanager
def blocks_of(steps: int) -> Iterator[None]:
    """Blocks of so many steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equations, "FIRST_BLOCK", 10**12)
        patch.setattr(equations, "BLOCK_SECONDS", 10.0**9)
        patch.setattr(equations, "MAX_BLOCK_STEPS", steps)
        yield


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def on_disk(folder: Path) -> dict[str, bytes | None]:
    """All there is in a folder; the lock is no part of a run."""
    paths = sorted(path for path in folder.rglob("*") if path.name != "lock")
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in paths
    }


# Studies of all sorts


def scheme() -> axon.Membrane:
    """A Markov scheme, by potential and a concentration that moves and diffuses."""
    markov = axon.Markov(
        "s",
        {
            ("c", "o"): lambda v: np.exp(v / 40),
            ("o", "c"): lambda v, nai: 1.0 + 0.01 * nai + 0.0 * v,
            ("o", "i"): lambda v: 0.1 * np.exp(v / 60),
            ("i", "c"): lambda v: 0.1 + 0.0 * v,
        },
        open="o",
    )
    return axon.Membrane(
        [axon.Channel("leak", 1e-4, -65.0), axon.Channel("na", 1e-3, ion="na", gates=[markov])],
        ions=[axon.Ion("na", 1, 10.0, 140.0)],
        pools=[axon.Pool("na", "inside", diffusion=1.33)],
    )


MODELS: dict[str, Callable[[], axon.Membrane]] = {
    "hodgkin_huxley": axon.models.hodgkin_huxley,
    "passive": axon.models.passive,
    "schild94": axon.models.schild94,
    "tigerholm": axon.models.tigerholm,
    "scheme": scheme,
}
STIMULI: dict[str, Callable[[], list[CurrentClamp | VoltageClamp]]] = {
    "none": list,
    "pulse": lambda: [CurrentClamp(0.0, axon.pulse(0.5, 0.1, 0.5))],
    "train": lambda: [CurrentClamp(0.0, axon.train(0.5, 0.1003, 0.2, interval=0.7, count=9))],
    "sine": lambda: [CurrentClamp(500.0, axon.sine(0.3, 700.0, start=0.05))],
    "waves": lambda: [
        CurrentClamp(0.0, axon.carrier(0.3, 9e3, [0, 1.5, 2.5], [0, 1, 0], start=0.0333)),
        CurrentClamp(0.0, axon.chirp(0.3, 0.0, 2e3, start=0.123, duration=2.2)),
        CurrentClamp(500.0, axon.noise(0.2, interval=0.0123, seed=5)),
        CurrentClamp(900.0, axon.sampled(lambda t: 0.1 * t, 0.123, 2.345, 0.3)),
    ],
    "samples": lambda: [
        CurrentClamp(0.0, axon.samples([0.0, 0.5, 0.5, 2.0], [0.0, 0.8, -0.2, 0.1])),
        CurrentClamp(1000.0, axon.pulse(0.5, 0.2, 0.3)),
    ],
    "clamp": lambda: [
        CurrentClamp(0.0, axon.pulse(0.5, 0.1, 0.5)),
        VoltageClamp(500.0, axon.sine(20.0, 900.0), resistance=50.0, start=0.3, stop=2.0),
    ],
}
ELECTRODES = [
    axon.PointSource(400.0, 90.0, 0.0),
    axon.PointSource(300.0, 0.0, 50.0) - axon.PointSource(800.0, 0.0, 50.0),
]


def blocked(membrane: axon.Membrane) -> axon.Membrane:
    """Half of it."""
    return membrane.scaled(**{membrane.channels[0].name: lambda x: np.where(x < 500.0, 0.1, 1.0)})


CHANGED: dict[str, Callable[[axon.Membrane, float], list[axon.Change]]] = {
    "never": lambda membrane, dt: [],
    "blocked": lambda membrane, dt: [
        axon.Change(80 * dt, blocked(membrane)),
        axon.Change(260 * dt, membrane),
    ],
    "cooled": lambda membrane, dt: [
        axon.Change(100 * dt, celsius=lambda x: 15.0 + x / 100),
        axon.Change(101 * dt, blocked(membrane)),
        axon.Change(250 * dt, celsius=22.0),
    ],
}
RECORDED: dict[str, list[float] | None] = {"all": None, "some": [700.0, 100.0], "none": []}


class Study(NamedTuple):
    """What a run is made from."""

    model: str = "hodgkin_huxley"
    tapered: bool = False
    warmer: bool = False
    stimulus: str = "pulse"
    method: str = "crank-nicolson"
    dt: float = 0.01
    steps: int = 300
    every: int = 1
    record: str = "all"
    dtype: str = "float32"
    changed: str = "never"
    electrodes: bool = False

    def simulation(self) -> Simulation:
        return simulated(
            self.model, self.tapered, self.warmer, self.stimulus, self.method, self.dt, self.changed
        )

    def run(self, path: Path | None = None, **options: Any) -> axon.Run:
        return self.simulation().run(
            self.steps * self.dt,
            output=path,
            every=self.every * self.dt,
            record=RECORDED[self.record],
            dtype=self.dtype,
            electrodes=ELECTRODES if self.electrodes else (),
            **options,
        )


@lru_cache(maxsize=64)
def simulated(
    model: str, tapered: bool, warmer: bool, stimulus: str, method: str, dt: float, changed: str
) -> Simulation:
    n = N if model == "hodgkin_huxley" else 17
    fibre = axon.Axon.cylinder(1000.0, 1.0, compartments=n)
    if tapered:
        fibre = axon.Axon.tapered(1000.0, 1.5, 0.7, compartments=n)
    celsius = np.linspace(20.0, 30.0, n) if warmer else 25.0
    membrane = MODELS[model]()
    return Simulation(
        fibre,
        membrane,
        STIMULI[stimulus](),
        celsius=celsius,
        dt=dt,
        v_init=-60.0,
        method=method,
        changes=CHANGED[changed](membrane, dt),
    )


studies = st.builds(
    Study,
    model=st.sampled_from(sorted(MODELS)),
    tapered=st.booleans(),
    warmer=st.booleans(),
    stimulus=st.sampled_from(sorted(STIMULI)),
    method=st.sampled_from(equations.METHODS),
    dt=st.sampled_from([0.01, 0.0125, 0.02]),
    steps=st.integers(1, 600),
    every=st.integers(1, 7),
    record=st.sampled_from(sorted(RECORDED)),
    dtype=st.sampled_from(["float32", "float64"]),
    changed=st.sampled_from(sorted(CHANGED)),
    electrodes=st.booleans(),
)


@pytest.mark.parametrize("step", [99, 100, 101, 102, 249, 250, 251])
def test_a_stop_at_a_change(tmp_path: Path, step: int) -> None:
    study = Study("tigerholm", changed="cooled", dtype="float64")
    study.run(tmp_path / "whole.h5")
    stop_at(study, tmp_path / "run.h5", step)
    axon.resume(tmp_path / "run.h5")
    assert sha(tmp_path / "run.h5") == sha(tmp_path / "whole.h5")


class Stretch(NamedTuple):
    """A part of a run between two interruptions."""

    block: int
    """Steps in a block."""
    blocks: int
    """After which it is interrupted."""
    commit_every: float
    """ms"""
    alone: bool
    """Whether it goes on from its files alone."""


stretches = st.builds(
    Stretch,
    block=st.integers(1, 150),
    blocks=st.integers(0, 6),
    commit_every=st.sampled_from([0.0, 1e9]),
    alone=st.booleans(),
)
short = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what makes files outlive a loss of power, and takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def go_on(study: Study, path: Path, stretch: Stretch, until: float | None = None) -> None:
    stop = After(stretch.blocks)
    with contextlib.suppress(StoppedError), blocks_of(stretch.block):
        if until is not None:
            axon.resume(path, until=until, stop=stop)
        elif stretch.alone and (path.exists() or parts_of(path).exists()):
            axon.resume(path, stop=stop)
        else:
            study.run(path, resume=True, commit_every=stretch.commit_every, stop=stop)


@short
@given(study=studies, parts=st.lists(stretches, min_size=1, max_size=5), block=st.integers(1, 999))
def test_an_interrupted_run_has_the_bytes_of_one_that_was_not(
    unsynced: None,
    tmp_path_factory: pytest.TempPathFactory,
    study: Study,
    parts: list[Stretch],
    block: int,
) -> None:
    folder = tmp_path_factory.mktemp("run")
    with blocks_of(block):
        study.run(folder / "whole.h5")
    path = folder / "run.h5"
    for stretch in parts:
        go_on(study, path, stretch)
    assert axon.resume(path).complete
    assert sha(path) == sha(folder / "whole.h5")
    assert not parts_of(path).exists()


@settings(short, max_examples=25)
@given(
    study=studies,
    parts=st.lists(stretches, max_size=2),
    more=st.integers(1, 400),
    late=st.lists(stretches, max_size=2),
)
def test_a_run_made_longer_has_the_bytes_of_a_long_one(
    unsynced: None,
    tmp_path_factory: pytest.TempPathFactory,
    study: Study,
    parts: list[Stretch],
    more: int,
    late: list[Stretch],
) -> None:
    folder = tmp_path_factory.mktemp("run")
    longer = study._replace(steps=study.steps + more)
    longer.run(folder / "whole.h5")
    path, until = folder / "run.h5", longer.steps * study.dt
    for stretch in parts:
        go_on(study, path, stretch)
    if not parts:
        study.run(path)
    for k, stretch in enumerate(late):
        go_on(longer, path, stretch, None if k else until)
    assert axon.resume(path, until=until).complete
    assert sha(path) == sha(folder / "whole.h5")


@settings(short, max_examples=25)
@given(study=studies, at=st.integers(0, 600))
def test_a_restored_simulation_goes_on_to_the_bit(study: Study, at: int) -> None:
    assume(at <= study.steps)
    sim = study.simulation()
    whole = study.run()
    end = sim.state()
    sim._start = sim._stands = None
    try:
        study._replace(steps=at).run()
        middle = sim.state()
        assert middle.step == at and middle.time == at * study.dt
        sim.restore(middle)
        with blocks_of(37):
            rest = study._replace(steps=study.steps - at).run()
    finally:
        sim._start = None
    same_state(sim.state(), end)
    first = -(-at // study.every)
    np.testing.assert_array_equal(rest.time, whole.time[first:])
    np.testing.assert_array_equal(rest.v, whole.v[first:])
    np.testing.assert_array_equal(rest.electrodes, whole.electrodes[first:])
    # A crossing at the very beginning of a step may be rounded to either side of it.
    late = whole.spikes[whole.spikes["time"] > at * study.dt * (1 - 1e-12)]
    np.testing.assert_array_equal(rest.spikes, late)
    same_final(rest.final, whole.final)


def same_state(a: axon.State, b: axon.State) -> None:
    assert (a.dt, a.step, a.saturated_steps) == (b.dt, b.step, b.saturated_steps)
    np.testing.assert_array_equal(a.v, b.v)
    same_final(a.states, b.states)


def same_final(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


# From the files of a run alone


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that was stopped after 140 of 300 steps."""
    path = tmp_path / "run.h5"
    stop_at(Study(), path, 140)
    return path


def stop_at(study: Study, path: Path, steps: int) -> StoppedError:
    with blocks_of(steps), pytest.raises(StoppedError) as caught:
        study.run(path, stop=After(1))
    return caught.value


def test_what_a_stop_says(tmp_path: Path) -> None:
    error = stop_at(Study(), tmp_path / "run.h5", 140)
    assert (error.reason, error.time) == ("enough", pytest.approx(1.4))
    assert error.path == str(tmp_path / "run.h5") and error.path in str(error)
    run = axon.open_run(error.path)
    assert not run.complete and len(run.v) == 141


def in_a_new_process(path: Path, **environment: str) -> None:
    script = f"""
        import axon, sys
        run = axon.resume({str(path)!r})
        assert run.complete
        assert "hypothesis" not in sys.modules
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        cwd=path.parent,
        env=os.environ | environment,
    )


def test_a_new_process_knows_nothing_of_the_functions(tmp_path: Path) -> None:
    """Rates are functions of this file, which the other process never sees."""
    study = Study(model="scheme", warmer=True, tapered=True, changed="cooled")
    study.run(tmp_path / "whole.h5")
    stop_at(study, tmp_path / "run.h5", 130)
    in_a_new_process(tmp_path / "run.h5")
    assert sha(tmp_path / "run.h5") == sha(tmp_path / "whole.h5")


def test_a_membrane_of_lambdas(tmp_path: Path) -> None:
    membrane = axon.Membrane(
        [
            axon.Channel(
                "k",
                lambda x: 1e-3 * (1 + x / 1000),
                -90.0,
                gates=[
                    axon.Gate(
                        "n", inf=lambda v: 1 / (1 + np.exp(-(v + 40) / 9)), tau=lambda v: 2 + 0 * v
                    )
                ],
            ),
            axon.Channel("leak", 1e-4, lambda x: -65.0 + 0.001 * x),
        ]
    )
    fibre = axon.Axon.cylinder(1000.0, 1.0, compartments=N)
    sim = Simulation(fibre, membrane, STIMULI["train"](), celsius=lambda x: 20 + x / 100, dt=0.01)
    sim.run(4.0, output=tmp_path / "whole.h5")
    with blocks_of(111), pytest.raises(StoppedError):
        sim.run(4.0, output=tmp_path / "run.h5", stop=After(2))
    in_a_new_process(tmp_path / "run.h5")
    assert sha(tmp_path / "run.h5") == sha(tmp_path / "whole.h5")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    run = Study().run(path)
    before, when = on_disk(tmp_path), path.stat().st_mtime_ns
    again = axon.resume(path)
    np.testing.assert_array_equal(again.v, run.v)
    assert Study().run(path, resume=True).complete
    assert axon.resume(path, until=3.0).complete
    assert on_disk(tmp_path) == before and path.stat().st_mtime_ns == when


def test_where_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="there is no run"):
        axon.resume(tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())
    with pytest.raises(SimulationError, match="no output to go on with"):
        Study().run(resume=True)
    assert Study().run(tmp_path / "run.h5", resume=True).complete


def test_the_folder_is_as_good_a_name_as_the_file(stopped: Path) -> None:
    Study().run(stopped.with_name("whole.h5"))
    axon.resume(parts_of(stopped))
    assert sha(stopped) == sha(stopped.with_name("whole.h5"))


def test_a_run_of_no_steps(tmp_path: Path) -> None:
    run = Study(steps=0).run(tmp_path / "run.h5")
    assert run.complete and len(run.v) == 1
    Study().run(tmp_path / "whole.h5")
    axon.resume(tmp_path / "run.h5", until=3.0)
    assert sha(tmp_path / "run.h5") == sha(tmp_path / "whole.h5")


def test_a_run_behind_a_link_is_made_longer_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Study(steps=0).run(tmp_path / "data" / "r.h5")
    (tmp_path / "run.h5").symlink_to("data/r.h5")
    Study().run(tmp_path / "whole.h5")
    assert axon.resume(tmp_path / "run.h5", until=3.0).complete
    assert (tmp_path / "run.h5").is_symlink() and not parts_of(tmp_path / "run.h5").exists()
    assert sha(tmp_path / "data" / "r.h5") == sha(tmp_path / "whole.h5")


def test_a_restored_run_goes_on_from_its_files_too(tmp_path: Path) -> None:
    """It begins at no row, and not at time zero."""
    study = Study(every=7)
    sim = Simulation(*parts_of_simulation(study), celsius=25.0, dt=0.01, v_init=-60.0)
    sim.run(1.0)
    state = sim.state()
    sim.restore(state)
    whole = sim.run(4.0, output=tmp_path / "whole.h5", every=0.07)
    with blocks_of(50), pytest.raises(StoppedError):
        sim.run(4.0, output=tmp_path / "run.h5", every=0.07, stop=After(3))
    run = axon.resume(tmp_path / "run.h5")
    assert run.time[0] == pytest.approx(1.05) and run.duration == pytest.approx(4.0)
    np.testing.assert_array_equal(run.v, whole.v)
    assert sha(tmp_path / "run.h5") == sha(tmp_path / "whole.h5")
    sim.run(5.0, output=tmp_path / "long.h5", every=0.07)
    axon.resume(tmp_path / "run.h5", until=6.0)
    assert sha(tmp_path / "run.h5") == sha(tmp_path / "long.h5")
    # The same duration, but from another beginning.
    sim.restore(replace(state, step=99))
    with pytest.raises(SimulationError, match=r"simulation\.begin: 100 there, 99 now"):
        sim.run(5.0, output=tmp_path / "run.h5", every=0.07, resume=True)


def parts_of_simulation(study: Study) -> tuple[axon.Axon, axon.Membrane, Any]:
    sim = study.simulation()
    return sim.axon, sim.membrane, sim.stimuli


def test_progress_goes_on_from_where_it_was(stopped: Path) -> None:
    told: list[tuple[float, float]] = []
    with blocks_of(40):
        axon.resume(stopped, progress=lambda done, t: told.append((done, t)))
    done, times = np.transpose(told)
    np.testing.assert_allclose(times, [1.4, 1.8, 2.2, 2.6, 3.0])
    np.testing.assert_allclose(done, times / 3.0)


# What is refused


def refused(folder: Path, error: type[axon.AxonError], act: Callable[[], Any], *words: str) -> None:
    """It is refused by these words, and nothing is touched."""
    before = on_disk(folder)
    with pytest.raises(error) as caught:
        act()
    for word in words:
        assert word in str(caught.value)
    assert on_disk(folder) == before


CHANGES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "dt": ({"dt": 0.02}, ("simulation.dt: 0.01 there, 0.02 now",)),
    "every": ({"every": 2}, ("recording.every_steps: 1 there, 2 now",)),
    "dtype": ({"dtype": "float64"}, ("recording.dtype: 'float32' there, 'float64' now",)),
    "places": ({"record": "some"}, ("differ", "record")),
    "method": (
        {"method": "backward-euler"},
        ("simulation.method: 'crank-nicolson' there, 'backward-euler' now",),
    ),
    "celsius": ({"warmer": True}, ("simulation.celsius: 25.0 there, [20.0", "program_")),
    "geometry": ({"tapered": True}, ("axon.", "the membrane or the axon: area")),
    "membrane": ({"model": "passive"}, ("membrane", "program_names")),
    "stimuli": ({"stimulus": "none"}, ("stimuli: [", "there, [] now")),
    "stimulus": ({"stimulus": "sine"}, ("stimuli[0].waveform", "'pulse' there, 'sine' now")),
    "electrodes": ({"electrodes": True}, ("recording.electrodes", "electrode_weight")),
    "shorter": ({"steps": 299}, ("the duration: 3 ms there, 2.99 ms now",)),
}


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_another_run_is_refused(stopped: Path, change: str, finished: bool) -> None:
    if finished:
        axon.resume(stopped)
    changes, words = CHANGES[change]
    study = Study()._replace(**changes)
    refused(
        stopped.parent, SimulationError, lambda: study.run(stopped, resume=True), "differ", *words
    )


def test_places_in_another_order_are_another_run(tmp_path: Path) -> None:
    sim = Study().simulation()
    sim.run(1.0, output=tmp_path / "run.h5", record=[100.0, 700.0])
    refused(
        tmp_path,
        SimulationError,
        lambda: sim.run(1.0, output=tmp_path / "run.h5", record=[700.0, 100.0], resume=True),
        "differ",
    )


def gated(inf: Callable[[Any], Any], gbar: float = 1e-3) -> Simulation:
    gate = axon.Gate("n", inf=inf, tau=lambda v: 2.0 + 0.0 * v)
    membrane = axon.Membrane([axon.Channel("k", gbar, -90.0, gates=[gate])])
    return Simulation(Study().simulation().axon, membrane, dt=0.01, v_init=-60.0)


def opening(middle: float) -> Callable[[Any], Any]:
    return lambda v: 1 / (1 + np.exp(-(v - middle) / 9))


def test_a_constant_of_the_membrane(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    gated(opening(-40.0)).run(1.0, output=path)
    assert gated(opening(-40.0)).run(1.0, output=path, resume=True).complete
    other = gated(opening(-40.0), gbar=2e-3)
    refused(
        tmp_path,
        SimulationError,
        lambda: other.run(1.0, output=path, resume=True),
        "gbar: 0.001 there, 0.002 now",
    )


def test_a_rate_function_that_differs_in_its_code_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    gated(opening(-40.0)).run(1.0, output=path)
    for other in (gated(opening(-39.0)), gated(lambda v: 1 / (1 + np.exp(-(v + 40.0) / 9.5)))):
        refused(
            tmp_path,
            SimulationError,
            lambda other=other: other.run(1.0, output=path, resume=True),
            "the membrane or the axon: program_table0_blocks",
        )


def test_an_earlier_end(stopped: Path) -> None:
    def earlier(until: Any) -> Callable[[], Any]:
        return lambda: axon.resume(stopped, until=until)

    folder = stopped.parent
    refused(folder, SimulationError, earlier(2.9), "until=2.9 ms", "3 ms")
    refused(folder, SimulationError, earlier(3.005), "no whole number of steps", "3 or 3.01")
    refused(folder, SimulationError, earlier("3 mV"), "until")
    refused(folder, SimulationError, earlier(-1.0), "until")
    axon.resume(stopped)
    refused(folder, SimulationError, earlier(2.9), "until=2.9 ms", "3 ms")


def test_a_longer_run_is_the_same_run(stopped: Path) -> None:
    longer = Study(steps=500)
    longer.run(stopped.with_name("whole.h5"))
    longer.run(stopped, resume=True)
    assert sha(stopped) == sha(stopped.with_name("whole.h5"))


@pytest.mark.parametrize(("finished", "until"), [(False, None), (False, 9.0), (True, 9.0)])
def test_an_axon_whose_results_differ(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, finished: bool, until: float | None
) -> None:
    if finished:
        axon.resume(stopped)
    monkeypatch.setattr(restart, "RESULTS", restart.RESULTS + 1)
    monkeypatch.setattr(simulation, "RESULTS", restart.RESULTS)
    words = f"axon {axon.__version__} has begun it", "results differ"
    folder = stopped.parent
    refused(folder, RunFileError, lambda: axon.resume(stopped, until=until), *words)
    refused(
        folder,
        SimulationError,
        lambda: Study().run(stopped, resume=True),
        f"simulation.results: {restart.RESULTS - 1} there, {restart.RESULTS} now",
    )


needs_avx2 = pytest.mark.skipif(
    not instruction_sets().get("avx2", (False,))[0], reason="this machine lacks AVX2"
)
needs_avx512 = pytest.mark.skipif(
    not instruction_sets().get("avx512", (False,))[0], reason="this machine lacks AVX-512"
)


@needs_avx2
@pytest.mark.parametrize(("there", "here"), [("avx2", "generic"), ("generic", "avx2")])
def test_a_machine_that_rounds_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, here: str
) -> None:
    path = tmp_path / "run.h5"
    monkeypatch.setenv("AXON_ISA", there)
    stop_at(Study(), path, 140)
    monkeypatch.setenv("AXON_ISA", here)
    words = ("without" if there == "generic" else "with", "fused multiply-adds", "AXON_ISA")
    refused(tmp_path, RunFileError, lambda: axon.resume(path), *words)
    told = f"simulation.fused: {there != 'generic'} there, {here != 'generic'} now"
    refused(tmp_path, SimulationError, lambda: Study().run(path, resume=True), told)
    monkeypatch.setenv("AXON_ISA", there)
    assert axon.resume(path).complete
    monkeypatch.setenv("AXON_ISA", here)
    refused(tmp_path, RunFileError, lambda: axon.resume(path, until=9.0), *words)
    assert axon.resume(path).complete  # there is nothing to compute


@needs_avx512
@pytest.mark.parametrize(
    "study",
    [
        Study(),
        Study("tigerholm", True, True),
        Study("scheme", changed="cooled"),
        Study(stimulus="clamp", record="none", electrodes=True),
        Study(stimulus="waves", electrodes=True),
    ],
)
def test_wide_and_narrow_vectors_give_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: Study
) -> None:
    for isa, other in (("avx2", "avx512"), ("avx512", "avx2")):
        monkeypatch.setenv("AXON_ISA", isa)
        study.run(tmp_path / f"{isa}.h5")
        stop_at(study, tmp_path / f"mixed-{isa}.h5", 140)
        monkeypatch.setenv("AXON_ISA", other)
        axon.resume(tmp_path / f"mixed-{isa}.h5")
    assert len({sha(path) for path in tmp_path.glob("*.h5")}) == 1


# A simulation with a state


def test_a_stop_in_memory_leaves_the_state() -> None:
    sim = Simulation(*parts_of_simulation(Study()), celsius=25.0, dt=0.01, v_init=-60.0)
    whole = sim.run(3.0, every=0.01, dtype="float64")
    end = sim.state()
    with blocks_of(70), pytest.raises(StoppedError) as caught:
        sim.run(3.0, stop=After(2))
    assert caught.value.path is None and "axon resume" not in str(caught.value)
    state = sim.state()
    assert state.step == 140 and state.time == caught.value.time
    np.testing.assert_array_equal(state.v, whole.v[140])
    sim.restore(state)
    rest = sim.run(1.6, every=0.01, dtype="float64")
    np.testing.assert_array_equal(rest.v, whole.v[140:])
    np.testing.assert_array_equal(rest.time, whole.time[140:])
    same_state(sim.state(), end)


def test_a_state_is_a_copy() -> None:
    sim = Simulation(*parts_of_simulation(Study()), dt=0.01, v_init=-60.0)
    sim.run(1.0)
    state = sim.state()
    before = state.v.copy()
    sim.restore(state)
    sim.run(1.0)
    np.testing.assert_array_equal(state.v, before)
    assert state.step == 100 and sim.state().step == 200
    # Every run from now on begins there.
    sim.run(1.0)
    assert sim.state().step == 200


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda state: state.v, "give what state"),
        (lambda state: None, "give what state"),
        (lambda state: replace(state, dt=0.02), "dt=0.02 ms"),
        (lambda state: replace(state, v=state.v[1:]), "12 compartments"),
        (lambda state: replace(state, states={"k.n": state.v}), "k.n"),
        (lambda state: replace(state, states={}), "no states"),
        (lambda state: replace(state, v=state.v * np.nan), None),
        (lambda state: replace(state, states=dict.fromkeys(state.states, state.v / 0)), None),
        (lambda state: replace(state, step=-1), None),
        (lambda state: replace(state, step=0.5), None),
        (lambda state: replace(state, saturated_steps=-1), None),
        (lambda state: replace(state, step=2**60), None),
    ],
)  # fmt: skip
def test_states_that_do_not_fit(change: Callable[[axon.State], Any], word: str | None) -> None:
    sim = Simulation(*parts_of_simulation(Study()), dt=0.01, v_init=-60.0)
    sim.run(0.5)
    state = sim.state()
    with np.errstate(all="ignore"), pytest.raises(SimulationError, match=word):
        sim.restore(change(state))
    assert sim.state() is state


# What runs away


def runaway(steps: int = 300) -> tuple[Simulation, float]:
    """A current a million times too large from 1 ms on."""
    stimuli = [CurrentClamp(250.0, axon.pulse(1e9, start=1.0, duration=0.5))]
    fibre, membrane, _ = parts_of_simulation(Study())
    return Simulation(fibre, membrane, stimuli, celsius=25.0, dt=0.01, v_init=-60.0), steps * 0.01


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_run_that_runs_away_leaves_all_that_was_good(tmp_path: Path, block: int) -> None:
    sim, duration = runaway()
    path = tmp_path / "run.h5"
    with blocks_of(block), pytest.raises(DivergedError) as caught:
        sim.run(duration, output=path, every=0.01, dtype="float64")
    error = caught.value
    assert error.time == pytest.approx(1.01) and error.compartment == 3
    assert f"compartment {error.compartment}" in str(error) and "1.01 ms" in str(error)
    run = axon.open_run(path)
    assert not run.complete and run.time[-1] == pytest.approx(1.0)
    good = sim.run(1.0, every=0.01, dtype="float64")
    np.testing.assert_array_equal(run.v, good.v)
    same_final(run.final, good.final)
    # It goes on from there, and runs away again.
    for _ in range(2):
        with pytest.raises(DivergedError) as again:
            axon.resume(path)
        assert again.value.args == error.args
        run.refresh()
        np.testing.assert_array_equal(run.v, good.v)


def test_spikes_end_where_rows_do_when_a_run_runs_away(tmp_path: Path) -> None:
    """Those of the step that failed are none, however often it is tried."""
    sim, duration = runaway()
    path = tmp_path / "run.h5"
    good = sim.run(1.0)
    with pytest.raises(DivergedError):
        sim.run(duration, output=path)
    before = on_disk(parts_of(path))
    np.testing.assert_array_equal(axon.open_run(path).spikes, good.spikes)
    for _ in range(2):
        with pytest.raises(DivergedError):
            axon.resume(path)
    assert on_disk(parts_of(path)) == before


def test_a_run_that_runs_away_in_memory_leaves_the_state() -> None:
    sim, duration = runaway()
    with pytest.raises(DivergedError):
        sim.run(duration)
    state = sim.state()
    assert state.step == 100
    sim.run(1.0)
    same_state(state, sim.state())


# What the bytes do not depend on


def test_simulations_side_by_side(tmp_path: Path) -> None:
    several = [
        *[Study(stimulus=stimulus, steps=900) for stimulus in STIMULI],
        *[Study(model=model, warmer=True) for model in MODELS],
        *[Study(changed=changed) for changed in CHANGED],
    ]
    for k, study in enumerate(several):
        study.run(tmp_path / f"alone-{k}.h5")
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda study: study.run(), several))
        list(pool.map(lambda k: several[k].run(tmp_path / f"{k}.h5"), range(len(several))))
    for k, run in enumerate(runs):
        assert sha(tmp_path / f"{k}.h5") == sha(tmp_path / f"alone-{k}.h5")
        alone = axon.open_run(tmp_path / f"alone-{k}.h5")
        np.testing.assert_array_equal(run.v, alone.v)
        np.testing.assert_array_equal(run.spikes, alone.spikes)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_end_in_a_file_is_that_in_memory(tmp_path: Path, model: str) -> None:
    study = Study(model=model, record="none")
    in_memory, in_file = study.run(), study.run(tmp_path / "run.h5")
    same_final(in_file.final, in_memory.final)
    same_final(axon.open_run(tmp_path / "run.h5").final, study.simulation().state().states)
    stop_at(study, tmp_path / "part.h5", 100)
    same_final(axon.open_run(tmp_path / "part.h5").final, study._replace(steps=100).run().final)


def test_segments_that_are_damaged_are_computed_again(stopped: Path) -> None:
    Study().run(stopped.with_name("whole.h5"))
    last = chain(parts_of(stopped))[-1].path
    last.write_bytes(last.read_bytes()[:-100])
    axon.resume(stopped)
    assert sha(stopped) == sha(stopped.with_name("whole.h5"))
