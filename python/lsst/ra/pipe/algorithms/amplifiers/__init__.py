# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What bias, dark and flat exposures tell about each amplifier."""

from ._metrics import (
    AMPLIFIER_METRICS,
    CALIBRATION_METRICS,
    AmplifierMetricDefinition,
    CalibrationKind,
    summarize_amplifiers,
)
from ._noise import NoiseMeasurement, measure_noise
from ._outliers import HotPixels, count_hot_pixels, count_low_pixels
from ._overscan import overscan_drift
from ._photon_transfer import PhotonTransfer, measure_photon_transfer
from ._structure import ImageStructure, measure_structure

__all__ = (
    "AMPLIFIER_METRICS",
    "CALIBRATION_METRICS",
    "AmplifierMetricDefinition",
    "CalibrationKind",
    "HotPixels",
    "ImageStructure",
    "NoiseMeasurement",
    "PhotonTransfer",
    "count_hot_pixels",
    "count_low_pixels",
    "measure_noise",
    "measure_photon_transfer",
    "measure_structure",
    "overscan_drift",
    "summarize_amplifiers",
)
