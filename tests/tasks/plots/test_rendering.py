# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What is drawn faster than by matplotlib looks the same, and is where it should be."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from lsst.ra.pipe.tasks.plots import add_colorbar, frame_axes, make_figure, say_no_data
from lsst.ra.pipe.tasks.plots._frame import tick_labels
from lsst.ra.pipe.tasks.plots._render import CachingRenderer, PixelImage, encode_png
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.ticker import FixedFormatter, FixedLocator
from plot_inputs import render

WIDTH, HEIGHT = 400, 300


def pixels(renderer: RendererAgg) -> npt.NDArray[np.uint8]:
    """Red, green and blue of what was drawn."""
    return np.array(renderer.buffer_rgba())[..., :3]


def make_axes() -> Axes:
    """Axes from (100, 60) to (300, 260) in pixels, from 0 to 10 along x and y."""
    axes = make_figure(width=WIDTH, height=HEIGHT).add_axes((0.25, 0.2, 0.5, 2 / 3))
    axes.set_xlim(0.0, 10.0)
    axes.set_ylim(0.0, 10.0)
    return axes


def picture_of(axes: Axes) -> npt.NDArray[np.uint8]:
    """Picture of the figure, the first row at the bottom."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return render(figure)[::-1]


def ticks_beside(axes: Axes) -> list[int]:
    """Rows of the ticks left of the axes of `make_axes`."""
    return [58 + row for row in dark_rows(picture_of(axes)[58:, 97:98])]


def dark_rows(part: npt.NDArray[np.uint8]) -> list[int]:
    """Rows of a part of a picture with a dark pixel."""
    return [int(row) for row in np.flatnonzero(part.min(axis=(1, 2)) < 128)]


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (37, 53)])
def test_files_hold_the_pixels_that_were_drawn(shape: tuple[int, int], channels: int) -> None:
    """PNG files are read back without a difference, with their resolution."""
    image = np.random.default_rng(1).integers(0, 256, (*shape, channels)).astype(np.uint8)
    read = PIL.Image.open(io.BytesIO(encode_png(image, dpi=100)))
    np.testing.assert_array_equal(np.asarray(read), image[..., :3])
    assert read.info["dpi"] == pytest.approx((100.0, 100.0), abs=0.1)


@pytest.mark.parametrize("angle", [0.0, 90.0, 30.0])
@pytest.mark.parametrize("words", ["Ägypten (mag) \N{MINUS SIGN}1.5″", "y", "○", "a rather long line " * 4])
@pytest.mark.parametrize(
    "place", [{"ha": "left"}, {"ha": "right", "va": "top"}, {"ha": "center", "va": "center"}]
)
def test_words_look_as_matplotlib_draws_them(words: str, angle: float, place: dict[str, Any]) -> None:
    """Also when they were drawn before, and within a pixel of their place."""
    figure = make_figure(width=700, height=700)
    figure.text(0.4031, 0.5017, words, rotation=angle, fontsize=11, color="#AA3300", **place)
    pictures = []
    for kind in (RendererAgg, CachingRenderer, CachingRenderer):
        renderer = kind(700, 700, 100.0)
        figure.draw(renderer)
        pictures.append(pixels(renderer).astype(float))
    expected, first, second = pictures
    np.testing.assert_array_equal(first, second)
    assert (255.0 - first).sum() == pytest.approx((255.0 - expected).sum(), rel=0.03)
    rows, cols = (np.flatnonzero((255.0 - expected).sum(axis=(1 - axis, 2)) > 100.0) for axis in (0, 1))
    found_rows, found_cols = (
        np.flatnonzero((255.0 - first).sum(axis=(1 - axis, 2)) > 100.0) for axis in (0, 1)
    )
    for index in (0, -1):
        assert found_rows[index] == pytest.approx(rows[index], abs=1)
        assert found_cols[index] == pytest.approx(cols[index], abs=1)


def test_words_are_clear_of_each_others_colours() -> None:
    """The cache does not mix up colours, sizes and directions."""
    renderer = CachingRenderer(WIDTH, HEIGHT, 100.0)
    figure = make_figure(width=WIDTH, height=HEIGHT)
    for y, color, size in ((0.8, "#FF0000", 10), (0.5, "#0000FF", 10), (0.2, "#FF0000", 20)):
        figure.text(0.1, y, "HHH", color=color, fontsize=size)
    figure.draw(renderer)
    red, blue, large = np.array_split(pixels(renderer).astype(int), 3)
    assert (red[..., 0] == 255).all()
    assert (blue[..., 2] == 255).all()
    assert len(dark_rows(large)) > 1.7 * len(dark_rows(red))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 1000.0, 2000.0], ["0", "1000", "2000"]),
        ([0.0, 5000.0, 10000.0], ["0", "5,000", "10,000"]),
        ([1.02, 1.04, 1.06], ["1.02", "1.04", "1.06"]),
        ([32.0, 32.05, 32.1], ["32.00", "32.05", "32.10"]),
        ([-0.5, 0.0, 0.5], ["\N{MINUS SIGN}0.5", "0.0", "0.5"]),
        ([5.0], ["5"]),
        ([0.0], ["0"]),
        ([], []),
    ],
)
def test_tick_labels_have_the_decimals_that_they_need(values: list[float], labels: list[str]) -> None:
    """No more, no less, the same for all."""
    assert tick_labels(values) == labels


def test_ticks_are_where_their_values_are() -> None:
    """Dashes leave the frame at round values, inside the axes' range only."""
    axes = make_axes()
    frame_axes(axes, xlabel="x (pixel)", ylabel="y (pixel)")
    axes.set_ylim(-3.0, 7.0)
    picture = picture_of(axes)
    assert ticks_beside(axes) == pytest.approx([60 + 20 * (3 + value) for value in (-2, 0, 2, 4, 6)], abs=1)
    frame = dark_rows(picture[:, 150:151])
    assert {60, 260} <= {row + shift for row in frame for shift in (0, 1)}


def test_locators_and_fixed_labels_count() -> None:
    """A frame draws the labels that it is given, and none where there are no data."""
    axes = make_axes()
    frame_axes(axes)
    axes.yaxis.set_major_locator(FixedLocator([2.0, 5.0]))
    axes.yaxis.set_major_formatter(FixedFormatter(["100", "1000"]))
    assert ticks_beside(axes) == pytest.approx([100, 160], abs=1)
    say_no_data(axes, "nothing")
    assert ticks_beside(axes) == []


@pytest.mark.parametrize(
    ("norm", "ticks", "places"),
    [
        (Normalize(0.0, 10.0), None, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (Normalize(0.0, 10.0), [5.0, 20.0], [0.5]),
        (AsinhNorm(1.0, vmin=-10.0, vmax=10.0), [-10.0, 0.0], [0.0, 0.5]),
    ],
)
def test_colour_scales_mark_values_at_their_colours(
    norm: Normalize, ticks: Sequence[float] | None, places: list[float]
) -> None:
    """From the colour of the smallest value at the bottom to that of the largest."""
    figure = make_figure(width=WIDTH, height=HEIGHT)
    add_colorbar(figure, ScalarMappable(norm, "gray"), (0.25, 0.2, 0.05, 2 / 3), label="flux", ticks=ticks)
    picture = render(figure)[::-1]
    assert picture[62, 110].max() < 10
    assert picture[257, 110].min() > 245
    assert int(picture[160, 110, 0]) == pytest.approx(127, abs=3)
    assert dark_rows(picture[:, 122:123]) == pytest.approx([60 + 200 * place for place in places], abs=1)


@pytest.mark.parametrize("limits", [(0.0, 10.0), (2.5, 7.5)])
def test_pixels_are_drawn_where_they_belong(limits: tuple[float, float]) -> None:
    """Without interpolation, the first row at the bottom, as much as the axes show."""
    shades = np.full((4, 5, 4), 255, dtype=np.uint8)
    shades[1, 2, :3] = 0  # From 4 to 6 along x, from 2.5 to 5 along y.
    shades[2, 1, 3] = 0
    axes = make_axes()
    axes.set_facecolor("#0000FF")
    axes.add_artist(PixelImage(shades, (0.0, 10.0, 0.0, 10.0)))
    axes.set_axis_on()
    frame_axes(axes)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    picture = picture_of(axes)[61:259, 101:299].astype(int)
    scale = 200.0 / (limits[1] - limits[0])
    rows, cols = np.nonzero(picture.max(axis=2) < 10)
    assert cols.min() == pytest.approx((4.0 - limits[0]) * scale - 1, abs=1)
    assert cols.max() == pytest.approx((6.0 - limits[0]) * scale - 2, abs=1)
    assert rows.min() == pytest.approx((2.5 - limits[0]) * scale - 1, abs=1)
    assert rows.max() == pytest.approx((5.0 - limits[0]) * scale - 2, abs=1)
    transparent = (picture[..., 2] == 255) & (picture[..., 0] == 0)
    assert transparent.any()
    assert np.flatnonzero(transparent.any(axis=1)).min() == pytest.approx(
        (5.0 - limits[0]) * scale - 1, abs=1
    )


@pytest.mark.parametrize(
    "options", [{}, {"format": "png"}, {"metadata": {}}, {"dpi": 50}, {"bbox_inches": "tight"}]
)
def test_options_of_savefig_are_heeded(tmp_path: Path, options: dict[str, Any]) -> None:
    """Those of the fast path and those of matplotlib's give a readable file."""
    axes = make_axes()
    frame_axes(axes, xlabel="x", ylabel="y")
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(tmp_path / "figure.png", **options)
    with PIL.Image.open(tmp_path / "figure.png") as image:
        width, _ = image.size
    assert width == (WIDTH // 2 if "dpi" in options else pytest.approx(WIDTH, rel=0.5))


def test_a_name_without_an_end_becomes_a_png_file(tmp_path: Path) -> None:
    """As matplotlib does it."""
    make_figure(width=50, height=50).savefig(tmp_path / "figure")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
