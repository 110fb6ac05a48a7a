# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Frames with ticks and colour scales, drawn at once.

The ticks of matplotlib's axes are some thirty objects each, and cost more
time than anything else in a plot; these look the same.
"""

from __future__ import annotations

__all__ = ("AxesFrame", "ColorScale", "FramedAxes", "tick_labels")

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis, YAxis
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.cm import ScalarMappable
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.ticker import FixedFormatter, Locator
from matplotlib.transforms import IdentityTransform

_TICK = 4.0
_GAP = 3.0
_LINE_WIDTH = 0.6
_LABEL_GAP = 6.0
_TICK_FONT = FontProperties(size=8)
_LABEL_FONT = FontProperties(size=9)
_MINUS = "\N{MINUS SIGN}"


def tick_labels(values: Sequence[float]) -> list[str]:
    """Write the values at ticks, with as many decimals as their steps need.

    Parameters
    ----------
    values
        Values in order, at equal steps.

    Returns
    -------
    labels
        A label for each.
    """
    step = abs(values[1] - values[0]) if len(values) > 1 else abs(values[0]) if len(values) else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-6)) if step > 0.0 else 0
    separator = "," if max((abs(value) for value in values), default=0.0) >= 10_000.0 else ""
    return [f"{value + 0.0:{separator}.{decimals}f}".replace("-", _MINUS) for value in values]


class _Pen:
    """Lines and words in pixels of a figure."""

    def __init__(self, renderer: RendererBase) -> None:
        self.renderer = renderer
        self.gc: GraphicsContextBase = renderer.new_gc()
        self.gc.set_foreground("black")
        self.gc.set_linewidth(float(np.asarray(renderer.points_to_pixels(_LINE_WIDTH))))
        self.gc.set_snap(True)

    def lines(self, segments: npt.NDArray[np.float64]) -> None:
        """Draw segments of shape ``(n, 2, 2)``."""
        codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(segments))
        self.renderer.draw_path(self.gc, Path(segments.reshape(-1, 2), codes), IdentityTransform())

    def box(self, left: float, low: float, right: float, high: float) -> None:
        """Draw a rectangle."""
        corners = np.array([[left, low], [right, low], [right, high], [left, high]])
        self.lines(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1))

    def width(self, words: str, font: FontProperties) -> float:
        """Return the width of words."""
        return float(self.renderer.get_text_width_height_descent(words, font, False)[0])

    def words(
        self, words: str, x: float, y: float, *, font: FontProperties, place: str, upright: bool = False
    ) -> None:
        """Write words ``below``, ``left`` or ``right`` of a point."""
        width, height, descent = self.renderer.get_text_width_height_descent(words, font, False)
        # Digits and capitals are centred by their height, whatever else there is.
        ascent = height - descent
        if upright:
            x, y = (x if place == "left" else x + ascent), y - 0.5 * width
        elif place == "below":
            x, y = x - 0.5 * width, y - ascent
        else:
            x, y = (x - width if place == "left" else x), y - 0.5 * ascent
        canvas_height = self.renderer.get_canvas_width_height()[1]
        y = canvas_height - y if self.renderer.flipy() else y
        self.renderer.draw_text(self.gc, x, y, words, font, 90.0 if upright else 0.0)


class _TicklessAxis(Axis):
    """Axis that does not make ticks merely to set what they look like."""

    def set_clip_path(self, path: Any, transform: Any = None) -> None:
        """Limit where the axis is drawn, which it is not."""
        Artist.set_clip_path(self, path, transform)

    def grid(self, visible: bool | None = None, which: Any = "major", **kwargs: Any) -> None:
        """Leave the grid away."""

    def set_tick_params(self, which: Any = "major", reset: bool = False, **kwargs: Any) -> None:
        """Leave the ticks as they are."""


class _XAxis(_TicklessAxis, XAxis):
    pass


class _YAxis(_TicklessAxis, YAxis):
    pass


class FramedAxes(Axes):
    """Axes for an `AxesFrame`, made in less than half of the time."""

    def _init_axis(self) -> None:
        # The hook of all of matplotlib's projections for axes of their own.
        self.xaxis = _XAxis(self, clear=False)
        self.yaxis = _YAxis(self, clear=False)
        for axis, names in ((self.xaxis, ("bottom", "top")), (self.yaxis, ("left", "right"))):
            for name in names:
                self.spines[name].register_axis(axis)


class AxesFrame(Artist):
    """Frame, ticks and labels of axes whose own are not drawn."""

    zorder = 2.6

    def draw(self, renderer: RendererBase) -> None:
        """Draw the frame.

        Parameters
        ----------
        renderer
            What to draw with.
        """
        axes = self.axes
        assert axes is not None, "It was added to axes."
        pen = _Pen(renderer)
        left, low, right, high = axes.bbox.extents
        pen.box(left, low, right, high)
        columns, below = _place_ticks(axes.xaxis, left, right)
        rows, beside = _place_ticks(axes.yaxis, low, high)
        ends = [[(x, low), (x, low - _TICK)] for x in columns] + [
            [(left, y), (left - _TICK, y)] for y in rows
        ]
        if ends:
            pen.lines(np.array(ends))
        for x, text in zip(columns, below, strict=True):
            pen.words(text, x, low - _TICK - _GAP, font=_TICK_FONT, place="below")
        for y, text in zip(rows, beside, strict=True):
            pen.words(text, left - _TICK - _GAP, y, font=_TICK_FONT, place="left")
        if axes.get_xlabel():
            y = low - _TICK - (_GAP + 16.0 if below else _GAP)
            pen.words(axes.get_xlabel(), 0.5 * (left + right), y, font=_LABEL_FONT, place="below")
        if axes.get_ylabel():
            used = max((pen.width(text, _TICK_FONT) for text in beside), default=0.0)
            x = left - _TICK - _GAP - used - _LABEL_GAP
            pen.words(axes.get_ylabel(), x, 0.5 * (low + high), font=_LABEL_FONT, place="left", upright=True)
        pen.gc.restore()


def _place_ticks(axis: Axis, start: float, stop: float) -> tuple[list[float], list[str]]:
    """Return positions in pixels and labels of the ticks within the axis."""
    low, high = axis.get_view_interval()
    locator, formatter = axis.get_major_locator(), axis.get_major_formatter()
    values = np.asarray(locator(), dtype=np.float64)
    is_fixed = isinstance(formatter, FixedFormatter)
    texts = formatter.format_ticks(values.tolist()) if is_fixed else tick_labels(values.tolist())
    share = (values - low) / (high - low)
    inside = (share > -1e-6) & (share < 1.0 + 1e-6)
    places = start + share * (stop - start)
    return list(places[inside]), [text for text, good in zip(texts, inside, strict=True) if good]


class ColorScale(Artist):
    """Upright colour scale with ticks on its right.

    Parameters
    ----------
    mappable
        What the colours belong to.
    box
        Left, bottom, width and height as fractions of the figure.
    label
        Quantity and unit.
    ticks
        Values to mark, or the rule that chooses them.
    """

    def __init__(
        self,
        mappable: ScalarMappable,
        box: tuple[float, float, float, float],
        *,
        label: str,
        ticks: Sequence[float] | Locator,
    ) -> None:
        super().__init__()
        self._mappable = mappable
        self._box = box
        self._ticks = ticks
        self.label = label
        """Quantity and unit (`str`)."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw the scale.

        Parameters
        ----------
        renderer
            What to draw with.
        """
        figure = self.get_figure(root=True)
        assert figure is not None, "It was added to a figure."
        left, low, width, height = np.round(np.array(self._box) * np.tile(figure.bbox.size, 2))
        right, high = left + width, low + height
        pen = _Pen(renderer)
        shades = self._mappable.cmap(np.linspace(0.0, 1.0, int(height)), bytes=True)
        picture = np.ascontiguousarray(np.broadcast_to(shades[:, np.newaxis], (int(height), int(width), 4)))
        renderer.draw_image(pen.gc, left, low, picture)
        pen.box(left, low, right, high)
        values, texts = self._choose_ticks()
        places = low + height * np.asarray(self._mappable.norm(values), dtype=np.float64)
        if len(values):
            pen.lines(np.array([[(right, y), (right + _TICK, y)] for y in places]))
        for y, text in zip(places, texts, strict=True):
            pen.words(text, right + _TICK + _GAP, y, font=_TICK_FONT, place="right")
        if self.label:
            used = max((pen.width(text, _TICK_FONT) for text in texts), default=0.0)
            x = right + _TICK + _GAP + used + _LABEL_GAP
            pen.words(self.label, x, 0.5 * (low + high), font=_LABEL_FONT, place="right", upright=True)
        pen.gc.restore()

    def _choose_ticks(self) -> tuple[npt.NDArray[np.float64], list[str]]:
        """Return the values to mark, and their labels."""
        low, high = self._mappable.get_clim()
        if isinstance(self._ticks, Locator):
            values = np.asarray(self._ticks.tick_values(low, high), dtype=np.float64)
            texts = tick_labels(values.tolist())
        else:
            values = np.asarray(self._ticks, dtype=np.float64)
            texts = [f"{value:g}".replace("-", _MINUS) for value in values]
        slack = 1e-6 * (high - low)
        inside = (values >= low - slack) & (values <= high + slack)
        return values[inside], [text for text, good in zip(texts, inside, strict=True) if good]
