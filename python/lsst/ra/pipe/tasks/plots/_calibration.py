# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pictures of bias, dark and flat exposures."""

from __future__ import annotations

__all__ = ("CALIBRATION_LEAST_ABOVE", "calibration_facts", "plot_amplifiers", "plot_calibration_image")

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from lsst.images.cameras import Detector

from ...algorithms.amplifiers import AMPLIFIER_METRICS, CalibrationKind
from ...algorithms.focal_plane import summarize
from ...camera import Camera
from ._detector_data import DetectorPlotData, column
from ._detector_image import draw_detector_image
from ._focal_plane import FocalPlaneView
from ._focal_plane_metrics import cross_out, find_limits
from ._stretch import find_stretch
from ._style import COLORS, VALUE_COLORS, PlotTitle, add_colorbar, add_title, format_value, make_figure

_WIDTH, _HEIGHT = 1000, 1030
_PANEL = 405

CALIBRATION_LEAST_ABOVE = 6.0
"""Least upper end of the grey scale of images without stars, in standard
deviations above the median."""


@dataclasses.dataclass(frozen=True)
class _Quantity:
    """A metric of the amplifiers that observers read first."""

    name: str
    label: str
    spec: str
    scatter_spec: str
    scale: float = 1.0

    @property
    def is_count(self) -> bool:
        return AMPLIFIER_METRICS[self.name].type is int

    @property
    def summary_name(self) -> str:
        """Name of the detector's and the exposure's value: a sum or a median."""
        return self.name if self.is_count else f"{self.name}_median"


_NOISE = _Quantity("read_noise_electron", "read noise (electron)", ".2f", ".3f")
_DRIFT = _Quantity("overscan_drift_adu", "overscan drift (adu)", ".1f", ".2f")

_PANELS: Mapping[CalibrationKind, tuple[_Quantity, ...]] = {
    CalibrationKind.BIAS: (
        _Quantity("bias_level_adu", "bias level (adu)", ",.0f", ",.0f"),
        _Quantity("read_noise_ratio", "read noise / PTC's", ".3f", ".4f"),
        _DRIFT,
        _Quantity("structure_electron", "residual structure (electron)", ".2f", ".3f"),
    ),
    CalibrationKind.DARK: (
        _Quantity("dark_current_electron_per_second", "dark current (electron/s)", ".4f", ".4f"),
        _Quantity("read_noise_ratio", "read noise / PTC's", ".3f", ".4f"),
        _Quantity("n_hot_pixels", "new hot pixels", ",.0f", ",.1f"),
        _Quantity("structure_electron", "structure (electron)", ".2f", ".3f"),
    ),
    CalibrationKind.FLAT: (
        _Quantity("flat_level_electron", "level (electron)", ",.0f", ",.0f"),
        _Quantity("flat_residual_nonuniformity", "residual after flat (%)", ".3f", ".4f", scale=100.0),
        _Quantity("gain_ratio", "gain / PTC's", ".3f", ".4f"),
        _Quantity("n_low_pixels", "new low pixels", ",.0f", ",.1f"),
    ),
}
"""What the focal plane is coloured by."""

_FACTS: Mapping[CalibrationKind, tuple[_Quantity, ...]] = {
    CalibrationKind.BIAS: (_PANELS[CalibrationKind.BIAS][0], _NOISE, *_PANELS[CalibrationKind.BIAS][1:]),
    CalibrationKind.DARK: (
        *_PANELS[CalibrationKind.DARK][:1],
        _NOISE,
        *_PANELS[CalibrationKind.DARK][1:3],
        _Quantity("n_cosmic_ray_pixels", "cosmic-ray pixels", ",.0f", ",.0f"),
    ),
    CalibrationKind.FLAT: (
        *_PANELS[CalibrationKind.FLAT],
        _Quantity("n_saturated_pixels", "saturated pixels", ",.0f", ",.0f"),
    ),
}
"""What stands below an image."""


def calibration_facts(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Choose the headline metrics of a calibration exposure.

    Parameters
    ----------
    metrics
        ``rapid_calibration_metrics`` of a detector or
        ``rapid_calibration_summary`` of an exposure.

    Returns
    -------
    facts
        Names and values: medians over the amplifiers, and total counts.
    """
    facts = []
    for quantity in _FACTS[CalibrationKind(metrics["calibration_kind"])]:
        value = metrics.get(quantity.summary_name)
        known = None if quantity.is_count and value == -1 else value
        scaled = known * quantity.scale if isinstance(known, float) else known
        facts.append((quantity.label, format_value(scaled, quantity.spec)))
    return facts


def plot_calibration_image(data: DetectorPlotData) -> Figure:
    """Show the image of a detector in a calibration exposure.

    Parameters
    ----------
    data
        Image of the detector and its ``rapid_calibration_metrics``; there
        are no sources.

    Returns
    -------
    figure
        The image with the amplifiers' names and borders, and the headline
        metrics.
    """
    stretch = find_stretch(data.image, least_above=CALIBRATION_LEAST_ABOVE)
    return draw_detector_image(data, stretch=stretch, facts=calibration_facts(data.metrics))[0]


def plot_amplifiers(amplifiers: Table, *, kind: CalibrationKind, camera: Camera, title: PlotTitle) -> Figure:
    """Show metrics of all amplifiers over the focal plane.

    Parameters
    ----------
    amplifiers
        One row an amplifier: ``rapid_calibration_amplifiers``.
    kind
        Kind of exposure, which says what is shown.
    camera
        Camera with the positions of the detectors.
    title
        Name of the observation.

    Returns
    -------
    figure
        Four maps of coloured amplifiers. Detectors that are missing are
        hatched; amplifiers without a value are white with a cross. The ends
        of the colour scales leave out what is further than 5 robust standard
        deviations from the median.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    ids = np.asarray(amplifiers["detector"])
    view = FocalPlaneView.make(camera, present={int(detector) for detector in ids})
    outlines = _amplifier_outlines(amplifiers, camera=camera, view=view)
    for index, quantity in enumerate(_PANELS[kind]):
        left = 25 + (index % 2) * 500
        bottom = 40 + (1 - index // 2) * 472
        axes = figure.add_axes((left / _WIDTH, bottom / _HEIGHT, _PANEL / _WIDTH, _PANEL / _HEIGHT))
        axes.set_axis_off()
        view.draw_missing(axes)
        _draw_detectors(axes, view)
        view.draw_rafts(axes, names=False)
        view.set_window(axes)
        _draw_panel(figure, axes, outlines, quantity.scale * column(amplifiers, quantity.name), quantity)
    if view.is_zoomed:
        view.draw_inset(figure, (1 - 210 / _WIDTH, 1 - 72 / _HEIGHT, 68 / _WIDTH, 68 / _HEIGHT))
    add_title(figure, title, subject=f"amplifiers, {kind.value}", left=0.025)
    return figure


def _amplifier_outlines(
    amplifiers: Table, *, camera: Camera, view: FocalPlaneView
) -> npt.NDArray[np.float64]:
    """Return the corners of each row's amplifier, ``(n, 4, 2)`` in mm."""
    places: dict[tuple[int, str], npt.NDArray[np.float64]] = {}
    for detector in sorted(view.present):
        places |= _outlines_in(camera[detector], view.outlines[detector])
    keys = zip(amplifiers["detector"], amplifiers["amplifier"], strict=True)
    return np.array([places[int(detector), str(name)] for detector, name in keys])


def _outlines_in(
    detector: Detector, corners: npt.NDArray[np.float64]
) -> dict[tuple[int, str], npt.NDArray[np.float64]]:
    """Place the amplifiers of a detector between its corners."""
    ny, nx = detector.bbox.shape
    along_x, along_y = (corners[1] - corners[0]) / nx, (corners[3] - corners[0]) / ny
    outlines = {}
    for amplifier in detector.amplifiers:
        x, y = amplifier.bbox.x, amplifier.bbox.y
        box = [(x.start, y.start), (x.stop, y.start), (x.stop, y.stop), (x.start, y.stop)]
        steps = [
            (i - detector.bbox.x.start) * along_x + (j - detector.bbox.y.start) * along_y for i, j in box
        ]
        outlines[detector.id, amplifier.name] = corners[0] + np.array(steps)
    return outlines


def _draw_detectors(axes: Axes, view: FocalPlaneView) -> None:
    """Draw the outlines of the detectors with data."""
    axes.add_collection(
        PolyCollection(
            [view.outlines[detector] for detector in view.outlines if detector in view.present],
            facecolors="none",
            edgecolors=COLORS["grey"],
            linewidths=0.4,
            zorder=2.5,
        ),
        autolim=False,
    )


def _draw_panel(
    figure: Figure,
    axes: Axes,
    outlines: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    quantity: _Quantity,
) -> None:
    """Colour the amplifiers by a metric, with a colour scale and a headline."""
    if quantity.is_count:
        values = np.where(values < 0.0, np.nan, values)
    known = np.isfinite(values)
    low, high = find_limits(values)
    shown = PolyCollection(
        list(outlines[known]),
        array=values[known],
        cmap=VALUE_COLORS,
        clim=(0.0, max(1.0, high)) if quantity.is_count else (low, high),
        edgecolors="face",
        linewidths=0.2,
        zorder=2.0,
    )
    axes.add_collection(shown, autolim=False)
    cross_out(axes, list(outlines[~known]))
    box = axes.get_position()
    add_colorbar(figure, shown, (box.x1 + 8 / _WIDTH, box.y0, 12 / _WIDTH, box.height), label="")
    statistics = summarize(values)
    if quantity.is_count:
        total = float(np.sum(values[known])) if known.any() else np.nan
        text = f"{quantity.label}: {format_value(total, quantity.spec)} in all"
    else:
        median = format_value(statistics.median, quantity.spec)
        text = (
            f"{quantity.label}: median {median}, scatter"
            f" {format_value(statistics.scatter, quantity.scatter_spec)}"
        )
    if statistics.count < values.size:
        text += f"; {values.size - statistics.count} unknown"
    axes.set_title(text, fontsize=10, loc="left", pad=5)
