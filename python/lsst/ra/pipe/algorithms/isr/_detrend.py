# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Bias, dark, variance and flat of an assembled image, in one pass."""

from __future__ import annotations

__all__ = ("DetrendCalibrations", "NoiseModel", "detrend")

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from ._layout import AmplifierLayout

_EMPTY = np.empty((0, 0), np.float32)
_EMPTY_MASK = np.empty((0, 0), np.uint16)


class DetrendCalibrations(NamedTuple):
    """Calibration images of shape ``(ny, nx)``, as the kernel wants them.

    Those of size zero are not applied.
    """

    bias: npt.NDArray[np.float32] = _EMPTY
    """Bias, in the image's unit."""

    bias_variance: npt.NDArray[np.float32] = _EMPTY
    """Variance of the bias."""

    dark: npt.NDArray[np.float32] = _EMPTY
    """Dark of one second, in the image's unit."""

    dark_variance: npt.NDArray[np.float32] = _EMPTY
    """Variance of the dark of one second."""

    inverse_flat: npt.NDArray[np.float32] = _EMPTY
    """Inverse of the flat."""

    flat_relative_variance: npt.NDArray[np.float32] = _EMPTY
    """Variance of the flat divided by its square."""

    mask: npt.NDArray[np.uint16] = _EMPTY_MASK
    """Bits of the calibrations' masks."""


class NoiseModel(NamedTuple):
    """What the variance is made of, by amplifier."""

    gains: npt.NDArray[np.float32]
    """Electrons in the image's unit."""

    read_noise: npt.NDArray[np.float32]
    """Read noise (electron)."""


def detrend(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint16],
    layout: AmplifierLayout,
    calibrations: DetrendCalibrations,
    noise: NoiseModel,
    dark_time: float = 0.0,
    model_variance: bool = True,
    nan_bit: int = 0,
    negative_bit: int = 0,
) -> int:
    """Subtract bias and dark, model the variance, divide by the flat.

    Parameters
    ----------
    image
        Assembled image of shape ``(ny, nx)``, changed in place.
    variance
        Variance of the same shape to write to.
    mask
        Mask of the same shape, to which bits are added.
    layout
        Geometry of the amplifiers.
    calibrations
        Calibration images.
    noise
        Gains and read noise.
    dark_time
        Dark time of the exposure (second).
    model_variance
        Whether to add the photons' and the read-out's variance.
    nan_bit
        Bit for values or variances that are not finite before the flat; 0 to
        not look for them.
    negative_bit
        Bit for variances that are not positive before the flat; 0 to not look
        for them.

    Returns
    -------
    n_nan
        Number of pixels that are not finite before the flat.
    """
    places = (layout.out_y0, layout.out_x0)
    bits = (np.uint16(nan_bit), np.uint16(negative_bit))
    shape = layout.data_shape
    return int(
        _detrend(
            image, variance, mask, shape, places, calibrations, noise,
            np.float32(dark_time), model_variance, bits,
        )
    )  # fmt: skip


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _detrend(image, variance, mask, shape, places, calibrations, noise, dark_time, model, bits):  # type: ignore[no-untyped-def]
    """Work on row after row of the detector."""
    out_y0, out_x0 = places
    height, width = shape
    n_nan = 0
    for y in range(image.shape[0]):
        for a in range(out_y0.size):
            if y < out_y0[a] or y >= out_y0[a] + height:
                continue
            columns = slice(out_x0[a], out_x0[a] + width)
            values, variances, flags = image[y, columns], variance[y, columns], mask[y, columns]
            variances[:] = np.float32(0.0)
            _subtract(values, variances, calibrations, y, columns, dark_time)
            if bits[0] != 0:
                n_nan += _flag_not_finite(values, variances, flags, bits[0])
            if model:
                inverse_gain = np.float32(1.0) / noise.gains[a]
                read_variance = (noise.read_noise[a] * inverse_gain) ** 2
                for x in range(width):
                    variances[x] = (variances[x] + values[x]) * inverse_gain + read_variance
            if bits[1] != 0:
                _flag_not_positive(variances, flags, bits[1])
            if calibrations.inverse_flat.size > 0:
                inverse = calibrations.inverse_flat[y, columns]
                relative = calibrations.flat_relative_variance[y, columns]
                for x in range(width):
                    value = values[x] * inverse[x]
                    values[x] = value
                    variances[x] = variances[x] * inverse[x] * inverse[x] + value * value * relative[x]
            if calibrations.mask.size > 0:
                more = calibrations.mask[y, columns]
                for x in range(width):
                    flags[x] |= more[x]
    return n_nan


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _subtract(values, variances, calibrations, y, columns, dark_time):  # type: ignore[no-untyped-def]
    """Subtract bias and dark from part of a row."""
    if calibrations.bias.size > 0:
        bias, bias_variance = calibrations.bias[y, columns], calibrations.bias_variance[y, columns]
        for x in range(values.size):
            values[x] -= bias[x]
            variances[x] += bias_variance[x]
    if calibrations.dark.size > 0:
        dark, dark_variance = calibrations.dark[y, columns], calibrations.dark_variance[y, columns]
        for x in range(values.size):
            values[x] -= dark_time * dark[x]
            variances[x] += dark_time * dark_time * dark_variance[x]


@numba.njit(cache=True, error_model="numpy")
def _flag_not_finite(values, variances, flags, bit):  # type: ignore[no-untyped-def]
    """Flag and count what is not finite."""
    found = np.int32(0)
    for x in range(values.size):
        # The difference of a finite number and itself is zero.
        found |= np.int32((values[x] - values[x]) + (variances[x] - variances[x]) != np.float32(0.0))
    n = 0
    if found != 0:
        for x in range(values.size):
            if not (np.isfinite(values[x]) and np.isfinite(variances[x])):
                flags[x] |= bit
                n += 1
    return n


@numba.njit(cache=True, error_model="numpy")
def _flag_not_positive(variances, flags, bit):  # type: ignore[no-untyped-def]
    """Flag variances that are not positive."""
    found = np.int32(0)
    for x in range(variances.size):
        found |= np.int32(variances[x] <= np.float32(0.0))
    if found != 0:
        for x in range(variances.size):
            if variances[x] <= np.float32(0.0):
                flags[x] |= bit
