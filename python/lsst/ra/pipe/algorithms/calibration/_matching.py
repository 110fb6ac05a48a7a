# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Find the shift and rotation that bring sources onto references."""

from __future__ import annotations

__all__ = ("PatternMatch", "PlanePositions", "match_pattern")

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc

from ._kernels import SourceGrid, close_pairs, mutual_neighbours, vote

_BIN = 1.5
_ANGLE_STEP = np.radians(0.1)
_MAX_PRODUCT = 1_500_000
_PEAKS = 3
_CANDIDATES = 12
_FIRST_RADIUS = 3.5
_LAST_RADIUS = 0.4
_SHRINK = 0.65
_CONTROL_DISTANCE = 12.0
_CONTROLS = 6
_CERTAIN = -35.0
_HOPELESS = -9.0
_AGREEMENT = 0.6
_NO_CHANCE = -700.0


@dataclasses.dataclass(frozen=True, eq=False)
class PlanePositions:
    """Points in a tangent plane, of sources or of references."""

    xi: npt.NDArray[np.float64]
    """``(n,)`` positions towards the east, in arcsec."""

    eta: npt.NDArray[np.float64]
    """``(n,)`` positions towards the north, in arcsec."""

    error: npt.NDArray[np.float64]
    """``(n,)`` standard errors along each axis, in arcsec."""

    magnitude: npt.NDArray[np.float64]
    """``(n,)`` magnitudes, with any zero point; NaN if unknown."""

    def __post_init__(self) -> None:
        shapes = {field.name: getattr(self, field.name).shape for field in dataclasses.fields(self)}
        if len(set(shapes.values())) != 1 or self.xi.ndim != 1:
            raise ValueError(f"Expected arrays of one length, found the shapes {shapes}.")

    def __len__(self) -> int:
        return self.xi.size

    def subset(self, chosen: npt.NDArray[np.generic]) -> PlanePositions:
        """Return some of the points.

        Parameters
        ----------
        chosen
            Their indices, or a boolean array.

        Returns
        -------
        positions
            Those points.
        """
        return PlanePositions(self.xi[chosen], self.eta[chosen], self.error[chosen], self.magnitude[chosen])

    def brightest_first(self) -> npt.NDArray[np.int64]:
        """Order the points by brightness.

        Returns
        -------
        order
            ``(n,)`` indices; those of unknown brightness come last.
        """
        return np.argsort(np.nan_to_num(self.magnitude, nan=np.inf), kind="stable")


@dataclasses.dataclass(frozen=True)
class PatternMatch:
    """Rigid motion of the sources that puts many of them on references."""

    shift: tuple[float, float]
    """Shift towards east and north, in arcsec, after the rotation."""

    angle: float
    """Rotation about the origin from east to north, in radian."""

    radius: float
    """Radius in arcsec within which sources and references were paired."""

    n_pairs: int
    """Number of those pairs."""

    log_chance: float
    """Natural logarithm of the number of motions that would be expected to do
    as well if sources and references had nothing to do with each other."""


def match_pattern(
    sources: PlanePositions,
    references: PlanePositions,
    *,
    max_shift: float,
    max_angle: float,
    min_pairs: int = 3,
) -> PatternMatch | None:
    """Find the motion that is least likely to match so many by chance.

    Each pair of a source and a reference votes for the shift that joins
    them, in a histogram for each rotation. The highest peaks are refined on
    pairs that are each other's nearest within a shrinking radius, and judged
    by how many such pairs there would be at a place where nothing matches.

    Parameters
    ----------
    sources, references
        Finite positions in a plane; the origin is where rotations turn.
    max_shift
        Largest shift in each direction, in arcsec.
    max_angle
        Largest rotation, in radian.
    min_pairs
        A match has at least so many pairs.

    Returns
    -------
    match
        The best motion, whether or not it could be chance; `None` if no
        motion brings ``min_pairs`` together.
    """
    if len(sources) < min_pairs or len(references) < min_pairs:
        return None
    few_sources, few_references = _bright_subsets(sources, references)
    steps = int(np.ceil(max_angle / _ANGLE_STEP))
    angles = np.linspace(-max_angle, max_angle, 2 * steps + 1)
    pairs = close_pairs(
        few_sources.xi,
        few_sources.eta,
        few_references.xi,
        few_references.eta,
        limit=max_shift + max_angle * float(np.abs(np.r_[sources.xi, sources.eta]).max()),
    )
    peaks = vote(pairs, angles=angles, limit=max_shift, size=_BIN, n_peaks=_PEAKS)
    peaks = peaks[np.argsort(-peaks[:, 0], kind="stable")]
    trial = _Trial(few_sources, few_references, max_shift=max_shift, max_angle=max_angle)
    best: PatternMatch | None = None
    for votes, shift_x, shift_y, angle in peaks[:_CANDIDATES]:
        if votes < min_pairs - 1:
            break
        refined = trial.refine(complex(shift_x, shift_y), float(angle), min_pairs=min_pairs)
        if refined is not None and (best is None or refined.log_chance < best.log_chance):
            best = refined
            if best.log_chance < _CERTAIN:
                break
    return best


def _bright_subsets(
    sources: PlanePositions, references: PlanePositions
) -> tuple[PlanePositions, PlanePositions]:
    """Take the brightest of both, so that the pairs remain countable."""
    n_sources, n_references = len(sources), len(references)
    if n_sources * n_references > _MAX_PRODUCT:
        # References cover more sky, and not every source is one.
        n_references = min(n_references, max(int(np.sqrt(1.2 * _MAX_PRODUCT)), _MAX_PRODUCT // n_sources))
        n_sources = min(n_sources, _MAX_PRODUCT // n_references)
    return (
        sources.subset(sources.brightest_first()[:n_sources]),
        references.subset(references.brightest_first()[:n_references]),
    )


class _Trial:
    """Sources and references that motions are tried on."""

    def __init__(
        self,
        sources: PlanePositions,
        references: PlanePositions,
        *,
        max_shift: float,
        max_angle: float,
    ) -> None:
        self._source = sources.xi + 1j * sources.eta
        self._reference = references.xi + 1j * references.eta
        self._source_mag, self._reference_mag = sources.magnitude, references.magnitude
        known = sources.magnitude[np.isfinite(sources.magnitude)]
        self._sorted_mag = np.sort(known)
        self._grid = SourceGrid.build(sources.xi, sources.eta, radius=_FIRST_RADIUS)
        self._max_shift, self._max_angle = max_shift, max_angle
        low = np.array([sources.xi.min(), sources.eta.min()])
        high = np.array([sources.xi.max(), sources.eta.max()])
        self._low, self._high = low, high
        width, height = np.maximum(high - low, 10.0)
        self._density = len(sources) / (width * height)
        self._arm = 0.4 * float(np.hypot(width, height))

    def refine(self, shift: complex, angle: float, *, min_pairs: int) -> PatternMatch | None:
        """Improve a motion step by step; keep the least likely by chance."""
        best: PatternMatch | None = None
        radius = _FIRST_RADIUS
        while True:
            source, reference = self._pair(shift, angle, radius)
            if source.size < min_pairs:
                return best
            shift, angle = _fit_rigid(
                self._source[source], self._reference[reference], shift=shift, angle=angle, radius=radius
            )
            if max(abs(shift.real), abs(shift.imag)) > 1.1 * self._max_shift + _FIRST_RADIUS:
                return best
            if abs(angle) > self._max_angle + 2.0 * _ANGLE_STEP:
                return best
            source, reference = self._pair(shift, angle, radius)
            if source.size >= min_pairs:
                log_chance = self._log_chance(source, reference, shift, angle, radius)
                if best is None or log_chance <= best.log_chance:
                    motion = (shift.real, shift.imag)
                    best = PatternMatch(motion, angle, radius, int(source.size), log_chance)
            if radius <= _LAST_RADIUS:
                return best
            radius = max(_SHRINK * radius, _LAST_RADIUS)

    def _moved_back(self, shift: complex, angle: float) -> npt.NDArray[np.complex128]:
        """Find where references are before the motion."""
        return np.asarray((self._reference - shift) * np.exp(-1j * angle))

    def _pair(
        self, shift: complex, angle: float, radius: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        back = self._moved_back(shift, angle)
        return mutual_neighbours(
            self._grid, np.ascontiguousarray(back.real), np.ascontiguousarray(back.imag), radius=radius
        )

    def _log_chance(
        self,
        source: npt.NDArray[np.int64],
        reference: npt.NDArray[np.int64],
        shift: complex,
        angle: float,
        radius: float,
    ) -> float:
        """Estimate how many motions pair as many by chance; as a logarithm."""
        back = self._moved_back(shift, angle)
        inside = (back.real >= self._low[0]) & (back.real <= self._high[0])
        inside &= (back.imag >= self._low[1]) & (back.imag <= self._high[1])
        area = np.pi * radius**2
        expected = float(np.count_nonzero(inside) * -np.expm1(-self._density * area))
        shifts = max(4.0 * self._max_shift**2 / area, 1.0)
        log_trials = float(np.log(shifts * (1.0 + 2.0 * self._max_angle * self._arm / radius)))
        n_agree, share = self._agreement(source, reference)

        def judge(mean: float) -> float:
            # Pairs of stars have one zero point, which chance pairs have not.
            blind = _log_chance_of_best(source.size, mean)
            agreed = _log_chance_of_best(n_agree, mean * share) - math.log(share)
            return log_trials + min(blind, agreed)

        log_chance = judge(expected)
        if log_chance > _HOPELESS:
            return log_chance
        # Sources and references may crowd together: count where none match.
        turns = np.exp(2j * np.pi * np.arange(_CONTROLS) / _CONTROLS)
        found = [self._pair(shift + _CONTROL_DISTANCE * turn, angle, radius)[0].size for turn in turns]
        return judge(max(expected, float(np.mean(found))))

    def _agreement(
        self, source: npt.NDArray[np.int64], reference: npt.NDArray[np.int64]
    ) -> tuple[int, float]:
        """Pairs that agree on a zero point; share of all that would."""
        difference = self._reference_mag[reference] - self._source_mag[source]
        difference = difference[np.isfinite(difference)]
        if not difference.size:
            return source.size, 1.0
        zero_point = float(np.median(difference))
        n_agree = int(np.count_nonzero(np.abs(difference - zero_point) <= _AGREEMENT))
        expected = self._reference_mag[np.isfinite(self._reference_mag)] - zero_point
        count = np.searchsorted(self._sorted_mag, expected + _AGREEMENT)
        count -= np.searchsorted(self._sorted_mag, expected - _AGREEMENT)
        return n_agree, max(float(np.mean(count)) / self._sorted_mag.size, 0.01)


def _log_chance_of_best(count: int, mean: float) -> float:
    """Logarithm of the Poisson probability of ``count`` or more.

    Where there are many chance pairs, small changes of shift and angle
    exchange some of them, and the best of those is taken: square of the mean
    as many trials make the number of false matches found in simulations.
    """
    probability = float(gammainc(count, mean)) if mean > 0.0 else 0.0
    return float(np.log(probability) + 2.0 * np.log1p(mean)) if probability > 0.0 else _NO_CHANCE


def _fit_rigid(
    source: npt.NDArray[np.complex128],
    reference: npt.NDArray[np.complex128],
    *,
    shift: complex,
    angle: float,
    radius: float,
) -> tuple[complex, float]:
    """Fit shift and rotation, trusting close pairs more."""
    for _ in range(3):
        distance = np.abs(reference - source * np.exp(1j * angle) - shift) / radius
        weight = np.square(np.maximum(1.0 - np.square(distance), 0.05))
        weight /= weight.sum()
        middle_source, middle_reference = weight @ source, weight @ reference
        moment = (weight * np.conj(source - middle_source)) @ (reference - middle_reference)
        if abs(moment) > 0.0:
            angle = float(np.angle(moment))
        shift = complex(middle_reference - middle_source * np.exp(1j * angle))
    return shift, angle
