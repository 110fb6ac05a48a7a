# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Fluxes of sources in circular apertures."""

from __future__ import annotations

__all__ = ("APERTURE_RADII", "AperturePhotometry", "measure_apertures")

import dataclasses

import numpy as np
import numpy.typing as npt
import sep

from ._pixels import DOUBTFUL

APERTURE_RADII = (3.0, 6.0, 9.0, 12.0, 17.0)
"""Radii in pixels; a subset of those that the Alert Production measures."""


@dataclasses.dataclass(frozen=True, eq=False)
class AperturePhotometry:
    """Aperture fluxes of ``n`` sources, in the unit of the image."""

    radii: tuple[float, ...]
    """Radii in pixels."""

    flux: npt.NDArray[np.float64]
    """``(n_radii, n)`` sums over the apertures."""

    flux_err: npt.NDArray[np.float64]
    """``(n_radii, n)`` standard errors, from the variance."""

    is_truncated: npt.NDArray[np.bool_]
    """``(n_radii, n)`` whether the aperture leaves the image or holds
    unusable pixels."""


def measure_apertures(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    radii: tuple[float, ...] = APERTURE_RADII,
) -> AperturePhotometry:
    """Sum pixels in circles, with exact overlap.

    Unusable pixels count as the mean of the usable ones in the aperture;
    such apertures are marked.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    variance
        Their variance, of the same shape.
    bad
        ``(ny, nx)`` array that `find_bad_pixels` made.
    x, y
        ``(n,)`` positions, 0-based pixel centres.
    radii
        Radii in pixels.

    Returns
    -------
    photometry
        Fluxes and errors.
    """
    flux = np.full((len(radii), x.size), np.nan)
    flux_err = np.full_like(flux, np.nan)
    is_truncated = np.ones(flux.shape, dtype=bool)
    usable = np.isfinite(x) & np.isfinite(y)
    if usable.any():
        for k, radius in enumerate(radii):
            total, error, flag = sep.sum_circle(
                image, x[usable], y[usable], radius, var=variance, mask=bad, maskthresh=DOUBTFUL, subpix=0
            )
            flux[k, usable], flux_err[k, usable] = total, error
            is_truncated[k, usable] = (flag & (sep.APER_TRUNC | sep.APER_HASMASKED)) != 0
    return AperturePhotometry(radii, flux, flux_err, is_truncated)
