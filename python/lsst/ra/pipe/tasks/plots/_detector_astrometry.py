# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_detector_astrometry",)

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...algorithms.focal_plane import summarize
from ._detector_data import DetectorPlotData, column, flag
from ._frame import FramedAxes
from ._style import (
    COLORS,
    add_facts,
    add_title,
    detector_axes,
    format_value,
    frame_axes,
    make_figure,
    say_no_data,
)

_WIDTH, _HEIGHT = 1000, 640
_SIDE = 415
_MAP_BOTTOM = 122
_TYPICAL_LENGTH = 0.045
_LONGEST = 0.15
_RANGE = 4.0
_LEAST_RANGE = 10.0
_MAX_ARROWS = 400
_CELLS = 14
"""Cells along each axis whose medians stand for more stars than that."""
_LEAST_IN_CELL = 3


@dataclasses.dataclass(frozen=True, eq=False)
class _Residuals:
    """Positions of matched stars minus those of the catalogue."""

    x: npt.NDArray[np.float64]
    """``(n,)`` columns, pixels."""
    y: npt.NDArray[np.float64]
    """``(n,)`` rows, pixels."""
    along_x: npt.NDArray[np.float64]
    """``(n,)`` residuals along x, mas."""
    along_y: npt.NDArray[np.float64]
    """``(n,)`` residuals along y, mas."""
    is_used: npt.NDArray[np.bool_]
    """``(n,)`` which stars the fit used."""

    def thin(self, shape: tuple[int, int]) -> _Residuals:
        """Put medians in cells in the place of the used stars, of a detector
        of shape ``(ny, nx)``.
        """
        rows = []
        col = np.clip(self.x * _CELLS // shape[1], 0, _CELLS - 1)
        cell = np.clip(self.y * _CELLS // shape[0], 0, _CELLS - 1) * _CELLS + col
        values = np.stack([self.x, self.y, self.along_x, self.along_y])
        for index in range(_CELLS * _CELLS):
            members = self.is_used & (cell == index)
            if np.count_nonzero(members) >= _LEAST_IN_CELL:
                rows.append(np.median(values[:, members], axis=1))
        others = values[:, ~self.is_used]
        joined = np.concatenate([np.array(rows).reshape(-1, 4).T, others], axis=1)
        x, y, along_x, along_y = joined
        return _Residuals(x, y, along_x, along_y, np.arange(x.size) < len(rows))


def plot_detector_astrometry(data: DetectorPlotData) -> Figure:
    """Show how far the stars are from their catalogue positions.

    Parameters
    ----------
    data
        Sources and metrics of the detector; its image is not used.

    Returns
    -------
    figure
        A map of arrows from the catalogue's to the measured positions, with
        an arrow of known length; the residuals along right ascension and
        declination, or along x and y if the orientation is not known, with
        their root mean square. Without references or without a fit, the
        reason.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    residuals = _select(data)
    vectors = detector_axes(figure, data.shape, left=70, bottom=_MAP_BOTTOM, side=_SIDE)
    points = figure.add_axes(
        (566 / _WIDTH, _MAP_BOTTOM / _HEIGHT, _SIDE / _WIDTH, _SIDE / _HEIGHT), axes_class=FramedAxes
    )
    frame_axes(vectors, xlabel="x (pixel)", ylabel="y (pixel)")
    if residuals.x.size:
        _draw_vectors(vectors, residuals, shape=data.shape)
        _draw_points(points, data, residuals)
    else:
        frame_axes(points, xlabel="ΔRA cos Dec (mas)", ylabel="ΔDec (mas)")
        for axes in (vectors, points):
            say_no_data(axes, _reason(data))
    add_title(figure, data.title, subject="astrometry: measured - catalogue", left=0.07)
    add_facts(figure, _facts(data), left=0.07, bottom=24 / _HEIGHT)
    return figure


def _select(data: DetectorPlotData) -> _Residuals:
    """Take the matched stars from the table of sources."""
    along_x, along_y = (1000.0 * column(data.stars, f"ref_residual_{axis}_arcsec") for axis in ("x", "y"))
    known = np.isfinite(along_x) & np.isfinite(along_y)
    return _Residuals(
        x=column(data.stars, "x")[known],
        y=column(data.stars, "y")[known],
        along_x=along_x[known],
        along_y=along_y[known],
        is_used=flag(data.stars, "is_astrometry_used")[known],
    )


def _reason(data: DetectorPlotData) -> str:
    """Tell why there are no residuals."""
    status = data.status("astrometry")
    if status:
        return f"no astrometric fit:\n{status}"
    if data.metric("n_references") == 0 or "ref_residual_x_arcsec" not in data.stars.colnames:
        return "no reference stars"
    return "no stars matched"


def _facts(data: DetectorPlotData) -> list[tuple[str, str]]:
    """Return the headline metrics."""
    return [
        ("references", format_value(data.metric("n_references"), ",.0f")),
        ("stars used", format_value(data.metric("n_astrometry_stars"), ",.0f")),
        ("mean distance (mas)", format_value(1000.0 * data.metric("astrometry_offset_mean_arcsec"), ".1f")),
        ("its scatter (mas)", format_value(1000.0 * data.metric("astrometry_offset_std_arcsec"), ".1f")),
        ("fit - header: RA", format_value(data.metric("pointing_offset_ra_arcsec"), "+z.1f", "″")),
        ("Dec", format_value(data.metric("pointing_offset_dec_arcsec"), "+z.1f", "″")),
        ("rotation", format_value(data.metric("pointing_rotation_degree"), "+z.3f", "°")),
    ]


def _round_length(value: float) -> float:
    """Return the round number (1, 2, 5 times a power of 10) next to a positive one."""
    power = 10.0 ** math.floor(math.log10(value))
    return min((digit * power for digit in (1.0, 2.0, 5.0, 10.0)), key=lambda number: abs(number - value))


def _draw_vectors(axes: Axes, residuals: _Residuals, *, shape: tuple[int, int]) -> None:
    """Draw the residuals as arrows where the stars are, or medians where they
    are many.
    """
    n_used = int(np.count_nonzero(residuals.is_used))
    n_others = residuals.x.size - n_used
    words = f"used: {n_used:,d}"
    if n_used > _MAX_ARROWS:
        residuals = residuals.thin(shape)
        words += " (medians of cells)"
    side = max(axes.get_xlim()[1], axes.get_ylim()[1])
    length = np.hypot(residuals.along_x, residuals.along_y)
    chosen = residuals.is_used if residuals.is_used.any() else np.ones(length.size, dtype=bool)
    typical = max(float(np.median(length[chosen])), 0.1)
    key = _round_length(2.0 * typical)
    scale = _TYPICAL_LENGTH * side / typical
    shrink = np.minimum(1.0, _LONGEST * side / np.maximum(scale * length, 1e-9))
    for members, color in ((~residuals.is_used, COLORS["vermilion"]), (residuals.is_used, COLORS["blue"])):
        _draw_arrows(axes, residuals, members, scale * shrink, color=color)
    right, top = axes.get_xlim()[1], 1.03
    axes.annotate(
        "",
        xy=(scale * key, top),
        xytext=(0.0, top),
        xycoords=axes.get_xaxis_transform(),
        arrowprops={
            "arrowstyle": "-|>",
            "color": COLORS["ink"],
            "linewidth": 1.4,
            "shrinkA": 0,
            "shrinkB": 0,
        },
        annotation_clip=False,
    )
    axes.text(
        scale * key + 0.015 * right,
        top,
        f"{key:g} mas",
        transform=axes.get_xaxis_transform(),
        fontsize=9,
        va="center",
    )
    for x, text, color in (
        (0.72, words, COLORS["blue"]),
        (1.0, f"not used: {n_others:,d}", COLORS["vermilion"]),
    ):
        axes.text(x, top, text, transform=axes.transAxes, fontsize=9, va="center", ha="right", color=color)


def _draw_arrows(
    axes: Axes,
    residuals: _Residuals,
    members: npt.NDArray[np.bool_],
    scale: npt.NDArray[np.float64],
    *,
    color: str,
) -> None:
    """Draw arrows of ``scale`` pixels for each mas."""
    if members.any():
        axes.quiver(
            residuals.x[members],
            residuals.y[members],
            (scale * residuals.along_x)[members],
            (scale * residuals.along_y)[members],
            angles="xy",
            scale_units="xy",
            scale=1.0,
            width=0.0035,
            headwidth=4.0,
            headlength=4.5,
            headaxislength=4.0,
            color=color,
        )


def _draw_points(axes: Axes, data: DetectorPlotData, residuals: _Residuals) -> None:
    """Draw the residuals along two directions, and their root mean square."""
    first, second, names = residuals.along_x, residuals.along_y, ("Δx", "Δy")
    gradient = data.sky_gradient
    if gradient is not None and abs(np.linalg.det(gradient)) > 0.0:
        directions = gradient / np.sqrt(abs(np.linalg.det(gradient)))
        first, second = directions @ np.stack([residuals.along_x, residuals.along_y])
        names = ("ΔRA cos Dec", "ΔDec")
    used = residuals.is_used if residuals.is_used.any() else np.ones(first.size, dtype=bool)
    spread = summarize(np.concatenate([first[used], second[used]])).scatter
    half = max(_RANGE * spread if math.isfinite(spread) else 0.0, _LEAST_RANGE)
    half = float(np.ceil(half / 5.0) * 5.0)
    frame_axes(axes, xlabel=f"{names[0]} (mas)", ylabel=f"{names[1]} (mas)")
    axes.axhline(0.0, color=COLORS["light"], linewidth=0.8, zorder=0.5)
    axes.axvline(0.0, color=COLORS["light"], linewidth=0.8, zorder=0.5)
    for members, color, marker in (
        (~residuals.is_used, COLORS["vermilion"], "x"),
        (residuals.is_used, COLORS["blue"], "o"),
    ):
        axes.plot(
            np.clip(first[members], -half, half),
            np.clip(second[members], -half, half),
            linestyle="none",
            marker=marker,
            markersize=4.5,
            markeredgewidth=1.0 if marker == "x" else 0.0,
            color=color,
            alpha=0.7,
        )
    axes.set_xlim(-1.04 * half, 1.04 * half)
    axes.set_ylim(-1.04 * half, 1.04 * half)
    rms = [math.sqrt(float(np.mean(values[used] ** 2))) for values in (first, second)]
    axes.set_title(f"rms {rms[0]:.1f} and {rms[1]:.1f} mas", fontsize=10, loc="left", pad=4)
    n_beyond = np.count_nonzero(np.maximum(np.abs(first), np.abs(second)) > half)
    if n_beyond:
        axes.set_title(f"{n_beyond:,d} beyond, at the edge", fontsize=8, loc="right", pad=4)
