# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Simulated images in hard conditions, and what is recorded of them."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow.parquet as pq
import pydantic
import pytest
from astropy.coordinates import SkyCoord
from lsst.ra.pipe.camera import Camera, load_camera, read_raw
from lsst.ra.pipe.camera.calibrations import Defects, PhotonTransferCurve
from lsst.ra.pipe.simulation import (
    SimulationConfig,
    TrueDetector,
    adaptive_moments,
    aperture_fraction,
    donut_profile,
    shadow,
    simulate,
)
from lsst.ra.pipe.simulation._ccd import build_ccd
from lsst.ra.pipe.simulation._detector import DetectorTruth, render
from lsst.ra.pipe.simulation._exposures import plan_exposures

DETECTOR = 191
CLEAN: dict[str, Any] = {
    "detectors": (DETECTOR,),
    "vignetting": False,
    "star_density": 0.0,
    "galaxy_density": 0.0,
    **dict.fromkeys(("bias", "dark", "flat", "defects", "crosstalk", "cosmic_rays"), False),
    "overscan_structure": False,
}


@pytest.fixture(scope="module")
def camera() -> Camera:
    """The camera."""
    return load_camera("LSSTCam")


def electrons(config: SimulationConfig, camera: Camera) -> tuple[np.ndarray, DetectorTruth]:
    """Simulate; return assembled electrons above the constant level, and the truth."""
    ccd = build_ccd(config, camera[DETECTOR])
    counts, truth, _ = render(config, camera, ccd, plan_exposures(config, band="r")[0])
    image = np.zeros(ccd.shape)
    for i, amplifier in enumerate(ccd.detector.amplifiers):
        raw = amplifier.unassembled_raw_geometry
        assert raw is not None
        data = counts[i][raw.data_bbox.slice_within(raw.bbox)].astype(float)
        data = (data - ccd.offset[i]) * ccd.gain[i]
        image[amplifier.bbox.slice_within(ccd.detector.bbox)] = data[
            :: -1 if raw.flip_y else 1, :: -1 if raw.flip_x else 1
        ]
    return image, truth


def gaussian(xx: float, yy: float, xy: float, *, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Return a Gaussian of unit flux and given second moments, unpixelised."""
    y, x = np.mgrid[-40:41, -40:41].astype(float)
    x, y = x - centre[0], y - centre[1]
    determinant = xx * yy - xy * xy
    distance = (yy * x * x + xx * y * y - 2.0 * xy * x * y) / determinant
    pixels: np.ndarray = np.exp(-0.5 * distance) / (2.0 * np.pi * math.sqrt(determinant))
    return pixels


@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.3, -0.4)])
def test_adaptive_moments_of_a_gaussian_are_its_own(centre: tuple[float, float]) -> None:
    """Radius and both ellipticities come back, wherever in the pixel it is."""
    moments = adaptive_moments(gaussian(5.0, 4.0, -0.6, centre=centre))
    assert moments.sigma == pytest.approx((5.0 * 4.0 - 0.36) ** 0.25, rel=1e-6)
    assert moments.e1 == pytest.approx(1.0 / 9.0, abs=1e-6)
    assert moments.e2 == pytest.approx(-1.2 / 9.0, abs=1e-6)


def test_adaptive_moments_of_no_star_are_unknown() -> None:
    """A flat stamp has no Gaussian that matches it."""
    assert math.isnan(adaptive_moments(np.ones((41, 41))).sigma)


@pytest.mark.parametrize("radius", [4.0, 6.7, 12.0])
def test_the_aperture_holds_its_part_of_a_gaussian(radius: float) -> None:
    """A circle holds 1 - exp(-r^2 / 2 sigma^2) of a round Gaussian."""
    pixel = 1.0 / 12.0  # light is taken as even within a pixel
    expected = 1.0 - math.exp(-0.5 * radius**2 / (25.0 + pixel))
    assert aperture_fraction(gaussian(25.0, 25.0, 0.0), radius) == pytest.approx(expected, abs=1e-3)


def test_dead_amplifiers_read_no_signal(camera: Camera) -> None:
    """Their pixels are at the bias level, the others see the sky."""
    config = SimulationConfig(**CLEAN, dead_amplifiers=("C12", "C15"))
    image, truth = electrons(config, camera)
    levels = {
        amplifier.name: float(np.median(image[amplifier.bbox.slice_within(camera[DETECTOR].bbox)]))
        for amplifier in camera[DETECTOR].amplifiers
    }
    for name, level in levels.items():
        expected = 0.0 if name in config.dead_amplifiers else truth.sky_electron
        assert level == pytest.approx(expected, abs=2.0)


@pytest.mark.parametrize("known", [True, False])
def test_calibrations_know_dead_amplifiers_if_told(tmp_path: pathlib.Path, *, known: bool) -> None:
    """A defect covers them, and the photon transfer curve has them, or not."""
    config = SimulationConfig(**CLEAN, dead_amplifiers=("C13",), dead_amplifiers_known=known)
    result = simulate(config.model_copy(update={"n_exposures": 0}), tmp_path)
    files = {one.dataset_type: one.path for one in result.calibrations}
    assert PhotonTransferCurve.read(files["ptc"]).bad_amplifiers == ({"C13"} if known else set())
    covered = Defects.read(files["defects"]).covered_amplifiers(load_camera("LSSTCam")[DETECTOR])
    assert covered == ({"C13"} if known else set())


def test_an_amplifier_that_the_detector_lacks_cannot_be_dead(camera: Camera) -> None:
    """The error names it, the detector, and those that there are."""
    config = SimulationConfig(dead_amplifiers=("C10", "C07"))
    with pytest.raises(ValueError, match=r"R00_SW0 has no amplifiers \['C07'\].*'C17'"):
        build_ccd(config, camera[DETECTOR])


def test_a_shadow_takes_the_light_beyond_its_edge(camera: Camera) -> None:
    """The sky falls smoothly to nothing; the truth is that of the lit part."""
    config = SimulationConfig(**CLEAN, shadow=0.5, sky_magnitude=18.0)
    image, truth = electrons(config, camera)
    columns = np.median(image, axis=0)
    middle = columns.size // 2
    assert np.median(columns[: middle - 500]) == pytest.approx(truth.sky_electron, rel=2e-3)
    assert np.median(columns[middle - 20 : middle + 20]) == pytest.approx(0.5 * truth.sky_electron, rel=0.03)
    assert np.median(columns[middle + 600 :]) == pytest.approx(0.0, abs=1.0)
    x = np.linspace(0.0, columns.size - 1.0, 40)
    expected = TrueDetector.of(config, detector=DETECTOR).sky(x, np.full(40, 100.0))
    np.testing.assert_allclose(columns[x.astype(int)], expected, atol=0.02 * truth.sky_electron)
    lit = image[:, : middle - 500]
    spread = 1.4826 * float(np.median(np.abs(lit - np.median(lit))))
    assert truth.noise_electron == pytest.approx(spread, rel=0.01)


def test_a_shadow_of_the_flat_leaves_the_sky_after_it(camera: Camera) -> None:
    """The response falls, and what is divided by it is the whole sky."""
    config = SimulationConfig(**CLEAN, shadow=0.5, shadow_in_flat=True)
    flat = build_ccd(config, camera[DETECTOR]).flat
    image, truth = electrons(config, camera)
    assert flat[0, 0] == 1.0
    assert flat[0, -1] < 1e-9
    bright = flat > 0.3
    assert np.median(image[bright] / flat[bright]) == pytest.approx(truth.sky_electron, rel=5e-3)
    assert np.all(np.diff(shadow(config, np.arange(flat.shape[1]), flat.shape[1])) <= 0.0)


def test_headers_are_wrong_by_the_pointing_error(tmp_path: pathlib.Path, camera: Camera) -> None:
    """The header has the configured pointing, objects follow the true one."""
    config = SimulationConfig(
        **CLEAN | {"star_density": 20_000.0}, pointing_error=30.0, rotation_error=0.5, rotation=10.0
    )
    result = simulate(config, tmp_path)
    [row] = pq.read_table(result.truth).to_pylist()
    info = read_raw(result.raws[0]).obs_info
    assert info.tracking_radec is not None
    assert info.boresight_rotation_angle is not None
    true = SkyCoord(row["boresight_ra"] * u.deg, row["boresight_dec"] * u.deg)
    assert info.tracking_radec.separation(SkyCoord(150.1 * u.deg, 2.2 * u.deg)).arcsec < 1e-6
    assert info.tracking_radec.separation(true).arcsec == pytest.approx(30.0, abs=1e-3)
    assert info.boresight_rotation_angle.deg == pytest.approx(10.0)
    assert row["rotation"] == pytest.approx(10.5)
    objects = pq.read_table(result.object_truth[0])
    x, y, ra, dec = (objects[name].to_numpy() for name in ("x", "y", "ra", "dec"))
    sky = TrueDetector.of(config, detector=DETECTOR).projection.pixel_to_sky(x=x, y=y)
    assert sky.separation(SkyCoord(ra * u.deg, dec * u.deg)).arcsec.max() < 1e-3
    header = camera.sky_projection(
        DETECTOR, boresight=info.tracking_radec, rotation=info.boresight_rotation_angle
    ).pixel_to_sky(x=x, y=y)
    assert header.separation(SkyCoord(ra * u.deg, dec * u.deg)).arcsec.min() > 10.0
    bright = objects["id"].to_numpy()[objects["mag"].to_numpy() < 22.0]
    assert np.isin(bright, pq.read_table(result.reference_catalog)["id"].to_numpy()).all()


def test_a_trail_keeps_the_flux_and_turns_the_shape() -> None:
    """A trailed star is long along the trail, and as bright as before."""
    sharp = TrueDetector.of(SimulationConfig(ellipticity=0.0), detector=94)
    trailed = TrueDetector.of(SimulationConfig(ellipticity=0.0, trail=4.0, trail_angle=45.0), detector=94)
    star = trailed.star(2000.0, 2000.0, size=161)
    assert star.sum() == pytest.approx(sharp.star(2000.0, 2000.0, size=161).sum(), rel=2e-3)
    y, x = np.mgrid[-80:81, -80:81]
    assert abs((star * x).sum()) < 0.05
    assert abs((star * y).sum()) < 0.05
    moments = trailed.moments(2000.0, 2000.0)
    assert moments.e2 > 0.7
    assert abs(moments.e1) < 0.02


def test_a_donut_has_a_hole_and_unit_flux() -> None:
    """Light is in a ring of the configured diameter."""
    profile = donut_profile(0.1)
    radius = np.arange(profile.values.size) * profile.step
    assert np.trapezoid(2.0 * np.pi * radius * profile.values, radius) == pytest.approx(1.0, abs=1e-3)
    assert profile.values[0] < 0.01 * profile.values.max()
    assert 0.30 < radius[np.argmax(profile.values)] < 0.5
    donut = TrueDetector.of(SimulationConfig(donut_diameter=8.0), detector=94).star(2000.0, 2000.0)
    y, x = np.mgrid[-40:41, -40:41]
    assert donut[40, 40] < 0.1 * donut.max()
    assert donut[np.hypot(x, y) < 22.0].sum() == pytest.approx(1.0, abs=0.02)
    assert donut[np.hypot(x, y) < 10.0].sum() < 0.1


def test_truth_has_the_moments_of_a_star_at_the_centre(camera: Camera) -> None:
    """Size, shape and loss are those of a star drawn there."""
    config = SimulationConfig(**CLEAN | {"detectors": (DETECTOR,)}, ellipticity=0.1)
    _, truth = electrons(config, camera)
    ny, nx = camera[DETECTOR].bbox.shape
    true = TrueDetector.of(config, detector=DETECTOR)
    moments = true.moments((nx - 1) / 2.0, (ny - 1) / 2.0)
    assert truth.psf_sigma_pixel == pytest.approx(moments.sigma, rel=1e-4)
    assert (truth.psf_e1, truth.psf_e2) == pytest.approx((moments.e1, moments.e2), abs=1e-4)
    assert math.hypot(truth.psf_e1 - truth.e1, truth.psf_e2 - truth.e2) < 0.01
    # Moffat of beta 3 has its FWHM at 2.19 sigma of the matched Gaussian here.
    assert truth.psf_sigma_pixel == pytest.approx(truth.psf_fwhm_arcsec / 0.2 / 2.05, rel=0.1)
    loss = truth.zero_point - truth.zero_point_12_pixels
    assert 0.005 < loss < 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shadow": 1.5}, "shadow"),
        ({"shadow_width": 10.0}, "shadow_width"),
        ({"donut_diameter": 0.1}, "donut_diameter"),
        ({"pointing_error": -1.0}, "pointing_error"),
    ],
)
def test_impossible_conditions_are_refused(settings: dict[str, Any], message: str) -> None:
    """The error names the setting."""
    with pytest.raises(pydantic.ValidationError, match=message):
        SimulationConfig(**settings)
