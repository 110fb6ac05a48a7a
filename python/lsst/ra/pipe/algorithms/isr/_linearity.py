# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Correction of the response that is not linear in the signal."""

from __future__ import annotations

__all__ = ("LINEARITY_KINDS", "LinearityError", "LinearityTerms")

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import scipy.interpolate

_NONE, _SPLINE, _TABLE, _POLYNOMIAL, _INVALID = range(5)

LINEARITY_KINDS = frozenset(
    {"Spline", "DoubleSpline", "LookupTable", "Polynomial", "Squared", "Proportional", "None"}
)
"""Names of the implemented kinds of linearity correction."""

# Bins of equal width per spline, to find the interval of a value.
_N_BINS = 4096

# Pixels that are worked on together if they are in one interval.
_SEGMENT = 64


class LinearityError(ValueError):
    """A linearity calibration that cannot be applied."""


class LinearityTerms(NamedTuple):
    """Corrections of all amplifiers in the form that the kernel takes."""

    kinds: npt.NDArray[np.int64]
    """Kind of each correction, of shape ``(n_stages, n_amplifiers)``."""

    n_nodes: npt.NDArray[np.int64]
    """Number of nodes, table entries or coefficients, of the same shape."""

    nodes: npt.NDArray[np.float32]
    """Spline nodes, of shape ``(n_stages, n_amplifiers, n)``, in the image's unit."""

    coefficients: npt.NDArray[np.float32]
    """Of shape ``(n_stages, n_amplifiers, n, 4)``: spline polynomials in the
    distance from a node, lowest order first; in element 0 of the last axis,
    table entries or polynomial coefficients."""

    intervals: npt.NDArray[np.int32]
    """Interval that holds the lower end of each bin, per stage and amplifier."""

    upper: npt.NDArray[np.float32]
    """Largest value at which a spline is evaluated; offset of a table's index."""

    @classmethod
    def none(cls, n_amplifiers: int) -> LinearityTerms:
        """Make terms that correct nothing.

        Parameters
        ----------
        n_amplifiers
            Number of amplifiers.

        Returns
        -------
        terms
            Terms without a correction.
        """
        return cls.build(["None"] * n_amplifiers, [np.empty(0)] * n_amplifiers)

    @classmethod
    def build(
        cls,
        kinds: Sequence[str],
        coefficients: Sequence[npt.NDArray[Any]],
        *,
        table: npt.NDArray[Any] | None = None,
        gains: npt.NDArray[Any] | None = None,
    ) -> LinearityTerms:
        """Prepare a calibration.

        Parameters
        ----------
        kinds
            One of `LINEARITY_KINDS` for each amplifier.
        coefficients
            Coefficients of each amplifier: nodes, then corrections, for a
            spline; row and offset for a table; those of the orders from 2 on
            for a polynomial; that of the square.
        table
            Lookup tables, one a row.
        gains
            Image units in one unit of the spline nodes; 1 if they are the same.
            An amplifier whose gain is NaN is not corrected.

        Returns
        -------
        terms
            The corrections.

        Raises
        ------
        LinearityError
            Raised for an unknown kind, or coefficients that do not fit it.

        Notes
        -----
        Only splines are scaled by the gains, as in the Science Pipelines.
        """
        scale = np.ones(len(kinds)) if gains is None else np.asarray(gains, np.float64)
        stages = [
            _stages(kind, np.asarray(values, np.float64), table, gain)
            for kind, values, gain in zip(kinds, coefficients, scale, strict=True)
        ]
        n_stages = max((len(s) for s in stages), default=0)
        length = max([s.coefficients.shape[0] for amplifier in stages for s in amplifier] + [1])
        shape = (n_stages, len(kinds))
        terms = cls(
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
            np.zeros((*shape, length + 1), np.float32),
            np.zeros((*shape, length, 4), np.float32),
            np.zeros((*shape, _N_BINS + 1), np.int32),
            np.zeros(shape, np.float32),
        )
        for amplifier, amplifier_stages in enumerate(stages):
            for i, stage in enumerate(amplifier_stages):
                n = stage.coefficients.shape[0]
                terms.kinds[i, amplifier] = stage.kind
                terms.n_nodes[i, amplifier] = n
                terms.nodes[i, amplifier, : stage.nodes.size] = stage.nodes
                terms.coefficients[i, amplifier, :n] = stage.coefficients
                terms.upper[i, amplifier] = stage.upper
                if stage.kind == _SPLINE:
                    bins = np.linspace(stage.nodes[0], stage.nodes[-1], _N_BINS + 1)
                    found = np.searchsorted(stage.nodes, bins, side="right") - 1
                    terms.intervals[i, amplifier] = np.clip(found, 0, n - 1)
        return terms


class _Stage(NamedTuple):
    """One correction of one amplifier."""

    kind: int
    nodes: npt.NDArray[np.float64]
    coefficients: npt.NDArray[np.float64]
    upper: float


def _stages(
    kind: str, values: npt.NDArray[np.float64], table: npt.NDArray[Any] | None, gain: float
) -> list[_Stage]:
    """Prepare the corrections of one amplifier."""
    if np.isnan(gain):
        return []
    empty = np.empty(0)
    match kind:
        case "None" | "Proportional":
            return []
        case "Spline":
            nodes, corrections = _split(values, values.size // 2)
            corrections = corrections - corrections[0]
            if nodes[0] != 0.0:
                nodes, corrections = np.insert(nodes, 0, 0.0), np.insert(corrections, 0, 0.0)
            return [_spline(nodes * gain, corrections * gain, 0.1)]
        case "DoubleSpline":
            first, second = int(values[0]), int(values[1])
            parts = (values[2 : 2 + 2 * first], values[2 + 2 * first : 2 + 2 * (first + second)])
            return [
                _spline(nodes * gain, corrections * gain, 0.01)
                for n, part in zip((first, second), parts, strict=True)
                if n > 0
                for nodes, corrections in [_split(part, n)]
            ]
        case "LookupTable":
            if table is None or not 0 <= int(values[0]) < table.shape[0]:
                raise LinearityError(f"The linearity table has no row {values[0]}.")
            row = np.zeros((table.shape[1], 4))
            row[:, 0] = table[int(values[0])]
            return [_Stage(_TABLE, empty, row, float(values[1]))]
        case "Polynomial" | "Squared":
            used = values[:1] if kind == "Squared" else values
            polynomial = np.zeros((used.size, 4))
            polynomial[:, 0] = used
            return [_Stage(_POLYNOMIAL, empty, polynomial, 0.0)] if np.any(used) else []
    raise LinearityError(
        f"Linearity of kind {kind!r} is not implemented; expected {sorted(LINEARITY_KINDS)}."
    )


def _split(
    values: npt.NDArray[np.float64], n: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Split spline coefficients in nodes and corrections."""
    if n < 2 or values.size != 2 * n:
        raise LinearityError(f"A linearity spline needs two values a node; got {values.size} for {n} nodes.")
    return values[:n], values[n:]


def _spline(nodes: npt.NDArray[np.float64], corrections: npt.NDArray[np.float64], margin: float) -> _Stage:
    """Prepare an Akima spline."""
    if not (np.isfinite(nodes).all() and np.isfinite(corrections).all()):
        return _Stage(_INVALID, np.empty(0), np.zeros((1, 4)), 0.0)
    if not (np.diff(nodes) > 0).all():
        raise LinearityError(f"The nodes of a linearity spline must ascend; got {nodes.tolist()}.")
    polynomials = scipy.interpolate.Akima1DInterpolator(nodes, corrections, method="akima").c
    return _Stage(_SPLINE, nodes, polynomials[::-1].T, float(nodes[-1]) - margin)


@numba.njit(cache=True, error_model="numpy")
def linearize(values, terms, amplifier):  # type: ignore[no-untyped-def]
    """Correct values of an amplifier, an array of one dimension, in place."""
    for stage in range(terms.kinds.shape[0]):
        kind = terms.kinds[stage, amplifier]
        n = terms.n_nodes[stage, amplifier]
        upper = terms.upper[stage, amplifier]
        polynomials = terms.coefficients[stage, amplifier]
        if kind == _SPLINE:
            _subtract_spline(
                values,
                terms.nodes[stage, amplifier],
                n,
                polynomials,
                terms.intervals[stage, amplifier],
                upper,
            )
        elif kind == _TABLE:
            for x in range(values.size):
                position = min(max(values[x] + upper, np.float32(0.0)), np.float32(n - 1))
                if position == position:
                    values[x] += polynomials[int(position), 0]
        elif kind == _POLYNOMIAL:
            for x in range(values.size):
                power, total = values[x] * values[x], np.float32(0.0)
                for order in range(n):
                    total += polynomials[order, 0] * power
                    power *= values[x]
                values[x] += total
        elif kind == _INVALID:
            values[:] = np.nan


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _subtract_spline(values, nodes, n, polynomials, intervals, upper):  # type: ignore[no-untyped-def]
    """Subtract a spline of the values, clipped to its range."""
    lower = nodes[0]
    scale = np.float32(_N_BINS) / (nodes[n] - lower)
    for start in range(0, values.size, _SEGMENT):
        part = values[start : start + _SEGMENT]
        # Most often, all of a segment is in one interval.
        interval = _find_interval(part[0], nodes, n, intervals, upper, scale)
        low = nodes[interval]
        high = min(nodes[interval + 1], upper)
        outside = np.int32(0)
        for x in range(part.size):
            outside |= np.int32(not (part[x] >= low)) | np.int32(not (part[x] < high))
        if outside == 0:
            p0, p1 = polynomials[interval, 0], polynomials[interval, 1]
            p2, p3 = polynomials[interval, 2], polynomials[interval, 3]
            for x in range(part.size):
                t = part[x] - low
                part[x] -= p0 + t * (p1 + t * (p2 + t * p3))
        else:
            for x in range(part.size):
                value = part[x]
                interval = _find_interval(value, nodes, n, intervals, upper, scale)
                clipped = min(value, upper) if value > lower else lower
                t = clipped - nodes[interval]
                p = polynomials[interval]
                part[x] = value - (p[0] + t * (p[1] + t * (p[2] + t * p[3])))


@numba.njit(cache=True, error_model="numpy")
def _find_interval(value, nodes, n, intervals, upper, scale):  # type: ignore[no-untyped-def]
    """Interval of a value; the first one for those below, and for NaN."""
    clipped = min(value, upper) if value > nodes[0] else nodes[0]
    interval = intervals[np.uint32((clipped - nodes[0]) * scale)]
    while interval < n - 1 and clipped >= nodes[interval + 1]:
        interval += 1
    return interval
