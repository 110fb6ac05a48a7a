# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Gain from the noise of light: photon transfer in one flat exposure."""

from __future__ import annotations

__all__ = ("PhotonTransfer", "measure_photon_transfer")

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt

_N_SIGMA = 6.0
_N_ITERATIONS = 3
_LEAST_PAIRS = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotonTransfer:
    """Gain relative to the one that an image was multiplied with."""

    gain_ratio: float
    """True gain over applied gain; NaN if it cannot be measured."""

    gain_ratio_error: float
    """Its standard deviation from the number of pixels; NaN likewise."""

    n_pairs: int
    """Pairs of pixels used."""


def measure_photon_transfer(
    image: npt.NDArray[np.float32],
    *,
    flat: npt.NDArray[np.float32],
    flat_variance: npt.NDArray[np.float32],
    good: npt.NDArray[np.bool_],
    read_noise: float,
    separation: int = 4,
) -> PhotonTransfer:
    """Compare the noise of an amplifier's flattened flat with its signal.

    Parameters
    ----------
    image
        Flattened pixels (electron by the applied gain) of shape ``(ny, nx)``.
    flat
        What the image was divided by, of the same shape.
    flat_variance
        Variance of ``flat``, of the same shape.
    good
        Which pixels to use, of the same shape.
    read_noise
        Read noise (electron).
    separation
        Columns between the two pixels of a pair.

    Returns
    -------
    transfer
        The ratio of the gains.

    Notes
    -----
    Photon transfer (Janesick 2001, "Scientific charge-coupled devices",
    chapter 2): with the true gain, the variance of the electrons of a pixel is
    their number.  If the applied gain is ``1 / k`` of the true one, the
    apparent electrons ``N`` have the variance ``N / k``.  A pixel ``F = N /
    f`` that was divided by a flat ``f`` of variance ``v`` has, with the read
    noise ``r``,

        ``var(F) = F / (k f) + (r / f)**2 + (F / f)**2 v``

    and the square of the difference of two pixels of a row has the sum of
    theirs as its expectation, which gives ``k`` from sums over all pairs.
    The division has removed the fixed pattern; the few columns between the
    pixels of a pair keep gradients out.  Differences beyond 6 standard
    deviations are left out.

    At high signal the brighter-fatter effect takes variance from the pixels
    (Astier et al. 2019, A&A 629, A36: a few per cent at half of the full
    well), so that ``k`` is too large by as much.  The gain of a photon
    transfer curve is free of that, so compare the ratio with that of other
    flats of the same level.
    """
    ratio, n_pairs = 1.0, 0
    for _ in range(_N_ITERATIONS):
        n_pairs, square, light, other = _sum_pairs(
            image, flat, flat_variance, good, read_noise**2, ratio, separation
        )
        if n_pairs < _LEAST_PAIRS or not (light > 0.0 and square > other):
            return PhotonTransfer(gain_ratio=math.nan, gain_ratio_error=math.nan, n_pairs=int(n_pairs))
        ratio = light / (square - other)
    # A pixel is in two pairs, which adds half to the error's square.
    error = ratio * math.sqrt(3.0 / n_pairs) * square / (square - other)
    return PhotonTransfer(gain_ratio=float(ratio), gain_ratio_error=float(error), n_pairs=int(n_pairs))


@numba.njit(cache=True, error_model="numpy")
def _sum_pairs(image, flat, variance, good, read_variance, ratio, separation):  # type: ignore[no-untyped-def]
    """Sum over pairs: their number, squared differences, and what these are
    expected to be, from light with the applied gain and from the rest.
    """
    ny, nx = image.shape
    light = np.empty(nx)
    other = np.empty(nx)
    n = 0
    total_square = 0.0
    total_light = 0.0
    total_other = 0.0
    clip = _N_SIGMA**2
    for y in range(ny):
        for x in range(nx):
            value, response = np.float64(image[y, x]), np.float64(flat[y, x])
            light[x] = value / response
            other[x] = (read_variance + value * value * variance[y, x]) / (response * response)
        for x in range(nx - separation):
            if not (good[y, x] and good[y, x + separation]):
                continue
            difference = np.float64(image[y, x]) - np.float64(image[y, x + separation])
            pair_light = light[x] + light[x + separation]
            pair_other = other[x] + other[x + separation]
            square = difference * difference
            if square <= clip * (pair_light / ratio + pair_other):
                n += 1
                total_square += square
                total_light += pair_light
                total_other += pair_other
    return n, total_square, total_light, total_other
