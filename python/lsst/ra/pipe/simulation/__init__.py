# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""LSSTCam-format raw files with known truth."""

from ._calibrations import SimulatedCalibration
from ._compare import DetectorComparison, compare_with_truth
from ._config import BAND_PHOTOMETRY, BandPhotometry, SimulationConfig
from ._optics import vignetting
from ._psf import PsfField, RadialProfile, add_objects, kolmogorov_profile, moffat_profile
from ._simulate import ProgressCallback, SimulationError, SimulationResult, simulate
from ._sky import BANDS, SkyCatalog

__all__ = (
    "BANDS",
    "BAND_PHOTOMETRY",
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
    "add_objects",
    "compare_with_truth",
    "kolmogorov_profile",
    "moffat_profile",
    "simulate",
    "vignetting",
)
