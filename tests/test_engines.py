"""Work in batches: done once and for all, whoever dies, whatever is raised, until told to stop."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import queue
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import batches
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon import StoppedError, SweepError, WorkerDiedError, engines, machine
from axon.engines import Batch, Engine, engine

ALONE = engine("processes", workers=1)
THREADS = engine("threads", workers=2)
PROCESSES = engine("processes", workers=2)
LOCAL = pytest.mark.parametrize(
    "using", [ALONE, THREADS, PROCESSES], ids=["alone", "threads", "processes"]
)
TESTS = Path(__file__).parent


def never() -> str:
    return ""


def singles(names: str) -> list[Batch]:
    return [(name,) for name in names.split()]


def outcomes(using: Engine, task: Any, work: list[Batch], stop: Any = never) -> dict[Batch, Any]:
    """Of all batches; none may come twice."""
    came = list(using.results(task, work, stop))
    assert len({batch for batch, _ in came}) == len(came)
    return dict(came)


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def workers_need_not_import_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do where it is the main module, which each worker imports."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


@pytest.fixture(autouse=True)
def nothing_is_left(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing is printed, no worker lives on, and the environment and signals are as before."""
    before = dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    assert environment.items() <= before[0].items()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before[1]
    assert not multiprocessing.active_children()
    assert not [t for t in threading.enumerate() if t.name.startswith("axon-worker")]
    assert capfd.readouterr() == ("", "")


# Which engine


@pytest.mark.parametrize("name", ["processes", "threads", "dask"])
def test_there_are_as_many_workers_as_processors(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cpus", lambda: 7)
    assert engine(name) == Engine(name, 7)
    assert engine(name, workers=3) == Engine(name, 3)


def test_those_of_clusters_are_theirs() -> None:
    assert engine("mpi") == Engine("mpi", None)
    assert engine("dask", scheduler="tcp://host:8786") == Engine("dask", None, "tcp://host:8786")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "slurm"}, "engine='slurm' is not one of processes, threads, dask, mpi"),
        ({"name": "processes", "workers": 0}, "workers=0 must be a whole number, at least 1"),
        ({"name": "processes", "workers": -2}, "workers=-2 must be"),
        ({"name": "threads", "workers": 1.5}, "workers=1.5 must be"),
        ({"name": "processes", "workers": "2"}, "workers='2' must be"),
        ({"name": "mpi", "workers": 2}, "workers=2: the MPI job has as many as it was begun with"),
        (
            {"name": "dask", "workers": 2, "scheduler": "tcp://host:1"},
            "workers=2: the Dask cluster has as many",
        ),
        (
            {"name": "processes", "scheduler": "tcp://host:1"},
            "scheduler='tcp://host:1' has a meaning with engine='dask' only",
        ),
    ],
)
def test_what_makes_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError, match=re.escape(message)):
        engine(**arguments)


# Work


@LOCAL
def test_all_is_done(using: Engine) -> None:
    work = [("a", "b"), ("c",), (), ("d", "e", "f")]
    assert outcomes(using, batches.double, work) == {
        ("a", "b"): ["aa", "bb"],
        ("c",): ["cc"],
        (): [],
        ("d", "e", "f"): ["dd", "ee", "ff"],
    }


@LOCAL
def test_no_work_is_soon_done(using: Engine) -> None:
    assert outcomes(using, batches.double, []) == {}


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 5))
def test_any_work_is_done_once(sizes: list[int], workers: int) -> None:
    names = map(str, itertools.count())
    work = [tuple(itertools.islice(names, size)) for size in sizes if size]
    for using in (ALONE, engine("threads", workers=workers)):
        expected = {batch: [2 * name for name in batch] for batch in work}
        assert outcomes(using, batches.double, work) == expected


def test_where_it_is_done() -> None:
    work = singles(" ".join(map(str, range(20))))
    here = (os.getpid(), os.environ.get("OMP_NUM_THREADS"))
    assert set(itertools.chain(*outcomes(ALONE, batches.where, work).values())) == {here}
    assert set(itertools.chain(*outcomes(THREADS, batches.where, work).values())) == {here}
    there = set(itertools.chain(*outcomes(PROCESSES, batches.where, work).values()))
    assert {threads for _, threads in there} == {"1"}
    processes = {process for process, _ in there}
    assert len(processes) <= 2 and os.getpid() not in processes


@LOCAL
def test_only_a_few_are_handed_over_ahead(using: Engine) -> None:
    """Work need not fit into memory, and may never end."""
    asked = itertools.count()
    work = ((f"{next(asked)}",) for _ in itertools.count())
    with closing(using.results(batches.double, work, never)) as results:
        for seen in range(1, 30):
            next(results)
            n_asked = int(repr(asked)[6:-1])
            assert n_asked <= seen + 4 * (using.workers or 0)


def test_results_come_as_they_are_done(tmp_path: Path) -> None:
    def task(names: Batch) -> list[Any]:
        if names == ("slow",):
            until((tmp_path / "seen").exists)
        return []

    seen = []
    for batch, _ in THREADS.results(task, singles("slow quick"), never):
        seen += batch
        (tmp_path / "seen").touch()
    assert seen == ["quick", "slow"]


@LOCAL
def test_in_another_thread_than_the_first(using: Engine) -> None:
    came: queue.SimpleQueue[Any] = queue.SimpleQueue()
    thread = threading.Thread(
        target=lambda: came.put(outcomes(using, batches.double, singles("a b c")))
    )
    thread.start()
    thread.join()
    assert came.get_nowait() == {("a",): ["aa"], ("b",): ["bb"], ("c",): ["cc"]}


def test_two_at_a_time() -> None:
    both = zip(
        PROCESSES.results(batches.double, singles("a b c"), never),
        PROCESSES.results(batches.where, singles("a b c"), never),
        strict=True,
    )
    assert len(list(both)) == 3


# What is raised


@LOCAL
def test_what_a_task_raises_is_an_outcome(using: Engine) -> None:
    came = outcomes(using, batches.fail, singles("x fine exit"))
    assert came[("fine",)] == ["fine"]
    assert repr(came[("x",)]) == "LookupError('no x')"
    assert repr(came[("exit",)]) == "SystemExit(3)"


def test_it_tells_where_in_a_worker() -> None:
    (error,) = outcomes(PROCESSES, batches.fail, singles("x")).values()
    (note,) = error.__notes__
    assert note.startswith("In a worker:\nTraceback") and "batches.py" in note


def test_what_cannot_be_sent_back() -> None:
    came = outcomes(PROCESSES, batches.fail, singles("odd unsendable fine"))
    assert came[("fine",)] == ["fine"]
    assert re.match("batches.Odd: 1 and 2 .it can't be sent", str(came[("odd",)]))
    assert re.match("what the task returned .it can't be sent", str(came[("unsendable",)]))
    assert {type(came[("odd",)]), type(came[("unsendable",)])} == {SweepError}


def test_ctrl_c_is_no_outcome() -> None:
    def task(names: Batch) -> list[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ALONE.results(task, singles("a"), never))


@LOCAL
def test_what_the_work_raises_ends_it(using: Engine) -> None:
    def work() -> Iterator[Batch]:
        yield ("a",)
        raise LookupError("no b")

    with pytest.raises(LookupError, match="no b"):
        list(using.results(batches.double, work(), never))


def test_a_task_that_cannot_be_sent() -> None:
    with pytest.raises(SweepError, match="the task can't be sent to other processes: "):
        list(PROCESSES.results(lambda names: [], singles("a"), never))


class Unloadable:
    """Something of a module that a worker doesn't find."""

    def __call__(self, names: Batch) -> list[Any]:
        return []

    def __reduce__(self) -> Any:
        return pickle.loads, (b"cno_such_module\nname\n.",)


def test_a_task_that_cannot_be_loaded() -> None:
    with pytest.raises(SweepError, match="the task can't be loaded where it is to run: ModuleNot"):
        list(PROCESSES.results(Unloadable(), singles("a b"), never))


# Telling it to stop


def test_nobody_else_is_told() -> None:
    assert engines.stopping() == ""


@LOCAL
def test_a_reason_beforehand(using: Engine) -> None:
    asked = []
    with pytest.raises(StoppedError, match=r"^stopped: enough$") as caught:
        for _ in using.results(batches.double, iter(asked.append, 1), lambda: "enough"):
            pytest.fail("something was done")
    assert caught.value.reason == "enough" and not asked


def test_a_reason_when_all_is_done() -> None:
    """What is complete is complete."""
    done: list[Batch] = []
    for batch, _ in THREADS.results(batches.double, singles("a b"), lambda: "x" * (len(done) > 1)):
        done.append(batch)
    assert sorted(done) == [("a",), ("b",)]


@pytest.mark.parametrize("using", [THREADS, PROCESSES], ids=["threads", "processes"])
def test_what_has_begun_is_told_and_ends(using: Engine, tmp_path: Path) -> None:
    task = batches.Waiting(tmp_path)
    came = {}

    def stop() -> str:
        return "enough" if len(task.begun()) == 2 else ""

    with pytest.raises(StoppedError, match=r"^stopped: enough$"):
        for batch, outcome in using.results(task, singles("quiet x c d e f g"), stop):
            came[batch] = outcome
    assert len(task.begun()) == task.ended() == 2
    assert came.pop(("quiet",)) == ["enough"]
    assert repr(came.pop(("x",))) == "StoppedError('enough', nan, None)"
    assert not came


def test_alone_the_task_asks_itself(tmp_path: Path) -> None:
    task = batches.Waiting(tmp_path)
    reasons = iter(["", "", "", "enough"])
    came = []
    with pytest.raises(StoppedError, match=r"^stopped: enough$"):
        for batch, _ in ALONE.results(task, singles("a b"), lambda: next(reasons, "enough")):
            came.append(batch)
    assert came == [("a",)] and task.ended() == 1


@pytest.mark.parametrize("using", [THREADS, PROCESSES], ids=["threads", "processes"])
def test_it_asks_while_nothing_happens(using: Engine, tmp_path: Path) -> None:
    """Several times a second: five times, here, while the work lasts."""
    asked = iter(range(1, 5))
    task = batches.Waiting(tmp_path)
    with pytest.raises(StoppedError):
        list(using.results(task, singles("a b"), lambda: "" if next(asked, None) else "enough"))
    assert next(asked, None) is None


def test_signals_do_not_disturb_its_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of somebody else, however many; one at a bad moment could let it wait for ever."""
    monkeypatch.setattr(engines, "_LOOK_SECONDS", 0.001)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    enough = threading.Event()
    asked: list[int] = []

    def disturb() -> None:
        end = time.monotonic() + 20
        while len(asked) < 300 and time.monotonic() < end:
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.0003)
        enough.set()

    def task(names: Batch) -> list[Any]:
        enough.wait()
        return []

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        list(THREADS.results(task, singles("a b"), lambda: asked.append(1) or ""))
    finally:
        disturbing.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(asked) >= 300


def test_a_worker_that_gets_a_signal(tmp_path: Path) -> None:
    """A batch system's may come to it first: it ends in good order what it has begun, and all."""
    task = batches.Waiting(tmp_path)
    told = []

    def stop() -> str:
        if not told and len(task.begun()) == 2:
            told.append(task.begun()[0])
            os.kill(told[0], signal.SIGTERM)
            time.sleep(0.3)  # the next batch, which it has, is not begun in that time
        return ""

    with pytest.raises(StoppedError, match=r"^stopped: SIGTERM$"):
        list(PROCESSES.results(task, singles("a b c d e f"), stop))
    assert len(task.begun()) == task.ended() == 2


@pytest.mark.parametrize("using", [THREADS, PROCESSES], ids=["threads", "processes"])
def test_who_leaves_early_leaves_nothing_behind(using: Engine, tmp_path: Path) -> None:
    task = batches.Waiting(tmp_path)
    stop = iter(lambda: 1 / 0 if len(task.begun()) == 2 else "", None)
    with pytest.raises(ZeroDivisionError):
        list(using.results(task, singles("a b c d"), stop.__next__))
    assert len(task.begun()) == 2  # the others never begin
    assert task.ended() == (2 if using is THREADS else 0)


# Workers that die


def test_who_dies_once(tmp_path: Path) -> None:
    task = batches.Dying(tmp_path)
    came = outcomes(PROCESSES, task, singles("a once-1 b once-2 c d"))
    assert came == {(name,): [name] for name in ("a", "once-1", "b", "once-2", "c", "d")}
    assert task.tries("once-1") == task.tries("once-2") == [1, 1]
    assert task.tries("a") == [1]


def test_a_batch_is_tried_again_in_singles(tmp_path: Path) -> None:
    task = batches.Dying(tmp_path)
    came = outcomes(PROCESSES, task, [("a", "b"), ("c", "once", "d"), ("e", "f")])
    expected = [("a", "b"), ("c",), ("once",), ("d",), ("e", "f")]
    assert came == {batch: list(batch) for batch in expected}
    assert task.tries("c") == task.tries("once") == [3, 1]
    assert task.tries("a") == [2]


def test_poison_fails_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = batches.Dying(tmp_path)
    work = [("a", "poison-1", "b"), ("poison-2",), *singles("c d e f g")]
    came = outcomes(PROCESSES, task, work)
    first, second = came.pop(("poison-1",)), came.pop(("poison-2",))
    assert came == {(name,): [name] for name in "abcdefg"}
    assert type(first) is type(second) is WorkerDiedError
    assert str(first) == (
        "workers died over it, 3 in a row: "
        "killed by SIGKILL, as the system does when memory runs out"
    )
    assert task.tries("poison-1") == [3, 1, 1, 1] and task.tries("poison-2") == [1, 1, 1]
    assert "a worker died over a, poison-1, b: killed by SIGKILL" in caplog.text


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGSEGV, r"ended by Segmentation fault \(signal 11\)"),
        (signal.SIGTERM, r"ended by Terminated \(signal 15\)"),
    ],
)
def test_how_it_died(tmp_path: Path, number: int, message: str) -> None:
    (error,) = outcomes(PROCESSES, batches.Dying(tmp_path, number), singles("poison")).values()
    assert re.search(message, str(error))


def test_a_worker_that_leaves(tmp_path: Path) -> None:
    (error,) = outcomes(PROCESSES, batches.leave, singles("a")).values()
    assert str(error).endswith("it ended with exit code 7")


class Blaming(engines._Crew):
    """Workers who die all together, and over all that they have; as it looks with Dask."""

    knows_who_died = False
    _ahead = 4
    times = 1

    def __init__(self, *_: Any) -> None:
        self.given: dict[Batch, Future[Any]] = {}

    def submit(self, batch: Batch) -> Future[Any]:
        self.given[batch] = Future()
        return self.given[batch]

    def look(self) -> None:
        dead = any("poison" in batch for batch in self.given)
        while self.given:
            batch, future = self.given.popitem()
            if dead:
                future.set_exception(engines._DiedError("it died", self.times))
            else:
                future.set_result(engines._Answer(list(batch)))

    def close(self, *, at_once: bool) -> None:
        assert not at_once and not self.given


@pytest.mark.parametrize(("times", "expected"), [(1, 3), (2, 4), (4, 4)])
def test_those_who_were_there_when_one_died(
    times: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are done alone, later, and it is seen whose fault it was."""
    monkeypatch.setattr(Blaming, "times", times)
    monkeypatch.setattr(engines, "_LOOK_SECONDS", 0.001)
    monkeypatch.setitem(engines._CREWS, "processes", Blaming)
    came = outcomes(PROCESSES, None, [("a", "poison", "b"), *singles("c d e f g")])
    assert str(came.pop(("poison",))) == f"workers died over it, {expected} in a row: it died"
    assert came == {(name,): [name] for name in "abcdefg"}


def test_workers_killed_at_random() -> None:
    """Working, waiting or, at first, just beginning: every name is done, and none twice."""
    rng = random.Random(1)
    work = [(f"{i}", f"{i}'") for i in range(120)]
    came: list[str] = []
    for i, (batch, outcome) in enumerate(PROCESSES.results(batches.where, work, never)):
        came += batch
        assert isinstance(outcome, list) and len(outcome) == len(batch)
        if i == 0:
            for victim in multiprocessing.active_children():
                victim.kill()
        elif i % 20 == 0:
            time.sleep(rng.uniform(0, 0.01))
            with suppress(ProcessLookupError):
                os.kill(outcome[0][0], signal.SIGKILL)
    assert sorted(came) == sorted(itertools.chain(*work))


def test_a_worker_that_dies_while_all_stop(tmp_path: Path) -> None:
    task = batches.Waiting(tmp_path)
    victims: list[int] = []

    def stop() -> str:
        if len(task.begun()) < 2:
            return ""
        if not victims:
            victims.extend(task.begun()[:1])
            os.kill(victims[0], signal.SIGKILL)
        return "enough"

    with pytest.raises(StoppedError, match="enough"):
        list(PROCESSES.results(task, singles("a b c d"), stop))
    assert len(task.begun()) == 2 and task.ended() == 1


# From outside


def script(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(text))
    return file


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}


def begin(*command: Any) -> subprocess.Popen[str]:
    """As the leader of a process group."""
    return subprocess.Popen(
        list(map(str, command)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


SWEEP = """
    import sys
    from pathlib import Path
    import batches
    from axon import StoppedError, engines
    from axon.interruption import SIGNALS, Interruption

    if __name__ == "__main__":
        task = getattr(batches, sys.argv[1])(Path(sys.argv[2]))
        using = engines.engine(sys.argv[3], workers=2)
        work = [(f"{i}",) for i in range(100)]
        with Interruption(signals=SIGNALS) as stop:
            try:
                for _ in using.results(task, work, stop):
                    pass
            except StoppedError as error:
                print(error)
"""


@pytest.fixture
def sweeping(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A process whose two workers have begun, and the task that they do."""
    kind, using = request.param
    task = batches.Waiting(tmp_path)
    process = begin(sys.executable, script(tmp_path, SWEEP), kind, tmp_path, using)
    try:
        until(lambda: len(task.begun()) == 2 or process.poll() is not None)
        yield process, task
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def gone(process: int) -> bool:
    """Whether there is no such process any more, but for one that nobody has looked after."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


@pytest.mark.parametrize("sweeping", [("Waiting", "processes")], indirect=True)
@pytest.mark.parametrize(
    ("number", "send"),
    [
        (signal.SIGINT, os.killpg),
        (signal.SIGTERM, os.killpg),
        (signal.SIGUSR1, os.killpg),
        (signal.SIGTERM, os.kill),
    ],
)
def test_signals(sweeping: Any, number: int, send: Callable[[int, int], None]) -> None:
    """To all processes, as a terminal's Ctrl-C, or to the first alone."""
    process, task = sweeping
    send(process.pid, number)
    assert process.communicate() == (f"stopped: {signal.Signals(number).name}\n", "")
    assert process.returncode == 0
    assert len(task.begun()) == task.ended() == 2


@pytest.mark.parametrize("sweeping", [("Deaf", "processes")], indirect=True)
def test_a_second_signal_ends_at_once(sweeping: Any) -> None:
    process, task = sweeping
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None  # the tasks don't listen
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert told.splitlines()[-1] == "KeyboardInterrupt"
    until(lambda: all(map(gone, task.begun())))


@pytest.mark.parametrize("sweeping", [("Deaf", "processes")], indirect=True)
def test_workers_end_with_who_started_them(sweeping: Any) -> None:
    process, task = sweeping
    process.kill()
    until(lambda: all(map(gone, task.begun())))


def test_ctrl_c_while_workers_begin(tmp_path: Path) -> None:
    """What they import takes its time, and leaves no traceback behind."""
    text = """
        import sys, time
        from pathlib import Path
        import batches
        from axon import StoppedError, engines
        from axon.interruption import SIGNALS, Interruption

        if __name__ == "__main__":
            with Interruption(signals=SIGNALS) as stop:
                try:
                    using = engines.engine("processes", workers=2)
                    list(using.results(batches.double, ((f"{i}",) for i in range(10**9)), stop))
                except StoppedError as error:
                    print(error)
        else:
            Path(sys.argv[1], f"{time.monotonic_ns()}.begun").touch()
            time.sleep(0.5)
    """
    process = begin(sys.executable, script(tmp_path, text), tmp_path)
    until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("stopped: SIGINT\n", "")


def test_a_generator_that_nobody_closes(tmp_path: Path) -> None:
    """A process whose generator is still suspended can end, even if it ignores SIGTERM."""
    text = """
        import signal
        import batches
        from axon import engines

        if __name__ == "__main__":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            results = engines.engine("processes", workers=2).results(
                batches.double, ((f"{i}",) for i in range(10**9)), lambda: ""
            )
            print(next(results)[1])
            suspended = [results]
            suspended.append(suspended)
    """
    process = begin(sys.executable, script(tmp_path, text))
    told, complaints = process.communicate(timeout=60)
    assert process.returncode == 0 and re.fullmatch(r"\['\d\d'\]\n", told), complaints


def test_a_script_without_its_guard(tmp_path: Path) -> None:
    text = """
        import batches
        from axon import engines

        list(engines.engine("processes", workers=2).results(batches.double, [("a",)], lambda: ""))
    """
    process = begin(sys.executable, script(tmp_path, text))
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no worker process can begin: it ended with exit code 1. What a" in complaints
    assert "`if __name__ == '__main__':`" in complaints.splitlines()[-1]
