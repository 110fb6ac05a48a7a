# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Plots of one detector."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.tasks.plots import (
    DetectorPlotData,
    make_figure,
    make_title,
    measure_amplifiers,
    plot_detector_amplifiers,
    plot_detector_astrometry,
    plot_detector_image,
    plot_detector_psf,
    plot_detector_sources,
)
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from plot_inputs import BORESIGHT, LEFT_BY_OTHER_TESTS, ROTATION, SIGMA, make_plot_data, render, texts

PLOTS = (
    plot_detector_image,
    plot_detector_psf,
    plot_detector_sources,
    plot_detector_amplifiers,
    plot_detector_astrometry,
)


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param({}, id="E2V"),
        pytest.param({"detector": 191}, id="wavefront half"),
        pytest.param({"camera": "LATISS", "detector": 0}, id="LATISS"),
        pytest.param({"n_sources": 0, "fwhm": np.nan, "n_psf_stars": 0}, id="no sources"),
        pytest.param(
            {
                "n_sources": 0,
                "zero_point_mag": np.nan,
                "magnitude_limit_mag": np.nan,
                "sky_electron": np.nan,
                "corner_1_ra_degree": np.nan,
                "pixel_scale_arcsec": np.nan,
                "psf_status": "no stars",
                "astrometry_status": "few sources",
                "photometry_status": "no astrometry",
            },
            id="a dark",
        ),
        pytest.param({"n_sources": 1}, id="one source"),
        pytest.param({"n_sources": 2}, id="two sources"),
    ],
)
@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_every_plot_is_drawn_whatever_was_measured(
    plot: Callable[[DetectorPlotData], Figure], inputs: dict[str, object]
) -> None:
    """Each figure is legible on a screen and names the observation, its unit and its labels."""
    data = make_plot_data(**inputs)  # type: ignore[arg-type]
    figure = plot(data)
    ny, nx, _ = render(figure).shape
    assert 800 <= nx <= 1000
    assert 500 <= ny <= 1000
    assert data.title.main in texts(figure)
    assert "(pixel)" in texts(figure)


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_do_not_change_their_inputs(plot: Callable[[DetectorPlotData], Figure]) -> None:
    """Images and tables are shared with other tasks."""
    data = make_plot_data()
    data.image[3, 4] = np.nan
    image, stars, metrics = data.image.copy(), data.stars.copy(), copy.deepcopy(data.metrics)
    render(plot(data))
    np.testing.assert_array_equal(data.image, image)
    assert data.stars.colnames == stars.colnames
    for name in stars.colnames:
        np.testing.assert_array_equal(data.stars[name], stars[name])
    assert data.metrics == metrics


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_sources_without_values_are_left_out(plot: Callable[[DetectorPlotData], Figure]) -> None:
    """NaN moments and fluxes, negative fluxes and zero errors do no harm."""
    data = make_plot_data()
    data.stars["ixx"][:50] = np.nan
    data.stars["ap12_flux"][:80] = np.nan
    data.stars["ap12_flux"][80:90] = -5.0
    data.stars["ap17_flux"][:60] = 0.0
    data.stars["ap12_flux_err"][90:95] = 0.0
    render(plot(data))


def test_plots_do_without_pyplot() -> None:
    """The state of pyplot belongs to the whole process, so no plot may use it."""
    code = "import sys, lsst.ra.pipe.tasks.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_psf_stars_are_circled_where_they_are() -> None:
    """The circles are at the positions of the PSF stars, and of no other source."""
    data = make_plot_data()
    figure = plot_detector_image(data)
    (line,) = (line for line in figure.axes[0].lines if line.get_marker() == "o")
    chosen = np.asarray(data.stars["is_psf_star"])
    np.testing.assert_array_equal(line.get_xdata(), data.stars["x"][chosen])
    np.testing.assert_array_equal(line.get_ydata(), data.stars["y"][chosen])


def test_a_bright_pixel_is_drawn_at_its_place() -> None:
    """The first row is at the bottom and the scale of the axes is in pixels of the detector."""
    data = make_plot_data(n_sources=0)
    row, col = 400, 100
    data.image[row - 3 : row + 4, col - 3 : col + 4] = 1e5
    figure = plot_detector_image(data)
    picture = render(figure)
    axes = figure.axes[0]
    x, y = axes.transData.transform(((col + 0.5) * 8 - 0.5, (row + 0.5) * 8 - 0.5))
    assert picture[picture.shape[0] - round(y), round(x)].min() == 255
    assert picture[picture.shape[0] - round(y) + 30, round(x)].max() < 200


def test_headline_metrics_are_written_with_units() -> None:
    """A metric that is not known is a dash."""
    text = texts(plot_detector_image(make_plot_data(fwhm=0.837, n_psf_stars=-1, sky_electron=1234.5)))
    assert "0.84″" in text
    assert "1,234" in text
    assert "PSF stars\n-" in text


def test_whiskers_lie_along_the_major_axes() -> None:
    """A star elongated along x has a level whisker, of the length that the key gives."""
    data = make_plot_data()
    figure = plot_detector_psf(data)
    whiskers = figure.axes[1].collections[0]
    assert isinstance(whiskers, LineCollection)
    segments = np.array(whiskers.get_segments())
    assert len(segments) == np.count_nonzero(data.stars["is_psf_star"])
    np.testing.assert_allclose(segments[:, 0, 1], segments[:, 1, 1])
    length = segments[:, 1, 0] - segments[:, 0, 0]
    (key,) = (line for line in figure.axes[1].lines if line.get_linewidth() < 2.0)
    assert length[0] == pytest.approx(0.6 * np.ptp(np.asarray(key.get_xdata())))


@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_a_trailed_image_shows_its_sources_and_says_why() -> None:
    """Without PSF stars the whiskers are of the brightest sources."""
    data = make_plot_data(psf_status="stars are trailed")
    data.stars["is_psf_star"] = False
    data.stars["ixx"] *= 8.0
    figure = plot_detector_psf(data)
    render(figure)
    text = texts(figure)
    assert "no PSF stars:\nstars are trailed\nbrightest sources shown" in text
    assert "a source, e = 0.5" in text
    assert "PSF stars: FWHM" not in text
    sources = figure.axes[1].collections[0]
    assert isinstance(sources, LineCollection)
    assert len(sources.get_segments()) == 200


def test_fwhm_is_that_of_a_gaussian_with_the_moments() -> None:
    """Elongation does not change the geometric-mean width."""
    data = make_plot_data()
    chosen = np.asarray(data.stars["is_psf_star"])
    np.testing.assert_allclose(data.fwhm[chosen], 2.354820 * SIGMA, rtol=1e-6)


@pytest.mark.parametrize(("camera", "detector"), [("LSSTCam", 94), ("LSSTCam", 191), ("LATISS", 0)])
def test_directions_on_the_sky_follow_from_the_corners(camera: str, detector: int) -> None:
    """North and east agree with the sky projection, across right ascension zero as well."""
    data = make_plot_data(camera=camera, detector=detector)
    gradient = data.sky_gradient
    assert gradient is not None
    projection = load_camera(camera).sky_projection(detector, boresight=BORESIGHT, rotation=ROTATION)
    ny, nx = data.shape
    x, y = nx / 2 + np.array([0.0, 50.0, 0.0]), ny / 2 + np.array([0.0, 0.0, 50.0])
    sky = projection.pixel_to_sky(x=x, y=y)
    for axis in (0, 1):
        d_lon, d_lat = sky[0].spherical_offsets_to(sky[axis + 1])
        expected = np.array([d_lon.arcsec, d_lat.arcsec]) / 50.0
        np.testing.assert_allclose(gradient[:, axis], expected, atol=0.003)


def test_no_compass_without_positions() -> None:
    """An image whose corners are not known has no directions."""
    assert make_plot_data(corner_2_ra_degree=np.nan).sky_gradient is None


def test_all_sources_are_counted_once() -> None:
    """The groups of the source plot are disjoint and complete."""
    text = texts(plot_detector_sources(make_plot_data(n_sources=300)))
    assert "number: 300 with a measured flux" in text


def test_magnitudes_are_calibrated_when_the_zero_point_is_known() -> None:
    """The limit is marked; otherwise the axis says that magnitudes are instrumental, and why."""
    data = make_plot_data(zero_point_mag=32.1, magnitude_limit_mag=23.0)
    instrumental = -2.5 * np.log10(np.asarray(data.stars["ap12_flux"]))
    np.testing.assert_allclose(data.magnitude, 32.1 + instrumental)
    figure = plot_detector_sources(data)
    assert "AB magnitude" in texts(figure)
    assert "limit 23.00 mag (S/N 5)" in texts(figure)
    assert all(23.0 in [np.asarray(line.get_xdata())[0] for line in axes.lines] for axes in figure.axes)
    data = make_plot_data(zero_point_mag=np.nan, photometry_status="few references")
    np.testing.assert_allclose(data.magnitude, instrumental)
    text = texts(plot_detector_sources(data))
    assert "instrumental magnitude" in text
    assert "no zero point (few references)" in text
    assert "limit" not in text


def test_level_and_noise_of_the_amplifiers_are_measured() -> None:
    """Stars and gradients do not count, and the noise is that of an unbinned pixel."""
    data = make_plot_data(n_sources=0)
    rng = np.random.default_rng(5)
    ny, nx = data.image.shape
    data.image[:] = 800.0 + 0.1 * np.arange(nx) + rng.normal(0.0, 30.0 / 8.0, (ny, nx))
    data.image[rng.random((ny, nx)) < 0.02] += 500.0
    amplifiers = measure_amplifiers(data.image, binning=8, detector=data.detector)
    assert [amplifier.name for amplifier in amplifiers] == [one.name for one in data.detector.amplifiers]
    for amplifier in amplifiers:
        left, right, _, _ = amplifier.box
        assert amplifier.level == pytest.approx(800.0 + 0.1 * (left + right) / 16.0, abs=0.5)
        assert amplifier.noise == pytest.approx(30.0, rel=0.06)
        assert amplifier.good_fraction == 1.0


def test_dead_amplifiers_are_evident() -> None:
    """One without data, one without signal and one of half the gain are named."""
    data = make_plot_data(n_sources=0)
    boxes = {one.name: one.bbox for one in data.detector.amplifiers}
    for name, factor in (("C01", np.nan), ("C15", 0.0), ("C07", 0.5)):
        x, y = boxes[name].x, boxes[name].y
        data.image[y.start // 8 : y.stop // 8, x.start // 8 : x.stop // 8] *= factor
    figure = plot_detector_amplifiers(data)
    render(figure)
    text = texts(figure)
    assert "3 of 16 differ: " in text
    for remark in ("C01 no data", "C15 level -100 %, noise -100 %", "C07 level -50 %, noise -50 %"):
        assert remark in text
    assert "C01\nno data" in text
    assert "all 16 amplifiers are alike" in texts(plot_detector_amplifiers(make_plot_data()))


def test_amplifiers_without_any_data_are_no_failure() -> None:
    """The picture of an empty image says that there is nothing."""
    data = make_plot_data(n_sources=0)
    data.image[:] = np.nan
    figure = plot_detector_amplifiers(data)
    render(figure)
    assert "16 of 16 differ: C10 no data" in texts(figure)


def test_residuals_are_turned_to_the_sky() -> None:
    """A displacement along x appears along its direction on the sky, with its length."""
    data = make_plot_data()
    figure = plot_detector_astrometry(data)
    gradient = data.sky_gradient
    assert gradient is not None
    expected = 30.0 * gradient[:, 0] / np.hypot(*gradient[:, 0])
    (points,) = (line for line in figure.axes[1].lines if line.get_marker() == "o")
    np.testing.assert_allclose(np.asarray(points.get_xdata()), expected[0], atol=0.01)
    np.testing.assert_allclose(np.asarray(points.get_ydata()), expected[1], atol=0.01)
    assert f"rms {abs(expected[0]):.1f} and {abs(expected[1]):.1f} mas" in texts(figure)
    arrows = figure.axes[0].collections[0]
    assert isinstance(arrows, Quiver)
    assert arrows.N == 75
    assert (np.asarray(arrows.U) > 0.0).all()
    np.testing.assert_allclose(np.asarray(arrows.V), 0.0, atol=1e-9)


def test_residuals_are_along_the_pixels_where_the_sky_is_not_known() -> None:
    """The axes say so."""
    figure = plot_detector_astrometry(make_plot_data(corner_0_ra_degree=np.nan))
    assert "Δx (mas)" in texts(figure)
    assert "rms 30.0 and 0.0 mas" in texts(figure)


@pytest.mark.filterwarnings("error", *LEFT_BY_OTHER_TESTS)
def test_many_residuals_are_shown_as_medians() -> None:
    """A crowded field does not become a thicket of arrows."""
    figure = plot_detector_astrometry(make_plot_data(n_sources=6000))
    render(figure)
    arrows = figure.axes[0].collections[0]
    assert isinstance(arrows, Quiver)
    assert 100 < arrows.N <= 14 * 14
    assert "used: 1,500 (medians of cells)" in texts(figure)


@pytest.mark.parametrize(
    ("status", "columns", "reason"),
    [
        ("few references", True, "no astrometric fit:\nfew references"),
        ("", False, "no reference stars"),
        ("ok", True, "no stars matched"),
    ],
)
def test_no_residuals_have_a_reason(status: str, columns: bool, reason: str) -> None:
    """The panels say what is missing."""
    data = make_plot_data(astrometry_status=status)
    names = ["ref_residual_x_arcsec", "ref_residual_y_arcsec"]
    for name in names:
        data.stars[name] = np.nan
    if not columns:
        data.stars.remove_columns(names)
    figure = plot_detector_astrometry(data)
    render(figure)
    assert texts(figure).count(reason) == 2


def test_title_leaves_out_what_is_not_known() -> None:
    """Unknown facts leave no gaps."""
    title = make_title({"instrument": "LATISS", "day_obs": 20260220, "seq_num": 3, "airmass": float("nan")})
    assert title.main == "LATISS 20260220 seq 3"
    assert title.details == ""


def test_other_formats_than_png_can_be_written(tmp_path: Path) -> None:
    """Options of the PNG writer are not passed to others."""
    figure = make_figure(width=200, height=100)
    for name in ("figure.pdf", "figure.png"):
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 0
