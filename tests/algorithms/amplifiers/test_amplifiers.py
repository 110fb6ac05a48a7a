# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What calibration exposures tell about an amplifier, against injected truth."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from astropy.units import Unit
from lsst.ra.pipe.algorithms.amplifiers import (
    AMPLIFIER_METRICS,
    CALIBRATION_METRICS,
    count_hot_pixels,
    count_low_pixels,
    measure_noise,
    measure_photon_transfer,
    measure_structure,
    overscan_drift,
    summarize_amplifiers,
)

SHAPE = (1001, 509)
NOISE = 5.5

type Pixels = npt.NDArray[np.float32]


def rng() -> np.random.Generator:
    """The same numbers in each test."""
    return np.random.default_rng(3)


def noisy(level: float = 0.0) -> Pixels:
    """An amplifier with nothing but a level and noise."""
    return (level + NOISE * rng().standard_normal(SHAPE)).astype(np.float32)


def everywhere() -> npt.NDArray[np.bool_]:
    """No pixel is masked."""
    return np.ones(SHAPE, np.bool_)


def add_tracks(image: Pixels, number: int) -> int:
    """Add vertical tracks, with a tenth of the charge in the next column."""
    random = np.random.default_rng(11)
    for _ in range(number):
        y, x = int(random.integers(0, SHAPE[0] - 20)), int(random.integers(1, SHAPE[1] - 1))
        image[y : y + 20, x] += 800.0
        image[y : y + 20, x + 1] += 80.0
    return 20 * number


def test_noise_is_that_of_pixels_whatever_the_image_is_like() -> None:
    """Gradient, rows, columns and cosmic rays change it by less than half a per cent."""
    image = noisy(100.0)
    ny, nx = SHAPE
    image += np.linspace(0, 300, ny, dtype=np.float32)[:, np.newaxis]
    image += 20.0 * rng().standard_normal((ny, 1)).astype(np.float32)
    image += 20.0 * rng().standard_normal(nx).astype(np.float32)
    add_tracks(image, 40)
    assert measure_noise(image, good=everywhere()).noise == pytest.approx(NOISE, rel=5e-3)


def test_level_is_that_of_most_pixels() -> None:
    """Hot pixels and cosmic rays do not raise it; masked pixels do not count."""
    image, good = noisy(2.0), everywhere()
    add_tracks(image, 40)
    image[:300], good[:300] = 1e4, False
    measured = measure_noise(image, good=good)
    assert measured.level == pytest.approx(2.0, abs=0.05)
    assert measured.n_pixels == (SHAPE[0] - 300) * SHAPE[1]


def test_noise_of_nothing_is_not_known() -> None:
    """A bad amplifier has no noise, and no error either."""
    measured = measure_noise(noisy(), good=np.zeros(SHAPE, np.bool_))
    assert math.isnan(measured.noise)
    assert math.isnan(measured.level)
    assert measured.n_pixels == 0


def test_noise_alone_is_no_structure() -> None:
    """What remains is below a twentieth of the noise of a mean."""
    structure = measure_structure(noisy(24000.0), good=everywhere(), noise=NOISE)
    assert structure.blocks < 0.4 * NOISE / 32
    assert structure.rows < 0.4 * NOISE / math.sqrt(SHAPE[1])
    assert structure.columns < 0.4 * NOISE / math.sqrt(SHAPE[0])


@pytest.mark.parametrize("level", [0.0, 24000.0])
def test_structure_is_found_below_the_pixel_noise(level: float) -> None:
    """Rows of 1 electron, columns of 2 and waves of 3 are told apart from noise of 5.5."""
    ny, nx = SHAPE
    rows = rng().standard_normal((ny, 1)).astype(np.float32)
    columns = 2.0 * np.random.default_rng(4).standard_normal(nx).astype(np.float32)
    assert measure_structure(noisy(level) + rows, good=everywhere(), noise=NOISE).rows == pytest.approx(
        1.0, rel=0.1
    )
    with_columns = measure_structure(noisy(level) + columns, good=everywhere(), noise=NOISE)
    assert with_columns.columns == pytest.approx(2.0, rel=0.1)
    assert with_columns.rows < 0.1
    wave = (3.0 * np.sin(np.arange(ny) / 100.0)).astype(np.float32)[:, np.newaxis]
    measured = measure_structure(noisy(level) + wave, good=everywhere(), noise=NOISE)
    assert measured.blocks == pytest.approx(float(wave.std()), rel=0.03)


def test_masked_pixels_are_no_structure() -> None:
    """A block that is masked by more than half does not count, others without the masked pixels."""
    image, good = noisy(), everywhere()
    image[64:96, 64:90], good[64:96, 64:90] = 1e6, False
    image[200:210, 200:210], good[200:210, 200:210] = -1e6, False
    assert measure_structure(image, good=good, noise=NOISE).blocks < 0.1
    assert math.isnan(measure_structure(image, good=np.zeros(SHAPE, np.bool_), noise=NOISE).blocks)


def test_drift_goes_from_first_to_last_row() -> None:
    """A level that settles from 8 adu above has a negative drift; an outlier or NaN changes nothing."""
    levels = 24000.0 + 8.0 * np.exp(-np.arange(2000) / 150.0)
    expected = np.median(levels[-200:]) - np.median(levels[:200])
    assert expected < -3.0
    assert overscan_drift(levels) == pytest.approx(expected)
    levels[5], levels[7] = 1e6, np.nan
    assert overscan_drift(levels) == pytest.approx(expected, abs=0.1)
    assert math.isnan(overscan_drift(np.full(10, np.nan)))


@pytest.mark.parametrize("fraction", [0.0, 0.6])
def test_drift_needs_two_ends(fraction: float) -> None:
    """The message shows the fraction."""
    with pytest.raises(ValueError, match=str(fraction)):
        overscan_drift(np.zeros(10), fraction=fraction)


def test_hot_pixels_are_told_from_cosmic_rays() -> None:
    """Single pixels and columns are hot; charge that is shared sideways is a particle's."""
    image, good = noisy(), everywhere()
    image[10, 10] += 400.0
    image[0, 0] += 400.0
    image[100:150, 300] += 1000.0
    image[400, 400], good[400, 400] = 1000.0, False
    image[500, 50] += 100.0  # too little
    image[600:620, 200] += 800.0
    image[600:620, 201] += 80.0
    hot = count_hot_pixels(image, good=good, threshold=300.0, noise=NOISE)
    assert hot.n_hot == 52
    assert hot.n_cosmic_ray == 20


def test_low_pixels_are_counted_where_not_masked() -> None:
    """Only pixels below the fraction count."""
    image, good = np.full(SHAPE, 1000.0, np.float32), everywhere()
    image[5, :10] = 500.0
    image[6, :10], good[6, :10] = 500.0, False
    image[7, :10] = 900.0
    assert count_low_pixels(image, good=good, level=1000.0) == 10
    assert count_low_pixels(image, good=good, level=1000.0, fraction=0.95) == 20


def flat_exposure(
    gain_ratio: float, *, level: float = 20000.0, flat_error: float = 1e-3
) -> tuple[Pixels, Pixels, Pixels]:
    """Flattened image of an amplifier whose true gain is ``gain_ratio`` times
    the applied one, the flat with its noise, and the flat's variance.
    """
    random = rng()
    response = 1.0 + 0.01 * random.standard_normal(SHAPE) + np.linspace(-0.4, 0.0, SHAPE[0])[:, np.newaxis]
    electrons = random.poisson(level * gain_ratio * response) + NOISE * gain_ratio * random.standard_normal(
        SHAPE
    )
    flat = response + flat_error * random.standard_normal(SHAPE)
    image = electrons / gain_ratio / flat
    variance = np.full(SHAPE, flat_error**2)
    return image.astype(np.float32), flat.astype(np.float32), variance.astype(np.float32)


@pytest.mark.parametrize("gain_ratio", [0.8, 1.0, 1.1])
@pytest.mark.parametrize("level", [500.0, 20000.0])
def test_gain_follows_from_the_noise_of_light(gain_ratio: float, level: float) -> None:
    """In spite of vignetting, pixel response, a noisy flat, cosmic rays and dead pixels, to its error."""
    image, flat, variance = flat_exposure(gain_ratio, level=level)
    good = everywhere()
    image[200, :100], good[200, :100] = 0.0, False
    add_tracks(image, 5)
    transfer = measure_photon_transfer(image, flat=flat, flat_variance=variance, good=good, read_noise=NOISE)
    assert transfer.gain_ratio == pytest.approx(gain_ratio, abs=4.0 * transfer.gain_ratio_error)
    assert transfer.gain_ratio_error < 0.004 * gain_ratio


def test_error_of_the_gain_is_its_scatter() -> None:
    """Strips of an amplifier scatter as their errors say."""
    image, flat, variance = flat_exposure(1.0)
    strips = [
        measure_photon_transfer(
            image[y : y + 20],
            flat=flat[y : y + 20],
            flat_variance=variance[y : y + 20],
            good=everywhere()[y : y + 20],
            read_noise=NOISE,
        )
        for y in range(0, 1000, 20)
    ]
    pulls = [(strip.gain_ratio - 1.0) / strip.gain_ratio_error for strip in strips]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)


def test_gain_of_darkness_is_not_known() -> None:
    """Without light, or without pixels, there is no ratio."""
    ones = np.ones(SHAPE, np.float32)
    for image, good in ((noisy(-1.0), everywhere()), (noisy(1000.0), np.zeros(SHAPE, np.bool_))):
        transfer = measure_photon_transfer(
            image, flat=ones, flat_variance=0.0 * ones, good=good, read_noise=NOISE
        )
        assert math.isnan(transfer.gain_ratio)


def columns(**values: list[float]) -> dict[str, npt.NDArray[np.generic]]:
    """Metrics of three amplifiers, unknown unless given."""
    unknown: dict[type, object] = {float: math.nan, int: -1, str: ""}
    return {
        name: np.asarray(values.get(name, [unknown[definition.type]] * 3))
        for name, definition in AMPLIFIER_METRICS.items()
    }


def test_summary_of_a_detector_leaves_out_what_is_unknown() -> None:
    """Medians and extremes of the known values, sums of known counts."""
    metrics = summarize_amplifiers(
        columns(read_noise_electron=[5.0, math.nan, 7.0], n_hot_pixels=[3, -1, 4], n_good_pixels=[9, 0, 9])
    )
    assert metrics["read_noise_electron_median"] == 6.0
    assert (metrics["read_noise_electron_min"], metrics["read_noise_electron_max"]) == (5.0, 7.0)
    assert metrics["n_hot_pixels"] == 7
    assert (metrics["n_amplifiers"], metrics["n_bad_amplifiers"]) == (3, 1)
    assert metrics["n_low_pixels"] == -1
    assert math.isnan(metrics["gain_ratio_median"])
    assert metrics.keys() <= CALIBRATION_METRICS.keys()


def test_metrics_are_defined_completely() -> None:
    """Each has a description, and a unit that astropy knows and that its name tells."""
    spelled = {"electron": "electron", "electron/s": "electron_per_second", "adu": "adu", "s": "second"}
    for name, definition in (*AMPLIFIER_METRICS.items(), *CALIBRATION_METRICS.items()):
        assert definition.name == name
        assert definition.description.endswith(".")
        if definition.unit:
            Unit(definition.unit)
        if definition.unit in spelled:
            assert spelled[definition.unit] in name
