# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
from __future__ import annotations

import isr_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsst.ra.pipe.algorithms.isr import (
    AmplifierLayout,
    CrosstalkTerms,
    LayoutError,
    all_saturated,
    assemble,
    sample_rows,
    values_after_crosstalk,
)
from lsst.ra.pipe.camera import load_camera

LAYOUT = isr_twins.small_layout()
BITS = {"saturated_bit": 1, "suspect_bit": 2, "crosstalk_bit": 4}


def make_raws(seed: int = 0, dtype: type = np.int32) -> np.ndarray:
    """Raw counts with different values everywhere."""
    return np.random.default_rng(seed).integers(20_000, 60_000, (4, *LAYOUT.raw_shape)).astype(dtype)


def data_sections(raws: np.ndarray) -> np.ndarray:
    """Data sections as read out."""
    ny, nx = LAYOUT.data_shape
    return raws[:, :ny, LAYOUT.data_x0 : LAYOUT.data_x0 + nx]


def run(raws: np.ndarray, **steps: object) -> tuple[np.ndarray, np.ndarray]:
    """Assemble, and return image and mask."""
    image, mask = np.empty(LAYOUT.shape, np.float32), np.zeros(LAYOUT.shape, np.uint16)
    assemble(
        list(raws), layout=LAYOUT, steps=isr_twins.no_steps(LAYOUT, **steps), image=image, mask=mask, **BITS
    )
    return image, mask


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.float32])
def test_pixels_go_to_their_place(dtype: type) -> None:
    """Data sections are trimmed, turned and put together."""
    raws = make_raws(dtype=dtype)
    image, mask = run(raws)
    np.testing.assert_array_equal(image, isr_twins.assembled(LAYOUT, data_sections(raws).astype(np.float32)))
    assert not mask.any()


def test_levels_gains_and_limits() -> None:
    """Levels are subtracted, then limits (adu) compared, then gains applied."""
    rng, raws = np.random.default_rng(3), make_raws(3)
    levels = rng.uniform(0, 30_000, (4, LAYOUT.raw_shape[0])).astype(np.float32)
    columns = rng.normal(0, 5, (4, LAYOUT.data_shape[1])).astype(np.float32)
    gains = np.array([1.1, 1.2, 1.3, 1.4], np.float32)
    saturation = np.array([20_000, np.nan, 30_000, np.inf], np.float32)
    suspect = np.array([15_000, 10_000, np.nan, np.nan], np.float32)
    image, mask = run(
        raws, levels=levels, gains=gains, columns=columns, saturation=saturation, suspect=suspect
    )
    adu = data_sections(raws).astype(np.float32) - levels[:, : LAYOUT.data_shape[0], None]
    expected = adu.astype(float) * gains[:, None, None] - columns[:, None, :]
    np.testing.assert_allclose(image, isr_twins.assembled(LAYOUT, expected), rtol=1e-5)
    with np.errstate(invalid="ignore"):
        bits = (adu >= saturation[:, None, None]) * 1 + (adu >= suspect[:, None, None]) * 2
    np.testing.assert_array_equal(mask, isr_twins.assembled(LAYOUT, bits.astype(np.uint16)))


def test_noticeable_crosstalk_is_flagged() -> None:
    """Pixels whose crosstalk differs from the usual one are flagged."""
    raws, linear = make_raws(4), np.full((4, 4), 1e-3) - 1e-3 * np.eye(4)
    terms = CrosstalkTerms.build(linear)
    backgrounds, threshold = np.full(4, 120.0, np.float32), np.full(4, 15.0, np.float32)
    _, mask = run(raws, crosstalk=terms, crosstalk_backgrounds=backgrounds, crosstalk_threshold=threshold)
    data = data_sections(raws).astype(float)
    expected = np.abs(isr_twins.crosstalk(data, linear, 0 * linear) - 120.0) >= 15.0
    assert 0.01 < expected.mean() < 0.99
    np.testing.assert_array_equal(mask, isr_twins.assembled(LAYOUT, 4 * expected.astype(np.uint16)))


def test_targets_of_bright_sources_are_flagged() -> None:
    """Where a source is bright, all amplifiers that it couples to are flagged."""
    raws, linear = make_raws(5), np.zeros((4, 4))
    linear[1, 0] = linear[3, 0] = linear[0, 2] = 1e-4
    limits = np.full(4, 50_000.0, np.float32)
    _, mask = run(raws, crosstalk=CrosstalkTerms.build(linear), crosstalk_threshold=limits, flag_sources=True)
    bright = data_sections(raws) >= 50_000
    expected = np.stack([bright[2], bright[0], np.zeros_like(bright[0]), bright[0]])
    np.testing.assert_array_equal(mask, isr_twins.assembled(LAYOUT, 4 * expected.astype(np.uint16)))


def test_rows_after_crosstalk() -> None:
    """Overscan rows and samples are corrected like the image, as far as crosstalk."""
    raws, linear = make_raws(6), np.random.default_rng(6).normal(0, 1e-3, (4, 4))
    steps = isr_twins.no_steps(LAYOUT, crosstalk=CrosstalkTerms.build(linear))
    ny, nx = LAYOUT.data_shape
    columns = slice(LAYOUT.data_x0, LAYOUT.data_x0 + nx)
    overscan = raws[:, ny:, columns].astype(float)
    found = values_after_crosstalk(list(raws), layout=LAYOUT, steps=steps, rows=LAYOUT.parallel_overscan)
    expected = overscan - isr_twins.crosstalk(overscan, linear, 0 * linear)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    values, crosstalk = sample_rows(list(raws), layout=LAYOUT, steps=steps)
    data = data_sections(raws)[:, ::16].astype(float)
    np.testing.assert_allclose(crosstalk, isr_twins.crosstalk(data, linear, 0 * linear), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(values + crosstalk, data, rtol=1e-5)


def test_a_completely_saturated_amplifier_is_found() -> None:
    """One pixel below the limit is enough to be not saturated; overscan does not count."""
    raw = np.zeros(LAYOUT.raw_shape, np.int32)
    data_sections(raw[None])[:] = 50_000
    levels = np.full(LAYOUT.raw_shape[0], 1000.0, np.float32)
    assert all_saturated(raw, layout=LAYOUT, levels=levels, limit=49_000.0)
    assert not all_saturated(raw, layout=LAYOUT, levels=levels, limit=float("nan"))
    raw[5, LAYOUT.data_x0 + 2] -= 1
    assert not all_saturated(raw, layout=LAYOUT, levels=levels, limit=49_000.0)


@settings(deadline=None)
@given(st.floats(0.125, 8.0, width=32), st.integers(0, 60_000))
def test_a_constant_stays_constant(gain: float, level: int) -> None:
    """Equal counts make equal electrons, whatever the gain."""
    raws = np.full((4, *LAYOUT.raw_shape), level, np.int32)
    image, _ = run(raws, gains=np.full(4, gain, np.float32))
    np.testing.assert_array_equal(image, np.float32(level) * np.float32(gain))


@pytest.mark.parametrize("detector", ["R22_S11", "R10_S02", "R00_SW0"])
def test_layouts_of_the_camera(detector: str) -> None:
    """The layout covers every pixel of an E2V, an ITL and a wavefront CCD once."""
    sensor = load_camera("LSSTCam")[detector]
    layout = AmplifierLayout.from_detector(sensor)
    covered = np.zeros(layout.shape, int)
    for a in range(len(layout)):
        covered[layout.assembled_slices(a)] += 1
    assert (covered == 1).all()
    assert layout.shape == tuple(sensor.bbox.shape)


def test_wrong_raw_arrays_are_refused() -> None:
    """Missing amplifiers and other shapes are named."""
    raws = dict(zip(LAYOUT.names, make_raws(), strict=True))
    with pytest.raises(LayoutError, match=r"expected .*C11"):
        LAYOUT.ordered({name: raw for name, raw in raws.items() if name != "C11"})
    with pytest.raises(LayoutError, match=r"Amplifier C01 has shape \(5, 5\)"):
        LAYOUT.ordered(raws | {"C01": np.zeros((5, 5))})
    swapped = {name: raw.astype(">i4") for name, raw in raws.items()}
    assert all(raw.dtype.isnative for raw in LAYOUT.ordered(swapped))
