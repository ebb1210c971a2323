"""Everything that axon raises on purpose.

Each error is an `AxonError`, and also the built-in that fits it best, so that both
``except axon.AxonError`` and ``except ValueError`` do what one expects.
"""

import math


class AxonError(Exception):
    """Base of every error that axon raises on purpose."""


class UnitError(AxonError, ValueError):
    """A quantity is no number, is not finite, or has the wrong dimension."""


class GeometryError(AxonError, ValueError):
    """A shape, or a cut into compartments, that no axon can have."""


class MembraneError(AxonError, ValueError):
    """A channel, gate or membrane that cannot be built."""


class StimulusError(AxonError, ValueError):
    """A stimulus or waveform that makes no sense, or not on this axon."""


class SimulationError(AxonError, ValueError):
    """Arguments of a simulation or of its run that don't fit together."""


class StudyError(AxonError, ValueError):
    """A study that cannot be found, read, or understood."""


class SweepError(AxonError, ValueError):
    """A sweep, or a way to run it, that makes no sense or that can't be had here."""


class RunFileError(AxonError, OSError):
    """A run file that is missing, damaged, or of a layout that is not known."""


class WriteError(AxonError, OSError):
    """Output that could not be written.

    Attributes
    ----------
    resumable : bool
        Whether it was for want of space, or the like, in a run that `axon.resume` can take on.
    """

    resumable = False


class StoppedError(AxonError):
    """A run, or many, told to stop before the end; `axon.resume` takes a run on.

    Parameters
    ----------
    reason : str
        Such as ``SIGTERM``.
    time : float, optional
        How far a run has come, in ms; not a number if there were many.
    path : str, optional
        The run file to be.
    """

    def __init__(self, reason: str, time: float = math.nan, path: str | None = None) -> None:
        super().__init__(reason, time, path)
        self.reason = reason
        self.time = time
        self.path = path

    def __str__(self) -> str:
        when = "" if math.isnan(self.time) else f" at t = {self.time:g} ms"
        told = f"stopped{when}: {self.reason}"
        if self.path is None:
            return told
        return f"{told}; all up to there is kept, go on with: axon resume {self.path}"


class DivergedError(AxonError, ArithmeticError):
    """The membrane potential ran away, or a state is none that can be.

    Parameters
    ----------
    time : float
        Simulated time at which it was noticed, in ms.
    x : float
        Centre of the compartment, in µm from the axon's origin.
    compartment : int
        Number of the compartment.
    v : float
        Membrane potential found there, in mV; or the value of `state`.
    state : str, optional
        Another state that is no number any more, such as ``na.m``, or a concentration below zero.
    """

    def __init__(
        self, time: float, x: float, compartment: int, v: float, state: str | None = None
    ) -> None:
        # All of them go to the base class: that is what lets the error be pickled.
        super().__init__(time, x, compartment, v, state)
        self.time = time
        self.x = x
        self.compartment = compartment
        self.v = v
        self.state = state

    def __str__(self) -> str:
        what = f"{self.v:g} mV" if self.state is None else f"{self.state} = {self.v:g}"
        whose = "membrane potential" if self.state is None else "membrane's state"
        return (
            f"the {whose} diverged: {what} at t = {self.time:g} ms, "
            f"x = {self.x:g} um (compartment {self.compartment}); try a smaller dt, stride=1 "
            "where concentrations move, or look for an amplitude or conductance in the wrong unit"
        )


class WorkerDiedError(AxonError, RuntimeError):
    """Work over which worker processes died: by a signal, a crash, or for want of memory."""


class NoSpikeError(AxonError, LookupError):
    """What was asked for needs a spike, and there was none."""


class NoThresholdError(AxonError, LookupError):
    """No strength of a stimulus is a threshold; the message says what was seen.

    Attributes
    ----------
    out_of_reach : bool
        Whether none that was tried did it, so that one beyond them all might.
    """

    out_of_reach = False


class NoRestError(AxonError, ArithmeticError):
    """The membrane has no resting state where one was looked for."""


class MissingExtraError(AxonError, ImportError):
    """A package is missing that only some uses of axon need."""
