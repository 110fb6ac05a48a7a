# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What brings PSF fluxes into the system of an aperture."""

from __future__ import annotations

__all__ = ("ApertureCorrection", "fit_aperture_correction")

import dataclasses

import numpy as np
import numpy.typing as npt

from ._psf_model import PsfModel
from ._surfaces import evaluate_terms, fit_surface, scale_position

_MIN_STARS = 3
_FLOOR = 0.002


@dataclasses.dataclass(frozen=True, eq=False)
class ApertureCorrection:
    """Ratio of aperture flux to PSF flux of a star, over the detector."""

    coefficients: npt.NDArray[np.float64]
    """Coefficients of a polynomial of the scaled position, as
    `evaluate_terms` orders them; ``(1,)`` 1 if there were no stars."""

    shape: tuple[int, int]
    """Shape ``(ny, nx)`` of the image."""

    def at(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Evaluate the correction.

        Parameters
        ----------
        x, y
            ``(n,)`` positions in pixels.

        Returns
        -------
        ratio
            ``(n,)`` factors.
        """
        terms = evaluate_terms(*scale_position(x, y, self.shape), n_terms=self.coefficients.size)
        return terms @ self.coefficients


def fit_aperture_correction(
    *,
    psf_flux: npt.NDArray[np.float64],
    aperture_flux: npt.NDArray[np.float64],
    aperture_flux_err: npt.NDArray[np.float64],
    use: npt.NDArray[np.bool_],
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    model: PsfModel,
) -> ApertureCorrection:
    """Fit the ratio of aperture to PSF fluxes of stars.

    Parameters
    ----------
    psf_flux, aperture_flux
        ``(n,)`` fluxes of the sources, in one unit.
    aperture_flux_err
        ``(n,)`` standard errors of the aperture fluxes.
    use
        ``(n,)`` which of them are stars to use.
    x, y
        ``(n,)`` positions in pixels.
    model
        The PSF; its image's shape scales the positions.

    Returns
    -------
    correction
        Linear in the position with 20 stars, else constant.
    """
    use = use & (psf_flux > 0.0) & (aperture_flux > 0.0)
    if np.count_nonzero(use) < _MIN_STARS:
        return ApertureCorrection(np.ones(1), model.shape)
    ratio = aperture_flux[use] / psf_flux[use]
    error = np.hypot(aperture_flux_err[use] / aperture_flux[use], _FLOOR)
    coefficients = fit_surface(
        x[use], y[use], ratio, errors=error, shape=model.shape, n_terms=3 if ratio.size >= 20 else 1
    )
    return ApertureCorrection(coefficients, model.shape)
