# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What measurements of a noiseless star would give."""

from __future__ import annotations

__all__ = ("AdaptiveMoments", "adaptive_moments", "aperture_fraction")

import dataclasses

import numpy as np

_MAX_ITERATIONS = 500
_TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True)
class AdaptiveMoments:
    """Size and shape of the Gaussian that is matched to a star."""

    sigma: float
    """Determinant radius, pixels."""
    e1: float
    """``(ixx - iyy) / (ixx + iyy)``."""
    e2: float
    """``2 ixy / (ixx + iyy)``."""


def adaptive_moments(stamp: np.ndarray) -> AdaptiveMoments:
    """Compute the adaptive moments of a noiseless star.

    Parameters
    ----------
    stamp
        Pixels of shape ``(n, n)``, n odd, with the star near the middle.

    Returns
    -------
    moments
        Those of the Gaussian weight that matches the star (Bernstein & Jarvis
        2002, AJ 123, 583), converged and without a limit to its radius; NaN
        for a star that no Gaussian matches.
    """
    half = stamp.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    centre, shape = np.zeros(2), 4.0 * np.eye(2)
    failed = AdaptiveMoments(np.nan, np.nan, np.nan)
    for _ in range(_MAX_ITERATIONS):
        inverse = np.linalg.inv(shape)
        dx, dy = x - centre[0], y - centre[1]
        weight = stamp * np.exp(
            -0.5 * (inverse[0, 0] * dx * dx + inverse[1, 1] * dy * dy + 2.0 * inverse[0, 1] * dx * dy)
        )
        total = weight.sum()
        shift = np.array([(weight * dx).sum(), (weight * dy).sum()]) / total
        xx, yy, xy = ((weight * p).sum() / total for p in (dx * dx, dy * dy, dx * dy))
        moments = np.array([[xx, xy], [xy, yy]]) - np.outer(shift, shift)
        sharper = np.linalg.inv(moments) - inverse
        if not (np.isfinite(sharper).all() and np.linalg.eigvalsh(sharper).min() > half**-2.0):
            return failed
        matched = np.linalg.inv(sharper)
        change = np.abs(matched - shape).max() / np.trace(shape)
        shape, centre = matched, centre + 2.0 * shift
        if change < _TOLERANCE:
            trace = np.trace(shape)
            return AdaptiveMoments(
                sigma=float(np.linalg.det(shape) ** 0.25),
                e1=float((shape[0, 0] - shape[1, 1]) / trace),
                e2=float(2.0 * shape[0, 1] / trace),
            )
    return failed


def aperture_fraction(stamp: np.ndarray, radius: float) -> float:
    """Sum a star of unit flux within a circle.

    Parameters
    ----------
    stamp
        Pixels of shape ``(n, n)``, n odd, with the star in the middle of the
        middle one.
    radius
        Radius of the circle, pixels.

    Returns
    -------
    fraction
        Sum of the pixels times the part of each that is within the circle.
    """
    half, fine = stamp.shape[0] // 2, 20
    offset = (np.arange(fine) + 0.5) / fine - 0.5
    axis = (np.arange(-half, half + 1)[:, None] + offset).ravel()
    inside = axis[:, None] ** 2 + axis**2 < radius**2
    part = inside.reshape(len(stamp), fine, len(stamp), fine).mean(axis=(1, 3))
    return float((stamp * part).sum())
