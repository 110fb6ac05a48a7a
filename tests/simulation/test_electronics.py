# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.simulation import SimulationConfig
from lsst.ra.pipe.simulation._ccd import Ccd, build_ccd
from lsst.ra.pipe.simulation._electronics import add_cosmic_rays, bleed, collect_charge, read_out


@pytest.fixture(scope="module", params=[94, 29, 191], ids=["E2V", "ITL", "wavefront"])
def ccd(request: pytest.FixtureRequest) -> Ccd:
    """One CCD of each layout."""
    return build_ccd(SimulationConfig(), load_camera("LSSTCam")[request.param])


def assemble(ccd: Ccd, counts: np.ndarray) -> np.ndarray:
    """Trim, flip and scale counts to electrons above the constant level."""
    image = np.zeros(ccd.shape)
    for i, amplifier in enumerate(ccd.detector.amplifiers):
        raw = amplifier.unassembled_raw_geometry
        assert raw is not None
        data = counts[i][raw.data_bbox.slice_within(raw.bbox)].astype(float)
        data = (data - ccd.offset[i]) * ccd.gain[i]
        data = data[:: -1 if raw.flip_y else 1, :: -1 if raw.flip_x else 1]
        image[amplifier.bbox.slice_within(ccd.detector.bbox)] = data
    return image


def test_assembly_undoes_the_read_out(ccd: Ccd) -> None:
    """Without noise a raw differs from charge and bias by rounding only."""
    plain = dataclasses.replace(ccd, crosstalk=np.zeros_like(ccd.crosstalk))
    charge = np.random.default_rng(1).uniform(0.0, 50_000.0, ccd.shape).astype(np.float32)
    counts = read_out(charge, ccd=plain, structure=False, rng=None)
    assert counts.dtype == np.int32
    np.testing.assert_allclose(assemble(plain, counts), charge + ccd.bias, atol=0.51 * ccd.gain.max() + 0.02)


def test_crosstalk_is_target_by_source(ccd: Ccd) -> None:
    """The source's electrons times the coefficient appear in the target."""
    coefficients = np.zeros_like(ccd.crosstalk)
    coefficients[2, 5] = 1e-3
    crossed = dataclasses.replace(ccd, crosstalk=coefficients, bias=np.zeros_like(ccd.bias))
    charge = np.zeros(ccd.shape, np.float32)
    charge[ccd.detector.amplifiers[5].bbox.slice_within(ccd.detector.bbox)] = 100_000.0
    image = assemble(crossed, read_out(charge, ccd=crossed, structure=False, rng=None))
    levels = [image[a.bbox.slice_within(ccd.detector.bbox)].mean() for a in ccd.detector.amplifiers]
    expected = np.zeros(len(levels))
    expected[5], expected[2] = 100_000.0, 100.0
    np.testing.assert_allclose(levels, expected, atol=1.0)


def test_overscan_has_read_noise_level_and_drift(ccd: Ccd) -> None:
    """The overscan shows level and read noise, and drifts with the row."""
    charge = np.full(ccd.shape, 1000.0, np.float32)
    counts = read_out(charge, ccd=ccd, structure=True, rng=np.random.default_rng(2))
    for i, amplifier in enumerate(ccd.detector.amplifiers):
        raw = amplifier.unassembled_raw_geometry
        assert raw is not None
        overscan = counts[i][:, raw.serial_overscan_bbox.x.start + 5 :].astype(float)
        rows = overscan.mean(axis=1)
        assert rows[-500:].mean() == pytest.approx(ccd.offset[i], abs=3.0)
        assert rows[:20].mean() - rows[-500:].mean() > 1.0
        noise = np.std(overscan - rows[:, None])
        assert noise == pytest.approx(ccd.read_noise[i] / ccd.gain[i], rel=0.03)


@pytest.mark.parametrize("level", [0.5, 8.0, 20.0, 900.0])
def test_photon_noise_is_poisson(level: float) -> None:
    """Mean, variance and skewness are those of a Poisson number."""
    ccd = build_ccd(SimulationConfig(), load_camera("LSSTCam")[191])
    even = dataclasses.replace(ccd, flat=np.ones_like(ccd.flat), dark=np.zeros_like(ccd.dark))
    charge = np.zeros(ccd.shape, np.float32)
    grid = np.full((3, 3), level)
    collect_charge(charge, ccd=even, illumination=grid, dark_time=1.0, rng=np.random.default_rng(3))
    values = charge.astype(float)
    assert np.array_equal(values, np.rint(values))
    assert values.mean() == pytest.approx(level, rel=0.005)
    assert values.var() == pytest.approx(level, rel=0.01)
    skewness = ((values - level) ** 3).mean() / level**1.5
    assert skewness == pytest.approx(level**-0.5, abs=0.02)


def test_flat_multiplies_light_and_dark_current_adds(ccd: Ccd) -> None:
    """Expected charge is flat * light + dark * time."""
    charge = np.full(ccd.shape, 100.0, np.float32)
    collect_charge(charge, ccd=ccd, illumination=np.full((3, 3), 800.0), dark_time=30.0, rng=None)
    np.testing.assert_allclose(charge, ccd.flat * 900.0 + ccd.dark * 30.0, rtol=1e-5)


def test_illumination_is_interpolated_between_nodes(ccd: Ccd) -> None:
    """A plane on the nodes is a plane on the pixels, corners included."""
    even = dataclasses.replace(ccd, flat=np.ones_like(ccd.flat), dark=np.zeros_like(ccd.dark))
    charge = np.zeros(ccd.shape, np.float32)
    grid = np.add.outer(np.linspace(0.0, 10.0, 5), np.linspace(100.0, 120.0, 9))
    collect_charge(charge, ccd=even, illumination=grid, dark_time=0.0, rng=None)
    ny, nx = ccd.shape
    expected = np.add.outer(np.linspace(0.0, 10.0, ny), np.linspace(100.0, 120.0, nx))
    np.testing.assert_allclose(charge, expected, rtol=1e-5)


def test_bleeding_keeps_charge_within_one_column_of_one_amplifier(ccd: Ccd) -> None:
    """Charge above full well spreads along the column and is conserved."""
    box = ccd.detector.amplifiers[3].bbox
    x, y, full = box.x.start + 100, box.y.start + 900, ccd.full_well[3]
    charge = np.full(ccd.shape, 50.0, np.float32)
    charge[y : y + 3, x] = 20.0 * full
    before = charge.sum(dtype=float)
    assert bleed(charge, ccd=ccd) == 3
    assert charge.max() == pytest.approx(full, rel=1e-6)
    assert charge.sum(dtype=float) == pytest.approx(before, rel=1e-6)
    changed_y, changed_x = np.nonzero(charge != 50.0)
    assert set(changed_x) == {x}
    assert len(changed_y) == pytest.approx(60, abs=2)
    assert abs(changed_y.mean() - (y + 1)) <= 1.0


def test_bleeding_stops_at_the_amplifier_s_edge(ccd: Ccd) -> None:
    """What reaches the read-out edge or the middle of the CCD is lost."""
    box = ccd.detector.amplifiers[3].bbox
    charge = np.zeros(ccd.shape, np.float32)
    charge[box.y.start + 1000, box.x.start + 7] = 1e9
    bleed(charge, ccd=ccd)
    column = np.flatnonzero(charge[:, box.x.start + 7])
    assert column.min() == box.y.start
    assert column.max() == box.y.stop - 1


def test_cosmic_rays_are_counted_and_hot(ccd: Ccd) -> None:
    """Tracks add thousands of electrons each."""
    charge = np.zeros(ccd.shape, np.float32)
    count = add_cosmic_rays(charge, expected=40.0, rng=np.random.default_rng(4))
    assert 15 < count < 70
    assert charge.sum() > 5000.0 * count


def test_a_ccd_depends_on_seed_and_detector_alone() -> None:
    """The same CCD is built whatever else is simulated."""
    detector = load_camera("LSSTCam")[191]
    one = build_ccd(SimulationConfig(seed=7), detector)
    two = build_ccd(SimulationConfig(seed=7, detectors=(191, 3), n_exposures=5), detector)
    other = build_ccd(SimulationConfig(seed=8), detector)
    np.testing.assert_array_equal(one.flat, two.flat)
    np.testing.assert_array_equal(one.gain, two.gain)
    assert one.defects == two.defects
    assert not np.allclose(one.gain, other.gain)
