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
        return cls(first.astype(np.float32), second.astype(np.float32), bool(first.any()))


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def crosstalk_rows(values, terms, out):  # type: ignore[no-untyped-def]
    """Crosstalk in one row of each amplifier, of shape (n_amplifiers, nx)."""
    n = values.shape[0]
    whole = n - n % 8
    for target in range(n):
        total, linear, quadratic = out[target], terms.linear[target], terms.quadratic[target]
        total[:] = np.float32(0.0)
        for source in range(0, whole, 8):
            _add_eight(values[source : source + 8], linear[source:], quadratic[source:], total)
        for source in range(whole, n):
            v, p, q = values[source], linear[source], quadratic[source]
            for x in range(total.size):
                total[x] += v[x] * (p + q * v[x])


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_eight(values, linear, quadratic, total):  # type: ignore[no-untyped-def]
    """Add the crosstalk of eight sources, to spare loads and stores of the sum."""
    a, b, c, d, e, f, g, h = (
        values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7]
    )  # fmt: skip
    p = (linear[0], linear[1], linear[2], linear[3], linear[4], linear[5], linear[6], linear[7])
    q = (
        quadratic[0], quadratic[1], quadratic[2], quadratic[3],
        quadratic[4], quadratic[5], quadratic[6], quadratic[7],
    )  # fmt: skip
    for x in range(total.size):
        low = (a[x] * (p[0] + q[0] * a[x]) + b[x] * (p[1] + q[1] * b[x])) + (
            c[x] * (p[2] + q[2] * c[x]) + d[x] * (p[3] + q[3] * d[x])
        )
        high = (e[x] * (p[4] + q[4] * e[x]) + f[x] * (p[5] + q[5] * f[x])) + (
            g[x] * (p[6] + q[6] * g[x]) + h[x] * (p[7] + q[7] * h[x])
        )
        total[x] += low + high
