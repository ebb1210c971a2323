"""Protocols asked of a study, by the names and arguments of their functions."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from axon import protocols, study
from axon.errors import AxonError, StudyError
from axon.runs import Run
from axon.study import Study

__all__ = ["QUESTIONS", "answer", "ask", "check", "facts"]

QUESTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        protocols.threshold,
        protocols.block_threshold,
        protocols.strength_duration,
        protocols.recovery_cycle,
        protocols.following_frequency,
        protocols.activity_slowing,
        protocols.velocity_vs,
    )
}

_WAITS = ("duration", "wait")
"""Arguments that the study's own duration stands in for."""
_NOT_ASKED = ("simulation", "progress", "waveform", "make")
"""Arguments that are no plain values."""


def ask(
    name: study.PathLike,
    question: str,
    arguments: Mapping[str, object] | None = None,
    changes: Mapping[str, object] | None = None,
    progress: Callable[..., None] | None = None,
) -> Any:
    """Ask a protocol's question of a study.

    Parameters
    ----------
    name : str or path
        Of the study, as for `axon.study.load`.
    question : str
        One of `QUESTIONS`, which are names of the protocols' functions.
    arguments : mapping, optional
        Of that function, but its simulation. How long to wait is the study's duration if not
        given. ``velocity_vs`` takes the ``key`` that is changed, such as ``"axon.diameter"``, and
        its ``values``; ``start`` and ``stop`` are those of the study's ``[measure.velocity]`` if
        not given.
    changes : mapping, optional
        Of the study, as for `axon.study.load`.
    progress : callable, optional
        Handed to the protocol, if it tells its progress.

    Returns
    -------
    The protocol's answer.

    Raises
    ------
    StudyError
        If there is no such question, or an argument is unknown or missing.
    AxonError
        Those of the protocol.
    """
    return answer(study.load(name, changes), question, arguments, progress)


def answer(
    chosen: Study,
    question: str | None = None,
    arguments: Mapping[str, object] | None = None,
    progress: Callable[..., None] | None = None,
) -> Any:
    """Ask a protocol's question of a study that is loaded.

    Parameters
    ----------
    chosen : Study
        As `axon.study.load` returns it, or `Study.changed`.
    question : str, optional
        One of `QUESTIONS`; that of the study's ``[ask]`` if not given.
    arguments : mapping, optional
        As for `ask`; those of ``[ask]`` if no question is given, or what takes their place.
    progress : callable, optional
        Handed to the protocol, if it tells its progress.

    Returns
    -------
    The protocol's answer.

    Raises
    ------
    StudyError
        If there is no such question, or an argument is unknown or missing.
    AxonError
        Those of the protocol.
    """
    name, given = _asked(chosen, question, arguments)
    function = QUESTIONS[name]
    if progress is not None and "progress" in inspect.signature(function).parameters:
        given["progress"] = progress
    try:
        if function is protocols.velocity_vs:
            return function(_maker(chosen, given.pop("key")), **given)
        return function(chosen.simulation, **given)
    except TypeError as error:
        raise StudyError(f"{name}: {error}") from error


def check(
    chosen: Study, question: str | None = None, arguments: Mapping[str, object] | None = None
) -> None:
    """Refuse a question that `answer` would refuse by its names, without running anything.

    Parameters
    ----------
    chosen, question, arguments
        As for `answer`.

    Raises
    ------
    StudyError
        If there is no such question, or an argument is unknown or missing.
    """
    _asked(chosen, question, arguments)


def _asked(
    chosen: Study, question: str | None, arguments: Mapping[str, object] | None
) -> tuple[str, dict[str, Any]]:
    """The question's name, and all arguments that the study and the caller give it."""
    given: dict[str, Any] = dict(arguments or {})
    if question is None:
        if chosen.ask is None:
            raise StudyError(f"{chosen.file}: ask is missing; write [ask], or name a question")
        given = chosen.ask | given
        try:
            return _asked(chosen, str(given.pop("question")), given)
        except StudyError as error:
            raise StudyError(f"{chosen.file}: ask: {error}") from None
    function = QUESTIONS.get(question)
    if function is None:
        raise StudyError(f"{question!r} is no question; ask one of {', '.join(QUESTIONS)}")
    parameters = inspect.signature(function).parameters
    asked = [key for key in parameters if key not in _NOT_ASKED]
    if function is protocols.velocity_vs:
        asked.insert(0, "key")
        given = dict(chosen.tables.get("measure", {}).get("velocity", {})) | given
        given.pop("threshold", None)
    for key in _WAITS:
        if key in asked:
            given.setdefault(key, chosen.duration)
    if unknown := sorted(given.keys() - set(asked)):
        raise StudyError(f"{unknown[0]} is unknown; {question} takes {', '.join(asked)}")
    missing = [
        key
        for key in asked
        if key not in given
        and (key not in parameters or parameters[key].default is inspect.Parameter.empty)
    ]
    if missing:
        raise StudyError(f"{missing[0]} is missing; {question} takes {', '.join(asked)}")
    return question, given


def _maker(chosen: Study, key: object) -> Callable[..., Any]:
    """Makes the study's simulation for a value of one of its keys."""
    if not isinstance(key, str):
        raise StudyError(f"key = {key!r} is none of a study's; write for instance axon.diameter")
    return lambda value: chosen.changed({key: value}).simulation


def facts(answer: Any) -> Any:
    """An answer in JSON's types: its attributes and properties; what is no number is None."""
    if isinstance(answer, float | np.floating):
        return float(answer) if math.isfinite(answer) else None
    if isinstance(answer, np.generic):
        return answer.item()
    if isinstance(answer, np.ndarray | list | tuple):
        return [facts(item) for item in (answer.tolist() if hasattr(answer, "tolist") else answer)]
    if isinstance(answer, Mapping):
        return {str(key): facts(value) for key, value in answer.items()}
    if not dataclasses.is_dataclass(answer):
        return answer
    names = [field.name for field in dataclasses.fields(answer)]
    names += [name for name, item in vars(type(answer)).items() if isinstance(item, property)]
    found = {}
    for name in names:
        try:
            value = getattr(answer, name)
        except (AxonError, ArithmeticError, ValueError, IndexError):
            continue  # such as a fit of too few points
        if not isinstance(value, Run):
            found[name] = facts(value)
    return found
