# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_focal_plane_metrics",)

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from ...algorithms.focal_plane import summarize
from ...camera import Camera
from ._detector_data import column
from ._focal_plane import FocalPlaneView, draw_hatched
from ._style import (
    COLORS,
    VALUE_COLORS,
    PlotTitle,
    add_colorbar,
    add_title,
    format_value,
    make_figure,
)

_WIDTH, _HEIGHT = 1100, 860
_PANEL = 290
_COLUMNS = 3
_LEAST_SIDE = 44
"""Detectors that are smaller than this in the picture, in pixels, have no
room for their values."""
_MAX_REASONS = 4
_WHISKER_UNIT = 0.05
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
    scale: float = 1.0
    """Factor from the metric's unit to that of the label."""
    least: float | None = None
    """Least range of the colour scale; by default 2 per cent of the median."""


_PANELS = (
    _Panel("psf_fwhm_arcsec", "PSF FWHM (arcsec)", ".2f", ".3f"),
    _Panel("psf_e", "PSF ellipticity", ".3f", ".3f"),
    _Panel("n_psf_stars", "number of PSF stars", ",.0f", ",.0f"),
    _Panel("sky_electron", "sky (electron per pixel)", ",.0f", ",.1f"),
    _Panel("zero_point_mag", "zero point (mag)", ".3f", ".3f", least=0.04),
    _Panel(
        "astrometry_offset_mean_arcsec", "astrometric residual (mas)", ".1f", ".1f", scale=1000.0, least=2.0
    ),
)

_STEP_NAMES: Mapping[str, str] = MappingProxyType(
    {"psf": "PSF", "astrometry": "astrometry", "photometry": "zero point"}
)
"""Parts of the measurement with a metric ``<part>_status``, and their names
for people."""


def plot_focal_plane_metrics(
    detectors: Table, *, camera: Camera, title: PlotTitle, imaged: Collection[int] = ()
) -> Figure:
    """Show the metrics of an exposure over the focal plane.

    Parameters
    ----------
    detectors
        One row a detector: ``rapid_exposure_detectors``.
    camera
        Camera with the positions of the detectors.
    title
        Name of the observation.
    imaged
        Ids of the detectors with an image. Those of them without metrics are
        drawn as not measured, not as missing.

    Returns
    -------
    figure
        Maps of coloured detectors: PSF FWHM; PSF ellipticity, with whiskers
        along the major axes; number of PSF stars; sky; zero point; mean
        distance of the stars from their catalogue positions. Detectors that
        are missing are hatched; those without a value are white with a cross,
        and the reasons are counted below. The ends of the colour scales leave
        out what is further than 5 robust standard deviations from the median.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    measured = {int(detector) for detector in detectors["detector"]}
    view = FocalPlaneView.make(camera, present=measured | set(imaged))
    for index, panel in enumerate(_PANELS):
        left = 15 + (index % _COLUMNS) * (_WIDTH - 10) / _COLUMNS
        bottom = 78 + (1 - index // _COLUMNS) * 367
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
    add_title(figure, title, subject="metrics", left=15 / _WIDTH)
    _write_legend(figure, view, camera, detectors)
    return figure


def _write_legend(figure: Figure, view: FocalPlaneView, camera: Camera, detectors: Table) -> None:
    """Explain hatches and crosses, and count the reasons."""
    axes = figure.add_axes((0.0, 0.0, 1.0, 52 / _HEIGHT))
    axes.set_axis_off()
    axes.set_xlim(0.0, _WIDTH)
    axes.set_ylim(0.0, 52.0)
    swatch = np.array([[15.0, 29.0], [29.0, 29.0], [29.0, 43.0], [15.0, 43.0]])
    draw_hatched(axes, [swatch])
    cross_out(axes, [swatch - [0.0, 22.0]])
    expected = {detector for detector, facts in camera.facts.items() if facts.purpose == "SCIENCE"}
    missing = len(expected - view.present)
    unmeasured = len(view.present) - len(detectors)
    failures = _count_reasons(detectors)
    if unmeasured:
        failures.insert(0, f"no metrics ({unmeasured})")
    for y, text in (
        (36.0, f"no image: {missing} of {len(expected)} detectors"),
        (14.0, "not measured: " + ("; ".join(failures) or "none")),
    ):
        axes.text(38.0, y, text, fontsize=10, va="center", color=COLORS["ink"])


def _count_reasons(detectors: Table) -> list[str]:
    """Write for each part of the measurement why it failed, and how often."""
    parts = []
    for step, label in _STEP_NAMES.items():
        name = f"{step}_status"
        statuses = [str(status) for status in detectors[name]] if name in detectors.colnames else []
        reasons = Counter(status for status in statuses if status not in ("", "ok")).most_common()
        if reasons:
            texts = [f"{reason} ({count})" for reason, count in reasons[:_MAX_REASONS]]
            if len(reasons) > _MAX_REASONS:
                texts.append(f"others ({sum(count for _, count in reasons[_MAX_REASONS:])})")
            parts.append(f"{label}: {', '.join(texts)}")
    return parts


def _draw_panel(figure: Figure, axes: Axes, view: FocalPlaneView, detectors: Table, panel: _Panel) -> None:
    """Colour the detectors by a metric, with a colour scale and a headline."""
    ids = [int(detector) for detector in detectors["detector"]]
    values = column(detectors, panel.name)
    values = panel.scale * np.where((values == -1.0) & (panel.name[:2] == "n_"), np.nan, values)
    known = np.isfinite(values)
    limits = find_limits(values, least=panel.least)
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
    valued = {detector for detector, good in zip(ids, known, strict=True) if good}
    unknown = sorted(view.present - valued)
    cross_out(axes, [view.outlines[detector] for detector in unknown])
    side = float(np.ptp(next(iter(view.outlines.values())), axis=0).min())
    has_room = _PANEL * side / (view.window[1] - view.window[0]) >= _LEAST_SIDE
    if has_room and panel.name != "psf_e":
        for detector, value in zip(ids, values, strict=True):
            if np.isfinite(value):
                _write_value(axes, view.outlines[detector], value, panel.spec, limits=limits)
    box = axes.get_position()
    if valued:
        add_colorbar(figure, shown, (box.x1 + 6 / _WIDTH, box.y0, 11 / _WIDTH, box.height), label="")
    statistics = summarize(values)
    text = f"median {format_value(statistics.median, panel.spec)}"
    if statistics.count > 1:
        text += f", scatter {format_value(statistics.scatter, panel.scatter_spec)}"
    if unknown:
        text = f"{text}; {len(unknown)} unknown" if valued else "unknown"
    axes.text(0.0, 1.085, panel.label, transform=axes.transAxes, fontsize=11, fontweight="bold", va="center")
    axes.text(0.0, 1.03, text, transform=axes.transAxes, fontsize=9, va="center")


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


def find_limits(values: npt.NDArray[np.float64], *, least: float | None = None) -> tuple[float, float]:
    """Find the ends of a colour scale.

    Parameters
    ----------
    values
        ``(n,)`` values to colour by.
    least
        Least distance of the ends; by default 2 per cent of the median.

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
    least = 0.02 * abs(statistics.median) if least is None else least
    if high - low < least:
        middle = statistics.median
        low, high = middle - 0.5 * least, middle + 0.5 * least
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
