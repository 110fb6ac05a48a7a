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
from lsst.ra.pipe.algorithms.isr import DITHER_OFFSETS, MersenneTwister, dithered_amplifiers


@settings(deadline=None)
@given(st.integers(0, 2**40), st.lists(st.integers(1, 700), min_size=1, max_size=4))
def test_numbers_are_those_of_numpy(seed: int, sizes: list[int]) -> None:
    """However it is asked for, the sequence is RandomState's."""
    generator = MersenneTwister(seed)
    parts = [np.empty(size, np.float32) for size in sizes]
    for part in parts:
        generator.fill(part)
    expected = np.random.RandomState(seed & 0xFFFFFFFF).uniform(size=sum(sizes))
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=6e-8)


@pytest.mark.parametrize("mode", sorted(DITHER_OFFSETS))
def test_numbers_follow_the_raw_mosaic(mode: str) -> None:
    """Each pixel gets the number of its place in the mosaic of raw arrays."""
    layout = isr_twins.small_layout()
    raws = np.random.default_rng(0).integers(0, 30_000, (4, *layout.raw_shape)).astype(np.int32)
    dithered = dithered_amplifiers(list(raws), layout=layout, mode=mode, seed=42)
    expected = isr_twins.mosaic(layout, raws.astype(np.float64))
    expected += np.random.RandomState(42).uniform(size=expected.shape) + DITHER_OFFSETS[mode]
    np.testing.assert_allclose(isr_twins.mosaic(layout, dithered), expected, atol=2e-3)


def test_dithering_keeps_the_mean() -> None:
    """Symmetric dithering adds nothing on average."""
    layout = isr_twins.small_layout(ny=200, nx=200)
    raws = [np.full(layout.raw_shape, 100, np.int32)] * 4
    assert abs(dithered_amplifiers(raws, layout=layout, mode="SYMMETRIC", seed=1).mean() - 100) < 0.005
