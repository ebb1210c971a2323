"""Stimuli: where, when and how much current enters an axon, or the tissue around it."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from axon.errors import StimulusError
from axon.sources import Source, source_from
from axon.timecourses import Waveform
from axon.units import QuantityLike, quantity

__all__ = ["CurrentClamp", "Extracellular", "Stimulus"]


@dataclass(frozen=True)
class CurrentClamp:
    """Current from an electrode inside the axon; immutable, hashable, equal by value.

    Parameters
    ----------
    at : float or quantity
        Position in µm from the axon's origin. A simulation refuses one that
        lies beyond the end of its axon.
    waveform : Waveform
        Current in nA; a positive one depolarises.

    Raises
    ------
    StimulusError
        If `at` is negative or no position, or `waveform` is no waveform.

    Examples
    --------
    >>> import axon
    >>> axon.CurrentClamp(at="1 mm", waveform=axon.pulse(1.0, start=1.0, duration=0.5))
    CurrentClamp(at=1000.0, waveform=pulse(amplitude=1.0, start=1.0, duration=0.5))
    """

    at: float
    waveform: Waveform

    def __init__(self, at: QuantityLike, waveform: Waveform) -> None:
        _check(waveform, Waveform, "waveform", "axon.constant(1.0)")
        position = quantity(at, "um", "at", error=StimulusError, minimum=0.0)
        object.__setattr__(self, "at", position)
        object.__setattr__(self, "waveform", waveform)

    def to_dict(self) -> dict[str, Any]:
        """Description in JSON's types, which `from_dict` understands."""
        return {"type": "current_clamp", "at": self.at, "waveform": self.waveform.to_dict()}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> CurrentClamp:
        """The stimulus that a description stands for.

        Parameters
        ----------
        description : mapping
            ``type``, which is ``"current_clamp"``, ``at``, and ``waveform`` as
            `Waveform.from_dict` takes it.

        Raises
        ------
        StimulusError
            If it is anything else; the message names the key.
        """
        if not isinstance(description, Mapping):
            raise StimulusError(
                f"stimulus = {reprlib.repr(description)} is no table; "
                'write {"type": "current_clamp", "at": 0.0, "waveform": {...}}'
            )
        keys = {"type", "at", "waveform"}
        if missing := sorted(keys - description.keys()):
            raise StimulusError(f"{missing[0]} is missing; a current clamp has type, at, waveform")
        if unknown := sorted(map(repr, description.keys() - keys)):
            raise StimulusError(f"{unknown[0]} is unknown; a current clamp has type, at, waveform")
        if description["type"] != "current_clamp":
            kind = reprlib.repr(description["type"])
            raise StimulusError(f'type = {kind} is no current clamp; write "current_clamp"')
        return cls(description["at"], Waveform.from_dict(description["waveform"]))


@dataclass(frozen=True)
class Extracellular:
    """An electrode outside the axon, or several that share one waveform.

    Parameters
    ----------
    source : Source
        Where it is, and what it does to the potential outside: a `PointSource`, say.
    waveform : Waveform
        Current in mA, where its amplitudes are plain numbers; those with a unit are converted. A
        negative current, of a cathode, depolarises where it is nearest.

    Raises
    ------
    StimulusError
        If `source` is no source, or `waveform` is no waveform.

    Examples
    --------
    >>> import axon
    >>> electrode = axon.PointSource(x="2 mm", y=0.0, z="250 um", sigma=0.3)
    >>> axon.Extracellular(electrode, axon.pulse("-100 uA", start=1.0, duration=0.1)).waveform
    pulse(amplitude=-0.1, start=1.0, duration=0.1)
    """

    source: Source
    waveform: Waveform

    def __init__(self, source: Source, waveform: Waveform) -> None:
        _check(source, Source, "source", "axon.PointSource(0.0, 0.0, 100.0)")
        _check(waveform, Waveform, "waveform", "axon.pulse(-0.1, 1.0, 0.1)")
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "waveform", waveform.in_milliamperes())

    def to_dict(self) -> dict[str, Any]:
        """Description in JSON's types, which `from_dict` understands."""
        return {
            "type": "extracellular",
            "source": self.source.to_dict(),
            "waveform": self.waveform.to_dict(),
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Extracellular:
        """The stimulus that a description stands for.

        Raises
        ------
        StimulusError
            If it is anything else.
        """
        wanted = {"type", "source", "waveform"}
        if not isinstance(description, Mapping) or description.keys() != wanted:
            raise StimulusError("an extracellular stimulus has type, source, waveform")
        waveform = Waveform.from_dict(description["waveform"])
        return cls(source_from(description["source"]), waveform)


Stimulus = CurrentClamp | Extracellular
"""What a simulation takes."""


def stimulus_from(description: Any) -> Stimulus:
    """The stimulus that a description stands for, as `to_dict` gives it.

    Raises
    ------
    StimulusError
        If it is anything else.
    """
    outside = isinstance(description, Mapping) and description.get("type") == "extracellular"
    return (Extracellular if outside else CurrentClamp).from_dict(description)


def _check(value: object, kind: type, name: str, example: str) -> None:
    if not isinstance(value, kind):
        raise StimulusError(
            f"{name} = {reprlib.repr(value)} is no {name}; write for instance {example}"
        )
