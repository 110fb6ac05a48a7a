# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Where a detector looks."""

from __future__ import annotations

__all__ = ("NODES", "DetectorView", "field_angles", "to_pixel_axes", "view_detector")

import dataclasses

import numpy as np
from astropy.coordinates import SkyCoord

from lsst.images.cameras import Detector

from ..camera import Camera
from ._exposures import SimulatedExposure
from ._optics import vignetting

NODES = 33
"""Nodes along either axis of the grid on which light is known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorView:
    """Where a detector looks, and how sharp it sees."""

    centre: SkyCoord
    """ICRS position of the detector's centre."""
    radius: float
    """Angle from the centre to the farthest corner, degrees."""
    pixel_scale: float
    """Square root of the area of a pixel at the centre, arcsec."""
    to_sky: np.ndarray
    """Derivatives of (east, north) by (x, y) at the centre, ``(2, 2)``."""
    to_focal_plane: np.ndarray
    """Derivatives of focal plane by pixel position, ``(2, 2)``."""
    illumination: np.ndarray
    """Vignetting on a grid over the detector, shape ``(33, 33)``."""
    field: tuple[float, float]
    """Field angle of the centre (x, y), degrees."""


def view_detector(
    camera: Camera, detector: Detector, exposure: SimulatedExposure, *, vignetted: bool
) -> DetectorView:
    """Work out where a detector looks.

    Parameters
    ----------
    camera
        Gives the projection on the sky.
    detector
        The detector.
    exposure
        Gives the pointing.
    vignetted
        Whether there is vignetting.

    Returns
    -------
    view
        Position, scale, derivatives and vignetting.
    """
    ny, nx = detector.bbox.shape
    cx, cy = (nx - 1) / 2.0, (ny - 1) / 2.0
    projection = camera.sky_projection(detector.id, boresight=exposure.boresight, rotation=exposure.rotation)
    step = 50.0
    sky = projection.pixel_to_sky(
        x=np.array([cx, cx + step, cx, -0.5, nx - 0.5, -0.5, nx - 0.5]),
        y=np.array([cy, cy, cy + step, -0.5, -0.5, ny - 0.5, ny - 0.5]),
    )
    east, north = sky[0].spherical_offsets_to(sky[1:3])
    to_sky = np.array([east.arcsec, north.arcsec]) / step
    focal = detector.to_focal_plane.apply_forward(x=np.array([cx, cx + 1, cx]), y=np.array([cy, cy, cy + 1]))
    gx, gy = np.meshgrid(np.linspace(0, nx - 1, NODES), np.linspace(0, ny - 1, NODES))
    angle_x, angle_y = field_angles(detector, np.append(gx, cx), np.append(gy, cy))
    transmission = vignetting(np.hypot(angle_x, angle_y)[:-1]) if vignetted else np.ones(gx.size)
    return DetectorView(
        centre=sky[0],
        radius=float(sky[0].separation(sky[3:]).deg.max()),
        pixel_scale=float(np.sqrt(abs(np.linalg.det(to_sky)))),
        to_sky=to_sky,
        to_focal_plane=np.array([focal.x[1:] - focal.x[0], focal.y[1:] - focal.y[0]]),
        illumination=transmission.reshape(gx.shape),
        field=(float(angle_x[-1]), float(angle_y[-1])),
    )


def field_angles(detector: Detector, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the field angles of pixel positions.

    Parameters
    ----------
    detector
        The detector.
    x, y
        Pixel positions of shape ``(n,)``; AST takes no empty arrays, this
        does.

    Returns
    -------
    angle_x, angle_y
        Field angles, degrees.
    """
    if not x.size:
        return np.zeros(0), np.zeros(0)
    angle = detector.to_field_angle.apply_forward(x=x, y=y)
    return np.rad2deg(angle.x), np.rad2deg(angle.y)


def to_pixel_axes(e1: np.ndarray, e2: np.ndarray, derivatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn ellipticities along the axes of a frame into those along the
    pixel axes.

    Parameters
    ----------
    e1, e2
        ``(Ixx - Iyy) / (Ixx + Iyy)`` and ``2 Ixy / (Ixx + Iyy)`` in the frame.
    derivatives
        Derivatives of the frame's coordinates by pixel position, ``(2, 2)``.

    Returns
    -------
    e1, e2
        The same along the pixel axes.
    """
    (a, b), (c, d) = np.linalg.inv(derivatives)
    xx, yy, xy = 1.0 + np.asarray(e1), 1.0 - np.asarray(e1), np.asarray(e2)
    pxx = a * a * xx + 2.0 * a * b * xy + b * b * yy
    pyy = c * c * xx + 2.0 * c * d * xy + d * d * yy
    pxy = a * c * xx + (a * d + b * c) * xy + b * d * yy
    return (pxx - pyy) / (pxx + pyy), 2.0 * pxy / (pxx + pyy)
