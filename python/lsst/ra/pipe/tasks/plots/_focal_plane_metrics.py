# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_focal_plane_metrics",)

import dataclasses

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from ...algorithms.focal_plane import summarize
from ...camera import Camera
from ._detector_data import column
from ._focal_plane import FocalPlaneView
from ._style import (
    COLORS,
    VALUE_COLORS,
    PlotTitle,
    add_colorbar,
    add_title,
    format_value,
    make_figure,
)

_WIDTH, _HEIGHT = 1000, 1030
_PANEL = 405
_MAX_LABELS = 30
_WHISKER_UNIT = 0.1
_WHISKER_LENGTH = 0.9
_MAX_WHISKER_LENGTH = 0.3
_CLIP = 5.0
_DARK = 0.4


@dataclasses.dataclass(frozen=True)
class _Panel:
    """A metric to colour the detectors by."""

    name: str
    label: str
    spec: str
    scatter_spec: str


_PANELS = (
    _Panel("psf_fwhm_arcsec", "PSF FWHM (arcsec)", ".2f", ".3f"),
    _Panel("psf_e", "PSF ellipticity", ".3f", ".3f"),
    _Panel("sky_electron", "sky (electron per pixel)", ",.0f", ",.1f"),
    _Panel("n_psf_stars", "number of PSF stars", ",.0f", ",.0f"),
)


def plot_focal_plane_metrics(detectors: Table, *, camera: Camera, title: PlotTitle) -> Figure:
    """Show the metrics of an exposure over the focal plane.

    Parameters
    ----------
    detectors
        One row a detector: ``rapid_exposure_detectors``.
    camera
        Camera with the positions of the detectors.
    title
        Name of the observation.

    Returns
    -------
    figure
        Four maps of coloured detectors: PSF FWHM; PSF ellipticity, with
        whiskers along the major axes; sky; number of PSF stars. Detectors that
        are missing are hatched; those without a value are white with a cross.
        The ends of the colour scales leave out what is further than 5 robust
        standard deviations from the median.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    view = FocalPlaneView.make(camera, present={int(detector) for detector in detectors["detector"]})
    for index, panel in enumerate(_PANELS):
        left = 25 + (index % 2) * 500
        bottom = 40 + (1 - index // 2) * 472
        axes = figure.add_axes((left / _WIDTH, bottom / _HEIGHT, _PANEL / _WIDTH, _PANEL / _HEIGHT))
        axes.set_axis_off()
        view.draw_missing(axes)
        view.draw_rafts(axes, names=False)
        view.set_window(axes)
        _draw_panel(figure, axes, view, detectors, panel)
        if panel.name == "psf_e":
            _draw_whiskers(axes, view, detectors)
    if view.is_zoomed:
        view.draw_inset(figure, (1 - 165 / _WIDTH, 1 - 72 / _HEIGHT, 68 / _WIDTH, 68 / _HEIGHT))
    add_title(figure, title, subject="metrics", left=0.025)
    return figure


def _draw_panel(figure: Figure, axes: Axes, view: FocalPlaneView, detectors: Table, panel: _Panel) -> None:
    """Colour the detectors by a metric, with a colour scale and a headline."""
    ids = [int(detector) for detector in detectors["detector"]]
    values = column(detectors, panel.name)
    values = np.where((values == -1.0) & (panel.name[:2] == "n_"), np.nan, values)
    known = np.isfinite(values)
    statistics = summarize(values)
    limits = find_limits(values)
    shown = PolyCollection(
        [view.outlines[detector] for detector, good in zip(ids, known, strict=True) if good],
        array=values[known],
        cmap=VALUE_COLORS,
        clim=limits,
        edgecolors="white",
        linewidths=0.3,
        zorder=2.0,
    )
    axes.add_collection(shown, autolim=False)
    cross_out(axes, [view.outlines[detector] for detector, good in zip(ids, known, strict=True) if not good])
    if len(ids) <= _MAX_LABELS and panel.name != "psf_e":
        for detector, value in zip(ids, values, strict=True):
            if np.isfinite(value):
                _write_value(axes, view.outlines[detector], value, panel.spec, limits=limits)
    box = axes.get_position()
    add_colorbar(figure, shown, (box.x1 + 8 / _WIDTH, box.y0, 12 / _WIDTH, box.height), label="")
    median = format_value(statistics.median, panel.spec)
    scatter = format_value(statistics.scatter, panel.scatter_spec)
    text = f"{panel.label}: median {median}, scatter {scatter}"
    if statistics.count < len(ids):
        text += f"; {len(ids) - statistics.count} unknown"
    axes.set_title(text, fontsize=10, loc="left", pad=5)


def _write_value(
    axes: Axes,
    outline: npt.NDArray[np.float64],
    value: float,
    spec: str,
    *,
    limits: tuple[float, float],
) -> None:
    """Write a value on its detector, legible on the value's colour."""
    shade = (value - limits[0]) / (limits[1] - limits[0])
    x, y = outline.mean(axis=0)
    axes.text(
        x,
        y,
        format_value(float(value), spec),
        fontsize=9,
        ha="center",
        va="center",
        color="white" if shade > _DARK else COLORS["ink"],
        zorder=3.5,
    )


def find_limits(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Find the ends of a colour scale.

    Parameters
    ----------
    values
        ``(n,)`` values to colour by.

    Returns
    -------
    low, high
        Smallest and largest value, without what is further than 5 robust
        standard deviations from the median.
    """
    statistics = summarize(values)
    if statistics.count == 0:
        return 0.0, 1.0
    reach = _CLIP * statistics.scatter if statistics.scatter > 0 else np.inf
    low = max(statistics.minimum, statistics.median - reach)
    high = min(statistics.maximum, statistics.median + reach)
    if high - low < 0.02 * abs(statistics.median):
        half = 0.01 * abs(statistics.median)
        low, high = statistics.median - half, statistics.median + half
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def cross_out(axes: Axes, outlines: list[npt.NDArray[np.float64]]) -> None:
    """Draw detectors or amplifiers without a value.

    Parameters
    ----------
    axes
        Axes in mm.
    outlines
        ``(4, 2)`` corners of each, mm.
    """
    if not outlines:
        return
    axes.add_collection(
        PolyCollection(outlines, facecolors="white", edgecolors=COLORS["grey"], linewidths=0.6, zorder=2.0),
        autolim=False,
    )
    diagonals = [outline[pair] for outline in outlines for pair in ([0, 2], [1, 3])]
    axes.add_collection(
        LineCollection(diagonals, colors=COLORS["vermilion"], linewidths=0.8, zorder=2.1), autolim=False
    )


def _draw_whiskers(axes: Axes, view: FocalPlaneView, detectors: Table) -> None:
    """Draw the major axes of the PSF, and one of known ellipticity."""
    e1, e2 = column(detectors, "focal_plane_e1"), column(detectors, "focal_plane_e2")
    centres = np.array([view.outlines[int(detector)].mean(axis=0) for detector in detectors["detector"]])
    left, right, low, high = view.window
    size = float(np.ptp(view.outlines[int(detectors["detector"][0])], axis=0).max())
    length = min(_WHISKER_LENGTH * size, _MAX_WHISKER_LENGTH * (right - left))
    angle = 0.5 * np.arctan2(e2, e1)
    half = 0.5 * length / _WHISKER_UNIT * np.hypot(e1, e2)
    step = np.stack([half * np.cos(angle), half * np.sin(angle)], axis=1)
    good = np.isfinite(step).all(axis=1)
    if not good.any():
        return
    width = 2.0 if view.is_zoomed else 1.3
    segments = np.stack([centres - step, centres + step], axis=1)[good]
    for color, factor in (("white", 2.2), (COLORS["vermilion"], 1.0)):
        axes.add_collection(
            LineCollection(list(segments), colors=color, linewidths=factor * width, zorder=3.2), autolim=False
        )
    y = low - 0.012 * (high - low)
    start = left + 0.03 * (right - left)
    key = LineCollection([[(start, y), (start + length, y)]], colors=COLORS["vermilion"], linewidths=width)
    key.set_clip_on(False)
    axes.add_collection(key, autolim=False)
    x = start + length + 0.015 * (right - left)
    axes.text(x, y, f"e = {_WHISKER_UNIT:g}, along the major axis", fontsize=8, va="center")
