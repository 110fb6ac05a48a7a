# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
from __future__ import annotations

import hypothesis.extra.numpy as hnp
import isr_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsst.ra.pipe.algorithms.isr import clipped_statistics, median, quantiles

QUARTILES = (0.25, 0.5, 0.75)


@pytest.mark.parametrize("n", [1, 2, 3, 64, 1001, 50_000])
def test_quantiles_are_exact(n: int) -> None:
    """Quantiles are those of the sorted values, also of many."""
    values = np.random.default_rng(n).normal(1000.0, 30.0, n).astype(np.float32)
    values[::97] *= 20
    np.testing.assert_allclose(
        quantiles(values, QUARTILES), np.quantile(values.astype(float), QUARTILES), 1e-12
    )


@pytest.mark.parametrize("levels", [1, 2, 7])
def test_quantiles_of_equal_values(levels: int) -> None:
    """Many equal values do not confuse the bins."""
    values = np.random.default_rng(levels).integers(0, levels, 30_000).astype(np.float32)
    np.testing.assert_allclose(quantiles(values, QUARTILES), np.quantile(values.astype(float), QUARTILES))


def test_values_that_are_not_finite_do_not_count() -> None:
    """NaN and infinities are left out of the order and of the moments."""
    values = np.random.default_rng(1).normal(0.0, 1.0, 20_000).astype(np.float32)
    spoilt = np.concatenate([values, np.array([np.nan, np.inf, -np.inf], np.float32)])
    assert median(spoilt) == median(values)
    np.testing.assert_allclose(clipped_statistics(spoilt), clipped_statistics(values), 1e-6)


def test_nothing_finite_is_nan() -> None:
    """Without a finite value, statistics are NaN."""
    assert np.isnan(median(np.full(3, np.nan, np.float32)))
    assert np.isnan(clipped_statistics(np.full(9, np.inf, np.float32))).all()


@pytest.mark.parametrize("n", [500, 70_000])
def test_clipped_statistics_follow_their_definition(n: int) -> None:
    """The first clipping uses quartiles, the next ones the clipped moments."""
    rng = np.random.default_rng(n)
    values = rng.normal(5.0, 2.0, n).astype(np.float32)
    values[: n // 50] += rng.exponential(100.0, n // 50).astype(np.float32)
    np.testing.assert_allclose(clipped_statistics(values), isr_twins.clipped_statistics(values), 2e-6)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-1e4, 1e4, width=32)),
    st.floats(0.5, 8.0, width=32),
)
def test_quantiles_scale_with_the_unit(values: np.ndarray, factor: float) -> None:
    """Another unit of the values is another unit of the quantiles."""
    scaled = quantiles((values * np.float32(factor)).astype(np.float32), QUARTILES)
    np.testing.assert_allclose(scaled, factor * quantiles(values, QUARTILES), rtol=1e-5, atol=1e-2)
