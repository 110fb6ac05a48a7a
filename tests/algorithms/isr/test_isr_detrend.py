# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
from __future__ import annotations

from typing import Any

import isr_twins
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from lsst.ra.pipe.algorithms.isr import DetrendCalibrations, NoiseModel, bin_image, detrend

LAYOUT = isr_twins.small_layout(ny=30, nx=700)


def run(
    image: np.ndarray,
    *,
    gains: Any = 1.0,
    read_noise: Any = 5.0,
    dark_time: float = 15.0,
    **calibrations: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Detrend a copy; return image, variance, mask and the number of NaN."""
    image, variance = image.astype(np.float32), np.full(image.shape, np.nan, np.float32)
    mask = np.zeros(image.shape, np.uint16)
    noise = NoiseModel(np.full(4, gains, np.float32), np.full(4, read_noise, np.float32))
    n_nan = detrend(
        image,
        variance=variance,
        mask=mask,
        layout=LAYOUT,
        calibrations=DetrendCalibrations(**calibrations),
        noise=noise,
        dark_time=dark_time,
        nan_bit=1,
        negative_bit=2,
    )
    return image, variance, mask, n_nan


def make_calibrations(seed: int) -> dict[str, Any]:
    """Calibration images in the form of the kernel."""
    rng = np.random.default_rng(seed)
    flat = rng.normal(1.0, 0.05, LAYOUT.shape)
    images = {
        "bias": rng.normal(0, 3, LAYOUT.shape),
        "bias_variance": rng.uniform(0.1, 1.0, LAYOUT.shape),
        "dark": rng.exponential(0.05, LAYOUT.shape),
        "dark_variance": rng.uniform(0, 1e-3, LAYOUT.shape),
        "inverse_flat": 1.0 / flat,
        "flat_relative_variance": 1e-5 / flat**2,
    }
    return {name: image.astype(np.float32) for name, image in images.items()}


def test_detrending_is_the_textbook() -> None:
    """(image - bias - t dark) / flat, with all variances."""
    image = np.random.default_rng(0).normal(900.0, 30.0, LAYOUT.shape)
    c = {name: array.astype(float) for name, array in make_calibrations(1).items()}
    found, variance, mask, n_nan = run(image, **make_calibrations(1))
    value = image - c["bias"] - 15.0 * c["dark"]
    total = c["bias_variance"] + 15.0**2 * c["dark_variance"] + value + 25.0
    flattened = value * c["inverse_flat"]
    np.testing.assert_allclose(found, flattened, rtol=1e-5)
    expected = total * c["inverse_flat"] ** 2 + flattened**2 * c["flat_relative_variance"]
    np.testing.assert_allclose(variance, expected, rtol=1e-5)
    assert not mask.any()
    assert n_nan == 0


def test_without_calibrations_only_the_variance_is_made() -> None:
    """The image stays, and the variance is that of photons and read-out."""
    image = np.random.default_rng(2).normal(900.0, 30.0, LAYOUT.shape).astype(np.float32)
    found, variance, _, _ = run(image, gains=1.5, read_noise=6.0)
    np.testing.assert_array_equal(found, image)
    np.testing.assert_allclose(variance, image / 1.5 + 16.0, rtol=1e-6)


def test_bad_values_are_flagged() -> None:
    """What is not finite, or has no positive variance, is flagged, and only that."""
    image = np.full(LAYOUT.shape, 100.0)
    image[3, 5], image[4, 1200], image[50, 0] = np.nan, np.inf, -1000.0
    calibrations = make_calibrations(3)
    calibrations["bias_variance"][7, 7] = np.nan
    _, _, mask, n_nan = run(image, **calibrations)
    expected = np.zeros(LAYOUT.shape, np.uint16)
    expected[3, 5] = expected[4, 1200] = expected[7, 7] = 1
    expected[50, 0] = 2
    np.testing.assert_array_equal(mask, expected)
    assert n_nan == 3


def test_masks_of_calibrations_are_added() -> None:
    """The calibrations' bits are in the mask."""
    bits = np.random.default_rng(4).integers(0, 64, LAYOUT.shape).astype(np.uint16) * 4
    _, _, mask, _ = run(np.full(LAYOUT.shape, 100.0), mask=bits)
    np.testing.assert_array_equal(mask, bits)


@settings(deadline=None)
@given(st.floats(0.5, 8.0, width=32))
def test_variance_scales_with_the_unit(gain: float) -> None:
    """In adu, values are 1/gain and variances 1/gain^2 of those in electron."""
    electron = np.random.default_rng(5).normal(900.0, 30.0, LAYOUT.shape)
    _, variance, _, _ = run(electron)
    _, in_adu, _, _ = run(electron / gain, gains=gain)
    np.testing.assert_allclose(in_adu * gain**2, variance, rtol=1e-4)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 3))
def test_bins_are_means_of_finite_pixels(factor: int, n_bad: int) -> None:
    """Blocks are averaged without what is not finite; parts of blocks are left out."""
    rng = np.random.default_rng(factor)
    image = rng.normal(100.0, 5.0, (31, 47)).astype(np.float32)
    image[rng.integers(0, 31, n_bad), rng.integers(0, 47, n_bad)] = np.nan
    binned = bin_image(image, factor)
    ny, nx = 31 // factor, 47 // factor
    blocks = image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor).swapaxes(1, 2)
    for y in range(ny):
        for x in range(nx):
            block = blocks[y, x][np.isfinite(blocks[y, x])]
            expected = block.mean(dtype=float) if block.size else np.nan
            np.testing.assert_allclose(binned[y, x], expected, rtol=1e-6)
