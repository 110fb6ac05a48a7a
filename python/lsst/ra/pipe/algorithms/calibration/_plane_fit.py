# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Fit a correction in the tangent plane to pairs of stars."""

from __future__ import annotations

__all__ = ("StarPairs", "fit_correction", "fit_error", "pair_up", "typical_distance")

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ._astrometry_settings import AstrometrySettings
from ._kernels import SourceGrid, mutual_neighbours
from ._matching import PatternMatch, PlanePositions
from ._tangent_plane import PlaneCorrection

MIN_MATCH_RADIUS = 0.5
CLIP = 3.7

_RAYLEIGH_MEDIAN = math.sqrt(2.0 * math.log(2.0))
_WORST_COST = 72.0
_MAX_ROUNDS = 12
_QUADRATIC_GAIN = 40.0


@dataclasses.dataclass(frozen=True, eq=False)
class StarPairs:
    """Positions of matched stars and references, and their errors, in arcsec."""

    source: npt.NDArray[np.int64]
    """``(n,)`` indices of the stars."""

    reference: npt.NDArray[np.int64]
    """``(n,)`` indices of the references."""

    xi: npt.NDArray[np.float64]
    """``(n,)`` positions of the stars, not corrected."""

    eta: npt.NDArray[np.float64]
    """The same towards the north."""

    target: npt.NDArray[np.float64]
    """``(2, n)`` positions of the references."""

    error: npt.NDArray[np.float64]
    """``(n,)`` standard errors along an axis, of both together."""

    @property
    def size(self) -> int:
        """Number of pairs."""
        return self.xi.size

    def keep(self, chosen: npt.NDArray[np.bool_]) -> StarPairs:
        """Return some of the pairs.

        Parameters
        ----------
        chosen
            ``(n,)`` which of them.

        Returns
        -------
        pairs
            Those pairs.
        """
        return StarPairs(
            self.source[chosen],
            self.reference[chosen],
            self.xi[chosen],
            self.eta[chosen],
            self.target[:, chosen],
            self.error[chosen],
        )

    def residuals(self, correction: PlaneCorrection) -> npt.NDArray[np.float64]:
        """Subtract the references' positions from the stars' corrected ones.

        Parameters
        ----------
        correction
            Correction of the stars' positions.

        Returns
        -------
        residuals
            ``(2, n)`` differences in arcsec.
        """
        return np.stack(correction.apply(self.xi, self.eta)) - self.target

    def distances(self, correction: PlaneCorrection) -> npt.NDArray[np.float64]:
        """Measure how far pairs are apart after a correction.

        Parameters
        ----------
        correction
            Correction of the stars' positions.

        Returns
        -------
        distances
            ``(n,)`` distances in standard errors of an axis.
        """
        return np.asarray(np.hypot(*self.residuals(correction)) / self.error)


def pair_up(
    stars: PlanePositions,
    references: PlanePositions,
    correction: PlaneCorrection,
    *,
    radius: float,
    error_floor: float,
) -> StarPairs:
    """Pair corrected stars with references that are each other's nearest.

    Parameters
    ----------
    stars, references
        Finite positions in the plane.
    correction
        Correction of the stars' positions.
    radius
        Largest distance of a pair, in arcsec.
    error_floor
        Standard error in arcsec added in quadrature; errors that are NaN
        count as zero.

    Returns
    -------
    pairs
        The pairs.
    """
    grid = SourceGrid.build(*correction.apply(stars.xi, stars.eta), radius=radius)
    source, reference = mutual_neighbours(grid, references.xi, references.eta, radius=radius)
    variance = np.square(error_floor) + np.square(np.nan_to_num(stars.error[source]))
    variance += np.square(np.nan_to_num(references.error[reference]))
    return StarPairs(
        source=source,
        reference=reference,
        xi=stars.xi[source],
        eta=stars.eta[source],
        target=np.stack([references.xi[reference], references.eta[reference]]),
        error=np.sqrt(variance),
    )


def fit_correction(
    stars: PlanePositions, references: PlanePositions, match: PatternMatch, settings: AstrometrySettings
) -> PlaneCorrection | None:
    """Fit the correction, in the order that the number of stars allows.

    Parameters
    ----------
    stars, references
        Finite positions in the plane.
    match
        Motion that brings them together.
    settings
        Choices.

    Returns
    -------
    correction
        The correction; `None` if too few pairs agree, or if it is not one
        that a pointing error can make.
    """
    scale = PlaneCorrection.identity().scale
    turn = scale * _rotation_matrix(match.angle)
    correction = PlaneCorrection(np.column_stack([np.array(match.shift), turn]), scale=scale)
    radius = max(match.radius, MIN_MATCH_RADIUS)
    # The second time with a better correction and so with better pairs.
    for _ in range(2):
        pairs = pair_up(stars, references, correction, radius=radius, error_floor=settings.error_floor)
        if pairs.size < settings.min_matches:
            return None
        correction, used = _fit_clipped(pairs, correction, settings)
    n_used = np.count_nonzero(used)
    if n_used < settings.min_matches:
        return None
    distortion = correction.matrix @ np.linalg.inv(_rotation_matrix(-math.radians(correction.rotation)))
    if np.abs(distortion - np.eye(2)).max() > settings.max_distortion:
        return None
    return _try_quadratic(pairs, correction, settings) if n_used >= settings.min_quadratic else correction


def fit_error(
    pairs: StarPairs,
    correction: PlaneCorrection,
    *,
    points: npt.NDArray[np.float64],
    settings: AstrometrySettings,
) -> float:
    """Propagate the errors of pairs to positions elsewhere.

    Parameters
    ----------
    pairs
        Pairs that the correction was fitted to.
    correction
        The correction.
    points
        ``(3, m)`` array of xi, eta in arcsec, and the weight of the point.
    settings
        The choices made for the fit.

    Returns
    -------
    error
        Weighted rms of the expected distances, in arcsec.
    """
    n_terms = correction.coefficients.shape[1]
    is_affine = pairs.size >= settings.min_affine
    freedom = 2 * pairs.size - (2 * n_terms if is_affine else 4)
    chi2 = float(np.square(pairs.distances(correction)).sum())
    noise = max(chi2 / freedom, 1.0) if freedom > 0 else 1.0
    if is_affine:
        terms = PlaneCorrection.terms(pairs.xi, pairs.eta, n_terms=n_terms) / pairs.error
        ends = PlaneCorrection.terms(points[0], points[1], n_terms=n_terms)
        variance = np.einsum("ik,ij,jk->k", ends, np.linalg.pinv(terms @ terms.T), ends)
    else:
        weight = 1.0 / np.square(pairs.error)
        stars = np.stack([pairs.xi, pairs.eta])
        middle = np.average(stars, axis=1, weights=weight)[:, np.newaxis]
        moment = float(weight @ np.square(stars - middle).sum(axis=0))
        if moment == 0.0:
            return math.inf
        variance = 1.0 / weight.sum() + np.square(points[:2] - middle).sum(axis=0) / moment
    return float(np.sqrt(2.0 * noise * (points[2] @ variance)))


def typical_distance(distances: npt.NDArray[np.float64]) -> float:
    """Scale of distances that are expected to be 1, outliers ignored.

    Parameters
    ----------
    distances
        ``(n,)`` distances in standard errors of an axis.

    Returns
    -------
    scale
        At least 1.
    """
    return max(float(np.median(distances)) / _RAYLEIGH_MEDIAN, 1.0)


def _within(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which distances belong to the same population as most."""
    return distances <= CLIP * typical_distance(distances)


def _rotation_matrix(angle: float) -> npt.NDArray[np.float64]:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _fit_clipped(
    pairs: StarPairs, correction: PlaneCorrection, settings: AstrometrySettings
) -> tuple[PlaneCorrection, npt.NDArray[np.bool_]]:
    """Fit, leaving out what lies off, until the same pairs remain."""
    if pairs.size < settings.min_affine:
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


def _fit_tolerant(pairs: StarPairs, correction: PlaneCorrection) -> PlaneCorrection:
    """Fit with weights that fall with the distance."""
    for _ in range(5):
        distances = pairs.distances(correction)
        weight = 1.0 / np.hypot(1.0, distances / (2.0 * typical_distance(distances)))
        correction = _solve(pairs, weight / pairs.error, order=0)
    return correction


def _best_similarity(pairs: StarPairs) -> PlaneCorrection:
    """Fit each two pairs, keep what suits the others best."""
    first, second = np.triu_indices(pairs.size, 1)
    source, target = pairs.xi + 1j * pairs.eta, pairs.target[0] + 1j * pairs.target[1]
    baseline = source[second] - source[first]
    baseline[baseline == 0.0] = np.nan
    factor = (target[second] - target[first]) / baseline
    shift = target[first] - factor * source[first]
    distances = np.abs(target - factor[:, np.newaxis] * source - shift[:, np.newaxis]) / pairs.error
    cost = np.minimum(np.square(distances), _WORST_COST).sum(axis=1)
    best = int(np.argmin(np.nan_to_num(cost, nan=np.inf)))
    return _similarity(complex(factor[best]), complex(shift[best]))


def _similarity(factor: complex, shift: complex) -> PlaneCorrection:
    scale = PlaneCorrection.identity().scale
    a, b = scale * factor.real, scale * factor.imag
    return PlaneCorrection(np.array([[shift.real, a, -b], [shift.imag, b, a]]), scale=scale)


def _solve(pairs: StarPairs, weight: npt.NDArray[np.float64], *, order: int) -> PlaneCorrection:
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
    pairs: StarPairs, correction: PlaneCorrection, settings: AstrometrySettings
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
