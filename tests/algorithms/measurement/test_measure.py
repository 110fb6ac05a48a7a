# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The PSF, and everything together on one image."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import astropy.io.fits
import numpy as np
import pytest
import scipy.ndimage
from lsst.ra.pipe.algorithms import MASK_SCHEMA
from lsst.ra.pipe.algorithms.measurement import (
    DETECTOR_METRICS,
    DetectorMeasurement,
    NoBackgroundError,
    PlaneBits,
    StarReferences,
    ellipticity,
    make_star_table,
    measure_detector,
    undefined_metrics,
)
from simulated_sky import Scene, add_stamp, make_scene, match, moffat_stamp

BITS = PlaneBits(
    unusable=MASK_SCHEMA.bitmask("BAD", "NO_DATA", "UNMASKEDNAN"),
    doubtful=MASK_SCHEMA.bitmask("SAT", "INTRP", "SUSPECT"),
    saturated=MASK_SCHEMA.bitmask("SAT"),
)


def empty_mask(scene: Scene) -> np.ndarray:
    """Make a mask without a plane set."""
    return np.zeros((*scene.image.shape, MASK_SCHEMA.mask_size), dtype=np.uint8)


def measure(scene: Scene, mask: np.ndarray | None = None) -> DetectorMeasurement:
    """Measure a scene with default settings."""
    mask = empty_mask(scene) if mask is None else mask
    return measure_detector(scene.image, variance=scene.variance, mask=mask, bits=BITS)


@pytest.mark.parametrize(("profile", "tolerance"), [("moffat", 0.015), ("kolmogorov", 0.025)])
@pytest.mark.parametrize("fwhm", [2.8, 4.0, 7.5])
def test_fwhm_is_that_of_the_profile_before_pixel_integration(
    profile: str, tolerance: float, fwhm: float
) -> None:
    """In good and bad seeing; Moffat's profile fits Kolmogorov's to 2 per cent of its width."""
    measurement = measure(make_scene(profile=profile, fwhm=fwhm, n_stars=20))
    assert measurement.psf_status == "ok"
    assert measurement.psf.profile.fwhm == pytest.approx(fwhm, rel=tolerance)


@pytest.mark.parametrize(("e1", "e2"), [(0.08, -0.05), (-0.03, 0.1)])
def test_ellipticity_has_the_right_size_and_sign(e1: float, e2: float) -> None:
    """The profile's is the true one; the moments' is diluted by the pixel alone."""
    measurement = measure(make_scene(e1=e1, e2=e2, n_stars=50))
    assert [measurement.psf.profile.e1, measurement.psf.profile.e2] == pytest.approx([e1, e2], abs=0.01)
    assert [measurement.psf.e1, measurement.psf.e2] == pytest.approx([e1, e2], abs=0.01)


def test_a_strong_gradient_of_the_sky_is_sky() -> None:
    """Half as much again on one side as on the other leaves nothing out."""
    scene = make_scene(n_stars=60, shape=(1400, 1600), slope=0.8)
    measurement = measure(scene)
    assert not measurement.unlit.any()
    assert len(measurement.detections) == 60
    assert measurement.background.level == pytest.approx(scene.sky, rel=5e-3)


def test_four_faint_stars_are_enough_for_a_psf() -> None:
    """With few stars the width is still within 5 per cent."""
    measurement = measure(make_scene(n_stars=4, flux_range=(2e4, 3e4)))
    assert measurement.psf.n_stars >= 3
    assert measurement.psf.profile.fwhm == pytest.approx(4.0, rel=0.05)


def test_galaxies_do_not_change_the_psf() -> None:
    """Twice as many galaxies as stars leave the width within 2 per cent."""
    measurement = measure(make_scene(n_stars=40, n_galaxies=80, shape=(1200, 1200)))
    assert measurement.psf.profile.fwhm == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize("n_stars", [0, 40, 400])
def test_sources_do_not_bias_the_sky(n_stars: int) -> None:
    """The sky is within 0.3 per cent of the truth in an empty and in a crowded field."""
    scene = make_scene(n_stars=n_stars)
    measurement = measure(scene)
    assert measurement.background.level == pytest.approx(scene.sky, rel=3e-3)
    assert measurement.sky_noise == pytest.approx(scene.sky_noise, rel=0.02)
    assert measurement.sky_variance == pytest.approx(scene.sky_noise**2, rel=0.01)


def test_an_image_without_stars_still_has_a_sky() -> None:
    """What needs stars is NaN and the status says why."""
    measurement = measure(make_scene(n_stars=0))
    assert measurement.psf_status == "no sources"
    assert measurement.psf.n_stars == 0
    assert np.isnan(measurement.psf.sigma)
    assert np.isfinite(measurement.background.level)


def test_saturated_and_masked_stars_are_not_used_for_the_psf() -> None:
    """A saturated core and an interpolated pixel each cost their star, and only that."""
    scene = make_scene(n_stars=30)
    mask = empty_mask(scene)
    for star, plane in ((0, "SAT"), (1, "INTRP")):
        bit = MASK_SCHEMA.bit(plane)
        mask[round(scene.y[star]), round(scene.x[star]), bit.index] |= bit.mask
    measurement = measure(scene, mask)
    index = match(measurement.shapes.x, measurement.shapes.y, scene)
    used = measurement.selection.is_psf_star[index]
    assert not used[:2].any()
    assert used[2:].mean() > 0.85
    assert measurement.is_saturated[index].tolist() == [True] + [False] * 29


def test_nan_pixels_and_bad_columns_do_not_spread() -> None:
    """Non-finite pixels without a mask and a masked hot column leave the results alone."""
    scene = make_scene(n_stars=40)
    mask = empty_mask(scene)
    scene.image[::50, ::37] = np.nan
    scene.image[:, 400] = scene.variance[:, 400] = 60000.0
    scene.variance[100, 100], scene.variance[104, 100] = np.nan, np.inf
    bit = MASK_SCHEMA.bit("BAD")
    mask[:, 400, bit.index] |= bit.mask
    measurement = measure(scene, mask)
    assert measurement.background.level == pytest.approx(scene.sky, rel=3e-3)
    assert measurement.psf.profile.fwhm == pytest.approx(4.0, rel=0.03)
    assert measurement.sky_variance == pytest.approx(scene.sky_noise**2, rel=0.01)
    assert len(measurement.detections) == scene.x.size


def test_cosmic_rays_neither_count_as_sources_nor_change_the_psf() -> None:
    """Short bright strokes outnumber the stars and are told from them."""
    scene = make_scene(n_stars=40)
    rng = np.random.default_rng(8)
    for x, y, length in zip(
        rng.integers(10, 780, 100), rng.integers(10, 680, 100), rng.integers(1, 4, 100), strict=True
    ):
        scene.image[y, x : x + length] += 5000.0
    measurement = measure(scene)
    assert measurement.psf.profile.fwhm == pytest.approx(4.0, rel=0.02)
    assert 90 <= measurement.cosmic_rays.n_rays <= 105
    assert 40 <= len(measurement.detections) <= 46
    index = match(measurement.shapes.x, measurement.shapes.y, scene)
    assert (index >= 0).all()


def test_the_psf_model_varies_as_the_stars_do() -> None:
    """Size and ellipticity of the model follow a gradient over the image."""
    scene = make_scene(n_stars=0, shape=(1500, 1500))
    rng = np.random.default_rng(4)
    truth = scene.image.astype(np.float64) * 0
    x, y = (np.indices((12, 12)).reshape(2, -1) + 0.5) * 125 + rng.uniform(-9, 9, (2, 144))
    for cx, cy in zip(x, y, strict=True):
        ix, iy = round(cx), round(cy)
        fwhm = 4.0 * (1 + 0.06 * (cx / 750 - 1))
        stamp = moffat_stamp(cx - ix, cy - iy, fwhm=fwhm, e1=0.04 * (cy / 750 - 1), half=30)
        add_stamp(truth, 3e5 * stamp, ix, iy)
    scene.image[:] += rng.poisson(truth)
    scene.variance[:] += truth
    model = measure(scene).psf_model
    assert model is not None
    for cx, cy in ((100.0, 100.0), (750.0, 750.0), (1400.0, 300.0)):
        fwhm, e1 = 4.0 * (1 + 0.06 * (cx / 750 - 1)), 0.04 * (cy / 750 - 1)
        expected = moffat_stamp(0, 0, fwhm=fwhm, e1=e1, half=model.half)
        expected /= expected.sum()
        found = model.image_at(cx, cy)
        assert np.abs(found - expected).max() < 0.006 * expected.max()
        ixx, iyy, ixy = model.moments_at(cx, cy)
        assert float(ellipticity(ixx, iyy, ixy)[0]) == pytest.approx(e1, abs=0.004)


def test_a_trailed_image_has_no_psf_but_a_sky() -> None:
    """The status says what is wrong, and no number of the PSF is made up."""
    scene = make_scene(n_stars=0, shape=(900, 900))
    rng = np.random.default_rng(2)
    truth = np.zeros(scene.image.shape)
    for x, y in rng.integers(60, 840, (20, 2)):
        for step in range(-15, 16):
            add_stamp(truth, 5e3 * moffat_stamp(0, 0, fwhm=4.0, half=20), int(x) + step, int(y))
    scene.image[:] += rng.poisson(truth)
    measurement = measure(scene)
    assert measurement.psf_status == "trailed"
    assert np.isnan(measurement.psf.sigma)
    assert measurement.psf_model is None
    assert not measurement.selection.is_psf_star.any()
    assert measurement.background.level == pytest.approx(scene.sky, rel=5e-3)


def test_an_image_out_of_focus_has_no_psf() -> None:
    """Rings of light are told from stars that are wide."""
    scene = make_scene(n_stars=0, shape=(900, 900))
    rng = np.random.default_rng(2)
    truth = np.zeros(scene.image.shape)
    distance = np.hypot(*np.meshgrid(np.arange(-20, 21), np.arange(-20, 21)))
    ring = scipy.ndimage.gaussian_filter(((distance > 3) & (distance < 8)).astype(float), 1.7)
    for x, y in (np.indices((6, 6)).reshape(2, -1) * 130 + 110).T:
        add_stamp(truth, 1e5 * ring / ring.sum(), int(x), int(y))
    scene.image[:] += rng.poisson(truth)
    assert measure(scene).psf_status == "out of focus"


def test_half_an_image_in_the_shade_is_left_out() -> None:
    """Sky, noise and PSF are those of the other half; no source is found there."""
    scene = make_scene(n_stars=80, shape=(1536, 1536))
    scene.image[:, :700] = np.random.default_rng(1).normal(2.0, 6.0, (1536, 700))
    measurement = measure(scene)
    assert measurement.unlit.mean() == pytest.approx(0.46, abs=0.05)
    assert measurement.background.level == pytest.approx(scene.sky, rel=3e-3)
    assert measurement.sky_noise == pytest.approx(scene.sky_noise, rel=0.02)
    assert measurement.psf.profile.fwhm == pytest.approx(4.0, rel=0.02)
    assert (measurement.detections.x > 690).all()


@pytest.mark.parametrize("value", [0.0, -3.0, 100.0])
def test_an_image_without_noise_is_no_accident(value: float) -> None:
    """An image of one value, even 0, has that sky and no sources."""
    image = np.full((256, 256), value, dtype=np.float32)
    mask = np.zeros((256, 256, MASK_SCHEMA.mask_size), dtype=np.uint8)
    with np.errstate(all="raise"):
        measurement = measure_detector(image, variance=np.zeros_like(image), mask=mask, bits=BITS)
    assert measurement.background.level == pytest.approx(value, abs=1e-4)
    assert np.isnan(measurement.background.gradient) == (value == 0.0)
    assert len(measurement.detections) == 0


def test_an_image_all_masked_is_refused() -> None:
    """There is no sky to measure, and the error says so."""
    scene = make_scene(n_stars=0, shape=(200, 200))
    with pytest.raises(NoBackgroundError, match="masked or not finite"):
        measure(scene, np.full((200, 200, MASK_SCHEMA.mask_size), 255, dtype=np.uint8))


def test_arrays_of_different_shapes_are_refused() -> None:
    """All shapes are in the message."""
    scene = make_scene(n_stars=0, shape=(200, 200))
    with pytest.raises(ValueError, match=r"\(200, 200\).*\(199, 200\)"):
        measure_detector(scene.image, variance=scene.variance[1:], mask=empty_mask(scene), bits=BITS)


def test_the_star_table_has_units_and_the_origin() -> None:
    """Positions are in detector pixels, fluxes in electron, flags boolean."""
    scene = make_scene(n_stars=9)
    measurement = measure(scene)
    zeros = np.zeros(len(measurement.detections))
    flags = np.zeros(zeros.size, dtype=bool)
    references = StarReferences(
        ref_id=np.arange(zeros.size),
        ref_mag=zeros,
        residual_x=zeros,
        residual_y=zeros,
        residual_mag=zeros,
        is_astrometry_used=flags,
        is_photometry_used=flags,
    )
    table = make_star_table(measurement, ra=zeros, dec=zeros, references=references, origin=(100, 200))
    index = match(table["x"].value - 100, table["y"].value - 200, scene)
    assert (index >= 0).all()
    assert table["ap12_flux"].unit == "electron"
    assert table["ixx"].unit == "pix2"
    assert {table[name].dtype.kind for name in table.colnames if name.startswith("is_")} == {"b"}
    assert all(table[name].description for name in table.colnames)


def test_metric_names_end_in_their_unit() -> None:
    """The table of metrics is consistent."""
    endings = {"arcsec": "arcsec", "pixel": "pix", "electron": "electron", "degree": "deg", "second": "s"}
    for name, definition in DETECTOR_METRICS.items():
        assert definition.name == name
        assert definition.description.endswith(".")
        ending = endings.get(name.rsplit("_", 1)[-1])
        if ending is not None and not name.startswith("n_"):
            assert definition.unit == ending
    assert undefined_metrics(["n_sources", "nonsense"]) == ["nonsense"]


def test_a_full_detector_agrees_with_the_truth(shared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A sparse 4k x 4k scene: the hardest for the PSF, few stars that vary over the detector."""
    spec = importlib.util.spec_from_file_location("scenes", shared / "golden" / "scenes.py")
    assert spec is not None
    assert spec.loader is not None
    scenes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scenes)
    scenes.make("D", str(tmp_path))
    truth = json.loads((tmp_path / "D.json").read_text())
    with astropy.io.fits.open(tmp_path / "D.fits") as hdus:
        image, variance = (hdus[n].data.astype(np.float32) for n in (1, 2))
    mask = np.zeros((*image.shape, MASK_SCHEMA.mask_size), dtype=np.uint8)
    measurement = measure_detector(image, variance=variance, mask=mask, bits=BITS)
    assert measurement.background.level == pytest.approx(truth["sky_e"], rel=1e-3)
    assert 0.2 * measurement.psf.profile.fwhm == pytest.approx(truth["fwhm_arcsec"], rel=0.03)
    assert [measurement.psf.e1, measurement.psf.e2] == pytest.approx([truth["e1"], truth["e2"]], abs=0.01)
