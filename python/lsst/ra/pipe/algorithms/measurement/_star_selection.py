# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Which sources are stars good enough to measure the PSF with."""

from __future__ import annotations

__all__ = (
    "StarSelection",
    "isolated_sources",
    "locus_centre",
    "select_psf_stars",
    "sharp_sources",
)

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ._robust import MAD_TO_SIGMA
from ._surfaces import evaluate_terms, scale_position

_MIN_RADIUS = 0.7
_LOCUS_FRACTION = 0.3
_LOCUS_HALF_WIDTH = 0.12
_MIN_SCATTER = 0.012
_CLIP = 3.0
_SHARP = 2.0
_SHARP_SIGNIFICANCE = 5.0
_EXTENDED = 0.08


@dataclasses.dataclass(frozen=True, eq=False)
class StarSelection:
    """The stellar locus of an image."""

    is_psf_star: npt.NDArray[np.bool_]
    """``(n,)`` whether a source is used for the PSF."""

    expected_radius: npt.NDArray[np.float64]
    """``(n,)`` determinant radius of a star at the source's position, in
    pixels; NaN throughout if there is no locus."""

    is_extended: npt.NDArray[np.bool_]
    """``(n,)`` whether a source is wider than a star, by 8 per cent and three
    standard errors."""

    @classmethod
    def none(cls, n_sources: int) -> StarSelection:
        """Select nothing.

        Parameters
        ----------
        n_sources
            Number of sources.

        Returns
        -------
        selection
            No star, no extended source, no expected size.
        """
        nothing = np.zeros(n_sources, dtype=bool)
        return cls(nothing, np.full(n_sources, np.nan), nothing.copy())


def isolated_sources(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    *,
    brightness: npt.NDArray[np.float64],
    radius: float,
    contrast: float = 0.05,
) -> npt.NDArray[np.bool_]:
    """Tell which sources have no notable neighbour.

    Parameters
    ----------
    x, y
        ``(n,)`` positions in pixels.
    brightness
        ``(n,)`` relative brightness of the sources.
    radius
        Distance in pixels within which a neighbour counts.
    contrast
        A neighbour counts if it is at least so bright relative to the source.

    Returns
    -------
    isolated
        ``(n,)`` array, `True` without such a neighbour.
    """
    isolated = np.ones(x.size, dtype=bool)
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if usable.size < 2:
        return isolated
    tree = cKDTree(np.column_stack([x[usable], y[usable]]))
    pairs = usable[tree.query_pairs(radius, output_type="ndarray")]
    first, second = pairs[:, 0], pairs[:, 1]
    isolated[first[brightness[second] > contrast * brightness[first]]] = False
    isolated[second[brightness[first] > contrast * brightness[second]]] = False
    return isolated


def select_psf_stars(
    *,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    radius: npt.NDArray[np.float64],
    signal_to_noise: npt.NDArray[np.float64],
    usable: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    min_signal_to_noise: float = 50.0,
    fallback_signal_to_noise: float = 20.0,
    min_stars: int = 10,
    max_stars: int = 300,
) -> StarSelection:
    """Find the stellar locus in the plane of size and brightness.

    Stars of one image have nearly one size, galaxies are larger and of all
    sizes. The locus is therefore the tightest group of the sizes of bright
    sources. It may drift over the image: a linear or quadratic surface is
    fitted to it, clipping what lies off.

    Parameters
    ----------
    x, y
        ``(n,)`` positions in pixels.
    radius
        ``(n,)`` determinant radii in pixels; NaN where not measured.
    signal_to_noise
        ``(n,)`` significance of the sources.
    usable
        ``(n,)`` whether a source may be a PSF star at all: not saturated,
        blended, at an edge, or with unusable pixels.
    shape
        Shape ``(ny, nx)`` of the image, for the scale of the surface.
    min_signal_to_noise
        Significance that PSF stars must have.
    fallback_signal_to_noise
        Used in its place if fewer than ``min_stars`` sources reach it.
    min_stars
        See ``fallback_signal_to_noise``.
    max_stars
        Use at most so many PSF stars, the most significant.

    Returns
    -------
    selection
        The locus; nothing is a PSF star if there are not at least 3
        candidates of similar size.
    """
    n_sources = x.size
    none = StarSelection.none(n_sources)
    measured = np.isfinite(radius) & (radius > _MIN_RADIUS) & usable
    candidate = measured & (signal_to_noise >= min_signal_to_noise)
    if np.count_nonzero(candidate) < min_stars:
        candidate = measured & (signal_to_noise >= fallback_signal_to_noise)
    if np.count_nonzero(candidate) < 3:
        return none
    log_radius = np.log(np.where(radius > 0, radius, np.nan))
    locus = locus_centre(log_radius[candidate])
    member = candidate & (np.abs(log_radius - locus) < _LOCUS_HALF_WIDTH)
    expected = np.full(n_sources, locus)
    for _ in range(4):
        if np.count_nonzero(member) < 3:
            return none
        expected = _fit_surface(x, y, log_radius, member=member, shape=shape)
        residual = log_radius - expected
        scatter = MAD_TO_SIGMA * float(np.median(np.abs(residual[member])))
        limit = _CLIP * max(scatter, _MIN_SCATTER)
        member = candidate & (np.abs(residual) < min(limit, _LOCUS_HALF_WIDTH))
    if np.count_nonzero(member) < 3:
        return none
    faintest_first = np.argsort(np.where(member, signal_to_noise, -np.inf), kind="stable")
    member[faintest_first[:-max_stars]] = False
    # The error of a size is about the size over the signal-to-noise ratio.
    margin = np.log1p(_EXTENDED + 3.0 / np.maximum(signal_to_noise, 1.0))
    excess = log_radius - expected
    return StarSelection(
        is_psf_star=member,
        expected_radius=np.exp(expected),
        is_extended=np.nan_to_num(excess, nan=0.0) > margin,
    )


def sharp_sources(
    *,
    peak: npt.NDArray[np.float64],
    core_flux: npt.NDArray[np.float64],
    signal_to_noise: npt.NDArray[np.float64],
    is_psf_star: npt.NDArray[np.bool_],
    noise: float,
) -> npt.NDArray[np.bool_]:
    """Tell which sources are more concentrated than light can be.

    The peak pixel of a cosmic ray or a hot pixel holds over twice the share
    of the flux around it that it holds in a star.

    Parameters
    ----------
    peak
        ``(n,)`` highest pixel of the sources.
    core_flux
        ``(n,)`` flux in a small aperture around them, in the same unit.
    signal_to_noise
        ``(n,)`` significance of the sources; below 5 none is sharp.
    is_psf_star
        ``(n,)`` which of them are stars; if none is, no source is sharp.
    noise
        Standard deviation of a pixel of sky; a peak must stand out by five.

    Returns
    -------
    sharp
        ``(n,)`` array, `True` for such sources.
    """
    if not is_psf_star.any():
        return np.zeros(peak.size, dtype=bool)
    stellar = float(np.median(peak[is_psf_star] / core_flux[is_psf_star]))
    excess = peak - _SHARP * stellar * core_flux
    return (excess > _SHARP_SIGNIFICANCE * noise) & (signal_to_noise > _SHARP_SIGNIFICANCE)


def locus_centre(values: npt.NDArray[np.float64]) -> float:
    """Find where values crowd, whatever else there is.

    Parameters
    ----------
    values
        ``(n,)`` finite values, at least one.

    Returns
    -------
    centre
        Median of the shortest interval that holds three tenths of them.
    """
    ordered = np.sort(values)
    count = min(max(3, int(np.ceil(_LOCUS_FRACTION * ordered.size))), ordered.size)
    widths = ordered[count - 1 :] - ordered[: ordered.size - count + 1]
    start = int(np.argmin(widths))
    return float(np.median(ordered[start : start + count]))


def _fit_surface(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    *,
    member: npt.NDArray[np.bool_],
    shape: tuple[int, int],
) -> npt.NDArray[np.float64]:
    """Fit a polynomial of an order that suits the number of members."""
    n_members = np.count_nonzero(member)
    if n_members < 12:
        return np.full(x.size, np.median(values[member]))
    u, v = scale_position(np.nan_to_num(x), np.nan_to_num(y), shape)
    design = evaluate_terms(u, v, n_terms=6 if n_members >= 40 else 3)
    solution, *_ = np.linalg.lstsq(design[member], values[member], rcond=None)
    return np.asarray(design @ solution)
