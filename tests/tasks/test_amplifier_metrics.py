# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""amplifierMetrics: numbers of each amplifier of a bias, dark or flat."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import yaml
from calibration_inputs import BIAS_LEVEL, GAIN, READ_NOISE, make_flat, make_image, make_raw
from lsst.images import MaskedImage
from lsst.pipe.base import Struct, UnprocessableDataError
from lsst.pipe.base.testUtils import assertValidOutput, lintConnections
from lsst.ra.pipe.algorithms.amplifiers import AMPLIFIER_METRICS, CALIBRATION_METRICS
from lsst.ra.pipe.tasks import AmplifierMetricsConfig, AmplifierMetricsConnections, AmplifierMetricsTask

KINDS = ("bias", "dark", "flat")


def make_config(kind: str) -> AmplifierMetricsConfig:
    """Configuration for a kind of exposure."""
    config = AmplifierMetricsConfig()
    config.kind = kind
    return config


def run(kind: str, image: MaskedImage, **raw: Any) -> Struct:
    """Run the task."""
    task = AmplifierMetricsTask(config=make_config(kind))
    flat = make_flat() if kind == "flat" else None
    result = task.run(image=image, raw=make_raw(kind, **raw), flat=flat)
    assertValidOutput(task, result)
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_connections_follow_the_conventions(kind: str) -> None:
    """Only a flat needs the master flat."""
    connections = AmplifierMetricsConnections(config=make_config(kind))
    lintConnections(connections)
    assert ("flat" in connections.prerequisiteInputs) == (kind == "flat")


def test_bias_gives_levels_noise_and_drift() -> None:
    """What ISR measured is taken over; the overscan is followed along the rows."""
    table = run("bias", make_image("bias")).amplifiers
    assert list(table.colnames) == list(AMPLIFIER_METRICS)
    assert list(table["bias_level_adu"]) == [BIAS_LEVEL + i for i in range(16)]
    assert table["read_noise_electron"] == pytest.approx(np.hypot(READ_NOISE, GAIN / 12**0.5), rel=0.01)
    assert table["read_noise_ratio"] == pytest.approx(1.0, rel=0.015)
    assert table["pixel_noise_electron"] == pytest.approx(READ_NOISE, rel=0.01)
    assert table["overscan_drift_adu"] == pytest.approx(-4.0 * 0.9, abs=0.5)
    assert table["level_electron"] == pytest.approx(0.0, abs=0.05)
    assert list(table["n_bad_pixels"]) == [7] * 16
    assert np.isnan(table["dark_current_electron_per_second"]).all()
    assert list(table["n_hot_pixels"]) == [-1] * 16
    assert table["bias_level_adu"].unit == "adu"
    assert table["read_noise_electron"].description


def test_dark_gives_the_current_in_its_dark_time() -> None:
    """Dark time counts, not exposure time, and hot pixels are counted."""
    image = make_image("dark", level=3.0)
    image.image.array[100, 100] = 1000.0
    result = run("dark", image, dark_time=60.0)
    assert result.amplifiers["dark_current_electron_per_second"] == pytest.approx(0.05, abs=0.001)
    assert result.metrics["n_hot_pixels"] == 1
    assert result.metrics["dark_time_second"] == 60.0


def test_flat_gives_level_before_the_flat_and_the_gain() -> None:
    """The image is flattened; half of its level was collected by pixels of half response."""
    # Flattened, the noise of 10000 electrons of light is that of 2 * 10000.
    image = make_image("flat", level=20000.0)
    image.image.array[:] = 20000.0 + (image.image.array - 20000.0) * np.float32(2.0**0.5)
    table = run("flat", image).amplifiers
    assert table["flat_level_electron"] == pytest.approx(10000.0, rel=1e-3)
    assert table["level_electron"] == pytest.approx(20000.0, rel=1e-3)
    assert table["gain_ratio"] == pytest.approx(1.0, abs=0.01)
    assert (table["flat_residual_nonuniformity"] < 2e-4).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bad_amplifier_is_unknown_and_changes_nothing_else(kind: str) -> None:
    """Its row is there, without numbers; the detector's medians are those of the others."""
    image = make_image(kind, level=1000.0, bad="C03")
    image.image.array[image.mask.get("BAD")] = np.nan
    result = run(kind, image)
    (row,) = result.amplifiers[result.amplifiers["amplifier"] == "C03"]
    assert row["n_good_pixels"] == 0
    for name in ("bias_level_adu", "level_electron", "gain_ratio", "dark_current_electron_per_second"):
        assert np.isnan(row[name])
    assert result.metrics["n_bad_amplifiers"] == 1
    assert result.metrics["level_electron_max"] == pytest.approx(1000.0, rel=0.01)


def test_metrics_are_complete_and_plain() -> None:
    """Every name is there with its type, and survives YAML."""
    metrics = run("bias", make_image("bias")).metrics
    assert list(metrics) == list(CALIBRATION_METRICS)
    for name, value in metrics.items():
        assert type(value) is CALIBRATION_METRICS[name].type
    again = yaml.safe_load(yaml.safe_dump(metrics))
    assert again["calibration_kind"] == "bias"
    assert again["n_amplifiers"] == 16


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("bias", "LSST ISR BIAS APPLIED", False),
        ("dark", "LSST ISR DARK APPLIED", True),
        ("flat", "LSST ISR FLAT APPLIED", False),
        ("bias", "LSST ISR FLAT APPLIED", True),
        ("bias", "LSST ISR UNITS", "adu"),
    ],
)
def test_other_isr_is_refused(kind: str, key: str, value: Any) -> None:
    """A subtracted dark would give no dark current: the message names the step."""
    with pytest.raises(ValueError, match=f"A {kind} is measured with {key} = .*; ISR wrote {value}"):
        run(kind, make_image(kind, **{key: value}))


@pytest.mark.parametrize("dark_time", [None, 0.0])
def test_dark_needs_its_time(dark_time: float | None) -> None:
    """Without it the data cannot be processed."""
    with pytest.raises(UnprocessableDataError, match=f"has the dark time {dark_time}"):
        run("dark", make_image("dark"), dark_time=dark_time)


def test_exposure_of_another_kind_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """It is measured all the same: headers of tests are not always right."""
    task = AmplifierMetricsTask(config=make_config("bias"))
    with caplog.at_level(logging.WARNING):
        task.run(image=make_image("bias"), raw=make_raw("dark"))
    assert "has the type 'dark', but is measured as a bias" in caplog.text
