"""When a run stops before its end: spans of time, signals, and a budget."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import axon
from axon import CurrentClamp, Simulation, SimulationError, StoppedError, equations
from axon.interruption import SIGNALS, Interruption, seconds


def simulation() -> Simulation:
    fibre = axon.Axon.cylinder(1000.0, 100.0, Ra=35.4, compartments=12)
    clamp = CurrentClamp(0.0, axon.pulse(200.0, 0.1, 0.3))
    return Simulation(fibre, axon.models.hodgkin_huxley(), [clamp], dt=0.01)


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    """Whatever a test does, afterwards they are as they were."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    now = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert now == before


@pytest.fixture
def handled(request: pytest.FixtureRequest) -> Iterator[list[int]]:
    """Signals that came to handlers of our own, which a test may find in place."""
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    yield came
    for number, handler in before.items():
        signal.signal(number, handler)


# Spans of time


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (90, 90.0),
        (0.5, 0.5),
        (np.float64(2.5), 2.5),
        ("90", 90.0),
        ("1.5", 1.5),
        ("90s", 90.0),
        ("0.25s", 0.25),
        ("3h50m", 13_800.0),
        ("3h 50m", 13_800.0),
        ("3h50min", 13_800.0),
        ("  10m ", 600.0),
        ("1d", 86_400.0),
        ("1d2h3m4s", 93_784.0),
        ("100m", 6000.0),
        ("03:50:00", 13_800.0),
        ("0:00:01", 1.0),
        ("1-03:50:00", 100_200.0),
    ],
)
def test_spans_of_time(span: float | str, expected: float) -> None:
    assert seconds(span) == expected


@pytest.mark.parametrize(
    "span",
    [
        *["", " ", "s", "h", "-1", "-1s", "+3", "0", "0s", "0h0m", "00:00:00", "1e3", "inf", "nan"],
        *["3:50", "3h50", "50m3h", "3 hours", "3H", "1.5h", "1:2:3", "1-3", "1d-03:50:00"],
        *["٣", "٣h", "0x10", "1_000", "9" * 400],
        *[0, 0.0, -1, float("nan"), float("inf"), True, None, b"3h", [], 1j],
    ],
)
def test_what_is_no_span_of_time(span: Any) -> None:
    with pytest.raises(SimulationError, match=r"stop_after=.* is no span of time; write seconds"):
        seconds(span)


def test_the_argument_has_its_name() -> None:
    with pytest.raises(SimulationError, match="--stop-after='soon'"):
        seconds("soon", "--stop-after")


def test_a_run_refuses_what_is_no_span(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="stop_after='soon'"):
        simulation().run(1.0, output=tmp_path / "run.h5", stop_after="soon")
    with pytest.raises(SimulationError, match="stop_after=-1"):
        simulation().run(1.0, stop_after=-1)
    assert not list(tmp_path.iterdir())


# By itself


def test_there_is_no_reason_at_first() -> None:
    with Interruption() as stopping:
        assert stopping() == ""


def test_a_callable_may_say_so() -> None:
    reasons = iter(["", "enough", ""])
    with Interruption(lambda: next(reasons)) as stopping:
        assert [stopping() for _ in range(3)] == ["", "enough", ""]


def test_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Interruption(lambda: "other", "1m") as stopping:
        now = 159.0
        assert stopping() == "other"
        now = 160.0
        assert stopping() == "its 1m are over"


# Signals


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_reason(number: signal.Signals, handled: list[int]) -> None:
    before = signal.getsignal(number)
    with Interruption(signals=SIGNALS) as stopping:
        assert signal.getsignal(number) != before
        signal.raise_signal(number)
        assert stopping() == number.name and not handled
    assert signal.getsignal(number) == before


def test_a_second_signal_does_what_it_did_before(handled: list[int]) -> None:
    with Interruption(signals=SIGNALS) as stopping:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR1)
        assert handled == [signal.SIGTERM, signal.SIGUSR1]
        assert stopping() == "SIGTERM"


def test_a_second_ctrl_c_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption() as stopping:
        signal.raise_signal(signal.SIGINT)
        assert stopping() == "SIGINT"
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")


def test_a_second_sigterm_kills() -> None:
    script = """
        import signal
        from axon.interruption import SIGNALS, Interruption
        with Interruption(signals=SIGNALS):
            signal.raise_signal(signal.SIGTERM)
            print("on", flush=True)
            signal.raise_signal(signal.SIGTERM)
            print("on", flush=True)
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert child.stdout == "on\n" and child.returncode == -signal.SIGTERM


def test_handlers_are_put_back_after_an_error(handled: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), Interruption(signals=SIGNALS):
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGTERM) == before


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for interruption in (Interruption(), Interruption(signals=SIGNALS)):
            with interruption as stopping:
                signal.raise_signal(signal.SIGINT)
                assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
                assert stopping() == ""
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_of_somebody_else_is_left_alone(handled: list[int]) -> None:
    with Interruption() as stopping:
        signal.raise_signal(signal.SIGINT)
        assert handled == [signal.SIGINT] and stopping() == ""
        signal.raise_signal(signal.SIGTERM)
        assert handled == [signal.SIGINT, signal.SIGTERM]


def in_a_thread(act: Callable[[], Any]) -> Any:
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(act()))
    thread.start()
    thread.join()
    return result[0]


def test_other_threads_change_no_handler() -> None:
    def act() -> Any:
        with Interruption(lambda: "enough", 3600, signals=SIGNALS) as stopping:
            return {n: signal.getsignal(n) for n in SIGNALS}, stopping()

    assert in_a_thread(act) == ({n: signal.getsignal(n) for n in SIGNALS}, "enough")


# Ctrl-C as users of the library know it


def test_ctrl_c_becomes_keyboard_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption() as stopping:
        signal.raise_signal(signal.SIGINT)
        raise StoppedError(stopping(), 1.0)


def test_ctrl_c_that_came_too_late_to_stop_anything() -> None:
    """A run that is complete is complete; what is raised is another's affair."""
    with Interruption() as stopping:
        signal.raise_signal(signal.SIGINT)
    assert stopping() == "SIGINT"


def test_with_signals_of_its_own_an_error_is_what_it_was() -> None:
    with pytest.raises(StoppedError), Interruption(signals=[signal.SIGINT]) as stopping:
        signal.raise_signal(signal.SIGINT)
        raise StoppedError(stopping(), 1.0)


def test_errors_that_have_nothing_to_do_with_it() -> None:
    with pytest.raises(ZeroDivisionError), Interruption():
        1 / 0  # noqa: B018


# Runs


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equations, "FIRST_BLOCK", 10**12)
    monkeypatch.setattr(equations, "MAX_BLOCK_STEPS", 50)


def ctrl_c_at(time_ms: float) -> Callable[[float, float], None]:
    """A progress callback that presses it, once."""

    def press(_: float, now: float) -> None:
        if now >= time_ms and not pressed:
            pressed.append(now)
            signal.raise_signal(signal.SIGINT)

    pressed: list[float] = []
    return press


def test_ctrl_c_in_a_run_keeps_all_that_was_computed(tmp_path: Path, small_blocks: None) -> None:
    sim = simulation()
    whole = sim.run(3.0, output=tmp_path / "whole.h5", every=0.01)
    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        sim.run(3.0, output=path, every=0.01, progress=ctrl_c_at(1.0))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    np.testing.assert_array_equal(axon.open_run(path).v, whole.v[:101])
    with pytest.raises(KeyboardInterrupt):
        axon.resume(path, progress=ctrl_c_at(2.0))
    assert len(axon.open_run(path).v) == 201
    axon.resume(path)
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_ctrl_c_in_memory(small_blocks: None) -> None:
    sim = simulation()
    with pytest.raises(KeyboardInterrupt):
        sim.run(3.0, progress=ctrl_c_at(1.0))
    assert sim.state().time == pytest.approx(1.0)


def test_ctrl_c_twice_in_a_run_leaves_what_was_committed(
    tmp_path: Path, small_blocks: None
) -> None:
    """Also if that is the first segment alone, which has no row: the run can go on."""

    def press(_: float, now: float) -> None:
        if now >= 1.0:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        simulation().run(3.0, output=path, every=0.01, progress=press)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(axon.open_run(path).v) == 0
    whole = simulation().run(3.0, output=tmp_path / "whole.h5", every=0.01)
    np.testing.assert_array_equal(axon.resume(path).v, whole.v)


def test_a_run_leaves_a_foreign_handler_in_place(
    tmp_path: Path, small_blocks: None, handled: list[int]
) -> None:
    run = simulation().run(3.0, output=tmp_path / "run.h5", progress=ctrl_c_at(1.0))
    assert run.complete and handled == [signal.SIGINT]


def test_a_run_in_a_thread_is_stopped_by_its_callable(tmp_path: Path, small_blocks: None) -> None:
    answers = iter(["", "", "enough"])

    def act() -> StoppedError:
        with pytest.raises(StoppedError) as caught:
            simulation().run(3.0, output=tmp_path / "run.h5", stop=lambda: next(answers))
        return caught.value

    assert in_a_thread(act).time == pytest.approx(1.0)


def test_a_run_within_its_budget_and_one_beyond(tmp_path: Path, small_blocks: None) -> None:
    path = tmp_path / "run.h5"
    with pytest.raises(StoppedError, match="its 1e-09 are over") as caught:
        simulation().run(3.0, output=path, stop_after=1e-9)
    assert caught.value.reason == "its 1e-09 are over" and caught.value.time == 0.0
    assert len(axon.open_run(path).v) == 1
    with pytest.raises(StoppedError, match=r"its 0\.000000001s are over"):
        axon.resume(path, stop_after="0.000000001s")
    assert axon.resume(path, stop_after="1h").complete


def test_sigterm_from_outside(tmp_path: Path) -> None:
    """With signals of its own, as on the command line: committed, soon."""
    script = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        import axon, test_interruption
        from axon.interruption import SIGNALS, Interruption
        with Interruption(signals=SIGNALS) as stopping:
            try:
                test_interruption.simulation().run(
                    1e6, output="run.h5", every=10.0, stop=stopping,
                    progress=lambda done, t: print(t, flush=True),
                )
            except axon.StoppedError as error:
                print(error.reason, error.time)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.path.dirname(__file__)},
    )
    assert child.stdout
    for _ in range(3):
        child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    rest = child.stdout.read().split()
    child.stdout.close()
    assert child.wait() == 0 and time.monotonic() - begin < 5.0
    assert rest[-2] == "SIGTERM"
    run = axon.open_run(tmp_path / "run.h5")
    assert len(run.v) == float(rest[-1]) // 10 + 1
