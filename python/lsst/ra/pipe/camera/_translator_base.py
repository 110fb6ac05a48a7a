# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the headers of all of Rubin's cameras have in common."""

from __future__ import annotations

__all__ = ("RubinTranslator",)

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import astropy.units as u
from astro_metadata_translator import MetadataTranslator, cache_translation
from astro_metadata_translator.translators.helpers import (
    altaz_from_degree_headers,
    tracking_from_degree_headers,
)
from astropy.coordinates import ICRS, AltAz, Angle, EarthLocation, SkyCoord
from astropy.time import Time, TimeDelta

from ._exposure import (
    DAY_OBS_OFFSET,
    SIMULATED_CONTROLLERS,
    compute_detector_exposure_id,
    compute_exposure_id,
    compute_group_id,
    compute_visit_id,
)
from ._facts import read_camera_facts
from ._header import HeaderError, HeaderReader

_LOG = logging.getLogger(__name__)

# The drives may report a little past the horizon and past the zenith.
_ALTITUDE_LIMITS = (-5.55, 95.55)

# Weather stations have reported hPa or Pa; no site has 100 atmospheres.
_LARGEST_PRESSURE_HPA = 10_000


class RubinTranslator(HeaderReader):
    """Translations that hold for the headers of every Rubin camera.

    Subclasses name themselves, say whose detectors they have, and override
    what their camera does differently.

    Parameters
    ----------
    header
        Merged header of a raw file.
    filename
        File that the header came from, if known.
    """

    camera: ClassVar[str | None] = None
    """Name of the camera whose detector table holds for this instrument."""

    _non_sky_observation_types = ("bias", "dark", "flat")

    _default_location: ClassVar[EarthLocation] = EarthLocation.from_geodetic(
        -70.749417 * u.deg, -30.244639 * u.deg, 2663.0 * u.m
    )

    _tells_sky_from_type: ClassVar[bool] = True
    """Whether the observation type says enough about seeing the sky."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Where obs_lsst is set up its translators carry the same names and
        # more corrections. Whichever is imported last, obs_lsst's stay.
        registered = MetadataTranslator.translators
        name = cls.name or ""
        theirs = registered.get(name)
        if theirs is None or not theirs.__module__.startswith("lsst.obs.lsst."):
            super().__init_subclass__(**kwargs)
            return
        del registered[name]
        super().__init_subclass__(**kwargs)
        registered[name] = theirs

    def resource_root(self) -> tuple[str | None, str | None]:
        """Return that this package brings no corrections of single exposures.

        Returns
        -------
        package, root
            Both `None`. Files in ``$METADATA_CORRECTIONS_PATH`` are used.
        """
        return None, None

    # Where the camera was --------------------------------------------------

    def _is_on_mountain(self) -> bool:
        """Whether the camera was at the observatory, so on a telescope."""
        raise NotImplementedError

    @classmethod
    def _begin_mjd(cls, header: Mapping[str, Any]) -> float | None:
        """Return the begin as TAI modified Julian date, `None` if unknown."""
        try:
            return float(cls(header).to_datetime_begin().tai.mjd)
        except HeaderError:
            return None

    def _is_phosim(self) -> bool:
        return self._controller() == "H"

    def is_on_sky(self) -> bool:
        """Return whether the telescope could have been on the sky.

        Returns
        -------
        is_on_sky
            `False` for bias, dark and flat exposures, for a telescope that
            does not track (``TRACKSYS`` is ``LOCAL``), and in the laboratory.
        """
        if str(self._value("TRACKSYS") or "").lower() == "local":
            return False
        if self.to_observation_type() in self._non_sky_observation_types:
            return False
        return self._is_on_mountain()

    def _may_default(self) -> bool:
        """Whether pointing keywords may be missing: only a science exposure
        on the mountain must have them.
        """
        return self.to_observation_type() != "science" or not self._is_on_mountain()

    @cache_translation
    def to_location(self) -> EarthLocation | None:
        """Return where the telescope is, `None` for a laboratory."""
        if not self._is_on_mountain():
            return None
        if not self.are_keys_ok(("OBSGEO-X", "OBSGEO-Y", "OBSGEO-Z")):
            return self._default_location
        return super().to_location()

    # Identifiers -----------------------------------------------------------

    def _controller(self) -> str | None:
        value = self._value("CONTRLLR")
        return None if value is None else str(value)

    @cache_translation
    def to_observation_id(self) -> str:
        """Return the observation id, such as ``MC_O_20250415_000060``."""
        return self._text("OBSID", expected="an observation id such as MC_O_20250415_000060")

    @cache_translation
    def to_exposure_id(self) -> int | None:  # type: ignore[override]
        """Return the exposure id; `None` for a combined calibration."""
        if "CALIB_ID" in self._header:
            self._used_these_cards("CALIB_ID")
            return None
        expected = {"DAYOBS": "the observing day as YYYYMMDD", "SEQNUM": "the exposure's number in its day"}
        if missing := [keyword for keyword in expected if not self.is_key_ok(keyword)]:
            raise self._error(missing, " and ".join(expected[keyword] for keyword in missing))
        day_obs, seq_num = (self._integer(keyword, expected=text) for keyword, text in expected.items())
        try:
            return compute_exposure_id(day_obs, seq_num, self._controller())
        except ValueError as error:
            raise self._error(
                ("DAYOBS", "SEQNUM", "CONTRLLR"), "a day, a number and a controller", found=str(error)
            ) from error

    @cache_translation
    def to_exposure_group(self) -> str | None:
        """Return the group, by default the exposure id as a string."""
        group = self._value("GROUPID")
        exposure_id = self.to_exposure_id()
        if group is None and exposure_id is None:
            return None
        return compute_group_id(exposure_id or 0, group)

    @cache_translation
    def to_visit_id(self) -> int | None:  # type: ignore[override]
        """Return the visit id that follows from the group."""
        group = self.to_exposure_group()
        return None if group is None else compute_visit_id(group)

    @cache_translation
    def to_detector_exposure_id(self) -> int | None:
        """Return the exposure id and detector packed into one integer."""
        exposure_id = self.to_exposure_id()
        if exposure_id is None:
            return None
        return compute_detector_exposure_id(exposure_id, self.to_detector_num())

    @classmethod
    def observing_date_to_offset(cls, observing_date: Time) -> TimeDelta | None:
        """Return how long after midnight an observing day begins.

        Parameters
        ----------
        observing_date
            Begin of the observation.

        Returns
        -------
        offset
            Twelve hours at the observatory.
        """
        return DAY_OBS_OFFSET

    @cache_translation
    def to_observing_day(self) -> int | None:
        """Return the observing day, from the date if no keyword has it."""
        if self.is_key_ok("DAYOBS"):
            return self._integer("DAYOBS", expected="the observing day as YYYYMMDD")
        return super().to_observing_day()

    @cache_translation
    def to_observation_counter(self) -> int:
        """Return the number of the exposure in its day, 0 if unknown."""
        if not self.is_key_ok("SEQNUM"):
            _LOG.warning("%s: no SEQNUM; the observation counter is set to 0", self._log_prefix)
            return 0
        return self._integer("SEQNUM", expected="the number of the exposure in its day")

    @cache_translation
    def to_group_counter_start(self) -> int:
        """Return the number of the first exposure of the group."""
        return self._group_counter(1 if self.is_key_ok("CURINDEX") else None)

    @cache_translation
    def to_group_counter_end(self) -> int:
        """Return the number of the last exposure of the group."""
        if not self.is_key_ok("MAXINDEX"):
            return self._group_counter(None)
        return self._group_counter(self._integer("MAXINDEX", expected="the size of the group"))

    def _group_counter(self, index: int | None) -> int:
        """Return the number of the exposure at a 1-based place in its group,
        or this exposure's own if the place is unknown.
        """
        counter = self.to_observation_counter()
        if index is None or not self.is_key_ok("CURINDEX"):
            # Exposures without a number must not share a group.
            return counter or int(self.to_exposure_id() or 0)
        return counter + index - self._integer("CURINDEX", expected="the place in the group, from 1")

    # Detector --------------------------------------------------------------

    @cache_translation
    def to_detector_group(self) -> str:
        """Return the raft bay, such as ``R22``."""
        return self._text("RAFTBAY", expected="a raft bay such as R22")

    @cache_translation
    def to_detector_name(self) -> str:
        """Return the slot in the raft, such as ``S11``."""
        return self._text("CCDSLOT", expected="a slot in the raft such as S11")

    @cache_translation
    def to_detector_num(self) -> int:
        """Return the detector's id in its camera."""
        full_name = f"{self.to_detector_group()}_{self.to_detector_name()}"
        assert self.camera is not None
        ids = {facts.full_name: id_ for id_, facts in read_camera_facts(self.camera).detectors.items()}
        if full_name not in ids:
            raise self._error(
                ("RAFTBAY", "CCDSLOT"),
                f"one of the {len(ids)} detectors of {self.camera}",
                found=full_name,
            )
        return ids[full_name]

    @cache_translation
    def to_detector_serial(self) -> str:
        """Return the serial name of the sensor."""
        return self._text("LSST_NUM", expected="a serial such as E2V-CCD250-382")

    # Times -----------------------------------------------------------------

    @cache_translation
    def to_datetime_begin(self) -> Time:
        """Return the begin of the exposure; all dates are TAI."""
        keywords = ("MJD-BEG", "DATE-BEG", "MJD-OBS", "DATE-OBS")
        expected = "the TAI date at which the exposure began"
        for keyword in keywords:
            if (value := self._value(keyword)) is None:
                continue
            try:
                return Time(value, scale="tai", format="mjd" if keyword.startswith("MJD") else "fits")
            except (TypeError, ValueError) as error:
                raise self._error(keyword, expected, found=repr(value)) from error
        raise self._error(keywords, expected)

    @cache_translation
    def to_datetime_end(self) -> Time:
        """Return the end, by default begin plus exposure time."""
        if self.is_key_ok("DATE-END"):
            try:
                return super().to_datetime_end()
            except ValueError as error:
                raise self._error(
                    ("DATE-END",), "an ISO date in the scale of TIMESYS", found=repr(self._header["DATE-END"])
                ) from error
        # Negative means that the exposure time is not known.
        return self.to_datetime_begin() + max(self.to_exposure_time(), 0.0 * u.s)

    @cache_translation
    def to_exposure_time_requested(self) -> u.Quantity:
        """Return the exposure time that was asked for."""
        seconds = self._number("EXPTIME", expected="a number of seconds")
        if seconds is None:
            raise self._error("EXPTIME", "a number of seconds")
        return seconds * u.s

    @cache_translation
    def to_dark_time(self) -> u.Quantity:
        """Return the dark time, by default the exposure time."""
        seconds = self._number("DARKTIME", expected="a number of seconds")
        if seconds is None:
            _LOG.debug("%s: no DARKTIME; using the exposure time", self._log_prefix)
            return self.to_exposure_time()
        return seconds * u.s

    # What was observed, and why --------------------------------------------

    @cache_translation
    def to_observation_type(self) -> str:
        """Return the observation type in lower case, ``science`` for what
        headers call ``OBJECT`` or ``SKYEXP``.
        """
        observed = self._text("IMGTYPE", expected="an image type such as OBJECT or BIAS").lower()
        return "science" if observed in ("skyexp", "object") else observed

    @cache_translation
    def to_observation_reason(self) -> str:
        """Return the reason in lower case, by default from the type."""
        reason = self._value("REASON", "TESTTYPE")
        return super().to_observation_reason() if reason is None else str(reason).lower()

    @cache_translation
    def to_science_program(self) -> str:
        """Return the observing program, ``unknown`` if there is none."""
        return self._text_or("unknown", "PROGRAM")

    @cache_translation
    def to_object(self) -> str:
        """Return the name of the target, ``UNKNOWN`` if there is none."""
        return self._text_or("UNKNOWN", "OBJECT")

    @cache_translation
    def to_has_simulated_content(self) -> bool:
        """Return whether a ``SIMULATE ...`` flag or the controller says that
        something was simulated.
        """
        for keyword, value in self._header.items():
            if "SIMULATE" in keyword and self.is_key_ok(keyword) and value:
                self._used_these_cards(keyword)
                return True
        return (self._controller() or "O") in SIMULATED_CONTROLLERS

    @cache_translation
    def to_can_see_sky(self) -> bool | None:
        """Return whether sky light reached the detector: not with the shutter
        closed or fully vignetted; `None` if the header does not tell.
        """
        if self._number("SHUTTIME") == 0.0:
            return False
        vignetted = self._value("VIGN_MIN")
        if vignetted is not None:
            return None if vignetted == "UNKNOWN" else vignetted != "FULLY"
        if self._tells_sky_from_type or self._is_phosim():
            return super().to_can_see_sky()
        return None

    # Telescope -------------------------------------------------------------

    @cache_translation
    def to_tracking_radec(self) -> SkyCoord | None:
        """Return where the telescope pointed when the exposure began.

        `None` for bias and flat exposures, whose headers may claim to track;
        darks are sometimes taken while tracking.
        """
        if self.to_observation_type() in ("bias", "flat"):
            return None
        if self._value("TRACKSYS") not in (None, "RADEC"):
            return None
        if self._has_substituted_date():
            # RA and Dec were computed for another date; the mount is right.
            altaz = self.to_altaz_begin()
            if altaz is None:
                return None
            return SkyCoord(altaz.transform_to(ICRS()), obstime=altaz.obstime, location=altaz.location)
        pairs = (("RASTART", "DECSTART"), ("RA", "DEC"))
        if not any(self.are_keys_ok(pair) for pair in pairs):
            if self.is_on_sky() and not self._may_default():
                raise self._error(
                    ("RASTART and DECSTART", "RA and DEC"), "the position on the sky, in degrees"
                )
            return None
        try:
            return tracking_from_degree_headers(self, ("RADESYS",), pairs)
        except (TypeError, ValueError) as error:
            keywords = ("RADESYS", *pairs[0], *pairs[1])
            found = ", ".join(repr(self._header.get(keyword)) for keyword in keywords)
            raise self._error(keywords, "a frame and positions in degrees", found=found) from error

    def _has_substituted_date(self) -> bool:
        return self.is_key_ok("DATE-OBS") and self._header["DATE-OBS"] == self._header.get("DATE")

    @cache_translation
    def to_altaz_begin(self) -> AltAz | None:
        """Return azimuth and altitude when the exposure began."""
        return self._altaz("AZSTART", "ELSTART")

    @cache_translation
    def to_altaz_end(self) -> AltAz | None:
        """Return azimuth and altitude when the exposure ended."""
        return self._altaz("AZEND", "ELEND")

    def _altaz(self, azimuth: str, elevation: str) -> AltAz | None:
        if not self._is_on_mountain():
            return None
        if not self.are_keys_ok((azimuth, elevation)):
            if self._is_phosim() or self.to_observation_type() != "science":
                return None
            raise self._error((azimuth, elevation), "the position of the mount, in degrees")
        lowest, highest = _ALTITUDE_LIMITS
        return altaz_from_degree_headers(
            self, ((elevation, azimuth),), self.to_datetime_begin(), min_alt=lowest, max_alt=highest
        )

    @cache_translation
    def to_boresight_airmass(self) -> float | None:
        """Return the airmass when the exposure began, `None` off the sky."""
        if not self.is_on_sky():
            return None
        if (airmass := self._number("AMSTART")) is not None:
            return airmass
        if (altaz := self.to_altaz_begin()) is not None:
            return float(altaz.secz)
        _LOG.warning("%s: no AMSTART and no altitude; the airmass is set to 1", self._log_prefix)
        return 1.0

    def _rotation_angle(self, default: float) -> Angle:
        """Return the rotation angle, degrees, or its default if it may
        be missing.
        """
        degrees = self._number("ROTPA", "ROTANGLE", expected="an angle in degrees")
        if degrees is None:
            if not self._may_default():
                raise self._error(("ROTPA", "ROTANGLE"), "the rotation angle, in degrees")
            degrees = default
        return Angle(degrees * u.deg)

    @cache_translation
    def to_boresight_rotation_coord(self) -> str:
        """Return the frame of the rotation angle, ``unknown`` off the sky."""
        if not self.is_on_sky():
            return "unknown"
        return self._text_or("unknown", "ROTCOORD")

    @cache_translation
    def to_focus_z(self) -> u.Quantity:
        """Return how far the camera is out of focus, by default 0 mm."""
        return (self._number("FOCUSZ", expected="a distance in mm") or 0.0) * u.mm

    # Weather ---------------------------------------------------------------

    @cache_translation
    def to_relative_humidity(self) -> float | None:  # type: ignore[override]
        """Return the relative humidity, percent."""
        return self._number("HUMIDITY", expected="a percentage")

    @cache_translation
    def to_pressure(self) -> u.Quantity | None:
        """Return the air pressure; headers have had hPa as well as Pa."""
        value = self._number("PRESSURE", expected="a pressure in Pa or hPa")
        if value is None:
            return None
        return value * (u.Pa if value > _LARGEST_PRESSURE_HPA else u.hPa)

    @cache_translation
    def to_temperature(self) -> u.Quantity | None:
        """Return the outside air temperature."""
        value = self._number("AIRTEMP", expected="a temperature in degrees Celsius")
        return None if value is None else value * u.deg_C
