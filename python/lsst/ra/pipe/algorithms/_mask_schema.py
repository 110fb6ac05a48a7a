# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Mask planes of every image that this package makes."""

from __future__ import annotations

__all__ = ("MASK_SCHEMA", "packed_mask", "plane_bits")

from typing import Any

import numpy as np
import numpy.typing as npt

from lsst.images import Mask, MaskPlane, MaskSchema

MASK_SCHEMA = MaskSchema(
    [
        MaskPlane("BAD", "Defect of the detector, or a bad amplifier."),
        MaskPlane("SAT", "Saturated, or reached by the bleed of a saturated pixel."),
        MaskPlane("INTRP", "The value was interpolated from neighbours."),
        MaskPlane("CR", "Hit by a cosmic ray."),
        MaskPlane("EDGE", "Too close to the edge for detection."),
        MaskPlane("DETECTED", "Part of a detected source."),
        MaskPlane("DETECTED_NEGATIVE", "Part of a source detected with negative flux."),
        MaskPlane("SUSPECT", "Close to saturation, or otherwise doubtful."),
        MaskPlane("NO_DATA", "No light reaches this pixel, or there are no data."),
        MaskPlane("VIGNETTED", "Vignetted by the optics."),
        MaskPlane("STREAK", "Crossed by a satellite or an aeroplane."),
        MaskPlane("CROSSTALK", "Corrected for crosstalk by a noticeable amount."),
        MaskPlane("ITL_DIP", "In the dark column trail of a bright star on an ITL CCD."),
        MaskPlane("UNMASKEDNAN", "The value or its variance was not finite."),
    ],
    dtype=np.uint8,
)
"""Rubin's mask planes (`lsst.images.MaskSchema`): the names and the order that
the Science Pipelines use, two bytes a pixel."""


def plane_bits(*planes: str, schema: MaskSchema = MASK_SCHEMA) -> int:
    """Bits of mask planes in a packed mask.

    Parameters
    ----------
    *planes
        Names of mask planes.
    schema
        Schema with at most 16 planes.

    Returns
    -------
    bits
        Union of the planes' bits, for use with `packed_mask`.

    Raises
    ------
    KeyError
        Raised if a plane is not in the schema.
    """
    bits = 0
    for plane in planes:
        bit = schema.bit(plane)
        bits |= int(bit.mask) << (8 * bit.index)
    return bits


def packed_mask(mask: Mask) -> npt.NDArray[np.uint16]:
    """View a mask's bytes as one integer a pixel, for kernels.

    Parameters
    ----------
    mask
        Mask with two bytes a pixel, such as those of `MASK_SCHEMA`.

    Returns
    -------
    packed
        Array of shape ``(ny, nx)`` that shares memory with the mask.

    Raises
    ------
    ValueError
        Raised if the mask does not have two contiguous bytes a pixel.
    """
    array: npt.NDArray[Any] = mask.array
    if array.dtype != np.uint8 or array.shape[-1] != 2 or not array.flags.c_contiguous:
        raise ValueError(
            f"A packed mask needs contiguous uint8 pixels of 2 bytes; got {array.dtype} of shape"
            f" {array.shape}, contiguous: {array.flags.c_contiguous}."
        )
    return array.view("<u2")[..., 0].view(np.uint16)
