# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The exposures of a simulation: when, where, what of."""

from __future__ import annotations

__all__ = ("HorizontalPointing", "ImageType", "SimulatedExposure", "horizontal_pointing", "plan_exposures")

import dataclasses
import datetime
import enum

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, SkyCoord
from astropy.time import Time, TimeDelta

from ..camera._exposure import compute_exposure_id
from ._config import SimulationConfig
from ._random import Stream, random_stream

LATITUDE = -30.244639
"""Geodetic latitude of the Simonyi Survey Telescope, degrees."""
LONGITUDE = -70.749417
"""East longitude of the Simonyi Survey Telescope, degrees."""

_OVERHEAD = 8.0
"""Read-out and slew between exposures, seconds."""
_NIGHT = (0.5, 9.5)
"""Hours of UTC on the day after day_obs between which the sky is dark."""
_LOWEST = 15.0
"""Least elevation of a field, degrees: the mount's limit."""


class ImageType(enum.StrEnum):
    """Kinds of exposures; the values are those of the IMGTYPE keyword."""

    SCIENCE = "OBJECT"
    BIAS = "BIAS"
    DARK = "DARK"
    FLAT = "FLAT"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HorizontalPointing:
    """A direction as seen from the telescope."""

    azimuth: float
    """Azimuth, north through east, degrees."""
    elevation: float
    """Elevation without refraction, degrees."""
    hour_angle: float
    """Hour angle, hours, -12 to 12."""

    @property
    def airmass(self) -> float:
        """Secant of the zenith distance."""
        return float(1.0 / np.sin(np.deg2rad(self.elevation)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedExposure:
    """One exposure of the whole camera."""

    image_type: ImageType
    """Kind of exposure."""
    day_obs: int
    """Observing day, YYYYMMDD."""
    seq_num: int
    """Number within the day."""
    begin: Time
    """When the shutter opens, TAI."""
    exposure_time: float
    """Requested exposure time, seconds; 0 for a bias."""
    dark_time: float
    """Time between clearing and read-out, seconds."""
    boresight: SkyCoord
    """ICRS position of the optical axis."""
    rotation: Angle
    """Sky rotation angle."""
    header_boresight: SkyCoord
    """ICRS position of the optical axis that the header gives."""
    header_rotation: Angle
    """Sky rotation angle that the header gives (``ROTPA``)."""
    physical_filter: str
    """Physical filter in the beam."""
    band: str
    """Band of the filter."""

    @property
    def exposure_id(self) -> int:
        """Butler exposure id (`int`)."""
        return compute_exposure_id(self.day_obs, self.seq_num, "O")

    @property
    def observation_id(self) -> str:
        """Observation id, the beginning of file names (`str`)."""
        return f"MC_O_{self.day_obs:08d}_{self.seq_num:06d}"

    @property
    def end(self) -> Time:
        """End of the exposure, TAI (`astropy.time.Time`)."""
        return self.begin + TimeDelta(self.dark_time, format="sec", scale="tai")

    @property
    def sees_sky(self) -> bool:
        """Whether light from the sky reaches the camera (`bool`)."""
        return self.image_type is ImageType.SCIENCE


def horizontal_pointing(ra: float, dec: float, time: Time) -> HorizontalPointing:
    """Return where a field is in the sky over the telescope.

    Parameters
    ----------
    ra, dec
        ICRS position, degrees; precession since 2000 (0.4 degrees by 2026)
        is neglected, as only headers depend on it.
    time
        Instant.

    Returns
    -------
    pointing
        Azimuth, elevation and hour angle (Meeus, Astronomical Algorithms, 2nd
        ed., chapters 12 and 13).
    """
    days = float(time.utc.jd1 - 2451545.0 + time.utc.jd2)
    sidereal = (280.46061837 + 360.98564736629 * days + LONGITUDE) % 360.0
    hour_angle = (sidereal - ra + 180.0) % 360.0 - 180.0
    h, d, phi = np.deg2rad([hour_angle, dec, LATITUDE])
    elevation = np.arcsin(np.sin(phi) * np.sin(d) + np.cos(phi) * np.cos(d) * np.cos(h))
    azimuth = np.arctan2(
        -np.sin(h) * np.cos(d), np.sin(d) * np.cos(phi) - np.cos(d) * np.cos(h) * np.sin(phi)
    )
    return HorizontalPointing(
        azimuth=float(np.rad2deg(azimuth) % 360.0),
        elevation=float(np.rad2deg(elevation)),
        hour_angle=float(hour_angle / 15.0),
    )


def plan_exposures(config: SimulationConfig, *, band: str) -> tuple[SimulatedExposure, ...]:
    """List all exposures: first the sky, then biases, darks and flats.

    Parameters
    ----------
    config
        Numbers, times and pointing.
    band
        Band of the configured filter.

    Returns
    -------
    exposures
        In the order of their sequence numbers. The first one begins when the
        field is highest in the night of ``day_obs``.

    Raises
    ------
    ValueError
        Raised if the field is too low throughout that night.
    """
    types = (
        [ImageType.SCIENCE] * config.n_exposures
        + [ImageType.BIAS] * config.n_bias
        + [ImageType.DARK] * config.n_dark
        + [ImageType.FLAT] * config.n_flat
    )
    times = {
        ImageType.SCIENCE: config.exposure_time,
        ImageType.BIAS: 0.0,
        ImageType.DARK: config.dark_exposure_time,
        ImageType.FLAT: config.flat_exposure_time,
    }
    begin = _best_time(config)
    exposures = []
    for i, image_type in enumerate(types):
        ra, dec = _pointing(config, i)
        header_boresight = SkyCoord(ra * u.deg, dec * u.deg, frame="icrs")
        exposure = SimulatedExposure(
            image_type=image_type,
            day_obs=config.day_obs,
            seq_num=config.first_seq_num + i,
            begin=begin,
            exposure_time=times[image_type],
            dark_time=times[image_type] + (0.06 if image_type is ImageType.BIAS else 0.95),
            boresight=_true_boresight(config, i, header_boresight),
            rotation=Angle((config.rotation + config.rotation_error) * u.deg),
            header_boresight=header_boresight,
            header_rotation=Angle(config.rotation * u.deg),
            physical_filter=config.physical_filter,
            band=band,
        )
        exposures.append(exposure)
        begin = exposure.end + TimeDelta(_OVERHEAD, format="sec", scale="tai")
    return tuple(exposures)


def _best_time(config: SimulationConfig) -> Time:
    """Return when in the night the field is highest."""
    day = datetime.datetime.strptime(str(config.day_obs), "%Y%m%d") + datetime.timedelta(days=1)
    midnight = Time(day, scale="utc").tai
    hours = np.arange(_NIGHT[0], _NIGHT[1], 0.25)
    times = [midnight + TimeDelta(3600.0 * hour, format="sec", scale="tai") for hour in hours]
    elevations = [horizontal_pointing(config.boresight_ra, config.boresight_dec, t).elevation for t in times]
    best = int(np.argmax(elevations))
    if config.n_exposures and elevations[best] < _LOWEST:
        raise ValueError(
            f"the field at RA {config.boresight_ra}, Dec {config.boresight_dec} is never above"
            f" {_LOWEST:.0f} degrees in the night of day_obs {config.day_obs} (at most"
            f" {elevations[best]:.1f}); choose another day_obs or boresight"
        )
    return times[best]


def _pointing(config: SimulationConfig, index: int) -> tuple[float, float]:
    """Return RA and Dec of an exposure: the first as configured, then
    dithered uniformly over a disk.
    """
    if index == 0 or config.dither == 0.0:
        return config.boresight_ra, config.boresight_dec
    rng = random_stream(config.seed, Stream.POINTING, index)
    radius = config.dither / 3600.0 * np.sqrt(rng.random())
    angle = rng.uniform(0.0, 2.0 * np.pi)
    centre = SkyCoord(config.boresight_ra * u.deg, config.boresight_dec * u.deg)
    moved = centre.directional_offset_by(angle * u.rad, radius * u.deg)
    return float(moved.ra.deg), float(moved.dec.deg)


def _true_boresight(config: SimulationConfig, index: int, header: SkyCoord) -> SkyCoord:
    """Return where an exposure looks, in a direction drawn about the header's
    boresight.
    """
    if config.pointing_error == 0.0:
        return header
    angle = random_stream(config.seed, Stream.POINTING_ERROR, index).uniform(0.0, 2.0 * np.pi)
    return header.directional_offset_by(angle * u.rad, config.pointing_error * u.arcsec)
