"""Pictures of axons that branch: as they lie in space, or with all their tips side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from axon.errors import GeometryError, SimulationError
from axon.geometry import Axon, IntArray, places_along
from axon.plots.drawing import (
    BLUE,
    FROM_ROOT,
    POTENTIAL,
    VALUES_AT_ONCE,
    VERMILION,
    enough,
    first_arrivals,
    legend_above,
    new_figure,
    recorded,
    row_at,
    shades,
    stops_of,
)
from axon.plots.films import rows_of_frames, write, writer_of
from axon.trees import Branch, Tree
from axon.units import FloatArray, QuantityLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from axon.runs import Run

Colour = Literal["potential", "arrival", "failure"]
View = Literal["xy", "xz", "yz", "3d", "dendrogram"]

_WIDEST, _THINNEST = 5.0, 1.5  # lines, points
_ROOM = 300.0  # points, for all tips one above the other
_EDGE = 1.0
_GREY = "0.8"
_FLATTEST = 0.2  # the shortest side of a box in perspective, by the longest
_FEW = 5000  # lines; more of them are pixels, even in a file that could hold them as lines


def tree(
    shown: Run | Tree | Axon,
    *,
    colour: Colour | None = None,
    time: QuantityLike | None = None,
    view: View | None = None,
    ax: Axes | None = None,
) -> Axes:
    """An axon that branches, and what a run of it did.

    Parameters
    ----------
    shown : Run, Tree or Axon
        A run, finished or still growing, or an axon alone.
    colour : {"potential", "arrival", "failure"}, optional
        Of a run: the potential at a `time`, on a scale of all that was recorded; when the first
        impulse arrived; or where any did. Crosses then mark where impulses stopped on their way,
        but not where the run ended. By default all is black.
    time : float or quantity, optional
        Of the potential, ms: the recorded row nearest to it.
    view : {"xy", "xz", "yz", "3d", "dendrogram"}, optional
        How it is seen: along one of the axes, in perspective, or as a dendrogram, with the
        distance from the root along the branches to the right, and the tips one above the other.
        By default from where it is largest if each branch has a path through space, else as a
        dendrogram.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``. The view "3d" needs axes of the
        projection "3d", and is what these have by default.

    Returns
    -------
    matplotlib.axes.Axes
        A line for each compartment, the wider the larger its diameter, in collections of lines:
        below, in light grey, those of which nothing is known or which nothing reached, if there
        are any, then the others.

    Raises
    ------
    GeometryError
        If `view` is none of these, or needs a path that some branch does not have.
    SimulationError
        If `colour` is none of these, or not of a run; or if `time` is missing, or not recorded, or
        has no meaning.
    RunFileError
        Of potentials, if fewer than two rows are there yet, or no place is recorded.
    MissingExtraError
        Without matplotlib.
    """
    run, alone = (None, shown) if isinstance(shown, Tree | Axon) else (shown, shown.axon)
    if colour is not None and colour not in get_args(Colour):
        raise SimulationError(f"colour = {colour!r} is none of {', '.join(get_args(Colour))}")
    if colour is not None and run is None:
        raise SimulationError(f"colour = {colour!r} is what a run did; give a run of this axon")
    if (time is None) == (colour == "potential"):
        raise SimulationError("give a time, ms, with colour = 'potential', and only then")
    axon = _as_tree(alone)
    ax, pieces = _laid_out(axon, view, ax)
    if run is None or colour is None:
        pieces.draw(ax, np.ones(axon.n, dtype=bool), color="black")
    elif time is not None:
        enough(run)
        _potential(ax, pieces, run)(row_at(run, time, "time"))
    else:
        arrival = first_arrivals(run)
        reached = np.isfinite(arrival)
        pieces.draw(ax, ~reached, color=_GREY, label="not reached")
        if colour == "failure":
            pieces.draw(ax, reached, color=BLUE, label="reached")
            if stops := stops_of(run, axon, arrival):
                (crosses,) = ax.plot(*pieces.centres[stops].T, "X", label="stopped")
                crosses.set(color=VERMILION, markersize=10.0, markeredgecolor="white")
        elif reached.any():
            lines = pieces.draw(ax, reached, arrival, cmap=_from_dark_to_light())
            ax.figure.colorbar(lines, ax=ax, label="arrival (ms)")
    _name(ax)
    return ax


def tree_animation(
    run: Run,
    output: str | os.PathLike[str],
    *,
    start: QuantityLike | None = None,
    stop: QuantityLike | None = None,
    frames: int = 60,
    view: View | None = None,
    ax: Axes | None = None,
) -> Axes:
    """An axon that branches, coloured by its potential while time goes on, written to a file.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    output, start, stop, frames
        As for `animation`.
    view, ax
        As for `tree`; the whole figure is written.

    Returns
    -------
    matplotlib.axes.Axes
        As the last frame shows it: what `tree` draws of the potential at that time.

    Raises
    ------
    GeometryError, SimulationError, RunFileError, WriteError, MissingExtraError
        As `tree` and `animation`.
    """
    own = ax is None
    ax, pieces = _laid_out(_as_tree(run.axon), view, ax)
    writer = writer_of(output)
    rows = rows_of_frames(run, frames, start, stop).tolist()
    show = _potential(ax, pieces, run)
    show(rows[0])
    _name(ax)
    write(writer, output, ax, rows, show, own=own)
    return ax


class _Pieces(NamedTuple):
    """The lines of which a picture of a tree is made.

    The first are those of the compartments, in their order: from the border with the parent, or
    the beginning, through the centre to the border with the first child, or the end. Then come
    those from centres to the borders with other children.
    """

    lines: FloatArray
    """Their corners, mm, ``(m, 4, 2)``, or ``(m, 4, 3)`` in perspective."""
    owner: IntArray
    """Whose they are, ``(m,)``."""
    width: FloatArray
    """Points, ``(m,)``."""

    @property
    def centres(self) -> FloatArray:
        """Of the compartments, mm."""
        centres: FloatArray = self.lines[: self.owner.max() + 1, 1]
        return centres

    def draw(
        self,
        ax: Any,
        which: npt.NDArray[np.bool_],
        values: FloatArray | None = None,
        *,
        wider: float = 0.0,
        **looks: Any,
    ) -> Any:
        """A collection of those of some compartments, ``(n,)``, or nothing if there are none."""
        mine = which[self.owner]
        if not mine.any():
            return None
        looks |= {"linewidths": self.width[mine] + wider, "capstyle": "round", "joinstyle": "round"}
        looks["rasterized"] = len(mine) > _FEW
        if values is not None:
            looks["array"] = values[self.owner[mine]]
        if self.lines.shape[-1] == 3:
            from mpl_toolkits.mplot3d.art3d import Line3DCollection

            drawn = Line3DCollection(self.lines[mine], **looks)
            ax.add_collection3d(drawn)
        else:
            from matplotlib.collections import LineCollection

            drawn = LineCollection(list(self.lines[mine]), **looks)
            ax.add_collection(drawn)
            ax.autoscale_view()
        return drawn


def _laid_out(axon: Tree, view: View | None, ax: Axes | None) -> tuple[Axes, _Pieces]:
    """Axes with their labels, and what is to be drawn into them."""
    if view is not None and view not in get_args(View):
        raise GeometryError(f"view = {view!r} is none of {', '.join(get_args(View))}")
    if view is None and ax is not None and ax.name == "3d":
        view = "3d"
    if ax is not None and (ax.name == "3d") != (view == "3d"):
        raise GeometryError(
            f"view = {view!r} can't be drawn into axes of the projection {ax.name!r}; the view "
            "'3d', and no other, needs the projection '3d'"
        )
    if view is None and any(each.cable.path is None for each in axon.branches):
        view = "dendrogram"
    if view == "dendrogram":
        pieces = _dendrogram(axon)
        ax = ax or new_figure().subplots()
        ax.set(xlabel=FROM_ROOT, ylabel="tips, one above the other", yticks=[])
    else:
        along = _along(axon, view)
        pieces = _in_space(axon, along)
        ax = ax or new_figure().add_subplot(projection="3d" if view == "3d" else None)
        for side, k in zip("xyz", along, strict=False):
            ax.set(**{f"{side}label": f"{'xyz'[k]} (mm)"})
        if view == "3d":
            _in_proportion(ax, pieces)
        else:
            ax.set_aspect("equal", adjustable="datalim")
    return ax, pieces


def _in_proportion(ax: Any, pieces: _Pieces) -> None:
    """A box about all of it, on one scale in each direction."""
    low, high = (end(pieces.lines, axis=(0, 1)) for end in (np.min, np.max))
    size = np.maximum(high - low, _FLATTEST * (high - low).max())
    middle = (low + high) / 2
    for side, begin, end in zip("xyz", middle - size / 2, middle + size / 2, strict=True):
        ax.set(**{f"{side}lim": (begin, end)})
    ax.set_box_aspect(size)


def _along(axon: Tree, view: View | None) -> list[int]:
    """Which of the axes of space become those of a picture."""
    if view is not None:
        return ["xyz".index(name) for name in ("xyz" if view == "3d" else view)]
    largest = np.argsort(-np.ptp(axon.places, axis=0), kind="stable")
    return sorted(largest[:2].tolist())


def _in_space(axon: Tree, along: list[int]) -> _Pieces:
    """Pieces where they are."""
    centre = axon.places
    border, end = np.empty_like(centre), np.empty_like(centre)
    first = np.searchsorted(axon.branch_of, np.arange(len(axon.branches) + 1))
    from_parent = _borders(axon)
    for each, a, b in zip(axon.branches, first[:-1], first[1:], strict=True):
        path, length = each.cable.path, each.cable.length
        if path is None:  # of an axon that is a tree of one branch
            path = np.array([(0.0, 0.0, 0.0), (length, 0.0, 0.0)])
        border[a:b] = places_along(path, from_parent[a:b])
        end[a:b] = places_along(path, np.array([length]))
    corner = centre[axon.parent]
    return _pieces(axon, *(1e-3 * points[:, along] for points in (border, centre, corner, end)))


def _dendrogram(axon: Tree) -> _Pieces:
    """Pieces by their distance from the root, and so that tips are side by side."""
    begins = axon.begins[axon.branch_of]
    lengths = np.array([each.cable.length for each in axon.branches])
    x = begins + _borders(axon), axon.x, axon.x[axon.parent], begins + lengths[axon.branch_of]
    y = _heights(axon)
    return _pieces(axon, *(np.stack((1e-3 * each, y), axis=1) for each in x))


def _borders(axon: Tree) -> FloatArray:
    """How far along its branch each compartment meets its parent, or begins, µm."""
    before = np.where(
        axon.branch_of[axon.parent] == axon.branch_of, axon.distance[axon.parent], 0.0
    )
    before[0] = -axon.distance[0]
    borders: FloatArray = (before + axon.distance) / 2
    return borders


def _heights(axon: Tree) -> FloatArray:
    """Whole numbers for tips, so that no lines cross; for others the means of their children's."""
    n, parent = axon.n, axon.parent.tolist()
    tips, children = [0] * n, [0] * n  # beyond each compartment
    for k in range(n - 1, 0, -1):
        tips[k] = tips[k] or 1
        tips[parent[k]] += tips[k]
        children[parent[k]] += 1
    height = [0.0] * n  # of the lowest tip beyond it that is not yet given away
    for k in range(1, n):
        height[k] = height[parent[k]]
        height[parent[k]] += tips[k]
    total = [0.0] * n
    for k in range(n - 1, -1, -1):
        if children[k]:
            height[k] = total[k] / children[k]
        if k:
            total[parent[k]] += height[k]
    return np.array(height)


def _pieces(
    axon: Tree, border: FloatArray, centre: FloatArray, corner: FloatArray, end: FloatArray
) -> _Pieces:
    """Pieces through these points of each compartment, ``(n, 2)`` or ``(n, 3)``.

    Those are where it meets its parent, its centre, where a line to it leaves that through the
    parent's centre, and where it ends if nothing goes on.
    """
    child = np.arange(1, axon.n)
    first = np.full(axon.n, -1)
    first[axon.parent[:0:-1]] = child[::-1]  # the last to be put there is the first of all
    goes_on = (first >= 0)[:, np.newaxis]
    own = [border, centre, np.where(goes_on, corner[first], end),
           np.where(goes_on, border[first], end)]  # fmt: skip
    other = child[first[axon.parent[1:]] != child]
    of = axon.parent[other]
    others = [centre[of], centre[of], corner[other], border[other]]
    owner = np.append(np.arange(axon.n), of)
    diameter = np.append(axon.diameter, axon.diameter[other])
    thinnest = min(_THINNEST, _ROOM / max(1, len(axon.tips)))
    width = np.maximum(_WIDEST * np.sqrt(diameter / axon.diameter.max()), thinnest)
    lines = np.concatenate((np.stack(own, axis=1), np.stack(others, axis=1)))
    return _Pieces(lines, owner, width)


def _potential(ax: Axes, pieces: _Pieces, run: Run) -> Callable[[int], None]:
    """Draw potentials; what is returned shows those of a row."""
    recorded(run)
    known = np.zeros(len(pieces.centres), dtype=bool)
    known[run.compartments] = True
    values = np.zeros(len(known))
    pieces.draw(ax, ~known, color=_GREY, label="not recorded")
    pieces.draw(ax, known, wider=_EDGE, color="0.5")  # the highest potentials are nearly white
    lines = pieces.draw(ax, known, values, cmap="magma", clim=_range(run))
    ax.figure.colorbar(lines, ax=ax, label=POTENTIAL)

    def show(row: int) -> None:
        values[run.compartments] = run.v[row]
        lines.set_array(values[pieces.owner[known[pieces.owner]]])
        ax.set_title(f"{run.time[row]:g} ms", loc="left")

    return show


def _range(run: Run) -> tuple[float, float]:
    """The lowest and the highest potential."""
    at_once = max(1, VALUES_AT_ONCE // len(run.x))
    low, high = np.inf, -np.inf
    for first in range(0, enough(run), at_once):
        v = run.v[first : first + at_once]
        low, high = min(low, float(v.min())), max(high, float(v.max()))
    return low, high


def _name(ax: Axes) -> None:
    """What lines of one colour are, if there are some."""
    if ax.get_legend_handles_labels()[0]:
        legend_above(ax)


def _as_tree(axon: Axon | Tree) -> Tree:
    """An axon that doesn't branch is a tree of one branch."""
    return axon if isinstance(axon, Tree) else Tree((Branch(axon),))


def _from_dark_to_light() -> Colormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap(shades(256))
