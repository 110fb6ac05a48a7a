# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Magnitude limit, effective time and seeing."""

from __future__ import annotations

import json
import math
import pathlib

import pytest
from lsst.ra.pipe.algorithms.calibration import (
    DEPTH_FIDUCIALS,
    EFFECTIVE_WAVELENGTHS,
    Depth,
    compute_depth,
    magnitude_limit,
    seeing_at_zenith,
)

NORMAL = {
    "zero_point": 32.1335,
    "psf_sigma": 2.19,
    "psf_area": 77.1,
    "sky": 1200.2,
    "read_noise": 5.5,
    "exposure_time": 30.0,
}


def depth(**changes: float) -> Depth:
    """Depth of an ordinary exposure with some numbers changed."""
    return compute_depth(**{**NORMAL, **changes}, fiducials=DEPTH_FIDUCIALS["LSSTCam"]["r"])


@pytest.mark.parametrize("instrument", ["LSSTCam", "LSSTComCam", "LATISS"])
def test_fiducials_are_those_of_the_alert_production(shared: pathlib.Path, instrument: str) -> None:
    """Every band of every instrument."""
    path = shared / "ap" / f"ap-{instrument}-SingleFrame.json"
    config = json.loads(path.read_text())["tasks"]["calibrateImage"]["config"]["compute_summary_stats"]
    assert set(DEPTH_FIDUCIALS[instrument]) == set(config["fiducialPsfSigma"])
    for band, ours in DEPTH_FIDUCIALS[instrument].items():
        found = (ours.psf_sigma, ours.sky_rate, ours.zero_point, ours.magnitude_limit, ours.exposure_time)
        names = ("PsfSigma", "SkyBackground", "ZeroPoint", "MagLim", "ExpTime")
        assert found == pytest.approx([config[f"fiducial{name}"][band] for name in names])
    assert config["magLimSnr"] == 5.0


# Effective PSF areas of the scenes' profiles in a stamp of 29 x 29 pixels.
@pytest.mark.parametrize(("scene", "area"), [("A", 77.09), ("B", 47.48), ("C", 274.88), ("D", 77.10)])
def test_depth_is_that_of_the_science_pipelines(shared: pathlib.Path, scene: str, area: float) -> None:
    """From their sky and zero point: within 0.02 mag, and the effective time that belongs to it."""
    results = json.loads((shared / "golden" / "scenes_reference.json").read_text())["results"]
    (theirs,) = (row for row in results if (row["config"], row["scene"]) == ("ap", scene))
    found = depth(
        zero_point=theirs["zeroPoint"][0],
        psf_sigma=theirs["psfSigma"][0],
        psf_area=area,
        sky=theirs["skyBg"][0],
    )
    assert found.magnitude_limit == pytest.approx(theirs["magLim"], abs=0.02)
    from_limit = 10 ** (0.8 * (found.magnitude_limit - theirs["magLim"]))
    assert found.effective_time == pytest.approx(theirs["effTime"] * from_limit, rel=1e-6)


def test_source_at_the_limit_has_signal_to_noise_five() -> None:
    """Put back into the formula, with source noise and without."""
    for sky, read_noise, area in ((1200.0, 5.5, 77.0), (0.0, 0.0, 10.0)):
        limit = magnitude_limit(zero_point=32.0, psf_area=area, sky=sky, read_noise=read_noise)
        electrons = 10 ** (0.4 * (32.0 - limit))
        noise = math.sqrt(electrons + (sky + read_noise**2) * area)
        assert electrons / noise == pytest.approx(5.0)


def test_scales_are_one_in_fiducial_conditions() -> None:
    """And each follows its own cause."""
    fiducials = DEPTH_FIDUCIALS["LSSTCam"]["r"]
    zero_point = fiducials.zero_point + 2.5 * math.log10(30.0)
    sky = fiducials.sky_rate * 30.0
    nominal = depth(zero_point=zero_point, psf_sigma=fiducials.psf_sigma, sky=sky)
    assert (nominal.psf_scale, nominal.sky_scale, nominal.zero_point_scale) == pytest.approx((1, 1, 1))
    changed = depth(zero_point=zero_point - 0.5, psf_sigma=2.0 * fiducials.psf_sigma, sky=2.0 * sky)
    found = (changed.psf_scale, changed.sky_scale, changed.zero_point_scale)
    assert found == pytest.approx((0.25, 0.5, 10**-0.4))


@pytest.mark.parametrize("name", ["zero_point", "psf_area", "sky"])
def test_unknown_inputs_give_unknown_depth(name: str) -> None:
    """Never an invented number."""
    found = depth(**{name: math.nan})
    assert math.isnan(found.magnitude_limit)
    assert math.isnan(found.effective_time)


@pytest.mark.parametrize(("name", "value"), [("psf_sigma", 0.0), ("sky", -5000.0), ("exposure_time", 0.0)])
def test_impossible_inputs_are_no_error(name: str, value: float) -> None:
    """A bias has no sky and no exposure time."""
    found = depth(**{name: value})
    assert any(math.isnan(x) for x in (found.psf_scale, found.sky_scale, found.zero_point_scale))


def test_without_fiducials_there_is_a_limit_only() -> None:
    """A band that nobody defined, such as white."""
    found = compute_depth(**NORMAL, fiducials=None)
    assert found.magnitude_limit == depth().magnitude_limit
    assert math.isnan(found.effective_time)


def test_seeing_is_corrected_for_air_mass_and_wavelength() -> None:
    """Air mass 2 is 60 degrees from the zenith; red light is steadier."""
    assert seeing_at_zenith(1.0, zenith_distance=0.0, wavelength=500.0) == pytest.approx(1.0)
    assert seeing_at_zenith(1.0, zenith_distance=60.0, wavelength=500.0) == pytest.approx(2**-0.6)
    red = EFFECTIVE_WAVELENGTHS["LSSTCam"]["r"]
    assert seeing_at_zenith(0.9, zenith_distance=0.0, wavelength=red) == pytest.approx(
        0.9 * (618.6055 / 500.0) ** 0.2
    )


@pytest.mark.parametrize(
    ("zenith_distance", "wavelength"), [(math.nan, 500.0), (90.0, 500.0), (10.0, math.nan)]
)
def test_seeing_is_unknown_without_its_inputs(zenith_distance: float, wavelength: float) -> None:
    """Also at the horizon."""
    assert math.isnan(seeing_at_zenith(1.0, zenith_distance=zenith_distance, wavelength=wavelength))
