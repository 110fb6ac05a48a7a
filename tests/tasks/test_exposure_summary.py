# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""exposureSummary: the detectors of an exposure in one table and one dictionary."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lsst.pipe.base import Struct
from lsst.pipe.base.testUtils import assertValidOutput, lintConnections
from lsst.ra.pipe.camera import UnknownDetectorError, load_camera
from lsst.ra.pipe.tasks._exposure_summary import (
    ExposureSummaryConfig,
    ExposureSummaryConnections,
    ExposureSummaryTask,
)
from plot_inputs import make_metrics, science_detectors
from task_repository import make_repository, run_task

LSSTCAM = load_camera("LSSTCam")


def run(metrics: dict[int, dict[str, Any]], instrument: str = "LSSTCam", **config: Any) -> Struct:
    """Run the task."""
    settings = ExposureSummaryConfig()
    settings.update(**config)
    task = ExposureSummaryTask(config=settings)
    result = task.run(metrics=metrics, instrument=instrument)
    assertValidOutput(task, result)
    return result


def test_connections_follow_the_conventions() -> None:
    """Dimensions, names and storage classes are declared as they should be."""
    lintConnections(ExposureSummaryConnections(config=ExposureSummaryConfig()))


def test_rows_are_in_order_of_detector_and_have_units() -> None:
    """The order in which detectors come does not matter."""
    metrics = {detector: make_metrics(LSSTCAM, detector) for detector in (94, 3, 90)}
    table = run(metrics).detectors
    assert list(table["detector"]) == [3, 90, 94]
    assert list(table["detector_name"]) == ["R01_S10", "R22_S00", "R22_S11"]
    assert str(table["psf_fwhm_arcsec"].unit) == "arcsec"
    assert str(table["focal_plane_x_mm"].unit) == "mm"
    assert table["psf_fwhm_arcsec"].description
    centre = LSSTCAM.detector_polygon(90).mean(axis=0)
    assert (table["focal_plane_x_mm"][1], table["focal_plane_y_mm"][1]) == pytest.approx(tuple(centre))


def test_a_detector_without_stars_does_not_poison_the_medians() -> None:
    """NaN and the -1 of unknown integers are left out of the statistics."""
    metrics = {detector: make_metrics(LSSTCAM, detector, fwhm=0.01 * detector) for detector in range(90, 99)}
    metrics[94].update(psf_fwhm_arcsec=math.nan, psf_e1=math.nan, psf_e2=math.nan, n_psf_stars=-1)
    summary = run(metrics).summary
    assert summary["psf_fwhm_arcsec_median"] == pytest.approx(0.94)
    assert summary["psf_fwhm_arcsec_max"] == pytest.approx(0.98)
    assert summary["psf_fwhm_arcsec_max_detector"] == 98
    assert summary["n_psf_stars_min"] == 150
    assert summary["detectors_without_psf"] == [94]
    assert math.isfinite(summary["focal_plane_e1_median"])


def test_missing_detectors_are_named() -> None:
    """An exposure is expected to have all science detectors, and no others."""
    present = [*science_detectors(LSSTCAM, but=(5, 133)), 191]
    summary = run({detector: make_metrics(LSSTCAM, detector) for detector in present}).summary
    assert (summary["n_detectors"], summary["n_detectors_expected"]) == (188, 189)
    assert summary["detectors_missing"] == [5, 133]
    assert summary["n_detectors_missing"] == 2


def test_expected_detectors_can_be_chosen() -> None:
    """A raft is complete if no more was asked for."""
    metrics = {detector: make_metrics(LSSTCAM, detector) for detector in range(90, 98)}
    summary = run(metrics, expectedDetectors=list(range(90, 99))).summary
    assert summary["detectors_missing"] == [98]


def test_gradients_over_the_focal_plane_are_recovered() -> None:
    """Slopes are per degree of field angle."""
    metrics = {}
    for detector in science_detectors(LSSTCAM, but=(7, 8, 9)):
        x, y = np.degrees(LSSTCAM.detector_polygon(detector).mean(axis=0) * 20.0 / 206264.806)
        metrics[detector] = make_metrics(
            LSSTCAM, detector, fwhm=0.8 + 0.06 * x, sky_electron=800.0 - 10.0 * y, e=0.02 * x + 0.01j
        )
    summary = run(metrics).summary
    assert summary["psf_fwhm_arcsec_gradient_x_per_degree"] == pytest.approx(0.06, rel=0.01)
    assert summary["psf_fwhm_arcsec_gradient_y_per_degree"] == pytest.approx(0.0, abs=1e-4)
    assert summary["sky_electron_gradient_y_per_degree"] == pytest.approx(-10.0, rel=0.01)
    assert summary["focal_plane_e1_gradient_x_per_degree"] == pytest.approx(0.02, rel=0.01)


def test_turned_detectors_report_ellipticity_in_the_focal_plane() -> None:
    """Sensors of the corner rafts at four orientations agree on a common elongation."""
    ids = [0, 189, 190, 191, 195, 199, 203]
    assert len({LSSTCAM.facts[detector].yaw % 360.0 for detector in ids}) == 4
    result = run({detector: make_metrics(LSSTCAM, detector, e=0.03 + 0.04j) for detector in ids})
    np.testing.assert_allclose(result.detectors["focal_plane_e1"], 0.03, atol=1e-9)
    np.testing.assert_allclose(result.detectors["focal_plane_e2"], 0.04, atol=1e-9)
    assert result.summary["psf_e_common"] == pytest.approx(0.05)
    assert result.summary["psf_e_common_angle_degree"] == pytest.approx(math.degrees(0.5 * math.atan2(4, 3)))


def test_radial_elongation_is_recognised() -> None:
    """The pattern of a camera out of focus is told from a common elongation."""
    metrics = {}
    for detector in science_detectors(LSSTCAM):
        x, y = LSSTCAM.detector_polygon(detector).mean(axis=0)
        metrics[detector] = make_metrics(
            LSSTCAM, detector, e=-0.02 * complex(x, y) ** 2 / (x * x + y * y + 1e-9)
        )
    summary = run(metrics).summary
    assert summary["psf_e_radial"] == pytest.approx(-0.02, abs=1e-3)
    assert summary["psf_e_common"] < 0.003


def test_failures_are_counted_with_their_reasons() -> None:
    """Each part of the measurement says how many detectors passed it, and why the others did not."""
    metrics = {detector: make_metrics(LSSTCAM, detector) for detector in range(90, 94)}
    metrics[90].update(astrometry_status="few references", astrometry_offset_mean_arcsec=math.nan)
    metrics[91].update(psf_status="", psf_fwhm_arcsec=math.nan)
    summary = run(metrics).summary
    assert summary["astrometry_status_counts"] == {"few references": 1, "ok": 3}
    assert (summary["n_detectors_with_astrometry"], summary["detectors_without_astrometry"]) == (3, [90])
    assert summary["psf_status_counts"] == {"ok": 3, "unknown": 1}
    assert summary["n_detectors_with_photometry"] == 4


def test_throughput_and_depth_are_summarised() -> None:
    """The metrics of photometry and astrometry are among the statistics."""
    metrics = {
        detector: make_metrics(LSSTCAM, detector, zero_point_mag=32.0 + 0.01 * detector)
        for detector in range(90, 99)
    }
    metrics[98].update(zero_point_mag=math.nan)
    summary = run(metrics).summary
    assert summary["zero_point_mag_median"] == pytest.approx(32.935)
    assert summary["zero_point_mag_min_detector"] == 90
    assert summary["magnitude_limit_mag_median"] == 24.1
    assert summary["effective_time_second_max"] == 15.3
    assert summary["n_detectors_with_photometry"] == 8


def test_statistics_of_metrics_that_nobody_measured_are_nan() -> None:
    """Detectors of an older release lack the newer metrics."""
    metrics = make_metrics(LSSTCAM, 90)
    del metrics["zero_point_mag"], metrics["n_astrometry_stars"]
    summary = run({90: metrics}).summary
    assert math.isnan(summary["zero_point_mag_median"])
    assert summary["n_astrometry_stars_max_detector"] == -1
    assert summary["n_detectors_with_photometry"] == 0


def test_boresight_offset_is_fitted_to_the_detectors() -> None:
    """A rotation of the field moves outer detectors, not the boresight."""
    metrics = {}
    for detector in science_detectors(LSSTCAM, but=range(60)):
        row = make_metrics(LSSTCAM, detector)
        east = (row["center_ra_degree"] - row["boresight_ra_degree"] + 180.0) % 360.0 - 180.0
        east *= math.cos(math.radians(row["center_dec_degree"]))
        north = row["center_dec_degree"] - row["boresight_dec_degree"]
        turn = math.radians(0.1) * 3600.0
        row.update(
            pointing_offset_ra_arcsec=5.0 + turn * north,
            pointing_offset_dec_arcsec=-3.0 - turn * east,
            pointing_rotation_degree=0.1,
        )
        metrics[detector] = row
    summary = run(metrics).summary
    assert summary["boresight_offset_ra_arcsec"] == pytest.approx(5.0, abs=0.15)
    assert summary["boresight_offset_dec_arcsec"] == pytest.approx(-3.0, abs=0.15)
    assert summary["boresight_rotation_degree"] == pytest.approx(0.1, abs=0.003)
    assert summary["n_detectors_boresight"] > 120


@pytest.mark.parametrize("instrument", ["LATISS", "LSSTComCam"])
def test_one_detector_is_summarised(instrument: str) -> None:
    """What one detector cannot tell is NaN."""
    camera = load_camera(instrument)
    summary = run({0: make_metrics(camera, 0)}, instrument).summary
    assert summary["psf_fwhm_arcsec_median"] == 0.8
    assert math.isnan(summary["psf_fwhm_arcsec_scatter"])
    assert math.isnan(summary["psf_fwhm_arcsec_gradient_x_per_degree"])


def test_metrics_that_a_detector_lacks_are_filled() -> None:
    """Different sets of metrics go into one table."""
    metrics = {90: make_metrics(LSSTCAM, 90, extra=1.5, psf_status="ok"), 91: make_metrics(LSSTCAM, 91)}
    del metrics[91]["psf_status"], metrics[91]["n_sources"]
    table = run(metrics).detectors
    assert table["extra"][0] == 1.5
    assert np.isnan(table["extra"][1])
    assert list(table["psf_status"]) == ["ok", ""]
    assert list(table["n_sources"]) == [900, -1]


def test_inputs_are_not_changed() -> None:
    """The metrics are shared with other tasks."""
    metrics = {90: make_metrics(LSSTCAM, 90)}
    before = copy.deepcopy(metrics)
    run(metrics)
    assert metrics == before
    assert ExposureSummaryTask.inputs_read_only


def test_unknown_columns_are_refused() -> None:
    """A misspelt metric in the configuration is an error that names it."""
    with pytest.raises(ValueError, match="statistics names 'psf_fhwm'"):
        run({90: make_metrics(LSSTCAM, 90)}, statistics=["psf_fhwm"])


def test_unknown_detectors_are_refused() -> None:
    """A detector that the camera does not have is an error that says so."""
    with pytest.raises(UnknownDetectorError, match="no detector 999"):
        run({999: make_metrics(LSSTCAM, 90)})


def test_no_metrics_at_all_is_an_error() -> None:
    """There must be something to summarise."""
    with pytest.raises(ValueError, match="No detector of this LSSTCam exposure"):
        run({})


def test_outputs_survive_the_butler(tmp_path: Path) -> None:
    """Table and dictionary are written and read with their units, NaN and lists."""
    task = ExposureSummaryTask(config=ExposureSummaryConfig())
    butler, data_id = make_repository(tmp_path, task, detectors=(90, 94))
    for detector, fwhm in ((90, math.nan), (94, 0.8)):
        metrics = make_metrics(LSSTCAM, detector, fwhm=fwhm)
        butler.put(metrics, "rapid_detector_metrics", data_id, detector=detector)
    run_task(task, butler, data_id, detectors=(90, 94))
    table = butler.get("rapid_exposure_detectors", data_id)
    assert list(table["detector"]) == [90, 94]
    assert str(table["psf_fwhm_arcsec"].unit) == "arcsec"
    summary = butler.get("rapid_exposure_summary", data_id)
    assert summary["psf_fwhm_arcsec_median"] == 0.8
    assert math.isnan(summary["psf_fwhm_arcsec_scatter"])
    assert len(summary["detectors_missing"]) == 187
