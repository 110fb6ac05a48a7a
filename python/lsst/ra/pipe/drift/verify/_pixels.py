# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""One view of the images of lsst.images and of the Science Pipelines."""

from __future__ import annotations

__all__ = ("MaskedPixels",)

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ._report import VerifyError

type Booleans = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedPixels:
    """Image, variance and mask, of whatever class they were."""

    image: npt.NDArray[np.floating]
    """Values, of shape ``(ny, nx)``."""
    variance: npt.NDArray[np.floating]
    """Variances, of the same shape."""
    plane_names: frozenset[str]
    """Names of the mask planes."""
    read_plane: Callable[[str], Booleans]
    """Reads one of these planes."""

    def plane(self, name: str) -> Booleans:
        """Return where a mask plane is set.

        Parameters
        ----------
        name
            Name of the plane, which the mask need not have.

        Returns
        -------
        is_set
            Array of the image's shape.
        """
        return self.read_plane(name) if name in self.plane_names else np.zeros(self.image.shape, np.bool_)

    @classmethod
    def from_exposure(cls, exposure: Any) -> Self:
        """Look at an image after ISR.

        Parameters
        ----------
        exposure
            Masked image of `lsst.images`, or masked image or exposure of
            ``lsst.afw``, which need not be importable here.

        Returns
        -------
        pixels
            View of the same arrays.

        Raises
        ------
        VerifyError
            Raised if it is something else.
        """
        try:
            image, variance, mask = exposure.image.array, exposure.variance.array, exposure.mask
            names, read = _mask_access(mask)
        except AttributeError as error:
            raise VerifyError(
                f"A {type(exposure).__module__}.{type(exposure).__qualname__} is no image that can be "
                f"compared; expected image, variance and mask: {error}."
            ) from error
        return cls(image=image, variance=variance, plane_names=names, read_plane=read)


def _mask_access(mask: Any) -> tuple[frozenset[str], Callable[[str], Booleans]]:
    """Return the names of a mask's planes, and how to read one."""
    if hasattr(mask, "getMaskPlaneDict"):
        bits = {str(name): int(bit) for name, bit in mask.getMaskPlaneDict().items()}
        return frozenset(bits), lambda name: (mask.array & (1 << bits[name])) != 0
    return frozenset(mask.schema.names), mask.get
