# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("NightTotals", "render_night_report", "write_night_report")

import base64
import dataclasses
import importlib.metadata
import io
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from astropy.time import Time

from ...tasks.plots import PlotTitle, format_value, make_night_table, plot_night
from ..alerts import AlertState
from ._read import Night, NightExposure

_COLUMNS = (
    ("FWHM", "arcsec", "psf_fwhm_arcsec", ".2f"),
    ("e", "", "psf_e", ".3f"),
    ("sky", "electron / pixel", "sky_electron", ",.0f"),
    ("zero point", "mag", "zero_point_mag", ".2f"),
    ("depth", "mag", "magnitude_limit_mag", ".2f"),
    ("eff. time", "s", "effective_time_second", ".1f"),
)
"""Columns of medians over the detectors: name, unit, metric and format."""


@dataclasses.dataclass(frozen=True)
class NightTotals:
    """Sums and medians of some exposures."""

    name: str
    """Physical filter, or what stands for all."""

    n_exposures: int
    """Number of exposures with a summary."""

    exposure_second: float
    """Time (s) that the shutter was open; NaN if no exposure says so."""

    n_exposure_second: int
    """Number of exposures that it is the sum of."""

    effective_second: float
    """Effective time (s); NaN if that of no exposure is known."""

    n_effective_second: int
    """Number of exposures that it is the sum of."""

    medians: Mapping[str, float]
    """Median over the exposures by metric."""

    @classmethod
    def of(cls, name: str, summaries: Iterable[Mapping[str, Any]]) -> NightTotals:
        """Add up exposures.

        Parameters
        ----------
        name
            What the exposures have in common.
        summaries
            ``rapid_exposure_summary`` of each.

        Returns
        -------
        totals
            Sums and medians of what is known.
        """
        night = make_night_table(summaries)
        medians = {}
        for _, _, metric, _ in _COLUMNS:
            values = np.asarray(night[f"{metric}_median"])
            known = values[np.isfinite(values)]
            medians[metric] = float(np.median(known)) if known.size else math.nan
        exposure_second, n_exposure_second = _add_known(night["exposure_time_second"])
        effective_second, n_effective_second = _add_known(night["effective_time_second_median"])
        return cls(
            name=name,
            n_exposures=len(night),
            exposure_second=exposure_second,
            n_exposure_second=n_exposure_second,
            effective_second=effective_second,
            n_effective_second=n_effective_second,
            medians=medians,
        )


def render_night_report(night: Night) -> str:
    """Write the report of a night.

    Parameters
    ----------
    night
        What is known of the night.

    Returns
    -------
    html
        A page that needs nothing else: no script, no font, no file.

    Raises
    ------
    ValueError
        Raised if no exposure has a summary.
    """
    summaries = [dict(one.summary) for one in night.exposures if one.summary is not None]
    if not summaries:
        raise ValueError(f"No exposure of {night.instrument} on {night.day_obs} has a summary.")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__ or "", package_path=""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _format
    return environment.get_template("night.html.j2").render(
        night=night,
        columns=_COLUMNS,
        rows=[_make_row(one) for one in night.exposures],
        totals=_make_totals(summaries),
        alerts=[alert for one in night.exposures for alert in one.alerts],
        opened=_count_alerts(night),
        n_unprocessed=len(night.exposures) - len(summaries),
        n_missing=sum(max(int(one.get("n_detectors_missing", 0)), 0) for one in summaries),
        n_without_psf=sum(not math.isfinite(_number(one, "psf_fwhm_arcsec_median")) for one in summaries),
        runs=sorted({one.run for one in night.exposures} - {""}),
        version=importlib.metadata.version("lsst-ra-pipe"),
        trends=_encode_trends(night, summaries),
    )


def write_night_report(night: Night, directory: pathlib.Path) -> pathlib.Path:
    """Write the report of a night into a file.

    Parameters
    ----------
    night
        What is known of the night.
    directory
        Directory for it, which is made if it does not exist.

    Returns
    -------
    path
        ``<directory>/night_<instrument>_<day_obs>.html``.
    """
    html = render_night_report(night)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"night_{night.instrument}_{night.day_obs}.html"
    path.write_text(html, encoding="utf-8")
    return path


def _make_row(exposure: NightExposure) -> dict[str, Any]:
    """Choose what the table says of an exposure."""
    summary = {} if exposure.summary is None else exposure.summary
    begin = _number(summary, "begin_mjd_tai")
    here, expected = _number(summary, "n_detectors"), _number(summary, "n_detectors_expected")
    return {
        "exposure": exposure,
        "is_processed": exposure.summary is not None,
        "time": Time(begin, format="mjd", scale="tai").utc.strftime("%H:%M:%S")
        if math.isfinite(begin)
        else "",
        "exposure_second": _number(summary, "exposure_time_second"),
        "airmass": _number(summary, "airmass"),
        "target": str(summary.get("target") or ""),
        "values": [(_number(summary, f"{metric}_median"), spec, metric) for _, _, metric, spec in _COLUMNS],
        "here": here,
        "expected": expected,
        "missing": max(_number(summary, "n_detectors_missing"), 0.0) if summary else math.nan,
        "alerts": [alert for alert in exposure.alerts if alert.state is AlertState.OPEN],
    }


def _make_totals(summaries: list[dict[str, Any]]) -> list[NightTotals]:
    """Add up the exposures of each filter, in order of time, and all."""
    filters: dict[str, list[dict[str, Any]]] = {}
    for summary in summaries:
        filters.setdefault(str(summary.get("physical_filter") or "no filter"), []).append(summary)
    totals = [NightTotals.of(name, ones) for name, ones in filters.items()]
    return [*totals, NightTotals.of("all", summaries)]


def _add_known(values: npt.ArrayLike) -> tuple[float, int]:
    """Return the sum of what is known, NaN of nothing, and the number of it."""
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    return (float(known.sum()) if known.size else math.nan), known.size


def _count_alerts(night: Night) -> dict[str, int]:
    """Count the alerts that opened, by severity."""
    opened = [
        alert.severity.value
        for one in night.exposures
        for alert in one.alerts
        if alert.state is AlertState.OPEN
    ]
    return {name: opened.count(name) for name in ("critical", "warning", "info")}


def _encode_trends(night: Night, summaries: list[dict[str, Any]]) -> str:
    """Draw the trends; return them as base64."""
    title = PlotTitle(f"{night.instrument} {night.day_obs}", f"{len(summaries)} exposures with metrics")
    buffer = io.BytesIO()
    plot_night(make_night_table(summaries), title=title).savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _number(summary: Mapping[str, Any], name: str) -> float:
    value = summary.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def _format(value: float, spec: str) -> str:
    """Write a number; what is not known is a dash."""
    return "\u2013" if not math.isfinite(value) else format_value(value, spec)
