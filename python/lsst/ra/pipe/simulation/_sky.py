# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The sky: one catalogue of stars and galaxies, the same for every detector.

The celestial sphere is cut in cells whose objects are drawn from a seed of
their own. What is in a piece of sky then depends on the seed alone, never on
who asks for it.
"""

from __future__ import annotations

__all__ = ("BANDS", "SkyCatalog")

import dataclasses
import functools
from typing import Self

import numpy as np

from ._config import SimulationConfig
from ._random import Stream, random_stream

BANDS = ("u", "g", "r", "i", "z", "y")
"""Bands with magnitudes, in this order."""

_CELL = 0.25
"""Height of a cell in declination, and its width on the sky, degrees."""
_STAR_SLOPE = 0.25
"""d log10 N / d mag of stars at middle Galactic latitudes (Ivezic et al. 2008,
LSST Science Book, section 6)."""
_GALAXY_SLOPE = 0.35
"""d log10 N / d mag of galaxies, 20 < r < 25 (Ivezic et al. 2019, ApJ 873, 111,
section 3.7.2 gives 10**(0.31 (i - 25)))."""
_MAX_PER_CELL = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkyCatalog:
    """Objects on the sky; arrays have shape ``(n,)``."""

    id: np.ndarray
    """Identifier, the same whichever detector sees the object."""
    ra: np.ndarray
    """ICRS right ascension, degrees."""
    dec: np.ndarray
    """ICRS declination, degrees."""
    magnitudes: np.ndarray
    """AB magnitudes of shape ``(n, 6)``, in the order of `BANDS`."""
    is_star: np.ndarray
    """Whether the object is a point source."""
    size: np.ndarray
    """FWHM of a galaxy before the PSF, arcsec; 0 for a star."""
    e1: np.ndarray
    """Ellipticity (a^2 - b^2) / (a^2 + b^2) of a galaxy along west to east
    minus that along south to north; 0 for a star."""
    e2: np.ndarray
    """Ellipticity of a galaxy along the diagonals; 0 for a star."""

    def __len__(self) -> int:
        return len(self.id)

    def select(self, index: np.ndarray) -> SkyCatalog:
        """Return some of the objects.

        Parameters
        ----------
        index
            Boolean of shape ``(n,)``, or integers.

        Returns
        -------
        catalog
            The objects that `index` names.
        """
        return SkyCatalog(**{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)})

    def magnitude(self, band: str) -> np.ndarray:
        """Return the AB magnitudes in one band, of shape ``(n,)``.

        Parameters
        ----------
        band
            One of `BANDS`.

        Returns
        -------
        magnitude
            AB magnitudes.
        """
        return self.magnitudes[:, BANDS.index(band)]

    @classmethod
    def in_circle(cls, config: SimulationConfig, *, ra: float, dec: float, radius: float) -> Self:
        """Return all objects within an angle of a position.

        Parameters
        ----------
        config
            Gives seed, densities and magnitude ranges.
        ra, dec
            ICRS centre, degrees.
        radius
            Radius of the circle, degrees.

        Returns
        -------
        catalog
            Objects in the order of their ids.
        """
        cells = [_draw_cell(config, band, cell) for band, cell in _cells(ra, dec, radius)]
        columns = {f.name: np.concatenate([c[f.name] for c in cells]) for f in dataclasses.fields(cls)}
        x, y, z = _unit_vectors(columns["ra"], columns["dec"])
        cx, cy, cz = _unit_vectors(ra, dec)
        chord2 = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2
        inside = np.flatnonzero(chord2 <= (2.0 * np.sin(np.deg2rad(radius) / 2.0)) ** 2)
        inside = inside[np.argsort(columns["id"][inside])]
        return cls(**{name: column[inside] for name, column in columns.items()})


def _unit_vectors(ra: np.ndarray | float, dec: np.ndarray | float) -> tuple[np.ndarray, ...]:
    ra, dec = np.deg2rad(ra), np.deg2rad(dec)
    return np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)


def _cells_in_band(band: int) -> int:
    """Count the cells around the sky at one declination band."""
    middle = np.deg2rad((band + 0.5) * _CELL - 90.0)
    return max(1, round(360.0 * float(np.cos(middle)) / _CELL))


def _cells(ra: float, dec: float, radius: float) -> list[tuple[int, int]]:
    """Return (band, cell) of every cell that a circle may touch."""
    last_band = round(180.0 / _CELL) - 1
    low = max(0, int((dec - radius + 90.0) // _CELL))
    high = min(last_band, int((dec + radius + 90.0) // _CELL))
    reach = abs(dec) + radius
    if reach >= 90.0:
        half_width = 180.0
    else:  # meridians that touch the circle: sin(half width) = sin(radius) / cos(dec)
        half_width = np.rad2deg(np.arcsin(np.sin(np.deg2rad(radius)) / np.cos(np.deg2rad(dec))))
    found = []
    for band in range(low, high + 1):
        n = _cells_in_band(band)
        first, last = np.floor((ra - half_width) / 360.0 * n), np.floor((ra + half_width) / 360.0 * n)
        count = min(n, int(last - first) + 1)
        found += [(band, int(first + i) % n) for i in range(count)]
    return found


@functools.lru_cache(maxsize=64)
def _draw_cell(config: SimulationConfig, band: int, cell: int) -> dict[str, np.ndarray]:
    """Draw the objects of one cell, stars first; arrays by column."""
    rng = random_stream(config.seed, Stream.SKY, band, cell)
    n_cells = _cells_in_band(band)
    z0, z1 = (np.sin(np.deg2rad((band + i) * _CELL - 90.0)) for i in (0, 1))
    area = np.rad2deg(z1 - z0) * 360.0 / n_cells
    n_star = int(rng.poisson(config.star_density * area))
    n_galaxy = int(rng.poisson(config.galaxy_density * area))
    n = n_star + n_galaxy
    if n > _MAX_PER_CELL:
        raise ValueError(
            f"{n} objects in {area:.3f} square degrees; at most {_MAX_PER_CELL} can be simulated"
        )
    star = np.arange(n) < n_star
    r = np.concatenate(
        [
            _draw_magnitudes(rng, n_star, config.star_magnitudes, _STAR_SLOPE),
            _draw_magnitudes(rng, n_galaxy, config.galaxy_magnitudes, _GALAXY_SLOPE),
        ]
    )
    ellipticity = np.clip(np.abs(rng.normal(0.0, 0.25, n)), 0.0, 0.6)
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    size = np.clip(np.exp(rng.normal(np.log(0.55), 0.45, n)), 0.15, 2.5)
    return {
        "id": (np.int64(band) * 2048 + cell) * _MAX_PER_CELL + np.arange(n) + 1,
        "ra": (cell + rng.random(n)) * 360.0 / n_cells,
        "dec": np.rad2deg(np.arcsin(z0 + (z1 - z0) * rng.random(n))),
        "magnitudes": _colours(rng, r),
        "is_star": star,
        "size": np.where(star, 0.0, size),
        "e1": np.where(star, 0.0, ellipticity * np.cos(angle)),
        "e2": np.where(star, 0.0, ellipticity * np.sin(angle)),
    }


def _draw_magnitudes(
    rng: np.random.Generator, n: int, limits: tuple[float, float], slope: float
) -> np.ndarray:
    """Draw from N(<m) ~ 10**(slope * m) between the limits."""
    low, high = (10.0 ** (slope * m) for m in limits)
    drawn: np.ndarray = np.log10(low + rng.random(n) * (high - low)) / slope
    return drawn


def _colours(rng: np.random.Generator, r: np.ndarray) -> np.ndarray:
    """Return magnitudes ``(n, 6)`` of objects along a one-parameter locus in
    g - r, like that of main-sequence stars (Covey et al. 2007, AJ 134, 2398).
    """
    g_r = np.clip(rng.normal(0.8, 0.35, r.size), 0.1, 1.6)
    return np.stack([r + 1.0 + 1.6 * g_r, r + g_r, r, r - 0.4 * g_r, r - 0.6 * g_r, r - 0.7 * g_r], axis=1)
