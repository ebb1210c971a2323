"""Many simulations, one after the other: a stand-in for one that runs them side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from axon.equations import Progress, Stop
from axon.errors import AxonError
from axon.runs import Run
from axon.simulation import Simulation
from axon.sources import Source
from axon.units import QuantityLike


class Ensemble:
    """Simulations that are run together.

    Parameters
    ----------
    simulations : iterable of Simulation
        Also one that makes them as they are asked for.
    """

    def __init__(self, simulations: Iterable[Simulation]) -> None:
        self._simulations = simulations

    def each(
        self,
        duration: QuantityLike,
        *,
        every: QuantityLike | None = None,
        record: Iterable[QuantityLike] | None = None,
        dtype: str = "float32",
        electrodes: Sequence[Source] = (),
        threads: int | None = None,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> Iterator[tuple[int, Run | AxonError]]:
        """Number and run of each, or the error by which it failed, in their order.

        Arguments are those of `Simulation.run`.
        """
        for index, simulation in enumerate(self._simulations):
            try:
                yield (
                    index,
                    simulation.run(
                        duration,
                        every=every,
                        record=record,
                        dtype=dtype,
                        electrodes=electrodes,
                        progress=progress,
                        stop=stop,
                    ),
                )
            except AxonError as error:
                yield index, error
