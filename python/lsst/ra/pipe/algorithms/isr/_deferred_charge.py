# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Charge that the serial register and the amplifier deliver late."""

from __future__ import annotations

__all__ = ("TRAP_KINDS", "DeferredChargeError", "DeferredChargeTerms")

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

_NO_TRAP, _LINEAR, _LOGISTIC, _SPLINE = range(4)

# Pixels that are worked on together if they are in one interval.
_SEGMENT = 64

TRAP_KINDS = ("linear", "logistic", "spline")
"""Names of the ways in which a trap's occupancy follows from the signal."""


class DeferredChargeError(ValueError):
    """A deferred-charge calibration that cannot be applied."""


class DeferredChargeTerms(NamedTuple):
    """Parameters of all amplifiers in the form that the kernel takes."""

    drift_scale: npt.NDArray[np.float32]
    """Output amplifier drift per signal, of shape ``(n_amplifiers,)``."""

    drift_decay: npt.NDArray[np.float32]
    """Fraction of the drift that remains after 0, 1, ... transfers, ``(n_amplifiers, n_offset)``."""

    efficiency: npt.NDArray[np.float32]
    """Fraction of the charge that each transfer moves."""

    trap_kind: npt.NDArray[np.int64]
    """How the trap captures charge."""

    trap_size: npt.NDArray[np.float32]
    """Largest charge in the trap (electron)."""

    trap_decay: npt.NDArray[np.float32]
    """Fraction of the trapped charge that remains after 0, 1, ... transfers,
    ``(n_amplifiers, n_trap + 1)``."""

    trap_a: npt.NDArray[np.float32]
    """Charge captured per signal of a linear trap; midpoint (electron) of a
    logistic one."""

    trap_b: npt.NDArray[np.float32]
    """Steepness (1/electron) of a logistic trap."""

    trap_centers: npt.NDArray[np.float32]
    """Signals (electron) of a trap's tabulated capture, ``(n_amplifiers, n)``;
    beyond the last one infinite."""

    trap_values: npt.NDArray[np.float32]
    """Captured charges (electron) at ``trap_centers``, interpolated linearly."""

    trap_empty: npt.NDArray[np.float32]
    """Charge (electron) that the trap takes from the empty prescan pixels."""

    n_offset: int
    """Number of pixels, from the one at hand back, that the drift depends on."""

    n_trap: int
    """Number of previous pixels that the trap's occupancy depends on."""

    @classmethod
    def none(cls, n_amplifiers: int) -> DeferredChargeTerms:
        """Make terms that correct nothing.

        Parameters
        ----------
        n_amplifiers
            Number of amplifiers.

        Returns
        -------
        terms
            Terms without drift and traps.
        """
        zeros, ones = np.zeros(n_amplifiers), np.ones(n_amplifiers)
        terms = cls.build(
            drift_scale=zeros,
            decay_time=ones,
            global_cti=zeros,
            trap_kind=["linear"] * n_amplifiers,
            trap_size=zeros,
            trap_emission=ones,
            trap_coefficients=[np.zeros(1)] * n_amplifiers,
        )
        return terms._replace(trap_kind=np.zeros(n_amplifiers, np.int64))

    @classmethod
    def build(
        cls,
        *,
        drift_scale: npt.NDArray[Any],
        decay_time: npt.NDArray[Any],
        global_cti: npt.NDArray[Any],
        trap_kind: Sequence[str],
        trap_size: npt.NDArray[Any],
        trap_emission: npt.NDArray[Any],
        trap_coefficients: Sequence[npt.NDArray[Any]],
        n_offset: int = 15,
        n_trap: int = 6,
    ) -> DeferredChargeTerms:
        """Prepare a calibration.

        Parameters
        ----------
        drift_scale
            Drift per signal, by amplifier; 0 is no drift.
        decay_time
            Decay time of the drift, in transfers.
        global_cti
            Charge transfer inefficiency of one transfer.
        trap_kind
            One of `TRAP_KINDS` for each amplifier.
        trap_size
            Size of the trap (electron).
        trap_emission
            Emission time, in transfers.
        trap_coefficients
            Scaling of a linear trap; midpoint and steepness of a logistic one;
            centers, then values (electron), of one that is tabulated.
        n_offset
            Number of pixels that the drift depends on, the one at hand included.
        n_trap
            Number of previous pixels that the trap's occupancy depends on.

        Returns
        -------
        terms
            The parameters.

        Raises
        ------
        DeferredChargeError
            Raised for an unknown kind of trap, or times or numbers of pixels
            that are not positive.
        """
        if n_offset < 1 or n_trap < 1:
            raise DeferredChargeError(f"Pixel numbers must be positive; got {n_offset} and {n_trap}.")
        unknown = sorted(set(trap_kind) - set(TRAP_KINDS))
        if unknown:
            raise DeferredChargeError(f"Unknown kinds of traps {unknown}; expected {list(TRAP_KINDS)}.")
        tables = [_table(kind, values) for kind, values in zip(trap_kind, trap_coefficients, strict=True)]
        length = max(centers.size for centers, _ in tables) + 1
        n = len(tables)
        centers = np.full((n, length), np.inf, np.float32)
        captured = np.zeros((n, length), np.float32)
        for i, (x, y) in enumerate(tables):
            centers[i, : x.size], captured[i, : y.size] = x, y
            captured[i, y.size :] = y[-1] if y.size else 0.0
        emission = np.asarray(trap_emission, np.float64)
        if not (emission > 0).all():
            raise DeferredChargeError(f"Emission times must be positive; got {emission.tolist()}.")
        sizes = np.asarray(trap_size, np.float64)
        empty = [
            _empty_capture(kind, values, size)
            for kind, values, size in zip(trap_kind, trap_coefficients, sizes, strict=True)
        ]
        first = [float(values[0]) for values in trap_coefficients]
        second = [float(values[1]) if len(values) > 1 else 0.0 for values in trap_coefficients]
        return cls(
            np.asarray(drift_scale, np.float32),
            _decays(decay_time, n_offset),
            (1.0 - np.asarray(global_cti, np.float64)).astype(np.float32),
            np.array([1 + TRAP_KINDS.index(kind) for kind in trap_kind]),
            sizes.astype(np.float32),
            _decays(emission, n_trap + 1),
            np.array(first, np.float32),
            np.array(second, np.float32),
            centers,
            captured,
            np.array(empty, np.float32),
            n_offset,
            n_trap,
        )


def _table(
    kind: str, coefficients: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return centers and values of a tabulated trap."""
    if kind != "spline":
        return np.empty(0), np.empty(0)
    values = np.asarray(coefficients, np.float64)
    if values.size < 4 or values.size % 2:
        raise DeferredChargeError(f"A tabulated trap needs centers and as many values; got {values.size}.")
    centers, captured = np.split(values, 2)
    keep = np.isfinite(centers) & np.isfinite(captured)
    if keep.sum() < 2 or not (np.diff(centers[keep]) > 0).all():
        raise DeferredChargeError(f"The centers of a tabulated trap must ascend; got {centers.tolist()}.")
    return centers[keep], captured[keep]


def _decays(times: npt.NDArray[Any], n: int) -> npt.NDArray[np.float32]:
    """Return what remains after 0 to n - 1 transfers."""
    transfers = np.arange(n)[np.newaxis, :]
    return np.exp(-transfers / np.asarray(times, np.float64)[:, np.newaxis]).astype(np.float32)


def _empty_capture(kind: str, coefficients: npt.NDArray[Any], size: float) -> float:
    """Return what a trap takes from a pixel without signal."""
    match kind:
        case "logistic":
            return float(size / (1.0 + np.exp(float(coefficients[1]) * float(coefficients[0]))))
        case "spline":
            return float(np.interp(0.0, *_table(kind, coefficients)))
    return 0.0


@numba.njit(cache=True, error_model="numpy")
def deferred_charge_work(terms, width):  # type: ignore[no-untyped-def]
    """Make the work array of `defer_rows`: rows that begin with empty pixels."""
    padding = max(terms.n_offset, terms.n_trap)
    return np.zeros((4, padding + width), np.float32)


@numba.njit(cache=True, error_model="numpy")
def defer_rows(rows, terms, amplifier, work):  # type: ignore[no-untyped-def]
    """Undo late charge in rows as read out, in place.

    Snyder et al. 2021, JATIS 7, 048002, equations 10 and 13, for prescan
    pixels without signal.
    """
    scale, drift_decays = terms.drift_scale[amplifier], terms.drift_decay[amplifier]
    has_trap = terms.trap_kind[amplifier] != _NO_TRAP
    if not has_trap and not scale > 0.0:
        return
    decays, efficiency = terms.trap_decay[amplifier], terms.efficiency[amplifier]
    padding = work.shape[1] - rows.shape[1]
    signal, first = work[0][padding:], work[3][:1]
    first[0] = terms.trap_empty[amplifier]
    for y in range(rows.shape[0]):
        values = rows[y]
        if scale > 0.0:
            _drift(values, scale, signal)
            drift = _decaying_maximum(work, padding, terms.n_offset, drift_decays)
            for x in range(values.size):
                values[x] -= drift[x]
        if has_trap:
            _captured(values, terms, amplifier, signal)
            held = _decaying_maximum(work, padding, terms.n_trap, decays)
            # What the pixel before left in the trap: part of it comes out here.
            _exchange(values[:1], signal[:1], first, decays[1], efficiency)
            _exchange(values[1:], signal[1:], held[:-1], decays[1], efficiency)


@numba.njit(cache=True, error_model="numpy")
def _drift(values, scale, out):  # type: ignore[no-untyped-def]
    """Drift that each pixel causes."""
    zero = np.float32(0.0)
    for x in range(values.size):
        out[x] = scale * (values[x] if values[x] > zero else zero)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _exchange(values, capture, occupancy, decay, efficiency):  # type: ignore[no-untyped-def]
    """Take out what the trap released, put back what it captured."""
    zero, released = np.float32(0.0), np.float32(1.0) - decay
    for x in range(values.size):
        loss = capture[x] - occupancy[x] * decay
        loss = loss if loss > zero else zero
        values[x] -= efficiency * (occupancy[x] * released - loss)


@numba.njit(cache=True, error_model="numpy")
def _captured(values, terms, amplifier, out):  # type: ignore[no-untyped-def]
    """Charge that the trap takes from each pixel."""
    kind = terms.trap_kind[amplifier]
    size, a, b = terms.trap_size[amplifier], terms.trap_a[amplifier], terms.trap_b[amplifier]
    zero = np.float32(0.0)
    if kind == _LINEAR:
        for x in range(values.size):
            taken = (values[x] if values[x] > zero else zero) * a
            out[x] = taken if taken < size else size
    elif kind == _LOGISTIC:
        for x in range(values.size):
            value = values[x] if values[x] > zero else zero
            out[x] = size / (np.float32(1.0) + np.exp(-b * (value - a)))
    else:
        _interpolate(values, terms.trap_centers[amplifier], terms.trap_values[amplifier], out)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _interpolate(values, centers, captured, out):  # type: ignore[no-untyped-def]
    """Interpolate linearly, constant outside."""
    for start in range(0, values.size, _SEGMENT):
        part, result = values[start : start + _SEGMENT], out[start : start + _SEGMENT]
        # Most often, all of a segment is between two centers.
        k = _interval(part[0], centers)
        low, high, slope = _line(k, centers, captured)
        outside = np.int32(0)
        for x in range(part.size):
            outside |= np.int32(not (part[x] >= low)) | np.int32(not (part[x] < high))
        if outside == 0:
            level = captured[k]
            for x in range(part.size):
                result[x] = level + slope * (part[x] - low)
        else:
            for x in range(part.size):
                value = part[x]
                k = _interval(value, centers)
                low, _, slope = _line(k, centers, captured)
                value = value if value > low else low
                result[x] = captured[k] + slope * (value - low)


@numba.njit(cache=True, error_model="numpy")
def _interval(value, centers):  # type: ignore[no-untyped-def]
    """Last center that is not above a value; the first one for smaller values."""
    k = 0
    while value >= centers[k + 1]:
        k += 1
    return k


@numba.njit(cache=True, error_model="numpy")
def _line(k, centers, captured):  # type: ignore[no-untyped-def]
    """Return the ends of an interval and the slope in it."""
    low, high = centers[k], centers[k + 1]
    slope = np.float32(0.0)
    if high < np.inf:
        slope = (captured[k + 1] - captured[k]) / (high - low)
    return low, high, slope


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _decaying_maximum(work, padding, length, decays):  # type: ignore[no-untyped-def]
    """Maximum of the last values of work[0], each decayed since.

    A window is made of up to four shorter ones, which may overlap.
    """
    current, row, have = work[0], 1, 1
    while have < length:
        longer = min(4 * have, length)
        i, j, k = min(have, longer - have), min(2 * have, longer - have), min(3 * have, longer - have)
        p, q, r = decays[i], decays[j], decays[k]
        n = work.shape[1] - padding
        now, first = current[padding:], current[padding - i : padding - i + n]
        second, third = current[padding - j : padding - j + n], current[padding - k : padding - k + n]
        out = work[row][padding:]
        for x in range(n):
            a, b, c = first[x] * p, second[x] * q, third[x] * r
            a = a if a > now[x] else now[x]
            b = b if b > c else c
            out[x] = a if a > b else b
        current, row, have = work[row], 3 - row, longer
    return current[padding:]
