"""The story of an impulse with a run's own numbers: before, during and after.

A report tells what the run shows. What it can't tell, it says, and why.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterator
from html import escape
from io import BytesIO
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from axon import plots
from axon.analysis import (
    AFTER,
    BEFORE,
    ActionPotential,
    action_potential,
    conduction_velocity,
)
from axon.charges import spike_charge
from axon.errors import AxonError, MissingExtraError, NoSpikeError, RunFileError
from axon.excitability import LONGEST, PatchRecovery, recovered
from axon.geometry import IntArray
from axon.ions import nernst
from axon.plots.drawing import first_arrivals, stops_of
from axon.records import Record
from axon.replay import Patch, Replay
from axon.trails import Impulse, impulses
from axon.trees import Tree
from axon.units import FloatArray, Position, PositionLike, position_text

if TYPE_CHECKING:
    from axon.runs import Run

T = TypeVar("T")

_PLACES = 9  # along the axon, at which amplitudes are compared
_MOST_ROWS = 12  # of a table of branch points or tips
_RETURNED = 1.0  # mV from rest
_NONE = "–"
_WIDTH = 88  # of the text, in characters
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { text-align: right; padding: 0.15em 0.8em; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
"""


class Table(NamedTuple):
    """Numbers side by side: what stands above each column, and rows of texts."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Chapter(NamedTuple):
    """A part of the story: sentences, then tables."""

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...] = ()


class Report(Record):
    """The story of an impulse: `print` it, or make JSON or a page of it.

    Attributes
    ----------
    title : str
    chapters : tuple of Chapter
        What it is about, then before, during and after the impulse.
    facts : dict
        The same in JSON's types: names end in their units.
    """

    title: str
    chapters: tuple[Chapter, ...]
    facts: dict[str, Any]
    _figures: Callable[[], list[tuple[str, Any]]]

    def to_dict(self) -> dict[str, Any]:
        """The numbers in JSON's types; None where there is none."""
        return self.facts

    def to_html(self) -> str:
        """One page that needs nothing else, with its figures if matplotlib is there.

        The run must still be open: the figures are drawn from it.
        """
        body = [f"<h1>{escape(self.title)}</h1>"]
        for chapter in self.chapters:
            if chapter.title:
                body.append(f"<h2>{escape(chapter.title)}</h2>")
            body += [f"<p>{escape(sentence)}</p>" for sentence in chapter.sentences]
            body += map(_html_table, chapter.tables)
        try:
            for caption, figure in self._figures():
                body += [f"<h2>{escape(caption)}</h2>", _html_image(figure, caption)]
        except MissingExtraError as error:
            body.append(f"<p>{escape(f'There are no figures: {error}')}</p>")
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{escape(self.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
            + "\n".join(body)
            + "\n</body>\n</html>\n"
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        parts = [self.title, "=" * len(self.title)]
        for chapter in self.chapters:
            if chapter.title:
                parts += ["", chapter.title, "-" * len(chapter.title)]
            parts += ["", *(line for told in chapter.sentences for line in wrap(told, _WIDTH))]
            for table in chapter.tables:
                parts += ["", *_text_table(table)]
        return "\n".join(map(_printable, parts))

    def __repr__(self) -> str:
        return f"<Report: {self.title}>"


def report(run: Run, at: PositionLike | None = None) -> Report:
    """Tell the story of a run's first impulse: before, during and after.

    Parameters
    ----------
    run : Run
        In memory or of a file, finished or still growing.
    at : position, optional
        Where it is looked at closely, µm: the nearest recorded compartment. By default in the
        middle of the impulse's way, on an axon that branches of the longest one.

    Returns
    -------
    Report

    Raises
    ------
    NoSpikeError
        If no place is recorded.
    RunFileError
        If the run is damaged, or has a header that axon would not write.

    Notes
    -----
    Gates and currents are those of `axon.membrane_at`, charges and energy of
    `axon.spike_charge`, refractory periods of `axon.patch_recovery`: of the membrane at that place,
    as a patch on its own.

    Examples
    --------
    >>> run = axon.run("squid")
    >>> print(run.report())
    Squid giant axon, 10 cm at 6.3 °C (Hodgkin and Huxley 1952)
    ===========================================================
    ...
    """
    if not len(run.x) or not len(run.v):
        raise NoSpikeError("nothing is recorded, so there is nothing to tell")
    try:
        return _Story(run, at).told()
    except AxonError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise RunFileError(f"{run!r} has a header that axon would not write: {error!r}") from error


class _Story:
    """What there is to tell of a run."""

    def __init__(self, run: Run, at: PositionLike | None) -> None:
        self.run = run
        self.facts: dict[str, Any] = {}
        self.impulses = impulses(run)
        self.first = self.impulses[0] if self.impulses else None
        if at is None and self.first is not None:
            at = self._part_way(self.first, 0.5)
        elif at is None:
            at = run.place(int(run.compartments[len(run.x) // 2]))
        self.site = run.site(at)
        self.x, self.compartment = float(run.x[self.site]), int(run.compartments[self.site])
        self.at = run.place(self.compartment)
        self.shape = self._try(lambda: action_potential(run, self.at))
        begin = self.shape.time if isinstance(self.shape, ActionPotential) else float(run.time[0])
        replay = self._try(lambda: Replay(run, self.at, begin + LONGEST))
        self.patch = replay if isinstance(replay, str) else self._try(replay.patch)
        self.recovery: PatchRecovery | str
        if isinstance(self.shape, str) or isinstance(replay, str):
            self.recovery = self.shape if isinstance(self.shape, str) else str(replay)
        else:
            shape, there = self.shape, replay
            self.recovery = self._try(lambda: recovered(run, there, shape))

    def _way(self, impulse: Impulse, tree: Tree) -> tuple[IntArray, FloatArray]:
        """Compartments from where it began to its farthest end, and how far they are, µm."""
        begin, *ends = map(self.run.index, (impulse.began, *impulse.ended))
        far = tree.away_from(begin)
        way = tree.between(begin, max(ends, key=far.__getitem__, default=begin))
        return way, far[way]

    def _part_way(self, impulse: Impulse, share: float) -> Position:
        """What lies so far on its way to the end that is farthest from where it began."""
        if self.run.tree is None:
            begin = impulse.start
            return begin + share * (_end(impulse) - begin)
        way, far = self._way(impulse, self.run.tree)
        return self.run.place(int(way[np.abs(far - share * far[-1]).argmin()]))

    def _sites(self, impulse: Impulse) -> IntArray:
        """Columns of what is recorded of its way, but for a tenth at each end."""
        run = self.run
        if run.tree is None:
            begin, end = impulse.start, _end(impulse)
            ends = sorted((begin + 0.1 * (end - begin), begin + 0.9 * (end - begin)))
            return np.flatnonzero((run.x >= ends[0]) & (run.x <= ends[1]))
        way, far = self._way(impulse, run.tree)
        inside = way[(far >= 0.1 * far[-1]) & (far <= 0.9 * far[-1])]
        columns = np.full(run.tree.n, -1)
        columns[run.compartments] = np.arange(len(run.compartments))
        found: IntArray = columns[inside][columns[inside] >= 0]
        return found

    @staticmethod
    def _try(ask: Callable[[], T]) -> T | str:
        """The answer, or why there is none."""
        try:
            return ask()
        except AxonError as error:
            return str(error)

    def told(self) -> Report:
        header = self.run.header
        study, membrane = header.get("study"), header["membrane"]
        title = study.get("title") if isinstance(study, dict) else None
        title = str(title or f"An impulse along an axon: {membrane['name'] or 'membrane'}")
        chapters = [self._about(), self._before(), self._during(), self._after()]
        if self.run.tree is not None:
            chapters.insert(-1, self._branches(self.run.tree))
        return Report(title, tuple(chapters), {"title": title, **_plain(self.facts)}, self._figures)

    def _figures(self) -> list[tuple[str, Any]]:
        """Captions and figures of matplotlib's."""
        figures = []
        if len(self.run.time) > 1:
            figures.append(("Time and place", plots.space_time(self.run).figure))
        if self.run.tree is not None and self.impulses:
            figures.append(("Branches", plots.tree(self.run, colour="arrival").figure))
        if isinstance(self.patch, Patch) and len(self.run.time) > 1:
            axes = plots.membrane_currents(self.run, self.at)
            figures.append(("Gates and currents", axes[0].figure))
        if isinstance(self.recovery, PatchRecovery):
            figures.append(("Recovery", plots.excitability(self.recovery).figure))
        return figures

    # ---- the chapters ---------------------------------------------------------------------

    def _about(self) -> Chapter:
        run, membrane = self.run, self.run.header["membrane"]
        length = float(run.axon_x[0] + run.axon_x[-1]) if run.tree is None else run.tree.length
        spikes = int(np.count_nonzero(run.spikes["compartment"] == self.compartment))
        found = len(self.impulses)
        so_far = "" if run.complete else f" The run is {run.progress:.0%} done."
        self.facts |= {
            "membrane": str(membrane["name"]),
            "length_um": length,
            "compartments": len(run.axon_x),
            "celsius": self._celsius(),
            "impulses": found,
            "x_um": self.x,
            "spikes_there": spikes,
        }
        if isinstance(self.at, tuple):
            self.facts |= {"branch": self.at[0], "distance_um": self.at[1]}
        count = "no impulse" if not found else "one impulse" if found == 1 else f"{found} impulses"
        if found > 1:
            count += ", of which the first is told of"
        where = (
            f"An axon of {length * 1e-3:g} mm, with the membrane "
            f"{membrane['name'] or 'without a name'} at {self._celsius():g} °C: {count}."
        )
        return Chapter("", (f"{where} Looked at closely: {_place(self.at)}.{so_far}",))

    def _before(self) -> Chapter:
        shape, patch = self.shape, self.patch
        row = self._resting_row()
        rest = float(self.run.v[row, self.site])
        when = float(self.run.time[row])
        facts: dict[str, Any] = {"rest_mV": rest, "time_ms": when}
        until = (
            f", {shape.time - when:.3g} ms before the impulse comes"
            if isinstance(shape, ActionPotential)
            else ""
        )
        sentences = [f"At {when:g} ms{until}, the membrane is at {rest:.2f} mV."]
        tables: tuple[Table, ...] = ()
        if isinstance(patch, str):
            sentences.append(f"Which currents flow was not computed: {patch}.")
        else:
            tables = self._resting_tables(patch, row, rest, facts)
            net = sum(float(i[row]) for i in patch.ionic.values())
            pumped = [(name, float(patch.currents[name][row])) for name in patch.pumps]
            facts["net_mA_per_cm2"] = net
            sentences.append(
                f"All ionic currents together are {net:.2g} mA/cm², outward positive; what each "
                "channel and ion contributes stands below."
            )
            for name, current in pumped:
                sentences.append(
                    f"The pump {name} carries {current:.3g} mA/cm² "
                    f"{'outward, which hyperpolarises' if current > 0 else 'inward'}."
                )
            if not pumped:
                sentences.append("The membrane has no pump: gradients are taken as given.")
        self.facts["before"] = facts
        return Chapter("Before", tuple(sentences), tables)

    def _resting_row(self) -> int:
        """As in `action_potential`, or the first."""
        if isinstance(self.shape, str):
            return 0
        return max(0, int(np.searchsorted(self.run.time, self.shape.time - BEFORE)))

    def _resting_tables(
        self, patch: Patch, row: int, rest: float, facts: dict[str, Any]
    ) -> tuple[Table, ...]:
        reversal: dict[str | None, float | None] = {}
        by_ion, rows = {}, []
        membrane = self.run.header["membrane"]
        told = {ion["name"]: ion for ion in membrane["ions"]}
        own = {channel["name"]: _number(channel["reversal"]) for channel in membrane["channels"]}
        for ion, current in patch.ionic.items():
            inside, outside, e = self._gradient(told.get(ion), patch, row)
            if e is None:  # where each channel has its own, that of all, if they agree
                among = {own.get(name) for name, carrier in patch.carried if carrier == ion}
                e = among.pop() if len(among) == 1 else None
            reversal[ion] = e
            by_ion[ion or "none"] = {
                "inside_mM": inside,
                "outside_mM": outside,
                "reversal_mV": e,
                "current_mA_per_cm2": float(current[row]),
            }
            rows.append((
                ion or "none", _shown(inside), _shown(outside), _shown(e, 1),
                _shown(None if e is None else rest - e, 1), f"{current[row]:.3g}",
            ))  # fmt: skip
        head = ("ion", "inside (mM)", "outside (mM)", "reversal (mV)", "V - reversal (mV)",
                "current (mA/cm²)")  # fmt: skip
        by_ion_shown = Table(head, tuple(rows))
        by_mechanism, mechanisms = {}, []
        for name, current in patch.currents.items():
            ions = [ion for mechanism, ion in patch.carried if mechanism == name]
            e = own.get(name)
            if e is None and len(ions) == 1 and name not in patch.pumps:
                e = reversal[ions[0]]
            by_mechanism[name] = {"reversal_mV": e, "current_mA_per_cm2": float(current[row])}
            carriers = ", ".join(ion or "none" for ion in ions)
            kind = "pump" if name in patch.pumps else "channel"
            mechanisms.append((name, kind, carriers, _shown(e, 1), f"{current[row]:.3g}"))
        facts |= {"ions": by_ion, "mechanisms": by_mechanism}
        names = ("name", "", "carried by", "reversal (mV)", "current (mA/cm²)")
        return by_ion_shown, Table(names, tuple(mechanisms))

    def _gradient(
        self, ion: dict[str, Any] | None, patch: Patch, row: int
    ) -> tuple[float | None, float | None, float | None]:
        """Concentrations, mM, and reversal potential, mV, of an ion then, where known."""
        if ion is None:
            return None, None, None
        inside, outside = (
            float(patch.concentrations[name][row])
            if name in patch.concentrations
            else _number(ion[side])
            for name, side in ((f"{ion['name']}i", "inside"), (f"{ion['name']}o", "outside"))
        )
        if ion["reversal"] is not None or inside is None or outside is None:
            return inside, outside, _number(ion["reversal"])
        return inside, outside, float(nernst(inside, outside, ion["valence"], self._celsius()))

    def _celsius(self) -> float:
        celsius = self.run.header["simulation"]["celsius"]
        if isinstance(celsius, list):
            celsius = celsius[self.compartment]
        return float(celsius)

    def _during(self) -> Chapter:
        shape, recovery = self.shape, self.recovery
        facts: dict[str, Any] = {}
        self.facts["during"] = facts
        if isinstance(shape, str):
            return Chapter("During", (f"There is no impulse to tell of: {shape}.",))
        facts |= {
            "time_ms": shape.time,
            "threshold_mV": shape.threshold,
            "peak_mV": shape.peak,
            "amplitude_mV": shape.amplitude,
            "half_width_ms": shape.half_width,
            "rise_mV_per_ms": shape.rise,
        }
        sentences = [
            f"It comes at {shape.time:.4g} ms. From {shape.threshold:.1f} mV on the potential "
            f"rises faster than 10 mV/ms, at most by {shape.rise:.3g} mV/ms, to a peak of "
            f"{shape.peak:.1f} mV: {shape.amplitude:.1f} mV from rest"
            + (f", and {shape.half_width:.3g} ms wide at half of that." if _over(shape) else ".")
        ]
        if isinstance(recovery, str):
            sentences.append(f"How far it is from threshold at rest was not computed: {recovery}.")
        else:
            facts["shock_at_rest_mV"] = recovery.at_rest
            sentences.append(
                "All or none: a patch of this membrane on its own is excited by a shock of "
                f"{recovery.at_rest:.3g} mV, to {shape.rest + recovery.at_rest:.1f} mV, and by "
                "none that is weaker."
            )
        tables = self._along(facts, sentences)
        if isinstance(self.patch, str):
            sentences.append(f"Which currents flow was not computed: {self.patch}.")
        else:
            tables += self._currents(self.patch, shape, facts, sentences)
        return Chapter("During", tuple(sentences), tuple(tables))

    def _along(self, facts: dict[str, Any], sentences: list[str]) -> list[Table]:
        """Velocity, and amplitudes along the way of the impulse."""
        run, first = self.run, self.first
        if first is None or len(first.x) < 2:
            sentences.append("It doesn't travel.")
            return []
        shares = (0.25, 0.75)
        if run.tree is None and _end(first) < first.start:
            shares = (0.75, 0.25)
        low, high = (self._part_way(first, share) for share in shares)
        velocity = self._try(lambda: conduction_velocity(run, low, high, threshold=self._level()))
        if isinstance(velocity, str):
            sentences.append(f"How fast it travels was not computed: {velocity}.")
        else:
            facts["velocity_m_per_s"] = {"value": velocity.value, "stderr": velocity.stderr}
            between = f"{_place(low).removesuffix(' mm')} and {_place(high)}"
            sentences.append(f"Between {between} it travels at {velocity}.")
        if first.collided:
            sentences.append("It ends where it meets another one.")
        rows, amplitudes = [], []
        for column in _evenly(self._sites(first), _PLACES):
            place = run.place(int(run.compartments[column]))
            shape = self._try(lambda place=place: action_potential(run, place))  # type: ignore[misc]
            if isinstance(shape, str):
                continue
            amplitudes.append({"x_um": shape.x, "time_ms": shape.time, "peak_mV": shape.peak,
                               "amplitude_mV": shape.amplitude})  # fmt: skip
            rows.append((
                _place(place).removesuffix(" mm"), f"{shape.time:.4g}", f"{shape.peak:.2f}",
                f"{shape.amplitude:.2f}",
            ))  # fmt: skip
        facts["along"] = amplitudes
        if len(rows) < 2:
            sentences.append("Whether it goes undiminished was not computed: too few places "
                             "are recorded that it passes whole.")  # fmt: skip
            return []
        sizes = [place["amplitude_mV"] for place in amplitudes]
        spread = (max(sizes) - min(sizes)) / max(sizes)
        facts["amplitude_spread"] = spread
        way = "undiminished" if spread < 0.05 else "changing on its way"
        sentences.append(
            f"It goes {way}: its amplitude is {min(sizes):.1f} to {max(sizes):.1f} mV at "
            f"{len(sizes)} places."
        )
        head = "x (mm)" if run.tree is None else "place"
        return [Table((head, "time (ms)", "peak (mV)", "amplitude (mV)"), tuple(rows))]

    def _level(self) -> float:
        return float(self.run.header["simulation"]["spike_threshold"])

    def _currents(
        self, patch: Patch, shape: ActionPotential, facts: dict[str, Any], sentences: list[str]
    ) -> list[Table]:
        """Which currents flow when, what they carry, and what that costs."""
        tables = []
        charge = self._try(lambda: spike_charge(self.run, self.at, patch=patch))
        begin, end = shape.time - BEFORE, shape.time + AFTER
        if not isinstance(charge, str):
            begin, end = charge.start, charge.stop
        inside = np.flatnonzero((patch.time >= begin) & (patch.time <= end))
        t = patch.time[inside] - shape.peak_time
        rows, flows = [], {}
        largest = max(float(np.abs(i[inside]).max()) for i in patch.currents.values())
        for name, current in patch.currents.items():
            i = current[inside]
            inward, outward = int(np.argmin(i)), int(np.argmax(i))
            flows[name] = {
                "inward_mA_per_cm2": min(0.0, float(i[inward])), "inward_ms": float(t[inward]),
                "outward_mA_per_cm2": max(0.0, float(i[outward])), "outward_ms": float(t[outward]),
            }  # fmt: skip
            if max(abs(i[inward]), abs(i[outward])) >= 1e-3 * largest:
                rows.append((name, *_peak(i, t, inward, -1), *_peak(i, t, outward, 1)))
        head = ("current", "most inward (mA/cm²)", "ms from peak", "most outward (mA/cm²)",
                "ms from peak")  # fmt: skip
        tables.append(Table(head, tuple(rows)))
        facts["currents"] = flows
        facts["potential_between_rows_known_to_mV"] = patch.v_error
        if patch.v_error > 0.1:
            sentences.append(
                f"Between rows the potential is known to {patch.v_error:.1g} mV only, and currents "
                "accordingly: record more rows to know them better."
            )
        if isinstance(charge, str):
            sentences.append(f"What it costs was not computed: {charge}.")
            return tables
        facts["charge_nC_per_cm2"] = {ion or "none": q for ion, q in charge.charge.items()}
        facts["sodium_entry_nC_per_cm2"] = charge.sodium_entry
        facts["sodium_by_minimum"] = charge.ratio
        facts["ATP_per_cm2"] = charge.atp
        facts["ATP_per_mm"] = charge.atp_along(1000.0)
        sentences.append(
            f"From {begin:.4g} to {end:.4g} ms, {charge.sodium_entry:.4g} nC/cm² of sodium enter "
            f"beyond what does at rest, {charge.ratio:.3g} times what the capacitance needs for "
            f"this amplitude ({charge.minimum:.4g} nC/cm²). To carry them out takes the pump "
            f"{charge.atp:.3g} ATP per cm², or {charge.atp_along(1000.0):.3g} for a millimetre of "
            "such an axon."
        )
        tables.append(
            Table(
                ("ion", "charge beyond that at rest, outward (nC/cm²)"),
                tuple((ion or "none", f"{q:.4g}") for ion, q in charge.charge.items()),
            )
        )
        return tables

    def _branches(self, tree: Tree) -> Chapter:
        """When impulses came to branch points and tips, and where they stopped."""
        arrival, points = first_arrivals(self.run), tree.branch_points
        tips = tree.tips[np.argsort(arrival[tree.tips], kind="stable")]
        times = arrival[tips][np.isfinite(arrival[tips])]
        at = [point.compartment for point in points]
        stops = stops_of(self.run, tree, arrival)
        near = {at[int(tree.away_from(stop)[at].argmin())] for stop in stops if at}
        ends = tree.begins + [each.cable.length for each in tree.branches]
        came = "No impulse came to any of them."
        if len(times):
            when = f"at {times[0]:.4g} to {times[-1]:.4g} ms"
            came = f"An impulse came to {len(times)} of them, {when}."
        sentences = [
            f"{len(tree.branches)} branches make {len(points)} branch points and {len(tips)} tips, "
            f"the farthest one {ends.max() * 1e-3:.4g} mm from the root. {came}"
        ]
        if stops:
            some = "one place" if len(stops) == 1 else f"{len(stops)} places"
            sentences.append(
                f"At {some} an impulse stopped on its way; the table says so at the branch point "
                "that is nearest."
            )
        # First come those, then where impulses have most to charge.
        of_points: list[dict[str, Any]] = [
            {
                "branch": point.branch,
                "distance_um": point.at,
                "diameter_um": point.diameter,
                "daughters_um": [diameter for _, diameter in point.daughters[:_MOST_ROWS]],
                "geometric_ratio": point.geometric_ratio,
                "arrival_ms": float(arrival[point.compartment]),
                "stopped": point.compartment in near,
            }
            for point in sorted(
                points,
                key=lambda it: (it.compartment not in near, -np.nan_to_num(it.geometric_ratio)),
            )[:_MOST_ROWS]
        ]
        of_tips: list[dict[str, Any]] = [
            {
                "branch": int(tree.branch_of[tip]),
                "x_um": float(ends[tree.branch_of[tip]]),
                "arrival_ms": float(arrival[tip]),
            }
            for tip in _evenly(tips, _MOST_ROWS)
        ]
        for what, told, all_ in (("branch points", of_points, points), ("tips", of_tips, tips)):
            if len(told) < len(all_):
                sentences.append(f"Of {len(all_)} {what} {len(told)} are told of.")
        self.facts["branches"] = {
            "branches": len(tree.branches),
            "branch_points": len(points),
            "tips": len(tips),
            "tips_reached": len(times),
            "places_of_stops": len(stops),
            "points": of_points,
            "arrivals": of_tips,
        }
        point_rows = tuple(
            (
                position_text((told["branch"], told["distance_um"])),
                _shown(_number(told["diameter_um"])),
                _several(told["daughters_um"]),
                _shown(_number(told["geometric_ratio"])),
                _shown(_number(told["arrival_ms"])),
                "stopped" if told["stopped"] else "",
            )
            for told in of_points
        )
        tip_rows = tuple(
            (
                f"branch {told['branch']}",
                f"{told['x_um'] * 1e-3:.4g}",
                _shown(_number(told["arrival_ms"])),
            )
            for told in of_tips
        )
        heads = (
            (
                "branch point",
                "diameter (µm)",
                "daughters (µm)",
                "geometric ratio",
                "arrival (ms)",
                "",
            ),
            ("tip", "from the root (mm)", "arrival (ms)"),
        )
        return Chapter(
            "Branches", tuple(sentences), (Table(heads[0], point_rows), Table(heads[1], tip_rows))
        )

    def _after(self) -> Chapter:
        shape, recovery = self.shape, self.recovery
        facts: dict[str, Any] = {}
        self.facts["after"] = facts
        if isinstance(shape, str):
            return Chapter("After", ("There is nothing to tell.",))
        if not _over(shape):
            return Chapter("After", ("The run ends before the impulse is over.",))
        facts |= {
            "fall_mV_per_ms": shape.fall,
            "afterhyperpolarisation_mV": shape.afterhyperpolarisation,
            "afterdepolarisation_mV": shape.afterdepolarisation,
        }
        sentences = [
            f"The potential falls by up to {-shape.fall:.3g} mV/ms, "
            + (
                f"and to {shape.afterhyperpolarisation:.2g} mV below rest (afterhyperpolarisation)"
                if shape.afterhyperpolarisation > 0.01
                else "and not below rest"
            )
            + (
                f"; after that it comes to {shape.afterdepolarisation:.2g} mV above rest."
                if shape.afterdepolarisation > 0.01
                else "."
            )
        ]
        back = self._return(shape)
        facts["back_at_rest_ms_after_peak"] = back
        if back is None:
            sentences.append(
                f"It does not stay within {_RETURNED:g} mV of rest before the run, or this "
                "impulse's time, ends."
            )
        else:
            sentences.append(
                f"It is back within {_RETURNED:g} mV of rest {back:.3g} ms after its peak."
            )
        if isinstance(recovery, str):
            sentences.append(f"Refractory periods were not computed: {recovery}.")
        else:
            self._recovery(recovery, facts, sentences)
        if isinstance(self.patch, Patch) and self.patch.concentrations:
            sentences.append(self._moved(self.patch, facts))
        return Chapter("After", tuple(sentences))

    def _return(self, shape: ActionPotential) -> float | None:
        """ms from the peak from which on the potential stays near rest, till the next impulse."""
        run, site = self.run, self.site
        times = run.spikes["time"][run.spikes["compartment"] == self.compartment]
        later = times[times > shape.time]
        stop = (shape.time + float(later[0])) / 2 if len(later) else np.inf
        rows = np.flatnonzero((run.time >= shape.peak_time) & (run.time <= stop))
        v = np.asarray(run.v[rows[0] : rows[-1] + 1, site], np.float64) if len(rows) else rows
        away = np.flatnonzero(np.abs(v - shape.rest) > _RETURNED)
        if not len(away) or away[-1] + 1 == len(v):
            return None
        return float(run.time[rows[away[-1] + 1]] - shape.peak_time)

    @staticmethod
    def _recovery(recovery: PatchRecovery, facts: dict[str, Any], sentences: list[str]) -> None:
        end = recovery.interval[-1]
        facts["absolute_refractory_ms"] = recovery.absolute
        facts["relative_refractory_ms"] = recovery.relative
        facts["recovery"] = {
            "interval_ms": recovery.interval.tolist(),
            "shock_by_that_at_rest": (recovery.shock / recovery.at_rest).tolist(),
        }
        patch = "A patch of this membrane on its own"
        if math.isnan(recovery.absolute):
            sentences.append(f"{patch} is refractory for longer than the {end:.3g} ms seen.")
            return
        sentences.append(
            f"{patch} is excited by no shock up to {recovery.absolute:.3g} ms after the impulse "
            "(absolute refractory period), "
            + (
                f"and needs more than at rest for longer than the {end:.3g} ms seen."
                if math.isnan(recovery.relative)
                else f"and needs more than at rest up to {recovery.relative:.3g} ms (relative one)."
            )
        )
        least = int(np.argmin(recovery.shock))
        ratio = float(recovery.shock[least] / recovery.at_rest)
        facts["lowest_threshold"] = {"by_that_at_rest": ratio,
                                     "ms": float(recovery.interval[least])}  # fmt: skip
        if ratio < 0.97:
            sentences.append(
                f"It is most excitable at {recovery.interval[least]:.3g} ms: {ratio:.0%} of the "
                "shock at rest will do."
            )

    def _moved(self, patch: Patch, facts: dict[str, Any]) -> str:
        row = self._resting_row()
        moved = {
            name: (float(values[row]), float(values[-1]))
            for name, values in patch.concentrations.items()
            if "." not in name
        }
        facts["concentrations_mM"] = {name: list(pair) for name, pair in moved.items()}
        told = ", ".join(f"{name} {a:.6g} to {b:.6g} mM" for name, (a, b) in moved.items())
        return f"Concentrations from {patch.time[row]:.4g} to {patch.time[-1]:.4g} ms: {told}."


def _end(impulse: Impulse) -> float:
    """The end that is furthest from where it began, µm; not of a tree."""
    return max(impulse.ends, key=lambda x: abs(x - impulse.start), default=impulse.start)


def _place(place: Position) -> str:
    return position_text(place) if isinstance(place, tuple) else f"{place * 1e-3:g} mm"


def _evenly(values: IntArray, most: int) -> list[int]:
    """So many of them, or all, from the first to the last."""
    picked = np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))
    return [int(values[k]) for k in picked] if len(values) else []


def _several(values: list[float]) -> str:
    return ", ".join([f"{value:.3g}" for value in values[:3]] + ["…"] * (len(values) > 3))


def _over(shape: ActionPotential) -> bool:
    """Whether it was seen to come down by half."""
    return not math.isnan(shape.half_width)


def _peak(i: FloatArray, t: FloatArray, at: int, sign: int) -> tuple[str, str]:
    """A current and its time, if it goes that way."""
    return (f"{i[at]:.3g}", f"{t[at]:+.2f}") if sign * i[at] > 0 else (_NONE, _NONE)


def _number(value: Any) -> float | None:
    """A finite number, or none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _plain(value: Any) -> Any:
    """The same in what JSON has: it knows neither NaN nor infinity."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return _number(value) if isinstance(value, float) else value


def _shown(value: float | None, places: int | None = None) -> str:
    if value is None:
        return _NONE
    return f"{value:.4g}" if places is None else f"{value:.{places}f}"


def _printable(text: str) -> str:
    """Without what would make a terminal do things."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _text_table(table: Table) -> Iterator[str]:
    lines = (table.head, *table.rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        first, *others = (
            f"{cell:<{width}}" if k == 0 else f"{cell:>{width}}"
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(["", first, *others]).rstrip()


def _html_table(table: Table) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "\n".join(
        ["<table>", row(table.head, "th"), *(row(cells, "td") for cells in table.rows), "</table>"]
    )


def _html_image(figure: Any, caption: str) -> str:
    """An SVG that the page holds itself; as an image no script in it could run."""
    file = BytesIO()
    figure.savefig(file, format="svg")
    data = b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
