# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("PointingFit", "fit_pointing")

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ._robust import summarize

_CLIP = 4.0
_FLOOR = 0.02
_ITERATIONS = 5
_DEGREE = 3600.0
_ARCSEC = math.degrees(1.0) * _DEGREE
_LEVER = math.radians(0.08)
"""Weight of a detector's own rotation: it counts as much as a displacement at
this distance from the detector's centre, about that of its corners."""


@dataclasses.dataclass(frozen=True)
class PointingFit:
    """How the telescope pointed, relative to what the header says; NaN if no
    detector tells.
    """

    offset_ra: float
    """Offset of the boresight along right ascension, on the sky, arcsec."""

    offset_dec: float
    """Offset of the boresight along declination, arcsec."""

    rotation: float
    """Change of the position angle at the boresight, north through east,
    degrees; each angle with respect to north where the boresight is."""

    scatter: float
    """Robust standard deviation, per axis, of the detectors' offsets about
    the fit, arcsec; NaN for fewer than two detectors."""

    n_used: int
    """Detectors that were not clipped."""


def fit_pointing(
    *,
    ra: npt.NDArray[np.float64],
    dec: npt.NDArray[np.float64],
    offset_ra: npt.NDArray[np.float64],
    offset_dec: npt.NDArray[np.float64],
    rotation: npt.NDArray[np.float64],
    boresight: tuple[float, float],
) -> PointingFit:
    """Fit one rotation of the celestial sphere to what the detectors found.

    A rotation about the boresight moves a detector at the edge of the field
    by much more than one at its centre, so a mean of the detectors' offsets is
    not the boresight's if some are missing.

    Parameters
    ----------
    ra, dec
        ``(n,)`` fitted positions of the detectors' centres, ICRS degrees.
    offset_ra, offset_dec
        ``(n,)`` fitted minus header positions of the same, arcsec along right
        ascension (on the sky) and declination; those that are not finite do
        not count.
    rotation
        ``(n,)`` fitted minus header position angle of each detector, north
        through east, degrees, each angle with respect to north where the
        detector's centre is; NaN if not known.
    boresight
        Right ascension and declination of the boresight in the header, ICRS
        degrees.

    Returns
    -------
    fit
        The pointing; detectors further off than 4 robust standard deviations
        (at least 0.02 arcsec) were dropped.
    """
    good = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(offset_ra) & np.isfinite(offset_dec)
    if not good.any() or not np.isfinite(boresight).all():
        return PointingFit(math.nan, math.nan, math.nan, math.nan, 0)
    moved_ra, moved_dec = np.deg2rad(offset_ra[good] / _DEGREE), np.deg2rad(offset_dec[good] / _DEGREE)
    # A turn moves a point at right angles to where it is half-way.
    middle_ra = np.deg2rad(ra[good]) - 0.5 * moved_ra / np.cos(np.deg2rad(dec[good]))
    middle_dec = np.deg2rad(dec[good]) - 0.5 * moved_dec
    place, east, north = _local_frames(middle_ra, middle_dec).transpose(1, 0, 2)
    # A rotation w moves v by w x v, of which the part along e is (v x e) . w.
    rows = np.stack([np.cross(place, east), np.cross(place, north), -_LEVER * place], axis=1)
    turn = np.deg2rad(rotation[good]) + _convergence(moved_ra, middle_dec)
    values = np.stack([moved_ra, moved_dec, _LEVER * turn], axis=1)
    solution, used, residual = _solve(rows, values)
    if not np.isfinite(solution).all():
        return PointingFit(math.nan, math.nan, math.nan, math.nan, 0)
    axis, axis_east, axis_north = _local_frames(*(np.deg2rad([angle]) for angle in boresight))[0]
    shift_ra = float(np.cross(axis, axis_east) @ solution)
    turn_there = -float(axis @ solution) - float(_convergence(shift_ra, math.radians(boresight[1])))
    return PointingFit(
        offset_ra=shift_ra * _ARCSEC,
        offset_dec=float(np.cross(axis, axis_north) @ solution) * _ARCSEC,
        rotation=math.degrees(turn_there),
        scatter=_scatter(residual[used]) * _ARCSEC if np.count_nonzero(used) > 1 else math.nan,
        n_used=int(np.count_nonzero(used)),
    )


def _convergence(shift: float | npt.NDArray[np.float64], dec: float | npt.NDArray[np.float64]) -> Any:
    """Return by which angle north turns, north through east, over a shift
    along right ascension; radian.
    """
    return -shift * np.tan(dec)


def _local_frames(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ``(n, 3, 3)`` unit vectors: to the place, to east and to north."""
    zero = np.zeros_like(ra)
    place = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    east = np.stack([-np.sin(ra), np.cos(ra), zero], axis=1)
    return np.stack([place, east, np.cross(place, east)], axis=1)


def _solve(
    rows: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Solve ``rows . w = values``, three equations a detector, without the
    detectors that lie far off.
    """
    known = np.isfinite(values)
    used = np.ones(len(values), dtype=bool)
    solution, residual = np.full(3, np.nan), values
    # The median of the offsets is where to begin: least squares would follow the worst detector.
    weight = _first_weights(values[:, :2])
    for _ in range(_ITERATIONS):
        chosen = known & used[:, np.newaxis]
        scale = np.broadcast_to(weight[:, np.newaxis], values.shape)[chosen]
        solution, _, rank, _ = np.linalg.lstsq(
            rows[chosen] * scale[:, np.newaxis], values[chosen] * scale, rcond=1e-9
        )
        if rank < 3:
            return np.full(3, np.nan), np.zeros(len(values), dtype=bool), residual
        residual = values - rows @ solution
        distance = np.hypot(residual[:, 0], residual[:, 1])
        floor = max(_FLOOR / _ARCSEC, _scatter(residual))
        used = distance <= _CLIP * floor * math.sqrt(2.0)
        weight = 1.0 / np.maximum(1.0, distance / floor)
    return solution, used, residual


def _first_weights(offsets: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ``(n,)`` smaller weights for offsets far from the median."""
    distance = np.hypot(*(offsets - np.median(offsets, axis=0)).T)
    typical = max(float(np.median(distance)), _FLOOR / _ARCSEC)
    return np.asarray(1.0 / np.maximum(1.0, distance / typical))


def _scatter(residual: npt.NDArray[np.float64]) -> float:
    """Return the robust standard deviation of the offsets, per axis."""
    scatter = summarize(residual[:, :2].ravel()).scatter
    return scatter if math.isfinite(scatter) else 0.0
