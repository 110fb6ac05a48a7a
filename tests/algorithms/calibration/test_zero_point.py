# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The zero point, the stars it is made of, and the catalogue's columns."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pytest
import scipy.integrate
from lsst.ra.pipe.algorithms.calibration import (
    MissingFluxColumnError,
    ZeroPoint,
    ab_magnitudes,
    choose_flux_column,
    fit_zero_point,
    moffat_aperture_fraction,
    nanojansky_per_electron,
    select_photometric_stars,
)

TRUE = 32.134


class Stars(TypedDict):
    """Arguments of `fit_zero_point`."""

    flux: npt.NDArray[np.float64]
    flux_err: npt.NDArray[np.float64]
    ref_mag: npt.NDArray[np.float64]
    ref_mag_err: npt.NDArray[np.float64]


def draw(seed: int, n_stars: int) -> Stars:
    """Fluxes and references of stars with a known zero point."""
    rng = np.random.default_rng(seed)
    mag = rng.uniform(15.0, 20.0, n_stars)
    flux = 10 ** (0.4 * (TRUE - mag))
    flux_err = np.sqrt(flux + 1230.0 * np.pi * 12.0**2)
    ref_mag_err = np.hypot(0.008, 0.02 * 10 ** (0.3 * (mag - 20.0)))
    return {
        "flux": flux + rng.normal(size=n_stars) * flux_err,
        "flux_err": flux_err,
        "ref_mag": mag + rng.normal(size=n_stars) * ref_mag_err,
        "ref_mag_err": ref_mag_err,
    }


def pull(result: ZeroPoint) -> float:
    """Error of the result in its own standard errors."""
    return (result.zero_point - TRUE) / result.error


@pytest.mark.parametrize("n_stars", [6, 30, 250, 1200])
def test_zero_point_is_as_good_as_its_error(n_stars: int) -> None:
    """Pulls of many fields have a mean of zero and a width of about one."""
    results = [fit_zero_point(**draw(seed, n_stars)) for seed in range(60)]
    pulls = np.array([pull(result) for result in results])
    assert {result.status for result in results} == {"ok"}
    assert abs(pulls.mean()) < 3.5 / np.sqrt(60)
    assert 0.5 < pulls.std() < 1.3


@pytest.mark.parametrize("n_stars", [10, 250])
@pytest.mark.parametrize(("low", "high"), [(0.1, 1.5), (-1.5, -0.1), (-0.8, 0.8), (0.2, 0.25)])
def test_thirty_per_cent_of_outliers_do_no_harm(n_stars: int, low: float, high: float) -> None:
    """On one side, on both, and all at one place: galaxies, variables and blends."""
    errors = []
    for seed in range(20):
        stars = draw(seed, n_stars)
        n_wrong = round(0.3 * n_stars)
        stars["ref_mag"][:n_wrong] += np.random.default_rng(seed + 1).uniform(low, high, n_wrong)
        result = fit_zero_point(**stars)
        assert np.count_nonzero(result.used[n_wrong:]) >= 0.5 * (n_stars - n_wrong)
        errors.append(result.zero_point - TRUE)
    assert abs(np.mean(errors)) < (0.004 if n_stars > 100 else 0.02)
    assert np.abs(errors).max() < (0.01 if n_stars > 100 else 0.08)


def test_residuals_are_measured_minus_reference() -> None:
    """A star measured too faint by 0.2 mag has 0.2; one without flux has none."""
    stars = draw(1, 100)
    stars["flux"][0] *= 10 ** (-0.4 * 0.2)
    stars["flux"][1] = -10.0
    result = fit_zero_point(**stars)
    assert result.residual[0] == pytest.approx(0.2, abs=0.06)
    assert np.isnan(result.residual[1])
    assert not result.used[:2].any()
    assert result.n_used > 90
    assert result.scatter == pytest.approx(np.std(result.residual[result.used]))
    assert 0.005 < result.scatter < 0.04


@pytest.mark.parametrize(("n_stars", "status"), [(0, "no stars"), (2, "few stars"), (3, "ok")])
def test_too_few_stars_give_a_reason(n_stars: int, status: str) -> None:
    """And no number."""
    stars = draw(2, 3)
    result = fit_zero_point(**stars, usable=np.arange(3) < n_stars)
    assert result.status == status
    assert np.isfinite(result.zero_point) == (status == "ok")
    assert result.n_used == (3 if status == "ok" else 0)


def test_unknown_errors_of_references_are_no_obstacle() -> None:
    """A catalogue without errors gives the same within 3 mmag."""
    stars = draw(3, 250)
    stars["ref_mag_err"][:] = np.nan
    assert fit_zero_point(**stars).zero_point == pytest.approx(TRUE, abs=0.003)


def test_zero_point_belongs_to_the_centre_if_the_psf_varies() -> None:
    """Stars lose more light from the aperture towards the corners."""
    stars = draw(4, 400)
    fwhm = np.linspace(9.0, 9.9, 400)
    share = moffat_aperture_fraction(12.0, fwhm=fwhm, beta=3.0)
    share /= moffat_aperture_fraction(12.0, fwhm=9.0, beta=3.0)
    stars["flux"] *= share
    assert fit_zero_point(**stars).zero_point < TRUE - 0.005
    corrected = fit_zero_point(**stars, relative_throughput=share)
    assert corrected.zero_point == pytest.approx(TRUE, abs=0.003)


def test_moffat_fraction_is_the_integral_of_the_profile() -> None:
    """Against numerical integration, normalised by the whole plane."""
    core = 4.5 / (2.0 * np.sqrt(2.0 ** (1.0 / 2.7) - 1.0))

    def ring(radius: float) -> float:
        return float(radius * (1.0 + (radius / core) ** 2) ** -2.7)

    inside, _ = scipy.integrate.quad(ring, 0.0, 12.0)
    whole, _ = scipy.integrate.quad(ring, 0.0, np.inf)
    assert moffat_aperture_fraction(12.0, fwhm=4.5, beta=2.7) == pytest.approx(inside / whole)


def test_crowded_stars_are_left_out_where_there_are_enough() -> None:
    """A neighbour at 20 pixels with 1.5 per cent of the light disqualifies a star among many."""
    grid = np.arange(15) * 250.0 + 100.0
    x, y = (a.ravel() for a in np.meshgrid(grid, grid))
    n_stars = x.size
    x, y = np.r_[x, x[:50] + 20.0], np.r_[y, y[:50]]
    flux = np.r_[np.full(n_stars, 1e5), np.full(50, 1.5e3)]
    star_index = np.arange(n_stars)
    chosen = select_photometric_stars(x, y, flux=flux, flux_err=np.full(x.size, 500.0), star_index=star_index)
    np.testing.assert_array_equal(chosen, star_index >= 50)


def test_every_star_helps_where_there_are_few() -> None:
    """Of eight stars none is left out for its neighbours, but one for its noise."""
    x, y = np.arange(16) // 2 * 300.0 + np.arange(16) % 2 * 10.0, np.full(16, 50.0)
    flux = np.where(np.arange(16) % 2 == 0, 1e5, 5e3)
    flux[0] = 5e3
    star_index = np.arange(0, 16, 2)
    chosen = select_photometric_stars(x, y, flux=flux, flux_err=np.full(16, 500.0), star_index=star_index)
    np.testing.assert_array_equal(chosen, star_index != 0)


def test_sources_without_position_are_not_chosen() -> None:
    """Nor is anything if there is nothing."""
    x, flux = np.array([np.nan, 10.0]), np.full(2, 1e5)
    chosen = select_photometric_stars(x, x, flux=flux, flux_err=np.ones(2), star_index=np.arange(2))
    np.testing.assert_array_equal(chosen, [False, True])
    none = np.empty(0, dtype=np.int64)
    assert select_photometric_stars(x, x, flux=flux, flux_err=np.ones(2), star_index=none).size == 0


@pytest.mark.parametrize(
    ("columns", "band", "flux"),
    [
        (["id", "monster_ComCam_r_flux", "monster_ComCam_r_fluxErr", "r_flux"], "r", "monster_ComCam_r_flux"),
        (["g_flux", "g_fluxErr", "r_flux"], "g", "g_flux"),
        (["z_flux", "r_flux"], "y", "z_flux"),
        (["y_flux", "z_flux"], "y", "y_flux"),
        (["r_flux"], "white", "r_flux"),
    ],
)
def test_flux_column_of_a_band(columns: list[str], band: str, flux: str) -> None:
    """The best of what is there, and its error if there is one."""
    error = f"{flux}Err" if f"{flux}Err" in columns else None
    assert choose_flux_column(columns, band=band) == (flux, error)


def test_a_missing_band_says_what_was_there() -> None:
    """The message names the band, what was looked for and what was found."""
    with pytest.raises(MissingFluxColumnError, match=r"'u'.*monster_ComCam_u_flux.*: g_flux, r_flux"):
        choose_flux_column(["id", "r_flux", "g_flux", "r_fluxErr"], band="u")


def test_magnitudes_are_ab() -> None:
    """3631 Jy is magnitude zero; what is not positive has none."""
    mag, error = ab_magnitudes(np.array([3631e9, 100.0, 0.0, -1.0, np.nan]), np.full(5, 1.0))
    assert mag[0] == pytest.approx(0.0, abs=1e-4)
    assert mag[1] == pytest.approx(26.4)
    assert error[1] == pytest.approx(0.025 / np.log(10.0))
    assert np.isnan(mag[2:]).all()
    assert np.isnan(ab_magnitudes([5.0])[1]).all()
    assert nanojansky_per_electron(31.4) == pytest.approx(1.0)
    assert nanojansky_per_electron(28.9) == pytest.approx(10.0)
