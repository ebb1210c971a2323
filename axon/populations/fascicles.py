"""Cross-sections of fascicles."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from axon.errors import GeometryError
from axon.records import Record
from axon.units import FloatArray, QuantitiesLike, QuantityLike, quantities, quantity

_CORNERS = 360  # of what is drawn in an ellipse; its area is less by 5e-5
_MOST = 10_000  # since each side is compared with every other
_AT_ONCE = 1024  # places that are measured against every side


class Fascicle(Record):
    """The outline of a fascicle, across x: a polygon in y and z.

    It is made by `circle`, `ellipse` or `polygon`.

    Parameters
    ----------
    points : ndarray of float64, shape (k, 2)
        Its corners (y, z), one after the other, µm.

    Raises
    ------
    GeometryError
        If they are no outline, or one that crosses itself.
    """

    points: FloatArray

    def __post_init__(self) -> None:
        points = quantities(self.points, "um", "points", error=GeometryError)
        if points.ndim != 2 or points.shape[1] != 2 or not 3 <= len(points) <= _MOST:
            raise GeometryError(
                f"points has the shape {points.shape}; give from 3 to {_MOST} corners (y, z)"
            )
        following = np.roll(points, -1, axis=0)
        again = (points == following).all(axis=1)
        if again.any():
            k = int(np.argmax(again))
            raise GeometryError(
                f"points[{k}] and the next one are one place, {tuple(points[k].tolist())} um; "
                "leave one of them out"
            )
        crossing = _crossing(points, following)
        if crossing is not None:
            raise GeometryError(
                f"the sides that begin at points[{crossing[0]}] and points[{crossing[1]}] cross; "
                "give the corners in their order along the outline"
            )
        points.flags.writeable = False
        object.__setattr__(self, "points", points)
        if not self.area > 0.0:
            raise GeometryError("all of points lie on one line")

    @classmethod
    def circle(
        cls, diameter: QuantityLike, *, y: QuantityLike = 0.0, z: QuantityLike = 0.0
    ) -> Fascicle:
        """A round one.

        Parameters
        ----------
        diameter : float or quantity
            µm.
        y, z : float or quantity, optional
            Its middle, µm.

        Returns
        -------
        Fascicle
            A polygon of 360 corners on the circle.

        Raises
        ------
        GeometryError
            If an argument is no such quantity.
        """
        size = quantity(diameter, "um", "diameter", error=GeometryError, positive=True)
        return cls.ellipse(size, size, y=y, z=z)

    @classmethod
    def ellipse(
        cls,
        width: QuantityLike,
        height: QuantityLike,
        *,
        y: QuantityLike = 0.0,
        z: QuantityLike = 0.0,
    ) -> Fascicle:
        """An elliptic one.

        Parameters
        ----------
        width, height : float or quantity
            Along y and along z, from side to side, µm.
        y, z : float or quantity, optional
            Its middle, µm.

        Returns
        -------
        Fascicle
            A polygon of 360 corners on the ellipse.

        Raises
        ------
        GeometryError
            If an argument is no such quantity.
        """
        across, along = (
            quantity(value, "um", name, error=GeometryError, positive=True)
            for value, name in ((width, "width"), (height, "height"))
        )
        middle = [
            quantity(value, "um", name, error=GeometryError) for value, name in ((y, "y"), (z, "z"))
        ]
        angles = [2.0 * math.pi * k / _CORNERS for k in range(_CORNERS)]
        corners = [(across / 2 * math.cos(a), along / 2 * math.sin(a)) for a in angles]
        return cls(np.array(corners) + middle)

    @classmethod
    def polygon(cls, points: QuantitiesLike) -> Fascicle:
        """One of any outline, such as one that was traced in a micrograph.

        Parameters
        ----------
        points : array_like of float or quantity, shape (k, 2)
            Corners (y, z), one after the other in either direction, µm. The last is joined to the
            first, and may be the same again.

        Returns
        -------
        Fascicle

        Raises
        ------
        GeometryError
            If they are no outline, or one that crosses itself.

        Examples
        --------
        >>> from axon import populations
        >>> populations.Fascicle.polygon([(0, 0), (100, 0), (100, 50), (0, 50)])
        Fascicle(area=5000 um², y=0 to 100 um, z=0 to 50 um)
        """
        corners = quantities(points, "um", "points", error=GeometryError)
        if corners.ndim == 2 and len(corners) > 3 and (corners[0] == corners[-1]).all():
            corners = corners[:-1]
        return cls(corners)

    @property
    def area(self) -> float:
        """µm²."""
        y, z = (self.points - self.points[0]).T
        return abs(math.fsum(y * np.roll(z, -1) - np.roll(y, -1) * z)) / 2.0

    @property
    def perimeter(self) -> float:
        """µm."""
        sides = np.roll(self.points, -1, axis=0) - self.points
        return math.fsum(np.sqrt((sides**2).sum(axis=1)))

    def clearance(self, y: QuantitiesLike, z: QuantitiesLike) -> FloatArray:
        """How far from the outline places are.

        Parameters
        ----------
        y, z : array_like of float or quantity, shape (n,)
            µm.

        Returns
        -------
        ndarray of float64, shape (n,)
            µm, negative outside.

        Raises
        ------
        GeometryError
            If they are no such quantities.
        """
        places = [
            quantities(value, "um", name, error=GeometryError)
            for value, name in ((y, "y"), (z, "z"))
        ]
        if places[0].shape != places[1].shape or places[0].ndim != 1:
            raise GeometryError(
                f"y has the shape {places[0].shape} and z {places[1].shape}; give two lists of "
                "one length"
            )
        blocks = (
            self._clearance(*(part[start : start + _AT_ONCE, np.newaxis] for part in places))
            for start in range(0, places[0].size, _AT_ONCE)
        )
        return np.concatenate([np.zeros(0), *blocks])

    def _clearance(self, y: FloatArray, z: FloatArray) -> FloatArray:
        """Of a column of places, each measured against every side."""
        begin_y, begin_z = self.points.T
        side_y, side_z = (np.roll(self.points, -1, axis=0) - self.points).T
        from_y, from_z = y - begin_y, z - begin_z
        along = (from_y * side_y + from_z * side_z) / (side_y**2 + side_z**2)
        along = np.clip(along, 0.0, 1.0)
        square = (from_y - along * side_y) ** 2 + (from_z - along * side_z) ** 2
        # A ray towards larger y leaves from inside if it meets an odd number of sides.
        met = (from_z >= 0.0) != (from_z >= side_z)
        slope = np.divide(side_y, side_z, out=np.zeros_like(side_y), where=side_z != 0.0)
        inside = (met & (from_y < from_z * slope)).sum(axis=1) % 2 == 1
        far: FloatArray = np.sqrt(square.min(axis=1))
        return np.where(inside, far, -far)

    def contains(self, y: QuantitiesLike, z: QuantitiesLike) -> npt.NDArray[np.bool_]:
        """Whether places lie inside.

        Parameters
        ----------
        y, z : array_like of float or quantity, shape (n,)
            µm.

        Returns
        -------
        ndarray of bool, shape (n,)

        Raises
        ------
        GeometryError
            If they are no such quantities.
        """
        inside: npt.NDArray[np.bool_] = self.clearance(y, z) > 0.0
        return inside

    def __repr__(self) -> str:
        (y0, z0), (y1, z1) = self.points.min(axis=0), self.points.max(axis=0)
        return f"Fascicle(area={self.area:.6g} um², y={y0:g} to {y1:g} um, z={z0:g} to {z1:g} um)"


def _crossing(begin: FloatArray, end: FloatArray) -> tuple[int, int] | None:
    """Two sides that cross, if any do."""

    def left(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
        """Above 0 where c lies to the left of the way from a to b."""
        one, other = b - a, c - a
        turned: FloatArray = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
        return turned

    for k in range(len(begin) - 2):
        a, b, c, d = begin[k], end[k], begin[k + 2 :], end[k + 2 :]
        apart = (left(a, b, c) * left(a, b, d) < 0.0) & (left(c, d, a) * left(c, d, b) < 0.0)
        if apart.any():
            return k, k + 2 + int(np.argmax(apart))
    return None
