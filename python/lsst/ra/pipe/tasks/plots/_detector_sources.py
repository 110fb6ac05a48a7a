# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_detector_sources",)

import dataclasses

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from ._detector_data import DetectorPlotData, column, flag
from ._frame import FramedAxes
from ._style import COLORS, add_title, format_value, frame_axes, make_figure, round_ticks, say_no_data

_WIDTH, _HEIGHT = 1000, 780
_BIN = 0.5
_MANY_TICKS = 12
_DEPTH_SIGNAL_TO_NOISE = 5.0
_INSTRUMENTAL_RANGE = (-18.0, -6.0)
_MOST_BEYOND = 3.0
_CALIBRATED_RANGE = (16.0, 26.0)


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """Sources that are drawn alike."""

    name: str
    members: npt.NDArray[np.bool_]
    """``(n,)`` which sources with a magnitude are in the group."""
    color: str
    marker: str


@dataclasses.dataclass(frozen=True, eq=False)
class _Sources:
    """What the panels have in common."""

    magnitude: npt.NDArray[np.float64]
    """``(n,)`` magnitudes."""
    groups: list[_Group]
    """Disjoint and complete; those that should be seen are last."""
    limits: tuple[float, float]
    """Range of the magnitudes."""
    depth: float
    """Magnitude of a point source of signal-to-noise ratio 5; NaN if it is
    not known."""


def plot_detector_sources(data: DetectorPlotData) -> Figure:
    """Show the sources of a detector by brightness: size, number, precision.

    Parameters
    ----------
    data
        Image, sources and metrics of the detector.

    Returns
    -------
    figure
        Size against magnitude, in which stars form a level locus; the number
        of sources by magnitude; their signal-to-noise ratio by magnitude.
        Magnitudes are from the PSF flux: AB if the zero point is
        known, instrumental otherwise.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    sizes = figure.add_axes((0.07, 0.44, 0.915, 0.45), axes_class=FramedAxes)
    counts = figure.add_axes((0.07, 0.075, 0.41, 0.275), axes_class=FramedAxes)
    precision = figure.add_axes((0.575, 0.075, 0.41, 0.275), axes_class=FramedAxes)
    magnitude = data.magnitude
    depth = data.metric("magnitude_limit_mag") if data.is_calibrated else np.nan
    sources = _Sources(
        magnitude=magnitude,
        groups=_groups(data, np.isfinite(magnitude)),
        limits=_limits(magnitude, depth=depth, is_calibrated=data.is_calibrated),
        depth=depth,
    )
    label = data.magnitude_label
    frame_axes(sizes, xlabel=label, ylabel="FWHM from second moments (pixel)", title=_describe_scale(data))
    frame_axes(counts, xlabel=label, ylabel=f"sources per {_BIN:g} mag")
    frame_axes(precision, xlabel=label, ylabel="signal-to-noise ratio")
    sizes.xaxis.set_major_locator(round_ticks(most=_MANY_TICKS))
    for axes in (sizes, counts, precision):
        axes.set_xlim(sources.limits)
    _draw_sizes(sizes, data, sources)
    _draw_counts(counts, sources)
    _draw_precision(precision, data, sources)
    add_title(figure, data.title, subject="sources", left=0.07)
    return figure


def _describe_scale(data: DetectorPlotData) -> str:
    """Tell which magnitudes these are."""
    if not data.is_calibrated:
        reason = data.status("photometry")
        return "no zero point" + (f" ({reason})" if reason else "") + ": -2.5 log10 of the flux in electron"
    zero_point = format_value(data.metric("zero_point_mag"), ".3f")
    error = format_value(data.metric("zero_point_err_mag"), ".3f")
    scatter = format_value(data.metric("zero_point_scatter_mag"), ".3f")
    count = format_value(data.metric("n_photometry_stars"), ",.0f")
    return f"zero point {zero_point} ± {error} mag from {count} stars, scatter {scatter}"


def _limits(magnitude: npt.NDArray[np.float64], *, depth: float, is_calibrated: bool) -> tuple[float, float]:
    """Return the range of magnitudes, brightest first, outliers apart."""
    finite = magnitude[np.isfinite(magnitude)]
    if finite.size == 0:
        return _CALIBRATED_RANGE if is_calibrated else _INSTRUMENTAL_RANGE
    low, high = float(finite.min()), float(np.percentile(finite, 99.5))
    if np.isfinite(depth) and depth < high + _MOST_BEYOND:
        high = max(high, depth)
    return float(np.floor(low - 0.1)), float(max(np.ceil(high + 0.1), np.floor(low) + 2))


def _groups(data: DetectorPlotData, measured: npt.NDArray[np.bool_]) -> list[_Group]:
    """Sort the sources into groups."""
    stars = data.is_psf_star
    saturated = flag(data.stars, "is_saturated") & ~stars
    extended = flag(data.stars, "is_extended") & ~stars & ~saturated
    other = ~(stars | saturated | extended)
    return [
        _Group("other", other & measured, COLORS["grey"], "."),
        _Group("extended", extended & measured, COLORS["orange"], "D"),
        _Group("saturated", saturated & measured, COLORS["vermilion"], "x"),
        _Group("PSF stars", stars & measured, COLORS["blue"], "o"),
    ]


def _draw_groups(axes: Axes, y: npt.NDArray[np.float64], sources: _Sources, *, size: float) -> None:
    """Draw a value of the sources against magnitude, as points."""
    for group in sources.groups:
        if not group.members.any():
            continue
        axes.plot(
            sources.magnitude[group.members],
            y[group.members],
            linestyle="none",
            marker=group.marker,
            markersize=size,
            color=group.color,
            markeredgewidth=1.0 if group.marker == "x" else 0.0,
            alpha=0.8,
        )


def _draw_depth(axes: Axes, sources: _Sources, *, text: str = "") -> None:
    """Mark the limiting magnitude, if it is known and within the range."""
    if sources.limits[0] <= sources.depth <= sources.limits[1]:
        axes.axvline(sources.depth, color=COLORS["green"], linewidth=1.6, zorder=1.5)
        if text:
            axes.text(
                sources.depth,
                0.97,
                text + " ",
                transform=axes.get_xaxis_transform(),
                fontsize=9,
                ha="right",
                va="top",
                color=COLORS["green"],
            )


def _draw_sizes(axes: Axes, data: DetectorPlotData, sources: _Sources) -> None:
    """Draw size against magnitude."""
    fwhm = data.fwhm
    _draw_depth(axes, sources, text=f"limit {sources.depth:.2f} mag (S/N 5)")
    if not np.isfinite(fwhm).any():
        say_no_data(axes, "no sources with a measured size")
        return
    stars = data.is_psf_star
    typical = float(np.median(fwhm[stars if stars.any() else np.isfinite(fwhm)]))
    top = 3.0 * typical
    beyond = np.count_nonzero(fwhm > top)
    _draw_groups(axes, np.minimum(fwhm, 0.99 * top), sources, size=4.0)
    if stars.any():
        axes.axhline(typical, color=COLORS["ink"], linewidth=1.0, linestyle="--", zorder=1.5)
        axes.text(
            sources.limits[0],
            typical + 0.01 * top,
            f" median of PSF stars {typical:.2f} pixel",
            fontsize=9,
            va="bottom",
        )
    axes.set_ylim(0.0, top)
    _draw_legend(axes, sources)
    if beyond:
        axes.set_title(f"{beyond:,d} larger ones at the upper edge", fontsize=8, loc="right", pad=4)


def _draw_legend(axes: Axes, sources: _Sources) -> None:
    """Write marker, name and size of the groups along the lower edge."""
    for index, group in enumerate(reversed(sources.groups)):
        x = 0.02 + 0.2 * index
        axes.plot(
            [x],
            [0.05],
            transform=axes.transAxes,
            marker=group.marker,
            markersize=7.0 if group.marker == "." else 5.0,
            color=group.color,
            markeredgewidth=1.0 if group.marker == "x" else 0.0,
        )
        text = f"{group.name}: {np.count_nonzero(group.members):,d}"
        axes.text(x + 0.01, 0.05, text, transform=axes.transAxes, fontsize=9, va="center")


def _draw_counts(axes: Axes, sources: _Sources) -> None:
    """Draw the number of sources by magnitude."""
    edges = np.arange(sources.limits[0], sources.limits[1] + _BIN, _BIN)
    bottom = np.zeros(edges.size - 1)
    for group in reversed(sources.groups):
        count, _ = np.histogram(sources.magnitude[group.members], bins=edges)
        if count.any():
            axes.stairs(bottom + count, edges, baseline=bottom, fill=True, color=group.color, linewidth=0)
        bottom = bottom + count
    _draw_depth(axes, sources)
    axes.yaxis.set_major_locator(round_ticks(whole=True))
    axes.set_ylim(0.0, max(1.0, 1.12 * bottom.max()))
    n_measured = int(np.count_nonzero(np.isfinite(sources.magnitude)))
    axes.set_title(f"number: {n_measured:,d} with a measured flux", fontsize=10, loc="left", pad=4)
    if n_measured == 0:
        say_no_data(axes, "no sources with a measured flux")


def _draw_precision(axes: Axes, data: DetectorPlotData, sources: _Sources) -> None:
    """Draw the signal-to-noise ratio of the aperture flux by magnitude."""
    flux, error = column(data.stars, data.flux_name), column(data.stars, f"{data.flux_name}_err")
    ratio = np.where((error > 0) & (flux > 0), flux / np.where(error > 0, error, np.nan), np.nan)
    if not np.isfinite(ratio).any():
        say_no_data(axes, "no sources with a measured flux")
        return
    # A logarithmic axis would cost as much time as the rest of the plot.
    height = np.log10(ratio)
    _draw_groups(axes, height, sources, size=2.5)
    decades = list(range(int(np.floor(np.nanmin(height))), int(np.ceil(np.nanmax(height))) + 1))
    axes.yaxis.set_major_locator(FixedLocator(decades))
    axes.yaxis.set_major_formatter(FixedFormatter([f"{10.0**decade:g}" for decade in decades]))
    axes.axhline(
        np.log10(_DEPTH_SIGNAL_TO_NOISE), color=COLORS["ink"], linewidth=1.0, linestyle="--", zorder=1.5
    )
    _draw_depth(axes, sources)
    typical = error[np.isfinite(error) & (error > 0)]
    depth = -2.5 * np.log10(_DEPTH_SIGNAL_TO_NOISE * float(np.percentile(typical, 10.0)))
    depth += data.metric("zero_point_mag") if data.is_calibrated else 0.0
    text = f"S/N {_DEPTH_SIGNAL_TO_NOISE:g} at {format_value(depth, '.2f', ' mag')}"
    axes.set_title(text, fontsize=10, loc="left", pad=4)
