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

# Pixels of a row that are worked on together.
_SEGMENT = 1024

_INFINITY = np.float32(np.inf)

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
    bits = (np.uint16(nan_bit), np.uint16(negative_bit))
    inverse_gains, read_variances = _columns(layout, noise, model_variance)
    bands = np.minimum(np.arange(image.shape[0]) // layout.data_shape[0], inverse_gains.shape[0] - 1)
    columns = (inverse_gains, read_variances, bands, model_variance)
    return int(_detrend(image, variance, mask, calibrations, columns, np.float32(dark_time), bits))


def _columns(
    layout: AmplifierLayout, noise: NoiseModel, model: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Spread inverse gains and read variances over the columns of each row of amplifiers."""
    n_bands = layout.shape[0] // layout.data_shape[0]
    inverse_gains = np.ones((n_bands, layout.shape[1]), np.float32)
    read_variances = np.zeros((n_bands, layout.shape[1]), np.float32)
    if model:
        for a in range(len(layout)):
            rows, columns = layout.assembled_slices(a)
            band = rows.start // layout.data_shape[0]
            inverse_gains[band, columns] = 1.0 / noise.gains[a]
            read_variances[band, columns] = (noise.read_noise[a] / noise.gains[a]) ** 2
    return inverse_gains, read_variances


@numba.njit(cache=True, error_model="numpy")
def _detrend(image, variance, mask, calibrations, columns, dark_time, bits):  # type: ignore[no-untyped-def]
    """Work on segments of the rows."""
    inverse_gains, read_variances, bands, model = columns
    width = image.shape[1]
    zeros, ones = np.zeros(width, np.float32), np.ones(width, np.float32)
    new_values, new_variances = np.empty(_SEGMENT, np.float32), np.empty(_SEGMENT, np.float32)
    n_nan = 0
    for y in range(image.shape[0]):
        bias = calibrations.bias[y] if calibrations.bias.size > 0 else zeros
        bias_variance = calibrations.bias_variance[y] if calibrations.bias.size > 0 else zeros
        dark = calibrations.dark[y] if calibrations.dark.size > 0 else zeros
        dark_variance = calibrations.dark_variance[y] if calibrations.dark.size > 0 else zeros
        inverse = calibrations.inverse_flat[y] if calibrations.inverse_flat.size > 0 else ones
        relative = calibrations.flat_relative_variance[y] if calibrations.inverse_flat.size > 0 else zeros
        gains, read = inverse_gains[bands[y]], read_variances[bands[y]]
        for start in range(0, width, _SEGMENT):
            part = slice(start, min(start + _SEGMENT, width))
            values, flags = image[y][part], mask[y][part]
            terms = (
                bias[part],
                dark[part],
                bias_variance[part],
                dark_variance[part],
                gains[part],
                read[part],
            )
            found = _correct(
                values, terms, inverse[part], relative[part], dark_time, model, new_values, new_variances
            )
            if found:
                n_nan += _flag(values, flags, terms, dark_time, model, bits)
            values[:] = new_values[: values.size]
            variance[y][part] = new_variances[: values.size]
            if calibrations.mask.size > 0:
                more = calibrations.mask[y][part]
                for x in range(flags.size):
                    flags[x] |= more[x]
    return n_nan


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _correct(values, terms, inverse, relative, dark_time, model, out, out_variance):  # type: ignore[no-untyped-def]
    """Correct values, and tell whether one is not finite or has no variance."""
    bias, dark, bias_variance, dark_variance, gains, read = terms
    found = np.int32(0)
    square = dark_time * dark_time
    photons = np.float32(1.0) if model else np.float32(0.0)
    for x in range(values.size):
        value = values[x] - bias[x] - dark_time * dark[x]
        total = (bias_variance[x] + square * dark_variance[x] + photons * value) * gains[x] + read[x]
        # A variance that is not finite is not positive either, or not below infinity.
        found |= np.int32(not (total > np.float32(0.0))) | np.int32(not (abs(value) < _INFINITY))
        found |= np.int32(not (total < _INFINITY))
        value *= inverse[x]
        out[x] = value
        out_variance[x] = total * inverse[x] * inverse[x] + value * value * relative[x]
    return found != 0


@numba.njit(cache=True, error_model="numpy")
def _flag(values, flags, terms, dark_time, model, bits):  # type: ignore[no-untyped-def]
    """Flag what is not finite, and variances that are not positive; count the former."""
    bias, dark, bias_variance, dark_variance, gains, read = terms
    n = 0
    for x in range(values.size):
        value = values[x] - bias[x] - dark_time * dark[x]
        total = bias_variance[x] + dark_time * dark_time * dark_variance[x]
        if bits[0] != 0 and not (np.isfinite(value) and np.isfinite(total)):
            flags[x] |= bits[0]
            n += 1
        if model:
            total = (total + value) * gains[x] + read[x]
        if bits[1] != 0 and total <= np.float32(0.0):
            flags[x] |= bits[1]
    return n
