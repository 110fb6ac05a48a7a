# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Level and noise of the amplifiers of a detector."""

from __future__ import annotations

__all__ = ("AmplifierStatistics", "measure_amplifiers", "plot_detector_amplifiers")

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from lsst.images.cameras import Detector

from ...algorithms.focal_plane import summarize
from ._detector_data import DetectorPlotData
from ._style import COLORS, VALUE_COLORS, add_title, detector_axes, format_value, frame_axes, make_figure

_WIDTH, _HEIGHT = 1000, 610
_SIDE = 425
_MAP_BOTTOM = 90
_MAD_TO_SIGMA = 1.4826
_NOISE_CLIP = 2.5
_CLIPPED_DEVIATION = 0.9546
"""Standard deviation of a normal distribution cut at 2.5 of its own."""
_ITERATIONS = 4
_LEAST_PIXELS = 100
_LEAST_FRACTION = 0.05
_CLIP = 5.0
_LEAST_LEVEL_STEP = 0.03
_LEAST_NOISE_STEP = 0.25
_DARK = 0.45


@dataclasses.dataclass(frozen=True)
class AmplifierStatistics:
    """What the binned image says about one amplifier."""

    name: str
    """Name of the amplifier."""

    box: tuple[float, float, float, float]
    """Left, right, lower and upper edge in pixels of the detector."""

    good_fraction: float
    """Fraction of its binned pixels that have data."""

    level: float
    """Median, in electron per pixel; NaN if there are too few data."""

    noise: float
    """Standard deviation of a pixel, in electron, as far as it is independent
    of its neighbours: from the differences of adjacent binned pixels, which
    neither stars nor gradients of the sky change much. NaN if there are too
    few data."""


def measure_amplifiers(
    image: npt.NDArray[np.floating], *, binning: int, detector: Detector
) -> list[AmplifierStatistics]:
    """Find level and noise of each amplifier.

    Parameters
    ----------
    image
        ``(ny, nx)`` binned pixels, in electron per pixel of the detector; NaN
        where there are no data.
    binning
        Side of a binned pixel in pixels of the detector.
    detector
        Geometry of the detector.

    Returns
    -------
    amplifiers
        Statistics in the detector's order of amplifiers.
    """
    results = []
    for amplifier in detector.amplifiers:
        x, y = amplifier.bbox.x, amplifier.bbox.y
        # Only binned pixels that are in this amplifier throughout.
        part = image[-(-y.start // binning) : y.stop // binning, -(-x.start // binning) : x.stop // binning]
        good = np.isfinite(part)
        fraction = float(good.mean()) if part.size else 0.0
        level = noise = math.nan
        if np.count_nonzero(good) >= max(_LEAST_PIXELS, _LEAST_FRACTION * part.size):
            level = float(np.median(part[good]))
            step = (part[:, 1::2] - part[:, : part.shape[1] // 2 * 2 : 2]).ravel()
            step = step[np.isfinite(step)]
            noise = binning * _clipped_deviation(step) / math.sqrt(2.0)
        box = (x.start - 0.5, x.stop - 0.5, y.start - 0.5, y.stop - 0.5)
        results.append(AmplifierStatistics(amplifier.name, box, fraction, level, noise))
    return results


def _clipped_deviation(steps: npt.NDArray[np.floating]) -> float:
    """Return the standard deviation of the core of values about zero; NaN
    without values.
    """
    if steps.size == 0:
        return math.nan
    deviation = _MAD_TO_SIGMA * float(np.median(np.abs(steps)))
    for _ in range(_ITERATIONS):
        inside = steps[np.abs(steps) <= _NOISE_CLIP * deviation]
        deviation = float(np.sqrt(np.mean(inside.astype(np.float64) ** 2))) / _CLIPPED_DEVIATION
    return deviation


def plot_detector_amplifiers(data: DetectorPlotData) -> Figure:
    """Show level and noise of the amplifiers where they are on the detector.

    Parameters
    ----------
    data
        Image and metrics of the detector; its sources are not used.

    Returns
    -------
    figure
        Two maps of coloured amplifiers with their values: the median, and the
        noise of a pixel. Amplifiers without data are crossed out, those that
        differ from the others have a thick border, and a line below names
        both.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    amplifiers = measure_amplifiers(data.image, binning=data.binning, detector=data.detector)
    remarks: dict[str, str] = {
        amplifier.name: "no data" for amplifier in amplifiers if not math.isfinite(amplifier.level)
    }
    for left, name, label, least in (
        (70, "level", "median (electron)", _LEAST_LEVEL_STEP),
        (560, "noise", "noise of a pixel (electron)", _LEAST_NOISE_STEP),
    ):
        axes = detector_axes(figure, data.shape, left=left, bottom=_MAP_BOTTOM, side=_SIDE)
        values = np.array([getattr(amplifier, name) for amplifier in amplifiers])
        odd = _find_odd(values, least=least)
        _draw_map(axes, amplifiers, values, odd)
        statistics = summarize(values)
        spread = 100.0 * statistics.scatter / statistics.median if statistics.median else math.nan
        frame_axes(
            axes,
            xlabel="x (pixel)",
            ylabel="y (pixel)" if name == "level" else "",
            title=f"{label}: {format_value(statistics.median, ',.1f')}, scatter"
            f" {format_value(spread, '.1f', ' %')}",
        )
        for index in np.flatnonzero(odd):
            ratio = 100.0 * (values[index] / statistics.median - 1.0)
            remark = f"{name} {ratio:+.0f} %"
            known = remarks.get(amplifiers[index].name)
            remarks[amplifiers[index].name] = f"{known}, {remark}" if known else remark
    add_title(figure, data.title, subject="amplifiers", left=0.07)
    _write_remarks(figure, remarks, n_amplifiers=len(amplifiers))
    return figure


def _find_odd(values: npt.NDArray[np.float64], *, least: float) -> npt.NDArray[np.bool_]:
    """Return which values are off by 5 robust standard deviations and by at
    least a fraction ``least`` of the median.
    """
    statistics = summarize(values)
    if statistics.count < 3 or statistics.median == 0.0:
        return np.zeros(values.size, dtype=bool)
    distance = np.abs(np.where(np.isfinite(values), values - statistics.median, 0.0))
    return np.asarray(distance > max(_CLIP * statistics.scatter, least * abs(statistics.median)))


def _draw_map(
    axes: Axes,
    amplifiers: Sequence[AmplifierStatistics],
    values: npt.NDArray[np.float64],
    odd: npt.NDArray[np.bool_],
) -> None:
    """Colour the amplifiers by a value and write it on them."""
    outlines = np.array([_corners(amplifier.box) for amplifier in amplifiers])
    known = np.isfinite(values)
    low, high = _color_range(values[known & ~odd] if (known & ~odd).any() else values[known])
    shown = PolyCollection(
        list(outlines[known]),
        array=values[known],
        cmap=VALUE_COLORS,
        clim=(low, high),
        edgecolors="white",
        linewidths=1.0,
    )
    axes.add_collection(shown, autolim=False)
    crosses = [outline[pair] for outline in outlines[~known] for pair in ([0, 2], [1, 3])]
    axes.add_collection(LineCollection(crosses, colors=COLORS["vermilion"], linewidths=1.0), autolim=False)
    axes.add_collection(
        PolyCollection(
            list(outlines[odd]), facecolors="none", edgecolors=COLORS["vermilion"], linewidths=3.0
        ),
        autolim=False,
    )
    for amplifier, value in zip(amplifiers, values, strict=True):
        is_dark = np.isfinite(value) and (value - low) / (high - low) > _DARK
        left, right, bottom, top = amplifier.box
        axes.text(
            0.5 * (left + right),
            0.5 * (bottom + top),
            f"{amplifier.name}\n{_format(value) if np.isfinite(value) else 'no data'}",
            fontsize=9,
            ha="center",
            va="center",
            color="white" if is_dark else COLORS["ink"],
            bbox=None if np.isfinite(value) else {"facecolor": "white", "edgecolor": "none", "pad": 3.0},
        )


def _corners(box: tuple[float, float, float, float]) -> npt.NDArray[np.float64]:
    """Return the corners of a box, anticlockwise from the lower left."""
    left, right, bottom, top = box
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]])


def _format(value: float) -> str:
    """Write a value in few characters."""
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.1f}"


def _color_range(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of the values, at least 10 per cent wide: equal values
    should look equal.
    """
    if values.size == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    middle, least = 0.5 * (low + high), 0.1 * abs(float(np.median(values)))
    half = 0.5 * max(high - low, least, 1e-6)
    return middle - half, middle + half


def _write_remarks(figure: Figure, remarks: dict[str, str], *, n_amplifiers: int) -> None:
    """Name the amplifiers that need a look."""
    if remarks:
        shown = "; ".join(f"{name} {remark}" for name, remark in list(remarks.items())[:6])
        more = f"; and {len(remarks) - 6} more" if len(remarks) > 6 else ""
        text, color = f"{len(remarks)} of {n_amplifiers} differ: {shown}{more}", COLORS["vermilion"]
    else:
        text, color = f"all {n_amplifiers} amplifiers are alike", COLORS["ink"]
    figure.text(0.07, 20.0 / _HEIGHT, text, fontsize=10, color=color, va="center")
