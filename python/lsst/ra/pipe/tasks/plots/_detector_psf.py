# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_detector_psf",)

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ._detector_data import DetectorPlotData, column
from ._style import (
    COLORS,
    VALUE_COLORS,
    add_colorbar,
    add_title,
    format_value,
    make_figure,
    round_ticks,
    say_no_data,
    style_axes,
)

_WIDTH, _HEIGHT = 1000, 640
_WHISKER_UNIT = 0.1
_WHISKER_LENGTH = 0.09
_CELLS = 4
_MIN_STARS_FOR_RANGE = 5


def plot_detector_psf(data: DetectorPlotData) -> Figure:
    """Show size and shape of the PSF over a detector.

    Parameters
    ----------
    data
        Image, sources and metrics of the detector.

    Returns
    -------
    figure
        Whiskers along the major axes of the PSF stars, coloured by FWHM, with
        their mean in a grid; the histogram of the FWHM; the flux of a star
        within a circle as a function of the circle's radius. The FWHM of a
        star is that of a Gaussian with its second moments.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    chosen = data.is_psf_star
    scale = data.pixel_scale
    unit = "arcsec" if np.isfinite(scale) else "pixel"
    fwhm = data.fwhm[chosen] * (scale if np.isfinite(scale) else 1.0)
    ny, nx = data.shape
    side = 500 / max(nx, ny)
    bottom = 0.075 + 0.5 * (500 - ny * side) / _HEIGHT
    map_axes = figure.add_axes((0.06, bottom, nx * side / _WIDTH, ny * side / _HEIGHT))
    histogram = figure.add_axes((0.7, 0.56, 0.285, 0.29))
    growth = figure.add_axes((0.7, 0.075, 0.285, 0.36))
    limits = _limits(fwhm)
    _draw_map(map_axes, data, fwhm=fwhm, limits=limits, unit=unit)
    _draw_histogram(histogram, data, fwhm=fwhm, limits=limits, unit=unit)
    _draw_growth(growth, data)
    add_title(figure, data.title, subject="PSF", left=0.06)
    return figure


def _limits(fwhm: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return a range that holds nearly all values and is not too narrow."""
    if fwhm.size == 0:
        return 0.0, 1.0
    centre = float(np.median(fwhm))
    if fwhm.size < _MIN_STARS_FOR_RANGE:
        return 0.85 * centre, 1.15 * centre
    low, high = np.percentile(fwhm, [2.0, 98.0])
    return float(min(low, 0.96 * centre)), float(max(high, 1.04 * centre))


def _whiskers(
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


def _draw_map(
    axes: Axes,
    data: DetectorPlotData,
    *,
    fwhm: npt.NDArray[np.float64],
    limits: tuple[float, float],
    unit: str,
) -> None:
    """Draw the whiskers at the positions of the stars."""
    ny, nx = data.shape
    chosen = data.is_psf_star
    x, y = column(data.stars, "x")[chosen], column(data.stars, "y")[chosen]
    e1, e2 = (component[chosen] for component in data.ellipticity)
    axes.set_xlim(-0.5, nx - 0.5)
    axes.set_ylim(-0.5, ny - 0.5)
    length = _WHISKER_LENGTH * max(nx, ny)
    style_axes(axes, xlabel="x (pixel)", ylabel="y (pixel)")
    if fwhm.size == 0:
        say_no_data(axes, "no PSF stars")
        return
    segments = _whiskers(x, y, e1, e2, length=length / _WHISKER_UNIT)
    stars = LineCollection(list(segments), array=fwhm, cmap=VALUE_COLORS, clim=limits, linewidths=1.3)
    axes.add_collection(stars)
    axes.scatter(x, y, c=fwhm, s=7, cmap=VALUE_COLORS, vmin=limits[0], vmax=limits[1], linewidths=0)
    means = _grid_means(x, y, e1, e2, shape=(ny, nx))
    if means.size:
        axes.add_collection(
            LineCollection(
                list(_whiskers(*means.T, length=2.0 * length / _WHISKER_UNIT)),
                colors=COLORS["vermilion"],
                linewidths=2.6,
                alpha=0.75,
            )
        )
    _draw_key(axes, length=length)
    box = axes.get_position()
    figure = axes.get_figure(root=True)
    assert figure is not None
    add_colorbar(
        figure,
        stars,
        (box.x1 + 0.008, box.y0, 0.013, box.height),
        label=f"FWHM from second moments ({unit})",
    )


def _grid_means(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    e1: npt.NDArray[np.float64],
    e2: npt.NDArray[np.float64],
    *,
    shape: tuple[int, int],
) -> npt.NDArray[np.float64]:
    """Return rows x, y, e1, e2: medians in the cells with enough stars."""
    row = np.clip(y * _CELLS // shape[0], 0, _CELLS - 1)
    cell = row * _CELLS + np.clip(x * _CELLS // shape[1], 0, _CELLS - 1)
    rows = []
    for index in range(_CELLS * _CELLS):
        members = cell == index
        if np.count_nonzero(members) >= 3:
            centre_x = (index % _CELLS + 0.5) / _CELLS * shape[1]
            centre_y = (index // _CELLS + 0.5) / _CELLS * shape[0]
            rows.append([centre_x, centre_y, np.median(e1[members]), np.median(e2[members])])
    return np.array(rows)


def _draw_key(axes: Axes, *, length: float) -> None:
    """Draw whiskers of known ellipticity above the map."""
    transform = axes.get_xaxis_transform()
    right = axes.get_xlim()[1]
    for offset, factor, color, width, text in (
        (0.0, 1.0, COLORS["blue"], 1.3, "a PSF star"),
        (0.45, 2.0, COLORS["vermilion"], 2.6, "their median nearby"),
    ):
        start = right * offset
        axes.plot(
            [start, start + factor * length],
            [1.022, 1.022],
            transform=transform,
            color=color,
            linewidth=width,
            clip_on=False,
        )
        label = f"{text}, e = {_WHISKER_UNIT:g}"
        axes.text(
            start + factor * length + 0.015 * right,
            1.022,
            label,
            transform=transform,
            fontsize=8,
            va="center",
        )


def _draw_histogram(
    axes: Axes,
    data: DetectorPlotData,
    *,
    fwhm: npt.NDArray[np.float64],
    limits: tuple[float, float],
    unit: str,
) -> None:
    """Draw how many stars have which FWHM."""
    style_axes(axes, xlabel=f"FWHM from second moments ({unit})", ylabel="PSF stars")
    fitted = format_value(data.metric("psf_fwhm_arcsec"), ".2f", "″")
    if fwhm.size == 0:
        say_no_data(axes, "no PSF stars")
        return
    axes.yaxis.set_major_locator(round_ticks(whole=True))
    axes.hist(np.clip(fwhm, *limits), bins=24, range=limits, color=COLORS["blue"], linewidth=0)
    axes.axvline(float(np.median(fwhm)), color=COLORS["vermilion"], linewidth=1.4)
    axes.set_title(
        f"median {np.median(fwhm):.2f} {unit}; profile fit {fitted}", fontsize=9, loc="left", pad=4
    )


def _draw_growth(axes: Axes, data: DetectorPlotData) -> None:
    """Draw the flux of the stars within circles."""
    names = sorted(name for name in data.stars.colnames if name.startswith("ap") and name.endswith("_flux"))
    radii = np.array([float(name[2:-5]) for name in names])
    style_axes(axes, xlabel="radius of aperture (pixel)", ylabel="flux / flux in largest aperture")
    chosen = data.is_psf_star
    if radii.size < 2 or not chosen.any():
        say_no_data(axes, "no PSF stars")
        return
    order = np.argsort(radii)
    flux = np.stack([column(data.stars, names[index])[chosen] for index in order])
    largest = np.where(flux[-1] > 0, flux[-1], np.nan)
    curves = (flux / largest)[:, np.isfinite(largest)]
    radii = radii[order]
    low, middle, high = np.nanpercentile(curves, [16.0, 50.0, 84.0], axis=1)
    axes.fill_between(radii, low, high, color=COLORS["sky"], alpha=0.4, linewidth=0)
    axes.plot(radii, middle, marker="o", markersize=5, color=COLORS["blue"], linewidth=1.5)
    axes.axhline(1.0, color=COLORS["grey"], linewidth=0.6, linestyle=":")
    for radius, value in zip(radii[:-1], middle[:-1], strict=True):
        axes.annotate(
            f"{value:.2f}", (radius, value), textcoords="offset points", xytext=(7, -11), fontsize=8
        )
    axes.set_title("curve of growth: median and central 68 %", fontsize=9, loc="left", pad=4)
    axes.set_xlim(0.0, 1.06 * radii[-1])
    axes.set_ylim(min(0.3, float(np.nanmin(low)) - 0.05), 1.08)
