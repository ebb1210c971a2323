"""What a sweep has found: answers by point, as a table, an array, or a picture."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from axon.answers import Folder, Plan, Record
from axon.disk import open_run
from axon.errors import MissingExtraError, SweepError
from axon.runs import Run
from axon.saving import renamed, writing

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from axon.ranges import Grid

Column = np.ndarray | list[Any]


def open_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Open a sweep's folder, whether it is done or still goes on.

    Raises
    ------
    SweepError
        If there is none, or none that can be read.
    """
    return Sweep(path)


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file that is there when all of it is; into what is no file it is written as it comes."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with writing(path), open(path, "wb") as plain:
            yield plain
        return
    with renamed(target, target.parent) as number, open(number, "wb", closefd=False) as file:
        yield file


class Sweep:
    """Answers at the points of a grid.

    Attributes
    ----------
    grid : Grid
        The points.
    answers : list
        Of each point what was measured or answered, in JSON's types; None where there is nothing
        yet, and where it failed.
    failures : dict of int to str
        Points that failed, by number, and why.
    """

    def __init__(self, path: str | os.PathLike[str], plan: Plan | None = None) -> None:
        self._folder = Folder(Path(path))
        self._plan = self._folder.plan() if plan is None else plan
        self.grid: Grid = self._plan.grid
        numbers = {self._plan.name(k): k for k in range(len(self.grid))}
        self.answers: list[Any] = [None] * len(self.grid)
        self.failures: dict[int, str] = {}
        self._done: set[int] = set()
        for record in self._folder.new():
            if record.point in numbers:
                self._take(numbers[record.point], record)
        self.failures = dict(sorted(self.failures.items()))

    def _take(self, k: int, record: Record) -> None:
        if not record.error:
            self._done.add(k)
            self.answers[k] = record.answer
            self.failures.pop(k, None)
        elif k not in self._done:
            self.failures[k] = record.error

    def __len__(self) -> int:
        return len(self.grid)

    @property
    def pending(self) -> int:
        """Points of which there is nothing yet."""
        return len(self.grid) - len(self._done) - len(self.failures)

    def run(self, k: int) -> Run:
        """The run of a point, where runs were kept.

        Raises
        ------
        RunFileError
            If there is none.
        """
        return open_run(self._folder.run(self._plan.name(range(len(self.grid))[k])))

    def table(self) -> dict[str, Column]:
        """The swept values and the numbers and texts of the answers, a row for each point.

        Returns
        -------
        dict of str to array or list, each (points,)
            Numbers as float64, NaN where there is none; all else as a list. What lies within
            another is named as in ``velocity.value``; lists are left out. An answer that is no
            table is called ``answer``, and so is before its name what has the name of a swept key.
            ``error`` says why a point failed.
        """
        taken = {*self.grid.keys, "error"}
        rows = [
            {f"answer.{name}" if name in taken else name: value for name, value in _flat(answer)}
            for answer in self.answers
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        columns: dict[str, Column] = {
            key: _column([point[key] for point in self.grid]) for key in self.grid.keys
        }
        columns |= {name: _column([row.get(name) for row in rows]) for name in names}
        if self.failures:
            columns["error"] = [self.failures.get(k, "") for k in range(len(self))]
        return columns

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table: as CSV, or as Parquet if the name ends in ``.parquet``.

        Raises
        ------
        MissingExtraError
            If pyarrow is not installed, and needed.
        WriteError
        """
        path, columns = Path(path), self.table()
        if path.suffix == ".parquet":
            try:
                import pyarrow
                import pyarrow.parquet
            except ImportError as error:
                raise MissingExtraError(
                    "Parquet needs pyarrow: pip install 'axon-cable[parquet]'"
                ) from error
            even = {name: _even(column) for name, column in columns.items()}
            with _written(path) as file:
                pyarrow.parquet.write_table(pyarrow.table(even), file)
            return
        with _written(path) as binary:
            text = io.TextIOWrapper(binary, "utf-8", newline="")
            writer = csv.writer(text)
            writer.writerow(columns)
            for row in zip(*columns.values(), strict=True):
                writer.writerow(["" if _is_nothing(value) else value for value in row])
            text.flush()
            text.detach()

    def to_xarray(self) -> xarray.Dataset:
        """The table with the swept keys as dimensions; one of an axis stands for all of it.

        Raises
        ------
        MissingExtraError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise MissingExtraError("pip install 'axon-cable[xarray]'") from error
        dims = [axis.keys[0] for axis in self.grid.axes]
        coords = {
            key: (axis.keys[0], _along([each[n] for each in axis.values]))
            for axis in self.grid.axes
            for n, key in enumerate(axis.keys)
        }
        table = self.table()
        shape = self.grid.shape
        found = {
            name: (dims, np.asarray(column).reshape(shape))
            for name, column in table.items()
            if name not in coords
        }
        return xarray.Dataset(found, coords)

    def plot(self, quantity: str | None = None) -> Axes:
        """Draw a column of the table against what was swept: `axon.plots.sweep`.

        Parameters
        ----------
        quantity : str, optional
            Its name; the first that has numbers if not given.
        """
        from axon import plots

        table = self.table()
        numbers = [
            name for name, column in table.items()
            if isinstance(column, np.ndarray) and name not in self.grid.keys
        ]  # fmt: skip
        if quantity is None and numbers:
            quantity = numbers[0]
        if quantity not in numbers:
            raise SweepError(
                f"quantity={quantity!r} is no column of numbers; there are "
                f"{', '.join(numbers) or 'none yet'}"
            )
        values = np.asarray(table[quantity]).reshape(self.grid.shape)
        axes = {axis.keys[0]: _column([each[0] for each in axis.values]) for axis in self.grid.axes}
        return plots.sweep(axes, values, quantity)

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"Sweep of {len(self)} points, {self.pending} to do{failed}"


def _flat(answer: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of what is neither a list nor nothing."""
    if isinstance(answer, Mapping):
        for key, value in answer.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    elif answer is not None and not isinstance(answer, list):
        yield name or "answer", answer


def _column(values: list[Any]) -> Column:
    """Numbers as an array, if nothing else is among them."""
    if all(value is None or type(value) in (int, float) for value in values):
        return np.array([math.nan if value is None else value for value in values], np.float64)
    return values


def _along(values: list[Any]) -> Column:
    """Values of a dimension: text, where they are neither numbers nor that."""
    column = _column(values)
    plain = isinstance(column, np.ndarray) or all(isinstance(each, str | bool) for each in column)
    return column if plain else [str(each) for each in column]


def _even(column: Column) -> Column:
    """Of one type, as Parquet wants it: text, where there are several."""
    if (
        isinstance(column, np.ndarray)
        or len({type(each) for each in column if each is not None}) < 2
    ):
        return column
    return [None if each is None else str(each) for each in column]


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
