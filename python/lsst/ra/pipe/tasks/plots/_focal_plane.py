# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Where the detectors of an exposure are, and which part of it to show."""

from __future__ import annotations

__all__ = ("FocalPlaneView", "draw_hatched", "sky_directions")

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Self

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.coordinates import Angle, SkyCoord
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from ...camera import Camera
from ._style import COLORS

_MARGIN = 0.03
_WHOLE = 0.6
_SCIENCE = "SCIENCE"


@dataclasses.dataclass(frozen=True, eq=False)
class FocalPlaneView:
    """The detectors to draw and the window that holds those with data."""

    outlines: Mapping[int, npt.NDArray[np.float64]]
    """``(4, 2)`` corners of each detector in the focal plane, mm, in order
    of id: the science detectors and any other that has data."""

    names: Mapping[int, str]
    """Full name of each detector."""

    rafts: Mapping[str, npt.NDArray[np.float64]]
    """``(4, 2)`` corners of the rectangle about the detectors of each
    raft, mm."""

    present: frozenset[int]
    """Detectors with data."""

    window: tuple[float, float, float, float]
    """Left, right, lower and upper edge of a square, mm: the whole focal
    plane, or the rafts with data when they are few."""

    is_zoomed: bool
    """Whether the window is a part of the focal plane."""

    @classmethod
    def make(cls, camera: Camera, *, present: Collection[int]) -> Self:
        """Choose what to draw.

        Parameters
        ----------
        camera
            Camera with the positions of the detectors.
        present
            Ids of the detectors with data.

        Returns
        -------
        view
            The view.
        """
        ids = [
            detector
            for detector, facts in camera.facts.items()
            if facts.purpose == _SCIENCE or detector in present
        ]
        outlines = {detector: camera.detector_polygon(detector) for detector in ids}
        members: dict[str, list[int]] = {}
        for detector in ids:
            members.setdefault(camera.facts[detector].raft, []).append(detector)
        rafts = {
            raft: _rectangle(np.concatenate([outlines[detector] for detector in detectors]))
            for raft, detectors in members.items()
        }
        whole = np.concatenate(list(outlines.values()))
        corners = [rafts[camera.facts[detector].raft] for detector in ids if detector in present]
        shown = np.concatenate(corners) if corners else whole
        is_zoomed = bool(np.ptp(shown, axis=0).max() < _WHOLE * np.ptp(whole, axis=0).max())
        return cls(
            outlines=outlines,
            names={detector: camera.facts[detector].full_name for detector in ids},
            rafts=rafts,
            present=frozenset(present),
            window=_window(shown if is_zoomed else whole),
            is_zoomed=is_zoomed,
        )

    @property
    def missing(self) -> list[int]:
        """Ids of the detectors without data within the window."""
        left, right, low, high = self.window
        inside = []
        for detector, outline in self.outlines.items():
            x, y = outline.mean(axis=0)
            if detector not in self.present and left < x < right and low < y < high:
                inside.append(detector)
        return inside

    def set_window(self, axes: Axes) -> None:
        """Give axes the window as their limits.

        Parameters
        ----------
        axes
            Square axes in mm.
        """
        axes.set_xlim(self.window[:2])
        axes.set_ylim(self.window[2:])

    def draw_missing(self, axes: Axes) -> None:
        """Hatch the detectors without data.

        Parameters
        ----------
        axes
            Axes in mm.
        """
        draw_hatched(axes, [self.outlines[detector] for detector in self.missing])

    def draw_rafts(self, axes: Axes, *, names: bool) -> None:
        """Draw the outlines of the rafts.

        Parameters
        ----------
        axes
            Axes in mm.
        names
            Whether to write the names of the rafts.
        """
        left, right, low, high = self.window
        inside = {
            raft: corners
            for raft, corners in self.rafts.items()
            if left < corners[:, 0].mean() < right and low < corners[:, 1].mean() < high
        }
        axes.add_collection(
            PolyCollection(
                list(inside.values()),
                facecolors="none",
                edgecolors=COLORS["ink"],
                linewidths=0.8,
                zorder=3.0,
            ),
            autolim=False,
        )
        if names:
            step = 0.006 * (right - left)
            for raft, corners in inside.items():
                x, y = corners[3]
                axes.text(
                    x + step,
                    y - step,
                    raft,
                    fontsize=8,
                    fontweight="bold",
                    va="top",
                    color="white",
                    bbox={"facecolor": COLORS["ink"], "alpha": 0.7, "edgecolor": "none", "pad": 1.5},
                    zorder=4.0,
                )

    def draw_inset(self, figure: Figure, box: tuple[float, float, float, float]) -> None:
        """Draw the whole focal plane small, with the detectors that have data.

        Parameters
        ----------
        figure
            Figure to draw into.
        box
            Left, bottom, width and height as fractions of the figure.
        """
        axes = figure.add_axes(box)
        axes.set_axis_off()
        outlines = list(self.outlines.values())
        present = [outline for detector, outline in self.outlines.items() if detector in self.present]
        rafts = list(self.rafts.values())
        axes.add_collection(PolyCollection(rafts, facecolors="#EEEEEE", edgecolors="#9A9A9A", linewidths=0.6))
        axes.add_collection(PolyCollection(present, facecolors=COLORS["vermilion"], edgecolors="none"))
        left, right, low, high = _window(np.concatenate(outlines))
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)


def draw_hatched(axes: Axes, outlines: Sequence[npt.NDArray[np.float64]]) -> None:
    """Draw what is missing.

    Parameters
    ----------
    axes
        Axes in the unit of the outlines.
    outlines
        ``(4, 2)`` corners of each detector.
    """
    axes.add_collection(
        PolyCollection(
            outlines, facecolors="#F4F4F4", edgecolors="#BDBDBD", linewidths=0.5, hatch="//", zorder=1.0
        ),
        autolim=False,
    )


def _rectangle(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the corners of the rectangle about points, anticlockwise from
    the lower left.
    """
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    return np.array([[left, low], [right, low], [right, high], [left, high]])


def _window(points: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return the square about points, with a margin."""
    centre = 0.5 * (points.min(axis=0) + points.max(axis=0))
    half = 0.5 * float(np.ptp(points, axis=0).max()) * (1.0 + 2.0 * _MARGIN)
    return (
        float(centre[0] - half),
        float(centre[0] + half),
        float(centre[1] - half),
        float(centre[1] + half),
    )


def sky_directions(
    camera: Camera, rotation: Angle
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Find north and east in the focal plane.

    Parameters
    ----------
    camera
        Camera.
    rotation
        Sky rotation angle as the header of a raw gives it (``ROTPA``).

    Returns
    -------
    north, east
        ``(2,)`` unit vectors (x, y) in the focal plane at the detector next
        to the optical axis.
    """
    centre = min(camera.facts, key=lambda detector: float(np.hypot(*camera.facts[detector].offset[:2])))
    detector = camera[centre]
    # The direction does not depend on where the telescope points.
    projection = camera.sky_projection(centre, boresight=SkyCoord(0.0, 0.0, unit="deg"), rotation=rotation)
    x0, y0 = camera.facts[centre].reference_pixel
    x, y = x0 + 100.0 * np.array([0.0, 1.0, 0.0]), y0 + 100.0 * np.array([0.0, 0.0, 1.0])
    sky = projection.pixel_to_sky(x=x, y=y)
    plane = detector.to_focal_plane.apply_forward(x=x, y=y)
    on_sky = _steps(sky.ra.wrap_at(180.0 * u.deg).deg, sky.dec.deg)
    directions = _steps(plane.x, plane.y) @ np.linalg.inv(on_sky)
    directions /= np.hypot(*directions)
    return directions[:, 1], directions[:, 0]


def _steps(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how two coordinates change along x and y, from their values at
    the origin, a step along x and a step along y.
    """
    return np.array([[values[1] - values[0], values[2] - values[0]] for values in (first, second)])
