# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What to simulate."""

from __future__ import annotations

__all__ = ("BAND_PHOTOMETRY", "BandPhotometry", "SimulationConfig")

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Literal, Self

import pydantic


@dataclasses.dataclass(frozen=True)
class BandPhotometry:
    """Response of the observatory in one band, airmass 1."""

    zero_point: float
    """AB magnitude that gives one electron per second."""
    sky: float
    """Dark sky at zenith, AB mag per square arcsecond."""


BAND_PHOTOMETRY: Mapping[str, BandPhotometry] = {
    "u": BandPhotometry(26.52, 22.96),
    "g": BandPhotometry(28.51, 22.26),
    "r": BandPhotometry(28.36, 21.20),
    "i": BandPhotometry(28.17, 20.48),
    "z": BandPhotometry(27.78, 19.60),
    "y": BandPhotometry(26.82, 18.61),
}
"""Instrumental zero points and sky brightness of SMTN-002 (Jones, "Calculating
LSST limiting magnitudes and SNR")."""


class SimulationConfig(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Settings of a simulation; equal settings give equal pixels."""

    seed: int = pydantic.Field(default=1, ge=0)
    """Seed of the sky, of the camera's imperfections and of every noise."""

    instrument: Literal["LSSTCam"] = "LSSTCam"
    """Camera whose raw files are written."""

    detectors: tuple[int, ...] = tuple(range(90, 99))
    """Butler detector numbers; the default is raft R22."""

    n_exposures: int = pydantic.Field(default=1, ge=0)
    """Exposures of the sky."""

    n_bias: int = pydantic.Field(default=0, ge=0)
    """Bias exposures; calibration exposures follow those of the sky."""

    n_dark: int = pydantic.Field(default=0, ge=0)
    """Dark exposures."""

    n_flat: int = pydantic.Field(default=0, ge=0)
    """Flat-field exposures."""

    boresight_ra: float = pydantic.Field(default=150.1, ge=0.0, lt=360.0)
    """ICRS right ascension of the first exposure's boresight, degrees."""

    boresight_dec: float = pydantic.Field(default=2.2, ge=-90.0, le=90.0)
    """ICRS declination of the first exposure's boresight, degrees."""

    rotation: float = 30.0
    """Sky rotation angle (``ROTPA``) of the first exposure, degrees."""

    dither: float = pydantic.Field(default=30.0, ge=0.0)
    """Radius of the disk in which later exposures' boresights lie, arcsec."""

    physical_filter: str = "r_57"
    """Physical filter of the exposures of the sky and of the flats."""

    exposure_time: float = pydantic.Field(default=30.0, gt=0.0)
    """Open-shutter time of an exposure of the sky, seconds."""

    dark_exposure_time: float = pydantic.Field(default=60.0, gt=0.0)
    """Dark time of a dark exposure, seconds."""

    flat_exposure_time: float = pydantic.Field(default=5.0, gt=0.0)
    """Open-shutter time of a flat exposure, seconds."""

    flat_level: float = pydantic.Field(default=25_000.0, gt=0.0)
    """Mean signal of a flat exposure, electron per pixel."""

    day_obs: int = 20260220
    """Observing day, YYYYMMDD."""

    first_seq_num: int = pydantic.Field(default=1, ge=1, lt=90_000)
    """Sequence number of the first exposure."""

    psf_profile: Literal["moffat", "kolmogorov"] = "moffat"
    """Radial profile of the PSF."""

    moffat_beta: float = pydantic.Field(default=3.0, gt=1.5, le=10.0)
    """Exponent of the Moffat profile."""

    fwhm: tuple[float, float] = (0.8, 1.0)
    """Range from which an exposure's PSF FWHM at the boresight is drawn,
    arcsec, before integration over pixels."""

    ellipticity: float = pydantic.Field(default=0.03, ge=0.0, le=0.2)
    """Typical PSF ellipticity, (a^2 - b^2) / (a^2 + b^2)."""

    star_density: float = pydantic.Field(default=40_000.0, ge=0.0)
    """Stars per square degree between `star_magnitudes`."""

    star_magnitudes: tuple[float, float] = (12.0, 25.0)
    """Brightest and faintest r magnitude (AB) of stars."""

    galaxy_density: float = pydantic.Field(default=60_000.0, ge=0.0)
    """Galaxies per square degree between `galaxy_magnitudes`."""

    galaxy_magnitudes: tuple[float, float] = (17.5, 25.0)
    """Brightest and faintest r magnitude (AB) of galaxies."""

    reference_magnitude_limit: float = 22.0
    """Faintest r magnitude of the reference catalogue."""

    sky_magnitude: float | None = None
    """Sky brightness, AB mag per square arcsecond; the band's dark sky if
    unset."""

    cosmic_ray_rate: float = pydantic.Field(default=1.5, ge=0.0)
    """Cosmic rays per second of dark time in one whole CCD."""

    gain_scatter: float = pydantic.Field(default=0.01, ge=0.0, le=0.1)
    """Relative scatter of true gains (those of the PTC) about the camera's
    nominal gains."""

    pointing_error: float = pydantic.Field(default=0.0, ge=0.0, le=600.0)
    """Angle between the boresight that headers give and the true one, arcsec;
    its direction is drawn. The headers have the configured boresight."""

    rotation_error: float = pydantic.Field(default=0.0, ge=-10.0, le=10.0)
    """True rotation angle minus that of the headers, degrees."""

    trail: float = pydantic.Field(default=0.0, ge=0.0, le=60.0)
    """Length of the trail that every object leaves, as by a failure of the
    tracking, arcsec."""

    trail_angle: float = 30.0
    """Direction of the trails, degrees from the detector's x axis to its y
    axis."""

    donut_diameter: float | None = pydantic.Field(default=None, ge=1.0, le=30.0)
    """Outer diameter of the out-of-focus image of a star, arcsec; in focus if
    unset."""

    dead_amplifiers: tuple[str, ...] = ()
    """Amplifiers, such as ``C10``, that read no signal on any detector."""

    dead_amplifiers_known: bool = True
    """Whether defects cover the dead amplifiers and the photon transfer curve
    calls them bad."""

    shadow: float | None = pydantic.Field(default=None, ge=-1.0, le=1.0)
    """Something in front of the camera takes the light of every detector
    beyond this fraction of its width; nothing does if unset."""

    shadow_width: float = pydantic.Field(default=300.0, ge=100.0)
    """Distance in pixels over which the light falls from 84 to 16 per cent at
    the edge of the shadow."""

    shadow_in_flat: bool = False
    """Whether the shadow is there all the time, so that the flat has it."""

    vignetting: bool = True
    """Whether sky and objects fade toward the edge of the field."""
    bias: bool = True
    """Whether pixels have a bias pattern."""
    dark: bool = True
    """Whether pixels have dark current."""
    flat: bool = True
    """Whether pixels differ in response."""
    defects: bool = True
    """Whether there are hot and dead pixels and columns."""
    crosstalk: bool = True
    """Whether amplifiers of one CCD see each other."""
    saturation: bool = True
    """Whether full wells bleed along columns."""
    cosmic_rays: bool = True
    """Whether there are cosmic rays."""
    overscan_structure: bool = True
    """Whether the overscan level varies by row and column."""
    noise: bool = True
    """Whether there are photon and read noise."""

    @pydantic.field_validator("detectors")
    @classmethod
    def _check_detectors(cls, detectors: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(detectors)) != len(detectors):
            raise ValueError(f"a detector is named twice: {detectors}")
        if not detectors:
            raise ValueError("no detector is named; at least one is needed")
        return detectors

    @pydantic.field_validator("day_obs")
    @classmethod
    def _check_day_obs(cls, day_obs: int) -> int:
        try:
            datetime.datetime.strptime(f"{day_obs:08d}", "%Y%m%d")
        except ValueError:
            raise ValueError(f"day_obs {day_obs} is not a date of the form YYYYMMDD") from None
        if not 20250901 <= day_obs < 20500101:
            raise ValueError(
                f"day_obs {day_obs} is not between 20250901 and 20491231; the header corrections of"
                " earlier days would change simulated headers"
            )
        return day_obs

    @pydantic.model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name in ("fwhm", "star_magnitudes", "galaxy_magnitudes"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name}: lower end {low} is above upper end {high}")
        if not 0.3 <= self.fwhm[0] <= self.fwhm[1] <= 5.0:
            raise ValueError(f"fwhm {self.fwhm} is not within 0.3 to 5 arcsec")
        return self
