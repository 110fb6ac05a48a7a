# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Match sources to a reference catalogue and correct their positions."""

from __future__ import annotations

__all__ = ("AstrometricSolution", "AstrometrySettings", "solve_astrometry")

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ._kernels import SourceGrid, mutual_neighbours
from ._matching import PatternMatch, PlanePositions, match_pattern
from ._tangent_plane import PlaneCorrection

_RAYLEIGH_MEDIAN = math.sqrt(2.0 * math.log(2.0))
_MAX_MATCH_RADIUS = 1.5
_MIN_MATCH_RADIUS = 0.5
_DIFFUSE = 6.0
_CLIP = 3.7
_MAX_ROUNDS = 12
_QUADRATIC_GAIN = 40.0
_STATISTICS_CLIP = 3.0


@dataclasses.dataclass(frozen=True)
class AstrometrySettings:
    """What can be chosen about the astrometric match and fit."""

    max_shift: float = 100.0
    """Largest error of the initial position of the detector's centre, in
    arcsec along each axis."""

    max_rotation: float = 0.7
    """Largest error of the initial rotation, in degrees."""

    min_matches: int = 3
    """A match has at least so many stars."""

    max_chance: float = 1e-5
    """Accept a match if fewer than so many are expected by chance."""

    min_affine: int = 12
    """Fit an affine correction to at least so many stars, otherwise a
    similarity: shift, rotation and scale."""

    min_quadratic: int = 100
    """With at least so many stars try second order, which is kept if it
    improves the fit beyond doubt."""

    error_floor: float = 0.004
    """Standard error in arcsec, along each axis, that is added in quadrature
    to those of sources and references: what the atmosphere does to a short
    exposure."""

    max_distortion: float = 0.003
    """Refuse a fit whose scale or shear differs by more from the initial
    one."""


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
    east, in degrees."""

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
        return _no_solution("no match", n_initial, match)
    correction = _fit(stars, close, match, settings)
    if correction is None:
        return _no_solution("bad fit", n_initial, match)
    present_index = np.flatnonzero(present)
    return _describe(
        sources.subset(present_index),
        close,
        correction,
        indices=(present_index, near_index),
        usable=usable[present_index],
        detector=detector,
        match=match,
        settings=settings,
    )


class _Detector:
    """Place and size of a detector in the tangent plane."""

    def __init__(self, jacobian: npt.NDArray[np.float64], half_size: tuple[float, float]) -> None:
        self.inverse = np.linalg.inv(jacobian)
        self.scale = float(np.sqrt(abs(np.linalg.det(jacobian))))
        self._half_size = half_size

    def to_pixel(
        self, xi: npt.NDArray[np.float64], eta: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Positions along x and y from the centre, in pixels."""
        return self.inverse @ np.stack([xi, eta])

    def holds(
        self, xi: npt.NDArray[np.float64], eta: npt.NDArray[np.float64], *, margin: float = 0.0
    ) -> npt.NDArray[np.bool_]:
        """Tell which points are within a margin, in arcsec, of it."""
        x, y = self.to_pixel(xi, eta)
        border = margin / self.scale
        width, height = self._half_size
        return (np.abs(x) <= width + border) & (np.abs(y) <= height + border)


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
        log10_chance=match.log_chance / math.log(10.0) if match is not None else math.nan,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Pairs:
    """Positions of matched stars and references, and their errors."""

    xi: npt.NDArray[np.float64]
    eta: npt.NDArray[np.float64]
    target: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]

    def distances(self, correction: PlaneCorrection) -> npt.NDArray[np.float64]:
        """Distances after a correction, in standard errors of an axis."""
        moved = np.stack(correction.apply(self.xi, self.eta))
        return np.asarray(np.hypot(*(self.target - moved)) / self.error)


def _fit(
    stars: PlanePositions, references: PlanePositions, match: PatternMatch, settings: AstrometrySettings
) -> PlaneCorrection | None:
    """Fit the correction, in the order that the number of stars allows."""
    turn = np.array([[math.cos(match.angle), -math.sin(match.angle)], [math.sin(match.angle), math.cos(match.angle)]])
    start = PlaneCorrection.identity()
    correction = PlaneCorrection(
        np.column_stack([np.array(match.shift), turn * start.scale]), scale=start.scale
    )
    radius = max(match.radius, _MIN_MATCH_RADIUS)
    pairs, used = None, None
    # The second time with a better correction and so with better pairs.
    for _ in range(2):
        _, source, reference = _pair_up(stars, references, correction, radius)
        if source.size < settings.min_matches:
            return None
        pairs = _make_pairs(stars, references, source, reference, settings.error_floor)
        correction, used = _fit_clipped(pairs, correction, settings)
    assert pairs is not None, "The loop ran."
    if np.count_nonzero(used) < settings.min_matches:
        return None
    distortion = correction.matrix @ np.linalg.inv(_rotation_part(correction.matrix)) - np.eye(2)
    if np.abs(distortion).max() > settings.max_distortion:
        return None
    if np.count_nonzero(used) >= settings.min_quadratic:
        correction = _try_quadratic(pairs, correction, settings)
    return correction


def _rotation_part(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    angle = math.atan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _pair_up(
    stars: PlanePositions, references: PlanePositions, correction: PlaneCorrection, radius: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pair corrected stars with references; return the distances too."""
    xi, eta = correction.apply(stars.xi, stars.eta)
    grid = SourceGrid.build(xi, eta, radius=radius)
    source, reference = mutual_neighbours(grid, references.xi, references.eta, radius=radius)
    distance = np.hypot(xi[source] - references.xi[reference], eta[source] - references.eta[reference])
    return distance, source, reference


def _make_pairs(
    stars: PlanePositions,
    references: PlanePositions,
    source: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    floor: float,
) -> _Pairs:
    variance = np.square(floor) + np.square(np.nan_to_num(stars.error[source]))
    variance += np.square(np.nan_to_num(references.error[reference]))
    return _Pairs(
        stars.xi[source],
        stars.eta[source],
        np.stack([references.xi[reference], references.eta[reference]]),
        np.sqrt(variance),
    )


def _fit_clipped(
    pairs: _Pairs, correction: PlaneCorrection, settings: AstrometrySettings
) -> tuple[PlaneCorrection, npt.NDArray[np.bool_]]:
    """Fit, leaving out what lies off, until the same pairs remain."""
    if pairs.xi.size < settings.min_affine:
        correction = _best_similarity(pairs)
    else:
        correction = _fit_tolerant(pairs, correction)
    used = _within(pairs.distances(correction))
    for _ in range(_MAX_ROUNDS):
        n_used = np.count_nonzero(used)
        if n_used < settings.min_matches:
            break
        correction = _solve(pairs, used / pairs.error, order=1 if n_used >= settings.min_affine else 0)
        before, used = used, _within(pairs.distances(correction))
        if np.array_equal(used, before):
            break
    return correction, used


def _within(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which distances belong to the same population as most."""
    spread = max(float(np.median(distances)) / _RAYLEIGH_MEDIAN, 1.0)
    return distances <= _CLIP * spread


def _fit_tolerant(pairs: _Pairs, correction: PlaneCorrection) -> PlaneCorrection:
    """Fit with weights that fall with the distance, so that few matter."""
    for _ in range(5):
        distances = pairs.distances(correction)
        spread = max(float(np.median(distances)) / _RAYLEIGH_MEDIAN, 1.0)
        weight = np.sqrt(1.0 / (1.0 + np.square(distances / (2.0 * spread))))
        correction = _solve(pairs, weight / pairs.error, order=0)
    return correction


def _best_similarity(pairs: _Pairs) -> PlaneCorrection:
    """Fit each two pairs, keep what suits the others best."""
    first, second = np.triu_indices(pairs.xi.size, 1)
    source, target = pairs.xi + 1j * pairs.eta, pairs.target[0] + 1j * pairs.target[1]
    baseline = source[second] - source[first]
    factor = (target[second] - target[first]) / np.where(baseline == 0.0, 1.0, baseline)
    shift = target[first] - factor * source[first]
    distances = np.abs(target - factor[:, np.newaxis] * source - shift[:, np.newaxis]) / pairs.error
    # A trial turns about two stars and so misses the others by more.
    cost = np.minimum(np.square(distances), _DIFFUSE**2 * 2.0).sum(axis=1)
    best = int(np.argmin(np.where(baseline == 0.0, np.inf, cost)))
    return _similarity(complex(factor[best]), complex(shift[best]))


def _similarity(factor: complex, shift: complex) -> PlaneCorrection:
    scale = PlaneCorrection.identity().scale
    a, b = scale * factor.real, scale * factor.imag
    return PlaneCorrection(np.array([[shift.real, a, -b], [shift.imag, b, a]]), scale=scale)


def _solve(pairs: _Pairs, weight: npt.NDArray[np.float64], *, order: int) -> PlaneCorrection:
    """Weighted least squares; order 0 is the similarity."""
    if order == 0:
        squared = np.square(weight) / np.sum(np.square(weight))
        source, target = pairs.xi + 1j * pairs.eta, pairs.target[0] + 1j * pairs.target[1]
        middle, aim = squared @ source, squared @ target
        spread = squared @ np.square(np.abs(source - middle))
        moment = (squared * np.conj(source - middle)) @ (target - aim)
        factor = complex(moment / spread) if spread > 0.0 else 1.0 + 0.0j
        return _similarity(factor, complex(aim - factor * middle))
    scale = PlaneCorrection.identity().scale
    terms = PlaneCorrection.terms(pairs.xi, pairs.eta, n_terms=6 if order == 2 else 3, scale=scale)
    solution, *_ = np.linalg.lstsq((terms * weight).T, (pairs.target * weight).T, rcond=None)
    return PlaneCorrection(np.ascontiguousarray(solution.T), scale=scale)


def _try_quadratic(
    pairs: _Pairs, correction: PlaneCorrection, settings: AstrometrySettings
) -> PlaneCorrection:
    """Add second order if the stars ask for it."""
    used = _within(pairs.distances(correction))
    for _ in range(_MAX_ROUNDS):
        if np.count_nonzero(used) < settings.min_quadratic:
            return correction
        curved = _solve(pairs, used / pairs.error, order=2)
        before, used = used, _within(pairs.distances(curved))
        if np.array_equal(used, before):
            break
    flat = _solve(pairs, used / pairs.error, order=1)
    chi2_flat = float(np.square(pairs.distances(flat)[used]).sum())
    chi2_curved = float(np.square(pairs.distances(curved)[used]).sum())
    noise = max(chi2_curved / (2 * np.count_nonzero(used) - 12), 1.0)
    return curved if chi2_flat - chi2_curved > _QUADRATIC_GAIN * noise else correction


def _describe(
    sources: PlanePositions,
    references: PlanePositions,
    correction: PlaneCorrection,
    *,
    indices: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    usable: npt.NDArray[np.bool_],
    detector: _Detector,
    match: PatternMatch,
    settings: AstrometrySettings,
) -> AstrometricSolution:
    """Match all sources with the fitted correction and collect statistics."""
    distance, source, reference = _pair_up(sources, references, correction, _MAX_MATCH_RADIUS)
    pairs = _make_pairs(sources, references, source, reference, settings.error_floor)
    normalised = pairs.distances(correction)
    spread = max(float(np.median(normalised[usable[source]])) / _RAYLEIGH_MEDIAN, 1.0)
    # What an error does not explain may still be the same star, blended.
    kept = (normalised <= 2.0 * _CLIP * spread) | (distance <= _MIN_MATCH_RADIUS)
    distance, source, reference, normalised = (a[kept] for a in (distance, source, reference, normalised))
    used = usable[source] & (normalised <= _CLIP * spread)
    if np.count_nonzero(used) < settings.min_matches:
        return _no_solution("bad fit", len(references), match)
    xi, eta = correction.apply(sources.xi[source], sources.eta[source])
    back = np.linalg.inv(correction.matrix)
    residual = np.stack([xi - references.xi[reference], eta - references.eta[reference]])
    residual_x, residual_y = detector.scale * (detector.inverse @ (back @ residual))
    shift = np.array(correction.shift)
    original = back @ (np.stack([references.xi, references.eta]) - shift[:, np.newaxis])
    mean, std = _clipped_moments(distance[used])
    return AstrometricSolution(
        status="ok",
        correction=correction,
        n_references=int(np.count_nonzero(detector.holds(original[0], original[1]))),
        source_index=indices[0][source],
        reference_index=indices[1][reference],
        residual_x=residual_x,
        residual_y=residual_y,
        used=used,
        offset_mean=mean,
        offset_std=std,
        shift_ra=correction.shift[0],
        shift_dec=correction.shift[1],
        rotation=correction.rotation,
        log10_chance=match.log_chance / math.log(10.0),
    )


def _clipped_moments(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation, clipped three times."""
    for _ in range(3):
        mean, std = float(values.mean()), float(values.std())
        kept = np.abs(values - mean) <= _STATISTICS_CLIP * std
        if kept.all():
            break
        values = values[kept]
    return float(values.mean()), float(values.std())
