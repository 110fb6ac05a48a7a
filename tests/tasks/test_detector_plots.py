# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""detectorPlots: pictures of one detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from lsst.images import Image
from lsst.pipe.base.testUtils import assertValidOutput, lintConnections
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.tasks._detector_plots import (
    DETECTOR_PLOTS,
    DetectorPlotsConfig,
    DetectorPlotsConnections,
    DetectorPlotsTask,
)
from matplotlib.figure import Figure
from plot_inputs import make_image, make_metrics, make_stars
from task_repository import VISIT, make_repository, run_task

LSSTCAM = load_camera("LSSTCam")


def inputs(detector: int = 94, *, n_sources: int = 50) -> tuple[Image, Table, dict[str, object]]:
    """Image, sources and metrics of a detector."""
    image = Image(make_image(LSSTCAM, detector, binning=8))
    stars = make_stars(LSSTCAM, detector, n_sources=n_sources)
    return image, stars, make_metrics(LSSTCAM, detector)


def test_connections_follow_the_conventions() -> None:
    """Dimensions, names and storage classes are declared as they should be."""
    lintConnections(DetectorPlotsConnections(config=DetectorPlotsConfig()))


def test_every_plot_has_a_function_and_a_connection() -> None:
    """Adding a plot means both; one without the other is a mistake."""
    assert set(DETECTOR_PLOTS) == DetectorPlotsConnections(config=DetectorPlotsConfig()).outputs


def test_all_plots_are_made() -> None:
    """The task makes a figure for each output."""
    image, stars, metrics = inputs()
    task = DetectorPlotsTask(config=DetectorPlotsConfig())
    result = task.run(image=image, stars=stars, metrics=metrics, detector=LSSTCAM[94])
    assertValidOutput(task, result)
    assert all(isinstance(figure, Figure) for figure in result.getDict().values())


def test_only_the_chosen_plots_are_made() -> None:
    """Plots can be left out for speed; their connections go with them."""
    config = DetectorPlotsConfig(plots=["psfPlot"])
    image, stars, metrics = inputs()
    result = DetectorPlotsTask(config=config).run(
        image=image, stars=stars, metrics=metrics, detector=LSSTCAM[94]
    )
    assert list(result.getDict()) == ["psfPlot"]
    assert DetectorPlotsConnections(config=config).outputs == {"psfPlot"}


def test_an_unknown_plot_is_refused() -> None:
    """A misspelt plot is an error of the configuration."""
    config = DetectorPlotsConfig()
    with pytest.raises(ValueError, match="psfplot"):
        config.plots = ["psfplot"]


def test_an_image_of_another_detector_is_refused() -> None:
    """The message has the detector and both shapes."""
    _, stars, metrics = inputs()
    image = Image(np.zeros((512, 256), dtype=np.float32))
    with pytest.raises(ValueError, match=r"R22_S11 \(94\).*\(512, 256\).*\(4004, 4096\).*blocks of 8"):
        DetectorPlotsTask(config=DetectorPlotsConfig()).run(
            image=image, stars=stars, metrics=metrics, detector=LSSTCAM[94]
        )


@pytest.mark.parametrize("rows", [500, 501])
def test_partial_blocks_may_be_there_or_not(rows: int) -> None:
    """4004 rows are 500 blocks of 8 and a half."""
    _, stars, metrics = inputs()
    image = Image(np.zeros((rows, 512), dtype=np.float32))
    DetectorPlotsTask(config=DetectorPlotsConfig()).run(
        image=image, stars=stars, metrics=metrics, detector=LSSTCAM[94]
    )


def test_inputs_are_declared_as_shared() -> None:
    """The executor hands over images without a copy."""
    assert DetectorPlotsTask.inputs_read_only


def test_plots_reach_the_repository(tmp_path: Path) -> None:
    """Each output is a PNG file."""
    task = DetectorPlotsTask(config=DetectorPlotsConfig())
    butler, data_id = make_repository(tmp_path, task, detectors=(94,))
    image, stars, metrics = inputs()
    butler.put(image, "rapid_isr_image_bin8", instrument="LSSTCam", exposure=VISIT, detector=94)
    butler.put(stars, "single_visit_star_unstandardized", data_id, detector=94)
    butler.put(metrics, "rapid_detector_metrics", data_id, detector=94)
    run_task(task, butler, data_id, detectors=(94,))
    for kind in ("image", "psf", "source", "amplifier", "astrometry"):
        path = butler.getURI(f"rapid_detector_{kind}_plot", data_id, detector=94)
        assert path.read(8) == b"\x89PNG\r\n\x1a\n"
