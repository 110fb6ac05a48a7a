# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import numpy as np
import pytest
from lsst.ra.pipe.simulation import (
    PsfField,
    RadialProfile,
    SimulationConfig,
    add_objects,
    kolmogorov_profile,
    moffat_profile,
    vignetting,
)

PROFILES = {
    "moffat 2.5": moffat_profile(2.5),
    "moffat 3": moffat_profile(3.0),
    "kolmogorov": kolmogorov_profile(),
}


def draw(profile: RadialProfile, *, size: int = 301, **objects: float) -> np.ndarray:
    """Return an image of shape (size, size) with one object."""
    image = np.zeros((size, size), np.float32)
    add_objects(image, profile=profile, threshold=1e-4, **{k: np.array([v]) for k, v in objects.items()})
    return image


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_have_unit_flux_and_unit_fwhm(name: str) -> None:
    """A profile falls to half at radius one half and integrates to one."""
    profile = PROFILES[name]
    radius = np.arange(profile.values.size) * profile.step
    half = np.interp(-profile.values[0] / 2.0, -profile.values, radius)
    assert half == pytest.approx(0.5, abs=1e-4)
    flux = np.trapezoid(2.0 * np.pi * radius * profile.values, radius)
    assert flux == pytest.approx(1.0, abs=1.5e-3)


def test_kolmogorov_wings_follow_the_power_law() -> None:
    """Surface brightness falls as r^(-11/3) far out."""
    profile = kolmogorov_profile()
    a, b = profile.radius_of(profile.values[[1280, 5120]].astype(float))
    slope = np.log(profile.values[5120] / profile.values[1280]) / np.log(b / a)
    assert slope == pytest.approx(-11.0 / 3.0, abs=0.02)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("fwhm", [2.5, 4.3, 8.0])
def test_an_object_has_its_flux_centre_and_width(name: str, fwhm: float) -> None:
    """Flux, centroid and half-light width of a drawn star are as asked."""
    image = draw(PROFILES[name], x=150.3, y=149.6, flux=1e5, fwhm=fwhm, e1=0.0, e2=0.0)
    assert image.sum() == pytest.approx(1e5, rel=0.006)
    y, x = np.mgrid[:301, :301]
    near = np.hypot(x - 150.3, y - 149.6) < 4 * fwhm
    assert np.average(x[near], weights=image[near]) == pytest.approx(150.3, abs=0.02)
    assert np.average(y[near], weights=image[near]) == pytest.approx(149.6, abs=0.02)
    # Flux within the half-maximum radius, against the profile's own.
    profile = PROFILES[name]
    radius = np.arange(profile.values.size) * profile.step
    inner = np.cumsum(2.0 * np.pi * radius * profile.values * profile.step)
    expected = np.interp(2.0, radius, inner)
    measured = image[np.hypot(x - 150.3, y - 149.6) < 2.0 * fwhm].sum() / 1e5
    assert measured == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("e1", "e2"), [(0.2, 0.0), (-0.1, 0.15), (0.0, -0.3)])
def test_an_object_has_its_ellipticity(e1: float, e2: float) -> None:
    """Second moments of a steep profile give back both components."""
    image = draw(moffat_profile(9.0), x=150.0, y=150.0, flux=1e6, fwhm=8.0, e1=e1, e2=e2).astype(float)
    y, x = np.mgrid[:301, :301] - 150.0
    xx, yy, xy = ((image * p).sum() for p in (x * x, y * y, x * y))
    assert (xx - yy) / (xx + yy) == pytest.approx(e1, abs=0.01)
    assert 2.0 * xy / (xx + yy) == pytest.approx(e2, abs=0.01)


def test_objects_beyond_the_edge_shine_in() -> None:
    """A star off the image adds its wing, and nothing is out of bounds."""
    whole = draw(moffat_profile(3.0), size=201, x=100.0, y=100.0, flux=1e6, fwhm=5.0, e1=0.1, e2=0.0)
    part = draw(moffat_profile(3.0), size=91, x=100.0, y=100.0, flux=1e6, fwhm=5.0, e1=0.1, e2=0.0)
    np.testing.assert_allclose(part, whole[:91, :91], rtol=1e-5)
    assert part.max() > 0.0


def test_psf_varies_smoothly_within_the_configured_range() -> None:
    """The PSF at the boresight is drawn from the range; the field is curved."""
    config = SimulationConfig(fwhm=(0.8, 1.0))
    fwhm = [
        float(PsfField.draw(config, exposure).at(np.array(0.0), np.array(0.0))[0]) for exposure in range(50)
    ]
    assert 0.8 <= min(fwhm) < 0.85 < 0.95 < max(fwhm) <= 1.0
    angle = np.linspace(-1.7, 1.7, 200)
    size, e1, e2 = PsfField.draw(config, 1).at(angle, 0.3 * angle)
    assert np.abs(np.diff(size)).max() < 0.003
    assert np.hypot(e1, e2).max() < 0.2


def test_vignetting_is_small_inside_and_falls_outward() -> None:
    """No loss on the axis, some at the edge, never an increase."""
    angle = np.linspace(0.0, 2.2, 400)
    transmission = vignetting(angle)
    assert transmission[0] == 1.0
    assert np.all(np.diff(transmission) <= 0.0)
    assert vignetting(np.array(1.0)) > 0.98
    assert 0.8 < vignetting(np.array(1.75)) < 0.92
