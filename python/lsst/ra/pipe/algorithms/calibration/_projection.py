# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Sky projections of detectors: into the tangent plane, and corrected."""

from __future__ import annotations

__all__ = ("DetectorPlane", "correct_projection")

import dataclasses

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.wcs import WCS

from lsst.images import ICRS, Box, DetectorFrame, GeneralFrame, SkyFrame, SkyProjection, Transform
from lsst.images._transforms import _ast as ast  # AST through astshim or starlink-pyast, as lsst.images does

from ._tangent_plane import PlaneCorrection, TangentPlane

_ARCSEC = GeneralFrame(unit=u.arcsec)


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorPlane:
    """A detector in the tangent plane about its centre."""

    plane: TangentPlane
    """The plane that touches the sky where the initial projection has the
    detector's centre."""

    jacobian: npt.NDArray[np.float64]
    """``(2, 2)`` derivative of (xi, eta) by (x, y) at the centre, in arcsec
    per pixel."""

    half_size: tuple[float, float]
    """Half the width and half the height, in pixels."""

    @classmethod
    def build(cls, projection: SkyProjection[DetectorFrame], bbox: Box) -> DetectorPlane:
        """Find the tangent plane of a detector.

        Parameters
        ----------
        projection
            Initial sky projection.
        bbox
            The detector's pixels.

        Returns
        -------
        detector_plane
            The plane and the detector's place in it.
        """
        half_size = (0.5 * bbox.x.size, 0.5 * bbox.y.size)
        x0, y0 = 0.5 * (bbox.x.min + bbox.x.max), 0.5 * (bbox.y.min + bbox.y.max)
        plane, jacobian = _local_frame(projection.pixel_to_sky_transform, x0, y0)
        return cls(plane, jacobian, half_size)

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel at the centre, in arcsec."""
        return float(np.sqrt(abs(np.linalg.det(self.jacobian))))

    def from_pixels(
        self,
        projection: SkyProjection[DetectorFrame],
        x: npt.NDArray[np.float64],
        y: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Project pixel positions through the initial sky projection.

        Parameters
        ----------
        projection
            Initial sky projection.
        x, y
            ``(n,)`` positions in pixels; NaN is allowed.

        Returns
        -------
        xi, eta
            ``(n,)`` positions in the plane, in arcsec.
        """
        xi, eta = np.full(x.size, np.nan), np.full(x.size, np.nan)
        known = np.isfinite(x) & np.isfinite(y)
        if known.any():
            sky = projection.pixel_to_sky_transform.apply_forward(x=x[known], y=y[known])
            xi[known], eta[known] = self.plane.from_sky(np.degrees(sky.x), np.degrees(sky.y))
        return xi, eta


def correct_projection(
    projection: SkyProjection[DetectorFrame],
    *,
    plane: TangentPlane,
    correction: PlaneCorrection,
    bbox: Box,
) -> SkyProjection[DetectorFrame]:
    """Add a correction in the tangent plane to a sky projection.

    Parameters
    ----------
    projection
        Initial sky projection; what it knows of the camera's distortion is
        kept.
    plane
        Plane that the correction was fitted in.
    correction
        The correction.
    bbox
        The detector's pixels.

    Returns
    -------
    projection
        Corrected sky projection, which can be inverted and written as the
        initial one can. A plain tangent-plane approximation comes with it for
        FITS headers: it has the correct position, scale and rotation at the
        detector's centre, but no distortion.
    """
    initial = projection.pixel_to_sky_transform
    from_plane = _plane_to_sky(plane)
    to_plane = initial.then(from_plane.inverted(), remember_components=False)
    corrected = to_plane.then(_correction_transform(correction), remember_components=False)
    to_sky = corrected.then(from_plane, remember_components=False)
    x0, y0 = 0.5 * (bbox.x.min + bbox.x.max), 0.5 * (bbox.y.min + bbox.y.max)
    touching, jacobian = _local_frame(to_sky, x0, y0)
    approximation = Transform.from_fits_wcs(
        _gnomonic_wcs(touching, jacobian / 3600.0, pixel=(x0, y0)), to_sky.in_frame, ICRS
    )
    return SkyProjection(to_sky, fits_approximation=approximation)


def _local_frame(
    to_sky: Transform[DetectorFrame, SkyFrame], x0: float, y0: float
) -> tuple[TangentPlane, npt.NDArray[np.float64]]:
    """Tangent plane at a pixel and the derivative by (x, y) there."""
    step = 50.0
    points = to_sky.apply_forward(
        x=x0 + step * np.array([0, 1, -1, 0, 0]), y=y0 + step * np.array([0, 0, 0, 1, -1])
    )
    ra, dec = np.degrees(points.x), np.degrees(points.y)
    plane = TangentPlane(float(ra[0]) % 360.0, float(dec[0]))
    xi, eta = plane.from_sky(ra, dec)
    difference = np.array([[xi[1] - xi[2], xi[3] - xi[4]], [eta[1] - eta[2], eta[3] - eta[4]]])
    return plane, difference / (2.0 * step)


def _plane_to_sky(plane: TangentPlane) -> Transform[GeneralFrame, SkyFrame]:
    wcs = _gnomonic_wcs(plane, np.eye(2) / 3600.0, pixel=(0.0, 0.0))
    return Transform.from_fits_wcs(wcs, _ARCSEC, ICRS)


def _gnomonic_wcs(plane: TangentPlane, cd: npt.NDArray[np.float64], *, pixel: tuple[float, float]) -> WCS:
    """Gnomonic FITS WCS; ``pixel`` is 0-based, ``cd`` in degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crpix = [pixel[0] + 1.0, pixel[1] + 1.0]
    wcs.wcs.crval = [plane.ra, plane.dec]
    wcs.wcs.cd = cd
    return wcs


def _correction_transform(correction: PlaneCorrection) -> Transform[GeneralFrame, GeneralFrame]:
    if correction.coefficients.shape[1] == 3:
        augmented = np.eye(3)
        augmented[:2, :2] = correction.matrix
        augmented[:2, 2] = correction.shift
        return Transform.affine(_ARCSEC, _ARCSEC, augmented)
    terms = [
        [correction.coefficients[axis, k] / correction.scale ** (i + j), axis + 1, i, j]
        for axis in range(2)
        for k, (i, j) in enumerate(correction.exponents)
    ]
    mapping = ast.PolyMap(np.array(terms), 2, "IterInverse=1,NiterInverse=10,TolInverse=1e-9")
    return Transform(_ARCSEC, _ARCSEC, mapping)
