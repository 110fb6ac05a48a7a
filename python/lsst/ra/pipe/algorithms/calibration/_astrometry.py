# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Match sources to a reference catalogue and correct their positions."""

from __future__ import annotations

__all__ = ("AstrometricSolution", "solve_astrometry")

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ._astrometry_settings import AstrometrySettings
from ._matching import PatternMatch, PlanePositions, match_pattern
from ._plane_fit import (
    CLIP,
    MIN_MATCH_RADIUS,
    StarPairs,
    fit_correction,
    fit_error,
    pair_up,
    typical_distance,
)
from ._tangent_plane import PlaneCorrection, TangentPlane

_MAX_MATCH_RADIUS = 1.5
_STATISTICS_CLIP = 3.0
_FEW = 6


@dataclasses.dataclass(frozen=True, eq=False)
class AstrometricSolution:
    """Stars that were matched, and the correction fitted to them.

    Without a solution the correction is the identity, there are no matches,
    and the statistics are NaN.
    """

    status: str
    """``ok``, or why there is no solution: ``no references``, ``few
    references``, ``few sources``, ``no match`` or ``bad fit``."""

    correction: PlaneCorrection
    """From initial to true positions in the tangent plane."""

    n_references: int
    """Number of references on the detector, by the fitted position; by the
    initial one without a solution."""

    source_index: npt.NDArray[np.int64]
    """``(n,)`` indices of matched sources."""

    reference_index: npt.NDArray[np.int64]
    """``(n,)`` indices of the references matched to them."""

    residual_x: npt.NDArray[np.float64]
    """``(n,)`` measured minus reference along the detector's x, in arcsec."""

    residual_y: npt.NDArray[np.float64]
    """``(n,)`` measured minus reference along the detector's y, in arcsec."""

    used: npt.NDArray[np.bool_]
    """``(n,)`` whether the fit used the match."""

    offset_mean: float
    """Mean distance of the used matches in arcsec, those beyond three
    standard deviations left out."""

    offset_std: float
    """Standard deviation of that distance in arcsec."""

    shift_ra: float
    """Fitted minus initial position of the tangent point, towards the east
    (cosine of declination included), in arcsec."""

    shift_dec: float
    """The same towards the north."""

    rotation: float
    """Fitted minus initial position angle of the detector, north through
    east, in degrees; each angle with respect to north where the detector's
    centre is, if the tangent plane was given."""

    fit_error: float
    """Expected error of fitted positions, as distance in arcsec and rms over
    the detector."""

    log10_chance: float
    """Decimal logarithm of the number of such matches expected by chance;
    NaN if nothing came close to a match."""

    @property
    def n_used(self) -> int:
        """Number of stars in the fit."""
        return int(np.count_nonzero(self.used))


def solve_astrometry(
    sources: PlanePositions,
    references: PlanePositions,
    *,
    usable: npt.NDArray[np.bool_],
    jacobian: npt.NDArray[np.float64],
    half_size: tuple[float, float],
    plane: TangentPlane | None = None,
    settings: AstrometrySettings | None = None,
) -> AstrometricSolution:
    """Match sources to references and fit the correction between them.

    Parameters
    ----------
    sources
        ``n`` sources, where the initial sky projection puts them in the
        tangent plane about the detector's centre; NaN where unknown.
    references
        ``m`` references in the same plane, those beyond the detector's edges
        by up to ``max_shift`` included. NaN positions are left out, errors
        that are not known are NaN.
    usable
        ``(n,)`` whether a source may be used for match and fit; others are
        matched once the fit is done.
    jacobian
        ``(2, 2)`` derivative of (xi, eta) by the detector's (x, y) at its
        centre, in arcsec per pixel.
    half_size
        Half the width and half the height of the detector, in pixels.
    plane
        The tangent plane, for the direction of north; it changes with the
        position, much so near the poles. If not given, north is that of the
        plane's centre.
    settings
        Choices; defaults if not given.

    Returns
    -------
    solution
        Correction and matches, or the reason why there are none.
    """
    settings = settings or AstrometrySettings()
    detector = _Detector(jacobian, half_size)
    present = np.isfinite(sources.xi) & np.isfinite(sources.eta)
    star_index = np.flatnonzero(present & usable)
    near = detector.holds(references.xi, references.eta, margin=settings.max_shift + 10.0)
    near_index = np.flatnonzero(near)
    n_initial = int(np.count_nonzero(detector.holds(references.xi, references.eta)))
    stars, close = sources.subset(star_index), references.subset(near_index)
    for number, status in ((len(close), "references"), (len(stars), "sources")):
        if number < settings.min_matches:
            empty = status == "references" and number == 0
            return _no_solution(f"{'no' if empty else 'few'} {status}", n_initial)
    match = match_pattern(
        stars,
        close,
        max_shift=settings.max_shift,
        max_angle=math.radians(settings.max_rotation),
        min_pairs=settings.min_matches,
    )
    if match is None or match.log_chance > math.log(settings.max_chance):
        return _no_solution("no match" if n_initial >= _FEW else "few references", n_initial, match)
    correction = fit_correction(stars, close, match, settings)
    if correction is None:
        return _no_solution("bad fit", n_initial, match)
    present_index = np.flatnonzero(present)
    pairs, used = _match_all(
        sources.subset(present_index), close, correction, usable=usable[present_index], settings=settings
    )
    if np.count_nonzero(used) < settings.min_matches:
        return _no_solution("bad fit", n_initial, match)
    mean, std = _clipped_moments(np.hypot(*pairs.residuals(correction))[used])
    residual_x, residual_y = detector.along_axes(pairs.residuals(correction), correction)
    return AstrometricSolution(
        status="ok",
        correction=correction,
        n_references=int(np.count_nonzero(detector.holds(*_moved_back(close, correction)))),
        source_index=present_index[pairs.source],
        reference_index=near_index[pairs.reference],
        residual_x=residual_x,
        residual_y=residual_y,
        used=used,
        offset_mean=mean,
        offset_std=std,
        shift_ra=correction.shift[0],
        shift_dec=correction.shift[1],
        rotation=correction.rotation - (plane.convergence(*correction.shift) if plane is not None else 0.0),
        fit_error=fit_error(pairs.keep(used), correction, points=detector.sample(), settings=settings),
        log10_chance=match.log_chance / math.log(10.0),
    )


class _Detector:
    """Place and size of a detector in the tangent plane."""

    def __init__(self, jacobian: npt.NDArray[np.float64], half_size: tuple[float, float]) -> None:
        self._inverse = np.linalg.inv(jacobian)
        self._scale = float(np.sqrt(abs(np.linalg.det(jacobian))))
        self._half_size = half_size

    def sample(self) -> npt.NDArray[np.float64]:
        """Return xi, eta and weight (Simpson's rule) of nine points, ``(3, 9)``."""
        x, y = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0])
        weight = np.outer([1.0, 4.0, 1.0], [1.0, 4.0, 1.0]) / 36.0
        pixels = np.stack([x.ravel() * self._half_size[0], y.ravel() * self._half_size[1]])
        return np.vstack([np.linalg.inv(self._inverse) @ pixels, weight.ravel()])

    def along_axes(
        self, residuals: npt.NDArray[np.float64], correction: PlaneCorrection
    ) -> npt.NDArray[np.float64]:
        """Turn ``(2, n)`` differences in the plane into those along x and y, in arcsec."""
        turned = self._inverse @ np.linalg.inv(correction.matrix) @ residuals
        return np.asarray(self._scale * turned)

    def holds(
        self, xi: npt.NDArray[np.float64], eta: npt.NDArray[np.float64], *, margin: float = 0.0
    ) -> npt.NDArray[np.bool_]:
        """Tell which points are within a margin, in arcsec, of it."""
        x, y = self._inverse @ np.stack([xi, eta])
        border = margin / self._scale
        width, height = self._half_size
        inside: npt.NDArray[np.bool_] = (np.abs(x) <= width + border) & (np.abs(y) <= height + border)
        return inside


def _no_solution(status: str, n_references: int, match: PatternMatch | None = None) -> AstrometricSolution:
    nothing = np.empty(0)
    return AstrometricSolution(
        status=status,
        correction=PlaneCorrection.identity(),
        n_references=n_references,
        source_index=np.empty(0, dtype=np.int64),
        reference_index=np.empty(0, dtype=np.int64),
        residual_x=nothing,
        residual_y=nothing,
        used=np.empty(0, dtype=bool),
        offset_mean=math.nan,
        offset_std=math.nan,
        shift_ra=math.nan,
        shift_dec=math.nan,
        rotation=math.nan,
        fit_error=math.nan,
        log10_chance=match.log_chance / math.log(10.0) if match is not None else math.nan,
    )


def _moved_back(
    references: PlanePositions, correction: PlaneCorrection
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Find where the initial projection sees references; second order is neglected."""
    shift = np.array(correction.shift)[:, np.newaxis]
    back = np.linalg.inv(correction.matrix) @ (np.stack([references.xi, references.eta]) - shift)
    return back[0], back[1]


def _match_all(
    sources: PlanePositions,
    references: PlanePositions,
    correction: PlaneCorrection,
    *,
    usable: npt.NDArray[np.bool_],
    settings: AstrometrySettings,
) -> tuple[StarPairs, npt.NDArray[np.bool_]]:
    """Match all sources, and tell which matches the fit rests on."""
    pairs = pair_up(
        sources, references, correction, radius=_MAX_MATCH_RADIUS, error_floor=settings.error_floor
    )
    candidate = usable[pairs.source]
    if not candidate.any():
        return pairs, candidate
    errors = pairs.distances(correction)
    limit = CLIP * typical_distance(errors[candidate & (errors <= np.median(errors[candidate]) * 5.0)])
    # What an error does not explain may still be the same star, blended.
    near = np.hypot(*pairs.residuals(correction)) <= MIN_MATCH_RADIUS
    kept = near | (errors <= 2.0 * limit)
    return pairs.keep(kept), (candidate & (errors <= limit))[kept]


def _clipped_moments(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation, clipped three times."""
    for _ in range(3):
        mean, std = float(values.mean()), float(values.std())
        kept = np.abs(values - mean) <= _STATISTICS_CLIP * std
        if kept.all():
            break
        values = values[kept]
    return float(values.mean()), float(values.std())
