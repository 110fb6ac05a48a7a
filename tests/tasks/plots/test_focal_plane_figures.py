# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Plots of a whole exposure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import Angle
from astropy.table import Table
from lsst.ra.pipe.camera import Camera, load_camera
from lsst.ra.pipe.tasks._exposure_summary import ExposureSummaryConfig, ExposureSummaryTask
from lsst.ra.pipe.tasks.plots import (
    FocalPlaneView,
    PlotTitle,
    make_mosaic,
    plot_focal_plane,
    plot_focal_plane_metrics,
    sky_directions,
)
from lsst.ra.pipe.tasks.plots._focal_plane_metrics import find_limits
from matplotlib.collections import PolyCollection
from plot_inputs import (
    LEFT_BY_OTHER_TESTS,
    ROTATION,
    make_image,
    make_metrics,
    render,
    science_detectors,
    texts,
)

LSSTCAM = load_camera("LSSTCam")
TITLE = PlotTitle("LSSTCam 20260220 seq 12", "r_57")


def table(camera: Camera, ids: Collection[int], **metrics: Any) -> Table:
    """Metrics of an exposure."""
    values = {detector: make_metrics(camera, detector, **metrics) for detector in ids}
    task = ExposureSummaryTask(config=ExposureSummaryConfig())
    return task.run(metrics=values, instrument=camera.name).detectors


@pytest.mark.parametrize("detector", [94, 0, 191, 192, 195, 199, 203, 189, 190, 193])
def test_a_pixel_is_where_the_camera_puts_it(detector: int) -> None:
    """Detectors have their true positions and orientations, those of the corner rafts as well."""
    binning = 64
    ny, nx = (size // binning for size in LSSTCAM.facts[detector].shape)
    image = np.zeros((ny, nx), dtype=np.float32)
    row, col = 5, 12
    image[row, col] = 1.0
    view = FocalPlaneView.make(LSSTCAM, present=[detector])
    mosaic = make_mosaic({detector: image}, binning=binning, camera=LSSTCAM, window=view.window)
    ((found_row, found_col),) = np.argwhere(mosaic.image == 1.0)
    left, right, low, high = mosaic.window
    size_y, size_x = mosaic.image.shape
    found = (
        left + (found_col + 0.5) / size_x * (right - left),
        low + (found_row + 0.5) / size_y * (high - low),
    )
    expected = LSSTCAM[detector].to_focal_plane.apply_forward(
        x=(col + 0.5) * binning - 0.5, y=(row + 0.5) * binning - 0.5
    )
    cell = binning * 0.01
    assert found == pytest.approx((float(expected.x), float(expected.y)), abs=0.55 * cell)


def test_mosaic_bins_further_to_fit_and_keeps_the_mean() -> None:
    """A mosaic is no larger than asked for, and NaN outside of the detectors."""
    images = {detector: np.full((500, 512), 7.0, dtype=np.float32) for detector in range(90, 99)}
    images[94][:, :8] = np.nan
    view = FocalPlaneView.make(LSSTCAM, present=images)
    mosaic = make_mosaic(images, binning=8, camera=LSSTCAM, window=view.window, max_size=300)
    assert max(mosaic.image.shape) <= 300
    values = mosaic.image[np.isfinite(mosaic.image)]
    assert (values == 7.0).all()
    left, right, low, high = mosaic.window
    covered = values.size / mosaic.image.size * (right - left) * (high - low)
    assert covered == pytest.approx(9 * 500 * 512 * 0.08**2, rel=0.03)


def test_mosaic_needs_a_window() -> None:
    """An empty window is refused."""
    with pytest.raises(ValueError, match="must not be empty"):
        make_mosaic({}, binning=8, camera=LSSTCAM, window=(1.0, 1.0, 0.0, 2.0))


def test_one_raft_fills_the_window() -> None:
    """With a few detectors of one raft the plot shows that raft, its other detectors as missing."""
    view = FocalPlaneView.make(LSSTCAM, present=[90, 94])
    assert view.is_zoomed
    assert view.window[1] - view.window[0] < 140.0
    assert view.missing == [91, 92, 93, 95, 96, 97, 98]


def test_a_scattered_exposure_shows_the_whole_focal_plane() -> None:
    """All science detectors without data are missing; wavefront sensors are not expected."""
    view = FocalPlaneView.make(LSSTCAM, present=[0, 188])
    assert not view.is_zoomed
    assert len(view.missing) == 187


@pytest.mark.parametrize("name", ["LATISS", "LSSTComCam"])
def test_small_cameras_are_shown_whole(name: str) -> None:
    """There is nothing to zoom into."""
    camera = load_camera(name)
    view = FocalPlaneView.make(camera, present=list(camera.facts))
    assert not view.is_zoomed
    assert view.missing == []


def test_north_and_east_follow_the_rotation() -> None:
    """North is along the field's y axis at zero and turns with the angle, right-handed seen from inside."""
    north, east = sky_directions(LSSTCAM, Angle(0.0, "deg"))
    np.testing.assert_allclose(north, [0.0, 1.0], atol=1e-4)
    np.testing.assert_allclose(east, [-1.0, 0.0], atol=1e-4)
    north, east = sky_directions(LSSTCAM, Angle(90.0, "deg"))
    np.testing.assert_allclose(north, [1.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(east, [0.0, 1.0], atol=1e-4)


def test_latiss_is_mirrored() -> None:
    """LATISS' focal plane has the other parity."""
    north, east = sky_directions(load_camera("LATISS"), Angle(0.0, "deg"))
    np.testing.assert_allclose(north, [0.0, 1.0], atol=1e-3)
    np.testing.assert_allclose(east, [1.0, 0.0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "ids", "binning"),
    [
        ("LSSTCam", science_detectors(LSSTCAM, but=(20, 21, 133)), 64),
        ("LSSTCam", list(range(90, 98)), 8),
        ("LSSTCam", [94], 64),
        ("LSSTCam", [189, 190, 191, 192], 64),
        ("LSSTComCam", list(range(9)), 64),
        ("LATISS", [0], 8),
    ],
)
@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_any_set_of_detectors_is_drawn(name: str, ids: list[int], binning: int) -> None:
    """Full and partial focal planes of all cameras give pictures of about 1000 pixels."""
    camera = load_camera(name)
    images = {detector: make_image(camera, detector, binning=binning) for detector in ids}
    picture = plot_focal_plane(images, binning=binning, camera=camera, title=TITLE, rotation=ROTATION)
    metrics = plot_focal_plane_metrics(table(camera, ids), camera=camera, title=TITLE)
    for figure in (picture, metrics):
        ny, nx, _ = render(figure).shape
        assert 800 <= nx <= 1100
        assert 800 <= ny <= 1100
        assert TITLE.main in texts(figure)


@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_an_image_without_data_does_not_spoil_the_others() -> None:
    """One detector may be NaN throughout."""
    images = {detector: make_image(LSSTCAM, detector, binning=64) for detector in (90, 91)}
    images[91][:] = np.nan
    render(plot_focal_plane(images, binning=64, camera=LSSTCAM, title=TITLE))


@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_detectors_without_stars_are_crossed_out() -> None:
    """NaN is told apart from a value, and from a detector that is not there."""
    detectors = table(LSSTCAM, range(90, 98))
    for column in ("psf_fwhm_arcsec", "psf_e", "focal_plane_e1", "focal_plane_e2"):
        detectors[column][2:4] = np.nan
    figure = plot_focal_plane_metrics(detectors, camera=LSSTCAM, title=TITLE)
    assert "PSF FWHM (arcsec)\nmedian 0.80, scatter 0.000; 2 unknown" in texts(figure)
    (colored,) = (
        collection
        for collection in figure.axes[0].collections
        if isinstance(collection, PolyCollection) and collection.get_array() is not None
    )
    assert len(colored.get_paths()) == 6


@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_nothing_measured_is_drawn_as_that() -> None:
    """An exposure without any stars gives a plot all the same."""
    detectors = table(LSSTCAM, [94], fwhm=np.nan, psf_e=np.nan, e=complex(np.nan, np.nan))
    render(plot_focal_plane_metrics(detectors, camera=LSSTCAM, title=TITLE))


def test_an_outlier_does_not_wash_out_the_colours() -> None:
    """The scale ends five robust standard deviations from the median."""
    detectors = table(LSSTCAM, science_detectors(LSSTCAM))
    rng = np.random.default_rng(1)
    detectors["sky_electron"] = rng.normal(820.0, 5.0, len(detectors))
    detectors["sky_electron"][17] = 60_000.0
    figure = plot_focal_plane_metrics(detectors, camera=LSSTCAM, title=TITLE)
    limits = [
        collection.get_clim()
        for axes in figure.axes
        if any(text.get_text().startswith("sky") for text in axes.texts)
        for collection in axes.collections
        if collection.get_array() is not None
    ]
    assert limits[0][1] == pytest.approx(845.0, abs=5.0)


def test_reasons_are_counted_in_words() -> None:
    """A detector that is not there, one without metrics and one that failed are three things."""
    detectors = table(LSSTCAM, range(90, 97))
    detectors["psf_status"] = ["few stars"] + 6 * ["ok"]
    detectors["astrometry_status"] = 2 * ["no match"] + ["few references"] + 4 * ["ok"]
    figure = plot_focal_plane_metrics(detectors, camera=LSSTCAM, title=TITLE, imaged=range(90, 98))
    text = texts(figure)
    assert "no image: 181 of 189 detectors" in text
    assert "no metrics (1); PSF: few stars (1); astrometry: no match (2), few references (1)" in text


@pytest.mark.parametrize("missing", ["zero_point_mag", "astrometry_offset_mean_arcsec", "psf_fwhm_arcsec"])
@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_a_metric_that_no_detector_has_is_unknown(missing: str) -> None:
    """Without references or stars the map shows crosses, and says so."""
    detectors = table(LSSTCAM, range(90, 99), **{missing: np.nan})
    figure = plot_focal_plane_metrics(detectors, camera=LSSTCAM, title=TITLE)
    render(figure)
    assert "\nunknown" in texts(figure)
    detectors.remove_column(missing)
    assert "\nunknown" in texts(plot_focal_plane_metrics(detectors, camera=LSSTCAM, title=TITLE))


def test_small_differences_of_the_zero_point_are_seen() -> None:
    """The colour scale of a magnitude is as wide as the magnitudes differ, not a part of their size."""
    low, high = find_limits(np.array([32.00, 32.02, 32.06]), least=0.04)
    assert (low, high) == pytest.approx((32.0, 32.06))
    low, high = find_limits(np.full(5, 32.0), least=0.04)
    assert (low, high) == pytest.approx((31.98, 32.02))
