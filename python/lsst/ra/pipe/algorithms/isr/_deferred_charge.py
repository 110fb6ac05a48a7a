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

TRAP_KINDS = ("linear", "logistic", "spline")
"""Names of the ways in which a trap's occupancy follows from the signal."""


class DeferredChargeError(ValueError):
    """A deferred-charge calibration that cannot be applied."""


class DeferredChargeTerms(NamedTuple):
    """Parameters of all amplifiers in the form that the kernel takes."""

    drift_scale: npt.NDArray[np.float32]
    """Output amplifier drift per signal, of shape ``(n_amplifiers,)``."""

    drift_decay: npt.NDArray[np.float32]
    """Fraction of the drift that remains after one transfer."""

    efficiency: npt.NDArray[np.float32]
    """Fraction of the charge that each transfer moves."""

    trap_kind: npt.NDArray[np.int64]
    """How the trap captures charge."""

    trap_size: npt.NDArray[np.float32]
    """Largest charge in the trap (electron)."""

    trap_decay: npt.NDArray[np.float32]
    """Fraction of the trapped charge that remains after one transfer."""

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
            np.exp(-1.0 / np.asarray(decay_time, np.float64)).astype(np.float32),
            (1.0 - np.asarray(global_cti, np.float64)).astype(np.float32),
            np.array([1 + TRAP_KINDS.index(kind) for kind in trap_kind]),
            sizes.astype(np.float32),
            np.exp(-1.0 / emission).astype(np.float32),
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


def _empty_capture(kind: str, coefficients: npt.NDArray[Any], size: float) -> float:
    """Return what a trap takes from a pixel without signal."""
    match kind:
        case "logistic":
            return float(size / (1.0 + np.exp(float(coefficients[1]) * float(coefficients[0]))))
        case "spline":
            return float(np.interp(0.0, *_table(kind, coefficients)))
    return 0.0


@numba.njit(cache=True, error_model="numpy")
def defer_row(values, terms, amplifier, work):  # type: ignore[no-untyped-def]
    """Undo late charge in one row as read out, in place.

    Snyder et al. 2021, JATIS 7, 048002, equations 10 and 13, for prescan
    pixels without signal.  The work array has shape (3, nx).
    """
    n = values.size
    if terms.drift_scale[amplifier] > 0.0:
        scale = terms.drift_scale[amplifier]
        drift = work[0]
        for x in range(n):
            drift[x] = scale * max(values[x], np.float32(0.0))
        drift = _decaying_maximum(work, 0, terms.n_offset, terms.drift_decay[amplifier])
        for x in range(n):
            values[x] -= drift[x]
    if terms.trap_kind[amplifier] == _NO_TRAP:
        return
    capture = work[2]
    _captured(values, terms, amplifier, capture)
    work[0][:] = capture
    decay = terms.trap_decay[amplifier]
    held = _decaying_maximum(work, 0, terms.n_trap, decay)
    efficiency = terms.efficiency[amplifier]
    previous = terms.trap_empty[amplifier]
    for x in range(n):
        # What the pixel before left in the trap: part of it comes out here.
        occupancy = previous
        previous = held[x]
        loss = max(capture[x] - occupancy * decay, np.float32(0.0))
        gain = occupancy * (np.float32(1.0) - decay)
        values[x] -= efficiency * (gain - loss)


@numba.njit(cache=True, error_model="numpy")
def _captured(values, terms, amplifier, out):  # type: ignore[no-untyped-def]
    """Charge that the trap takes from each pixel."""
    kind = terms.trap_kind[amplifier]
    size, a, b = terms.trap_size[amplifier], terms.trap_a[amplifier], terms.trap_b[amplifier]
    zero = np.float32(0.0)
    if kind == _LINEAR:
        for x in range(values.size):
            out[x] = min(size, max(values[x], zero) * a)
    elif kind == _LOGISTIC:
        for x in range(values.size):
            out[x] = size / (np.float32(1.0) + np.exp(-b * (max(values[x], zero) - a)))
    else:
        centers, captured = terms.trap_centers[amplifier], terms.trap_values[amplifier]
        first, start = centers[0], captured[0]
        for x in range(values.size):
            value = max(values[x], zero)
            result = start
            if value > first:
                k = 0
                while value >= centers[k + 1]:
                    k += 1
                result = captured[k]
                if centers[k + 1] < np.inf:
                    slope = (captured[k + 1] - captured[k]) / (centers[k + 1] - centers[k])
                    result += slope * (value - centers[k])
            out[x] = result


@numba.njit(cache=True, error_model="numpy")
def _decaying_maximum(work, row, length, decay):  # type: ignore[no-untyped-def]
    """Maximum of the last values of work[row], each decayed since.

    Windows grow by combining two of the same length; the last ones overlap.
    """
    current, other = work[row], work[row + 1]
    n = current.size
    have = 1
    while have < length:
        shift = min(have, length - have)
        factor = decay**shift
        other[:shift] = current[:shift]
        for x in range(n - shift):
            earlier, now = current[x] * factor, current[x + shift]
            other[x + shift] = earlier if earlier > now else now
        current, other = other, current
        have += shift
    return current
