# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Detection, shapes, star selection, photometry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import sep
from lsst.ra.pipe.algorithms.measurement import (
    DOUBTFUL,
    SATURATED,
    UNUSABLE,
    Detections,
    _detection,
    detect_sources,
    ellipticity,
    find_cosmic_rays,
    find_peaks,
    isolated_sources,
    measure_apertures,
    measure_shapes,
    select_psf_stars,
)
from simulated_sky import add_stamp, gaussian_stamp, make_scene, match, moffat_stamp


def detect(image: npt.NDArray[np.float32], *, noise: float, sigma: float = 2.0) -> Detections:
    """Detect on pixels without flags."""
    flags = np.zeros(image.shape, dtype=np.uint8)
    return detect_sources(image, flags=flags, noise=np.full((1, 1), noise), factor=1, sigma=sigma)


def test_stars_are_found_once_and_in_their_place() -> None:
    """Bright stars are complete, and nothing else is found."""
    scene = make_scene(flux_range=(2e4, 1e6))
    found = detect(scene.image - np.float32(scene.sky), noise=scene.sky_noise)
    index = match(found.x, found.y, scene, radius=1.0)
    assert len(found) == scene.x.size
    assert sorted(index) == list(range(scene.x.size))


def test_a_field_too_rich_to_deblend_is_detected_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the deblender gives up, blended sources stay one."""
    image = np.random.default_rng(6).normal(0, 10, (200, 200))
    for x in range(20, 190, 9):
        add_stamp(image, 1e5 * moffat_stamp(0, 0, fwhm=4.0, half=30), x, 100)

    pixels = image.astype(np.float32)
    assert len(detect(pixels, noise=10.0)) == 19
    monkeypatch.setattr(_detection, "_SUB_OBJECTS", 8)
    assert 1 <= len(detect(pixels, noise=10.0)) < 19


@pytest.mark.parametrize("sigma", [1.0, 2.0, 6.0])
def test_noise_alone_gives_no_sources(sigma: float) -> None:
    """The threshold is in units of the smoothed image's noise."""
    image = np.random.default_rng(5).normal(0, 30, (1000, 1001)).astype(np.float32)
    assert len(detect(image, noise=30.0, sigma=sigma)) == 0


@pytest.mark.parametrize("fwhm", [2.5, 4.5, 10.0])
def test_faint_stars_are_found_whatever_the_seeing(fwhm: float) -> None:
    """Of stars with a signal-to-noise ratio of 8 nine in ten are found."""
    stamp = moffat_stamp(0, 0, fwhm=fwhm, half=30)
    flux = 8.0 * 30.0 / np.sqrt(np.sum(stamp**2))
    scene = make_scene(
        n_stars=100, shape=(1000, 1000), fwhm=fwhm, flux_range=(flux, 1.0001 * flux), sky=864.0
    )
    found = detect(scene.image - np.float32(864.0), noise=30.0, sigma=0.48 * fwhm)
    assert np.count_nonzero(match(found.x, found.y, scene, radius=0.6 * fwhm) >= 0) >= 90


def test_unusable_pixels_are_not_detected_and_doubtful_ones_are() -> None:
    """A hot column is not a source; a saturated star is."""
    image = np.random.default_rng(5).normal(0, 10, (300, 300)).astype(np.float64)
    add_stamp(image, 1e6 * moffat_stamp(0, 0, fwhm=4.0, half=30), 200, 200)
    image[:, 50] = 1e5
    flags = np.zeros(image.shape, dtype=np.uint8)
    flags[:, 50] = UNUSABLE
    flags[198:203, 198:203] = DOUBTFUL
    found = detect_sources(
        image.astype(np.float32), flags=flags, noise=np.full((1, 1), 10.0), factor=1, max_sources=5
    )
    assert (found.x[0], found.y[0]) == pytest.approx((200, 200), abs=0.5)
    assert not (np.abs(found.x - 50) < 5).any()


def test_footprints_tell_which_sources_have_a_flag() -> None:
    """One saturated pixel marks its source and no other."""
    scene = make_scene(n_stars=6)
    found = detect(scene.image - np.float32(scene.sky), noise=scene.sky_noise)
    flags = np.zeros(scene.image.shape, dtype=np.uint8)
    flags[round(found.y[2]), round(found.x[2])] = SATURATED
    flags[round(found.y[3]), round(found.x[3])] = DOUBTFUL
    assert found.footprints_with(flags, bits=SATURATED).tolist() == [False, False, True, False, False, False]


def test_peaks_are_the_brightest_pixels_around() -> None:
    """Flagged ones and those near a higher one are left out; the highest come first."""
    image = np.zeros((40, 50), dtype=np.float32)
    for row, column, value in ((10, 10, 50.0), (11, 11, 60.0), (20, 30, 90.0), (30, 40, 80.0), (5, 45, 10.0)):
        image[row, column] = value
    flags = np.zeros(image.shape, dtype=np.uint8)
    flags[30, 40] = SATURATED
    x, y = find_peaks(image, flags=flags, noise=1.0)
    assert list(zip(x, y, strict=True)) == [(30.0, 20.0), (11.0, 11.0)]


def test_cosmic_rays_are_found_and_stars_are_not() -> None:
    """In sharp seeing as well."""
    scene = make_scene(n_stars=60, fwhm=2.6, flux_range=(5e3, 1e6))
    rays = [(100, 100), (350, 200), (351, 201), (352, 202), (600, 650)]
    for y, x in rays:
        scene.image[y, x] += 900.0
    found = find_cosmic_rays(
        scene.image,
        variance=scene.variance,
        bad=np.zeros(scene.image.shape, dtype=np.uint8),
        sky=np.full((1, 1), scene.sky, dtype=np.float32),
        sigma=1.2,
    )
    assert set(rays) == set(zip(found.rows.tolist(), found.columns.tolist(), strict=True))
    assert found.n_rays == 3
    assert found.values == pytest.approx(np.full(5, scene.sky), abs=4 * scene.sky_noise)


def test_too_many_cosmic_rays_are_none() -> None:
    """Where everything is sharper than the PSF, the PSF is wrong."""
    image = np.full((200, 200), 100.0, dtype=np.float32)
    image[::5, ::5] = 5000.0
    found = find_cosmic_rays(
        image,
        variance=np.full_like(image, 100.0),
        bad=np.zeros(image.shape, dtype=np.uint8),
        sky=np.full((1, 1), 100.0, dtype=np.float32),
        sigma=2.0,
    )
    assert (found.n_rays, found.rows.size) == (-1, 0)


@pytest.mark.parametrize(("e1", "e2"), [(0.0, 0.0), (0.2, 0.0), (-0.1, 0.15)])
@pytest.mark.parametrize("sigma", [1.2, 2.5, 6.0])
def test_moments_of_a_gaussian_are_its_own(sigma: float, e1: float, e2: float) -> None:
    """Adaptive moments return position, size and ellipticity of a Gaussian."""
    image = np.zeros((101, 101))
    add_stamp(image, 1e5 * gaussian_stamp(0.3, -0.2, sigma=sigma, half=45, e1=e1, e2=e2), 50, 51)
    pixels = image.astype(np.float32)
    shapes = measure_shapes(
        pixels,
        variance=np.ones_like(pixels),
        bad=np.zeros(pixels.shape, dtype=np.uint8),
        x=np.array([50.0]),
        y=np.array([50.0]),
    )
    assert shapes.converged[0]
    assert shapes.x[0] == pytest.approx(50.3, abs=0.003)
    assert shapes.y[0] == pytest.approx(50.8, abs=0.003)
    assert shapes.radius[0] == pytest.approx(sigma, rel=0.003)
    measured = [float(component[0]) for component in ellipticity(shapes.ixx, shapes.iyy, shapes.ixy)]
    assert measured == pytest.approx([e1, e2], abs=0.003)


def test_position_errors_describe_the_scatter() -> None:
    """Differences from the truth over their errors have unit variance."""
    scene = make_scene(n_stars=150, shape=(1200, 1200), flux_range=(1e4, 1e5), seed=7)
    shapes = measure_shapes(
        scene.image - np.float32(scene.sky),
        variance=scene.variance,
        bad=np.zeros(scene.image.shape, dtype=np.uint8),
        x=np.round(scene.x),
        y=np.round(scene.y),
    )
    pull = np.concatenate([(shapes.x - scene.x) / shapes.x_err, (shapes.y - scene.y) / shapes.y_err])
    assert shapes.converged.all()
    assert np.std(pull) == pytest.approx(1.0, abs=0.2)
    assert np.mean(pull) == pytest.approx(0.0, abs=0.25)


def test_shapes_of_empty_sky_are_nan_without_an_error() -> None:
    """Nothing to measure is no traceback; the given position stays."""
    image = np.full((60, 60), -5.0, dtype=np.float32)
    shapes = measure_shapes(
        image,
        variance=np.ones_like(image),
        bad=np.zeros(image.shape, dtype=np.uint8),
        x=np.array([30.0, 0.0]),
        y=np.array([30.0, 59.0]),
    )
    assert not shapes.converged.any()
    assert np.isnan(shapes.ixx).all()
    assert shapes.x.tolist() == [30.0, 0.0]


def test_bad_pixels_and_edges_near_a_source_are_counted() -> None:
    """A bad pixel in the core and a place beyond the edge both count."""
    scene = make_scene(n_stars=9, shape=(300, 300))
    bad = np.zeros(scene.image.shape, dtype=np.uint8)
    bad[round(scene.y[0]), round(scene.x[0]) + 1] = DOUBTFUL
    shapes = measure_shapes(
        scene.image - np.float32(scene.sky),
        variance=scene.variance,
        bad=bad,
        x=np.append(scene.x, 0.0),
        y=np.append(scene.y, 100.0),
    )
    assert (shapes.n_bad > 0).tolist() == [True] + [False] * 8 + [True]


def test_galaxies_and_cosmic_rays_are_not_psf_stars() -> None:
    """The stellar locus is the tight group of sizes, even if it is the smaller one."""
    rng = np.random.default_rng(9)
    n_stars, n_galaxies, n_rays = 60, 120, 30
    radius = np.concatenate(
        [rng.normal(2.1, 0.02, n_stars), rng.uniform(2.5, 5.0, n_galaxies), rng.uniform(0.75, 1.2, n_rays)]
    )
    n_all = radius.size
    selection = select_psf_stars(
        x=rng.uniform(0, 4000, n_all),
        y=rng.uniform(0, 4000, n_all),
        radius=radius,
        signal_to_noise=rng.uniform(60, 500, n_all),
        usable=np.ones(n_all, dtype=bool),
        shape=(4000, 4000),
    )
    assert selection.is_psf_star[:n_stars].sum() >= 0.9 * n_stars
    assert not selection.is_psf_star[n_stars:].any()
    assert selection.is_extended[n_stars : n_stars + n_galaxies].mean() > 0.95


def test_a_psf_that_varies_over_the_image_keeps_its_stars() -> None:
    """A size gradient of 10 per cent is followed, not clipped."""
    rng = np.random.default_rng(10)
    x, y = rng.uniform(0, 4000, (2, 200))
    radius = 2.0 * (1 + 0.1 * x / 4000) * np.exp(rng.normal(0, 0.01, 200))
    selection = select_psf_stars(
        x=x,
        y=y,
        radius=radius,
        signal_to_noise=np.full(200, 100.0),
        usable=np.ones(200, dtype=bool),
        shape=(4000, 4000),
    )
    assert selection.is_psf_star.mean() > 0.95


@pytest.mark.parametrize("n_sources", [0, 1, 2])
def test_too_few_sources_give_no_psf_stars(n_sources: int) -> None:
    """The selection is empty; it does not fail."""
    one = np.ones(n_sources)
    selection = select_psf_stars(
        x=one, y=one, radius=2 * one, signal_to_noise=100 * one, usable=one > 0, shape=(10, 10)
    )
    assert not selection.is_psf_star.any()
    assert np.isnan(selection.expected_radius).all()


def test_a_faint_neighbour_does_not_spoil_a_bright_star() -> None:
    """Isolation compares brightness: the faint one suffers, the bright one does not."""
    isolated = isolated_sources(
        np.array([10.0, 14.0, 100.0, np.nan]),
        np.array([10.0, 10.0, 100.0, 5.0]),
        brightness=np.array([1000.0, 10.0, 1.0, 1.0]),
        radius=8.0,
    )
    assert isolated.tolist() == [True, False, True, True]


def test_aperture_fluxes_are_those_of_the_profile() -> None:
    """Sums and errors agree with the truth in every aperture."""
    scene = make_scene(n_stars=30, flux_range=(5e4, 2e5), fwhm=4.0, beta=3.0)
    photometry = measure_apertures(
        scene.image - np.float32(scene.sky),
        variance=scene.variance,
        bad=np.zeros(scene.image.shape, dtype=np.uint8),
        x=scene.x,
        y=scene.y,
    )
    stamp = moffat_stamp(0, 0, fwhm=4.0, half=24)
    distance = np.hypot(*np.meshgrid(np.arange(-24, 25), np.arange(-24, 25)))
    for k, radius in enumerate(photometry.radii):
        # Soft edge: close to the exact overlap of pixels with the circle.
        enclosed = float((stamp * np.clip(radius - distance + 0.5, 0, 1)).sum())
        pull = (photometry.flux[k] - enclosed * scene.flux) / photometry.flux_err[k]
        assert np.median(photometry.flux[k] / scene.flux) == pytest.approx(enclosed, rel=0.01)
        assert np.std(pull) == pytest.approx(1.0, abs=0.45)


def test_apertures_with_unusable_pixels_are_marked_and_filled() -> None:
    """A lost pixel counts as the mean of the aperture; a doubtful one counts as it is."""
    image = np.full((80, 80), 2.0, dtype=np.float32)
    bad = np.zeros(image.shape, dtype=np.uint8)
    image[40, 40], bad[40, 40] = np.nan, UNUSABLE
    bad[20, 20] = DOUBTFUL
    photometry = measure_apertures(
        image,
        variance=np.ones_like(image),
        bad=bad,
        x=np.array([40.0, 20.0, 1.0, np.nan]),
        y=np.array([40.0, 20.0, 40.0, 3.0]),
        radii=(5.0,),
    )
    expected = 2.0 * np.pi * 25
    assert photometry.flux[0, :2] == pytest.approx([expected, expected], rel=3e-4)
    assert photometry.is_truncated[0].tolist() == [True, False, True, True]
    assert np.isnan(photometry.flux[0, 3])


def test_apertures_agree_with_exact_overlap() -> None:
    """Sep cuts pixels exactly; the sums agree to 4 in 10000 in the smallest."""
    rng = np.random.default_rng(2)
    x, y = 60.0 + rng.uniform(-0.5, 0.5, (2, 20))
    for centre_x, centre_y in zip(x, y, strict=True):
        image = np.zeros((121, 121))
        add_stamp(image, moffat_stamp(centre_x - 60, centre_y - 60, fwhm=3.0, half=58), 60, 60)
        pixels = image.astype(np.float32)
        photometry = measure_apertures(
            pixels,
            variance=np.ones_like(pixels),
            bad=np.zeros(pixels.shape, dtype=np.uint8),
            x=np.array([centre_x]),
            y=np.array([centre_y]),
        )
        for k, (radius, tolerance) in enumerate(zip(photometry.radii, (2e-3, *4 * (3e-5,)), strict=True)):
            exact, _, _ = sep.sum_circle(pixels, [centre_x], [centre_y], radius, subpix=0)
            assert photometry.flux[k, 0] == pytest.approx(exact[0], rel=tolerance)
