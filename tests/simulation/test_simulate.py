# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib
import types
from typing import Any

import astropy.units as u
import fitsio
import numpy as np
import pyarrow.parquet as pq
import pydantic
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time
from lsst.ra.pipe.camera import UnknownDetectorError, load_camera, read_raw
from lsst.ra.pipe.camera.calibrations import (
    Crosstalk,
    Defects,
    DeferredCharge,
    IsrCalibration,
    Linearizer,
    PhotonTransferCurve,
    read_calibration_image,
    validate_calibration_image,
)
from lsst.ra.pipe.simulation import SimulationConfig, SimulationError, SimulationResult, simulate
from lsst.ra.pipe.simulation._ccd import build_ccd
from lsst.ra.pipe.simulation._detector import render
from lsst.ra.pipe.simulation._exposures import horizontal_pointing, plan_exposures

DETECTORS = (94, 191)
CONFIG = SimulationConfig(detectors=DETECTORS, n_exposures=1, n_bias=1, n_dark=1, n_flat=1, first_seq_num=12)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    """Simulate a science CCD and a wavefront half, with calibration exposures."""
    return simulate(CONFIG, tmp_path_factory.mktemp("simulation"))


def rows_of(result: SimulationResult) -> list[dict[str, Any]]:
    """Return the truth by detector."""
    rows: list[dict[str, Any]] = pq.read_table(result.truth).to_pylist()
    return rows


def columns(path: pathlib.Path) -> types.SimpleNamespace:
    """Return the columns of a Parquet file as arrays."""
    table = pq.read_table(path)
    return types.SimpleNamespace(**{name: table[name].to_numpy() for name in table.column_names})


def detrended(result: SimulationResult, path: pathlib.Path) -> np.ndarray:
    """Undo overscan, gain, bias, dark and flat; shape (ny, nx), electron."""
    raw = read_raw(path)
    detector = raw.detector
    files = {c.dataset_type: c.path for c in result.calibrations if c.detector == detector.id}
    gain = PhotonTransferCurve.read(files["ptc"]).gain
    image = np.zeros(detector.bbox.shape, np.float32)
    for amplifier in detector.amplifiers:
        geometry = amplifier.unassembled_raw_geometry
        assert geometry is not None
        counts = raw.amplifiers[amplifier.name]
        level = np.mean(counts[:, geometry.serial_overscan_bbox.x.start + 5 :], axis=1)
        data = (counts - level[:, None])[geometry.data_bbox.slice_within(geometry.bbox)]
        data = data[:: -1 if geometry.flip_y else 1, :: -1 if geometry.flip_x else 1]
        image[amplifier.bbox.slice_within(detector.bbox)] = data * gain[amplifier.name]
    bias, dark, flat = (read_calibration_image(files[name]).image.array for name in ("bias", "dark", "flat"))
    assert raw.obs_info.dark_time is not None
    dark_time = raw.obs_info.dark_time.to_value(u.s)
    detrended: np.ndarray = (image - bias - dark * dark_time) / flat
    return detrended


def test_raw_pixels_survive_the_file(result: SimulationResult) -> None:
    """read_raw gives the counts that were rendered, amplifier by amplifier."""
    camera = load_camera("LSSTCam")
    exposure = plan_exposures(CONFIG, band="r")[0]
    for path, detector in zip(result.raws, DETECTORS, strict=False):
        raw = read_raw(path)
        counts, _, _ = render(CONFIG, camera, build_ccd(CONFIG, camera[detector]), exposure)
        assert list(raw.amplifiers) == [a.name for a in camera[detector].amplifiers]
        for expected, found in zip(counts, raw.amplifiers.values(), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_header_translates_to_what_was_simulated(result: SimulationResult) -> None:
    """ObservationInfo has exposure, detector, pointing, rotation, filter."""
    info = read_raw(result.raws[0]).obs_info
    assert info.exposure_time is not None
    assert info.tracking_radec is not None
    assert info.boresight_rotation_angle is not None
    assert info.instrument == "LSSTCam"
    assert info.exposure_id == 2026022000012
    assert info.observation_id == "MC_O_20260220_000012"
    assert info.observing_day == 20260220
    assert info.detector_num == 94
    assert info.detector_unique_name == "R22_S11"
    assert info.detector_serial == "E2V-CCD250-382"
    assert info.physical_filter == "r_57"
    assert info.observation_type == "science"
    assert info.exposure_time.to_value(u.s) == 30.0
    assert info.boresight_rotation_angle.deg == pytest.approx(30.0, abs=1e-9)
    assert info.tracking_radec.separation(SkyCoord(150.1 * u.deg, 2.2 * u.deg)).arcsec < 1e-6
    assert info.has_simulated_content
    assert info.can_see_sky


def test_calibration_exposures_have_their_types(result: SimulationResult) -> None:
    """Biases, darks and flats follow, without a pointing."""
    infos = [read_raw(path).obs_info for path in result.raws[:: len(DETECTORS)]]
    assert [info.observation_type for info in infos] == ["science", "bias", "dark", "flat"]
    assert [info.observation_counter for info in infos] == [12, 13, 14, 15]
    assert all(info.tracking_radec is None for info in infos[1:3])
    assert not any(info.can_see_sky for info in infos[1:])


def test_calibrations_fit_their_detector(result: SimulationResult) -> None:
    """Each file reads as its type and belongs to its detector."""
    camera = load_camera("LSSTCam")
    tables: dict[str, type[IsrCalibration]] = {
        "ptc": PhotonTransferCurve,
        "defects": Defects,
        "crosstalk": Crosstalk,
        "linearizer": Linearizer,
        "cti": DeferredCharge,
    }
    for calibration in result.calibrations:
        detector = camera[calibration.detector]
        if calibration.dataset_type in tables:
            tables[calibration.dataset_type].read(calibration.path).validate_for(detector)
        else:
            image = read_calibration_image(calibration.path)
            validate_calibration_image(image, detector)
            assert image.mask.get("BAD").sum() > 500
    assert {c.dataset_type for c in result.calibrations} == {"bias", "dark", "flat", *tables}
    assert {c.physical_filter for c in result.calibrations} == {None, "r_57"}


def test_manifest_lists_every_calibration(result: SimulationResult) -> None:
    """Paths are relative to the manifest and data IDs are complete."""
    rows = Table.read(result.manifest, format="ascii.ecsv")
    found = {
        ((result.manifest.parent / row["path"]).resolve(), row["dataset_type"], int(row["detector"]))
        for row in rows
    }
    assert found == {(c.path.resolve(), c.dataset_type, c.detector) for c in result.calibrations}
    assert set(rows["instrument"]) == {"LSSTCam"}


@pytest.mark.parametrize("index", range(len(DETECTORS)))
def test_calibrations_undo_the_instrument(result: SimulationResult, index: int) -> None:
    """A detrended image has the true sky in every amplifier, and its noise."""
    image = detrended(result, result.raws[index])
    row = rows_of(result)[index]
    detector = load_camera("LSSTCam")[DETECTORS[index]]
    assert np.median(image) == pytest.approx(row["sky_electron"], rel=0.01)
    medians = [np.median(image[a.bbox.slice_within(detector.bbox)]) for a in detector.amplifiers]
    if index == 0:  # the wavefront sensor is at the edge, where vignetting is steep
        np.testing.assert_allclose(medians, row["sky_electron"], rtol=0.01)
    spread = 1.4826 * np.median(np.abs(image - np.median(image)))
    assert spread == pytest.approx(np.sqrt(row["sky_electron"]), rel=0.15)


def test_bright_stars_are_where_the_truth_says(result: SimulationResult) -> None:
    """Centroids and aperture fluxes of isolated stars agree with the truth."""
    image = detrended(result, result.raws[0])
    row = rows_of(result)[0]
    table = columns(result.object_truth[0])
    y, x = np.mgrid[-15:16, -15:16]
    offsets, ratios = [], []
    for i in np.flatnonzero(table.is_star & (table.mag > 17.0) & (table.mag < 19.0)):
        ix, iy = round(table.x[i]), round(table.y[i])
        alone = np.count_nonzero(np.hypot(table.x - table.x[i], table.y - table.y[i]) < 25.0) == 1
        if not (alone and 20 < ix < 4075 and 20 < iy < 3983):
            continue
        stamp = image[iy - 15 : iy + 16, ix - 15 : ix + 16] - row["sky_electron"]
        core = np.where(np.hypot(x, y) < 6, stamp, 0.0)
        centre = np.sum(core * x) / core.sum() + ix, np.sum(core * y) / core.sum() + iy
        offsets.append((centre[0] - table.x[i], centre[1] - table.y[i]))
        ratios.append(stamp[np.hypot(x, y) < 12].sum() / table.flux_electron[i])
    assert len(offsets) > 10
    np.testing.assert_allclose(np.median(offsets, axis=0), 0.0, atol=0.05)
    a2 = (row["psf_fwhm_arcsec"] / 0.2 / 2.0) ** 2 / (2.0 ** (1.0 / 3.0) - 1.0)
    assert np.median(ratios) == pytest.approx(1.0 - (1.0 + 144.0 / a2) ** -2, abs=0.01)


def test_truth_positions_are_on_the_sky_of_the_header(result: SimulationResult) -> None:
    """The projection of header and camera takes pixels to ra, dec."""
    info = read_raw(result.raws[0]).obs_info
    assert info.tracking_radec is not None
    assert info.boresight_rotation_angle is not None
    table = columns(result.object_truth[0])
    projection = load_camera("LSSTCam").sky_projection(
        94, boresight=info.tracking_radec, rotation=info.boresight_rotation_angle
    )
    sky = projection.pixel_to_sky(x=table.x, y=table.y)
    truth = SkyCoord(table.ra * u.deg, table.dec * u.deg)
    assert sky.separation(truth).arcsec.max() < 1e-3


def test_reference_catalogue_has_the_stars_of_the_truth(result: SimulationResult) -> None:
    """Ids, positions and fluxes (nJy) are those of the simulated stars."""
    reference = columns(result.reference_catalog)
    table = columns(result.object_truth[0])
    ids, i, j = np.intersect1d(table.id, reference.id, return_indices=True)
    np.testing.assert_array_equal(ids, np.sort(table.id[table.is_star & (table.mag < 22.0)]))
    np.testing.assert_array_equal(reference.coord_ra[j], table.ra[i])
    np.testing.assert_array_equal(reference.coord_dec[j], table.dec[i])
    flux = 10.0 ** (-0.4 * (table.mag[i] - 31.4))
    pull = (reference.monster_ComCam_r_flux[j] - flux) / reference.monster_ComCam_r_fluxErr[j]
    assert np.std(pull) == pytest.approx(1.0, abs=0.15)
    for band in "ugrizy":
        assert np.all(getattr(reference, f"monster_ComCam_{band}_fluxErr") > 0.0)


def test_a_second_exposure_sees_the_same_sky(tmp_path: pathlib.Path) -> None:
    """Objects seen twice have the same id, position and magnitude."""
    config = SimulationConfig(detectors=(191,), n_exposures=2, defects=False, dither=60.0)
    result = simulate(config, tmp_path)
    one, two = (columns(path) for path in result.object_truth)
    both, i, j = np.intersect1d(one.id, two.id, return_indices=True)
    assert len(both) > 0.8 * len(one.id)
    np.testing.assert_array_equal(one.ra[i], two.ra[j])
    np.testing.assert_array_equal(one.mag[i], two.mag[j])
    assert np.median(np.hypot(one.x[i] - two.x[j], one.y[i] - two.y[j])) > 1.0


def test_pixels_do_not_depend_on_workers_or_other_detectors(
    result: SimulationResult, tmp_path: pathlib.Path
) -> None:
    """A detector simulated in another process, beside others, is the same."""
    config = CONFIG.model_copy(update={"detectors": (191, 192), "n_bias": 0, "n_dark": 0, "n_flat": 0})
    steps: list[int] = []
    again = simulate(config, tmp_path, processes=2, progress=lambda done, total, what: steps.append(done))
    one, two = read_raw(result.raws[1]), read_raw(again.raws[0])
    for name, counts in one.amplifiers.items():
        np.testing.assert_array_equal(counts, two.amplifiers[name])
    assert steps == [2, 4]


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the detector and no partial raw remains."""

    class FullDisk(fitsio.FITS):  # type: ignore[misc]
        def write(self, data: np.ndarray | None, **options: Any) -> None:
            if data is not None:
                raise OSError("No space left on device")
            super().write(data, **options)

    monkeypatch.setattr(fitsio, "FITS", FullDisk)
    with pytest.raises(SimulationError, match=r"detector 191.*No space left"):
        simulate(SimulationConfig(detectors=(191,)), tmp_path)
    assert not list((tmp_path / "raw").rglob("*.fits"))
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_stars": 3}, "n_stars"),
        ({"detectors": (1, 1)}, "named twice"),
        ({"detectors": ()}, "at least one"),
        ({"day_obs": 20261340}, "YYYYMMDD"),
        ({"day_obs": 20250415}, "20250901"),
        ({"fwhm": (1.2, 0.8)}, "above upper end"),
        ({"fwhm": (0.1, 0.8)}, "0.3 to 5"),
        ({"instrument": "LATISS"}, "LSSTCam"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """The error says which field is wrong and what was expected."""
    with pytest.raises(pydantic.ValidationError, match=message):
        SimulationConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"detectors": (300,)}, UnknownDetectorError, "no detector 300"),
        ({"physical_filter": "r_58"}, ValueError, "r_58.*r_57"),
        ({"physical_filter": "ph_5"}, ValueError, "white"),
        ({"boresight_dec": 85.0}, ValueError, "never above"),
    ],
)
def test_impossible_simulations_write_nothing(
    tmp_path: pathlib.Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    """What the camera or the sky cannot give is said before any file."""
    with pytest.raises(error, match=message):
        simulate(SimulationConfig(**settings), tmp_path)
    assert not list(tmp_path.iterdir())


def test_horizontal_pointing_agrees_with_astropy() -> None:
    """Azimuth and elevation are right to the precession that is neglected."""
    time = Time("2026-02-21T04:00:00", scale="utc")
    site = EarthLocation.from_geodetic(-70.749417, -30.244639, 2663.0)
    expected = SkyCoord(120.0 * u.deg, -40.0 * u.deg).transform_to(AltAz(obstime=time, location=site))
    found = horizontal_pointing(120.0, -40.0, time)
    direction = SkyCoord(found.azimuth * u.deg, found.elevation * u.deg)
    assert direction.separation(SkyCoord(expected.az, expected.alt)).deg < 0.5
