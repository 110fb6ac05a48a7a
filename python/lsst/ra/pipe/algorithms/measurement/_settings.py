# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What can be chosen about the measurement of a detector."""

from __future__ import annotations

__all__ = ("MeasurementSettings",)

import dataclasses

from ._photometry import APERTURE_RADII, CALIBRATION_RADIUS


@dataclasses.dataclass(frozen=True)
class MeasurementSettings:
    """What can be chosen about the measurement of a detector."""

    background_cell_size: int = 128
    """Side of a cell of the background mesh, in pixels."""

    background_order: int = 6
    """Highest order of the background's Chebyshev polynomial."""

    background_iterations: int = 3
    """Most rounds of masking sources and fitting the background anew."""

    source_growth: int = 8
    """Distance by which footprints are widened when sources are masked for
    the background, in pixels."""

    detection_threshold: float = 5.0
    """Least signal-to-noise ratio of a point source."""

    bin_factor: int = 2
    """Side of the blocks of pixels whose means serve the sky and the
    detection, in pixels."""

    max_sources: int = 20000
    """Measure at most so many sources, the brightest."""

    mask_cosmic_rays: bool = True
    """Whether to look for cosmic rays."""

    min_psf_signal_to_noise: float = 50.0
    """Significance of PSF stars."""

    fallback_psf_signal_to_noise: float = 20.0
    """Significance of PSF stars where too few reach the other."""

    max_psf_stars: int = 300
    """Use at most so many PSF stars, the most significant."""

    isolation: float = 12.0
    """PSF stars have no notable neighbour within so many pixels."""

    aperture_radii: tuple[float, ...] = APERTURE_RADII
    """Radii of the photometric apertures, in pixels, besides the next."""

    calibration_radius: float = CALIBRATION_RADIUS
    """Radius of the aperture to which zero point and PSF fluxes refer, in
    pixels."""
