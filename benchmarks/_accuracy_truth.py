# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""What is true of an image that measurements are held against."""

from __future__ import annotations

__all__ = (
    "Bars",
    "TruePsf",
    "Truth",
    "adaptive_moments",
    "aperture_fraction",
    "find_isolated",
)

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

APERTURE_RADIUS = 12.0
"""Radius of the aperture of the zero point, pixels."""

_EDGE = 30.0
_NEIGHBOUR_FLUX = 0.1
_NEIGHBOUR_RADIUS = 15.0
_NEIGHBOUR_FWHM = 3.0


@dataclasses.dataclass(frozen=True)
class TruePsf:
    """Adaptive moments of the true PSF, pixel integration included."""

    sigma: float
    """Determinant radius, pixels."""
    e1: float
    """``(ixx - iyy) / (ixx + iyy)``."""
    e2: float
    """``2 ixy / (ixx + iyy)``."""


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
    psf: Callable[[float, float], TruePsf]
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
    """AB magnitude of 1 electron in the aperture."""
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


def adaptive_moments(stamp: npt.NDArray[np.float64]) -> TruePsf:
    """Compute the adaptive moments of a noiseless star.

    Parameters
    ----------
    stamp
        Pixels of shape ``(n, n)``, n odd, with the star near the middle.

    Returns
    -------
    psf
        Moments of the Gaussian that is matched to the star, converged and
        without a limit to its radius.

    Raises
    ------
    ValueError
        Raised if the moments do not converge.
    """
    half = stamp.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    centre = np.zeros(2)
    shape = 4.0 * np.eye(2)
    for _ in range(500):
        inverse = np.linalg.inv(shape)
        dx, dy = x - centre[0], y - centre[1]
        weight = stamp * np.exp(
            -0.5 * (inverse[0, 0] * dx * dx + inverse[1, 1] * dy * dy + 2.0 * inverse[0, 1] * dx * dy)
        )
        total = weight.sum()
        shift = np.array([(weight * dx).sum(), (weight * dy).sum()]) / total
        xx, yy, xy = ((weight * p).sum() / total for p in (dx * dx, dy * dy, dx * dy))
        moments = np.array([[xx, xy], [xy, yy]]) - np.outer(shift, shift)
        matched = np.linalg.inv(np.linalg.inv(moments) - inverse)
        change = np.abs(matched - shape).max() / np.trace(shape)
        shape, centre = matched, centre + 2.0 * shift
        if change < 1e-9:
            trace = np.trace(shape)
            return TruePsf(
                sigma=float(np.linalg.det(shape) ** 0.25),
                e1=float((shape[0, 0] - shape[1, 1]) / trace),
                e2=float(2.0 * shape[0, 1] / trace),
            )
    raise ValueError(f"The adaptive moments of a stamp of shape {stamp.shape} did not converge.")


def aperture_fraction(stamp: npt.NDArray[np.float64], radius: float = APERTURE_RADIUS) -> float:
    """Sum a unit-flux star within a circle about the middle of its stamp.

    Parameters
    ----------
    stamp
        Pixels of shape ``(n, n)``, n odd, with the star in the middle pixel.
    radius
        Radius of the circle, pixels.

    Returns
    -------
    fraction
        Sum of the pixels times their part within the circle.
    """
    half = stamp.shape[0] // 2
    fine = 20
    offset = (np.arange(fine) + 0.5) / fine - 0.5
    axis = np.arange(-half, half + 1)[:, None] + offset
    inside = axis.ravel()[:, None] ** 2 + axis.ravel()[None, :] ** 2 < radius**2
    part = inside.reshape(len(stamp), fine, len(stamp), fine).mean(axis=(1, 3))
    return float((stamp * part).sum())


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
    return chosen
