"""What a membrane is made of, as text and as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from axon.channels import Channel, Gate, Markov, Pump
from axon.formulas import Formula, formula, number
from axon.ions import FARADAY, Ion, Pool
from axon.rates import arguments
from axon.records import Value

if TYPE_CHECKING:
    from axon.membranes import Membrane

_WIDTH = 80  # of the text, in characters
_HELD = "\N{NO-BREAK SPACE}"
_DOI = re.compile(r"doi:(10\.\d{4,9}/[^\s;,]*[^\s;,.)])")


class Row(NamedTuple):
    """One thing that is said: a number, a formula, or words."""

    symbol: str
    value: str
    unit: str = ""


class Part(Value):
    """A channel, a gate, an ion and so on.

    Attributes
    ----------
    title : str
    rows : tuple of Row
    parts : tuple of Part
        What it is made of in turn.
    """

    title: str
    rows: tuple[Row, ...]
    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self._lines(""))

    __repr__ = __str__

    def _lines(self, indent: str) -> Iterator[str]:
        yield indent + _one_line(self.title)
        inner = indent + "  "
        labels = [f"{row.symbol} ({row.unit})" if row.unit else row.symbol for row in self.rows]
        width = max(map(len, labels), default=0)
        for label, row in zip(labels, self.rows, strict=True):
            line = f"{label:<{width}} = {_breakable(row.value)}"
            yield from _wrapped(line, inner, " " * (width + 3))
        for part in self.parts:
            yield from part._lines(inner)

    def _html_rows(self, depth: int) -> Iterator[str]:
        from html import escape  # which takes longer to load than all of this file

        left = f'style="text-align: left; padding-left: {1 + 1.5 * depth:g}em"'
        yield f'<tr><th colspan="3" {left}>{escape(self.title)}</th></tr>'
        for symbol, value, unit in self.rows:
            yield (
                f"<tr><td {left}>{escape(symbol)}</td>"
                f'<td style="text-align: left"><code>{escape(value)}</code></td>'
                f'<td style="text-align: left">{escape(unit)}</td></tr>'
            )
        for part in self.parts:
            yield from part._html_rows(depth + 1)


class Description(Part):
    """What a membrane is made of: `print` it, or let a notebook show it as a table.

    Attributes
    ----------
    title : str
        The membrane's name.
    rows : tuple of Row
        What it was published with.
    parts : tuple of Part
        Channels, pumps, ions and pools.
    reference : str
    """

    reference: str = ""

    def __str__(self) -> str:
        own = Part(self.title, self.rows)
        title, *rows = str(own).splitlines()
        head = [title, *_wrapped(_one_line(self.reference), "  "), *rows]
        return "\n\n".join(["\n".join(head), *map(str, self.parts)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [Part(self.title, self.rows), *self.parts]
        table = "\n".join(row for part in rows for row in part._html_rows(0))
        return f"<table>\n{table}\n</table>\n<p>{_linked(self.reference)}</p>"


def describe(membrane: Membrane) -> Description:
    """See `Membrane.describe`."""
    published = (
        ("celsius", membrane.celsius, "°C"),
        ("Ra", membrane.Ra, "Ω·cm"),
        ("cm", membrane.cm, "µF/cm²"),
        ("v_init", membrane.v_init, "mV"),
    )
    return Description(
        membrane.name or "membrane",
        _given(published),
        (
            *map(_channel, membrane.channels),
            *map(_pump, membrane.pumps),
            *(_ion(ion, {pool.concentration for pool in membrane.pools}) for ion in membrane.ions),
            *map(_pool, membrane.pools),
        ),
        reference=membrane.reference,
    )


def _channel(channel: Channel) -> Part:
    unit = _unit(channel)
    currents: dict[str | None, Formula] = {}
    g, v = Formula("g"), Formula("v")
    if isinstance(channel.ion, Mapping):
        for ion, share in channel.ion.items():
            own = formula(share) if callable(share) else share * g * (v - Formula(f"e{ion}"))
            currents[ion] = own
    else:
        e = "reversal" if channel.reversal is not None else f"e{channel.ion}"
        currents[channel.ion] = g * (v - Formula(e))

    rows = [Row("gbar", _profile(channel.gbar), unit)]
    factors = [Formula("gbar")]
    if channel.scales:
        rows.append(_scale(channel.scales))
        factors.append(Formula("scale"))
    if channel.q10 != 1.0:
        rows.append(_q10(channel))
        factors.append(Formula("q10") ** ((Formula("celsius") - channel.celsius) / 10))
    if channel.open is not None:
        factors.append(formula(channel.open))
    else:
        factors += [_power(gate) for gate in channel.gates]
    rows.append(Row("g", str(_times(*factors)), unit))
    if channel.reversal is not None:
        rows.append(Row("reversal", _profile(channel.reversal), "mV"))
    rows += [Row(f"i{ion or ''}", str(own), "mA/cm²") for ion, own in currents.items()]
    gates = [_gate(gate, channel.open is None) for gate in channel.gates]
    return Part(f"channel {channel.name}", tuple(rows), tuple(gates))


def _unit(channel: Channel) -> str:
    """Of gbar, as far as the currents tell: of a conductance, or of a permeability."""
    shares = channel.ion.values() if isinstance(channel.ion, Mapping) else ()
    functions = [share for share in shares if callable(share)]
    if any("ghk(" in formula(function).text for function in functions):
        return "cm/s"
    reversals = {f"e{ion}" for ion in channel.carriers}
    if all(reversals & set(arguments(function)) for function in functions):
        return "S/cm²"
    return "S/cm² or cm/s"


def _power(gate: Gate | Markov) -> Formula:
    own = Formula(gate.name)
    return own if gate.power == 1 else own**gate.power


def _times(first: Formula, *others: Formula) -> Formula:
    return prod(others, start=first)


def _gate(gate: Gate | Markov, raised: bool) -> Part:
    """With its power, if the channel's opening is a product of powers."""
    own = _scheme(gate) if isinstance(gate, Markov) else _kinetics(gate)
    notes = [f"power {gate.power}"] if raised and gate.power > 1 else []
    if isinstance(gate, Gate) and gate.instantaneous:
        notes.append("instantaneous")
    kind = "scheme" if isinstance(gate, Markov) else "gate"
    return Part(", ".join([f"{kind} {gate.name}", *notes]), tuple(own))


def _kinetics(gate: Gate) -> Iterator[Row]:
    units = {"alpha": "1/ms", "beta": "1/ms", "inf": "", "tau": "ms"}
    for role, function in gate.functions.items():
        yield Row(role, str(formula(function)), units[role])
    if gate.q10 != 1.0:
        yield _q10(gate)
    if gate.tau_min > 0.0:
        yield Row("tau_min", number(gate.tau_min), "ms")


def _scheme(scheme: Markov) -> Iterator[Row]:
    for (start, end), function in scheme.rates.items():
        yield Row(f"{start} → {end}", str(formula(function)), "1/ms")
    if scheme.q10 != 1.0:
        yield _q10(scheme)
    weights: Any = scheme.open
    opened = [
        Formula(state) if weight == 1.0 else weight * Formula(state)
        for state, weight in weights.items()
    ]
    yield Row(scheme.name, str(sum(opened[1:], start=opened[0])))


def _pump(pump: Pump) -> Part:
    rows, factors = [], []
    if _varies(pump.density) or pump.density != 1.0:
        rows.append(Row("density", _profile(pump.density)))
        factors.append(Formula("density"))
    if pump.scales:
        rows.append(_scale(pump.scales))
        factors.append(Formula("scale"))
    rows.append(Row("i", str(_times(*factors, formula(pump.current))), "mA/cm²"))
    for ion, multiple in pump.carries.items():
        i = Formula("i")
        own = i if multiple == 1.0 else -i if multiple == -1.0 else multiple * i
        rows.append(Row(f"i{ion}", str(own), "mA/cm²"))
    return Part(f"pump {pump.name}", tuple(rows))


def _ion(ion: Ion, moving: set[str]) -> Part:
    rows = [Row("valence", number(ion.valence))]
    inside, outside = f"{ion.name}i", f"{ion.name}o"
    for name, value in ((inside, ion.inside), (outside, ion.outside)):
        if value is not None:
            moves = " at the beginning" if name in moving else ""
            rows.append(Row(name, number(value) + moves, "mM"))
    if callable(ion.reversal):
        reversal = str(formula(ion.reversal))
    else:
        symbols = {name: Formula(name) for name in (inside, outside, "celsius")}
        potential = ion.potential(symbols)
        reversal = str(potential) if isinstance(potential, Formula) else number(potential)
    return Part(f"ion {ion.name}", (*rows, Row(f"e{ion.name}", reversal, "mV")))


def _pool(pool: Pool) -> Part:
    ratio: Any = pool.surface_to_volume
    if ratio is None:
        surface = "that of the compartment"
    else:
        surface = str(formula(ratio, ["diameter"])) if callable(ratio) else number(ratio)
    rows = [Row("surface_to_volume", surface, "1/µm")]
    rows += _given(
        (
            ("bath", pool.bath, "mM"),
            ("time_constant", pool.time_constant, "ms"),
            ("diffusion", pool.diffusion, "µm²/ms"),
        )
    )
    if pool.faraday != FARADAY:
        rows.append(Row("faraday", number(pool.faraday), "C/mol"))
    buffers = []
    for buffer in pool.buffers:
        constants = _given(
            (
                ("total", buffer.total, "mM"),
                ("binding", buffer.binding, "1/(mM ms)"),
                ("unbinding", buffer.unbinding, "1/ms"),
            )
        )
        initial = "in equilibrium" if buffer.initial is None else number(buffer.initial)
        buffers.append(Part(f"buffer {buffer.name}", (*constants, Row("initial", initial))))
    return Part(f"pool {pool.concentration}, {pool.side}", tuple(rows), tuple(buffers))


def _given(values: Sequence[tuple[str, float | None, str]]) -> tuple[Row, ...]:
    """Those that are not None."""
    return tuple(
        Row(name, number(value), unit) for name, value, unit in values if value is not None
    )


def _varies(profile: Any) -> bool:
    return callable(profile) or np.ndim(profile) > 0


def _profile(value: Any) -> str:
    """A parameter along the axon."""
    if not _varies(value):
        return number(value)
    if callable(value):
        return f"{formula(value, ['x'])}, varies along the axon"
    values = np.asarray(value, np.float64)
    return f"{number(values.min())} to {number(values.max())}, varies along the axon"


def _scale(scales: Sequence[Any]) -> Row:
    """What a mechanism is multiplied by, in all."""
    if any(map(_varies, scales)):
        return Row("scale", "; times ".join(map(_profile, scales)))
    return Row("scale", number(prod(scales)))


def _q10(of: Channel | Gate | Markov) -> Row:
    return Row("q10", f"{number(of.q10)} from {number(of.celsius)} °C")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _breakable(text: str) -> str:
    """Held together where a line should not end: behind an operator, in innermost parentheses."""
    held = re.sub(r" ([-+*/%<>=!&|^]+) ", rf" \1{_HELD}", text)
    return re.sub(r"\([^()]{,40}\)", lambda found: found[0].replace(" ", _HELD), held)


def _wrapped(text: str, indent: str, hanging: str = "") -> list[str]:
    lines = wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_HELD, " ") for line in lines]


def _linked(reference: str) -> str:
    """HTML, its DOIs as links."""
    from html import escape

    pieces = _DOI.split(reference)  # text, DOI, text, ...
    return "".join(
        f'<a href="https://doi.org/{escape(piece)}">doi:{escape(piece)}</a>'
        if i % 2
        else escape(piece)
        for i, piece in enumerate(pieces)
    )
