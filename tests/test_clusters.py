"""Engines of several machines: Dask's clusters and MPI's jobs, here of a few processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import batches
import pytest

from axon import MissingExtraError, StoppedError, SweepError, WorkerDiedError, engines
from axon.engines import Batch, engine

TESTS = Path(__file__).parent


def never() -> str:
    return ""


def singles(names: str) -> list[Batch]:
    return [(name,) for name in names.split()]


def until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("name", "package", "message"),
    [
        ("dask", "distributed", "engine='dask' needs distributed: pip install 'axon-cable[dask]'"),
        ("mpi", "mpi4py", "engine='mpi' needs mpi4py and an MPI library: pip install"),
    ],
)
def test_without_the_package(
    name: str, package: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        list(engine(name).results(batches.double, singles("a"), never))


# Dask


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Somebody's cluster: two workers, in threads of this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster


def test_a_cluster_of_dask(cluster: Any) -> None:
    using = engine("dask", scheduler=cluster.scheduler_address)
    work = [("a", "b"), *singles("c d e f g h i j k")]
    came = dict(using.results(batches.double, iter(work), never))
    assert came == {batch: [2 * name for name in batch] for batch in work}
    came = dict(using.results(batches.fail, singles("odd unsendable x fine"), never))
    assert came[("fine",)] == ["fine"]
    assert repr(came[("x",)]) == "LookupError('no x')"
    assert "it can't be sent between processes" in str(came[("unsendable",)])


def test_a_scheduler_may_be_named_by_its_file(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps(cluster.scheduler.identity(), default=str))
    using = engine("dask", scheduler=str(file))
    assert dict(using.results(batches.double, singles("a b"), never)) == {
        ("a",): ["aa"],
        ("b",): ["bb"],
    }


def test_no_scheduler_answers() -> None:
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.1s"}),
        pytest.raises(SweepError, match=r"scheduler='tcp://127.0.0.1:1' does not answer"),
    ):
        list(engine("dask", scheduler="tcp://127.0.0.1:1").results(batches.double, [], never))


def test_work_for_dask_is_handed_over_a_little_ahead(cluster: Any) -> None:
    asked: list[Batch] = []

    def work() -> Iterator[Batch]:
        for i in range(50):
            asked.append((f"{i}",))
            yield asked[-1]

    using = engine("dask", scheduler=cluster.scheduler_address)
    for seen, _ in enumerate(using.results(batches.double, work(), never), 1):
        assert len(asked) <= seen + 4 * 2
        assert len(asked) > 4 or seen > 1  # for more than one worker
    assert len(asked) == 50


def test_dask_is_told_to_stop(cluster: Any, tmp_path: Path) -> None:
    task = batches.Waiting(tmp_path)
    using = engine("dask", scheduler=cluster.scheduler_address)
    came = {}

    def stop() -> str:
        return "enough" if len(task.begun()) == 2 else ""

    with pytest.raises(StoppedError, match=r"^stopped: enough$"):
        for batch, outcome in using.results(task, singles("quiet b c d e f g h"), stop):
            came[batch] = outcome
    assert len(task.begun()) == task.ended() == 2
    assert came.pop(("quiet",)) == ["enough"]
    assert [repr(error) for error in came.values()] == ["StoppedError('enough', nan, None)"]
    # And is as good as before.
    assert len(list(using.results(batches.double, singles("a b c"), never))) == 3


def test_who_leaves_dask_early_stops_it(cluster: Any, tmp_path: Path) -> None:
    task = batches.Waiting(tmp_path)
    using = engine("dask", scheduler=cluster.scheduler_address)
    stop = iter(lambda: 1 / 0 if len(task.begun()) == 2 else "", None)
    with pytest.raises(ZeroDivisionError):
        list(using.results(task, singles("a b c d"), stop.__next__))
    until(lambda: task.ended() == 2)
    assert len(task.begun()) == 2


def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some may come, or not; nobody waits for them to be told to stop."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "_COUNT_SECONDS", 0.1)
    asked = iter(range(1, 5))
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        pytest.raises(StoppedError, match=r"^stopped: enough$"),
    ):
        using = engine("dask", scheduler=cluster.scheduler_address)
        stop = lambda: "" if next(asked, None) else "enough"  # noqa: E731
        list(using.results(batches.double, singles("a b c d e f"), stop))


def test_workers_of_dask_that_die(tmp_path: Path) -> None:
    """Real processes, here one. What was there when it died must not suffer from it."""
    pytest.importorskip("distributed")
    task = batches.Dying(tmp_path)
    work = [("a", "poison", "b"), ("once",), *singles("c d e f")]
    came = dict(engine("dask", workers=1).results(task, work, never))
    error = came.pop(("poison",))
    assert {name for batch in came for name in batch} == {"a", "b", "once", "c", "d", "e", "f"}
    assert all(outcome == list(batch) for batch, outcome in came.items())
    assert type(error) is WorkerDiedError
    assert re.match(r"workers died over it, 3 in a row: the last was tcp://", str(error))


def test_what_a_cluster_of_dask_cannot_close_does_not_cost_the_results(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It asserts that a worker has started, where one is only about to."""
    distributed = pytest.importorskip("distributed")

    class Unready(distributed.LocalCluster):
        def close(self, timeout: float | None = None) -> None:
            super().close(timeout)
            raise AssertionError("can only join a started process")

    monkeypatch.setattr(distributed, "LocalCluster", Unready)
    came = dict(engine("dask", workers=1).results(batches.double, singles("a b"), never))
    assert came == {("a",): ["aa"], ("b",): ["bb"]}
    assert "ends with this process, not before: can only join a started process" in caplog.text


# From outside


def environment() -> dict[str, str]:
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return os.environ | allowed | {"PYTHONPATH": paths}


def script(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(text))
    return file


WAITING = """
    import sys
    from pathlib import Path
    import batches
    from axon import StoppedError, engines
    from axon.interruption import SIGNALS, Interruption

    if __name__ == "__main__":
        options = {"workers": 2} if sys.argv[1] == "dask" else {}
        using = engines.engine(sys.argv[1], **options)
        task = batches.Waiting(Path(sys.argv[2]))
        with Interruption(signals=SIGNALS) as stop:
            try:
                for _ in using.results(task, [(f"{i}",) for i in range(50)], stop):
                    pass
            except StoppedError as error:
                print(error)
"""


def begin(*command: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(map(str, command)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def gone(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_and_dask(tmp_path: Path, number: int) -> None:
    """To a cluster of our own all signals come that come to the first process."""
    pytest.importorskip("distributed")
    task = batches.Waiting(tmp_path)
    process = begin(sys.executable, script(tmp_path, WAITING), "dask", tmp_path)
    until(lambda: len(task.begun()) == 2 or process.poll() is not None)
    if number == signal.SIGKILL:
        process.kill()
        process.communicate()
    else:
        os.killpg(process.pid, number)
        told, _ = process.communicate()
        assert told == f"stopped: {signal.Signals(number).name}\n"
        assert len(task.begun()) == task.ended() == 2
    until(lambda: all(map(gone, task.begun())))


# MPI


@pytest.fixture
def mpi() -> list[str]:
    """What begins a script as a job of three processes."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpirun")  # Python's package of Open MPI brings it
    mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
    if mpirun is None:
        pytest.skip("there is no mpirun")
    return [mpirun, "-n", "3", "--oversubscribe", sys.executable, "-m", "mpi4py.futures"]


def test_a_job_of_mpi(mpi: list[str], tmp_path: Path) -> None:
    text = """
        import json, sys
        from pathlib import Path
        import batches
        from axon import StoppedError, engines

        def singles(names):
            return [(name,) for name in names.split()]

        if __name__ == "__main__":
            using = engines.engine("mpi")
            # One process works and is told. The message to the other must not stop what follows.
            task = batches.Waiting(Path(sys.argv[1]) / "one")
            one = list(using.results(task, singles("quiet"), lambda: "one" * len(task.begun())))
            task = batches.Waiting(Path(sys.argv[1]) / "both")
            told = []
            try:
                for batch, outcome in using.results(
                    task, singles("quiet b c d e f g"), lambda: "enough" * (len(task.begun()) == 2)
                ):
                    told.append((batch, repr(outcome)))
            except StoppedError as error:
                told.append(str(error))
            # The same processes go on with other work.
            work = [("a", "b"), *singles("c d e f g h i")]
            came = list(using.results(batches.double, work, lambda: ""))
            failed = dict(using.results(batches.fail, singles("x odd fine exit"), lambda: ""))
            where = using.results(batches.where, singles("a b c d"), lambda: "")
            print(json.dumps({
                "one": one[0][1], "told": told, "begun": len(task.begun()), "ended": task.ended(),
                "came": sorted(came), "failed": sorted((*b, repr(f)) for b, f in failed.items()),
                "processes": len({outcome[0][0] for _, outcome in where}),
            }))
    """
    for name in ("one", "both"):
        (tmp_path / name).mkdir()
    command = [*mpi, str(script(tmp_path, text)), str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["one"] == ["one"]
    assert seen["told"].pop() == "stopped: enough"
    assert sorted(seen["told"])[-1] == [["quiet"], "['enough']"]
    assert len(seen["told"]) == seen["begun"] == seen["ended"] == 2
    work = [("a", "b"), *singles("c d e f g h i")]
    assert seen["came"] == [[list(batch), [2 * name for name in batch]] for batch in work]
    fine, *failed = sorted(seen["failed"], key=lambda told: told[0] != "fine")
    assert fine == ["fine", "['fine']"]
    assert [name for name, _ in failed] == ["exit", "odd", "x"]
    assert [error.split("(")[0] for _, error in failed] == [
        "SystemExit",
        "SweepError",
        "LookupError",
    ]
    assert 1 <= seen["processes"] <= 2


def test_a_signal_to_a_job_of_mpi(mpi: list[str], tmp_path: Path) -> None:
    """mpirun passes SIGUSR1 on to all its processes; it would end the job, were it not noted."""
    task = batches.Waiting(tmp_path)
    process = begin(*mpi, script(tmp_path, WAITING), "mpi", tmp_path)
    until(lambda: len(task.begun()) == 2 or process.poll() is not None)
    process.send_signal(signal.SIGUSR1)
    told, _ = process.communicate()
    assert (told, process.returncode) == ("stopped: SIGUSR1\n", 0)
    assert len(task.begun()) == task.ended() == 2


def test_no_job_of_mpi(mpi: list[str]) -> None:
    text = "from axon import engines; list(engines.engine('mpi').results(str, [], lambda: ''))"
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "axon.errors.SweepError: engine='mpi' needs two processes or more: "
        "mpirun -n N python -m mpi4py.futures -m axon ..."
    )
