# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Detectors, amplifiers and coordinate transforms of the cameras."""

from __future__ import annotations

import csv
import pathlib

import astropy.units as u
import numpy as np
import pytest
from astro_metadata_translator import makeObservationInfo
from astropy.coordinates import Angle, SkyCoord
from lsst.images.cameras import DetectorType, ReadoutCorner
from lsst.ra.pipe.camera import (
    MissingPointingError,
    UnknownDetectorError,
    initial_sky_projection,
    known_cameras,
    load_camera,
)

PIXEL_MM = 0.01
TOLERANCE_PIXELS = 0.01


def read_table(path: pathlib.Path) -> list[dict[str, str]]:
    """Return the rows of a CSV table."""
    with path.open() as stream:
        return list(csv.DictReader(stream))


def pixel_scale_rad(instrument: str) -> float:
    """Return the size of a pixel on the sky."""
    return (0.0957 if instrument == "LATISS" else 0.2) / 206265.0


def test_focal_plane_agrees_with_golden_positions(shared: pathlib.Path) -> None:
    """Every row: pixel to mm, to field angle, and back, to 0.01 pixel."""
    rows = read_table(shared / "camera" / "golden_focal_plane.csv")
    assert len(rows) == 100
    for row in rows:
        detector = load_camera(row["instrument"])[int(row["detector"])]
        assert detector.name == row["full_name"]
        x, y = float(row["x_pix"]), float(row["y_pix"])
        mm = detector.to_focal_plane.apply_forward(x=x, y=y)
        error_mm = np.hypot(mm.x - float(row["focal_x_mm"]), mm.y - float(row["focal_y_mm"]))
        assert error_mm < TOLERANCE_PIXELS * PIXEL_MM, row
        angle = detector.to_field_angle.apply_forward(x=x, y=y)
        error_rad = np.hypot(angle.x - float(row["field_x_rad"]), angle.y - float(row["field_y_rad"]))
        assert error_rad < TOLERANCE_PIXELS * pixel_scale_rad(row["instrument"]), row
        back = detector.to_field_angle.apply_inverse(x=float(row["field_x_rad"]), y=float(row["field_y_rad"]))
        assert np.hypot(back.x - x, back.y - y) < TOLERANCE_PIXELS, row


def test_sky_agrees_with_golden_positions(shared: pathlib.Path) -> None:
    """Every row: pixel to ICRS and back, to 0.01 pixel."""
    rows = read_table(shared / "camera" / "golden_sky.csv")
    assert len(rows) == 200
    for row in rows:
        projection = load_camera(row["instrument"]).sky_projection(
            int(row["detector"]),
            boresight=SkyCoord(
                float(row["boresight_ra_deg"]), float(row["boresight_dec_deg"]), unit=u.deg, frame="icrs"
            ),
            rotation=Angle(float(row["rotation_sky_deg"]), u.deg),
        )
        x, y = float(row["x_pix"]), float(row["y_pix"])
        expected = SkyCoord(float(row["ra_deg"]), float(row["dec_deg"]), unit=u.deg, frame="icrs")
        error = projection.pixel_to_sky(x=x, y=y).separation(expected).rad
        assert error < TOLERANCE_PIXELS * pixel_scale_rad(row["instrument"]), row
        back = projection.sky_to_pixel(expected)
        assert np.hypot(back.x - x, back.y - y) < TOLERANCE_PIXELS, row


def test_fits_approximation_stays_within_two_pixels() -> None:
    """The plain FITS WCS of the outermost sensor is close to the truth."""
    boresight = SkyCoord(40.0, -70.0, unit=u.deg, frame="icrs")
    camera = load_camera("LSSTCam")
    projection = camera.sky_projection("R00_SG0", boresight=boresight, rotation=Angle(77.0, u.deg))
    wcs = projection.as_fits_wcs(camera["R00_SG0"].bbox, allow_approximation=True)
    assert wcs is not None
    x, y = np.array([0.0, 4071.0, 2000.0]), np.array([0.0, 3999.0, 100.0])
    separation = projection.pixel_to_sky(x=x, y=y).separation(wcs.pixel_to_world(x, y))
    assert separation.max() < 0.4 * u.arcsec


@pytest.mark.parametrize(
    ("name", "count", "purposes"),
    [
        ("LSSTCam", 205, {"SCIENCE": 189, "WAVEFRONT": 8, "GUIDER": 8}),
        ("LSSTComCam", 9, {"SCIENCE": 9}),
        ("LATISS", 1, {"SCIENCE": 1}),
    ],
)
def test_camera_has_its_detectors(name: str, count: int, purposes: dict[str, int]) -> None:
    """Numbers of detectors by purpose, found by id and by name."""
    camera = load_camera(name)
    assert len(camera.detectors) == count
    found = [facts.purpose for facts in camera.facts.values()]
    assert {purpose: found.count(purpose) for purpose in set(found)} == purposes
    for id_, facts in camera.facts.items():
        assert camera.detector_id(facts.full_name) == id_
        assert facts.full_name == f"{facts.raft}_{facts.name_in_raft}"


@pytest.mark.parametrize("detector", range(0, 205, 4))
def test_amplifiers_tile_the_detector(detector: int) -> None:
    """The amplifiers' data regions cover each pixel exactly once."""
    sensor = load_camera("LSSTCam")[detector]
    covered = np.zeros(sensor.bbox.shape, dtype=np.int8)
    for amplifier in sensor.amplifiers:
        covered[amplifier.bbox.slice_within(sensor.bbox)] += 1
    assert np.all(covered == 1)
    assert len(sensor.amplifiers) == (8 if sensor.type is DetectorType.WAVEFRONT else 16)


def test_amplifier_regions_do_not_overlap_and_fill_the_raw() -> None:
    """Prescan, data and overscans are disjoint in the raw array."""
    for detector in (94, 0, 192):
        for amplifier in load_camera("LSSTCam")[detector].amplifiers:
            raw = amplifier.unassembled_raw_geometry
            assert raw is not None
            assert raw.prescan_bbox is not None
            covered = np.zeros(raw.bbox.shape, dtype=np.int8)
            for box in (
                raw.data_bbox,
                raw.prescan_bbox,
                raw.serial_overscan_bbox,
                raw.parallel_overscan_bbox,
            ):
                covered[box.slice_within(raw.bbox)] += 1
            assert covered.max() == 1
            assert np.all(covered[: raw.data_bbox.y.size] == 1)


def test_amplifier_corner_and_calibrations_are_those_of_the_table() -> None:
    """C10 of an E2V sensor is read at the upper right, with its own gain."""
    amplifier = load_camera("LSSTCam")["R22_S22"].amplifiers[0]
    assert amplifier.name == "C10"
    assert amplifier.readout_corner is ReadoutCorner.UR
    assert amplifier.nominal_calibrations is not None
    row = next(a for a in _amplifier_rows(98) if a["amplifier"] == "C10")
    assert amplifier.nominal_calibrations.gain == float(row["gain_e_per_adu"])
    assert amplifier.nominal_calibrations.read_noise == float(row["read_noise_e"])
    assert amplifier.nominal_calibrations.saturation == float(row["saturation_e"])


def _amplifier_rows(detector: int) -> list[dict[str, str]]:
    import lsst.ra.pipe.camera

    path = pathlib.Path(lsst.ra.pipe.camera.__file__).parent / "data" / "amplifiers.csv"
    return [
        row for row in read_table(path) if row["instrument"] == "LSSTCam" and row["detector"] == str(detector)
    ]


def test_detectors_do_not_overlap_in_the_focal_plane() -> None:
    """Outlines of neighbouring science sensors leave a gap, with any yaw."""
    camera = load_camera("LSSTCam")
    boxes = []
    for id_ in camera.facts:
        corners = camera.detector_polygon(id_)
        assert corners.shape == (4, 2)
        boxes.append(np.concatenate([corners.min(axis=0), corners.max(axis=0)]))
    bounds = np.array(boxes)
    overlap_x = np.minimum(bounds[:, None, 2], bounds[None, :, 2]) - np.maximum(
        bounds[:, None, 0], bounds[None, :, 0]
    )
    overlap_y = np.minimum(bounds[:, None, 3], bounds[None, :, 3]) - np.maximum(
        bounds[:, None, 1], bounds[None, :, 1]
    )
    overlapping = (overlap_x > 0) & (overlap_y > 0)
    np.testing.assert_array_equal(overlapping, np.eye(len(bounds), dtype=bool))


def test_detector_is_built_once_and_holds_itself_alone() -> None:
    """A second look-up gives the same object; its frames are its own."""
    camera = load_camera("LSSTCam")
    assert camera is load_camera("LSSTCam")
    assert camera[94] is camera["R22_S11"]
    frames = camera[94].to_focal_plane
    assert frames.in_frame.detector == 94
    assert len(frames.show()) < 10_000


@pytest.mark.parametrize("detector", [205, -1, "R99_S00"])
def test_unknown_detector_names_camera_and_what_exists(detector: int | str) -> None:
    """The error says what was asked for and what there is."""
    with pytest.raises(UnknownDetectorError, match=r"LSSTCam has no detector .*205 detectors") as caught:
        load_camera("LSSTCam")[detector]
    assert repr(detector) in str(caught.value)


def test_unknown_camera_names_those_that_exist() -> None:
    """The error lists the cameras."""
    assert known_cameras() == ("LSSTCam", "LSSTComCam", "LATISS")
    with pytest.raises(ValueError, match=r"'DECam'.*LSSTCam, LSSTComCam, LATISS"):
        load_camera("DECam")


def test_filters_have_bands() -> None:
    """Physical filters map to their bands."""
    assert load_camera("LSSTCam").filters["r_57"] == "r"
    assert load_camera("LATISS").filters["SDSSr_65mm~empty"] == "r"
    assert len(load_camera("LSSTComCam").filters) == 15


def test_initial_sky_projection_uses_the_observation() -> None:
    """Boresight, rotation and visit come from the ObservationInfo."""
    boresight = SkyCoord(150.0, 2.0, unit=u.deg, frame="icrs")
    info = makeObservationInfo(
        instrument="LSSTCam",
        exposure_id=2025041500060,
        visit_id=3246948000000000,
        tracking_radec=boresight,
        boresight_rotation_angle=Angle(30.0, u.deg),
        boresight_rotation_coord="sky",
    )
    detector = load_camera("LSSTCam")[94]
    projection = initial_sky_projection(detector, info)
    assert projection.pixel_frame.visit == 2025041500060
    centre = projection.pixel_to_sky(x=2047.5, y=2001.5)
    assert centre.separation(boresight) < 0.002 * u.arcsec
    north = projection.pixel_to_sky(x=2047.5, y=2501.5)
    assert boresight.position_angle(north).deg == pytest.approx(30.0, abs=0.01)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"tracking_radec": None}, "tracking_radec"),
        ({"boresight_rotation_angle": None}, "boresight_rotation_angle"),
        ({"boresight_rotation_coord": "mount"}, "'sky', not 'mount'"),
    ],
)
def test_initial_sky_projection_without_pointing_says_what_is_missing(
    missing: dict[str, str | None], message: str
) -> None:
    """A calibration exposure has no place on the sky."""
    values = {
        "instrument": "LSSTCam",
        "exposure_id": 2025041500060,
        "visit_id": 2025041500060,
        "tracking_radec": SkyCoord(150.0, 2.0, unit=u.deg, frame="icrs"),
        "boresight_rotation_angle": Angle(30.0, u.deg),
        "boresight_rotation_coord": "sky",
    }
    info = makeObservationInfo(**(values | missing))
    with pytest.raises(MissingPointingError, match=f"2025041500060 of LSSTCam.*{message}"):
        initial_sky_projection(load_camera("LSSTCam")[94], info)
