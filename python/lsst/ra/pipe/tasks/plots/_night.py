# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Trends of an observing night."""

from __future__ import annotations

__all__ = ("NIGHT_METRICS", "make_night_table", "plot_night")

import dataclasses
import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Column, Table
from astropy.time import Time
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lsst.utils.plotting import get_multiband_plot_colors, get_multiband_plot_symbols

from ...algorithms.focal_plane import summarize
from ...algorithms.measurement import DETECTOR_METRICS
from ._style import COLORS, PlotTitle, add_title, make_figure, round_ticks, style_axes

_WIDTH = 1200
_HEAD, _PANEL, _GAP, _FOOT = 112, 168, 16, 62
_LEFT, _RIGHT = 88, 26
_STRIP = 0.1
"""Height of the strip below the values, in which exposures without a value
are marked, as a fraction of a panel."""

_SIZE = 5.5
_BANDS = tuple("ugrizy")
_OTHER = "other"

NIGHT_METRICS = (
    "psf_fwhm_arcsec",
    "psf_e",
    "sky_electron",
    "sky_noise_electron",
    "zero_point_mag",
    "magnitude_limit_mag",
    "effective_time_second",
    "n_psf_stars",
)
"""Metrics of the detectors whose medians and extremes a night has."""

_FACTS: Mapping[str, type] = {
    "exposure": int,
    "seq_num": int,
    "begin_mjd_tai": float,
    "exposure_time_second": float,
    "airmass": float,
    "physical_filter": str,
    "band": str,
    "observation_type": str,
    "observation_reason": str,
    "science_program": str,
    "target": str,
    "n_detectors": int,
    "n_detectors_expected": int,
    "n_detectors_missing": int,
}


@dataclasses.dataclass(frozen=True)
class _Panel:
    """A metric over the night."""

    metric: str
    label: str
    logarithmic: bool = False
    relative: bool = False
    from_zero: bool = False


_PANELS = (
    _Panel("psf_fwhm_arcsec", "PSF FWHM\n(arcsec)"),
    _Panel("psf_e", "PSF ellipticity", from_zero=True),
    _Panel("sky_electron", "sky\n(electron per pixel)", logarithmic=True),
    _Panel("zero_point_mag", "zero point less the\nfilter's median (mag)", relative=True),
    _Panel("effective_time_second", "effective time\n(s)", from_zero=True),
)


def make_night_table(summaries: Iterable[Mapping[str, Any]]) -> Table:
    """Put the summaries of a night's exposures in a table.

    Parameters
    ----------
    summaries
        ``rapid_exposure_summary`` of each exposure, in any order.

    Returns
    -------
    night
        One row an exposure, in order of time; the facts of the exposure and,
        for each of `NIGHT_METRICS`, ``<metric>_median``, ``<metric>_min`` and
        ``<metric>_max`` over its detectors. What is not known is NaN, -1 or an
        empty string.
    """
    rows = sorted(summaries, key=lambda summary: int(summary["exposure"]))
    night = Table()
    for name, kind in _FACTS.items():
        unknown = {int: -1, str: "", float: math.nan}[kind]
        values = [unknown if row.get(name) is None else kind(row[name]) for row in rows]
        dtype = {int: np.dtype(np.int64), str: np.dtype(str), float: np.dtype(np.float64)}[kind]
        night[name] = Column(np.array(values, dtype=dtype))
    for metric in NIGHT_METRICS:
        for statistic in ("median", "min", "max"):
            name = f"{metric}_{statistic}"
            column = np.array([_as_number(row.get(name)) for row in rows], dtype=np.float64)
            night[name] = Column(column, unit=DETECTOR_METRICS[metric].unit or None)
    return night


def plot_night(night: Table, *, title: PlotTitle) -> Figure:
    """Show how image quality, sky and throughput went over a night.

    Parameters
    ----------
    night
        One row an exposure, from `make_night_table`.
    title
        Name of the night.

    Returns
    -------
    figure
        Panels of PSF FWHM, PSF ellipticity, sky, zero point and effective time
        against time: the medians of the exposures as markers whose shape and
        colour tell the band, with bars from the least to the greatest
        detector. The zero point is relative to the night's median of the same
        filter and exposure time, so that clouds show. An exposure without a
        value is a small cross in a strip at the bottom of the panel.
    """
    height = _HEAD + len(_PANELS) * _PANEL + (len(_PANELS) - 1) * _GAP + _FOOT
    figure = make_figure(width=_WIDTH, height=height)
    bands = [band if band in _BANDS else _OTHER for band in map(str, night["band"])]
    hours, start = _hours(night)
    limits = _time_limits(hours)
    for index, panel in enumerate(_PANELS):
        bottom = _FOOT + (len(_PANELS) - 1 - index) * (_PANEL + _GAP)
        box = (_LEFT / _WIDTH, bottom / height, 1.0 - (_LEFT + _RIGHT) / _WIDTH, _PANEL / height)
        axes = figure.add_axes(box)
        _draw_panel(axes, night, panel, hours, bands)
        axes.set_xlim(*limits)
        _mark_time(axes, start, limits, labels=index == len(_PANELS) - 1)
    add_title(figure, title, subject="trends of the night", left=_LEFT / _WIDTH)
    _draw_legend(figure, night, bands, height)
    return figure


def _draw_panel(
    axes: Axes, night: Table, panel: _Panel, hours: npt.NDArray[np.float64], bands: list[str]
) -> None:
    """Draw a metric over the night."""
    median, low, high = (
        np.asarray(night[f"{panel.metric}_{name}"], dtype=np.float64) for name in ("median", "min", "max")
    )
    if panel.relative:
        reference = _filter_medians(night, median)
        median, low, high = median - reference, low - reference, high - reference
    known = np.isfinite(median) & np.isfinite(hours)
    if panel.logarithmic:
        known &= median > 0
    style_axes(axes, ylabel=panel.label)
    axes.grid(axis="both", color=COLORS["light"], linewidth=0.6, zorder=0.0)
    axes.set_axisbelow(True)
    colors, symbols = _band_styles()
    _set_limits(axes, panel, median[known], low[known], high[known])
    for band in dict.fromkeys(bands):
        chosen = np.array([one == band for one in bands])
        here = chosen & known
        _draw_ranges(axes, hours[here], low[here], high[here], colors[band])
        axes.plot(
            hours[here],
            median[here],
            linestyle="none",
            marker=symbols[band],
            markersize=_SIZE + 2.5 * (symbols[band] == "*"),
            markerfacecolor=colors[band],
            markeredgecolor=COLORS["ink"],
            markeredgewidth=0.4,
            zorder=3.0,
        )
        missing = chosen & ~known & np.isfinite(hours)
        _mark_missing(axes, hours[missing], colors[band])
    if not known.any():
        text = "not known of any exposure" if len(night) else "no exposures"
        axes.text(0.5, 0.55, text, transform=axes.transAxes, ha="center", va="center", color="#555555")
        axes.set_yticks([])


def _draw_ranges(
    axes: Axes,
    hours: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    color: str,
) -> None:
    """Draw a bar from the least to the greatest detector of each exposure."""
    known = np.isfinite(low) & np.isfinite(high)
    bottom, top = axes.get_ylim()
    segments = np.stack(
        [
            np.column_stack([hours[known], np.clip(low[known], bottom, top)]),
            np.column_stack([hours[known], np.clip(high[known], bottom, top)]),
        ],
        axis=1,
    )
    axes.add_collection(
        LineCollection(list(segments), colors=color, linewidths=1.4, alpha=0.45, zorder=2.0), autolim=False
    )


def _mark_missing(axes: Axes, hours: npt.NDArray[np.float64], color: str) -> None:
    """Mark exposures without a value in the strip at the bottom."""
    axes.plot(
        hours,
        np.full(hours.size, _STRIP / 2),
        transform=axes.get_xaxis_transform(),
        linestyle="none",
        marker="x",
        markersize=5.0,
        markeredgewidth=1.2,
        color=color,
        clip_on=False,
        zorder=3.0,
    )


def _set_limits(
    axes: Axes,
    panel: _Panel,
    median: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
) -> None:
    """Make room for all medians, for most of the bars, and for the strip."""
    if panel.logarithmic:
        axes.set_yscale("log")
    if median.size == 0:
        return
    bottom = min(float(median.min()), _edge(low, 0.05, float(median.min())))
    top = max(float(median.max()), _edge(high, 0.95, float(median.max())))
    if panel.from_zero:
        bottom = min(0.0, bottom)
    if panel.logarithmic:
        bottom, top = math.log10(max(bottom, 1e-3 * top)), math.log10(top)
    margin = 0.06 * (top - bottom) or 0.05 * abs(top) or 1.0
    top += margin
    bottom -= margin
    bottom -= (top - bottom) * _STRIP / (1.0 - _STRIP)
    if panel.logarithmic:
        axes.set_ylim(10.0**bottom, 10.0**top)
        _label_decades(axes, 10.0**bottom, 10.0**top)
    else:
        axes.set_ylim(bottom, top)
        axes.yaxis.set_major_locator(round_ticks())


def _edge(values: npt.NDArray[np.float64], quantile: float, default: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, quantile)) if finite.size else default


def _label_decades(axes: Axes, bottom: float, top: float) -> None:
    """Mark round values on a logarithmic axis."""
    steps = (1.0, 2.0, 5.0) if top < 300.0 * bottom else (1.0,)
    decades = range(math.floor(math.log10(bottom)), math.ceil(math.log10(top)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    shown = [tick for tick in ticks if bottom <= tick <= top]
    axes.set_yticks(shown, labels=[f"{tick:,.0f}" if tick >= 1.0 else f"{tick:g}" for tick in shown])
    axes.minorticks_off()


def _filter_medians(night: Table, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return, for each exposure, the median of those of its filter and
    exposure time.
    """
    keys = [
        (str(name), round(float(time), 3) if math.isfinite(time) else None)
        for name, time in zip(night["physical_filter"], night["exposure_time_second"], strict=True)
    ]
    medians = {key: summarize(values[[one == key for one in keys]]).median for key in set(keys)}
    return np.array([medians[key] for key in keys], dtype=np.float64)


def _hours(night: Table) -> tuple[npt.NDArray[np.float64], datetime.datetime]:
    """Return the times of the exposures in hours after a full hour, UTC."""
    mjd = np.asarray(night["begin_mjd_tai"], dtype=np.float64)
    known = np.isfinite(mjd)
    hours = np.full(mjd.size, np.nan)
    if not known.any():
        return hours, datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    utc = Time(mjd[known], format="mjd", scale="tai").utc.mjd
    first = math.floor(utc.min() * 24.0) / 24.0
    hours[known] = (utc - first) * 24.0
    # A full hour, and not a microsecond less.
    start = Time(first, format="mjd", scale="utc").to_datetime(datetime.UTC) + datetime.timedelta(seconds=1)
    return hours, start.replace(minute=0, second=0, microsecond=0)


def _time_limits(hours: npt.NDArray[np.float64]) -> tuple[float, float]:
    known = hours[np.isfinite(hours)]
    if known.size == 0:
        return 0.0, 1.0
    margin = max(0.02 * float(np.ptp(known)), 0.05)
    return float(known.min()) - margin, float(known.max()) + margin


def _mark_time(axes: Axes, start: datetime.datetime, limits: tuple[float, float], *, labels: bool) -> None:
    """Mark round times, with the date where it changes."""
    span = limits[1] - limits[0]
    step = next(
        step for step in (1 / 12, 0.25, 0.5, 1.0, 2.0, 4.0, 24.0) if span / step <= 14 or step == 24.0
    )
    ticks = np.arange(math.ceil(limits[0] / step), math.floor(limits[1] / step) + 1) * step
    axes.set_xticks(ticks)
    axes.tick_params(axis="x", labelbottom=labels, length=3)
    if not labels:
        return
    texts = []
    date = None
    for tick in ticks:
        # To the minute, as the steps are not exact.
        moment = start + datetime.timedelta(minutes=round(60.0 * float(tick)))
        texts.append(f"{moment:%H:%M}" + (f"\n{moment:%Y-%m-%d}" if moment.date() != date else ""))
        date = moment.date()
    axes.set_xticks(ticks, labels=texts)
    axes.set_xlabel("start of exposure (UTC)", fontsize=9, labelpad=2)


def _draw_legend(figure: Figure, night: Table, bands: list[str], height: int) -> None:
    """Explain the markers, with the number of exposures and zero points."""
    colors, symbols = _band_styles()
    zero_points = np.asarray(night["zero_point_mag_median"], dtype=np.float64)
    handles, texts = [], []
    for band in (*_BANDS, _OTHER):
        chosen = np.array([one == band for one in bands], dtype=bool)
        if not chosen.any():
            continue
        handles.append(
            Line2D(
                [],
                [],
                linestyle="none",
                marker=symbols[band],
                markersize=_SIZE + 2.5 + 2.5 * (symbols[band] == "*"),
                markerfacecolor=colors[band],
                markeredgecolor=COLORS["ink"],
                markeredgewidth=0.4,
            )
        )
        names = sorted({str(name) for name in night["physical_filter"][chosen]} - {""})
        median = summarize(zero_points[chosen]).median
        zero = f", {median:.2f} mag" if math.isfinite(median) else ""
        texts.append(f"{' '.join(names) or band}: {int(chosen.sum())}{zero}")
    figure.legend(
        handles,
        texts,
        title=(
            "Markers: median over the detectors; bars: from the least to the greatest; cross: no value.   "
            "Filter: number of exposures, median zero point"
        ),
        title_fontsize=9,
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(_LEFT / _WIDTH, 1.0 - 62.0 / height),
        ncols=max(len(handles), 1),
        fontsize=9,
        frameon=False,
        borderpad=0.0,
        borderaxespad=0.0,
        handletextpad=0.3,
        columnspacing=1.4,
    )


def _band_styles() -> tuple[dict[str, str], dict[str, str]]:
    """Return colours and markers of the bands, as Rubin's figures have them."""
    colors = {**get_multiband_plot_colors(), _OTHER: COLORS["grey"]}
    symbols = {**get_multiband_plot_symbols(), _OTHER: "D"}
    return colors, symbols


def _as_number(value: object) -> float:
    """Return a number; NaN for what is no number or not known."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return math.nan if isinstance(value, int) and value == -1 else float(value)
