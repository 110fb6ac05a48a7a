# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = (
    "EllipticityPattern",
    "PlaneFit",
    "find_ellipticity_pattern",
    "fit_plane",
    "rotate_ellipticity",
)

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ._robust import summarize

_MIN_POINTS = 4
_CLIP = 4.0
_ITERATIONS = 3
_MIN_SPREAD = 1e-6


@dataclasses.dataclass(frozen=True)
class PlaneFit:
    """A plane ``level + gradient_x x + gradient_y y``; NaN throughout if the
    points do not determine it.
    """

    level: float
    """Value at the origin."""

    gradient_x: float
    """Change per unit of x."""

    gradient_y: float
    """Change per unit of y."""

    scatter: float
    """Robust standard deviation of the points about the plane."""


def fit_plane(
    *, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> PlaneFit:
    """Fit a plane to values at points, without those that lie far off.

    Parameters
    ----------
    x, y
        ``(n,)`` positions.
    values
        ``(n,)`` values; those that are not finite do not count.

    Returns
    -------
    plane
        Least-squares plane, from which points further off than 4 robust
        standard deviations were dropped. It needs 4 points that are not on
        one line.
    """
    good = np.isfinite(x) & np.isfinite(y) & np.isfinite(values)
    x, y, values = x[good], y[good], values[good]
    if values.size < _MIN_POINTS:
        return _NO_PLANE
    spread = max(float(np.ptp(x)), float(np.ptp(y)))
    design = np.stack([np.ones_like(x), x / max(spread, _MIN_SPREAD), y / max(spread, _MIN_SPREAD)], axis=1)
    keep = np.ones(values.size, dtype=bool)
    solution, residual, scatter = np.zeros(3), values, math.nan
    for _ in range(_ITERATIONS):
        solution, _, rank, _ = np.linalg.lstsq(design[keep], values[keep], rcond=_MIN_SPREAD)
        if rank < 3 or np.count_nonzero(keep) < _MIN_POINTS:
            return _NO_PLANE
        residual = values - design @ solution
        scatter = summarize(residual[keep]).scatter
        inside = np.abs(residual) <= _CLIP * scatter + _MIN_SPREAD * np.abs(values).max()
        if (inside == keep).all():
            break
        keep = inside
    return PlaneFit(float(solution[0]), float(solution[1] / spread), float(solution[2] / spread), scatter)


_NO_PLANE = PlaneFit(math.nan, math.nan, math.nan, math.nan)


def rotate_ellipticity(
    e1: npt.NDArray[np.float64], e2: npt.NDArray[np.float64], *, angle: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Express ellipticities in a frame in which theirs is rotated.

    Parameters
    ----------
    e1, e2
        ``(n,)`` components in the frame of the pixels.
    angle
        ``(n,)`` direction of the pixels' x axis in the new frame, degrees
        anticlockwise.

    Returns
    -------
    e1, e2
        ``(n,)`` components in the new frame: an ellipticity turns by twice
        the angle.
    """
    cosine, sine = np.cos(np.deg2rad(2.0 * angle)), np.sin(np.deg2rad(2.0 * angle))
    return e1 * cosine - e2 * sine, e1 * sine + e2 * cosine


@dataclasses.dataclass(frozen=True)
class EllipticityPattern:
    """What an ellipticity field has in common over the focal plane."""

    e1: float
    """Median e1: elongation along x (positive) or y (negative), the same
    everywhere, as of wind shake, tracking or differential refraction."""

    e2: float
    """Median e2: elongation along the diagonals."""

    radial: float
    """Median component along the direction to the origin after ``e1`` and
    ``e2`` are subtracted; positive for radial, negative for tangential
    elongation, as of the optics when out of focus."""

    cross: float
    """Median component at 45 degrees to it; expected to be zero."""


def find_ellipticity_pattern(
    *,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    e1: npt.NDArray[np.float64],
    e2: npt.NDArray[np.float64],
) -> EllipticityPattern:
    """Split an ellipticity field into a constant and a radial part.

    Parameters
    ----------
    x, y
        ``(n,)`` positions relative to the optical axis.
    e1, e2
        ``(n,)`` components in the same frame; those that are not finite do
        not count.

    Returns
    -------
    pattern
        The parts; NaN if no value is finite.
    """
    mean1, mean2 = summarize(e1).median, summarize(e2).median
    distance = np.hypot(x, y)
    off_axis = distance > 0.05 * np.max(distance, initial=0.0)
    double_angle = 2.0 * np.arctan2(y, x)
    cosine, sine = np.cos(double_angle), np.sin(double_angle)
    radial = (e1 - mean1) * cosine + (e2 - mean2) * sine
    cross = (e2 - mean2) * cosine - (e1 - mean1) * sine
    return EllipticityPattern(
        mean1, mean2, summarize(radial[off_axis]).median, summarize(cross[off_axis]).median
    )
