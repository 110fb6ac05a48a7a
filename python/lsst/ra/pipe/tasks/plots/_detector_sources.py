# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_detector_sources",)

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._detector_data import DetectorPlotData, column, flag
from ._style import COLORS, add_title, format_value, make_figure, round_ticks, say_no_data, style_axes

_WIDTH, _HEIGHT = 900, 720
_FLUX = "ap12_flux"
_BIN = 0.5
_DEPTH_SIGNAL_TO_NOISE = 5.0


def plot_detector_sources(data: DetectorPlotData) -> Figure:
    """Show the sources of a detector by brightness: size, number, precision.

    Parameters
    ----------
    data
        Image, sources and metrics of the detector.

    Returns
    -------
    figure
        Size against instrumental magnitude, in which stars form a level
        locus; the number of sources by magnitude; their signal-to-noise
        ratio by magnitude. Magnitudes are ``-2.5 log10(flux)`` of the flux
        within 12 pixels, in electron.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    sizes = figure.add_axes((0.075, 0.44, 0.91, 0.455))
    counts = figure.add_axes((0.075, 0.075, 0.41, 0.275))
    precision = figure.add_axes((0.575, 0.075, 0.41, 0.275))
    flux = column(data.stars, _FLUX)
    magnitude = -2.5 * np.log10(np.where(flux > 0, flux, np.nan))
    groups = _groups(data, magnitude)
    limits = _limits(magnitude)
    label = "instrumental magnitude (12 pixel aperture, electron)"
    style_axes(sizes, xlabel=label, ylabel="FWHM from second moments (pixel)")
    style_axes(counts, xlabel="instrumental magnitude", ylabel=f"sources per {_BIN:g} mag")
    style_axes(precision, xlabel="instrumental magnitude", ylabel="signal-to-noise ratio")
    for axes in (sizes, counts, precision):
        axes.set_xlim(limits)
        axes.grid(color=COLORS["light"], linewidth=0.5)
        axes.set_axisbelow(True)
    _draw_sizes(sizes, data, magnitude, groups)
    _draw_counts(counts, magnitude, groups, limits)
    _draw_precision(precision, data, magnitude, groups)
    add_title(figure, data.title, subject="sources", left=0.075)
    return figure


def _limits(magnitude: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of magnitudes, brightest first, outliers apart."""
    finite = magnitude[np.isfinite(magnitude)]
    if finite.size == 0:
        return -18.0, -6.0
    low, high = finite.min(), np.percentile(finite, 99.5)
    return float(np.floor(low - 0.1)), float(max(np.ceil(high + 0.1), np.floor(low) + 2))


def _groups(
    data: DetectorPlotData, magnitude: npt.NDArray[np.float64]
) -> list[tuple[str, npt.NDArray[np.bool_], str, str]]:
    """Return name, members, colour and marker of groups of sources, those
    without an overlap drawn first.
    """
    measured = np.isfinite(magnitude)
    stars = data.is_psf_star
    saturated = flag(data.stars, "is_saturated") & ~stars
    extended = flag(data.stars, "is_extended") & ~stars & ~saturated
    other = ~(stars | saturated | extended)
    return [
        ("other", other & measured, COLORS["grey"], "."),
        ("extended", extended & measured, COLORS["orange"], "D"),
        ("saturated", saturated & measured, COLORS["vermilion"], "x"),
        ("PSF stars", stars & measured, COLORS["blue"], "o"),
    ]


def _draw_groups(
    axes: Axes,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    groups: list[tuple[str, npt.NDArray[np.bool_], str, str]],
    *,
    size: float,
) -> None:
    """Draw the members of the groups as points."""
    for name, members, color, marker in groups:
        axes.plot(
            x[members],
            y[members],
            linestyle="none",
            marker=marker,
            markersize=size,
            color=color,
            markeredgewidth=1.0 if marker == "x" else 0.0,
            alpha=0.8,
            label=f"{name}: {np.count_nonzero(members):,d}",
        )


def _draw_sizes(
    axes: Axes,
    data: DetectorPlotData,
    magnitude: npt.NDArray[np.float64],
    groups: list[tuple[str, npt.NDArray[np.bool_], str, str]],
) -> None:
    """Draw size against magnitude."""
    fwhm = data.fwhm
    if not np.isfinite(fwhm).any():
        say_no_data(axes, "no sources with a measured size")
        return
    stars = data.is_psf_star
    typical = float(np.median(fwhm[stars if stars.any() else np.isfinite(fwhm)]))
    top = 3.0 * typical
    beyond = np.count_nonzero(fwhm > top)
    _draw_groups(axes, magnitude, np.minimum(fwhm, 0.99 * top), groups, size=4.0)
    if stars.any():
        label = f"median of PSF stars: {typical:.2f} pixel"
        axes.axhline(typical, color=COLORS["ink"], linewidth=1.0, linestyle="--", zorder=1.5, label=label)
    axes.set_ylim(0.0, top)
    legend = axes.legend(loc="lower right", fontsize=9, ncols=5, framealpha=0.9, handletextpad=0.4)
    legend.get_frame().set_linewidth(0.0)
    if beyond:
        axes.set_title(f"{beyond:,d} larger ones at the upper edge", fontsize=8, loc="right", pad=3)


def _draw_counts(
    axes: Axes,
    magnitude: npt.NDArray[np.float64],
    groups: list[tuple[str, npt.NDArray[np.bool_], str, str]],
    limits: tuple[float, float],
) -> None:
    """Draw the number of sources by magnitude."""
    edges = np.arange(limits[0], limits[1] + _BIN, _BIN)
    bottom = np.zeros(edges.size - 1)
    for _, members, color, _ in reversed(groups):
        count, _ = np.histogram(magnitude[members], bins=edges)
        axes.stairs(bottom + count, edges, baseline=bottom, fill=True, color=color, linewidth=0)
        bottom = bottom + count
    axes.yaxis.set_major_locator(round_ticks(whole=True))
    axes.set_ylim(0.0, max(1.0, 1.12 * bottom.max()))
    axes.set_title(f"number: {int(bottom.sum()):,d} with a measured flux", fontsize=10, loc="left", pad=4)


def _draw_precision(
    axes: Axes,
    data: DetectorPlotData,
    magnitude: npt.NDArray[np.float64],
    groups: list[tuple[str, npt.NDArray[np.bool_], str, str]],
) -> None:
    """Draw the signal-to-noise ratio of the aperture flux by magnitude."""
    flux, error = column(data.stars, _FLUX), column(data.stars, f"{_FLUX}_err")
    ratio = np.where((error > 0) & (flux > 0), flux / np.where(error > 0, error, np.nan), np.nan)
    if not np.isfinite(ratio).any():
        say_no_data(axes, "no sources with a measured flux")
        return
    # A logarithmic axis would cost as much time as the rest of the plot.
    _draw_groups(axes, magnitude, np.log10(ratio), groups, size=2.5)
    decades = np.arange(
        int(np.floor(np.nanmin(np.log10(ratio)))), int(np.ceil(np.nanmax(np.log10(ratio)))) + 1
    )
    axes.set_yticks(decades, labels=[f"{10.0**decade:g}" for decade in decades])
    faintest = error[np.isfinite(error) & (error > 0)]
    depth = -2.5 * np.log10(_DEPTH_SIGNAL_TO_NOISE * float(np.percentile(faintest, 10.0)))
    axes.axhline(
        np.log10(_DEPTH_SIGNAL_TO_NOISE), color=COLORS["ink"], linewidth=1.0, linestyle="--", zorder=1.5
    )
    limit = format_value(depth, ".2f", " mag")
    axes.set_title(f"precision: ratio {_DEPTH_SIGNAL_TO_NOISE:g} at {limit}", fontsize=10, loc="left", pad=4)
