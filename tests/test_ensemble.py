"""Ensembles: each member as if it ran alone, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import models
from axon.ensemble import Ensemble, Runs
from axon.errors import DivergedError, SimulationError, StoppedError
from axon.runs import Run
from axon.simulation import Simulation

MODELS = [models.hodgkin_huxley, models.sundt, models.tigerholm, models.passive]
MEMBRANES = [model() for model in MODELS]
PULSE = axon.CurrentClamp(0.0, axon.pulse(2.0, start=0.1, duration=0.2))


def digest(run: Run) -> tuple[Any, ...]:
    """All that a run has found."""
    electrodes = np.asarray(run.electrodes).tobytes()
    final = {name: values.tobytes() for name, values in run.final.items()}
    return np.asarray(run.v).tobytes(), run.spikes.tobytes(), electrodes, final


def fibre(diameter: float = 1.0, n: int = 20) -> axon.Axon:
    return axon.Axon.cylinder(n * 20.0, diameter, Ra=100.0, compartments=n)


def simulation(diameter: float = 1.0, n: int = 20, **options: Any) -> Simulation:
    options = {"dt": 0.01, "stimuli": [PULSE]} | options
    return Simulation(fibre(diameter, n), options.pop("membrane", MEMBRANES[0]), **options)


def wild() -> Simulation:
    """One whose potential leaves all bounds after 0.5 ms."""
    clamp = axon.CurrentClamp(0.0, axon.pulse(1e6, start=0.5, duration=1.0))
    return simulation(stimuli=[clamp])


@st.composite
def members(draw: st.DrawFn) -> Callable[[bool], Simulation]:
    """Makes a simulation of any kind, always the same one."""
    diameter = draw(st.sampled_from([0.3, 0.8, 1.5]))
    n = draw(st.integers(1, 40))
    number = draw(st.integers(0, len(MODELS) - 1))
    membrane = MEMBRANES[number]
    name = draw(st.sampled_from([channel.name for channel in membrane.channels]))
    factor = draw(st.sampled_from([1.0, 0.7]))
    options: dict[str, Any] = {
        "dt": draw(st.sampled_from([0.005, 0.01])),
        "celsius": draw(st.sampled_from([None, 20.0])),
        "v_init": draw(st.sampled_from([None, -60.0])),
    }
    weight = draw(st.sampled_from([0.0, 0.5, 2.0]))
    source = axon.PointSource(100.0, 50.0, 0.0)
    stimuli = [
        axon.CurrentClamp(0.0, axon.pulse(weight, start=0.1, duration=0.2)),
        axon.Extracellular(source, axon.pulse(-0.1 * weight, start=0.3, duration=0.1)),
    ]

    def make(alone: bool) -> Simulation:
        own = MODELS[number]() if alone else membrane  # which remembers what it found for others
        return Simulation(fibre(diameter, n), own.scaled(**{name: factor}), stimuli, **options)

    return make


@settings(max_examples=25, deadline=None)
@given(st.lists(members(), max_size=6), st.integers(1, 4), st.data())
def test_a_member_has_the_bits_that_it_has_alone(
    makers: list[Callable[[bool], Simulation]], threads: int, data: st.DataObject
) -> None:
    outside = axon.PointSource(200.0, 300.0, 0.0)
    recordings = [{}, {"every": 0.1}, {"record": []}, {"dtype": "float64"}]
    own = [
        data.draw(st.sampled_from([*recordings, {"electrodes": [outside]}, {"duration": 0.8}]))
        for _ in makers
    ]
    together = Ensemble([make(False) for make in makers]).run(1.0, own=own, threads=threads)
    assert len(together) == len(makers)
    for k, (make, options) in enumerate(zip(makers, own, strict=True)):
        alone = {"duration": 1.0, **options}
        if k in together.failures:  # as where a short leak gets much current
            with pytest.raises(DivergedError) as caught:
                make(True).run(**alone)
            assert str(caught.value) == str(together.failures[k])
        else:
            assert digest(make(True).run(**alone)) == digest(together[k])


def test_each_comes_in_its_turn_and_only_when_it_is_wanted() -> None:
    asked = []

    class Lazy(Sequence[Simulation]):
        def __len__(self) -> int:
            return 500

        def __getitem__(self, k: Any) -> Any:
            asked.append(k)
            return simulation(1.0 + k)

    each = Ensemble(Lazy()).each(0.05, threads=2)
    assert not asked
    numbers = [next(each)[0] for _ in range(3)]
    assert numbers == [0, 1, 2]
    assert len(asked) <= 3 + 2 * 4
    each.close()
    assert len(asked) <= 3 + 2 * 4
    assert not [thread for thread in threading.enumerate() if "axon-ensemble" in thread.name]


@pytest.mark.parametrize("threads", [1, 3])
def test_one_that_blows_up_is_its_own_failure(threads: int) -> None:
    done = []
    ensemble = Ensemble([simulation(), wild(), simulation(2.0), wild(), simulation(3.0)])
    runs = ensemble.run(2.0, threads=threads, progress=lambda *told: done.append(told))
    assert done == [(0.2, 1), (0.4, 2), (0.6, 3), (0.8, 4), (1.0, 5)]
    assert sorted(runs.failures) == [1, 3] and sorted(runs.finished) == [0, 2, 4]
    with pytest.raises(DivergedError, match=r"0\.5\d* ms") as caught:
        wild().run(2.0)
    assert str(runs.failures[1]) == str(caught.value)
    with pytest.raises(DivergedError):
        runs[1]
    assert repr(runs) == "5 runs, 2 of which failed"
    assert sorted(runs[1:3].failures) == [0] and isinstance(runs[1:3], Runs)
    assert digest(runs[-1]) == digest(simulation(3.0).run(2.0))


def test_what_a_member_is_refused_for_is_told_of_it_alone() -> None:
    runs = Ensemble([simulation(), simulation(dt=0.03)]).run(0.1)
    assert list(runs.failures) == [1]
    assert "no whole number of steps" in str(runs.failures[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_all_stop_when_one_is_told_to(threads: int) -> None:
    begun = threading.Event()

    def stop() -> str:
        begun.set()
        return "enough" if begun.is_set() else ""

    with pytest.raises(StoppedError, match="enough"):
        Ensemble([simulation() for _ in range(4)]).run(1e6, threads=threads, stop=stop)


def test_what_was_done_before_a_stop_is_handed_over() -> None:
    seen = []
    ensemble = Ensemble([simulation() for _ in range(4)])
    own = [{}, {}, {"duration": 1e6}, {}]
    with pytest.raises(StoppedError, match="two are enough"):
        for k, run in ensemble.each(
            0.05, own=own, threads=2, stop=lambda: "two are enough" if len(seen) == 2 else ""
        ):
            assert isinstance(run, Run)
            seen.append(k)
    assert seen == [0, 1]


def test_errors_that_are_no_axon_errors_end_it() -> None:
    broken = simulation()
    broken.recording = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        Ensemble([simulation(), broken, simulation()]).run(0.05)


def test_nothing_makes_an_empty_ensemble() -> None:
    runs = Ensemble([]).run(1.0)
    assert (len(runs), list(runs), repr(runs)) == (0, [], "0 runs")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Ensemble(simulation()), "write Ensemble"),  # type: ignore[arg-type]
        (lambda: Ensemble([1]).run(1.0), r"simulations\[0\]=1 is no Simulation"),  # type: ignore[list-item]
        (lambda: Ensemble([simulation()]).run(1.0, own=[]), "own has 0 members"),
        (lambda: Ensemble([simulation()]).run(1.0, threads=0), "threads=0"),
        (lambda: Ensemble([simulation()]).run(1.0, threads=True), "threads=True"),
        (lambda: Ensemble(5), "simulations=5"),  # type: ignore[arg-type]
        (lambda: Ensemble([simulation()]).run(1.0, own=[None]), "no mapping"),  # type: ignore[list-item]
        (lambda: Ensemble([simulation()]).run(1.0, own=[{"stop": 1}]), "stop is none"),
        (lambda: Ensemble([simulation()]).run(1.0, output="x.h5"), "output is none"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(SimulationError, match=words):
        call()


def test_members_go_on_from_where_they_stand() -> None:
    """As a simulation does that runs alone."""
    sims = [simulation(d) for d in (0.5, 1.0)]
    Ensemble(sims).run(1.0)
    for sim in sims:
        sim.restore(sim.state())
    second = Ensemble(sims).run(1.0)
    for d, run in zip((0.5, 1.0), second, strict=True):
        whole = simulation(d).run(2.0)
        np.testing.assert_array_equal(np.asarray(run.v), np.asarray(whole.v)[-len(run.v) :])
