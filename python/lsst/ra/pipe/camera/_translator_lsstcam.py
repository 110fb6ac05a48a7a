# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Headers of the Simonyi telescope's cameras, real and simulated."""

from __future__ import annotations

__all__ = (
    "LsstCamSimTranslator",
    "LsstCamTranslator",
    "LsstComCamSimTranslator",
    "LsstComCamTranslator",
)

import math
import zoneinfo
from collections.abc import Mapping, MutableMapping
from numbers import Real
from typing import Any, ClassVar

import astropy.units as u
from astro_metadata_translator import cache_translation
from astropy.coordinates import AltAz, Angle
from astropy.time import Time, TimeDelta

from ._corrections import Correction, apply_corrections
from ._exposure import DAY_OBS_OFFSET
from ._facts import read_camera_facts
from ._header import has_text
from ._translator_base import RubinTranslator

_TELESCOPES = ("simonyi survey telescope", "lsst")
_LAB_TIME_ZONE = "America/Los_Angeles"


def _mjd(date: str) -> float:
    return float(Time(date, scale="utc").tai.mjd)


def _filter(name: str, *, band: str, position: float, slot: int) -> dict[str, Any]:
    return {"FILTER": name, "FILTBAND": band, "FILTPOS": position, "FILTSLOT": slot}


def _rotated(header: Mapping[str, Any], degrees: float) -> dict[str, Any]:
    """Return the rotation angle turned by some degrees, if there is one."""
    return {"ROTPA": header["ROTPA"] + degrees} if header.get("ROTPA") else {}


def _rotated_and_wrapped(header: Mapping[str, Any], degrees: float) -> dict[str, Any]:
    rotated = _rotated(header, degrees)
    return {key: float(Angle(value * u.deg).wrap_at("180d").deg) for key, value in rotated.items()}


def _vignetted(header: Mapping[str, Any]) -> dict[str, Any]:
    return {} if header.get("VIGN_MIN") == "FULLY" else {"VIGN_MIN": "FULLY"}


# The mistakes are public in obs_lsst and in the tickets named here.
_LSSTCAM_CORRECTIONS = (
    Correction(
        reason="FILTER2 without FILTER is a leftover of the test stand",
        change=lambda h: {"FILTER2": None} if "FILTER" not in h and h.get("FILTER2") is not None else {},
    ),
    Correction(
        reason="the pinhole filter was called ph_05",
        days=(20231107, 20231108, 20241015, 20241016),
        change=lambda h: {"FILTER": "ph_5"} if h.get("FILTER") == "ph_05" else {},
    ),
    Correction(
        reason="ROTPA was that of LSSTComCam, which was mounted 90 degrees away",
        days=range(20250302, 20250422),
        change=lambda h: _rotated(h, -90.0),
    ),
    Correction(
        reason="ROTPA was out by 180 degrees for half a night",
        exposures={20250422: ((0, 250),)},
        change=lambda h: _rotated_and_wrapped(h, -180.0),
    ),
    Correction(
        reason="the dome was closed, though the header does not say so (20250518, DM-51847, DM-52249)",
        exposures={
            20250518: ((0, 99999),),
            20250703: ((743, 745),),
            20250704: ((832, 834),),
            20250705: ((1, 736),),
            20250707: ((744, 823), (864, 943)),
            20250714: ((258, 781),),
            20250715: ((205, 1218),),
            20250819: ((4, 1052),),
        },
        change=_vignetted,
    ),
    Correction(
        reason="the filter was z_20 at the start of the night (DM-52711)",
        exposures={20250609: ((76, 578),)},
        change=lambda h: _filter("z_20", band="z", position=201.0, slot=4),
    ),
    Correction(
        reason="the block of the tests is BLOCK-T417 (DM-53949)",
        days=(
            *(20250415, 20250416, 20250417, 20250418, 20250421, 20250423, 20250424, 20250425),
            *(20250503, 20250504, 20250512, 20250522, 20250524, 20250826, 20250827, 20250828),
        ),
        change=lambda h: {"PROGRAM": "BLOCK-T417"} if h.get("PROGRAM") == "BLOCK-417" else {},
    ),
    Correction(
        reason="the filter was i_39",
        exposures={20260315: ((49, 109),)},
        change=lambda h: _filter("i_39", band="i", position=304.0, slot=1),
    ),
)


_LSSTCAM_CONSTANTS = {"instrument": "LSSTCam", "telescope": "Simonyi Survey Telescope"}
_COMCAM_CONSTANTS = {"instrument": "LSSTComCam"}
_LSSTCAM_SIM_CONSTANTS: dict[str, Any] = {"instrument": "LSSTCamSim", "has_simulated_content": True}
_COMCAM_SIM_CONSTANTS = {"instrument": "LSSTComCamSim"}


class LsstCamTranslator(RubinTranslator):
    """Translator of LSSTCam's headers, from the test stand to the sky.

    Phosim images with controller H are of this camera too.

    Parameters
    ----------
    header
        Merged header of a raw file.
    filename
        File that the header came from, if known.
    """

    name = "LSSTCam"
    supported_instrument = "LSSTCam"
    camera = "LSSTCam"
    corrections: ClassVar[tuple[Correction, ...]] = _LSSTCAM_CORRECTIONS

    _const_map = _LSSTCAM_CONSTANTS
    _tells_sky_from_type = False

    _in_chile_since: ClassVar[float] = float(Time("2024-05-01", scale="tai").mjd)
    """TAI modified Julian date since which days are counted as at the
    observatory."""
    _on_telescope_since: ClassVar[float] = _mjd("2025-03-01")
    """TAI modified Julian date since which the camera is on the telescope."""

    @classmethod
    def can_translate(cls, header: Mapping[str, Any], filename: str | None = None) -> bool:
        """Say whether a header is of LSSTCam, whatever the case of its name.

        Parameters
        ----------
        header
            Header to look at.
        filename
            File that the header came from, if known.

        Returns
        -------
        can_translate
            Whether this translator is the right one.
        """
        return has_text(header, "INSTRUME", "lsstcam")

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
        begin = cls._begin_mjd(header)
        label = cls._construct_log_prefix(obsid, filename)
        return apply_corrections(header, cls.corrections, begin=begin, label=label)

    def _is_on_mountain(self) -> bool:
        return self._is_phosim() or float(self.to_datetime_begin().tai.mjd) > self._on_telescope_since

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
            Twelve hours in Chile; before that the difference between UTC and
            Pacific time, 7 or 8 hours.
        """
        if observing_date.tai.mjd >= cls._in_chile_since:
            return DAY_OBS_OFFSET
        pacific = observing_date.utc.to_datetime(timezone=zoneinfo.ZoneInfo(_LAB_TIME_ZONE))
        return TimeDelta(-pacific.utcoffset().total_seconds(), format="sec", scale="tai")

    @cache_translation
    def to_science_program(self) -> str:
        """Return the program, or the run of a test stand or simulation."""
        return self._text_or("unknown", "PROGRAM", "RUNNUM")

    @cache_translation
    def to_exposure_time(self) -> u.Quantity:
        """Return how long the shutter was open, else the time asked for.

        A shutter time of zero means that the shutter was not to open, as in a
        dark.
        """
        shutter = self._number("SHUTTIME", expected="a number of seconds") or 0.0
        return shutter * u.s if shutter > 0.0 else self.to_exposure_time_requested()

    @cache_translation
    def to_physical_filter(self) -> str:
        """Return the filter, with those of the test stand joined by ``~``."""
        joined = self._join_keyword_values(("FILTER", "FILTER1", "FILTER2"), delim="~") or "unknown"
        joined = joined.replace("NONE", "none")
        while joined.endswith("~empty"):
            joined = joined.removesuffix("~empty")
        return joined

    @cache_translation
    def to_boresight_rotation_angle(self) -> Angle:
        """Return the rotation angle, 0 if a calibration has none."""
        angle = self._rotation_angle(0.0)
        return Angle(0.0 * u.deg) if math.isnan(angle.deg) else angle

    @cache_translation
    def to_can_see_sky(self) -> bool | None:
        """Return whether sky light reached the detector."""
        return super().to_can_see_sky() if self._is_on_mountain() else False


def _comcam_filter(header: Mapping[str, Any]) -> dict[str, Any]:
    return {"FILTER": "unknown"} if header.get("FILTER") is None else {}


def _comcam_serial(header: Mapping[str, Any]) -> dict[str, Any]:
    if "LSST_NUM" in header:
        return {}
    serials = {d.name_in_raft: d.serial for d in read_camera_facts("LSSTComCam").detectors.values()}
    slot = header.get("CCDSLOT")
    return {"LSST_NUM": serials[slot]} if slot in serials else {}


_COMCAM_TO_CHILE = "2020-03-13T00:00"

_COMCAM_CORRECTIONS = (
    Correction(reason="there is no FILTER", change=_comcam_filter),
    Correction(
        reason="FILTER named a band; in the laboratory the filter was r_03",
        before=_COMCAM_TO_CHILE,
        change=lambda h: {"FILTER": "r_03"} if h["FILTER"] in ("r", "") else {},
    ),
    Correction(
        reason="FILTER named a band; on the way to Chile there was no filter",
        since=_COMCAM_TO_CHILE,
        change=lambda h: {"FILTER": "empty"} if h["FILTER"] in ("r", "") else {},
    ),
    Correction(
        reason="early laboratory headers name another instrument",
        change=lambda h: {"INSTRUME": "ComCam"} if h.get("INSTRUME") == "LSST_CAMERA" else {},
    ),
    Correction(reason="there is no LSST_NUM; slots never changed detectors", change=_comcam_serial),
    Correction(
        reason="ROTPA is no number",
        change=lambda h: {} if isinstance(h.get("ROTPA"), Real) else {"ROTPA": 0.0},
    ),
)


class LsstComCamTranslator(LsstCamTranslator):
    """Translator of the commissioning camera's headers.

    Parameters
    ----------
    header
        Merged header of a raw file.
    filename
        File that the header came from, if known.
    """

    name = "LSSTComCam"
    supported_instrument = "LSSTComCam"
    camera = "LSSTComCam"
    corrections = _COMCAM_CORRECTIONS

    _const_map = _COMCAM_CONSTANTS
    _in_chile_since = float(Time("2020-03-01", scale="tai").mjd)
    _on_telescope_since = _mjd("2024-08-24")

    @classmethod
    def can_translate(cls, header: Mapping[str, Any], filename: str | None = None) -> bool:
        """Say whether a header is of LSSTComCam on Rubin's telescope.

        Other observatories have commissioning cameras too.

        Parameters
        ----------
        header
            Header to look at.
        filename
            File that the header came from, if known.

        Returns
        -------
        can_translate
            Whether this translator is the right one.
        """
        if not has_text(header, "TELESCOP", *_TELESCOPES):
            return False
        in_lab_of_2019 = has_text(header, "INSTRUME", "lsst_camera") and header.get("TELCODE") == "CC"
        return has_text(header, "INSTRUME", "comcam") or in_lab_of_2019


class LsstCamSimTranslator(LsstCamTranslator):
    """Translator of the headers that imSim writes for LSSTCam.

    Parameters
    ----------
    header
        Merged header of a raw file.
    filename
        File that the header came from, if known.
    """

    name = "LSSTCamSim"
    supported_instrument = "LSSTCamSim"
    header_name: ClassVar[str] = "lsstcamsim"
    """What ``INSTRUME`` holds, in lower case."""
    corrections: ClassVar[tuple[Correction, ...]] = ()

    _const_map = _LSSTCAM_SIM_CONSTANTS
    _tells_sky_from_type = True

    @classmethod
    def can_translate(cls, header: Mapping[str, Any], filename: str | None = None) -> bool:
        """Say whether a header is of the simulated LSSTCam.

        Parameters
        ----------
        header
            Header to look at.
        filename
            File that the header came from, if known.

        Returns
        -------
        can_translate
            Whether this translator is the right one.
        """
        named = has_text(header, "INSTRUME", cls.header_name)
        return named and has_text(header, "TELESCOP", *_TELESCOPES)

    def _is_on_mountain(self) -> bool:
        return True

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
            Twelve hours: simulations are always of the observatory.
        """
        return DAY_OBS_OFFSET

    @cache_translation
    def to_altaz_end(self) -> AltAz | None:
        """Return azimuth and altitude at the end; simulators may omit it."""
        return super().to_altaz_end() if self.are_keys_ok(("AZEND", "ELEND")) else None


def _pointing_from_target(header: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{axis}{when}": header[axis]
        for axis in ("RA", "DEC")
        for when in ("START", "END")
        if header.get(axis) and not header.get(f"{axis}{when}")
    }


_COMCAM_SIM_CORRECTIONS = (
    Correction(reason="simulated pointing is exact but not repeated", change=_pointing_from_target),
    Correction(
        reason="there is no RADESYS",
        change=lambda h: (
            {} if h.get("RADESYS") or not (h.get("RA") and h.get("DEC")) else {"RADESYS": "ICRS"}
        ),
    ),
)


class LsstComCamSimTranslator(LsstCamSimTranslator):
    """Translator of the headers of LSSTComCam's operations rehearsals.

    Parameters
    ----------
    header
        Merged header of a raw file.
    filename
        File that the header came from, if known.
    """

    name = "LSSTComCamSim"
    supported_instrument = "LSSTComCamSim"
    header_name = "comcamsim"
    camera = "LSSTComCam"
    corrections = _COMCAM_SIM_CORRECTIONS

    _const_map = _COMCAM_SIM_CONSTANTS

    @cache_translation
    def to_altaz_begin(self) -> AltAz | None:
        """Return azimuth and altitude when the exposure began.

        The rehearsals' headers have an airmass that disagrees with their
        date. Without a position of the mount the altitude is what the airmass
        says (45 degrees without one), and the azimuth 0.
        """
        if self.are_keys_ok(("AZSTART", "ELSTART")):
            return super().to_altaz_begin()
        if not self.are_keys_ok(("RA", "DEC")):
            return None
        airmass = self._number("AMSTART") if self.is_on_sky() else None
        altitude = 45.0 if not airmass else math.degrees(math.asin(1.0 / airmass))
        return AltAz(
            0.0 * u.deg, altitude * u.deg, obstime=self.to_datetime_begin(), location=self.to_location()
        )
