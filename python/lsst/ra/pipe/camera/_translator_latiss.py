# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Headers of LATISS, the camera of the auxiliary telescope."""

from __future__ import annotations

__all__ = ("LatissTranslator",)

import logging
import math
from collections.abc import Mapping, MutableMapping
from typing import Any, ClassVar

import astropy.units as u
from astro_metadata_translator import cache_translation
from astropy.coordinates import AltAz, Angle, EarthLocation
from astropy.time import Time

from ._corrections import Correction, apply_corrections
from ._exposure import parse_observation_id
from ._header import has_text
from ._translator_base import RubinTranslator

_LOG = logging.getLogger(__name__)

_RIGHT_ASCENSIONS = ("RASTART", "RAEND")
_POINTINGS = ("RASTART", "DECSTART", "RAEND", "DECEND")
# TAI was taken for UTC: 37 s of time, 15 degrees an hour.
_TAI_UTC_DEGREES = 37.0 / 3600.0 * 15.0


def _scaled(header: Mapping[str, Any], keywords: tuple[str, ...], factor: float) -> dict[str, Any]:
    return {key: header[key] * factor for key in keywords if header.get(key)}


def _day_and_number(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return DAYOBS and SEQNUM from OBSID, or the day from OBS-NITE."""
    found: dict[str, Any] = {}
    try:
        parts = parse_observation_id(str(header.get("OBSID")))
    except ValueError:
        found["DAYOBS"] = header.get("OBS-NITE")
    else:
        found = {"DAYOBS": str(parts.day_obs), "SEQNUM": parts.seq_num}
    return {key: value for key, value in found.items() if key not in header and value is not None}


def _date_of_1970(header: Mapping[str, Any]) -> dict[str, Any]:
    if not str(header.get("DATE-OBS")).startswith("1970"):
        return {}
    date, mjd = header.get("DATE"), header.get("MJD")
    begin = {"DATE-OBS": date, "DATE-BEG": date, "MJD-OBS": mjd, "MJD-BEG": mjd}
    return {**begin, "DATE-END": None, "MJD-END": None}


def _type_from_group(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the image type that was in the group's keyword.

    ``bias_0027_0100`` and ``FOCUS...`` remain groups, ``FLAT`` does not.
    """
    group, kind = header.get("GROUPID"), header.get("IMGTYPE")
    if not group or group.startswith("test"):
        return {}
    if kind:
        return {"GROUPID": None} if kind == group else {}
    if "_" in group:
        return {"IMGTYPE": group.partition("_")[0]}
    if group.upper().startswith("FOCUS") and group.upper() != "FOCUS":
        return {"IMGTYPE": "FOCUS"}
    return {"IMGTYPE": group, "GROUPID": None}


def _southern(header: Mapping[str, Any]) -> dict[str, Any]:
    z = header.get("OBSGEO-Z")
    return {"OBSGEO-Z": -z} if isinstance(z, int | float) and z > 0.0 else {}


def _without_spec_prefix(header: Mapping[str, Any]) -> dict[str, Any]:
    target = header.get("OBJECT")
    return {"OBJECT": target.replace("spec:", "")} if isinstance(target, str) and "spec:" in target else {}


# What the date of an exposure depends on; applied before its date is known.
_IDENTITY_CORRECTIONS = (
    Correction(
        reason="the observation id was in IMGNAME",
        change=lambda h: {"OBSID": h["IMGNAME"]} if "OBSID" not in h and "IMGNAME" in h else {},
    ),
    Correction(reason="DAYOBS or SEQNUM is missing", change=_day_and_number),
    Correction(reason="dates were of 1970; that of the file comes closest", change=_date_of_1970),
)

# The mistakes are public in obs_lsst and in the tickets named here.
_LATISS_CORRECTIONS = (
    Correction(
        reason="the sensor was exchanged",
        since="2019-06-24T00:00",
        change=lambda h: {} if h.get("LSST_NUM") == "ITL-3800C-068" else {"LSST_NUM": "ITL-3800C-068"},
    ),
    Correction(
        reason="the end date was unreliable, in either time scale",
        before="2020-02-01T00:00",
        change=lambda h: {"DATE-END": None, "MJD-END": None} if h.get("DATE-END") else {},
    ),
    Correction(reason="the image type was in GROUPID", before="2019-11-07T00:00", change=_type_from_group),
    Correction(
        reason="OBJECT exposures were engineering tests",
        before="2020-01-27T20:00",
        change=lambda h: {"IMGTYPE": "ENGTEST"} if h.get("IMGTYPE") == "OBJECT" else {},
    ),
    Correction(
        reason="RA and DEC were in radians",
        before="2020-01-28T22:00",
        change=lambda h: _scaled(h, ("RA", "DEC"), 180.0 / math.pi),
    ),
    Correction(
        reason="SHUTTIME is not the time that the shutter was open",
        change=lambda h: {"SHUTTIME": None} if h.get("SHUTTIME") else {},
    ),
    Correction(
        reason="there is no OBJECT",
        change=lambda h: {"OBJECT": "NOTSET"} if "OBJECT" not in h and h.get("IMGTYPE") == "OBJECT" else {},
    ),
    Correction(
        reason="dispersed images had a prefix in OBJECT",
        before="2022-07-10T00:00",
        change=_without_spec_prefix,
    ),
    Correction(
        reason="RADESYS is blank", change=lambda h: {"RADESYS": "ICRS"} if h.get("RADESYS") == "" else {}
    ),
    Correction(
        reason="TRACKSYS is blank", change=lambda h: {"TRACKSYS": None} if h.get("TRACKSYS") == "" else {}
    ),
    Correction(
        reason="TRACKSYS has another name for RADEC",
        change=lambda h: {"TRACKSYS": "RADEC"} if h.get("TRACKSYS") == "SIDEREAL" else {},
    ),
    Correction(
        reason="the pointing was computed for another telescope or without its pointing model",
        before="2020-05-01T00:00",
        change=lambda h: {key: None for key in _POINTINGS if h.get(key) is not None},
    ),
    Correction(
        reason="RASTART and RAEND were in hours (DM-28783)",
        since="2020-05-01T00:00",
        before="2021-02-11T18:45",
        change=lambda h: _scaled(h, _RIGHT_ASCENSIONS, 15.0),
    ),
    Correction(
        reason="RASTART and RAEND took TAI for UTC (DM-28783)",
        since="2020-05-01T00:00",
        before="2021-02-12T00:00",
        change=lambda h: {key: h[key] + _TAI_UTC_DEGREES for key in _RIGHT_ASCENSIONS if h.get(key)},
    ),
    Correction(
        reason="ROTPA had the opposite convention",
        since="2020-11-19T00:00",
        before="2021-10-29T00:00",
        change=lambda h: {"ROTPA": h["ROTPA"] - 180.0} if h.get("ROTPA") is not None else {},
    ),
    Correction(reason="the observatory is in the south", change=_southern),
)


_LATISS_CONSTANTS = {
    "instrument": "LATISS",
    "telescope": "Rubin Auxiliary Telescope",
    # Headers say R00; there is no raft.
    "detector_group": "RXX",
    "detector_name": "S00",
    "detector_num": 0,
}


class LatissTranslator(RubinTranslator):
    """Translator of LATISS's headers, from the laboratory to the sky.

    Parameters
    ----------
    header
        Merged header of a raw file.
    filename
        File that the header came from, if known.
    """

    name = "LSST_LATISS"
    supported_instrument = "LATISS"
    camera = "LATISS"

    _const_map = _LATISS_CONSTANTS
    _default_location = EarthLocation.from_geodetic(-70.747698 * u.deg, -30.244728 * u.deg, 2663.0 * u.m)
    _on_telescope_since: ClassVar[float] = float(Time("2020-01-01", scale="utc").tai.mjd)
    """TAI modified Julian date since which headers are those of a
    telescope."""

    @classmethod
    def can_translate(cls, header: Mapping[str, Any], filename: str | None = None) -> bool:
        """Say whether a header is of LATISS.

        Parameters
        ----------
        header
            Header to look at.
        filename
            File that the header came from, if known.

        Returns
        -------
        can_translate
            Whether this translator is the right one. Combined calibrations
            are known by the name of the detector alone.
        """
        if has_text(header, "INSTRUME", "latiss", "lsst_atiss"):
            return True
        return has_text(header, "DETNAME", "rxx_s00")

    @classmethod
    def fix_header(
        cls, header: MutableMapping[str, Any], instrument: str, obsid: str, filename: str | None = None
    ) -> bool:
        """Correct the known mistakes of this instrument's headers.

        Parameters
        ----------
        header
            Header, corrected in place.
        instrument
            Name of the instrument.
        obsid
            Observation id.
        filename
            File that the header came from, if known.

        Returns
        -------
        modified
            Whether anything was changed.
        """
        label = cls._construct_log_prefix(obsid, filename)
        identified = apply_corrections(header, _IDENTITY_CORRECTIONS, label=label)
        begin = cls._begin_mjd(header)
        return apply_corrections(header, _LATISS_CORRECTIONS, begin=begin, label=label) or identified

    def _is_on_mountain(self) -> bool:
        return float(self.to_datetime_begin().mjd) > self._on_telescope_since

    @cache_translation
    def to_observation_id(self) -> str | None:  # type: ignore[override]
        """Return the observation id, which only calibrations may lack."""
        value = self._value("OBSID", "IMGNAME")
        if value is None and self.to_observation_type() == "science":
            raise self._error(("OBSID", "IMGNAME"), "an observation id such as AT_O_20240624_000169")
        return None if value is None else str(value)

    @cache_translation
    def to_detector_serial(self) -> str:
        """Return the serial name of the sensor."""
        return self._text("LSST_NUM", "DETSER", expected="a serial such as ITL-3800C-068")

    @cache_translation
    def to_object(self) -> str:
        """Return the name of the target, which a science exposure needs."""
        if not self.is_key_ok("OBJECT") and not self._may_default():
            raise self._error("OBJECT", "the name of the target")
        return super().to_object()

    @cache_translation
    def to_observation_type(self) -> str:
        """Return the observation type in lower case.

        An object in the laboratory is a ``labobject``. Without a type, an
        exposure of no time is a bias; any other is ``unknown``.
        """
        value = self._value("OBSTYPE", "IMGTYPE")
        if value is None:
            guess = "bias" if self.to_exposure_time() == 0.0 * u.s else "unknown"
            _LOG.warning("%s: no OBSTYPE or IMGTYPE; taken for %s", self.filename or "header", guess)
            return guess
        observed = str(value).lower()
        if observed == "object" and not self._is_on_mountain():
            return "labobject"
        return "science" if observed in ("skyexp", "object") else observed

    @cache_translation
    def to_exposure_time(self) -> u.Quantity:
        """Return the exposure time, -1 s if it is not known."""
        seconds = self._number("EXPTIME", expected="a number of seconds")
        if seconds is None:
            _LOG.warning("%s: no EXPTIME; set to -1 s", self.filename or "header")
            seconds = -1.0
        return seconds * u.s

    @cache_translation
    def to_exposure_time_requested(self) -> u.Quantity:
        """Return the exposure time; the header has only one."""
        return self.to_exposure_time()

    @cache_translation
    def to_dark_time(self) -> u.Quantity:
        """Return the dark time, which is at least the exposure time."""
        return max(super().to_dark_time(), self.to_exposure_time())

    @cache_translation
    def to_physical_filter(self) -> str:
        """Return the filter and the grating joined by ``~``."""
        return f"{self._wheel('FILTER')}~{self._wheel('GRATING')}"

    def _wheel(self, keyword: str) -> str:
        """Return what a wheel held: ``empty`` whatever the empty slot is
        called, ``unknown`` without a keyword.
        """
        held = self._text_or("unknown", keyword)
        return "empty" if not held or held.lower().startswith("empty") else held

    @cache_translation
    def to_boresight_rotation_angle(self) -> Angle:
        """Return the rotation angle, NaN if a calibration has none."""
        return self._rotation_angle(math.nan)

    @cache_translation
    def to_altaz_end(self) -> AltAz | None:
        """Return azimuth and altitude at the end.

        For more than a year the keywords were misspelt (AELEND) and blank.
        """
        misspelt = "AELEND" in self._header and "ELEND" not in self._header
        return None if misspelt else super().to_altaz_end()
