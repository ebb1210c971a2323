"""Many simulations in one call: threads over them, and no more memory than their results take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, overload

from axon.equations import Stop
from axon.errors import AxonError, SimulationError, StoppedError
from axon.runs import Run
from axon.simulation import Simulation
from axon.turns import checked, in_turn

__all__ = ["Ensemble", "Runs"]

Outcome = Run | AxonError
"""What became of a member: its run, or why there is none."""

_AHEAD = 4
"""Members of each thread that may wait for those before them."""

_OPTIONS = ("duration", "every", "record", "dtype", "electrodes")
"""Of a member."""


class Ensemble:
    """Simulations that are run together.

    They may differ in everything: axon, membrane, stimuli, time step, changes. Those whose
    membranes are of the same functions, at one temperature and time step, share programs and
    tables by themselves, whatever their conductances: make the membrane once, and the others of
    it by `Membrane.scaled`.

    A member's run has the bits that it has alone, whatever else there is and however many threads.

    Parameters
    ----------
    simulations : iterable of Simulation
        A sequence is kept as it is, and asked for each member when its turn has come: one that
        makes them then holds none in memory.

    Examples
    --------
    >>> membrane = axon.models.hodgkin_huxley()
    >>> pulse = axon.CurrentClamp(0.0, axon.pulse(amplitude=2000.0, start=0.5, duration=0.5))
    >>> ensemble = axon.Ensemble(
    ...     axon.Simulation(
    ...         axon.Axon.cylinder("20 mm", diameter=d, Ra=35.4, dx=100.0), membrane, [pulse]
    ...     )
    ...     for d in (50.0, 100.0, 200.0)
    ... )
    >>> runs = ensemble.run(20.0)
    >>> [round(axon.conduction_velocity(run, 5000.0, 15000.0).value, 2) for run in runs]
    [3.99, 5.63, 7.97]
    """

    def __init__(self, simulations: Iterable[Simulation]) -> None:
        if isinstance(simulations, Simulation):
            raise SimulationError("simulations is one simulation; write Ensemble([simulation])")
        if not isinstance(simulations, Iterable):
            raise SimulationError(f"simulations={simulations!r} is no sequence of them")
        self.simulations: Sequence[Simulation] = (
            simulations if isinstance(simulations, Sequence) else tuple(simulations)
        )

    def __len__(self) -> int:
        return len(self.simulations)

    def run(
        self,
        duration: Any,
        *,
        own: Sequence[Mapping[str, Any]] | None = None,
        threads: int | None = None,
        stop: Stop | None = None,
        progress: Callable[[float, int], None] | None = None,
        **recording: Any,
    ) -> Runs:
        """Run all members and keep all runs.

        Parameters
        ----------
        duration, **recording
            ``every``, ``record``, ``dtype`` and ``electrodes``, as for `Simulation.run`.
        own : sequence of mapping, optional
            Of each member, those of these arguments that are its own.
        threads : int, optional
            As many as there are processors to be used, if not given.
        stop : callable, optional
            Called a few times a second, in any thread; all stop as soon as it returns a reason.
        progress : callable, optional
            Called with the fraction and the number of members that are done, after each.

        Returns
        -------
        Runs

        Raises
        ------
        StoppedError
            If `stop` said so. Nothing is kept then; `each` hands over what is there.
        SimulationError
            If `own` or `threads` is none, or a member no Simulation.
        """
        outcomes = self.each(
            duration, own=own, threads=threads, stop=stop, progress=progress, **recording
        )
        return Runs(outcome for _, outcome in outcomes)

    def each(
        self,
        duration: Any,
        *,
        own: Sequence[Mapping[str, Any]] | None = None,
        threads: int | None = None,
        stop: Stop | None = None,
        progress: Callable[[float, int], None] | None = None,
        **recording: Any,
    ) -> Iterator[tuple[int, Outcome]]:
        """Run all members, and hand over each in its turn: memory holds but a few at a time.

        Arguments and errors are those of `run`.

        Yields
        ------
        (int, Run or AxonError)
            Number of the member, and its run; or the error by which it failed, such as a
            DivergedError, while the others go on.
        """
        for given in (recording, *(() if own is None else own)):
            if not isinstance(given, Mapping):
                raise SimulationError(f"own has {given!r}, which is no mapping; give one each")
            if strange := [name for name in given if name not in _OPTIONS]:
                raise SimulationError(
                    f"{strange[0]} is none of a member's options, {', '.join(_OPTIONS)}"
                )
        if own is not None and len(own) != len(self):
            raise SimulationError(
                f"own has {len(own)} members, and the ensemble {len(self)}; give one mapping each"
            )
        count = checked(threads, "threads")
        over = threading.Event()

        def stopping() -> str:
            return "the ensemble is over" if over.is_set() else stop() if stop else ""

        def outcome(k: int) -> Outcome:
            simulation = self.simulations[k]
            if not isinstance(simulation, Simulation):
                raise SimulationError(f"simulations[{k}]={simulation!r} is no Simulation")
            options = {"duration": duration, **recording, **(own[k] if own is not None else {})}
            try:
                return simulation.run(**options, stop=stopping)
            except StoppedError:
                raise
            except AxonError as error:
                return error

        outcomes = in_turn(
            outcome, range(len(self)), count, _AHEAD * count, over=over.set, name="axon-ensemble"
        )
        return self._told(outcomes, progress)

    def _told(
        self,
        outcomes: Generator[Outcome, None, None],
        progress: Callable[[float, int], None] | None,
    ) -> Iterator[tuple[int, Outcome]]:
        with closing(outcomes):
            for k, found in enumerate(outcomes):
                if progress is not None:
                    progress((k + 1) / len(self), k + 1)
                yield k, found

    def __repr__(self) -> str:
        return f"Ensemble of {len(self)} simulations"


class Runs(Sequence[Run]):
    """Runs of an ensemble, by the numbers of its members.

    To ask for one that failed raises its error.

    Attributes
    ----------
    failures : dict of int to AxonError
        Members that failed, and why.
    """

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._outcomes = tuple(outcomes)
        self.failures = {
            k: outcome for k, outcome in enumerate(self._outcomes) if isinstance(outcome, AxonError)
        }

    @property
    def finished(self) -> dict[int, Run]:
        """Runs of the members that did not fail, by their numbers."""
        return {k: run for k, run in enumerate(self._outcomes) if isinstance(run, Run)}

    def __len__(self) -> int:
        return len(self._outcomes)

    @overload
    def __getitem__(self, k: int) -> Run: ...
    @overload
    def __getitem__(self, k: slice) -> Runs: ...
    def __getitem__(self, k: int | slice) -> Run | Runs:
        if isinstance(k, slice):
            return Runs(self._outcomes[k])
        outcome = self._outcomes[k]
        if isinstance(outcome, AxonError):
            raise outcome
        return outcome

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} of which failed" if self.failures else ""
        return f"{len(self)} runs{failed}"
