"""Columns of numbers from text files, as instruments and other programs write them."""

from __future__ import annotations

import math
import os
import re
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from axon.errors import StimulusError
from axon.units import FloatArray

__all__ = ["columns"]

MAX_BYTES = 2**28  # of a file
MAX_LINE = 100_000  # characters
_BETWEEN = re.compile(r"\s*[,;\t]\s*|\s+")


def columns(
    path: str | os.PathLike[str], which: Sequence[int | str], most: int
) -> list[FloatArray]:
    """Some columns of a table.

    Parameters
    ----------
    path : path-like
        A text file of at most 256 MiB: a row a line, columns divided by commas, semicolons, tabs
        or blanks. Lines that begin with ``%`` or ``#`` are comments; the last one of them, or a
        first line that holds no numbers, may name the columns.
    which : sequence of int or str
        Their numbers from 0, or their names.
    most : int
        Rows that there may be.

    Returns
    -------
    list of numpy.ndarray
        One for each of `which`, of equal lengths.

    Raises
    ------
    StimulusError
        If the file can't be read or is too large, or has no such column, or if a row isn't finite
        numbers; the message names the line.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise StimulusError(f"{path} is no file")
        if (size := file.stat().st_size) > MAX_BYTES:
            raise StimulusError(f"{path} has {size} bytes, more than {MAX_BYTES}; write fewer rows")
        with file.open(encoding="utf-8-sig") as lines:
            return _read(lines, str(path), which, most)
    except (OSError, UnicodeError) as error:
        raise StimulusError(f"{path} can't be read as text: {error}") from error


def _read(
    lines: Iterable[str], path: str, which: Sequence[int | str], most: int
) -> list[FloatArray]:
    names: list[str] = []
    wanted: list[int] = []
    kept = [array("d") for _ in which]
    for number, line in enumerate(lines, 1):
        where, bare = f"{path}, line {number}", line.strip()
        if len(bare) > MAX_LINE:
            raise StimulusError(f"{where} has {len(bare)} characters, more than {MAX_LINE}")
        words = [word.strip().strip('"') for word in _BETWEEN.split(bare.lstrip("%# "))]
        if not bare or bare[0] in "%#":
            names = names if wanted or not bare else words
            continue
        row = [value for word in words if (value := _number(word)) is not None]
        if not row and not wanted:
            names = words
            continue
        if len(row) < len(words) or not all(map(math.isfinite, row)):
            raise StimulusError(f"{where}: {bare[:80]!r} is no finite numbers")
        between = {sign.strip() for sign in _BETWEEN.findall(bare)}
        if "," in between and len(between) > 1:
            raise StimulusError(
                f"{where}: {bare[:80]!r} has commas besides what parts its columns; "
                "write decimal points"
            )
        if len(kept[0]) == most:
            raise StimulusError(f"{where}: there are more than {most} rows; write fewer")
        wanted = wanted or [_index(each, names, path) for each in which]
        for column, index in zip(kept, wanted, strict=True):
            if not 0 <= index < len(row):
                raise StimulusError(
                    f"{where} has no column {index}; it has {len(row)}, counted from 0"
                )
            column.append(row[index])
    if not wanted:
        raise StimulusError(f"{path} has no rows of numbers")
    return [np.array(column) for column in kept]


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _index(which: int | str, names: list[str], path: str) -> int:
    if not isinstance(which, str):
        return which
    if which not in names:
        known = ", ".join(names) or "none by name: give a number"
        raise StimulusError(f"{path} has no column {which!r}; there is {known}")
    return names.index(which)
