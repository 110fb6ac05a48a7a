# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The photometric zero point of an image."""

from __future__ import annotations

__all__ = (
    "ZeroPoint",
    "fit_zero_point",
    "moffat_aperture_fraction",
    "nanojansky_per_electron",
    "select_photometric_stars",
)

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt

from ._kernels import SourceGrid

_MAGNITUDE = 2.5 / math.log(10.0)
_NANOJANSKY_AB = 31.4
_NORMAL_MEDIAN = 0.6745
_CLIP = 3.0
_MAX_ROUNDS = 20
_UNKNOWN_ERROR = 0.02

_LEVELS = ((2.5, 0.001, 100), (1.7, 0.01, 40), (1.25, 0.05, 12))
"""Distance in aperture radii, flux of all neighbours within it relative to
the star's, and the number of stars that must remain; first that suits."""


@dataclasses.dataclass(frozen=True, eq=False)
class ZeroPoint:
    """Zero point of an image, and what it rests on."""

    status: str
    """``ok``, ``no stars``, or ``few stars``: why there is no zero point."""

    zero_point: float
    """AB magnitude of a star of which one electron is in the aperture."""

    error: float
    """Standard error of the zero point, in mag: larger than the stars' own
    errors make it if they scatter more."""

    scatter: float
    """Standard deviation of the residuals of the stars used, in mag."""

    used: npt.NDArray[np.bool_]
    """``(n,)`` whether a star was used."""

    residual: npt.NDArray[np.float64]
    """``(n,)`` measured minus reference magnitude; NaN if one is unknown."""

    @property
    def n_used(self) -> int:
        """Number of stars used."""
        return int(np.count_nonzero(self.used))


def fit_zero_point(
    flux: npt.NDArray[np.float64],
    *,
    flux_err: npt.NDArray[np.float64],
    ref_mag: npt.NDArray[np.float64],
    ref_mag_err: npt.NDArray[np.float64],
    usable: npt.NDArray[np.bool_] | None = None,
    relative_throughput: npt.NDArray[np.float64] | None = None,
    error_floor: float = 0.005,
    min_stars: int = 3,
) -> ZeroPoint:
    """Average the differences of reference and measured magnitudes.

    The average starts from the narrowest interval that holds half of the
    weight, and then drops what lies beyond three standard errors until the
    same stars remain. So up to about 40 per cent of outliers do no harm, on
    one side as well.

    Parameters
    ----------
    flux
        ``(n,)`` fluxes of matched stars in an aperture, in electron.
    flux_err
        ``(n,)`` standard errors.
    ref_mag
        ``(n,)`` AB magnitudes of the references.
    ref_mag_err
        ``(n,)`` standard errors; 0.02 mag is taken where they are NaN.
    usable
        ``(n,)`` whether a star may be used; all if not given.
    relative_throughput
        ``(n,)`` share of the light that the aperture holds at the star's
        place, relative to that at the detector's centre; the zero point then
        belongs to the centre.
    error_floor
        Standard error in mag of each star, added in quadrature: flat field,
        colour and variability.
    min_stars
        Fewer stars give no zero point.

    Returns
    -------
    zero_point
        The result; NaN with the reason in ``status`` if there are too few
        stars.
    """
    positive = np.where(flux > 0.0, flux, np.nan)
    at_centre = positive if relative_throughput is None else positive / relative_throughput
    difference = ref_mag + 2.5 * np.log10(at_centre)
    known_error = np.where(np.isfinite(ref_mag_err), ref_mag_err, _UNKNOWN_ERROR)
    error = np.sqrt(np.square(_MAGNITUDE * flux_err / positive) + known_error**2 + error_floor**2)
    candidate = np.isfinite(difference) & np.isfinite(error)
    if usable is not None:
        candidate &= usable
    n_candidates = int(np.count_nonzero(candidate))
    used = np.zeros(flux.shape, dtype=bool)
    if n_candidates < min_stars:
        return _no_zero_point(f"{'few' if n_candidates else 'no'} stars", used, difference)
    mean, mean_error, kept = _clipped_mean(difference[candidate], error[candidate])
    used[candidate] = kept
    if np.count_nonzero(kept) < min_stars:
        return _no_zero_point("few stars", np.zeros_like(used), difference)
    scatter = float(np.std(difference[used]))
    return ZeroPoint("ok", mean, mean_error, scatter, used, mean - difference)


def _no_zero_point(
    status: str, used: npt.NDArray[np.bool_], difference: npt.NDArray[np.float64]
) -> ZeroPoint:
    return ZeroPoint(status, math.nan, math.nan, math.nan, used, np.full_like(difference, np.nan))


def _clipped_mean(
    values: npt.NDArray[np.float64], errors: npt.NDArray[np.float64]
) -> tuple[float, float, npt.NDArray[np.bool_]]:
    """Weighted mean, its error, and which values it is made of."""
    weight = 1.0 / np.square(errors)
    mean = _shortest_half(values, weight)
    deviation = np.abs(values - mean) / errors
    # The nearest half tells the spread, whatever the others do.
    spread = max(float(np.quantile(deviation, 0.4)) / 0.5244, 1.0)
    used = deviation <= _CLIP * spread
    for _ in range(_MAX_ROUNDS):
        mean = float(np.average(values[used], weights=weight[used]))
        deviation = np.abs(values - mean) / errors
        spread = max(float(np.median(deviation[used])) / _NORMAL_MEDIAN, 1.0)
        before, used = used, deviation <= _CLIP * spread
        if np.array_equal(used, before):
            break
    chi2 = float(np.square(deviation[used]).sum()) / max(int(np.count_nonzero(used)) - 1, 1)
    return mean, math.sqrt(max(chi2, 1.0) / float(weight[used].sum())), used


def _shortest_half(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> float:
    """Middle of the narrowest interval that holds half of the weight."""
    order = np.argsort(values)
    ordered = values[order]
    cumulative = np.concatenate([[0.0], np.cumsum(weight[order])])
    # The interval from value i to the first value j that completes a half.
    last = np.searchsorted(cumulative, cumulative[:-1] + 0.5 * cumulative[-1] - 1e-9 * cumulative[-1]) - 1
    complete = last < values.size
    first = np.flatnonzero(complete)
    last = np.maximum(last[complete], first)
    # Two values can be close by chance: ask for a few more where there are.
    least = min(values.size, max(3, values.size // 3)) - 1
    last = np.minimum(np.maximum(last, first + least), values.size - 1)
    first = np.minimum(first, last - least)
    narrowest = int(np.argmin(ordered[last] - ordered[first]))
    inside = slice(int(first[narrowest]), int(last[narrowest]) + 1)
    return float(np.average(ordered[inside], weights=weight[order][inside]))


@numba.njit(cache=True, nogil=True)
def _neighbour_flux(
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    start: np.ndarray,
    n_columns: int,
    cell: float,
    flux: np.ndarray,
    targets: np.ndarray,
    radii: np.ndarray,
) -> np.ndarray:  # pragma: no cover
    x0, y0 = x.min() - cell, y.min() - cell
    total = np.zeros((radii.size, targets.size), dtype=np.float64)
    for k in range(targets.size):
        target = targets[k]
        column, row = int((x[target] - x0) / cell), int((y[target] - y0) / cell)
        for j in range(row - 1, row + 2):
            left, right = j * n_columns + column - 1, j * n_columns + column + 2
            for m in range(start[left], start[right]):
                i = order[m]
                if i != target and flux[i] > 0.0:
                    distance = np.hypot(x[i] - x[target], y[i] - y[target])
                    for r in range(radii.size):
                        if distance < radii[r]:
                            total[r, k] += flux[i]
    return total


def select_photometric_stars(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    *,
    flux: npt.NDArray[np.float64],
    flux_err: npt.NDArray[np.float64],
    star_index: npt.NDArray[np.int64],
    aperture_radius: float = 12.0,
    min_signal_to_noise: float = 20.0,
) -> npt.NDArray[np.bool_]:
    """Choose stars whose aperture holds little light of neighbours.

    The fewer stars there are, the more light of neighbours is let pass.

    Parameters
    ----------
    x, y
        ``(n,)`` positions of all sources in pixels.
    flux, flux_err
        ``(n,)`` fluxes of all sources in the aperture and their errors.
    star_index
        ``(m,)`` indices of the stars that have a reference.
    aperture_radius
        Radius of the aperture in pixels.
    min_signal_to_noise
        Significance that a star must have.

    Returns
    -------
    chosen
        ``(m,)`` array, `True` for the stars to use.
    """
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    significant = np.isfinite(x[star_index]) & np.isfinite(y[star_index])
    with np.errstate(invalid="ignore", divide="ignore"):
        significant &= flux[star_index] > min_signal_to_noise * flux_err[star_index]
    if not significant.any():
        return significant
    number = np.full(x.size, -1, dtype=np.int64)
    number[known] = np.arange(known.size)
    radii = aperture_radius * np.array([level[0] for level in _LEVELS])
    grid = SourceGrid.build(x[known], y[known], radius=float(radii.max()))
    stars = star_index[significant]
    light = _neighbour_flux(
        grid.x,
        grid.y,
        grid.order,
        grid.start,
        grid.n_columns,
        grid.cell,
        flux[known],
        number[stars],
        radii,
    )
    for level, (_, limit, enough) in enumerate(_LEVELS):
        isolated = light[level] <= limit * flux[stars]
        if np.count_nonzero(isolated) >= enough:
            chosen = np.zeros(star_index.size, dtype=bool)
            chosen[np.flatnonzero(significant)[isolated]] = True
            return chosen
    return significant


def moffat_aperture_fraction(radius: float, *, fwhm: npt.ArrayLike, beta: float) -> npt.NDArray[np.float64]:
    """Share of the light of a round Moffat profile within a circle.

    Parameters
    ----------
    radius
        Radius of the circle.
    fwhm
        Full widths at half maximum, in the same unit.
    beta
        Exponent of the profile, larger than 1.

    Returns
    -------
    fraction
        Array of the shape of ``fwhm``, from 0 to 1.
    """
    core = np.asarray(fwhm, dtype=np.float64) / (2.0 * math.sqrt(2.0 ** (1.0 / beta) - 1.0))
    return np.asarray(1.0 - (1.0 + np.square(radius / core)) ** (1.0 - beta))


def nanojansky_per_electron(zero_point: float) -> float:
    """Convert a zero point to the flux of one electron.

    Parameters
    ----------
    zero_point
        AB magnitude of one electron.

    Returns
    -------
    flux
        Flux in nJy; NaN if the zero point is.
    """
    return float(10.0 ** (0.4 * (_NANOJANSKY_AB - zero_point)))
