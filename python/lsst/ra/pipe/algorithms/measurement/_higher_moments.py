# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Third and fourth moments of stars: coma, trefoil, kurtosis and the like."""

from __future__ import annotations

__all__ = ("HIGHER_MOMENTS", "measure_higher_moments")

import numba
import numpy as np
import numpy.typing as npt

from ._pixels import UNUSABLE
from ._shapes import Shapes

HIGHER_MOMENTS = ("coma_1", "coma_2", "trefoil_1", "trefoil_2", "kurtosis", "e4_1", "e4_2")
"""Names of the combinations of moments, in the order of
`measure_higher_moments`."""

_WINDOW = 4.0


def measure_higher_moments(
    image: npt.NDArray[np.float32],
    *,
    bad: npt.NDArray[np.uint8],
    shapes: Shapes,
    stars: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Measure the third and fourth moments of sources.

    They are taken with the adaptive Gaussian weight in coordinates in which
    that Gaussian is a unit circle (Zhang et al. 2022, MNRAS 510, 1978), as the
    Science Pipelines' ``HigherOrderMomentsSource`` does.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    bad
        ``(ny, nx)`` array that `survey_pixels` made.
    shapes
        Adaptive moments of the sources of the image.
    stars
        ``(n,)`` indices of the sources to measure.

    Returns
    -------
    moments
        ``(n, 7)`` combinations `HIGHER_MOMENTS`: M30 + M12, M21 + M03,
        M30 - 3 M12, 3 M21 - M03, M40 + 2 M22 + M04, M40 - M04 and
        2 (M31 + M13). NaN where a source has no adaptive moments.
    """
    return _measure(
        image,
        bad,
        shapes.x[stars],
        shapes.y[stars],
        shapes.ixx[stars],
        shapes.iyy[stars],
        shapes.ixy[stars],
    )


@numba.njit(cache=True, nogil=True)
def _measure(
    image: np.ndarray,
    bad: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    ixx: np.ndarray,
    iyy: np.ndarray,
    ixy: np.ndarray,
) -> np.ndarray:  # pragma: no cover
    ny, nx = image.shape
    result = np.full((x.size, 7), np.nan)
    for n in range(x.size):
        determinant = ixx[n] * iyy[n] - ixy[n] ** 2
        if not determinant > 0.0:
            continue
        # Inverse of the symmetric square root of the moments.
        root = np.sqrt(determinant)
        scale = 1.0 / (root * np.sqrt(ixx[n] + iyy[n] + 2.0 * root))
        txx, tyy, txy = (iyy[n] + root) * scale, (ixx[n] + root) * scale, -ixy[n] * scale
        half_x, half_y = int(_WINDOW * np.sqrt(ixx[n])) + 1, int(_WINDOW * np.sqrt(iyy[n])) + 1
        total = 0.0
        m30, m21, m12, m03 = 0.0, 0.0, 0.0, 0.0
        m40, m31, m22, m13, m04 = 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(max(int(y[n]) - half_y, 0), min(int(y[n]) + half_y + 2, ny)):
            for i in range(max(int(x[n]) - half_x, 0), min(int(x[n]) + half_x + 2, nx)):
                if bad[j, i] & UNUSABLE != 0:
                    continue
                dx, dy = i - x[n], j - y[n]
                p, q = txx * dx + txy * dy, txy * dx + tyy * dy
                square = p * p + q * q
                if square > _WINDOW * _WINDOW:
                    continue
                value = np.exp(-0.5 * square) * image[j, i]
                total += value
                m30 += value * p * p * p
                m21 += value * p * p * q
                m12 += value * p * q * q
                m03 += value * q * q * q
                m40 += value * p * p * p * p
                m31 += value * p * p * p * q
                m22 += value * p * p * q * q
                m13 += value * p * q * q * q
                m04 += value * q * q * q * q
        if total > 0.0:
            result[n, 0] = (m30 + m12) / total
            result[n, 1] = (m21 + m03) / total
            result[n, 2] = (m30 - 3.0 * m12) / total
            result[n, 3] = (3.0 * m21 - m03) / total
            result[n, 4] = (m40 + 2.0 * m22 + m04) / total
            result[n, 5] = (m40 - m04) / total
            result[n, 6] = 2.0 * (m31 + m13) / total
    return result
