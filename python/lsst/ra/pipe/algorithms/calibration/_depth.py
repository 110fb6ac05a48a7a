# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""How deep an image is, and what the seeing was."""

from __future__ import annotations

__all__ = (
    "DEPTH_FIDUCIALS",
    "EFFECTIVE_WAVELENGTHS",
    "Depth",
    "DepthFiducials",
    "compute_depth",
    "magnitude_limit",
    "seeing_at_zenith",
)

import dataclasses
import math
from collections.abc import Mapping

_MAG_PER_DEX = 2.5
_SIGNAL_TO_NOISE = 5.0
_REFERENCE_WAVELENGTH = 500.0


@dataclasses.dataclass(frozen=True)
class DepthFiducials:
    """Conditions that the scales of effective time compare with."""

    psf_sigma: float
    """Standard deviation of the PSF, in pixels."""

    sky_rate: float
    """Sky background, in electron per pixel and second."""

    zero_point: float
    """AB magnitude of a source that gives one electron in a second."""

    magnitude_limit: float
    """Magnitude limit of an exposure of ``exposure_time``, AB."""

    exposure_time: float = 30.0
    """Exposure time in seconds."""


_LSSTCAM = {
    "u": DepthFiducials(1.72, 1.51, 26.56, 23.70),
    "g": DepthFiducials(1.63, 15.45, 28.59, 24.97),
    "r": DepthFiducials(1.56, 32.95, 28.50, 24.52),
    "i": DepthFiducials(1.51, 52.94, 28.29, 24.13),
    "z": DepthFiducials(1.47, 79.40, 27.90, 23.56),
    "y": DepthFiducials(1.44, 90.57, 26.87, 22.55),
}

_LSSTCOMCAM = {
    "u": DepthFiducials(1.72, 1.51, 26.52, 25.0),
    "g": DepthFiducials(1.63, 15.45, 28.51, 25.0),
    "r": DepthFiducials(1.56, 32.95, 28.36, 25.0),
    "i": DepthFiducials(1.51, 52.94, 28.17, 25.0),
    "z": DepthFiducials(1.47, 79.40, 27.78, 25.0),
    "y": DepthFiducials(1.44, 90.57, 26.82, 25.0),
}

DEPTH_FIDUCIALS: Mapping[str, Mapping[str, DepthFiducials]] = {
    "LSSTCam": _LSSTCAM,
    "LSSTComCam": _LSSTCOMCAM,
    "LATISS": dict.fromkeys("ugrizy", DepthFiducials(1.0, 1.0, 25.0, 25.0)),
}
"""By instrument and band, as the Alert Production configures its own. The
magnitude limits of LSSTComCam and all values of LATISS are that task's
defaults: effective times compare within such a camera, not between cameras."""

EFFECTIVE_WAVELENGTHS: Mapping[str, Mapping[str, float]] = {
    "LSSTCam": {"u": 365.1397, "g": 475.6104, "r": 618.6055, "i": 753.5490, "z": 868.0935, "y": 972.5979},
    "LSSTComCam": {"u": 370.697, "g": 476.359, "r": 619.383, "i": 754.502, "z": 866.976, "y": 972.713},
    "LATISS": {"g": 474.41, "r": 628.47, "i": 769.51, "z": 871.45, "y": 986.8},
}
"""Effective wavelengths of the filters in nm, by instrument and band: the
values with which lsst-sitcom/summit_utils corrects seeing
(``getBandpassSeeingCorrection``)."""


@dataclasses.dataclass(frozen=True)
class Depth:
    """Depth of an image; NaN where something it needs is not known."""

    magnitude_limit: float
    """AB magnitude of a point source with a signal-to-noise ratio of 5."""

    effective_time: float
    """Exposure time in seconds that would be as deep in fiducial conditions."""

    psf_scale: float
    """Square of fiducial over measured PSF width."""

    sky_scale: float
    """Fiducial over measured sky background."""

    zero_point_scale: float
    """Square of measured over fiducial throughput."""


def magnitude_limit(
    *,
    zero_point: float,
    psf_area: float,
    sky: float,
    read_noise: float,
    signal_to_noise: float = _SIGNAL_TO_NOISE,
) -> float:
    """Magnitude of a point source of a given significance.

    A source of ``C`` electron has ``C / sqrt(C + (sky + read_noise**2)
    psf_area)``, solved for ``C`` (SMTN-002; LSE-40, equation 45; DMTN-296).

    Parameters
    ----------
    zero_point
        AB magnitude of one electron in the whole exposure.
    psf_area
        Effective area of the PSF in square pixels.
    sky
        Sky background in electron per pixel.
    read_noise
        Read noise in electron.
    signal_to_noise
        Significance.

    Returns
    -------
    magnitude
        AB magnitude; NaN if an argument is NaN or the PSF has no area.
    """
    if not psf_area > 0.0 or not sky + read_noise**2 >= 0.0:
        return math.nan
    half = 0.5 * signal_to_noise**2
    noise = signal_to_noise**2 * (sky + read_noise**2) * psf_area
    return zero_point - _MAG_PER_DEX * math.log10(half + math.sqrt(half**2 + noise))


def compute_depth(
    *,
    zero_point: float,
    psf_sigma: float,
    psf_area: float,
    sky: float,
    read_noise: float,
    exposure_time: float,
    fiducials: DepthFiducials | None,
) -> Depth:
    """Compute magnitude limit and effective time of an image.

    The definitions are those of the Science Pipelines'
    ``ComputeExposureSummaryStatsTask``: the effective time follows from the
    magnitude limit, and the three scales say what it is made of.

    Parameters
    ----------
    zero_point
        AB magnitude of one electron in the whole exposure.
    psf_sigma
        Standard deviation of the PSF in pixels (its determinant radius).
    psf_area
        Effective area of the PSF in square pixels.
    sky
        Sky background in electron per pixel, in the whole exposure.
    read_noise
        Mean read noise of the amplifiers in electron.
    exposure_time
        Exposure time in seconds.
    fiducials
        Conditions to compare with, such as
        ``DEPTH_FIDUCIALS["LSSTCam"]["r"]``; without them only the magnitude
        limit is computed.

    Returns
    -------
    depth
        The depth.
    """
    limit = magnitude_limit(zero_point=zero_point, psf_area=psf_area, sky=sky, read_noise=read_noise)
    if fiducials is None:
        return Depth(limit, math.nan, math.nan, math.nan, math.nan)
    psf_scale = (fiducials.psf_sigma / psf_sigma) ** 2 if psf_sigma > 0.0 else math.nan
    sky_scale = fiducials.sky_rate * exposure_time / sky if sky > 0.0 and exposure_time > 0.0 else math.nan
    zero_point_scale = math.nan
    if exposure_time > 0.0:
        one_second = zero_point - _MAG_PER_DEX * math.log10(exposure_time)
        zero_point_scale = 10.0 ** (0.8 * (one_second - fiducials.zero_point))
    effective_time = fiducials.exposure_time * 10.0 ** (0.8 * (limit - fiducials.magnitude_limit))
    return Depth(limit, effective_time, psf_scale, sky_scale, zero_point_scale)


def seeing_at_zenith(fwhm: float, *, zenith_distance: float, wavelength: float) -> float:
    """Correct the seeing to the zenith and to 500 nm.

    Kolmogorov turbulence: the width grows with the 0.6th power of the air
    mass and falls with the 0.2th of the wavelength. RubinTV does the same
    (``PSF FWHM standardized`` in lsst-sitcom/rubintv_production's
    ``oneOffProcessing.py``, with ``getAirmassSeeingCorrection`` and
    ``getBandpassSeeingCorrection`` of lsst-sitcom/summit_utils). The
    telescope's own share of the width is not taken out.

    Parameters
    ----------
    fwhm
        Full width of the PSF at half maximum, in arcsec.
    zenith_distance
        Zenith distance in degrees; the air mass is its secant.
    wavelength
        Effective wavelength in nm.

    Returns
    -------
    seeing
        Corrected width in arcsec; NaN if an argument is NaN, or at or below
        the horizon.
    """
    if not 0.0 <= zenith_distance < 90.0 or not wavelength > 0.0:
        return math.nan
    airmass = 1.0 / math.cos(math.radians(zenith_distance))
    return float(fwhm * airmass**-0.6 * (wavelength / _REFERENCE_WAVELENGTH) ** 0.2)
