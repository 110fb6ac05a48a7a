# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Errors of what calibrateImage measured, beside the truth."""

from __future__ import annotations

__all__ = ("Row", "Score", "print_scores", "save_mistakes", "score")

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import astropy.table
import numpy as np
import numpy.typing as npt
from _accuracy_truth import Truth, find_isolated
from lsst.images import VisitImage
from lsst.pipe.base import Struct
from lsst.ra.pipe.simulation import adaptive_moments
from rich.console import Console
from rich.table import Table
from scipy.spatial import KDTree

_MATCH_RADIUS = 5.0
"""Largest distance (pixels) between an object and its detection: 1 arcsec."""
_GRID = 9
_BRIGHT = 1e6
_HALO_FWHM = 12.0
_SKY_STRIDE = 8


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    label: str
    """What it is, with its unit."""
    truth: float | None
    """True value."""
    ours: float | None
    """Measured value; `None` where only the error says something."""
    figure: str = ""
    """Name of the figure of the JSON; empty: none."""
    error: float | None = None
    """Value of the figure: `ours` if unset."""
    limit: float | None = None
    """Bar for the figure; `None`: none."""
    at_least: bool = False
    """Whether the figure must be at least the bar, not at most."""
    digits: int = 3
    """Digits after the point."""

    @property
    def value(self) -> float | None:
        """What the figure is."""
        return self.error if self.error is not None else self.ours

    @property
    def missed(self) -> bool:
        """Whether the bar is missed; without a number it is."""
        if self.limit is None or self.value is None:
            return False
        if not math.isfinite(self.value):
            return True
        return self.value < self.limit if self.at_least else abs(self.value) > self.limit


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """How near the truth one image's measurement came."""

    name: str
    """Scene or condition."""
    rows: tuple[Row, ...]
    """Lines of the table."""
    false: astropy.table.Table
    """Detections without an object."""
    missed: astropy.table.Table
    """Isolated stars of a signal-to-noise ratio of 9 and more without a
    detection."""
    notes: tuple[str, ...] = ()
    """What the task said of the image."""

    @property
    def figures(self) -> dict[str, float | None]:
        """Figures by name, those without a value `None`."""
        found: dict[str, float | None] = {}
        for row in self.rows:
            if row.figure and row.value is not None:
                found[f"{self.name}_{row.figure}"] = (
                    round(float(row.value), 5) if math.isfinite(row.value) else None
                )
        return found

    @property
    def n_missed_bars(self) -> int:
        """Bars that are missed."""
        return sum(row.missed for row in self.rows)


def score(truth: Truth, result: Struct, *, image: npt.NDArray[np.float32], core_seconds: float) -> Score:
    """Hold the result of calibrateImage against the truth.

    Parameters
    ----------
    truth
        What is true of the image.
    result
        What ``CalibrateImageTask.run`` returned.
    image
        Pixels that went in, of shape ``(ny, nx)``, electron.
    core_seconds
        CPU time of the run.

    Returns
    -------
    score
        Errors, and where detection went wrong.
    """
    metrics: Mapping[str, Any] = result.metrics
    stars: astropy.table.Table = result.stars
    detection, false, missed = _score_detection(truth, stars)
    rows = (
        *_score_psf(truth, metrics, result.exposure),
        *_score_sky(truth, metrics, image - result.exposure.image.array),
        *_score_calibration(truth, metrics, result.exposure),
        *detection,
        *_score_classes(truth, stars),
        Row("CPU (s)", None, core_seconds, "core_seconds"),
    )
    notes = (
        _describe_false(truth, false),
        *(
            f"{name}: {metrics[name]}"
            for name in ("psf_status", "astrometry_status", "photometry_status")
            if metrics.get(name, "ok") not in ("ok", "")
        ),
    )
    return Score(truth.name, rows, false, missed, notes)


def _number(metrics: Mapping[str, Any], name: str) -> float:
    return float(metrics.get(name, math.nan))


def _score_psf(truth: Truth, metrics: Mapping[str, Any], exposure: VisitImage) -> list[Row]:
    """Score the size and shape at the centre, and the model over the CCD."""
    bars, true = truth.bars, truth.psf(*truth.centre)
    sigma = _number(metrics, "psf_sigma_pixel")
    rows = [
        Row(
            "psfSigma at centre (pix)",
            true.sigma,
            sigma,
            "psf_sigma_error_percent",
            100.0 * (sigma / true.sigma - 1.0),
            bars.psf_sigma_percent,
            digits=4,
        )
    ]
    for component in ("e1", "e2"):
        expected, found = getattr(true, component), _number(metrics, f"psf_{component}")
        rows.append(
            Row(
                f"{component} at centre",
                expected,
                found,
                f"{component}_error",
                found - expected,
                bars.ellipticity,
                digits=4,
            )
        )
    rows.append(Row("PSF stars", None, _number(metrics, "n_psf_stars"), digits=0))
    return [*rows, *_score_psf_model(truth, exposure)]


def _score_psf_model(truth: Truth, exposure: VisitImage) -> list[Row]:
    """Compare the moments of model and true PSF on a grid."""
    ny, nx = truth.shape
    size, e1, e2 = [], [], []
    for y in np.linspace(0.03, 0.97, _GRID) * (ny - 1):
        for x in np.linspace(0.03, 0.97, _GRID) * (nx - 1):
            true = truth.psf(float(x), float(y))
            kernel = exposure.psf.compute_kernel_image(x=float(x), y=float(y)).array
            model = adaptive_moments(np.asarray(kernel, dtype=np.float64))
            size.append(100.0 * (model.sigma / true.sigma - 1.0))
            e1.append(model.e1 - true.e1)
            e2.append(model.e2 - true.e2)
    rms_e = float(np.sqrt(0.5 * (np.mean(np.square(e1)) + np.mean(np.square(e2)))))
    return [
        Row("PSF model: dsigma/sigma mean (%)", 0.0, float(np.mean(size)), "psf_grid_sigma_mean_percent"),
        Row("PSF model: dsigma/sigma scatter (%)", 0.0, float(np.std(size)), "psf_grid_sigma_rms_percent"),
        Row("PSF model: dsigma/sigma max (%)", 0.0, float(np.abs(size).max()), "psf_grid_sigma_max_percent"),
        Row("PSF model: e rms", 0.0, rms_e, "psf_grid_e_rms", digits=4),
    ]


def _score_sky(truth: Truth, metrics: Mapping[str, Any], model: npt.NDArray[np.float32]) -> list[Row]:
    """Score level and noise of the sky, and its model over the CCD."""
    sky, noise = _number(metrics, "sky_electron"), _number(metrics, "sky_noise_electron")
    ny, nx = truth.shape
    y, x = np.mgrid[0:ny:_SKY_STRIDE, 0:nx:_SKY_STRIDE].astype(np.float64)
    residual = model[::_SKY_STRIDE, ::_SKY_STRIDE] - truth.sky_at(x, y)
    if truth.usable is not None:
        residual = residual[truth.usable[::_SKY_STRIDE, ::_SKY_STRIDE]]
    bars = truth.bars
    return [
        Row(
            "sky (electron)",
            truth.sky,
            sky,
            "sky_error_percent",
            100.0 * (sky / truth.sky - 1.0),
            bars.sky_percent,
        ),
        Row(
            "sky noise (electron)",
            truth.noise,
            noise,
            "noise_error_percent",
            100.0 * (noise / truth.noise - 1.0),
            bars.noise_percent,
        ),
        Row(
            "sky model - truth: median",
            0.0,
            float(np.nanmedian(residual)),
            "background_residual_median_electron",
        ),
        Row(
            "sky model - truth: scatter", 0.0, float(np.nanstd(residual)), "background_residual_rms_electron"
        ),
    ]


def _score_calibration(truth: Truth, metrics: Mapping[str, Any], exposure: VisitImage) -> list[Row]:
    """Score zero point, projection and depth."""
    zero_point = _number(metrics, "zero_point_mag")
    ny, nx = truth.shape
    y, x = (
        axis.ravel()
        for axis in np.meshgrid(*(np.linspace(0.0, n - 1.0, _GRID) for n in (ny, nx)), indexing="ij")
    )
    ra, dec = truth.to_sky(x, y)
    assert exposure.sky_projection is not None, "The task would have refused the image."
    sky = exposure.sky_projection.pixel_to_sky(x=x, y=y)
    east = ((sky.ra.deg - ra + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec))
    distance = 3.6e6 * np.hypot(east, sky.dec.deg - dec)
    rms = float(np.sqrt(np.mean(distance**2)))
    bars = truth.bars
    return [
        Row(
            "zero point, 12 pixels (mag)",
            truth.zero_point,
            zero_point,
            "zero_point_error_mmag",
            1e3 * (zero_point - truth.zero_point),
            bars.zero_point_mmag,
            digits=4,
        ),
        Row(
            "zero point, against the CCD's mean (mag)",
            truth.mean_zero_point,
            zero_point,
            "zero_point_mean_error_mmag",
            1e3 * (zero_point - truth.mean_zero_point),
            digits=4,
        ),
        Row(
            "zero point: catalogue's own error (mmag)",
            None,
            1e3 * truth.catalogue_zero_point_error,
            "zero_point_catalogue_error_mmag",
            digits=2,
        ),
        Row("stars of the zero point", None, _number(metrics, "n_photometry_stars"), digits=0),
        Row("WCS - truth: rms (mas)", 0.0, rms, "wcs_rms_mas", limit=bars.wcs_mas, digits=2),
        Row("WCS - truth: max (mas)", 0.0, float(distance.max()), "wcs_max_mas", digits=2),
        Row("stars of the WCS", None, _number(metrics, "n_astrometry_stars"), digits=0),
        Row("magLim (mag)", None, _number(metrics, "magnitude_limit_mag"), "magnitude_limit_mag"),
        Row("effTime (s)", None, _number(metrics, "effective_time_second"), "effective_time_second"),
    ]


def _score_detection(
    truth: Truth, stars: astropy.table.Table
) -> tuple[list[Row], astropy.table.Table, astropy.table.Table]:
    """Count what was found, missed and made up."""
    found = np.stack([np.asarray(stars["x"], float), np.asarray(stars["y"], float)], axis=1)
    true = np.stack([truth.x, truth.y], axis=1)
    isolated = find_isolated(truth)
    to_object = KDTree(true).query(found)[0] if len(found) else np.zeros(0)
    to_detection = KDTree(found).query(true)[0] if len(found) else np.full(len(true), np.inf)
    detected = to_detection <= _MATCH_RADIUS
    bars, ratio, rows = truth.bars, truth.signal_to_noise, []
    for label, name, low, high, limit in (
        (">= 50", "sn50", 50.0, np.inf, bars.completeness_20_percent),
        (">= 20", "sn20", 20.0, np.inf, bars.completeness_20_percent),
        ("17 to 23", "near_sn20", 17.0, 23.0, bars.completeness_20_percent),
        (">= 10", "sn10", 10.0, np.inf, bars.completeness_10_percent),
        ("9 to 11", "near_sn10", 9.0, 11.0, bars.completeness_10_percent),
        ("5 to 10", "sn5_10", 5.0, 10.0, None),
    ):
        members = isolated & (ratio >= low) & (ratio < high)
        if members.any():
            n = int(np.count_nonzero(members))
            rows.append(
                Row(
                    f"detected of {n} isolated, S/N {label} (%)",
                    100.0,
                    100.0 * float(detected[members].mean()),
                    f"completeness_{name}_percent",
                    limit=limit,
                    at_least=True,
                    digits=2,
                )
            )
    is_false = to_object > _MATCH_RADIUS
    percent = 100.0 * float(is_false.mean()) if len(found) else 0.0
    unflagged = is_false & ~_is_flagged(stars)
    clean = 100.0 * float(unflagged.mean()) if len(found) else 0.0
    rows += [
        Row("sources", None, float(len(found)), "n_sources", digits=0),
        Row("false (%)", 0.0, percent, "false_percent", limit=bars.false_percent),
        Row("false, without a flag (%)", 0.0, clean, "false_unflagged_percent"),
    ]
    missed = isolated & (ratio >= 9.0) & ~detected
    lost = astropy.table.Table(
        {"x": truth.x[missed], "y": truth.y[missed], "flux": truth.flux[missed], "snr": ratio[missed]}
    )
    return rows, stars[is_false], lost


def _is_flagged(stars: astropy.table.Table) -> npt.NDArray[np.bool_]:
    """Tell which rows say themselves that they are no clean source."""
    flagged = np.zeros(len(stars), bool)
    for name in ("is_saturated", "is_edge", "is_bad", "is_sharp"):
        if name in stars.colnames:
            flagged |= np.asarray(stars[name], bool)
    return flagged


def _describe_false(truth: Truth, false: astropy.table.Table) -> str:
    """Say what the false detections are, as far as that is known."""
    if not len(false):
        return "no false detections"
    bright = truth.flux > _BRIGHT
    places = np.stack([np.asarray(false["x"], float), np.asarray(false["y"], float)], axis=1)
    near = np.zeros(len(false), bool)
    if bright.any():
        tree = KDTree(np.stack([truth.x[bright], truth.y[bright]], axis=1))
        near = tree.query(places)[0] < _HALO_FWHM * truth.fwhm
    flagged = _is_flagged(false)
    n_near, n_flagged, n_clean = (np.count_nonzero(k) for k in (near, ~near & flagged, ~near & ~flagged))
    return (
        f"{len(false)} false detections: {n_near} near stars of over {_BRIGHT:g} electron,"
        f" {n_flagged} others with a flag, {n_clean} without"
    )


def _score_classes(truth: Truth, stars: astropy.table.Table) -> list[Row]:
    """Score the separation of stars and galaxies."""
    if not len(stars) or "is_extended" not in stars.colnames:
        return []
    found = np.stack([np.asarray(stars["x"], float), np.asarray(stars["y"], float)], axis=1)
    distance, index = KDTree(found).query(np.stack([truth.x, truth.y], axis=1))
    extended = np.asarray(stars["is_extended"], bool)[index]
    near, isolated, ratio = distance <= _MATCH_RADIUS, find_isolated(truth), truth.signal_to_noise
    rows = []
    for label, name, members, wanted in (
        ("stars, S/N >= 50, not extended", "stars_sn50", isolated & (ratio >= 50.0), False),
        ("stars, S/N 10 to 50, not extended", "stars_sn10", isolated & (ratio >= 10) & (ratio < 50), False),
        ("galaxies, S/N >= 50, extended", "galaxies_sn50", ~truth.is_star & (ratio >= 50.0), True),
    ):
        chosen = members & near
        if chosen.any():
            percent = 100.0 * float((extended[chosen] == wanted).mean())
            rows.append(Row(f"{label} (%)", 100.0, percent, f"{name}_right_percent", digits=1))
    return rows


def print_scores(
    scores: Sequence[Score],
    console: Console,
    *,
    references: Mapping[str, Mapping[str, float]] | None = None,
    brief: bool = False,
) -> None:
    """Print a table for each image.

    Parameters
    ----------
    scores
        What to print.
    console
        Where to.
    references
        By scene, then by figure (or label, where there is none), the values
        that CalibrateImageTask measured.
    brief
        Whether to print only the lines that miss their bar.
    """
    for one in scores:
        known = (references or {}).get(one.name, {})
        table = Table(title=f"{one.name}: {one.n_missed_bars} bars missed", title_justify="left")
        others = () if references is None else ("CalibrateImage",)
        for column in ("", "truth", "ours", *others, "error", "bar", ""):
            table.add_column(column, justify="left" if column == "" else "right")
        for row in one.rows:
            if brief and not row.missed:
                continue
            reference = known.get(row.figure or row.label)
            table.add_row(
                row.label,
                _format(row.truth, row.digits),
                _format(row.ours, row.digits),
                *(_format(reference, row.digits) for _ in others),
                _format(row.error, 4),
                "" if row.limit is None else f"{'>=' if row.at_least else '<='} {row.limit:g}",
                "MISSED" if row.missed else "",
                style="red" if row.missed else None,
            )
        console.print(table if table.row_count else table.title)
        for note in one.notes:
            console.print(f"  {note}", markup=False, highlight=False)


def _format(value: float | None, digits: int) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def save_mistakes(scores: Sequence[Score], directory: pathlib.Path) -> None:
    """Write the positions of false detections and of missed stars.

    Parameters
    ----------
    scores
        What was found.
    directory
        Where ``accuracy_<name>_false.ecsv`` and ``_missed.ecsv`` go.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for one in scores:
        one.false.write(directory / f"accuracy_{one.name}_false.ecsv", overwrite=True)
        one.missed.write(directory / f"accuracy_{one.name}_missed.ecsv", overwrite=True)
