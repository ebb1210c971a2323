"""Stimuli: where, when and how much current enters an axon, or the tissue around it."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

from axon.errors import StimulusError
from axon.records import Value
from axon.sources import Source, source_from
from axon.timecourses import Waveform
from axon.units import Position, PositionLike, QuantityLike, position, quantity

__all__ = ["CurrentClamp", "Extracellular", "Stimulus", "VoltageClamp"]


class CurrentClamp(Value):
    """Current from an electrode inside the axon; immutable, hashable, equal by value.

    Parameters
    ----------
    at : position
        In µm from the axon's origin; of an axon that branches a branch, by number or name, and the
        distance along it, such as ``("b", 100.0)``. A simulation refuses one that
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

    at: Position
    waveform: Waveform

    def __init__(self, at: PositionLike, waveform: Waveform) -> None:
        _check(waveform, Waveform, "waveform", "axon.constant(1.0)")
        place = position(at, "at", error=StimulusError)
        object.__setattr__(self, "at", place)
        object.__setattr__(self, "waveform", waveform)

    def to_dict(self) -> dict[str, Any]:
        """Description in JSON's types, which `from_dict` understands."""
        waveform = self.waveform.to_dict()
        return {"type": "current_clamp", "at": _told(self.at), "waveform": waveform}

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


class VoltageClamp(Value):
    """A potential that an electrode inside the axon imposes; immutable, hashable, equal by value.

    Parameters
    ----------
    at : position
        As for `CurrentClamp`.
    waveform : Waveform
        The membrane potential that is commanded, mV, as plain numbers: say
        ``axon.constant(-65.0) + axon.pulse(65.0, start=1.0, duration=10.0)``.
    resistance : float or quantity, optional
        Series resistance of the electrode, MΩ. Without it the clamp is ideal: so stiff that the
        potential is the command's to 1e-9 of what pulls it away.
    start, stop : float or quantity, optional
        While it is on, ms; `stop` may be infinite.

    Raises
    ------
    StimulusError
        If an argument is no such quantity, or `stop` is not after `start`.

    Examples
    --------
    >>> import axon
    >>> step = axon.constant(-65.0) + axon.pulse(65.0, start=1.0, duration=10.0)
    >>> axon.VoltageClamp("1 mm", step, resistance="1 Mohm").at
    1000.0
    """

    at: Position
    waveform: Waveform
    resistance: float | None
    start: float
    stop: float

    def __init__(
        self,
        at: PositionLike,
        waveform: Waveform,
        *,
        resistance: QuantityLike | None = None,
        start: QuantityLike = 0.0,
        stop: QuantityLike = math.inf,
    ) -> None:
        _check(waveform, Waveform, "waveform", "axon.constant(-65.0)")
        if waveform.had_units():
            raise StimulusError(
                "waveform has amplitudes with a unit of current; write a voltage clamp's as plain "
                "numbers, in mV"
            )
        place = position(at, "at", error=StimulusError)
        series = None
        if resistance is not None:
            series = quantity(resistance, "Mohm", "resistance", error=StimulusError, positive=True)
        begin = quantity(start, "ms", "start", error=StimulusError)
        end = quantity(stop, "ms", "stop", error=StimulusError, finite=False)
        if not begin < end:
            raise StimulusError(f"stop = {end:g} ms is not after start = {begin:g} ms")
        for name, value in (
            ("at", place),
            ("waveform", waveform),
            ("resistance", series),
            ("start", begin),
            ("stop", end),
        ):
            object.__setattr__(self, name, value)

    @property
    def command(self) -> tuple[Waveform, float, float]:
        """What is commanded, and from when to when."""
        return self.waveform, self.start, self.stop

    def to_dict(self) -> dict[str, Any]:
        """Description in JSON's types, which `from_dict` understands."""
        description: dict[str, Any] = {
            "type": "voltage_clamp",
            "at": _told(self.at),
            "waveform": self.waveform.to_dict(),
            "start": self.start,
        }
        if self.resistance is not None:
            description["resistance"] = self.resistance
        if self.stop < math.inf:  # JSON has no infinity
            description["stop"] = self.stop
        return description

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> VoltageClamp:
        """The stimulus that a description stands for.

        Raises
        ------
        StimulusError
            If it is anything else.
        """
        must, may = {"type", "at", "waveform"}, {"resistance", "start", "stop"}
        if not isinstance(description, Mapping) or not (
            must <= description.keys() <= must | may and description["type"] == "voltage_clamp"
        ):
            raise StimulusError(
                "a voltage clamp has type, at, waveform, and may have resistance, start, stop"
            )
        options = {key: description[key] for key in may & description.keys()}
        return cls(description["at"], Waveform.from_dict(description["waveform"]), **options)


class Extracellular(Value):
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


Stimulus = CurrentClamp | VoltageClamp | Extracellular
"""What a simulation takes."""


def stimulus_from(description: Any) -> Stimulus:
    """The stimulus that a description stands for, as `to_dict` gives it.

    Raises
    ------
    StimulusError
        If it is anything else.
    """
    kind = description.get("type") if isinstance(description, Mapping) else None
    if kind == "voltage_clamp":
        return VoltageClamp.from_dict(description)
    return (Extracellular if kind == "extracellular" else CurrentClamp).from_dict(description)


def _told(at: Position) -> float | list[int | str | float]:
    """A position in JSON's types, which has no tuples."""
    return list(at) if isinstance(at, tuple) else at


def _check(value: object, kind: type, name: str, example: str) -> None:
    if not isinstance(value, kind):
        raise StimulusError(
            f"{name} = {reprlib.repr(value)} is no {name}; write for instance {example}"
        )
