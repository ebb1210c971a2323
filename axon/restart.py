"""Going on with a run from its files alone."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from axon import runfile, storage
from axon._kernel import Kernel
from axon.config import fused
from axon.disk import open_run
from axon.equations import (
    BEGINNING,
    MOST_STEPS,
    RESULTS,
    Equations,
    Progress,
    Recording,
    Stop,
    integrate,
    load,
    whole_steps,
)
from axon.errors import AxonError, RunFileError, SimulationError, StoppedError
from axon.interruption import Interruption
from axon.records import Value
from axon.runfile import encode_header
from axon.runs import Run
from axon.segments import (
    Begun,
    FinishedElsewhereError,
    Folder,
    Segment,
    chain,
    is_begun,
    output_of,
    parts_of,
)
from axon.stimuli import VoltageClamp
from axon.storage import COMMIT_SECONDS, RunWriter
from axon.units import QuantityLike, quantity
from axon.waveforms import from_description

Inputs = Mapping[str, np.ndarray]

_FREE = {
    "axon_version",
    "simulation.steps",
    "simulation.duration",
    "recording.rows",
    "study.simulation.duration",
    "study.title",
}
"""What may differ in the header of a run that goes on."""
_NEWER = {BEGINNING}
"""Arrays that files of an older axon don't have."""
_NOTHING = "nothing"
_PLACES = "the places that are recorded"
_MOST_TOLD = 20  # differences


class Expected(NamedTuple):
    """A run that there should be."""

    header: dict[str, Any]
    inputs: Inputs
    compartments: np.ndarray
    """Those that are recorded."""


def resume(
    path: str | os.PathLike[str],
    *,
    until: QuantityLike | None = None,
    stop_after: float | str | None = None,
    stop: Stop | None = None,
    progress: Progress | None = None,
) -> Run:
    """Go on with a run that was interrupted, from its own files and nothing else.

    The finished file has, byte for byte, what it would have had without interruption.

    Parameters
    ----------
    path : path-like
        The run file, even if there are only segments of it yet.
    until : float or quantity, optional
        Simulated time at which the run ends, ms: later than it was to end. A finished run too
        can be made longer.
    stop_after, stop, progress
        As for `Simulation.run`.

    Returns
    -------
    Run
        Also if there was nothing left to do.

    Raises
    ------
    RunFileError
        If there is no run, if it is damaged where that matters, or if this program or machine
        would compute it otherwise.
    SimulationError
        If `until` is no whole number of steps, or earlier than the run's end.
    StoppedError, DivergedError, WriteError
        As for `Simulation.run`.

    Examples
    --------
    >>> run = axon.resume("run.h5")
    """
    return take_on(Path(path), until=until, stop_after=stop_after, stop=stop, progress=progress)


def run_into(
    output: Path,
    begun: Callable[[], Underway],
    expected: Expected,
    *,
    resume: bool,
    overwrite: bool,
    commit_seconds: float | None,
    stop_after: float | str | None,
    stop: Stop | None,
    progress: Progress | None,
) -> Run:
    """Run from where it has `begun` into a file, or go on with the one that is there."""
    if commit_seconds is None:
        commit_seconds = COMMIT_SECONDS
    if resume and (output.exists() or is_begun(output)):
        return take_on(
            output,
            expected=expected,
            commit_seconds=commit_seconds,
            stop_after=stop_after,
            stop=stop,
            progress=progress,
        )
    run = begun()
    equations, recording = run.equations, run.recording
    with Interruption(stop, stop_after) as stopping:
        try:
            writer = RunWriter(
                output,
                header=expected.header,
                x=equations.x[recording.compartments],
                compartments=recording.compartments,
                axon_x=equations.x,
                first=recording.rows_before(run.begin),
                n_rows=recording.rows_within(run.begin, run.steps),
                interval=recording.every_steps * equations.dt,
                dtype=recording.dtype,
                electrodes=equations.n_electrodes,
                inputs=expected.inputs,
                state=run.kernel.state(),
                commit_seconds=commit_seconds,
                overwrite=overwrite,
                stop=stopping,
            )
        except FinishedElsewhereError:
            return open_run(output)
        return write(writer, run, stopping, progress)


def take_on(
    output: Path,
    *,
    until: QuantityLike | None = None,
    expected: Expected | None = None,
    commit_seconds: float = COMMIT_SECONDS,
    stop_after: float | str | None = None,
    stop: Stop | None = None,
    progress: Progress | None = None,
) -> Run:
    """Go on with the run `output`; `expected` says which it must be."""
    output = output_of(output)
    if output.is_symlink():
        output = output.resolve()  # which is what is to be longer
    if not output.exists() and not parts_of(output).is_dir():
        raise RunFileError(f"there is no run {output}, neither a finished file nor segments of one")
    with Interruption(stop, stop_after) as stopping:
        folder = Folder(output, storage.PATIENCE)
        try:
            begun = _found(folder, until, expected)
            if begun is not None:
                rows = begun.links[-1].stop + len(begun.carry[0])
                run = _rebuilt(folder.path, begun.recording, begun.inputs, begun.state, rows)
                run.longer = begun.longer
                folder.tidy(begun.damaged)
                writer = RunWriter.resume(
                    folder, begun, commit_seconds=commit_seconds, stop=stopping
                )
        except FileNotFoundError as error:
            # Where locks do nothing, another process may have finished the run meanwhile.
            if not output.exists():
                folder.release()
                raise RunFileError(f"{error.filename} has vanished") from error
            begun = None
        except BaseException:
            folder.release()
            raise
        if begun is None:
            folder.remove()
            return open_run(output)
        return write(writer, run, stopping, progress)


class _Timing(Value):
    """What a header says of a run's steps, checked."""

    dt: float
    begin: int
    steps: int
    every: int
    """Steps between rows."""

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> _Timing:
        simulation, recording = header["simulation"], header["recording"]
        timing = cls(
            simulation["dt"], simulation["begin"], simulation["steps"], recording["every_steps"]
        )
        if (
            type(timing.dt) is not float
            or not 0.0 < timing.dt < np.inf
            or any(type(n) is not int for n in (timing.begin, timing.steps, timing.every))
            or not (0 <= timing.begin <= timing.steps <= MOST_STEPS and timing.every > 0)
        ):
            raise RunFileError(f"its header says {timing}")
        encode_header(dict(header)).encode()  # it must be written again
        return timing


@dataclass
class Underway:
    """A run that has come to some point, and what the kernel needs to go on."""

    equations: Equations
    recording: Recording
    kernel: Kernel
    """Where the run is."""
    begin: int
    """The step at which it began."""
    steps: int
    """That at which it ends."""
    new: bool = True
    """Whether it has no row yet."""
    longer: bool = False
    """Whether its files don't know yet that it goes so far."""


def write(writer: RunWriter, run: Underway, stop: Stop, progress: Progress | None) -> Run:
    """Integrate to the end, into a file."""
    kernel = run.kernel
    try:
        with writer:
            writer.log("kernel", isa=kernel.isa, step=int(kernel.get("step")[0]), of=run.steps)
            if run.longer:
                writer.commit(kernel.state)
            end = integrate(
                run.equations,
                kernel,
                run.recording,
                run.steps,
                writer,
                first=run.begin,
                new=run.new,
                progress=progress,
                stop=stop,
            )
            writer.finish(end)
    except FinishedElsewhereError:
        pass
    except StoppedError as error:
        raise StoppedError(error.reason, error.time, str(writer.path)) from None
    return open_run(writer.path)


# What there is


def _found(folder: Folder, until: QuantityLike | None, expected: Expected | None) -> Begun | None:
    """The run to go on with, or None if it is finished."""
    output = folder.output
    if output.exists():
        with runfile.reading(output) as part:
            finished = part.recording()
            inputs = part.arrays("inputs") if part.has("inputs") else {}
            state = part.arrays("state") if inputs else {}
        links = chain(folder.path)
        if not (links and _goes_beyond(links[-1], finished)):
            if not inputs:
                if until is None and expected is None:
                    return None
                raise RunFileError(
                    f"{output} holds nothing to go on from: an older axon has written it"
                )
            if _as_wanted(output, finished, inputs, until, expected) is finished:
                return None
            _rebuilt(output, finished, inputs, state, finished.n_rows)  # or it stays what it is
            folder.take_finished()
    begun = folder.begun()
    recording = _as_wanted(folder.path, begun.recording, begun.inputs, until, expected)
    longer = recording is not begun.recording
    return begun._replace(recording=recording, longer=longer)


def _goes_beyond(segment: Segment, finished: runfile.Recording) -> bool:
    # Else it is what was left over when `finished` was.
    try:
        with runfile.reading(segment.path) as part:
            growing = part.recording()
            differ = bool(_differences(finished.header, growing.header))
    except (FileNotFoundError, RunFileError):
        return False
    return differ or growing.n_rows > finished.n_rows


def _as_wanted(
    path: Path,
    found: runfile.Recording,
    inputs: Inputs,
    until: QuantityLike | None,
    expected: Expected | None,
) -> runfile.Recording:
    """What is to become of a run: itself, or a longer one."""
    with runfile.readable(path):
        timing = _Timing.of(found.header)
        told = _differences(found.header, expected.header) if expected else []
    dt, steps = timing.dt, timing.steps
    wanted = steps
    if expected is not None:
        arrays = {**expected.inputs, _PLACES: expected.compartments}
        inputs = {**inputs, _PLACES: found.compartments}
        told += [
            name if name == _PLACES else f"the membrane or the axon: {name}"
            for name in sorted(inputs.keys() | arrays.keys() - _NEWER)
            if not _equal(inputs.get(name), arrays.get(name))
        ]
        wanted = expected.header["simulation"]["steps"]
        if not told and wanted < steps:
            told.append(f"the duration: {steps * dt:g} ms there, {wanted * dt:g} ms now")
        if told:
            raise SimulationError(
                f"{path} is of another run; these differ:\n" + "\n".join(told[:_MOST_TOLD])
            )
    if until is not None:
        end = quantity(until, "ms", "until", error=SimulationError, positive=True)
        wanted = whole_steps(end, dt, "until")
        if wanted < steps:
            raise SimulationError(
                f"until={end:g} ms: the run already goes to {steps * dt:g} ms; give more"
            )
    if wanted == steps:
        return found
    with runfile.readable(path):
        n_rows = wanted // timing.every + 1 - found.first
        return replace(found, header=lasting(found.header, wanted), n_rows=n_rows)


def lasting(header: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """The header of a run that ends at step number `steps`, in all else the same."""
    simulation, recording = dict(header["simulation"]), dict(header["recording"])
    begin, every = simulation["begin"], recording["every_steps"]
    simulation["steps"] = steps
    simulation["duration"] = (steps - begin) * simulation["dt"]
    recording["rows"] = steps // every - -(-begin // every) + 1
    lasts = {**header, "simulation": simulation, "recording": recording}
    study = header.get("study")
    asked = study.get("simulation") if isinstance(study, dict) else None
    if isinstance(study, dict) and isinstance(asked, dict) and "duration" in asked:
        asked = {**asked, "duration": simulation["duration"]}
        lasts["study"] = {**study, "simulation": asked}
    return lasts


def _differences(there: Any, here: Any, path: str = "") -> list[str]:
    """Where two headers say different things that matter to results."""
    if path in _FREE:
        return []
    if isinstance(there, dict) and isinstance(here, dict):
        keys = dict.fromkeys([*there, *here])
        return [
            line
            for key in keys
            for line in _differences(
                there.get(key, _NOTHING), here.get(key, _NOTHING), f"{path}.{key}".lstrip(".")
            )
        ]
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = enumerate(zip(there, here, strict=True))
        return [line for k, (a, b) in pairs for line in _differences(a, b, f"{path}[{k}]")]
    if there == here:
        return []
    return [f"{path}: {reprlib.repr(there)} there, {reprlib.repr(here)} now"]


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _is_clamp(stimulus: Mapping[str, Any]) -> bool:
    """Whether a stimulus of a header imposes a potential; not each needs to say what it is."""
    return "type" in stimulus and stimulus["type"] == "voltage_clamp"


def _rebuilt(
    path: Path, found: runfile.Recording, inputs: Inputs, state: Inputs, rows: int
) -> Underway:
    """The kernel, where a run's files left it after so many rows."""
    header = found.header
    with runfile.readable(path):
        try:
            simulation, timing = header["simulation"], _Timing.of(header)
            begin, steps = timing.begin, timing.steps
            if simulation["results"] != RESULTS:
                raise RunFileError(
                    f"axon {header['axon_version']} has begun it, whose results differ from those "
                    "of this version: go on with that one, or start anew"
                )
            if simulation["fused"] != fused():
                has = "with" if simulation["fused"] else "without"
                raise RunFileError(
                    f"it was begun on a machine {has} fused multiply-adds, which changes the last "
                    "digits: go on on such a one, or choose an instruction set by AXON_ISA"
                )
            sources = [s for s in header["stimuli"] if not _is_clamp(s)]
            clamps = [s for s in header["stimuli"] if _is_clamp(s)]
            equations = Equations.from_arrays(
                inputs,
                dt=timing.dt,
                method=simulation["method"],
                spike_threshold=float(simulation["spike_threshold"]),
                x=found.axon_x,
                waveforms=[from_description(s["waveform"]) for s in sources],
                commands=[VoltageClamp.from_dict(s).command for s in clamps],
            )
            recording = Recording(found.compartments, timing.every, str(found.dtype))
            kernel = equations.kernel(recording)
            load(kernel, state)
            step = int(kernel.get("step")[0])
            for first, _ in equations.later:  # all are looked at, before anything is computed
                changed = equations.kernel(recording, first)
                if first <= step:
                    load(changed, state)
                    kernel = changed
        except RunFileError:
            raise
        except AxonError as error:
            raise RunFileError(str(error)) from error
        new = rows == 0 and step == begin
        first = recording.rows_before(begin)
        if (
            equations.n != len(found.axon_x)
            or equations.n_electrodes != found.electrodes
            or found.interval != recording.every_steps * equations.dt
            or (found.first, found.n_rows) != (first, recording.rows_within(begin, steps))
            or not (begin <= step <= steps)
            or not (new or rows == recording.rows_within(begin, step))
        ):
            raise RunFileError("what its files say does not fit together")
    return Underway(equations, recording, kernel, begin, steps, new)
