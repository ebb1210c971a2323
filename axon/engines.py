"""Work in batches, by the processors of one machine or of many.

`Engine.results` hands batches of names to workers, a few ahead of each, and yields what comes of
them in the order in which they are done. What the workers do must be idempotent: a batch whose
worker dies is done again, name by name.

Each engine is a crew about an executor of `concurrent.futures`. That of processes is a pool of
threads, each of which keeps one process and talks to it through one pipe. So it is known which
process has died, and over what, and the others go on; the standard library's pool ends them all.

A worker is told to stop by a message and not by a signal: Ctrl-C at a terminal and the signals of
batch systems may reach it by themselves, and a second one would end it. Its task asks `stopping`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from operator import index
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from axon import machine
from axon.errors import MissingExtraError, StoppedError, SweepError, WorkerDiedError
from axon.interruption import SIGNALS, Interruption
from axon.records import Value

NAMES = ("processes", "threads", "dask", "mpi")

DEATHS = 3  # of a worker over one name, after which that name has failed
AHEAD = 3  # batches handed over for each worker, so that none waits while results are looked at
_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 5.0  # for a process to end that has nothing to do any more
_COUNT_SECONDS = 2.0  # between looks at how many workers a cluster has
_TAG = 75  # of messages between the processes of an MPI job

# What numerical libraries read when they are loaded. Workers alone are as many as processors.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

Batch = tuple[str, ...]
Task = Callable[[Batch], list[Any]]
Stop = Callable[[], str]

_log = logging.getLogger("axon")


def _never() -> str:
    return ""


# Who may tell the task that runs in this thread to stop. It is set only while one does.
_stop: ContextVar[Stop] = ContextVar("axon.engines.stop", default=_never)
# The environment is the whole process's, and is changed while a worker is started.
_starting = threading.Lock()


def stopping() -> str:
    """Whether the task that asks this is to stop, and why.

    Returns
    -------
    str
        The reason, or nothing; and nothing outside a task. It costs little: a task asks several
        times a second, commits what it has, and returns or raises.
    """
    return _stop.get()()


def engine(name: str, *, workers: int | None = None, scheduler: str | None = None) -> Engine:
    """An engine by its name.

    Parameters
    ----------
    name : str
        ``processes`` of this machine, or only this one if there is to be one worker;
        ``threads`` of this process; ``dask``, a Dask cluster; ``mpi``, the processes of an MPI job
        that ``mpirun -n N python -m mpi4py.futures ...`` has begun.
    workers : int, optional
        How many. By default as many as `axon.machine.cpus` counts; a cluster or an MPI job has
        those that it has.
    scheduler : str, optional
        With ``dask``, the address of a scheduler, such as ``tcp://host:8786``, or the file that it
        has written. By default a cluster of processes is started on this machine.

    Returns
    -------
    Engine

    Raises
    ------
    SweepError
        If there is no such engine, or the arguments don't fit it.
    """
    if name not in NAMES:
        raise SweepError(f"engine={name!r} is not one of {', '.join(NAMES)}")
    if scheduler is not None and name != "dask":
        raise SweepError(f"scheduler={scheduler!r} has a meaning with engine='dask' only")
    if name == "mpi" or scheduler is not None:
        if workers is not None:
            whose = "the MPI job" if name == "mpi" else "the Dask cluster"
            raise SweepError(f"workers={workers!r}: {whose} has as many as it was begun with")
        return Engine(name, None, scheduler)
    if workers is None:
        return Engine(name, machine.cpus())
    try:
        n_workers = index(workers)
    except TypeError:
        n_workers = 0
    if n_workers < 1:
        raise SweepError(f"workers={workers!r} must be a whole number, at least 1")
    return Engine(name, n_workers)


class Engine(Value):
    """Who does the work; `engine` makes one.

    Attributes
    ----------
    name : str
        One of `NAMES`.
    workers : int or None
        How many; none if a cluster or an MPI job says so.
    scheduler : str or None
        Where a Dask scheduler is.
    """

    name: str
    workers: int | None
    scheduler: str | None = None

    def results(
        self,
        task: Task,
        batches: Iterable[Batch],
        stop: Stop,
        still: Callable[[Batch], Batch] = lambda batch: batch,
    ) -> Iterator[tuple[Batch, list[Any] | BaseException]]:
        """Do all the work, and yield what comes of it as it is done.

        Parameters
        ----------
        task : callable
            Takes a batch, a tuple of names, and returns a list with something small for each. It
            goes to other processes by pickle, and may run twice on the same batch, even at once.
        batches : iterable of tuples of str
            Asked for a few at a time, when there are workers for them.
        stop : callable
            Returns a reason to stop, or nothing. It is asked in this thread, every 0.1 s while the
            workers work; with one local worker it is what `stopping` asks.
        still : callable, optional
            Of a batch whose worker died, returns the names that are still to be done: asked in this
            thread. Of the others nothing is yielded.

        Yields
        ------
        batch : tuple of str
            As it was handed over. A batch whose worker died comes as its single names.
        outcome : list or BaseException
            What the task returned, or raised, which has a traceback as a note if it comes from
            another process; a `WorkerDiedError` if the worker died `DEATHS` times over this name.

        Raises
        ------
        StoppedError
            If there was a reason to stop before all was done. What had been begun has then ended,
            and what came of it been yielded. A signal that a worker got is a reason too.
        SweepError
            If the task can't be handed to workers, or there is nobody to ask for them.
        WorkerDiedError
            If no worker can begin, or all are lost.
        MissingExtraError
            If a package is missing.

        Notes
        -----
        Who leaves the loop early should close the generator, as `contextlib.closing` does: then
        processes are killed, and threads and clusters told to stop.
        """
        crew = _CREWS[self.name](self, task, stop)
        work = _Work(batches, crew.knows_who_died, still)
        begun: dict[Future[Any], Batch] = {}
        # Not a SimpleQueue: one whose waiting a signal ends in its last moment waits for ever.
        done: queue.Queue[Future[Any]] = queue.Queue()
        reason, stopped, gave_up = "", False, True
        try:
            while True:
                if not reason and (reason := stop()):
                    crew.tell(reason)
                while not reason and len(begun) < crew.ahead():
                    if (batch := work.next(alone=not begun)) is None:
                        break
                    future = crew.submit(batch)
                    begun[future] = batch
                    future.add_done_callback(done.put)
                if not begun:
                    break
                try:
                    future = done.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    crew.look()
                    continue
                batch = begun.pop(future)
                try:
                    answer = crew.answer(future)
                except _DiedError as died:
                    _log.warning("a worker died over %s: %s", ", ".join(batch), died.how)
                    if (error := work.died(batch, died)) is None:
                        continue
                    answer = _Answer(error)
                except WorkerDiedError:
                    raise
                except Exception as error:
                    lost = f"engine={self.name!r} has lost its workers: {error!r}"
                    raise WorkerDiedError(lost) from error
                if answer.fault:
                    raise SweepError(answer.fault)
                if answer.reason and not reason:
                    reason = answer.reason
                    crew.tell(reason)
                if answer.outcome is None:
                    work.put_back(batch)
                else:
                    stopped |= isinstance(answer.outcome, StoppedError)
                    yield batch, answer.outcome
            gave_up = False
        finally:
            crew.close(at_once=gave_up)
        if reason and (stopped or work.left()):
            raise StoppedError(reason)


class _Work:
    """Batches to be handed over: those that wait, and those to be tried again."""

    def __init__(
        self, batches: Iterable[Batch], knows_who_died: bool, still: Callable[[Batch], Batch]
    ) -> None:
        self._waiting = iter(batches)
        self._still = still
        self._exhausted = False
        self._again: deque[Batch] = deque()
        self._deaths: Counter[Batch] = Counter()
        self._knows_who_died = knows_who_died

    def next(self, *, alone: bool) -> Batch | None:
        """Another one, if there is one now; `alone` says that nothing else is begun."""
        if not self._exhausted and not (self._again and self._knows_who_died):
            if (batch := next(self._waiting, None)) is not None:
                return batch
            self._exhausted = True
        # Where it isn't known who died over what, one alone, to find out.
        if self._again and (alone or self._knows_who_died):
            return self._again.popleft()
        return None

    def put_back(self, *batches: Batch) -> None:
        self._again += batches

    def died(self, batch: Batch, died: _DiedError) -> WorkerDiedError | None:
        """A worker did over this batch, which is tried again by its names, or has failed."""
        if len(batch) == 1 and (self._knows_who_died or batch in self._deaths):
            self._deaths[batch] += died.times
            if (times := self._deaths[batch]) >= DEATHS:
                return WorkerDiedError(f"workers died over it, {times} in a row: {died.how}")
        singles = [(name,) for name in self._still(batch)]
        self._deaths.update(dict.fromkeys(singles, 0))
        self.put_back(*singles)
        return None

    def left(self) -> bool:
        """Whether there is more, as far as one knows."""
        return bool(self._again) or not self._exhausted


class _Answer(NamedTuple):
    """Of a worker, about a batch."""

    outcome: list[Any] | BaseException | None
    """None if it was not begun."""
    reason: str = ""
    """Why the worker is to stop, if it is."""
    fault: str = ""
    """Why no batch can be done there."""


def _answer(task: Task, batch: Batch, stop: Stop) -> _Answer:
    """Do a batch, in whatever thread this is."""
    if reason := stop():
        return _Answer(None, reason)
    outcome: list[Any] | BaseException
    token = _stop.set(stop)
    try:
        outcome = task(batch)
    except KeyboardInterrupt:  # which is nobody's task's
        raise
    except BaseException as error:
        outcome = error
    finally:
        _stop.reset(token)
    return _Answer(outcome, stop())


def _pickled(task: Task, dumps: Callable[[Task], bytes] = pickle.dumps) -> bytes:
    try:
        return dumps(task)
    except Exception as error:
        raise SweepError(f"the task can't be sent to other processes: {error}") from error


def _packed(task: bytes, batch: Batch, stop: Stop) -> bytes:
    """The same in another process, there and back by pickle."""
    try:
        unpacked = pickle.loads(task)
    except Exception as error:
        fault = f"the task can't be loaded where it is to run: {error!r}"
        return pickle.dumps(_Answer(None, fault=fault))
    answer = _answer(unpacked, batch, stop)
    what = "what the task returned"
    if isinstance(answer.outcome, BaseException):
        what = "".join(traceback.format_exception_only(answer.outcome)).strip()
        trace = "".join(traceback.format_exception(answer.outcome))
        answer.outcome.add_note(f"In a worker:\n{trace}")
    try:
        packed = pickle.dumps(answer)
        pickle.loads(packed)  # there are errors that can be pickled but not unpickled
        return packed
    except Exception as error:
        unsent = SweepError(f"{what} (it can't be sent between processes: {error!r})")
        return pickle.dumps(_Answer(unsent, answer.reason))


class _Told:
    """Somebody has said that it is time to stop, and why: called, it returns that, or nothing."""

    def __init__(self) -> None:
        self.reason = ""

    def __call__(self) -> str:
        return self.reason


class _DiedError(Exception):
    """Of a worker, or of several one after the other, to which the same batch was given."""

    def __init__(self, how: str, times: int = 1) -> None:
        super().__init__(how, times)
        self.how = how
        self.times = times


class _Crew(Protocol):
    """Workers, from when they are there until they are gone."""

    knows_who_died: bool = True
    """Over which batch, if several were with a worker."""

    _ahead: int

    def ahead(self) -> int:
        """How many batches they may have at a time."""
        return self._ahead

    def submit(self, batch: Batch) -> Future[Any]:
        """Hand a batch over."""

    def answer(self, future: Future[Any]) -> _Answer:
        """What came of it; `_DiedError` if a worker died, any other error if all are lost."""
        result = future.result()
        answer: _Answer = pickle.loads(result) if isinstance(result, bytes) else result
        return answer

    def look(self) -> None:
        """See how they are, while nothing comes from them."""
        return

    def tell(self, reason: str) -> None:
        """To stop: what they have begun, soon, and what they have not, not to begin it."""

    def close(self, *, at_once: bool) -> None:
        """Let them go, when they have nothing to do any more; or at once, if somebody gave up."""


# In this process


class _Alone(_Crew):
    """One worker: who asks."""

    _ahead = 1

    def __init__(self, engine: Engine, task: Task, stop: Stop) -> None:
        self._task = task
        self._stop = stop

    def submit(self, batch: Batch) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(_answer(self._task, batch, self._stop))
        return future

    def tell(self, reason: str) -> None:
        """It has asked itself."""

    def close(self, *, at_once: bool) -> None:
        """There is nobody."""


class _Threads(_Crew):
    """Threads. The kernel steps without the GIL, and so side by side."""

    def __init__(self, engine: Engine, task: Task, stop: Stop) -> None:
        assert engine.workers
        self._ahead = AHEAD * engine.workers
        self._task = task
        self._told = _Told()
        self._pool = ThreadPoolExecutor(engine.workers, "axon-worker")

    def submit(self, batch: Batch) -> Future[Any]:
        return self._pool.submit(_answer, self._task, batch, self._told)

    def tell(self, reason: str) -> None:
        self._told.reason = reason

    def close(self, *, at_once: bool) -> None:
        if at_once:
            self.tell("nobody waits for it")
        self._pool.shutdown(cancel_futures=True)


# Processes of this machine


class _Processes(_Crew):
    """A pool of threads, each of which has a process."""

    def __init__(self, engine: Engine, task: Task, stop: Stop) -> None:
        assert engine.workers
        self._ahead = AHEAD * engine.workers
        self._task = _pickled(task)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._reason = ""
        self._closed = False
        self._pool = ThreadPoolExecutor(engine.workers, "axon-worker")

    def submit(self, batch: Batch) -> Future[Any]:
        return self._pool.submit(self._ask, batch)

    def tell(self, reason: str) -> None:
        with self._lock:
            self._reason = reason
            for worker in self._workers:
                worker.send(reason)

    def close(self, *, at_once: bool) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            if at_once:
                for worker in self._workers:
                    worker.kill()
        self._pool.shutdown()
        for worker in self._workers:
            worker.send(None)
        for worker in self._workers:
            worker.bury()

    def _ask(self, batch: Batch) -> bytes:
        """In a thread of the pool: have this thread's process do it."""
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            worker = self._own.worker = self._hired()
        worker.send((self._task, batch))
        try:
            return worker.receive()
        except EOFError:
            self._own.worker = None
            raise _DiedError(self._lost(worker)) from None

    def _hired(self) -> _Worker:
        how = "this engine is closed"
        for _ in range(DEATHS):
            with self._lock:
                if self._closed:
                    break
                worker = _Worker()
                self._workers.add(worker)
                if self._reason:
                    worker.send(self._reason)
            try:
                worker.receive()  # it is there
                return worker
            except EOFError:
                how = self._lost(worker)
        raise WorkerDiedError(
            f"no worker process can begin: {how}. What a script does must stand under "
            "`if __name__ == '__main__':`, for workers import it; engine='threads' needs none"
        )

    def _lost(self, worker: _Worker) -> str:
        """How it ended."""
        with self._lock:
            self._workers.remove(worker)
        code = worker.bury()
        if code is None:
            return "it fell silent"
        if code >= 0:
            return f"it ended with exit code {code}"
        if code == -signal.SIGKILL:
            return "killed by SIGKILL, as the system does when memory runs out"
        return f"ended by {signal.strsignal(-code) or 'a signal'} (signal {-code})"


class _Worker:
    """A process that does batches, as seen from the one that hands them over."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked child would keep others' locks
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end,), name="axon-worker", daemon=True)
        self._sending = threading.Lock()
        with _starting, _one_thread_each(), _deaf():
            self._process.start()
        end.close()

    def send(self, message: tuple[bytes, Batch] | str | None) -> None:
        """A batch and its task; a reason to stop; or that it may go. The dead don't mind."""
        with self._sending, suppress(OSError):
            self._pipe.send(message)

    def receive(self) -> bytes:
        """Wait for an answer; EOFError if there won't be one."""
        try:
            return self._pipe.recv_bytes()
        except OSError:
            raise EOFError from None

    def kill(self) -> None:
        self._process.kill()

    def bury(self) -> int | None:
        """Its exit code, as soon as it has ended; None if that must be brought about."""
        self._process.join(_GRACE_SECONDS)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
        self._pipe.close()
        self._process.close()
        return code


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """What is started meanwhile uses one thread for linear algebra."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _deaf() -> Iterator[None]:
    """What is started meanwhile hears no signals until it wants to, nor does what that starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        # One process that multiprocessing starts beside the first, and lets signals through for it.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """What a worker process does, from beginning to end.

    Signals are noted while it does a batch. While it has none they end it, and nothing is lost.
    """
    told = _Told()
    jobs: queue.SimpleQueue[tuple[bytes, Batch] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, jobs, told), daemon=True).start()
    # A batch script may have it ignored by what it starts; not by the workers of that.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        pipe.send_bytes(b"")
        while (job := jobs.get()) is not None:
            with Interruption(told, signals=SIGNALS) as stop:
                answer = _packed(*job, stop)
                if reason := stop():  # a signal is meant for what comes next, too
                    told.reason = reason
            pipe.send_bytes(answer)


def _listen(
    pipe: Connection, jobs: queue.SimpleQueue[tuple[bytes, Batch] | None], told: _Told
) -> None:
    """The worker's other thread: take what comes, and end it all when nobody is there any more."""
    try:
        while (message := pipe.recv()) is not None:
            if isinstance(message, str):
                told.reason = message
            else:
                jobs.put(message)
        jobs.put(None)
    except (EOFError, OSError):
        os._exit(1)


# Clusters


class _Dask(_Crew):
    """The workers of a Dask cluster, which replaces those that die, and gives away what they had.

    When one dies often enough over a batch, it gives that up; and so all that was there with it.
    """

    knows_who_died = False

    def __init__(self, engine: Engine, task: Task, stop: Stop) -> None:
        try:
            import cloudpickle
            import distributed
        except ImportError as error:
            raise MissingExtraError(
                "engine='dask' needs distributed: pip install 'axon-cable[dask]'"
            ) from error
        self._task = _pickled(task, cloudpickle.dumps)
        self._token = f"axon-{os.urandom(8).hex()}"
        self._told = False
        self._remotes: dict[Future[Any], Any] = {}
        self._ahead = AHEAD
        self._looked = self._counted = -_COUNT_SECONDS
        self._cluster = None
        where: dict[str, Any]
        if engine.scheduler is None:
            with _deaf():
                self._cluster = distributed.LocalCluster(
                    n_workers=engine.workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=None,
                    dashboard_address=":0",
                    scheduler_kwargs={"allowed_failures": 0},  # deaths are counted here
                )
            where = {"address": self._cluster}
        elif Path(engine.scheduler).is_file():
            where = {"scheduler_file": engine.scheduler}
        else:
            where = {"address": engine.scheduler}
        try:
            self._client = distributed.Client(**where, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SweepError(f"scheduler={engine.scheduler!r} does not answer: {error}") from error

    def ahead(self) -> int:
        if time.monotonic() - self._counted > _COUNT_SECONDS:  # they come and go
            with suppress(
                OSError
            ):  # a scheduler that is lost shows itself by what it should answer
                self._ahead = AHEAD * max(1, sum(self._client.nthreads().values()))
            self._counted = time.monotonic()
        return self._ahead

    def submit(self, batch: Batch) -> Future[Any]:
        future: Future[Any] = Future()
        remote = self._client.submit(_in_dask, self._task, batch, self._token, pure=False)
        self._client.loop.add_callback(_pass_on, remote, future)
        self._remotes[future] = remote
        return future

    def answer(self, future: Future[Any]) -> _Answer:
        from distributed import KilledWorker

        del self._remotes[future]
        if self._told and isinstance(future.exception(), CancelledError):
            return _Answer(None)
        try:
            return super().answer(future)
        except KilledWorker as error:
            how = f"the last was {error.last_worker.address}, whose log may tell why"
            raise _DiedError(how, error.allowed_failures + 1) from error

    def look(self) -> None:
        """Once told to stop, take back what no worker has: it might wait for one for ever."""
        if self._told and time.monotonic() - self._looked > _COUNT_SECONDS:
            with suppress(OSError):
                keys = {key for keys in self._client.processing().values() for key in keys}
                self._client.cancel([r for r in self._remotes.values() if r.key not in keys])
            self._looked = time.monotonic()

    def tell(self, reason: str) -> None:
        from distributed import WorkerPlugin

        # One that only is there, with all workers and those that come.
        told = type("Told", (WorkerPlugin,), {"reason": reason})()
        self._told = True
        try:
            self._client.register_plugin(told, name=self._token)
        except OSError as error:
            _log.warning("workers could not be told to stop: %s", error)

    def close(self, *, at_once: bool) -> None:
        if self._client.status == "running":
            if at_once:
                self.tell("nobody waits for it")
            elif self._told:
                self._client.unregister_worker_plugin(self._token)
        self._client.close()
        if self._cluster is not None:
            try:
                self._cluster.close()
            except Exception as error:  # it may be starting a worker in a dead one's place
                _log.warning("a cluster of Dask ends with this process, not before: %s", error)


async def _pass_on(remote: Any, future: Future[Any]) -> None:
    """What comes of a future of Dask. Its executor, where workers die, may never say so."""
    try:
        result = await remote
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _in_dask(task: bytes, batch: Batch, token: str) -> bytes:
    from distributed import get_worker

    plugins = get_worker().plugins
    return _packed(task, batch, lambda: getattr(plugins.get(token), "reason", ""))


class _Mpi(_Crew):
    """The processes of an MPI job but the first, which is this. If one dies, MPI ends them all."""

    def __init__(self, engine: Engine, task: Task, stop: Stop) -> None:
        try:
            from mpi4py import MPI
            from mpi4py.futures import MPIPoolExecutor
        except (ImportError, RuntimeError) as error:  # the latter where there is no MPI library
            raise MissingExtraError(
                "engine='mpi' needs mpi4py and an MPI library: pip install 'axon-cable[mpi]' "
                f"beside Open MPI, MPICH or another ({error})"
            ) from error
        self._world = MPI.COMM_WORLD
        if self._world.size == 1 or "mpi4py.futures" not in sys.orig_argv:
            raise SweepError(
                "engine='mpi' needs two processes or more: "
                "mpirun -n N python -m mpi4py.futures -m axon ..."
            )
        self._ahead = AHEAD * (self._world.size - 1)
        self._task = _pickled(task)
        self._token = os.urandom(8)
        self._sent: list[object] = []  # whose memory MPI may still read
        self._pool: Executor = MPIPoolExecutor(initializer=_enter_mpi, initargs=(self._token,))

    def submit(self, batch: Batch) -> Future[Any]:
        return self._pool.submit(_in_mpi, self._task, batch)

    def tell(self, reason: str) -> None:
        self._sent += [
            self._world.isend((self._token, reason), dest=rank, tag=_TAG)
            for rank in range(1, self._world.size)
        ]

    def close(self, *, at_once: bool) -> None:
        if at_once:
            self.tell("nobody waits for it")
        self._pool.shutdown(cancel_futures=True)


class _Messages:
    """From the first process of an MPI job to this one."""

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._reason = ""

    def __call__(self) -> str:
        from mpi4py import MPI

        while MPI.COMM_WORLD.iprobe(source=0, tag=_TAG):
            token, reason = MPI.COMM_WORLD.recv(source=0, tag=_TAG)
            if token == self._token:  # there may be one left from earlier work
                self._reason = reason
        return self._reason


def _enter_mpi(token: bytes) -> None:
    """In each process, before all batches. Signals are noted from here on: they would end all."""
    _stop.set(Interruption(_Messages(token), signals=SIGNALS).__enter__())


def _in_mpi(task: bytes, batch: Batch) -> bytes:
    return _packed(task, batch, _stop.get())


def _local(engine: Engine, task: Task, stop: Stop) -> _Crew:
    return (_Alone if engine.workers == 1 else _Processes)(engine, task, stop)


_CREWS: dict[str, Callable[[Engine, Task, Stop], _Crew]] = {
    "processes": _local,
    "threads": _Threads,
    "dask": _Dask,
    "mpi": _Mpi,
}
