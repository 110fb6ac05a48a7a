# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the plots share: size, colours, titles, numbers in words."""

from __future__ import annotations

__all__ = (
    "COLORS",
    "VALUE_COLORS",
    "PlotFigure",
    "PlotTitle",
    "add_colorbar",
    "add_compass",
    "add_facts",
    "add_title",
    "detector_axes",
    "format_value",
    "frame_axes",
    "make_figure",
    "make_title",
    "round_ticks",
    "say_no_data",
    "style_axes",
)

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import IdentityTransform

from ._frame import AxesFrame, ColorScale, FramedAxes
from ._render import CachingRenderer, encode_png

_DPI = 100
_MAX_TICKS = 5
_COMPASS = 68
_LETTER = 9.5
"""Width of a letter of a fact's value in pixels."""

COLORS: Mapping[str, str] = MappingProxyType(
    {
        "blue": "#0072B2",
        "sky": "#56B4E9",
        "orange": "#E69F00",
        "vermilion": "#D55E00",
        "green": "#009E73",
        "grey": "#8A8A8A",
        "light": "#D9D9D9",
        "ink": "#222222",
    }
)
"""Colours that the colour-blind can tell apart (Okabe and Ito 2008, "Color
Universal Design"), and greys."""

VALUE_COLORS = ListedColormap(colormaps["viridis"].colors[230::-1], name="ra_pipe_values")  # type: ignore[attr-defined]
"""Colours of values from small to large: viridis, dark for large, without its
pale end, which would be hard to see on white."""


class PlotFigure(Figure):
    """Figure that is drawn and written as PNG in a third of the time."""

    def savefig(self, fname: Any, *, transparent: bool | None = None, **kwargs: Any) -> None:
        """Write the figure into a file.

        Parameters
        ----------
        fname
            Path or binary file object.
        transparent
            Whether the background is transparent.
        **kwargs
            More arguments of `matplotlib.figure.Figure.savefig`.
        """
        is_path = isinstance(fname, str | os.PathLike)
        suffix = os.path.splitext(os.fspath(fname))[1] if is_path else ".png"
        is_png = (kwargs.get("format") or suffix[1:]) == "png"
        others = [name for name, value in kwargs.items() if value and name != "format"]
        if not is_png or not suffix or transparent or others:
            super().savefig(fname, transparent=transparent, **kwargs)
        elif is_path:
            with open(fname, "wb") as stream:
                stream.write(self.to_png())
        else:
            fname.write(self.to_png())

    def to_png(self) -> bytes:
        """Draw the figure.

        Returns
        -------
        data
            The content of a PNG file.
        """
        width, height = self.canvas.get_width_height()
        renderer = CachingRenderer(width, height, self.dpi)
        self.draw(renderer)
        return encode_png(np.asarray(renderer.buffer_rgba()), dpi=self.dpi)


@dataclasses.dataclass(frozen=True)
class PlotTitle:
    """Two lines at the head of a plot."""

    main: str
    """What was observed, for example the observation's name."""

    details: str = ""
    """How it was observed: filter, exposure time, target."""


def make_title(metrics: Mapping[str, Any], *, detector: str = "") -> PlotTitle:
    """Name an observation by what its metrics say about it.

    Parameters
    ----------
    metrics
        ``rapid_detector_metrics`` of one detector, or a row of
        ``rapid_exposure_detectors``.
    detector
        Name of the detector, if the plot is of one.

    Returns
    -------
    title
        Instrument, day and sequence number; filter, exposure time, target,
        airmass and reason as far as they are known.
    """
    main = f"{metrics.get('instrument', '')} {metrics.get('day_obs', '')} seq {metrics.get('seq_num', '')}"
    details = [
        str(metrics.get("physical_filter", "")),
        format_value(metrics.get("exposure_time_second"), "g", " s"),
        str(metrics.get("target", "")),
        "airmass " + format_value(metrics.get("airmass"), ".2f"),
        str(metrics.get("observation_reason", "")),
    ]
    known = [detail for detail in details if detail and not detail.endswith("-")]
    return PlotTitle(f"{main}   {detector}".strip(), " · ".join(known))


def make_figure(*, width: int, height: int) -> PlotFigure:
    """Make an empty figure without pyplot's global state.

    Parameters
    ----------
    width, height
        Size in pixels.

    Returns
    -------
    figure
        The figure. Place its axes by hand: matplotlib's layout engines draw
        everything twice.
    """
    return PlotFigure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")


def add_title(figure: Figure, title: PlotTitle, *, subject: str, left: float) -> None:
    """Write the title.

    Parameters
    ----------
    figure
        Figure to write into.
    title
        The title.
    subject
        What the plot shows; stands at the right of the first line.
    left
        Left end of the lines as a fraction of the width.
    """
    height = figure.get_figheight() * _DPI
    first, second = 1.0 - 24.0 / height, 1.0 - 45.0 / height
    figure.text(left, first, title.main, fontsize=13, fontweight="bold", color=COLORS["ink"], va="center")
    figure.text(0.985, first, subject, fontsize=11, color=COLORS["ink"], va="center", ha="right")
    if title.details:
        figure.text(left, second, title.details, fontsize=10, color=COLORS["ink"], va="center")


def add_facts(figure: Figure, facts: Sequence[tuple[str, str]], *, left: float, bottom: float) -> None:
    """Write a row of names and values.

    Parameters
    ----------
    figure
        Figure to write into.
    facts
        Pairs of name and value, from left to right.
    left
        Left end of the row as a fraction of the width.
    bottom
        Lower end of the row as a fraction of the height.
    """
    rise = 18.0 / (figure.get_figheight() * _DPI)
    # Names are in smaller letters than values.
    widths = np.array([max(0.73 * len(name), len(value)) for name, value in facts])
    free = (0.985 - left) * figure.get_figwidth() * _DPI - _LETTER * widths.sum()
    starts = np.cumsum(_LETTER * widths + free / max(len(facts), 1)) - (
        _LETTER * widths + free / max(len(facts), 1)
    )
    for start, (name, value) in zip(starts, facts, strict=True):
        x = left + float(start) / (figure.get_figwidth() * _DPI)
        figure.text(x, bottom + rise, name, fontsize=8, color="#555555")
        figure.text(x, bottom, value, fontsize=11, fontweight="bold", color=COLORS["ink"])


def add_compass(
    figure: Figure, *, north: npt.NDArray[np.float64], east: npt.NDArray[np.float64], right: int
) -> None:
    """Draw the directions of north and east in the head of a figure.

    Parameters
    ----------
    figure
        Figure to draw into.
    north, east
        ``(2,)`` directions (x, y) in the plot, of any length.
    right
        Distance from the right edge of the figure in pixels.
    """
    width, height = (float(size) * _DPI for size in figure.get_size_inches())
    centre = np.array([width - right - 0.5 * _COMPASS, height - 3.0 - 0.5 * _COMPASS])
    lines = []
    for direction, name in ((north, "N"), (east, "E")):
        unit = direction / np.hypot(*direction)
        across = np.array([-unit[1], unit[0]])
        tip = centre + 0.33 * _COMPASS * unit
        lines.append([centre, tip])
        lines += [[tip, tip - 6.0 * unit + side * 3.5 * across] for side in (-1.0, 1.0)]
        x, y = (centre + 0.43 * _COMPASS * unit) / (width, height)
        figure.text(x, y, name, fontsize=9, fontweight="bold", color=COLORS["ink"], ha="center", va="center")
    figure.add_artist(
        LineCollection(lines, colors=COLORS["ink"], linewidths=1.4, transform=IdentityTransform())
    )


def add_colorbar(
    figure: Figure,
    mappable: ScalarMappable,
    box: tuple[float, float, float, float],
    *,
    label: str,
    ticks: Sequence[float] | None = None,
) -> None:
    """Draw an upright colour scale.

    Parameters
    ----------
    figure
        Figure to draw into.
    mappable
        What the colours belong to.
    box
        Left, bottom, width and height as fractions of the figure.
    label
        Quantity and unit.
    ticks
        Values to mark; round ones if not given.
    """
    figure.add_artist(ColorScale(mappable, box, label=label, ticks=round_ticks() if ticks is None else ticks))


def style_axes(axes: Axes, *, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Give axes their labels and the common look.

    Parameters
    ----------
    axes
        Axes to change.
    xlabel, ylabel
        Quantity and unit.
    title
        Line above the axes.
    """
    axes.set_xlabel(xlabel, fontsize=9, labelpad=2)
    axes.set_ylabel(ylabel, fontsize=9, labelpad=2)
    if title:
        axes.set_title(title, fontsize=10, loc="left", pad=4)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(round_ticks())
    axes.tick_params(labelsize=8, length=3)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)


def frame_axes(axes: Axes, *, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Give axes their labels and the common look, in a third of the time that
    `style_axes` costs.

    Parameters
    ----------
    axes
        Axes with linear scales. Their own frame, ticks and grid are no longer
        drawn, but their locators count.
    xlabel, ylabel
        Quantity and unit.
    title
        Line above the axes.
    """
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    # A given y saves matplotlib from making ticks to see if they are in the title's way.
    axes.set_title(title, fontsize=10, loc="left", pad=4, y=1.0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(round_ticks())
        axis.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.add_artist(AxesFrame())


def detector_axes(figure: Figure, shape: tuple[int, int], *, left: int, bottom: int, side: int) -> Axes:
    """Add axes in pixels of a detector, at one scale along both.

    Parameters
    ----------
    figure
        Figure to add to.
    shape
        Shape ``(ny, nx)`` of the detector in pixels.
    left, bottom
        Distances from the edges of the figure in pixels, of the square that
        holds the axes.
    side
        Side of that square in pixels.

    Returns
    -------
    axes
        The axes, centred in the square from top to bottom, for
        `frame_axes`.
    """
    ny, nx = shape
    width, height = (float(size) * _DPI for size in figure.get_size_inches())
    wide, high = (side * size / max(nx, ny) for size in (nx, ny))
    low = bottom + 0.5 * (side - high)
    box = (left / width, low / height, wide / width, high / height)
    axes = figure.add_axes(box, axes_class=FramedAxes)
    axes.set_xlim(-0.5, nx - 0.5)
    axes.set_ylim(-0.5, ny - 0.5)
    return axes


def round_ticks(*, whole: bool = False, most: int = _MAX_TICKS) -> MaxNLocator:
    """Return the rule for the few round values at which axes have ticks.

    Parameters
    ----------
    whole
        Whether the axis counts things.
    most
        Largest number of steps between ticks.

    Returns
    -------
    locator
        The rule.
    """
    return MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole)


def say_no_data(axes: Axes, text: str) -> None:
    """Write across axes why they are empty, and take their ticks away.

    Parameters
    ----------
    axes
        Axes to write into.
    text
        The reason.
    """
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(NullLocator())
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=11, color=COLORS["grey"]
    )


def format_value(value: object, spec: str = "g", unit: str = "") -> str:
    """Write a number for people.

    Parameters
    ----------
    value
        Number; anything else, NaN included, is written as a dash.
    spec
        Format specification.
    unit
        Text that follows the number, with its space if it needs one.

    Returns
    -------
    text
        The number with its unit, or a dash.
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return f"{value:{spec}}{unit}"
