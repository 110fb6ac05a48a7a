# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Passes over pixels and the sky model."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage
from lsst.images import Box, Mask, MaskPlane, MaskSchema
from lsst.images.fields import ChebyshevField
from lsst.ra.pipe.algorithms.measurement import (
    DOUBTFUL,
    UNUSABLE,
    NoBackgroundError,
    PlaneBits,
    count_planes,
    find_unlit_cells,
    fit_background,
    measure_mesh,
    survey_pixels,
)
from lsst.ra.pipe.algorithms.measurement._pixels import SATURATED, dilate, set_plane
from simulated_sky import make_scene

SCHEMA = MaskSchema([MaskPlane(name, name) for name in "ABCDEFGHIJK"])


def make_mask(shape: tuple[int, int]) -> Mask:
    """Set each plane in a random part of the pixels."""
    rng = np.random.default_rng(4)
    mask = Mask(schema=SCHEMA, shape=shape)
    for n, plane in enumerate(SCHEMA.names):
        mask.set(plane, rng.random(shape) < 0.05 * (n + 1))
    return mask


def test_planes_are_counted_like_lsst_images_counts_them() -> None:
    """Every bit of a two-byte mask is counted on its own."""
    mask = make_mask((31, 43))
    counts = count_planes(mask.array)
    for plane in SCHEMA.names:
        bit = SCHEMA.bit(plane)
        found = counts[bit.index, int(bit.mask).bit_length() - 1]
        assert found == np.count_nonzero(mask.get(plane))


def test_bad_pixels_are_classified_by_plane_and_by_value() -> None:
    """Masked, doubtful and non-finite pixels are told apart."""
    mask = make_mask((20, 30))
    image, variance = np.zeros((2, 20, 30), dtype=np.float32)
    image[3, 4], variance[5, 6] = np.nan, np.inf
    bits = PlaneBits(
        unusable=SCHEMA.bitmask("A", "J"), doubtful=SCHEMA.bitmask("C"), saturated=SCHEMA.bitmask("B")
    )
    survey = survey_pixels(image, variance=variance, mask=mask.array, bits=bits)
    bad = survey.bad
    expected = mask.get("A") | mask.get("J")
    expected[3, 4] = expected[5, 6] = True
    np.testing.assert_array_equal((bad & UNUSABLE) != 0, expected)
    np.testing.assert_array_equal((bad & DOUBTFUL) != 0, mask.get("C"))
    blocks = mask.get("B").reshape(10, 2, 15, 2).any(axis=(1, 3))
    np.testing.assert_array_equal((survey.flags & SATURATED) != 0, blocks)


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_dilation_is_that_of_a_square(radius: int) -> None:
    """Set pixels grow by the radius in rows and columns."""
    flags = (np.random.default_rng(2).random((40, 57)) < 0.02).astype(np.int32)
    expected = scipy.ndimage.binary_dilation(flags, np.ones((2 * radius + 1, 2 * radius + 1)))
    np.testing.assert_array_equal(dilate(flags, radius=radius), expected)


@pytest.mark.parametrize("columns", [400, 403])
def test_blocks_are_means_of_their_usable_pixels(columns: int) -> None:
    """Odd edges included; blocks of which most is unusable are flagged and 0."""
    rng = np.random.default_rng(3)
    image = rng.normal(100.0, 7.0, (301, columns)).astype(np.float32)
    image[100:110, 200:210] = np.nan
    image[0, ::2] = np.nan
    mask = np.zeros((301, columns, 1), dtype=np.uint8)
    none = np.zeros(1, dtype=np.uint8)
    bits = PlaneBits(unusable=none, doubtful=none, saturated=none)
    survey = survey_pixels(image, variance=np.ones_like(image), mask=mask, bits=bits, factor=2)
    assert survey.mean.shape == (151, -(-columns // 2))
    unusable = (survey.flags & UNUSABLE) != 0
    assert unusable[50:55, 100:105].all()
    assert not survey.mean[unusable].any()
    assert survey.mean[0, 0] == pytest.approx(np.nanmean(image[:2, :2]))
    assert survey.mean[10, 20] == pytest.approx(image[20:22, 40:42].mean())
    assert survey.mean[150, 20] == pytest.approx(image[300, 40:42].mean())


def test_a_model_of_blocks_is_that_of_their_pixels() -> None:
    """Fitted to means of blocks, it subtracts from pixels and blocks alike."""
    y, x = np.mgrid[0:600, 0:701]
    image = (1000.0 + 0.05 * x - 0.02 * y).astype(np.float32)
    blocks = image[:, :700].reshape(300, 2, 350, 2).mean(axis=(1, 3))
    blocks = np.concatenate([blocks, image[:, 700].reshape(300, 2).mean(axis=1)[:, None]], axis=1)
    flags = np.zeros(blocks.shape, dtype=np.uint8)
    model = fit_background(measure_mesh(blocks, bad=flags, factor=2, shape=image.shape))
    np.testing.assert_allclose(model.subtract_from(image), 0.0, atol=0.03)
    np.testing.assert_allclose(model.subtract_from(blocks, factor=2), 0.0, atol=0.06)


def test_a_plane_is_set_in_blocks() -> None:
    """Binned flags cover their full pixels, odd edges included."""
    mask = np.zeros((5, 7, 2), dtype=np.uint8)
    flags = np.zeros((3, 4), dtype=np.int32)
    flags[2, 3] = flags[0, 1] = 9
    set_plane(mask, flags=flags, factor=2, byte=1, bit=4)
    expected = np.zeros((5, 7), dtype=np.uint8)
    expected[4, 6] = expected[0:2, 2:4] = 4
    np.testing.assert_array_equal(mask[..., 1], expected)
    assert not mask[..., 0].any()


def test_a_constant_image_is_its_own_background() -> None:
    """No noise, no clipping, no rounding."""
    image = np.full((300, 256), 321.5, dtype=np.float32)
    model = fit_background(measure_mesh(image, bad=np.zeros(image.shape, dtype=np.uint8)))
    assert model.level == pytest.approx(321.5, rel=1e-6)
    np.testing.assert_allclose(model.subtract_from(image), 0.0, atol=1e-3)


@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_level_noise_and_slope_of_the_sky_are_recovered(slope: float) -> None:
    """The clipped mean is unbiased; the noise is that of one pixel."""
    scene = make_scene(n_stars=0, slope=slope)
    model = fit_background(measure_mesh(scene.image, bad=np.zeros(scene.image.shape, dtype=np.uint8)))
    assert model.level == pytest.approx(scene.sky, rel=1e-3)
    assert model.noise == pytest.approx(scene.sky_noise, rel=0.01)
    row = model.evaluate_mesh().mean(axis=0)
    assert row[-1] - row[0] == pytest.approx(slope * scene.sky * 5 / 6, abs=1.5)


def test_bad_pixels_do_not_enter_the_background() -> None:
    """Half an image of nonsense changes nothing, and the polynomial does not swing there."""
    scene = make_scene(n_stars=0, shape=(800, 1100))
    bad = np.zeros(scene.image.shape, dtype=np.uint8)
    bad[:, 600:] = UNUSABLE
    scene.image[:, 600:800] = 1e6
    scene.image[:, 800:] = np.nan
    model = fit_background(measure_mesh(scene.image, bad=bad))
    np.testing.assert_allclose(model.evaluate_mesh(), scene.sky, rtol=0.01)


def test_an_image_without_good_pixels_is_refused_with_its_masked_fraction() -> None:
    """The error says how much is masked."""
    image = np.full((200, 200), np.nan, dtype=np.float32)
    with pytest.raises(NoBackgroundError, match=r"100\.0% of the 200 x 200 pixels"):
        fit_background(measure_mesh(image, bad=np.full(image.shape, UNUSABLE, dtype=np.uint8)))


def test_the_model_is_the_chebyshev_field_of_lsst_images() -> None:
    """What is stored with the visit image is what was subtracted."""
    scene = make_scene(n_stars=0, slope=0.1, shape=(600, 701))
    model = fit_background(measure_mesh(scene.image, bad=np.zeros(scene.image.shape, dtype=np.uint8)))
    field = ChebyshevField(Box.from_shape(scene.image.shape), model.coefficients, unit=u.electron)
    expected = scene.image - field.render(dtype=np.float64).array
    np.testing.assert_allclose(model.subtract_from(scene.image), expected, atol=2e-3)


def test_a_model_refuses_an_image_of_another_shape() -> None:
    """Both shapes are in the message."""
    image = np.ones((128, 128), dtype=np.float32)
    model = fit_background(measure_mesh(image, bad=np.zeros(image.shape, dtype=np.uint8)))
    with pytest.raises(ValueError, match=r"\(128, 128\).*\(128, 129\)"):
        model.subtract_from(np.ones((128, 129), dtype=np.float32))


def make_lit(shape: tuple[int, int] = (1536, 2048)) -> npt.NDArray[np.float32]:
    """Sky with a slope of 10 per cent and its noise."""
    rng = np.random.default_rng(5)
    sky = 1000.0 * (1 + 0.1 * (np.arange(shape[1]) / shape[1] - 0.5)) * np.ones(shape)
    return rng.normal(sky, 32.0).astype(np.float32)


def test_dead_amplifiers_and_shadows_are_unlit() -> None:
    """Without signal, in the shade, and what a shaded flat leaves: none has sky."""
    rng = np.random.default_rng(6)
    image = make_lit()
    image[:768, 512:1024] = rng.normal(0.0, 6.0, (768, 512))
    image[1000:, 1600:] *= 0.25
    image[:512, :384] = rng.normal(0.0, 5000.0, (512, 384))
    unlit = find_unlit_cells(measure_mesh(image, bad=np.zeros(image.shape, dtype=np.uint8)))
    expected = np.zeros((12, 16), dtype=bool)
    expected[:6, 4:8] = expected[8:, 13:] = expected[:4, :3] = True
    assert unlit[expected].all()
    # Cells that the edge of the shadow crosses may be either.
    expected[7, 12:] = expected[7:, 12] = True
    assert not unlit[~expected].any()


@pytest.mark.parametrize("level", [0.0, 3.0, 1000.0])
def test_a_bright_star_or_a_dark_image_is_not_unlit(level: float) -> None:
    """A dark has no sky anywhere, which is no reason to leave a part out."""
    image = make_lit() + np.float32(level - 1000.0)
    image[600:700, 700:800] += 50000.0
    assert not find_unlit_cells(measure_mesh(image, bad=np.zeros(image.shape, dtype=np.uint8))).any()
