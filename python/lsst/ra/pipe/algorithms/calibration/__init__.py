# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Calibration against a reference catalogue: positions, fluxes and depth."""

from ._astrometry import AstrometricSolution, solve_astrometry
from ._astrometry_settings import AstrometrySettings
from ._depth import (
    DEPTH_FIDUCIALS,
    EFFECTIVE_WAVELENGTHS,
    Depth,
    DepthFiducials,
    compute_depth,
    magnitude_limit,
    seeing_at_zenith,
)
from ._matching import PatternMatch, PlanePositions, match_pattern
from ._projection import DetectorPlane, correct_projection
from ._references import MissingFluxColumnError, ab_magnitudes, choose_flux_column
from ._tangent_plane import PlaneCorrection, TangentPlane
from ._zero_point import (
    ZeroPoint,
    fit_zero_point,
    moffat_aperture_fraction,
    nanojansky_per_electron,
    select_photometric_stars,
)

__all__ = (
    "DEPTH_FIDUCIALS",
    "EFFECTIVE_WAVELENGTHS",
    "AstrometricSolution",
    "AstrometrySettings",
    "Depth",
    "DepthFiducials",
    "DetectorPlane",
    "MissingFluxColumnError",
    "PatternMatch",
    "PlaneCorrection",
    "PlanePositions",
    "TangentPlane",
    "ZeroPoint",
    "ab_magnitudes",
    "choose_flux_column",
    "compute_depth",
    "correct_projection",
    "fit_zero_point",
    "magnitude_limit",
    "match_pattern",
    "moffat_aperture_fraction",
    "nanojansky_per_electron",
    "seeing_at_zenith",
    "select_photometric_stars",
    "solve_astrometry",
)
