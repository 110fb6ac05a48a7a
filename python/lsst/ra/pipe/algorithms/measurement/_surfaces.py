# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Smooth variation of a quantity over the detector."""

from __future__ import annotations

__all__ = ("evaluate_terms", "fit_surface", "scale_position")

import numpy as np
import numpy.typing as npt

from ._robust import MAD_TO_SIGMA

_CLIP = 3.5
_ROUNDS = 4


def scale_position(
    x: npt.ArrayLike, y: npt.ArrayLike, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scale positions to -1 to 1 over the image.

    Parameters
    ----------
    x, y
        Positions in pixels.
    shape
        Shape ``(ny, nx)`` of the image.

    Returns
    -------
    u, v
        ``2 x / (nx - 1) - 1`` and ``2 y / (ny - 1) - 1``.
    """
    ny, nx = shape
    u = 2.0 * np.asarray(x, dtype=np.float64) / max(nx - 1, 1) - 1.0
    v = 2.0 * np.asarray(y, dtype=np.float64) / max(ny - 1, 1) - 1.0
    return u, v


def evaluate_terms(u: npt.ArrayLike, v: npt.ArrayLike, *, n_terms: int) -> npt.NDArray[np.float64]:
    """Evaluate the terms of a polynomial of order 0, 1 or 2.

    Parameters
    ----------
    u, v
        ``(n,)`` scaled positions.
    n_terms
        1, 3 or 6.

    Returns
    -------
    terms
        ``(n, n_terms)`` values of 1, u, v, u^2, u v and v^2.
    """
    u, v = np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)
    terms = [np.ones_like(u), u, v, u * u, u * v, v * v]
    return np.stack(terms[:n_terms], axis=-1)


def fit_surface(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    *,
    errors: npt.NDArray[np.float64],
    shape: tuple[int, int],
    n_terms: int,
    expected: tuple[float, float] | None = None,
) -> npt.NDArray[np.float64]:
    """Fit a polynomial of the position by weighted least squares, clipping.

    Parameters
    ----------
    x, y
        ``(n,)`` positions in pixels.
    values
        ``(n,)`` values there.
    errors
        ``(n,)`` their standard errors.
    shape
        Shape ``(ny, nx)`` of the image.
    n_terms
        1, 3 or 6: order 0, 1 or 2.
    expected
        Typical size of linear and quadratic coefficients. With it terms that
        the values do not determine stay small, so that there may be fewer
        values than terms.

    Returns
    -------
    coefficients
        ``(n_terms,)`` coefficients of `evaluate_terms`.
    """
    design = evaluate_terms(*scale_position(x, y, shape), n_terms=n_terms)
    prior = np.zeros((n_terms, n_terms))
    if expected is not None:
        sizes = np.array([np.inf, *2 * [expected[0]], *3 * [expected[1]]])[:n_terms]
        prior = np.diag(1.0 / sizes)
    use = np.ones(values.size, dtype=bool)
    solution = np.zeros(n_terms)
    for _ in range(_ROUNDS):
        matrix = np.concatenate([design[use] / errors[use, np.newaxis], prior])
        target = np.concatenate([values[use] / errors[use], np.zeros(n_terms)])
        solution, *_ = np.linalg.lstsq(matrix, target, rcond=None)
        scaled = (values - design @ solution) / errors
        scatter = max(MAD_TO_SIGMA * float(np.median(np.abs(scaled[use]))), 1.0)
        keep = np.abs(scaled) < _CLIP * scatter
        if np.array_equal(keep, use) or 2 * np.count_nonzero(keep) < values.size:
            break
        use = keep
    return solution
