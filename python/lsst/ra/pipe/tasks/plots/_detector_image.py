# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_detector_image",)

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ._detector_data import DetectorPlotData, column
from ._frame import FramedAxes
from ._render import PixelImage
from ._stretch import SkyStretch, find_stretch
from ._style import (
    COLORS,
    PlotFigure,
    add_colorbar,
    add_compass,
    add_facts,
    add_title,
    format_value,
    frame_axes,
    make_figure,
)

_WIDTH, _SIDE = 920, 770
_LEFT, _BOTTOM, _TOP = 62, 92, 82


def plot_detector_image(data: DetectorPlotData) -> Figure:
    """Show the image of a detector with its amplifiers and PSF stars.

    Parameters
    ----------
    data
        Image, sources and metrics of the detector.

    Returns
    -------
    figure
        The image in the frame of its pixels (y upward), the sky at the foot
        of an asinh scale, pixels without data coloured.
    """
    figure, axes = draw_detector_image(data, stretch=find_stretch(data.image), facts=_facts(data))
    _draw_stars(axes, data)
    return figure


def draw_detector_image(
    data: DetectorPlotData, *, stretch: SkyStretch, facts: Sequence[tuple[str, str]]
) -> tuple[PlotFigure, Axes]:
    """Draw the image of a detector with its amplifiers, title and facts.

    Parameters
    ----------
    data
        Image and metrics of the detector.
    stretch
        Grey scale.
    facts
        Names and values to write below.

    Returns
    -------
    figure
        The figure.
    axes
        The axes of the image, in pixels of the detector.
    """
    ny, nx = data.shape
    side = _SIDE / max(nx, ny)
    height = round(_BOTTOM + ny * side + _TOP)
    figure = make_figure(width=_WIDTH, height=height)
    box = (_LEFT / _WIDTH, _BOTTOM / height, nx * side / _WIDTH, ny * side / height)
    axes = figure.add_axes(
        box, axes_class=FramedAxes, facecolor=COLORS["sky"]
    )  # seen where there are no data
    axes.add_artist(PixelImage(stretch.grey(data.image), data.extent))
    _draw_amplifiers(axes, data)
    axes.set_xlim(-0.5, nx - 0.5)
    axes.set_ylim(-0.5, ny - 0.5)
    frame_axes(axes, xlabel="x (pixel)", ylabel="y (pixel)")
    add_colorbar(
        figure,
        ScalarMappable(stretch.norm, "gray"),
        (box[0] + box[2] + 8 / _WIDTH, box[1], 14 / _WIDTH, box[3]),
        label=f"signal - {stretch.sky:,.0f} (electron per pixel)",
        ticks=stretch.ticks,
    )
    gradient = data.sky_gradient
    if gradient is not None and abs(np.linalg.det(gradient)) > 0.0:
        east, north = np.linalg.inv(gradient).T
        add_compass(figure, north=north, east=east, right=80)
    add_title(figure, data.title, subject="image", left=_LEFT / _WIDTH)
    add_facts(figure, facts, left=_LEFT / _WIDTH, bottom=14 / height)
    return figure, axes


def _facts(data: DetectorPlotData) -> list[tuple[str, str]]:
    """Return the headline metrics."""
    return [
        ("PSF FWHM", format_value(data.metric("psf_fwhm_arcsec"), ".2f", "″")),
        ("ellipticity", format_value(data.metric("psf_e"), ".3f")),
        ("sky (electron)", format_value(data.metric("sky_electron"), ",.0f")),
        ("noise (electron)", format_value(data.metric("sky_noise_electron"), ".1f")),
        ("sources", format_value(data.metric("n_sources"), ",.0f")),
        ("PSF stars", format_value(data.metric("n_psf_stars"), ",.0f")),
        ("saturated", format_value(100.0 * data.metric("mask_fraction_sat"), ".3f", " %")),
        ("zero point (mag)", format_value(data.metric("zero_point_mag"), ".3f")),
        ("limit (mag)", format_value(data.metric("magnitude_limit_mag"), ".2f")),
    ]


def _draw_amplifiers(axes: Axes, data: DetectorPlotData) -> None:
    """Draw the amplifiers' borders and write their names at their ends."""
    ny, nx = data.shape
    borders = []
    for amplifier in data.detector.amplifiers:
        x, y = amplifier.bbox.x, amplifier.bbox.y
        left, right, low, high = x.start - 0.5, x.stop - 0.5, y.start - 0.5, y.stop - 0.5
        if right < nx - 0.5:
            borders.append([(right, low), (right, high)])
        if high < ny - 0.5:
            borders.append([(left, high), (right, high)])
        upper = low + high > ny
        axes.text(
            0.5 * (left + right),
            high - 0.008 * ny if upper else low + 0.008 * ny,
            amplifier.name,
            color=COLORS["sky"],
            fontsize=8,
            fontweight="bold",
            ha="center",
            va="top" if upper else "bottom",
        )
    axes.add_collection(LineCollection(borders, colors=COLORS["sky"], linewidths=0.6, alpha=0.7))


def _draw_stars(axes: Axes, data: DetectorPlotData) -> None:
    """Circle the PSF stars."""
    chosen = data.is_psf_star
    axes.plot(
        column(data.stars, "x")[chosen],
        column(data.stars, "y")[chosen],
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=COLORS["orange"],
        markeredgewidth=1.1,
    )
    count = np.count_nonzero(chosen)
    axes.text(
        0.995,
        1.006,
        f"○ PSF stars: {count}" if count else "no PSF stars",
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=9,
        color=COLORS["vermilion"],
    )
