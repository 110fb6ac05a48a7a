# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Moffat's profile of a star, integrated over pixels."""

from __future__ import annotations

__all__ = ("MoffatProfile", "evaluate_moffat", "render_moffat")

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt

# Three-point Gauss-Legendre rule on a pixel.
_NODES = np.array([-0.5 * math.sqrt(0.6), 0.0, 0.5 * math.sqrt(0.6)])
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0


@dataclasses.dataclass(frozen=True)
class MoffatProfile:
    """Elliptical Moffat profile before integration over the pixel."""

    fwhm: float
    """Geometric mean of the full widths at half maximum along the major and
    minor axes, in pixels."""

    e1: float
    """Component 1 of ``(a^2 - b^2) / (a^2 + b^2)``, frame of the pixels."""

    e2: float
    """Component 2 of the same."""

    beta: float
    """Exponent; 4.77 comes close to a Kolmogorov profile."""

    residual: float
    """Root mean square of the fit's residuals over their errors; about 1 for
    a Moffat profile."""


def render_moffat(
    dx: npt.NDArray[np.float64],
    dy: npt.NDArray[np.float64],
    *,
    fwhm: float,
    e1: float = 0.0,
    e2: float = 0.0,
    beta: float = 3.0,
) -> npt.NDArray[np.float64]:
    """Evaluate a unit-flux Moffat profile integrated over pixels.

    Parameters
    ----------
    dx, dy
        ``(n,)`` offsets of pixel centres from the centre of the profile.
    fwhm
        Geometric-mean full width at half maximum before pixel integration,
        in pixels.
    e1, e2
        Ellipticity ``(a^2 - b^2) / (a^2 + b^2)``.
    beta
        Exponent, above 1.

    Returns
    -------
    values
        ``(n,)`` fraction of the flux in each pixel.
    """
    return evaluate_moffat(dx, dy, 0.0, 0.0, fwhm, e1, e2, beta)


@numba.njit(cache=True, nogil=True)
def evaluate_moffat(
    dx: np.ndarray,
    dy: np.ndarray,
    x0: float,
    y0: float,
    fwhm: float,
    e1: float,
    e2: float,
    beta: float,
) -> np.ndarray:  # pragma: no cover
    alpha2 = (0.5 * fwhm) ** 2 / (2.0 ** (1.0 / beta) - 1.0)
    # Quadratic form of unit determinant, from the distortion.
    scale = alpha2 * np.sqrt(max(1.0 - e1 * e1 - e2 * e2, 1e-3))
    qxx, qyy, qxy = (1.0 - e1) / scale, (1.0 + e1) / scale, -e2 / scale
    norm = (beta - 1.0) / (np.pi * alpha2)
    out = np.empty(dx.size)
    for n in range(dx.size):
        total = 0.0
        for a in range(3):
            y = dy[n] - y0 + _NODES[a]
            for b in range(3):
                x = dx[n] - x0 + _NODES[b]
                form = qxx * x * x + qyy * y * y + 2.0 * qxy * x * y
                total += _WEIGHTS[a] * _WEIGHTS[b] * (1.0 + form) ** -beta
        out[n] = norm * total
    return out
