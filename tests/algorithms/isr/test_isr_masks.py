# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
from __future__ import annotations

import hypothesis.extra.numpy as hnp
import isr_twins
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from lsst.images import Mask, MaskPlane, MaskSchema
from lsst.ra.pipe.algorithms import MASK_SCHEMA, packed_mask, plane_bits
from lsst.ra.pipe.algorithms.isr import (
    ItlDipSettings,
    count_bits,
    find_footprints,
    grow_bits,
    interpolate_rows,
    interpolation_weights,
    mask_e2v_edge_bleeds,
    mask_itl_dips,
    mask_itl_edge_bleed,
    mask_itl_saturation_sag,
    set_masked,
    widen_saturation_trails,
)

BAD, INTRP = 1, 4


def interpolate(
    image: np.ndarray, bad: np.ndarray, fallback: float = -1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interpolate a copy; return image, variance and mask."""
    image, variance = image.astype(np.float32), 2 * image.astype(np.float32)
    mask = np.where(bad, BAD, 8).astype(np.uint16)
    interpolate_rows(
        image, variance=variance, mask=mask, bits=BAD, interpolated_bit=INTRP, fallback=lambda: fallback
    )
    return image, variance, mask


def test_packed_masks_are_views() -> None:
    """Bits set in the packed mask are planes of the mask."""
    mask = Mask(0, schema=MASK_SCHEMA, shape=(5, 6))
    packed_mask(mask)[2, 3] |= plane_bits("SAT", "ITL_DIP")
    assert [name for name in MASK_SCHEMA.names if mask.get(name)[2, 3]] == ["SAT", "ITL_DIP"]
    assert mask.array.sum() == mask.array[2, 3].sum()
    one_byte = MaskSchema([MaskPlane("BAD", "")], dtype=np.uint8)
    with pytest.raises(ValueError, match="2 bytes"):
        packed_mask(Mask(0, schema=one_byte, shape=(5, 6)))


@settings(deadline=None)
@given(
    hnp.arrays(bool, (6, 40), elements=st.booleans()),
    st.floats(-1e4, 1e4, width=32),
)
def test_interpolation_keeps_a_constant_and_good_pixels(bad: np.ndarray, level: float) -> None:
    """A constant stays so, whatever is masked; good pixels and other bits do not change."""
    image, variance, mask = interpolate(np.full(bad.shape, level), bad, fallback=level)
    filled = ~bad | (bad.sum(axis=1, keepdims=True) < bad.shape[1])
    np.testing.assert_allclose(image[filled], level, rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal((mask & INTRP) > 0, bad)
    np.testing.assert_array_equal(mask & ~np.uint16(INTRP), np.where(bad, BAD, 8))
    np.testing.assert_array_equal(variance[~bad], 2 * image[~bad])


@pytest.mark.parametrize(("n", "left", "right"), [(1, 2, 2), (4, 1, 2), (9, 2, 1), (15, 2, 2)])
def test_interpolated_values_are_weighted_neighbours(n: int, left: int, right: int) -> None:
    """A run is interpolated from the good pixels beside it, without bad ones behind those."""
    row = np.random.default_rng(n).normal(100.0, 10.0, (1, 40))
    bad = np.zeros((1, 40), bool)
    bad[0, 12 : 12 + n] = True
    bad[0, 10], bad[0, 13 + n] = left == 1, right == 1
    positions = np.array([-2, -1, n, n + 1])[[left == 2, True, True, right == 2]]
    expected = interpolation_weights(n, positions) @ row[0, 12 + positions]
    image, _, _ = interpolate(row, bad)
    np.testing.assert_allclose(image[0, 12 : 12 + n], expected, rtol=1e-5)


def test_weights_are_those_of_sdss() -> None:
    """A single bad pixel has the weights that SDSS's Photo and Rubin use."""
    np.testing.assert_allclose(
        interpolation_weights(1, np.array([-2, -1, 1, 2])), [[-0.2737, 0.7737, 0.7737, -0.2737]], atol=1e-4
    )
    np.testing.assert_allclose(interpolation_weights(1, np.array([1, 2])), [[1.4288, -0.4288]], atol=1e-4)


def test_long_runs_at_the_ends_take_the_fallback() -> None:
    """Pixels more than six from a good one, at the ends of a row, take the fallback value."""
    image = np.full((4, 60), 50.0)
    bad = np.zeros(image.shape, bool)
    bad[0, :20] = bad[1, 40:] = bad[2, :] = bad[3, :6] = True
    found, variance, _ = interpolate(image, bad, fallback=70.0)
    np.testing.assert_array_equal(found[0, :14], 70.0)
    np.testing.assert_array_equal(found[1, 46:], 70.0)
    np.testing.assert_array_equal(found[2], 70.0)
    np.testing.assert_array_equal(variance[2], 70.0)
    np.testing.assert_allclose(found[3, :6], 50.0, rtol=1e-5)
    assert 40.0 < found[0, 14:20].min() <= found[0, 14:20].max() < 80.0


def test_the_fallback_is_not_computed_in_vain() -> None:
    """The fallback costs time, and is asked for only when it is needed."""
    image, mask = np.ones((3, 30), np.float32), np.zeros((3, 30), np.uint16)
    mask[1, 4:9] = BAD

    def fail() -> float:
        raise AssertionError

    interpolate_rows(image, variance=image.copy(), mask=mask, bits=BAD, interpolated_bit=INTRP, fallback=fail)


def test_a_nan_neighbour_does_not_spread() -> None:
    """A value that would be NaN is the mean of the nearest good ones."""
    image, bad = np.full((1, 20), 5.0), np.zeros((1, 20), bool)
    image[0, 8], bad[0, 10] = np.nan, True
    found, _, _ = interpolate(image, bad)
    assert found[0, 10] == 5.0


@settings(deadline=None)
@given(hnp.arrays(bool, (12, 15), elements=st.booleans()), st.integers(0, 3))
def test_masks_grow_as_diamonds(set_pixels: np.ndarray, radius: int) -> None:
    """Growth is by the sum of rows and columns; other bits stay."""
    mask = np.where(set_pixels, 2, 0).astype(np.uint16) | np.uint16(16)
    grow_bits(mask, bit=2, radius=radius)
    expected = scipy.ndimage.binary_dilation(set_pixels, iterations=radius) if radius else set_pixels
    np.testing.assert_array_equal((mask & 2) > 0, expected)
    assert ((mask & 16) > 0).all()


def test_masked_pixels_are_set_and_counted() -> None:
    """Only pixels with the wanted and without the unwanted bits are set."""
    layout = isr_twins.small_layout()
    mask = np.random.default_rng(0).integers(0, 8, layout.shape).astype(np.uint16)
    image = np.zeros(layout.shape, np.float32)
    n_set = set_masked(image, mask=mask, bits=1, without=4, value=7.0)
    expected = ((mask & 1) > 0) & ((mask & 4) == 0)
    np.testing.assert_array_equal(image, np.where(expected, 7.0, 0.0))
    assert n_set == expected.sum()
    counts = count_bits(mask, layout=layout, bits=[1, 6])
    for a in range(len(layout)):
        part = mask[layout.assembled_slices(a)]
        assert counts[a].tolist() == [np.count_nonzero(part & 1), np.count_nonzero(part & 6)]


@settings(deadline=None)
@given(hnp.arrays(bool, (14, 17), elements=st.booleans()))
def test_footprints_are_connected_regions(set_pixels: np.ndarray) -> None:
    """Regions touch by edges or corners, as scipy's labels do."""
    footprints = find_footprints(np.where(set_pixels, 2, 1).astype(np.uint16), bit=2)
    labels, n = scipy.ndimage.label(set_pixels, np.ones((3, 3)))
    assert len(footprints) == n
    for footprint in footprints:
        (y0, y1), (x0, x1) = footprint.y_range, footprint.x_range
        label = labels[footprint.rows[0], footprint.starts[0]]
        np.testing.assert_array_equal(footprint.as_array(), labels[y0:y1, x0:x1] == label)
        assert footprint.area == (labels == label).sum()
        np.testing.assert_allclose(footprint.centroid, scipy.ndimage.center_of_mass(labels == label))


def star(shape: tuple[int, int], y: slice, x: slice) -> np.ndarray:
    """Mask with one saturated block."""
    mask = np.zeros(shape, np.uint16)
    mask[y, x] = 2
    return mask


@pytest.mark.parametrize(("y0", "x0", "reached"), [(0, 30, ["C00"]), (1, 30, []), (0, 130, ["C01"])])
def test_e2v_bleeds_at_the_lower_edge_mask_the_amplifier(y0: int, x0: int, reached: list[str]) -> None:
    """A large saturated region that reaches the bottom masks the rows there."""
    layout = isr_twins.small_layout(ny=80, nx=100)
    mask = star(layout.shape, slice(y0, 60), slice(x0, x0 + 10))
    before = mask.copy()
    limits = {"min_area": 500, "max_area": 5000, "height": 30}
    assert mask_e2v_edge_bleeds(mask, layout=layout, bit=2, **limits) == reached
    expected = before.copy()
    if reached:
        expected[:30, 100 * (x0 // 100) : 100 * (x0 // 100) + 100] |= 2
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("height", "fraction", "found"), [(60, 0.01, 1), (40, 0.01, 0), (60, 0.0, 0), (60, 1e-5, 0)]
)
def test_itl_dips(height: int, fraction: float, found: int) -> None:
    """Tall, wide saturated stars mask their columns if the dip is deep enough."""
    image = np.full((160, 200), 900.0, np.float32)
    mask = star(image.shape, slice(20, 20 + height), slice(90, 110))
    settings = ItlDipSettings(background_fraction=fraction)
    trails = mask_itl_dips(mask, image=image, settings=settings, saturated_bit=2, bits=24)
    assert trails == [(84, 115)] * found
    masked = np.flatnonzero((mask & 24).all(axis=0))
    assert masked.tolist() == (list(range(84, 115)) if found else [])


def test_too_many_dips_are_none() -> None:
    """When most of the image would be masked, none of it is."""
    image = np.full((160, 200), 900.0, np.float32)
    mask = star(image.shape, slice(20, 90), slice(90, 120))
    settings = ItlDipSettings(background_fraction=0.01, max_columns=20)
    assert mask_itl_dips(mask, image=image, settings=settings, saturated_bit=2, bits=24) == []
    assert not (mask & 24).any()


def test_sagging_columns_are_masked_whole() -> None:
    """Columns that are saturated over a fifth of the star's height are masked."""
    mask = star((100, 50), slice(20, 70), slice(20, 23))
    mask[40:45, 15:30] |= 2
    [footprint] = find_footprints(mask, bit=2)
    mask_itl_saturation_sag(mask, footprint=footprint, bit=2)
    assert np.flatnonzero((mask == 2).all(axis=0)).tolist() == [20, 21, 22]


def test_itl_edge_bleeds_narrow_away_from_the_edge() -> None:
    """Charge along the lower edge masks a region that narrows exponentially."""
    layout = isr_twins.small_layout(ny=300, nx=300)
    image, mask = np.full(layout.shape, 900.0, np.float32), star(layout.shape, slice(0, 500), slice(140, 160))
    image[:120, 110:190] = 1.2e5
    [footprint] = find_footprints(mask, bit=2)
    names = mask_itl_edge_bleed(
        mask,
        image=image,
        layout=layout,
        footprint=footprint,
        bit=2,
        saturation=1e5,
        threshold=5000.0,
        decay=0.02,
        min_area=100,
        max_area=100_000,
    )
    assert names == ["C10"]
    widths = (mask[:200] > 0).sum(axis=1)
    expected = [2 * int((80 * np.exp(-0.02 * y) + 20) / 2) for y in range(200)]
    np.testing.assert_allclose(widths, expected, atol=2)


@pytest.mark.parametrize(("length", "extra"), [(1, 0), (5, 0), (6, 1), (8, 3), (9, 3), (10, 4), (30, 4)])
def test_trails_widen_by_their_width(length: int, extra: int) -> None:
    """Narrow runs stay, wide ones grow on both sides."""
    mask = star((3, 60), slice(1, 2), slice(20, 20 + length))
    widen_saturation_trails(mask, bit=2)
    assert np.flatnonzero(mask[1]).tolist() == list(range(20 - extra, 20 + length + extra))
