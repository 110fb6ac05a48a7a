# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Fast ways of drawing text and images, and of writing PNG files.

Half of the time of a plot goes into laying out the same few words and digits
again and again, and into a PNG encoder that tries five filters on each row.
"""

from __future__ import annotations

__all__ = ("CachingRenderer", "PixelImage", "encode_png")

import functools
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

_MAX_LETTERS = 40
_CACHE_SIZE = 2048
_MARGIN = 3


class CachingRenderer(RendererAgg):
    """Renderer that keeps the pictures of short texts for the next figure.

    Texts are placed at whole pixels.
    """

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Text | None = None,
    ) -> None:
        """Draw one line of text.

        Parameters
        ----------
        gc
            Colour and clipping.
        x, y
            Start of the baseline, in pixels from the upper left corner.
        s
            The text.
        prop
            Its font.
        angle
            Its direction in degrees.
        ismath
            Whether it is a formula.
        mtext
            What it is a part of.
        """
        if ismath or len(s) > _MAX_LETTERS or angle not in (0.0, 90.0):
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        picture, left, below = _draw_words(s, _Font.of(prop), angle, gc.get_rgb()[:3], self.dpi)
        self.draw_image(gc, round(x) - left, round(self.height - y) - below, picture)

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        """Measure one line of text.

        Parameters
        ----------
        s
            The text.
        prop
            Its font.
        ismath
            Whether it is a formula.

        Returns
        -------
        width, height, descent
            Its size and the part below the baseline, in pixels.
        """
        if ismath or len(s) > _MAX_LETTERS:
            width, height, descent = super().get_text_width_height_descent(s, prop, ismath)
            return width, height, descent
        return _measure_words(s, _Font.of(prop), self.dpi)


class _Font(tuple[Any, ...]):
    """Font with its size in points, as part of a key."""

    __slots__ = ()

    @classmethod
    def of(cls, prop: FontProperties) -> _Font:
        return cls((tuple(prop.get_family()), prop.get_style(), prop.get_weight(), prop.get_size_in_points()))

    @property
    def properties(self) -> FontProperties:
        family, style, weight, size = self
        return FontProperties(family=list(family), style=style, weight=weight, size=size)


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _measure_words(words: str, font: _Font, dpi: float) -> tuple[float, float, float]:
    """Return width, height and descent in pixels."""
    width, height, descent = RendererAgg(1, 1, dpi).get_text_width_height_descent(
        words, font.properties, False
    )
    return width, height, descent


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _draw_words(
    words: str, font: _Font, angle: float, color: tuple[float, float, float], dpi: float
) -> tuple[npt.NDArray[np.uint8], int, int]:
    """Draw words on a transparent ground: the picture as renderers take it,
    and how far its lower left corner is left of and below the start of the
    baseline.
    """
    width, height, descent = (int(np.ceil(size)) + _MARGIN for size in _measure_words(words, font, dpi))
    along, above, below = width + _MARGIN, height + _MARGIN, descent + _MARGIN
    # Upright text goes upward, its ascenders to the left.
    left, right, up, down = (_MARGIN, along, above, below) if angle == 0.0 else (above, below, along, _MARGIN)
    renderer = RendererAgg(left + right, up + down, dpi)
    gc = renderer.new_gc()
    gc.set_foreground((*color, 1.0), isRGBA=True)
    renderer.draw_text(gc, left, up, words, font.properties, angle)
    picture = np.array(renderer.buffer_rgba())[::-1]
    picture.flags.writeable = False
    return picture, left, down


class PixelImage(Artist):
    """Image without interpolation in axes with linear scales.

    Parameters
    ----------
    shades
        ``(ny, nx, 4)`` red, green, blue and opacity, the first row at the
        bottom.
    extent
        Left, right, lower and upper edge in the coordinates of the axes.
    """

    zorder = 0.0

    def __init__(self, shades: npt.NDArray[np.uint8], extent: tuple[float, float, float, float]) -> None:
        super().__init__()
        self._shades = shades
        self._extent = extent

    def draw(self, renderer: RendererBase) -> None:
        """Draw the part within the axes.

        Parameters
        ----------
        renderer
            What to draw with.
        """
        axes = self.axes
        assert axes is not None, "It was added to axes."
        ny, nx, _ = self._shades.shape
        left, right, bottom, top = self._extent
        (x0, y0), (x1, y1) = axes.transData.transform([(left, bottom), (right, top)])
        columns = _sample(x0, x1, nx, axes.bbox.x0, axes.bbox.x1)
        rows = _sample(y0, y1, ny, axes.bbox.y0, axes.bbox.y1)
        picture = self._shades[rows[1]][:, columns[1]]
        gc = renderer.new_gc()
        renderer.draw_image(gc, columns[0], rows[0], np.ascontiguousarray(picture))
        gc.restore()


def _sample(
    start: float, stop: float, size: int, low: float, high: float
) -> tuple[int, npt.NDArray[np.intp]]:
    """Find the image's pixel under each of the figure's between two edges:
    the first of those, and the image's pixels from there on.
    """
    first = round(max(low, start))
    centres = np.arange(first, round(min(high, stop))) + 0.5
    index = np.floor((centres - start) * (size / (stop - start))).astype(np.intp)
    return first, np.clip(index, 0, size - 1)


def encode_png(pixels: npt.NDArray[np.uint8], *, dpi: float) -> bytes:
    """Write an image as PNG, fast rather than small.

    Parameters
    ----------
    pixels
        ``(ny, nx, 3)`` or ``(ny, nx, 4)`` red, green and blue, the first row
        at the top; opacity is left out.
    dpi
        Resolution to note in the file, pixels per inch.

    Returns
    -------
    data
        The file's content.
    """
    ny, nx, _ = pixels.shape
    rows = np.zeros((ny, 1 + 3 * nx), dtype=np.uint8)  # The first byte names a row's filter: none.
    for channel in range(3):  # One by one is faster than all at once.
        rows[:, 1 + channel :: 3] = pixels[..., channel]
    per_metre = round(dpi / 0.0254)
    header = struct.pack(">IIBBBBB", nx, ny, 8, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
            _chunk(b"IDAT", zlib.compress(rows, level=1)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Return a part of a PNG file with its length and check sum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
