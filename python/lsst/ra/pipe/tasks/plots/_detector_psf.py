# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_detector_psf",)

import dataclasses

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ._detector_data import DetectorPlotData, column, flag
from ._frame import FramedAxes
from ._render import PixelImage
from ._style import (
    COLORS,
    VALUE_COLORS,
    add_colorbar,
    add_title,
    detector_axes,
    format_value,
    frame_axes,
    make_figure,
    round_ticks,
    say_no_data,
)

_WIDTH, _HEIGHT = 1000, 790
_SIDE = 385
_MAP_BOTTOM = 328
_WHISKER_UNIT = 0.1
_WHISKER_LENGTH = 0.09
_CELLS = 8
_WHISKER_CELLS = 4
_MIN_STARS_FOR_RANGE = 5
_MAX_SOURCES = 200
_ROUND = 0.25
"""Median ellipticity below which whiskers have the usual length; beyond, the
image is trailed, and they are shorter."""


@dataclasses.dataclass(frozen=True, eq=False)
class _PsfStars:
    """What the panels show of the PSF stars."""

    x: npt.NDArray[np.float64]
    """``(n,)`` columns, pixels."""
    y: npt.NDArray[np.float64]
    """``(n,)`` rows, pixels."""
    fwhm: npt.NDArray[np.float64]
    """``(n,)`` widths in ``unit``."""
    e1: npt.NDArray[np.float64]
    e2: npt.NDArray[np.float64]
    name: str
    """What they are: the brightest sources if there are no PSF stars."""
    unit: str
    """Unit of ``fwhm``."""
    limits: tuple[float, float]
    """Range of the widths to show."""
    nothing: str
    """Why there are no PSF stars."""


def plot_detector_psf(data: DetectorPlotData) -> Figure:
    """Show size and shape of the PSF over a detector.

    Parameters
    ----------
    data
        Image, sources and metrics of the detector.

    Returns
    -------
    figure
        A map of the FWHM of the PSF stars, with their medians in cells; one
        of whiskers along their major axes, with medians in larger cells; the
        histogram of the FWHM; the flux of a star within a circle as a function
        of the circle's radius. The FWHM of a star is that of a Gaussian with
        its second moments. Without PSF stars, as when the telescope did not
        track, the maps show the brightest sources and say why.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    stars = _select(data)
    sizes = detector_axes(figure, data.shape, left=70, bottom=_MAP_BOTTOM, side=_SIDE)
    whiskers = detector_axes(figure, data.shape, left=592, bottom=_MAP_BOTTOM, side=_SIDE)
    histogram = figure.add_axes((0.07, 52 / _HEIGHT, 0.4, 190 / _HEIGHT), axes_class=FramedAxes)
    growth = figure.add_axes((0.592, 52 / _HEIGHT, 0.385, 190 / _HEIGHT), axes_class=FramedAxes)
    _draw_sizes(figure, sizes, data, stars)
    _draw_whisker_map(whiskers, data, stars)
    _draw_histogram(histogram, data, stars)
    _draw_growth(growth, data, stars)
    add_title(figure, data.title, subject="PSF", left=0.07)
    return figure


def _select(data: DetectorPlotData) -> _PsfStars:
    """Take the PSF stars from the table of sources."""
    chosen, name = np.flatnonzero(data.is_psf_star), "PSF stars"
    if chosen.size == 0:
        chosen, name = _brightest(data), "brightest sources"
    scale = data.pixel_scale if np.isfinite(data.pixel_scale) else 1.0
    fwhm = data.fwhm[chosen] * scale
    e1, e2 = (component[chosen] for component in data.ellipticity)
    reason = data.status("psf")
    return _PsfStars(
        x=column(data.stars, "x")[chosen],
        y=column(data.stars, "y")[chosen],
        fwhm=fwhm,
        e1=e1,
        e2=e2,
        name=name,
        unit="arcsec" if np.isfinite(data.pixel_scale) else "pixel",
        limits=_limits(fwhm),
        nothing=f"no PSF stars:\n{reason}" if reason else "no PSF stars",
    )


def _brightest(data: DetectorPlotData) -> npt.NDArray[np.intp]:
    """Return the rows of the brightest sources that have moments and are not
    saturated.
    """
    magnitude = np.where(np.isfinite(data.fwhm) & ~flag(data.stars, "is_saturated"), data.magnitude, np.nan)
    order = np.argsort(magnitude)[:_MAX_SOURCES]
    return order[np.isfinite(magnitude[order])]


def _limits(fwhm: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return a range that holds nearly all values and is not too narrow."""
    if fwhm.size == 0:
        return 0.0, 1.0
    centre = float(np.median(fwhm))
    if fwhm.size < _MIN_STARS_FOR_RANGE:
        return 0.85 * centre, 1.15 * centre
    low, high = np.percentile(fwhm, [2.0, 98.0])
    return float(min(low, 0.96 * centre)), float(max(high, 1.04 * centre))


def _cell_medians(
    stars: _PsfStars,
    *values: npt.NDArray[np.float64],
    shape: tuple[int, int],
    n_cells: int,
    least: int,
) -> list[npt.NDArray[np.float64]]:
    """Return ``(n_cells, n_cells)`` medians of values in the cells of a grid,
    NaN in those with fewer than ``least`` stars.
    """
    row = np.clip(stars.y * n_cells // shape[0], 0, n_cells - 1)
    cell = (row * n_cells + np.clip(stars.x * n_cells // shape[1], 0, n_cells - 1)).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(n_cells * n_cells + 1))
    results = [np.full(n_cells * n_cells, np.nan) for _ in values]
    for index in range(n_cells * n_cells):
        members = order[starts[index] : starts[index + 1]]
        if members.size >= least:
            for result, value in zip(results, values, strict=True):
                result[index] = np.median(value[members])
    return [result.reshape(n_cells, n_cells) for result in results]


def _draw_sizes(figure: Figure, axes: Axes, data: DetectorPlotData, stars: _PsfStars) -> None:
    """Draw the widths at the positions of the stars, and their medians."""
    ny, nx = data.shape
    frame_axes(axes, xlabel="x (pixel)", ylabel="y (pixel)", title=f"{stars.name}: FWHM ({stars.unit})")
    if stars.fwhm.size == 0:
        say_no_data(axes, stars.nothing)
        return
    low, high = stars.limits
    (medians,) = _cell_medians(stars, stars.fwhm, shape=data.shape, n_cells=_CELLS, least=2)
    shades = VALUE_COLORS((medians - low) / (high - low), alpha=0.55, bytes=True)
    shades[~np.isfinite(medians), 3] = 0
    axes.add_artist(PixelImage(shades, (-0.5, nx - 0.5, -0.5, ny - 0.5)))
    points = axes.scatter(
        stars.x,
        stars.y,
        c=stars.fwhm,
        s=20,
        cmap=VALUE_COLORS,
        vmin=low,
        vmax=high,
        linewidths=0.5,
        edgecolors="white",
    )
    box = axes.get_position()
    add_colorbar(figure, points, (box.x1 + 0.008, box.y0, 0.013, box.height), label="")
    axes.set_title("squares: medians", fontsize=8, loc="right", pad=4)
    _explain(axes, stars)


def _whisker_lines(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    e1: npt.NDArray[np.float64],
    e2: npt.NDArray[np.float64],
    *,
    length: float,
) -> npt.NDArray[np.float64]:
    """Return segments ``(n, 2, 2)`` along the major axes; ellipticity 1 is
    ``length`` long.
    """
    angle = 0.5 * np.arctan2(e2, e1)
    half = 0.5 * length * np.hypot(e1, e2)
    step = np.stack([half * np.cos(angle), half * np.sin(angle)], axis=1)
    centre = np.stack([x, y], axis=1)
    return np.stack([centre - step, centre + step], axis=1)


def _draw_whisker_map(axes: Axes, data: DetectorPlotData, stars: _PsfStars) -> None:
    """Draw the whiskers at the positions of the stars, and their medians."""
    ny, nx = data.shape
    length = _WHISKER_LENGTH * max(nx, ny)
    frame_axes(axes, xlabel="x (pixel)", ylabel="y (pixel)")
    if stars.fwhm.size == 0:
        say_no_data(axes, stars.nothing)
        return
    unit = _WHISKER_UNIT if np.median(np.hypot(stars.e1, stars.e2)) < _ROUND else 5.0 * _WHISKER_UNIT
    segments = _whisker_lines(stars.x, stars.y, stars.e1, stars.e2, length=length / unit)
    axes.add_collection(LineCollection(list(segments), colors=COLORS["blue"], linewidths=1.1, alpha=0.8))
    e1, e2 = _cell_medians(stars, stars.e1, stars.e2, shape=data.shape, n_cells=_WHISKER_CELLS, least=3)
    row, col = np.nonzero(np.isfinite(e1))
    means = _whisker_lines(
        (col + 0.5) * nx / _WHISKER_CELLS,
        (row + 0.5) * ny / _WHISKER_CELLS,
        e1[row, col],
        e2[row, col],
        length=2.0 * length / unit,
    )
    axes.add_collection(LineCollection(list(means), colors=COLORS["vermilion"], linewidths=2.8, alpha=0.85))
    _draw_key(axes, length=length, unit=unit, name=stars.name)
    _explain(axes, stars)


def _explain(axes: Axes, stars: _PsfStars) -> None:
    """Write on a map why it does not show PSF stars."""
    if stars.name != "PSF stars":
        text = f"{stars.nothing}\n{stars.name} shown"
        style = {"facecolor": "white", "edgecolor": COLORS["vermilion"], "alpha": 0.85, "pad": 4.0}
        axes.text(0.5, 0.965, text, transform=axes.transAxes, fontsize=10, ha="center", va="top", bbox=style)


def _draw_key(axes: Axes, *, length: float, unit: float, name: str) -> None:
    """Draw whiskers of known ellipticity above the map."""
    one = "a PSF star" if name == "PSF stars" else "a source"
    transform = axes.get_xaxis_transform()
    right = axes.get_xlim()[1]
    for offset, factor, color, width, text in (
        (0.0, 1.0, COLORS["blue"], 1.3, f"{one}, e = {unit:g}"),
        (0.47, 2.0, COLORS["vermilion"], 2.8, f"median, e = {unit:g}"),
    ):
        start = right * offset
        axes.plot(
            [start, start + factor * length],
            [1.03, 1.03],
            transform=transform,
            color=color,
            linewidth=width,
            clip_on=False,
        )
        axes.text(
            start + factor * length + 0.015 * right, 1.03, text, transform=transform, fontsize=8, va="center"
        )


def _draw_histogram(axes: Axes, data: DetectorPlotData, stars: _PsfStars) -> None:
    """Draw how many stars have which FWHM."""
    frame_axes(axes, xlabel=f"FWHM from second moments ({stars.unit})", ylabel=stars.name)
    fitted = format_value(data.metric("psf_fwhm_arcsec"), ".2f", "″")
    if stars.fwhm.size == 0:
        say_no_data(axes, stars.nothing)
        return
    axes.yaxis.set_major_locator(round_ticks(whole=True))
    counts, edges = np.histogram(np.clip(stars.fwhm, *stars.limits), bins=24, range=stars.limits)
    axes.stairs(counts, edges, fill=True, color=COLORS["blue"], linewidth=0)
    axes.set_xlim(stars.limits)
    axes.set_ylim(0.0, 1.1 * counts.max())
    axes.axvline(float(np.median(stars.fwhm)), color=COLORS["vermilion"], linewidth=1.4)
    axes.set_title(
        f"median {np.median(stars.fwhm):.2f} {stars.unit}; profile fit {fitted}",
        fontsize=10,
        loc="left",
        pad=4,
    )


def _draw_growth(axes: Axes, data: DetectorPlotData, stars: _PsfStars) -> None:
    """Draw the flux of the stars within circles."""
    names = sorted(name for name in data.stars.colnames if name.startswith("ap") and name.endswith("_flux"))
    radii = np.array([float(name[2:-5]) for name in names])
    frame_axes(axes, xlabel="radius of aperture (pixel)", ylabel="flux / flux in largest")
    chosen = data.is_psf_star
    if radii.size < 2 or not chosen.any():
        say_no_data(axes, stars.nothing)
        return
    order = np.argsort(radii)
    flux = np.stack([column(data.stars, names[index])[chosen] for index in order])
    largest = np.where(flux[-1] > 0, flux[-1], np.nan)
    curves = (flux / largest)[:, np.isfinite(flux / largest).all(axis=0)]
    if curves.shape[1] == 0:
        say_no_data(axes, "no PSF star with all fluxes")
        return
    radii = radii[order]
    low, middle, high = np.percentile(curves, [16.0, 50.0, 84.0], axis=1)
    axes.fill_between(radii, low, high, color=COLORS["sky"], alpha=0.4, linewidth=0)
    axes.plot(radii, middle, marker="o", markersize=5, color=COLORS["blue"], linewidth=1.5)
    axes.axhline(1.0, color=COLORS["grey"], linewidth=0.6, linestyle=":")
    right = 1.06 * radii[-1]
    for radius, value in zip(radii[:-1], middle[:-1], strict=True):
        axes.text(radius + 0.015 * right, value - 0.015, f"{value:.2f}", fontsize=8, va="top")
    axes.set_title("curve of growth: median and central 68 %", fontsize=10, loc="left", pad=4)
    axes.set_xlim(0.0, right)
    axes.set_ylim(min(0.3, float(low.min()) - 0.05), 1.08)
