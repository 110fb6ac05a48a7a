# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Detectors and coordinate transforms of `lsst.images` from a camera's facts.

Frames and units: pixels (0-based centres of the assembled, trimmed sensor)
-> focal plane (mm) -> field angle (rad) -> sky (ICRS).
"""

from __future__ import annotations

__all__ = ("field_angle_to_sky", "make_detector", "make_sky_projection")

import math

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, SkyCoord
from astropy.wcs import WCS

from lsst.images import (
    ICRS,
    Box,
    DetectorFrame,
    FieldAngleFrame,
    SkyFrame,
    SkyProjection,
    Transform,
)
from lsst.images._transforms import _ast as ast  # AST through astshim or starlink-pyast, as lsst.images does
from lsst.images.cameras import (
    Amplifier,
    AmplifierCalibrations,
    AmplifierRawGeometry,
    CameraFrameSet,
    Detector,
    DetectorAttributes,
    DetectorType,
    Orientation,
    ReadoutCorner,
)

from ._facts import AmplifierFacts, CameraFacts, DetectorFacts, TransformFacts

_RADIAN_PER_ARCSEC = math.pi / (180.0 * 3600.0)


def make_detector(facts: CameraFacts, detector: int) -> Detector:
    """Build one detector with its amplifiers and coordinate frames.

    Parameters
    ----------
    facts
        Tables of the camera.
    detector
        Id of a detector of this camera.

    Returns
    -------
    detector
        The detector. Its frame set holds this detector alone, so that it
        stays small when it is written into a file.
    """
    sensor = facts.detectors[detector]
    return Detector(
        _make_attributes(sensor),
        [_make_amplifier(amplifier) for amplifier in facts.amplifiers[detector]],
        _make_frames(facts.name, sensor, facts.transform),
    )


def _make_attributes(facts: DetectorFacts) -> DetectorAttributes:
    ny, nx = facts.shape
    return DetectorAttributes(
        name=facts.full_name,
        id=facts.id,
        type=DetectorType(facts.purpose),
        serial=facts.serial,
        bbox=Box.factory[0:ny, 0:nx],
        orientation=Orientation(
            focal_plane_x=facts.offset[0],
            focal_plane_y=facts.offset[1],
            focal_plane_z=facts.offset[2],
            pixel_reference_x=facts.reference_pixel[0],
            pixel_reference_y=facts.reference_pixel[1],
            yaw=math.radians(facts.yaw % 360.0) * u.radian,
        ),
        pixel_size=facts.pixel_size,
        physical_type=facts.physical_type,
    )


def _make_amplifier(facts: AmplifierFacts) -> Amplifier:
    ix, iy = facts.grid
    nx = facts.data_x[1] - facts.data_x[0]
    ny = facts.data_y[1] - facts.data_y[0]
    corner = ReadoutCorner(facts.read_corner)
    return Amplifier(
        name=facts.name,
        bbox=Box.factory[iy * ny : (iy + 1) * ny, ix * nx : (ix + 1) * nx],
        readout_corner=corner.apply_flips(y=facts.flip_y, x=facts.flip_x),
        unassembled_raw_geometry=AmplifierRawGeometry(
            bbox=_box(facts.raw_y, facts.raw_x),
            data_bbox=_box(facts.data_y, facts.data_x),
            flip_x=facts.flip_x,
            flip_y=facts.flip_y,
            x_offset=ix * (facts.raw_x[1] - facts.raw_x[0]),
            y_offset=iy * (facts.raw_y[1] - facts.raw_y[0]),
            serial_overscan_bbox=_box(facts.data_y, facts.serial_overscan_x),
            parallel_overscan_bbox=_box(facts.parallel_overscan_y, facts.data_x),
            prescan_bbox=_box(facts.data_y, facts.serial_prescan_x),
            readout_corner=corner,
        ),
        nominal_calibrations=AmplifierCalibrations(
            gain=facts.gain,
            read_noise=facts.read_noise,
            saturation=facts.saturation,
            suspect_level=math.nan,
            linearity_coefficients=np.array([0.0, facts.saturation]),
            linearity_type="PROPORTIONAL",
        ),
    )


def _box(y: tuple[int, int], x: tuple[int, int]) -> Box:
    return Box.factory[y[0] : y[1], x[0] : x[1]]


def _make_frames(instrument: str, sensor: DetectorFacts, transform: TransformFacts) -> CameraFrameSet:
    ny, nx = sensor.shape
    focal_plane = ast.Frame(2, "Ident=FOCAL_PLANE,Unit(1)=mm,Unit(2)=mm")
    field_angle = ast.Frame(2, "Ident=FIELD_ANGLE,Unit(1)=rad,Unit(2)=rad")
    pixels = ast.Frame(
        2,
        f"Ident=DETECTOR_{sensor.id:03d},Unit(1)=pixel,Unit(2)=pixel,"
        f"Bottom(1)=0,Top(1)={nx},Bottom(2)=0,Top(2)={ny}",
    )
    frames = ast.FrameSet(focal_plane)
    frames.addFrame(ast.FrameSet.BASE, _focal_plane_to_field_angle(transform), field_angle)
    frames.addFrame(ast.FrameSet.BASE, _pixels_to_focal_plane(sensor).inverted(), pixels)
    return CameraFrameSet(instrument, frames)


def _pixels_to_focal_plane(sensor: DetectorFacts) -> ast.Mapping:
    """Return the affine mapping of 0-based pixel centres to mm."""
    # Sensors sit at multiples of 90 degrees: exact sines keep exact positions.
    turns, remainder = divmod(sensor.yaw, 90.0)
    cosine, sine = math.cos(math.radians(remainder)), math.sin(math.radians(remainder))
    for _ in range(int(turns) % 4):
        cosine, sine = -sine, cosine
    matrix = sensor.pixel_size * np.array([[cosine, -sine], [sine, cosine]])
    x, y = sensor.reference_pixel
    shift = np.array(sensor.offset[:2]) - matrix @ np.array([x, y])
    return ast.MatrixMap(matrix).then(ast.ShiftMap(shift))


def _focal_plane_to_field_angle(transform: TransformFacts) -> ast.Mapping:
    """Return the radial mapping of mm to rad.

    Notes
    -----
    With odd powers only, ``r' = sum(c[i] r**i)`` is a polynomial of x and y:
    ``x' = x sum(c[i] (x**2 + y**2)**((i - 1) / 2))``. AST inverts it by
    Newton's method.
    """
    if any(transform.radial[::2]):
        raise ValueError(f"Even powers of the radial distortion are not supported: {transform.radial}.")
    scale = transform.plate_scale * _RADIAN_PER_ARCSEC
    scale_x = -scale if transform.flip_x else scale
    if not any(transform.radial[3::2]):
        return ast.MatrixMap(transform.radial[1] * np.diag([scale_x, scale]))
    terms = []
    for power in range(1, len(transform.radial), 2):
        half = (power - 1) // 2
        for k in range(half + 1):
            coefficient = transform.radial[power] * math.comb(half, k)
            terms.append([scale_x * coefficient, 1, 1 + 2 * k, 2 * (half - k)])
            terms.append([scale * coefficient, 2, 2 * k, 1 + 2 * (half - k)])
    return ast.PolyMap(np.array(terms), 2, "IterInverse=1,NiterInverse=10,TolInverse=1e-12")


def make_sky_projection(
    detector: Detector, *, boresight: SkyCoord, rotation: Angle, visit: int | None = None
) -> SkyProjection[DetectorFrame]:
    """Place a detector on the sky from the pointing of the telescope.

    Parameters
    ----------
    detector
        Detector with nominal geometry.
    boresight
        Sky position of the optical axis (field angle 0, 0).
    rotation
        Position angle of the field angle's y axis on the sky, as in
        ``ObservationInfo.boresight_rotation_angle``.
    visit
        Visit to attach to the frames.

    Returns
    -------
    projection
        Pixels to ICRS: the camera's distortion, then a gnomonic projection
        about the boresight. A plain tangent-plane approximation at the
        detector's centre comes with it for FITS headers.
    """
    pixels = detector.frame.model_copy(update={"visit": visit})
    to_field_angle = detector.to_field_angle
    field_angle = to_field_angle.out_frame
    if pixels != detector.frame:
        link = Transform.affine(pixels, detector.frame, np.eye(2))
        to_field_angle = link.then(to_field_angle, remember_components=False)
    to_sky = to_field_angle.then(
        field_angle_to_sky(field_angle, boresight=boresight, rotation=rotation), remember_components=False
    )
    return SkyProjection(to_sky, fits_approximation=_tangent_plane_approximation(to_sky))


def field_angle_to_sky(
    frame: FieldAngleFrame, *, boresight: SkyCoord, rotation: Angle
) -> Transform[FieldAngleFrame, SkyFrame]:
    """Return the gnomonic projection about the boresight.

    Parameters
    ----------
    frame
        Field angle, in rad.
    boresight
        Sky position of the optical axis.
    rotation
        Position angle of the field angle's y axis on the sky.

    Returns
    -------
    transform
        Field angle to ICRS, both in rad.
    """
    angle = rotation.to_value(u.rad)
    # Seen from inside the sphere, right ascension runs against x.
    matrix = np.array([[-math.cos(angle), math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    icrs = boresight.icrs
    wcs = _tangent_plane(icrs.ra.deg, icrs.dec.deg, np.degrees(matrix), pixel=(0.0, 0.0))
    return Transform.from_fits_wcs(wcs, frame, ICRS)


def _tangent_plane(ra: float, dec: float, cd: np.ndarray, *, pixel: tuple[float, float]) -> WCS:
    """Return a gnomonic FITS WCS; ``pixel`` is 0-based, ``cd`` deg."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crpix = [pixel[0] + 1.0, pixel[1] + 1.0]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.cd = cd
    return wcs


def _tangent_plane_approximation(
    to_sky: Transform[DetectorFrame, SkyFrame],
) -> Transform[DetectorFrame, SkyFrame]:
    """Return the gnomonic projection that touches the detector's centre.

    Notes
    -----
    Distortion within one detector is neglected: up to 1.6 pixels in the
    corners of the outermost sensors of LSSTCam.
    """
    box = to_sky.in_frame.bbox
    centre = np.array([0.5 * (box.x.start + box.x.stop - 1), 0.5 * (box.y.start + box.y.stop - 1)])
    step = np.array([0.25 * box.x.size, 0.25 * box.y.size])
    points = to_sky.apply_forward(
        x=centre[0] + step[0] * np.array([0, -1, 1, 0, 0]),
        y=centre[1] + step[1] * np.array([0, 0, 0, -1, 1]),
    )
    xi, eta = _gnomonic(points.x, points.y)
    plane = np.degrees(np.array([xi, eta]))
    cd = np.stack(
        [(plane[:, 2] - plane[:, 1]) / (2 * step[0]), (plane[:, 4] - plane[:, 3]) / (2 * step[1])], axis=1
    )
    ra, dec = np.degrees(points.x[0]), np.degrees(points.y[0])
    wcs = _tangent_plane(ra, dec, cd, pixel=(centre[0], centre[1]))
    return Transform.from_fits_wcs(wcs, to_sky.in_frame, ICRS)


def _gnomonic(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project positions (rad) about the first of them (rad)."""
    delta = ra - ra[0]
    depth = np.sin(dec[0]) * np.sin(dec) + np.cos(dec[0]) * np.cos(dec) * np.cos(delta)
    xi = np.cos(dec) * np.sin(delta) / depth
    eta = (np.cos(dec[0]) * np.sin(dec) - np.sin(dec[0]) * np.cos(dec) * np.cos(delta)) / depth
    return xi, eta
