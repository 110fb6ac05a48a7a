# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Crosstalk between the amplifiers of a detector."""

from __future__ import annotations

__all__ = ("CrosstalkTerms",)

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt


class CrosstalkTerms(NamedTuple):
    """Coefficients for values in the unit of the image.

    Crosstalk in pixel ``(y, x)`` of an amplifier comes from pixel ``(y, x)`` of
    the others, as read out:
    ``sum(linear[target, source] * v + quadratic[target, source] * v**2)``.
    """

    linear: npt.NDArray[np.float32]
    """Linear coefficients of shape ``(n_amplifiers, n_amplifiers)``."""

    quadratic: npt.NDArray[np.float32]
    """Quadratic coefficients (inverse of the image's unit), of the same shape."""

    enabled: bool
    """Whether any linear coefficient is not zero."""

    use_quadratic: bool
    """Whether any quadratic coefficient is not zero."""

    @classmethod
    def none(cls, n_amplifiers: int) -> CrosstalkTerms:
        """Make terms that correct nothing.

        Parameters
        ----------
        n_amplifiers
            Number of amplifiers.

        Returns
        -------
        terms
            Terms that are zero.
        """
        return cls.build(np.zeros((n_amplifiers, n_amplifiers)))

    @classmethod
    def build(
        cls,
        linear: npt.NDArray[Any],
        quadratic: npt.NDArray[Any] | None = None,
        *,
        valid: npt.NDArray[np.bool_] | None = None,
        bad: npt.NDArray[np.bool_] | None = None,
        unit_scale: npt.NDArray[Any] | None = None,
    ) -> CrosstalkTerms:
        """Prepare the coefficients of a calibration.

        Parameters
        ----------
        linear
            Linear coefficients, ``[target, source]``.
        quadratic
            Quadratic coefficients, ``[target, source]``.
        valid
            Which coefficients may be used.
        bad
            Bad amplifiers: they neither cause crosstalk nor are corrected.
        unit_scale
            Image units in one unit of the coefficients, by amplifier; 1 if they
            are the same.

        Returns
        -------
        terms
            Terms, zero where a linear coefficient is zero, not finite, not
            valid or belongs to a bad amplifier.
        """
        first = np.array(linear, np.float64)
        second = np.zeros_like(first) if quadratic is None else np.array(quadratic, np.float64)
        unused = ~np.isfinite(first) | (first == 0.0)
        if valid is not None:
            unused |= ~valid
        if bad is not None:
            unused |= bad[:, np.newaxis] | bad[np.newaxis, :]
        if unit_scale is not None:
            scale = np.asarray(unit_scale, np.float64)
            first = first * scale[:, np.newaxis] / scale[np.newaxis, :]
            second = second * scale[:, np.newaxis] / scale[np.newaxis, :] ** 2
        first[unused] = 0.0
        second[unused | ~np.isfinite(second)] = 0.0
        return cls(first.astype(np.float32), second.astype(np.float32), bool(first.any()), bool(second.any()))


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def crosstalk_rows(values, terms, out):  # type: ignore[no-untyped-def]
    """Crosstalk in one row of each amplifier, of shape (n_amplifiers, nx)."""
    n, width = values.shape
    squares = np.empty_like(values)
    use_squares = terms.use_quadratic
    if use_squares:
        for source in range(n):
            v, w = values[source], squares[source]
            for x in range(width):
                w[x] = v[x] * v[x]
    for target in range(n):
        total = out[target]
        total[:] = 0.0
        # Four sources at a time, to spare loads and stores of the sum.
        for source in range(0, n - n % 4, 4):
            _add_four(values, terms.linear[target], source, total)
            if use_squares:
                _add_four(squares, terms.quadratic[target], source, total)
        for source in range(n - n % 4, n):
            v, w = values[source], squares[source]
            for x in range(width):
                total[x] += terms.linear[target, source] * v[x]
            if use_squares:
                for x in range(width):
                    total[x] += terms.quadratic[target, source] * w[x]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_four(values, coefficients, first, total):  # type: ignore[no-untyped-def]
    """Add four rows, times their coefficients."""
    a, b, c, d = values[first], values[first + 1], values[first + 2], values[first + 3]
    p, q = coefficients[first], coefficients[first + 1]
    r, s = coefficients[first + 2], coefficients[first + 3]
    if p == 0.0 and q == 0.0 and r == 0.0 and s == 0.0:
        return
    for x in range(total.size):
        total[x] += (p * a[x] + q * b[x]) + (r * c[x] + s * d[x])
