# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""exposurePlots: pictures of the focal plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from lsst.images import Image
from lsst.pipe.base import NoWorkFound
from lsst.pipe.base.testUtils import assertValidOutput, lintConnections
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.tasks._exposure_plots import (
    ExposurePlotsConfig,
    ExposurePlotsConnections,
    ExposurePlotsTask,
)
from lsst.ra.pipe.tasks._exposure_summary import ExposureSummaryConfig, ExposureSummaryTask
from matplotlib.figure import Figure
from plot_inputs import make_image, make_metrics, texts
from task_repository import VISIT, make_repository, run_task

LSSTCAM = load_camera("LSSTCam")


def detector_table(*ids: int) -> Table:
    """Metrics of an exposure."""
    task = ExposureSummaryTask(config=ExposureSummaryConfig())
    metrics = {detector: make_metrics(LSSTCAM, detector) for detector in ids}
    return task.run(metrics=metrics, instrument="LSSTCam").detectors


def binned(*ids: int, binning: int = 64) -> dict[int, Image]:
    """Images of an exposure."""
    return {detector: Image(make_image(LSSTCAM, detector, binning=binning)) for detector in ids}


def test_connections_follow_the_conventions() -> None:
    """Dimensions, names and storage classes are declared as they should be."""
    lintConnections(ExposurePlotsConnections(config=ExposurePlotsConfig()))


def test_both_plots_are_made_and_name_the_exposure() -> None:
    """The picture says how many detectors there are and what was measured."""
    task = ExposurePlotsTask(config=ExposurePlotsConfig())
    result = task.run(
        images=binned(90, 94), binning=64, detectors=detector_table(90, 94), instrument="LSSTCam"
    )
    assertValidOutput(task, result)
    assert isinstance(result.metricsPlot, Figure)
    text = texts(result.focalPlanePlot)
    assert "LSSTCam 20260220 seq 12" in text
    assert "r_57 · 30 s · FIELD_A · airmass 1.21" in text
    assert "2 of 189" in text
    assert "0.80″" in text
    assert "1,800" in text


def test_images_and_metrics_need_not_be_of_the_same_detectors() -> None:
    """A detector whose measurement failed is still in the picture."""
    task = ExposurePlotsTask(config=ExposurePlotsConfig())
    result = task.run(
        images=binned(90, 91, 94), binning=64, detectors=detector_table(94, 95), instrument="LSSTCam"
    )
    assert "3 of 189" in texts(result.focalPlanePlot)


def test_no_metrics_is_no_work() -> None:
    """Without a detector there is nothing to draw."""
    task = ExposurePlotsTask(config=ExposurePlotsConfig())
    with pytest.raises(NoWorkFound):
        task.run(images={}, binning=64, detectors=detector_table(94)[:0], instrument="LSSTCam")


def test_an_image_in_other_blocks_is_refused() -> None:
    """The message names the detector and both shapes."""
    task = ExposurePlotsTask(config=ExposurePlotsConfig())
    images = {94: Image(np.zeros((100, 100), dtype=np.float32))}
    with pytest.raises(ValueError, match=r"R22_S11 \(94\).*\(100, 100\).*\(4004, 4096\)"):
        task.run(images=images, binning=64, detectors=detector_table(94), instrument="LSSTCam")


def test_inputs_are_declared_as_shared() -> None:
    """The executor hands over images without a copy."""
    assert ExposurePlotsTask.inputs_read_only


@pytest.mark.parametrize("max_fine", [1, 2])
def test_plots_reach_the_repository(tmp_path: Path, max_fine: int) -> None:
    """Finely binned images are read only for few detectors: those of the other kind are not there."""
    ids = (90, 94)
    task = ExposurePlotsTask(config=ExposurePlotsConfig(maxFineDetectors=max_fine))
    butler, data_id = make_repository(tmp_path, task, detectors=ids)
    used = 8 if max_fine >= len(ids) else 64
    for detector, image in binned(*ids, binning=used).items():
        butler.put(
            image, f"rapid_isr_image_bin{used}", instrument="LSSTCam", exposure=VISIT, detector=detector
        )
    butler.put(detector_table(*ids), "rapid_exposure_detectors", data_id)
    run_task(task, butler, data_id, detectors=ids)
    for name in ("rapid_focal_plane_plot", "rapid_focal_plane_metrics_plot"):
        assert butler.getURI(name, data_id).read(4) == b"\x89PNG"
