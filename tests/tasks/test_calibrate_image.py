# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""calibrateImage on small images in the corner of a real detector."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from types import SimpleNamespace
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pytest
from astro_metadata_translator import ObservationInfo
from astropy.coordinates import AltAz, Angle, EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time
from lsst.images import Image, Mask, MaskedImage, VisitImage
from lsst.images.serialization import read_archive, write_archive
from lsst.pipe.base import AlgorithmError, Struct
from lsst.pipe.base.testUtils import assertValidOutput, lintConnections
from lsst.ra.pipe.algorithms import MASK_SCHEMA
from lsst.ra.pipe.algorithms.measurement import measure_shapes, undefined_metrics
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.tasks import (
    CalibrateImageConfig,
    CalibrateImageConnections,
    CalibrateImageTask,
    NoGoodPixelsError,
    NoSkyProjectionError,
)
from simulated_sky import Scene, make_scene, match

CAMERA = load_camera("LSSTCam")
DETECTOR = CAMERA["R22_S11"]
BORESIGHT = SkyCoord(150.3 * u.deg, 2.7 * u.deg)


def make_obs_info() -> ObservationInfo:
    """Make an observation with all that the task reads."""
    return ObservationInfo.makeObservationInfo(
        instrument="LSSTCam",
        exposure_id=2026112200007,
        visit_id=2026112200007,
        physical_filter="r_57",
        detector_num=DETECTOR.id,
        exposure_time=30.0 * u.s,
        altaz_begin=AltAz(alt=60.0 * u.deg, az=120.0 * u.deg),
        tracking_radec=BORESIGHT,
        location=EarthLocation.from_geodetic(-70.749417 * u.deg, -30.244639 * u.deg, 2663.0 * u.m),
        datetime_begin=Time("2026-11-23T05:00:00", scale="tai"),
    )


def make_image(scene: Scene, *, with_sky: bool = True) -> MaskedImage:
    """Wrap a scene as isr writes it."""
    projection = CAMERA.sky_projection(DETECTOR.id, boresight=BORESIGHT, rotation=Angle(30.0 * u.deg))
    return MaskedImage(
        Image(scene.image, unit=u.electron),
        mask=Mask(schema=MASK_SCHEMA, shape=scene.image.shape),
        variance=Image(scene.variance, unit=u.electron**2),
        sky_projection=projection if with_sky else None,
    )


def run(
    image: MaskedImage, config: CalibrateImageConfig | None = None, references: Table | None = None
) -> Struct:
    """Run the task."""
    task = CalibrateImageTask(config=config or CalibrateImageConfig())
    result = task.run(
        image=image, obs_info=make_obs_info(), detector=DETECTOR, band="r", references=references
    )
    assertValidOutput(task, result)
    return result


def adaptive_sigma(stamp: npt.NDArray[np.float64]) -> float:
    """Determinant radius of a stamp's adaptive moments."""
    pixels = np.ascontiguousarray(stamp, dtype=np.float32)
    centre = np.array([(pixels.shape[0] - 1) / 2])
    bad = np.zeros(pixels.shape, dtype=np.uint8)
    shapes = measure_shapes(pixels, variance=np.ones_like(pixels), bad=bad, x=centre, y=centre)
    return float(shapes.radius[0])


def make_references(scene: Scene, image: MaskedImage, *, zero_point: float = 32.0) -> Table:
    """Make a catalogue of the true stars."""
    projection = image.sky_projection
    assert projection is not None
    sky = projection.pixel_to_sky(x=scene.x, y=scene.y)
    flux = scene.flux * 10 ** (0.4 * (31.4 - zero_point))
    return Table(
        {
            "id": np.arange(1, scene.x.size + 1),
            "coord_ra": sky.ra.deg,
            "coord_dec": sky.dec.deg,
            "monster_ComCam_r_flux": flux,
            "monster_ComCam_r_fluxErr": 0.005 * flux,
        }
    )


def test_connections_follow_the_conventions() -> None:
    """Dimensions, names and storage classes are declared as they should be."""
    lintConnections(CalibrateImageConnections(config=CalibrateImageConfig()))


def test_the_visit_image_is_the_image_minus_its_sky() -> None:
    """Pixels add up, the input is left alone, and everything is attached."""
    scene = make_scene(slope=0.05)
    image = make_image(scene)
    before = image.copy()
    exposure = run(image).exposure
    sky = exposure.backgrounds.subtracted.field.render(dtype=np.float64).array
    np.testing.assert_allclose(exposure.image.array + sky, scene.image, atol=0.05)
    assert np.median(exposure.image.array) == pytest.approx(0.0, abs=3.0)
    np.testing.assert_array_equal(image.image.array, before.image.array)
    np.testing.assert_array_equal(image.mask.array, before.mask.array)
    assert exposure.unit == u.electron
    assert exposure.band == "r"
    assert exposure.detector.name == "R22_S11"
    stamp = exposure.psf.compute_kernel_image(x=400.0, y=350.0).array
    assert adaptive_sigma(stamp) == pytest.approx(exposure.summary_stats.psfSigma, rel=3e-3)
    star = round(scene.y[0]), round(scene.x[0])
    assert exposure.mask.get("DETECTED")[star]
    assert 0.01 < exposure.mask.get("DETECTED").mean() < 0.3


def test_the_background_image_holds_the_model_in_its_cells() -> None:
    """One pixel a cell, in electron."""
    background = run(make_image(make_scene(shape=(640, 768)))).background
    assert background.array.shape == (5, 6)
    assert background.unit == u.electron
    np.testing.assert_allclose(background.array, 1000.0, rtol=0.01)


def test_metrics_agree_with_the_truth() -> None:
    """Width, sky, counts and place; every name is defined."""
    scene = make_scene(fwhm=4.2, n_stars=40)
    result = run(make_image(scene))
    metrics = result.metrics
    assert not undefined_metrics(metrics)
    assert {type(value) for value in metrics.values()} <= {float, int, str}
    assert metrics["pixel_scale_arcsec"] == pytest.approx(0.2, rel=0.01)
    assert metrics["psf_fwhm_arcsec"] == pytest.approx(4.2 * metrics["pixel_scale_arcsec"], rel=0.02)
    assert metrics["sky_electron"] == pytest.approx(scene.sky, rel=3e-3)
    assert metrics["sky_noise_electron"] == pytest.approx(scene.sky_noise, rel=0.02)
    assert metrics["n_sources"] == 40
    assert metrics["n_saturated_pixels"] == 0
    assert metrics["mask_fraction_detected"] == pytest.approx(result.exposure.mask.get("DETECTED").mean())
    assert metrics["psf_status"] == "ok"


def test_summary_statistics_describe_the_image() -> None:
    """What the Science Pipelines' summary has, where this task can know it."""
    scene = make_scene()
    result = run(make_image(scene))
    summary, projection = result.exposure.summary_stats, result.exposure.sky_projection
    corner = projection.pixel_to_sky(x=scene.image.shape[1] - 0.5, y=-0.5)
    assert summary.raCorners[1] == pytest.approx(corner.ra.deg)
    assert summary.decCorners[1] == pytest.approx(corner.dec.deg)
    assert summary.skyBg == pytest.approx(scene.sky, rel=3e-3)
    assert summary.expTime == 30.0
    assert summary.zenithDistance == pytest.approx(30.0, abs=0.1)
    assert summary.nPsfStar == np.count_nonzero(result.stars["is_psf_star"])
    assert summary.psfSigma**4 == pytest.approx(summary.psfIxx * summary.psfIyy, rel=0.05)


def test_star_positions_follow_the_sky_projection() -> None:
    """Right ascension and declination of a source are those of the true star."""
    scene = make_scene()
    result = run(make_image(scene))
    index = match(result.stars["x"].value, result.stars["y"].value, scene)
    truth = result.exposure.sky_projection.pixel_to_sky(x=scene.x, y=scene.y)
    found = SkyCoord(result.stars["ra"][index], result.stars["dec"][index])
    assert (index >= 0).all()
    assert truth.separation(found).to_value(u.arcsec).max() < 0.04


def test_references_give_position_and_zero_point() -> None:
    """A pointing that is off is found, and all outputs agree about it."""
    scene = make_scene(n_stars=40)
    image = make_image(scene)
    references = make_references(scene, image)
    references["coord_ra"] += 20.0 / 3600.0
    result = run(image, references=references)
    metrics, summary = result.metrics, result.exposure.summary_stats
    assert (metrics["astrometry_status"], metrics["photometry_status"]) == ("ok", "ok")
    assert metrics["pointing_offset_ra_arcsec"] == pytest.approx(20.0 * math.cos(math.radians(2.7)), abs=0.05)
    assert metrics["n_astrometry_stars"] >= 35
    assert metrics["astrometry_offset_mean_arcsec"] < 0.01
    truth = SkyCoord(references["coord_ra"] * u.deg, references["coord_dec"] * u.deg)
    sky = result.exposure.sky_projection.pixel_to_sky(x=scene.x, y=scene.y)
    assert truth.separation(sky).to_value(u.arcsec).max() < 0.01
    # A Moffat profile of 4 pixels width has 1.1 per cent of its light beyond 12.
    assert metrics["zero_point_mag"] == pytest.approx(31.988, abs=0.004)
    assert summary.zeroPoint == metrics["zero_point_mag"]
    factor = result.exposure.photometric_scaling
    assert factor.unit == u.nJy / u.electron
    stars = result.stars[result.stars["is_photometry_used"]]
    calibrated = 31.4 - 2.5 * np.log10(stars["ap12_flux"] * metrics["photometric_calib_nanojansky"])
    assert np.median(calibrated - stars["ref_mag"]) == pytest.approx(0.0, abs=0.004)
    assert np.median(stars["psf_flux"] / stars["ap12_flux"]) == pytest.approx(1.0, abs=0.005)
    assert set(stars["ref_id"]) <= set(references["id"])


@pytest.mark.parametrize("references", [None, Table()])
def test_without_references_positions_are_the_headers(references: Table | None) -> None:
    """The reason is given, and no number is invented."""
    image = make_image(make_scene(n_stars=12))
    result = run(image, references=references)
    assert result.metrics["astrometry_status"] == "no references"
    assert result.metrics["photometry_status"] == "no astrometry"
    assert math.isnan(result.metrics["zero_point_mag"])
    assert math.isnan(result.exposure.summary_stats.magLim)
    assert result.exposure.photometric_scaling is None
    assert not result.stars["ref_id"].any()
    assert result.metrics["psf_status"] == "ok"


def test_a_band_without_reference_fluxes_still_has_positions() -> None:
    """The zero point is unknown for a reason; nothing else is lost."""
    scene = make_scene(n_stars=40)
    image = make_image(scene)
    references = make_references(scene, image)
    references.rename_columns(
        ["monster_ComCam_r_flux", "monster_ComCam_r_fluxErr"],
        ["monster_ComCam_g_flux", "monster_ComCam_g_fluxErr"],
    )
    metrics = run(image, references=references).metrics
    assert (metrics["astrometry_status"], metrics["photometry_status"]) == ("ok", "no reference flux")
    assert math.isnan(metrics["zero_point_mag"])
    assert metrics["n_photometry_stars"] == 0


def test_references_are_moved_to_the_time_of_the_image() -> None:
    """Ten years of proper motion are taken back."""
    scene = make_scene(n_stars=40)
    image = make_image(scene)
    references = make_references(scene, image)
    rng = np.random.default_rng(3)
    years = 10.0
    references["pm_ra"], references["pm_dec"] = rng.normal(50.0, 80.0, (2, len(references)))
    references["epoch"] = Time("2026-11-23T05:00:00", scale="tai").mjd - 365.25 * years
    references["coord_ra"] -= (
        references["pm_ra"] * years / 3.6e6 / np.cos(np.radians(references["coord_dec"]))
    )
    references["coord_dec"] -= references["pm_dec"] * years / 3.6e6
    metrics = run(image, references=references).metrics
    assert metrics["astrometry_status"] == "ok"
    assert metrics["astrometry_offset_mean_arcsec"] < 0.01
    assert abs(metrics["pointing_offset_ra_arcsec"]) < 0.01


def test_a_catalogue_without_positions_is_refused() -> None:
    """The missing columns and those that there are are in the message."""
    references = Table({"id": [1], "ra": [150.0]})
    with pytest.raises(ValueError, match=r"no column \['coord_ra', 'coord_dec'\]; it has \['id', 'ra'\]"):
        run(make_image(make_scene(n_stars=4)), references=references)


@pytest.mark.parametrize("radius", [12.0, 17.0, 35.0])
def test_the_zero_point_refers_to_the_configured_aperture(radius: float) -> None:
    """A wider aperture loses less light; PSF fluxes follow."""
    config = CalibrateImageConfig()
    config.calibrationRadius = radius
    scene = make_scene(n_stars=20, fwhm=7.0, flux_range=(2e5, 4e5), shape=(900, 900))
    image = make_image(scene)
    result = run(image, config, make_references(scene, image))
    core = 3.5 / math.sqrt(2 ** (1 / 3) - 1)
    loss = 2.5 * math.log10(1 - (1 + (radius / core) ** 2) ** -2)
    assert result.metrics["zero_point_mag"] == pytest.approx(32.0 + loss, abs=0.006)
    flux = result.stars[f"ap{radius:02.0f}_flux"]
    assert np.nanmedian(result.stars["psf_flux"] / flux) == pytest.approx(1.0, abs=0.005)


def test_cosmic_rays_are_marked_and_filled_in() -> None:
    """Their pixels have the mask plane and look like the sky; stars keep theirs."""
    scene = make_scene(n_stars=30)
    scene.image[300, 200:206] += 3000.0
    scene.image[500:504, 610] += 800.0
    result = run(make_image(scene))
    cosmic = result.exposure.mask.get("CR")
    assert cosmic[300, 200:206].all()
    assert cosmic[500:504, 610].all()
    assert np.count_nonzero(cosmic) < 25
    assert np.abs(result.exposure.image.array[cosmic]).max() < 6 * scene.sky_noise
    assert result.metrics["n_cosmic_rays"] == 2
    assert result.metrics["n_sources"] == 30


def test_positions_count_from_the_corner_of_the_detector() -> None:
    """An image of a part of the detector gives the positions of the whole."""
    scene = make_scene(n_stars=9)
    whole = run(make_image(scene))
    image = make_image(scene)
    shifted = MaskedImage(
        image.image.view(yx0=(300, 500)),
        mask=image.mask.view(yx0=(300, 500)),
        variance=image.variance.view(yx0=(300, 500)),
    )
    part = run(shifted)
    np.testing.assert_allclose(part.stars["x"], whole.stars["x"] + 500)
    np.testing.assert_allclose(part.stars["y"], whole.stars["y"] + 300)
    expected = part.exposure.sky_projection.pixel_to_sky(x=part.stars["x"].value, y=part.stars["y"].value)
    np.testing.assert_allclose(part.stars["ra"], expected.ra.deg)
    assert part.exposure.bbox == shifted.bbox


class FakeContext:
    """Stands for a quantum's Butler: one dataset for each input reference."""

    def __init__(self, datasets: dict[str, Any]) -> None:
        self.datasets = datasets
        self.quantum = SimpleNamespace(dataId={"visit": 2026112200007, "band": "i"})
        self.written: Struct | None = None

    def get(self, refs: object) -> dict[str, Any]:
        """Return all inputs."""
        return self.datasets

    def put(self, result: Struct, refs: object) -> None:
        """Keep the outputs."""
        self.written = result


def run_quantum(n_exposures: int) -> FakeContext:
    """Run the task's quantum on some exposures of one visit."""
    image = make_image(make_scene(n_stars=4, shape=(300, 300)))
    context = FakeContext(
        {
            "exposures": [image] * n_exposures,
            "obs_infos": [make_obs_info()] * n_exposures,
            "detectors": [DETECTOR] * n_exposures,
            "references": [],
        }
    )
    refs = [SimpleNamespace(dataId={"exposure": n}) for n in range(n_exposures)]
    task: Any = CalibrateImageTask(config=CalibrateImageConfig())
    task.runQuantum(context, SimpleNamespace(exposures=refs), SimpleNamespace())
    return context


def test_a_quantum_takes_the_one_exposure_and_the_band_of_its_visit() -> None:
    """All outputs are written."""
    written = run_quantum(1).written
    assert written is not None
    assert set(written.getDict()) == {"exposure", "background", "stars", "metrics"}
    assert written.exposure.band == "i"


def test_a_visit_of_two_exposures_is_refused() -> None:
    """Snaps are not combined, and the message says which visit has them."""
    with pytest.raises(NotImplementedError, match=r"Visit 2026112200007 has the exposures \[0, 1\]"):
        run_quantum(2)


def test_the_visit_image_survives_a_file(tmp_path: pathlib.Path) -> None:
    """All of it can be written and read."""
    exposure = run(make_image(make_scene(n_stars=12))).exposure
    path = str(tmp_path / "visit.fits")
    write_archive(exposure, path)
    again = read_archive(path, VisitImage)
    np.testing.assert_array_equal(again.mask.array, exposure.mask.array)
    for position in ({"x": 30.0, "y": 50.0}, {"x": 700.3, "y": 640.8}):
        found, written = (one.psf.compute_stellar_image(**position) for one in (again, exposure))
        assert found.bbox == written.bbox
        np.testing.assert_allclose(found.array, written.array, atol=1e-9)
    assert again.summary_stats == exposure.summary_stats
    assert again.backgrounds["sky"] == exposure.backgrounds["sky"]
    assert again.backgrounds.subtracted is not None
    assert again.metadata["psf_is_measured"]


def test_an_image_without_stars_gives_its_sky_and_says_so() -> None:
    """No failure: NaN in the metrics and a marked stand-in for the PSF."""
    config = CalibrateImageConfig()
    config.fallbackPsfSigma = 1.7
    scene = make_scene(n_stars=0)
    result = run(make_image(scene), config)
    assert len(result.stars) == 0
    assert result.metrics["psf_status"] == "no sources"
    assert math.isnan(result.metrics["psf_fwhm_arcsec"])
    assert math.isnan(result.exposure.summary_stats.psfSigma)
    assert result.metrics["sky_electron"] == pytest.approx(scene.sky, rel=3e-3)
    assert result.exposure.psf.sigma == 1.7
    assert not result.exposure.metadata["psf_is_measured"]


def test_an_image_all_masked_is_an_algorithm_error() -> None:
    """The error names detector and exposure, and carries the masked fraction."""
    image = make_image(make_scene(n_stars=0, shape=(256, 256)))
    image.mask.set("NO_DATA")
    with pytest.raises(NoGoodPixelsError, match=r"LSSTCam exposure 2026112200007 detector R22_S11") as caught:
        run(image)
    assert isinstance(caught.value, AlgorithmError)
    assert caught.value.metadata == {"bad_fraction": 1.0}


def test_an_image_of_nan_is_an_algorithm_error() -> None:
    """Non-finite pixels count as bad without a mask."""
    scene = make_scene(n_stars=0, shape=(256, 256))
    scene = dataclasses.replace(scene, image=np.full_like(scene.image, np.nan))
    with pytest.raises(NoGoodPixelsError, match=r"100\.0%"):
        run(make_image(scene))


def test_an_image_without_pointing_is_an_algorithm_error() -> None:
    """A visit image needs a place on the sky."""
    with pytest.raises(NoSkyProjectionError, match="no pointing"):
        run(make_image(make_scene(n_stars=0, shape=(256, 256)), with_sky=False))


def test_another_unit_is_refused() -> None:
    """Found and expected unit are in the message."""
    image = make_image(make_scene(n_stars=0, shape=(256, 256)))
    wrong = MaskedImage(
        image.image.view(unit=u.adu), mask=image.mask, variance=image.variance.view(unit=u.adu**2)
    )
    with pytest.raises(ValueError, match="expected an image in electron, found the unit adu"):
        run(wrong)


def test_a_plane_that_the_image_lacks_is_refused() -> None:
    """A misspelt plane is not silently ignored."""
    config = CalibrateImageConfig()
    config.doubtfulPlanes = ["SATURATED"]
    with pytest.raises(ValueError, match=r"names the mask planes \['SATURATED'\]"):
        run(make_image(make_scene(n_stars=0, shape=(256, 256))), config)
