# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("SkyCircle", "SkyPolygon")

import functools
from typing import Annotated, Self

import pydantic

from lsst.sphgeom import Angle, Circle, ConvexPolygon, LonLat, Region, UnitVector3d

_Ra = Annotated[float, pydantic.Field(strict=True, ge=-180.0, le=360.0)]
_Dec = Annotated[float, pydantic.Field(strict=True, ge=-90.0, le=90.0)]


class _SkyRegion:
    """What the shapes have in common: a region of the sphere."""

    @functools.cached_property
    def region(self) -> Region:
        """The region as the Butler's own geometry has it."""
        raise NotImplementedError

    def contains(self, ra: float, dec: float) -> bool:
        """Tell whether a position lies in the region.

        Parameters
        ----------
        ra
            ICRS right ascension, degrees.
        dec
            ICRS declination, degrees.
        """
        return bool(self.region.contains(_vector(ra, dec)))

    def covers(self, other: SkyCircle | SkyPolygon) -> bool:
        """Tell whether all of another region lies in this one.

        Parameters
        ----------
        other
            The other region.
        """
        return self == other or bool(self.region.contains(other.region))


class SkyCircle(_SkyRegion, pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """A circle on the sky, its edge included."""

    ra: _Ra
    """ICRS right ascension of the centre, degrees."""

    dec: _Dec
    """ICRS declination of the centre, degrees."""

    radius: float = pydantic.Field(gt=0.0, le=180.0)
    """Angular radius, degrees."""

    @functools.cached_property
    def region(self) -> Circle:
        """The region as the Butler's own geometry has it."""
        return Circle(_vector(self.ra, self.dec), Angle.fromDegrees(self.radius))


class SkyPolygon(_SkyRegion, pydantic.RootModel[tuple[tuple[_Ra, _Dec], ...]], frozen=True):
    """A convex polygon on the sky: its corners (right ascension, declination)
    in degrees, joined by great circles.
    """

    @functools.cached_property
    def region(self) -> ConvexPolygon:
        """The region as the Butler's own geometry has it."""
        return ConvexPolygon.convexHull([_vector(ra, dec) for ra, dec in self.root])

    @pydantic.model_validator(mode="after")
    def _is_convex(self) -> Self:
        expected = "expected at least 3 corners of a convex polygon, smaller than a hemisphere"
        try:
            corners = len(self.region.getVertices())
        except ValueError as err:
            raise ValueError(f"{expected}: {err}") from err
        if corners != len(self.root):
            raise ValueError(f"{expected}; of {len(self.root)} corners, {corners} are corners of their hull")
        return self


def _vector(ra: float, dec: float) -> UnitVector3d:
    return UnitVector3d(LonLat.fromDegrees(ra, dec))
