# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Differences between the pixels of two images."""

from __future__ import annotations

__all__ = ("DifferingPixels", "compare_pixels")

import dataclasses

import numpy as np
import numpy.typing as npt

from ._pixels import Booleans, MaskedPixels
from ._report import Deviation, PixelDifferences, PlaneDifference, Tolerance, VerifyError


@dataclasses.dataclass(frozen=True, eq=False)
class DifferingPixels:
    """Which pixels differ, for the comparison after the next step."""

    image_or_mask: Booleans
    """Those whose value or mask differs."""
    variance: Booleans
    """Those whose variance differs."""

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> DifferingPixels:
        """Say that no pixel differs.

        Parameters
        ----------
        shape
            Shape of the images.

        Returns
        -------
        differing
            No pixels.
        """
        return cls(np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))


def compare_pixels(
    reference: MaskedPixels,
    candidate: MaskedPixels,
    *,
    tolerance: Tolerance,
    before: DifferingPixels | None = None,
) -> tuple[PixelDifferences, PixelDifferences, DifferingPixels]:
    """Compare two images, and tell new differences from older ones.

    Parameters
    ----------
    reference, candidate
        The images.
    tolerance
        How far values may be apart.
    before
        Which pixels differed before the last step; `None` for the first one.

    Returns
    -------
    added
        Differences in the pixels that were the same before: value and mask
        count if neither of them differed, the variance if none of the three
        did.
    total
        All differences.
    differing
        Which pixels differ now.

    Raises
    ------
    VerifyError
        Raised if the images have different shapes.
    """
    if reference.image.shape != candidate.image.shape:
        raise VerifyError(
            f"The images have different shapes (ny, nx): {reference.image.shape} in the reference, "
            f"{candidate.image.shape} in the candidate."
        )
    if before is None:
        before = DifferingPixels.none(reference.image.shape)
    image = _ValueDifference(reference.image, candidate.image, tolerance)
    variance = _ValueDifference(reference.variance, candidate.variance, tolerance)
    same_before = ~before.image_or_mask
    masks = _MaskComparison(reference, candidate, image, same_before)
    added = PixelDifferences(
        image=image.measure(same_before),
        variance=variance.measure(same_before & ~before.variance),
        planes=tuple(masks.added),
        image_by_plane=masks.added_by_plane,
    )
    total = PixelDifferences(
        image=image.measure(),
        variance=variance.measure(),
        planes=tuple(masks.total),
        image_by_plane=masks.total_by_plane,
    )
    return added, total, DifferingPixels(image.beyond | masks.differs, variance.beyond)


class _ValueDifference:
    """Difference of two arrays, and where it is beyond the tolerance."""

    def __init__(
        self, reference: npt.NDArray[np.floating], candidate: npt.NDArray[np.floating], tolerance: Tolerance
    ) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            self._difference = candidate - reference
            allowed = np.maximum(np.abs(reference), np.abs(candidate))
            allowed *= tolerance.relative
            allowed += tolerance.absolute
            # Nothing is beyond an allowance of NaN or infinity.
            self.beyond: Booleans = np.abs(self._difference) > allowed
        both_finite = np.isfinite(reference) & np.isfinite(candidate)
        both_nan = np.isnan(reference) & np.isnan(candidate)
        self._not_finite: Booleans = ~both_finite & ~both_nan & (reference != candidate)
        self.beyond &= both_finite
        self.beyond |= self._not_finite

    def measure(self, where: Booleans | None = None) -> Deviation:
        """Measure the pixels that differ."""
        chosen = self.beyond if where is None else self.beyond & where
        n = int(np.count_nonzero(chosen))
        if not n:
            return Deviation()
        differences = self._difference[chosen & ~self._not_finite].astype(np.float64)
        return Deviation(
            n=n,
            n_not_finite=n - differences.size,
            max=float(np.abs(differences).max(initial=0.0)),
            rms=float(np.sqrt(np.mean(differences**2))) if differences.size else 0.0,
        )


class _MaskComparison:
    """Differences of all mask planes, and of the values in each of them."""

    def __init__(
        self,
        reference: MaskedPixels,
        candidate: MaskedPixels,
        image: _ValueDifference,
        same_before: Booleans,
    ) -> None:
        self.added: list[PlaneDifference] = []
        self.total: list[PlaneDifference] = []
        self.added_by_plane: dict[str, Deviation] = {}
        self.total_by_plane: dict[str, Deviation] = {}
        self.differs: Booleans = np.zeros(reference.image.shape, np.bool_)
        unmasked = np.ones(reference.image.shape, np.bool_)
        for name in sorted(reference.plane_names | candidate.plane_names):
            ours, theirs = reference.plane(name), candidate.plane(name)
            either = ours | theirs
            if not either.any():
                continue
            unmasked &= ~either
            self.differs |= ours ^ theirs
            self.total.append(_count(name, ours, theirs))
            self.added.append(_count(name, ours & same_before, theirs & same_before))
            self._measure_values(name, either, image, same_before)
        self._measure_values("", unmasked, image, same_before)

    def _measure_values(
        self, name: str, where: Booleans, image: _ValueDifference, same_before: Booleans
    ) -> None:
        """Measure the values of some pixels, if there are any differences."""
        if (total := image.measure(where)).n:
            self.total_by_plane[name] = total
            if (added := image.measure(where & same_before)).n:
                self.added_by_plane[name] = added


def _count(name: str, reference: Booleans, candidate: Booleans) -> PlaneDifference:
    both = int(np.count_nonzero(reference & candidate))
    return PlaneDifference(
        plane=name,
        only_reference=int(np.count_nonzero(reference)) - both,
        only_candidate=int(np.count_nonzero(candidate)) - both,
        both=both,
    )
