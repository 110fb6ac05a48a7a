# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("plot_focal_plane",)

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from astropy.coordinates import Angle
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from ...camera import Camera
from ._focal_plane import FocalPlaneView, sky_directions
from ._frame import FramedAxes
from ._mosaic import make_mosaic
from ._render import PixelImage
from ._stretch import find_stretch
from ._style import (
    COLORS,
    PlotTitle,
    add_colorbar,
    add_compass,
    add_facts,
    add_title,
    frame_axes,
    make_figure,
)

_WIDTH, _HEIGHT = 1000, 1010
_SIDE = 840
_LEFT, _BOTTOM = 66, 92
_LEAST_SIDE = 75
"""Detectors that are smaller than this in the picture, in pixels, have no
room for their names."""


def plot_focal_plane(
    images: Mapping[int, npt.NDArray[np.floating]],
    *,
    binning: int,
    camera: Camera,
    title: PlotTitle,
    rotation: Angle | None = None,
    facts: tuple[tuple[str, str], ...] = (),
    least_above: float = 30.0,
) -> Figure:
    """Show the images of an exposure where they are in the focal plane.

    Parameters
    ----------
    images
        Binned image of shape ``(ny, nx)`` of each detector by detector id, in
        electron per pixel of the detector.
    binning
        Side of a binned pixel in pixels of the detectors.
    camera
        Camera with the positions of the detectors.
    title
        Name of the observation.
    rotation
        Sky rotation angle, for the directions of north and east.
    facts
        Names and values to write below.
    least_above
        Least upper end of the grey scale, as in `find_stretch`.

    Returns
    -------
    figure
        Mosaic with one grey scale for all detectors; those that are missing
        are hatched. If all images are of a few rafts, only these are shown,
        and an inset tells where they are.
    """
    figure = make_figure(width=_WIDTH, height=_HEIGHT)
    view = FocalPlaneView.make(camera, present=images.keys())
    mosaic = make_mosaic(images, binning=binning, camera=camera, window=view.window, max_size=_SIDE)
    stretch = find_stretch(mosaic.image, least_above=least_above)
    box = (_LEFT / _WIDTH, _BOTTOM / _HEIGHT, _SIDE / _WIDTH, _SIDE / _HEIGHT)
    axes = figure.add_axes(box, axes_class=FramedAxes)
    picture = PixelImage(stretch.grey(mosaic.image), mosaic.window)
    picture.set_zorder(2.0)
    axes.add_artist(picture)
    view.draw_missing(axes)
    view.draw_rafts(axes, names=len(view.rafts) > 1)
    _draw_names(axes, view)
    view.set_window(axes)
    frame_axes(axes, xlabel="focal plane x (mm)", ylabel="focal plane y (mm)")
    if rotation is not None:
        north, east = sky_directions(camera, rotation)
        add_compass(figure, north=north, east=east, right=195)
    add_colorbar(
        figure,
        ScalarMappable(stretch.norm, "gray"),
        (box[0] + box[2] + 10 / _WIDTH, box[1], 14 / _WIDTH, box[3]),
        label=f"signal - {stretch.sky:,.0f} (electron per pixel)",
        ticks=stretch.ticks,
    )
    if view.is_zoomed:
        view.draw_inset(figure, (1 - 185 / _WIDTH, 1 - 72 / _HEIGHT, 68 / _WIDTH, 68 / _HEIGHT))
    add_title(figure, title, subject="focal plane", left=box[0])
    add_facts(figure, facts, left=box[0], bottom=14 / _HEIGHT)
    return figure


def _draw_names(axes: Axes, view: FocalPlaneView) -> None:
    """Write the slots' names on the detectors, if they are few."""
    present = [detector for detector in view.outlines if detector in view.present]
    side = float(np.ptp(next(iter(view.outlines.values())), axis=0).min())
    if _SIDE * side / (view.window[1] - view.window[0]) < _LEAST_SIDE:
        return
    for detector in present:
        corner = view.outlines[detector]
        right, low = corner[:, 0].max(), corner[:, 1].min()
        step = 0.012 * (view.window[1] - view.window[0])
        axes.text(
            right - step,
            low + step,
            f"{view.names[detector].rpartition('_')[2]} ({detector})",
            fontsize=8,
            color="white",
            ha="right",
            bbox={"facecolor": COLORS["ink"], "alpha": 0.6, "edgecolor": "none", "pad": 1.5},
            zorder=4.0,
        )
