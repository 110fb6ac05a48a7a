# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""What is true of an image that measurements are held against."""

from __future__ import annotations

__all__ = ("APERTURE_RADIUS", "Bars", "Truth", "catalogue_error", "find_isolated", "halo_at")

import dataclasses
from collections.abc import Callable

import astropy.table
import numpy as np
import numpy.typing as npt
from lsst.ra.pipe.simulation import AdaptiveMoments
from scipy.spatial import KDTree

APERTURE_RADIUS = 12.0
"""Radius of the aperture of the zero point, pixels."""

_EDGE = 30.0
_NEIGHBOUR_FLUX = 0.1
_NEIGHBOUR_RADIUS = 15.0
_NEIGHBOUR_FWHM = 3.0
_VERY_BRIGHT = 1e7
"""Electrons from which a star's wings reach farther than those radii."""
_PEAK_AREA = 1.5
"""Flux over peak of a star, in units of its squared FWHM."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bars:
    """How large errors may be."""

    psf_sigma_percent: float = 0.5
    """Of the determinant radius at the detector's centre."""
    ellipticity: float = 0.002
    """Of e1 and e2."""
    sky_percent: float = 0.1
    """Of the sky level."""
    noise_percent: float = 1.0
    """Of the noise of a sky pixel."""
    zero_point_mmag: float = 3.0
    """Of the zero point in the aperture."""
    wcs_mas: float = 5.0
    """Root mean square over the detector."""
    completeness_20_percent: float = 99.0
    """Least completeness at a signal-to-noise ratio of 20 and above."""
    completeness_10_percent: float | None = 95.0
    """Least completeness at a signal-to-noise ratio of 10; `None`: no bar."""
    false_percent: float = 0.2
    """Most detections without an object."""

    @classmethod
    def for_field(cls, n_stars: int, *, factor: float = 1.0) -> Bars:
        """Return the bars of a field.

        Parameters
        ----------
        n_stars
            Stars on the detector.
        factor
            By which errors may be larger than on a scene.

        Returns
        -------
        bars
            A sparse field, of less than 200 stars, has wider ones for
            ellipticity and projection; a crowded one, of more than 6000, none
            for completeness at a ratio of 10.
        """
        sparse, crowded = n_stars < 200, n_stars > 6000
        return cls(
            psf_sigma_percent=0.5 * factor,
            ellipticity=(0.01 if sparse else 0.002) * factor,
            sky_percent=0.1 * factor,
            noise_percent=1.0 * factor,
            zero_point_mmag=3.0 * factor,
            wcs_mas=(10.0 if sparse else 5.0) * factor,
            completeness_20_percent=100.0 - factor,
            completeness_10_percent=None if crowded else 100.0 - 5.0 * factor,
            false_percent=0.2 * factor,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """All that is known of one image."""

    name: str
    """Name of the scene or condition."""
    shape: tuple[int, int]
    """``(ny, nx)`` of the image."""
    psf: Callable[[float, float], AdaptiveMoments]
    """PSF at a pixel position (x, y)."""
    fwhm: float
    """FWHM of the PSF at the centre before integration over pixels, pixels."""
    sky: float
    """Median sky level, electron."""
    noise: float
    """Standard deviation of a sky pixel, electron."""
    sky_at: Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    """Sky level at pixel positions (x, y), electron."""
    usable: npt.NDArray[np.bool_] | None
    """Pixels of shape `shape` on which an object can be measured; `None`: all."""
    zero_point: float
    """AB magnitude of 1 electron in the aperture, at the detector's centre."""
    mean_zero_point: float
    """The same, its mean over the detector."""
    catalogue_zero_point_error: float
    """Error (mag) of the zero point that perfect photometry of all reference
    stars on the detector would give: that of the catalogue alone."""
    to_sky: Callable[
        [npt.NDArray[np.float64], npt.NDArray[np.float64]],
        tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    ]
    """Pixel positions (x, y) to right ascension and declination, degrees."""
    x: npt.NDArray[np.float64]
    """Column of each object, on the detector or near it."""
    y: npt.NDArray[np.float64]
    """Row of each object."""
    flux: npt.NDArray[np.float64]
    """Total flux of each object, electron."""
    is_star: npt.NDArray[np.bool_]
    """Whether an object is a point source."""
    signal_to_noise: npt.NDArray[np.float64]
    """Of the PSF flux of each object, were it alone and a star."""
    bars: Bars
    """How large errors may be."""

    @property
    def centre(self) -> tuple[float, float]:
        """Position of the detector's centre, pixels."""
        return (self.shape[1] - 1) / 2.0, (self.shape[0] - 1) / 2.0


def catalogue_error(
    references: astropy.table.Table, *, true_mag: npt.NDArray[np.float64], column: str
) -> float:
    """Average the catalogue's errors as a perfect zero point would.

    Parameters
    ----------
    references
        Rows of the reference catalogue on the detector.
    true_mag
        Their true AB magnitudes.
    column
        Beginning of the names of the band's columns.

    Returns
    -------
    error
        Mean catalogue minus true magnitude, weighted by the errors that the
        catalogue gives; NaN without stars.
    """
    if not len(references):
        return float("nan")
    flux, error = (np.asarray(references[f"{column}_{name}"], float) for name in ("flux", "fluxErr"))
    return float(np.average(31.4 - 2.5 * np.log10(flux) - true_mag, weights=(flux / error) ** 2))


def find_isolated(truth: Truth) -> npt.NDArray[np.bool_]:
    """Find the stars that have no neighbours that matter.

    Parameters
    ----------
    truth
        Gives objects and PSF.

    Returns
    -------
    isolated
        Stars at least 30 pixels from the edge, on usable pixels, without an
        object of more than a tenth of their flux within 3 FWHM, and at least
        15 pixels. It is the choice that the reference numbers were made with.
        Besides, the light of very bright stars farther away must be less
        than a tenth of their peak; the scenes have no such stars.
    """
    ny, nx = truth.shape
    x, y, flux = truth.x, truth.y, truth.flux
    inside = (x > _EDGE) & (x < nx - 1 - _EDGE) & (y > _EDGE) & (y < ny - 1 - _EDGE)
    chosen = inside & truth.is_star & (truth.signal_to_noise >= 5.0)
    if truth.usable is not None:
        column, row = (np.clip(np.rint(v), 0, n - 1).astype(int) for v, n in ((x, nx), (y, ny)))
        chosen &= truth.usable[row, column]
    radius = max(_NEIGHBOUR_RADIUS, _NEIGHBOUR_FWHM * truth.fwhm)
    tree = KDTree(np.stack([x, y], axis=1))
    index = np.flatnonzero(chosen)
    neighbours = tree.query_ball_point(np.stack([x[index], y[index]], axis=1), radius)
    for i, near in zip(index.tolist(), neighbours, strict=True):
        chosen[i] = np.count_nonzero(flux[near] > _NEIGHBOUR_FLUX * flux[i]) == 1
    index = np.flatnonzero(chosen)
    peak = flux[index] / (_PEAK_AREA * truth.fwhm**2)
    chosen[index] = halo_at(truth, index) < _NEIGHBOUR_FLUX * peak
    return chosen


def halo_at(truth: Truth, index: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Add up the light of very bright stars at the positions of others.

    Parameters
    ----------
    truth
        Gives the objects.
    index
        Which ones.

    Returns
    -------
    light
        Electrons per pixel from stars of more than ten million electrons, but
        not the object itself, with the wings of a Moffat profile of beta 3.
    """
    light = np.zeros(index.size)
    a2 = (0.5 * truth.fwhm) ** 2 / (2.0 ** (1.0 / 3.0) - 1.0)
    for i in np.flatnonzero(truth.flux > _VERY_BRIGHT).tolist():
        distance2 = (truth.x[index] - truth.x[i]) ** 2 + (truth.y[index] - truth.y[i]) ** 2
        light += np.where(
            index == i, 0.0, truth.flux[i] * 2.0 / (np.pi * a2) * (1.0 + distance2 / a2) ** -3.0
        )
    return light
