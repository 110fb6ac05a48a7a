# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""LSSTCam-format raw files with known truth."""

from ._calibrations import SimulatedCalibration
from ._compare import DetectorComparison, compare_with_truth
from ._config import BAND_PHOTOMETRY, BandPhotometry, SimulationConfig
from ._moments import AdaptiveMoments, adaptive_moments, aperture_fraction
from ._optics import shadow, vignetting
from ._psf import (
    PsfField,
    RadialProfile,
    add_objects,
    donut_profile,
    kolmogorov_profile,
    moffat_profile,
)
from ._simulate import ProgressCallback, SimulationError, SimulationResult, simulate
from ._sky import BANDS, SkyCatalog
from ._truth import TrueDetector

__all__ = (
    "BANDS",
    "BAND_PHOTOMETRY",
    "AdaptiveMoments",
    "BandPhotometry",
    "DetectorComparison",
    "ProgressCallback",
    "PsfField",
    "RadialProfile",
    "SimulatedCalibration",
    "SimulationConfig",
    "SimulationError",
    "SimulationResult",
    "SkyCatalog",
    "TrueDetector",
    "adaptive_moments",
    "add_objects",
    "aperture_fraction",
    "compare_with_truth",
    "donut_profile",
    "kolmogorov_profile",
    "moffat_profile",
    "shadow",
    "simulate",
    "vignetting",
)
