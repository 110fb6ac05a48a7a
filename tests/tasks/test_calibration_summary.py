# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""calibrationSummary, calibrationPlots and exposureAmplifierPlots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import yaml
from calibration_inputs import make_amplifiers, make_calibration_metrics
from lsst.images import Image
from lsst.pipe.base import NoWorkFound, Struct
from lsst.pipe.base.testUtils import assertValidOutput, lintConnections
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.tasks import (
    CalibrationPlotsConfig,
    CalibrationPlotsConnections,
    CalibrationPlotsTask,
    CalibrationSummaryConfig,
    CalibrationSummaryConnections,
    CalibrationSummaryTask,
    ExposureAmplifierPlotsConfig,
    ExposureAmplifierPlotsConnections,
    ExposureAmplifierPlotsTask,
)
from plot_inputs import make_image, render, science_detectors, texts

LSSTCAM = load_camera("LSSTCam")


def summarize(kind: str, *detectors: int, camera: str = "LSSTCam", **values: Any) -> Struct:
    """Run the summary on made-up metrics."""
    amplifiers = {key: make_amplifiers(key, camera=camera, **values) for key in detectors}
    metrics = {
        key: make_calibration_metrics(table, kind=kind, instrument=camera)
        for key, table in amplifiers.items()
    }
    task = CalibrationSummaryTask(config=CalibrationSummaryConfig())
    result = task.run(metrics=metrics, amplifiers=amplifiers, instrument=camera)
    assertValidOutput(task, result)
    return result


def plot(kind: str, *detectors: int, camera: str = "LSSTCam", binning: int = 64, **values: Any) -> Struct:
    """Draw made-up metrics."""
    summary = summarize(kind, *detectors, camera=camera, **values)
    images = {key: Image(make_image(load_camera(camera), key, binning=binning)) for key in detectors}
    task = ExposureAmplifierPlotsTask(config=ExposureAmplifierPlotsConfig())
    result = task.run(
        images=images,
        binning=binning,
        amplifiers=summary.amplifiers,
        summary=summary.summary,
        instrument=camera,
    )
    assertValidOutput(task, result)
    return result


def test_connections_follow_the_conventions() -> None:
    """Dimensions, names and storage classes are declared as they should be."""
    lintConnections(CalibrationSummaryConnections(config=CalibrationSummaryConfig()))
    lintConnections(CalibrationPlotsConnections(config=CalibrationPlotsConfig()))
    lintConnections(ExposureAmplifierPlotsConnections(config=ExposureAmplifierPlotsConfig()))


def test_summary_names_the_extreme_amplifiers_and_what_is_missing() -> None:
    """All amplifiers in one table, in order of detector."""
    result = summarize("bias", 94, 90, n_hot_pixels=2)
    assert list(result.amplifiers["detector"]) == [90] * 16 + [94] * 16
    assert result.amplifiers["bias_level_adu"].unit == "adu"
    summary = result.summary
    assert summary["n_detectors"] == 2
    assert summary["n_detectors_missing"] == 187
    assert summary["n_amplifiers"] == 32
    assert summary["n_hot_pixels"] == 64
    assert summary["gain_ratio_median"] == pytest.approx(1.075)
    first, last = (LSSTCAM[90].amplifiers[index].name for index in (0, -1))
    assert summary["gain_ratio_min_amplifier"] == f"R22_S00_{first}"
    assert summary["gain_ratio_max_amplifier"] == f"R22_S00_{last}"
    assert yaml.safe_load(yaml.safe_dump(summary))["calibration_kind"] == "bias"


def test_summary_names_bad_amplifiers_and_does_without_their_values() -> None:
    """An unknown metric is no error."""
    good = np.where(np.arange(16) == 3, 0, 1000)
    summary = summarize("flat", 94, n_good_pixels=good, gain_ratio=math.nan).summary
    assert summary["bad_amplifiers"] == [f"R22_S11_{LSSTCAM[94].amplifiers[3].name}"]
    assert math.isnan(summary["gain_ratio_median"])
    assert summary["gain_ratio_min_amplifier"] == ""


def test_no_detector_is_an_error() -> None:
    """The message names the instrument."""
    task = CalibrationSummaryTask(config=CalibrationSummaryConfig())
    with pytest.raises(ValueError, match="LSSTCam"):
        task.run(metrics={}, amplifiers={}, instrument="LSSTCam")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bias", ("bias level (adu): median 1", "overscan drift (adu): median 1.1")),
        ("dark", ("dark current (electron/s): median 1.0750", "new hot pixels: 96 in all")),
        ("flat", ("residual after flat (%): median 107.500", "gain / PTC's: median 1.075")),
    ],
)
def test_amplifiers_are_coloured_by_what_the_kind_shows(kind: str, expected: tuple[str, ...]) -> None:
    """Panels and headline name metric, unit and value."""
    result = plot(kind, 90, 94)
    text = texts(result.amplifierPlot)
    for part in ("LSSTCam 20260220 seq 12", f"amplifiers, {kind}", *expected):
        assert part in text
    assert "2 of 189" in texts(result.focalPlanePlot)


@pytest.mark.parametrize("index", [0, 5, 8, 15])
def test_colours_are_where_the_amplifiers_are(index: int) -> None:
    """The one dark amplifier of a detector is drawn where it is."""
    camera = load_camera("LATISS")
    values = np.where(np.arange(16) == index, 2.0, 1.0)
    picture = render(plot("bias", 0, camera="LATISS", bias_level_adu=values).amplifierPlot)
    panel = picture[100:520, 25:430].astype(int)
    # The first panel's dark end of the colours, but for the lines' black.
    is_dark = (panel[..., 2] > panel[..., 1] + 40) & (panel[..., 2] > 60)
    y, x = (np.median(axis) for axis in np.nonzero(is_dark))
    box = camera[0].amplifiers[index].bbox
    polygon = camera.detector_polygon(0)
    along_x = 0.5 * (box.x.start + box.x.stop) / camera[0].bbox.shape[1]
    along_y = 0.5 * (box.y.start + box.y.stop) / camera[0].bbox.shape[0]
    place = polygon[0] + along_x * (polygon[1] - polygon[0]) + along_y * (polygon[3] - polygon[0])
    relative = (place - polygon.min(axis=0)) / np.ptp(polygon, axis=0)
    assert x / 405 == pytest.approx(0.03 + 0.94 * relative[0], abs=0.04)
    assert 1.0 - y / 420 == pytest.approx(relative[1], abs=0.08)


def test_whole_camera_with_unknown_values_is_drawn() -> None:
    """Thousands of amplifiers, some without a value, which are counted."""
    detectors = science_detectors(LSSTCAM)
    known = np.where(np.arange(16) == 5, math.nan, 1.0)
    result = plot("dark", *detectors, read_noise_ratio=known, n_hot_pixels=-1)
    assert f"{len(detectors)} unknown" in texts(result.amplifierPlot)
    assert "new hot pixels: - in all" in texts(result.amplifierPlot)
    assert render(result.amplifierPlot).shape[2] == 3


def test_no_amplifier_is_no_work() -> None:
    """Without an amplifier there is nothing to draw."""
    summary = summarize("bias", 94)
    task = ExposureAmplifierPlotsTask(config=ExposureAmplifierPlotsConfig())
    with pytest.raises(NoWorkFound):
        task.run(
            images={},
            binning=64,
            amplifiers=summary.amplifiers[:0],
            summary=summary.summary,
            instrument="LSSTCam",
        )


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_image_of_a_detector_has_the_headline_metrics(kind: str) -> None:
    """No stars are looked for; counts that are unknown are dashes."""
    metrics = make_calibration_metrics(make_amplifiers(94, n_cosmic_ray_pixels=-1), kind=kind)
    task = CalibrationPlotsTask(config=CalibrationPlotsConfig())
    image = Image(make_image(LSSTCAM, 94, binning=8))
    result = task.run(image=image, metrics=metrics, detector=LSSTCAM[94])
    assertValidOutput(task, result)
    text = texts(result.imagePlot)
    assert "R22_S11 (94)" in text
    assert "C10" in text
    assert "PSF" not in text
    assert ("cosmic-ray pixels" in text) == (kind == "dark")
    with pytest.raises(ValueError, match=r"R22_S11 \(94\)"):
        task.run(image=Image(np.zeros((9, 9), np.float32)), metrics=metrics, detector=LSSTCAM[94])
