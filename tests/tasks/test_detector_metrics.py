# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""detectorMetrics: one flat, complete dictionary."""

from __future__ import annotations

import math
from typing import Any

import astropy.units as u
import pytest
import yaml
from astro_metadata_translator import ObservationInfo
from astropy.coordinates import AltAz, Angle, SkyCoord
from astropy.time import Time
from lsst.pipe.base.testUtils import assertValidOutput, lintConnections
from lsst.ra.pipe.algorithms.measurement import DETECTOR_METRICS
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.tasks._detector_metrics import (
    DetectorMetricsConfig,
    DetectorMetricsConnections,
    DetectorMetricsTask,
)

DETECTOR = load_camera("LSSTCam")[94]


def run(measured: dict[str, Any], obs_info: ObservationInfo) -> dict[str, float | int | str]:
    """Run the task."""
    task = DetectorMetricsTask(config=DetectorMetricsConfig())
    result = task.run(measured=measured, obs_info=obs_info, detector=DETECTOR, visit=2026112200007, band="r")
    assertValidOutput(task, result)
    metrics: dict[str, float | int | str] = result.metrics
    return metrics


def test_connections_follow_the_conventions() -> None:
    """Dimensions, names and storage classes are declared as they should be."""
    lintConnections(DetectorMetricsConnections(config=DetectorMetricsConfig()))


def test_facts_of_the_exposure_join_what_was_measured() -> None:
    """Each value has the unit that its name says."""
    obs_info = ObservationInfo.makeObservationInfo(
        exposure_id=2026112200007,
        observing_day=20261122,
        observation_counter=7,
        physical_filter="r_57",
        exposure_time=0.5 * u.min,
        datetime_begin=Time(61000.25, format="mjd", scale="tai"),
        altaz_begin=AltAz(alt=Angle(1.0 * u.rad), az=120.0 * u.deg),
        tracking_radec=SkyCoord(150.3 * u.deg, 2.7 * u.deg),
        boresight_rotation_angle=Angle(30.0 * u.deg),
    )
    metrics = run({"psf_fwhm_arcsec": 0.8, "n_sources": 5, "psf_status": "ok"}, obs_info)
    expected = {
        "instrument": "LSSTCam",
        "detector": 94,
        "detector_name": "R22_S11",
        "visit": 2026112200007,
        "band": "r",
        "seq_num": 7,
        "psf_fwhm_arcsec": 0.8,
        "psf_status": "ok",
        "exposure_time_second": pytest.approx(30.0),
        "begin_mjd_tai": pytest.approx(61000.25),
        "altitude_degree": pytest.approx(57.29578),
        "boresight_ra_degree": pytest.approx(150.3),
        "rotation_degree": pytest.approx(30.0),
    }
    assert {name: metrics[name] for name in expected} == expected


def test_all_metrics_are_there_with_their_type_whatever_is_unknown() -> None:
    """An almost empty header gives NaN, -1 and empty strings, in the order of the definitions."""
    metrics = run({}, ObservationInfo.makeObservationInfo(exposure_id=1))
    assert list(metrics) == list(DETECTOR_METRICS)
    for name, value in metrics.items():
        assert type(value) is DETECTOR_METRICS[name].type
    assert math.isnan(float(metrics["airmass"]))
    assert metrics["n_sources"] == -1
    assert metrics["target"] == ""


def test_metrics_survive_yaml() -> None:
    """The storage class writes YAML: plain types only, NaN included."""
    metrics = run({"sky_electron": 1000.5}, ObservationInfo.makeObservationInfo(exposure_id=1))
    again = yaml.safe_load(yaml.safe_dump(metrics))
    assert again["sky_electron"] == 1000.5
    assert math.isnan(again["psf_e1"])


def test_an_undefined_metric_is_refused() -> None:
    """Nothing enters the metrics without a definition."""
    with pytest.raises(ValueError, match=r"does not define the metrics \['speed'\]"):
        run({"speed": 1.0}, ObservationInfo.makeObservationInfo(exposure_id=1))


def test_a_metric_of_the_wrong_type_is_refused() -> None:
    """The message names the metric and shows the value."""
    with pytest.raises(ValueError, match="n_sources should be int; found 'many'"):
        run({"n_sources": "many"}, ObservationInfo.makeObservationInfo(exposure_id=1))
