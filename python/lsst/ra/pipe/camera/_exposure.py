# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Rubin's rules for identifiers: day_obs, exposure id, visit id, groups.

Everything here is plain integers and strings, so that events, file names and
tests can use the rules without reading a header.
"""

from __future__ import annotations

__all__ = (
    "CONTROLLERS",
    "DAY_OBS_OFFSET",
    "MAX_EXPOSURE_ID",
    "MAX_SEQ_NUM",
    "SIMULATED_CONTROLLERS",
    "ExposureParts",
    "ObservationIdParts",
    "compute_day_obs",
    "compute_detector_exposure_id",
    "compute_exposure_id",
    "compute_group_id",
    "compute_visit_id",
    "format_observation_id",
    "parse_observation_id",
    "unpack_exposure_id",
)

import dataclasses
import datetime
import hashlib
import re

from astropy.time import Time, TimeDelta

SIMULATED_CONTROLLERS = "HPQS"
"""Controllers whose exposures are simulated: H phosim, P and Q simulated
OCS and CCS, S other simulators."""

CONTROLLERS = "OC" + SIMULATED_CONTROLLERS
"""Controller codes in the order of the millennia that they add to the year of
an exposure id: O the observatory (OCS), C the camera (CCS), then simulators.
"""

MAX_SEQ_NUM = 99_999
"""Largest sequence number that five digits of an exposure id can hold."""

MAX_EXPOSURE_ID = 7050_12_31_99999
"""Largest exposure id: the last controller, on the last day of 2050."""

DAY_OBS_OFFSET = TimeDelta(12 * 3600.0, format="sec", scale="tai")
"""Time after midnight at which an observing day of the observatory begins."""

_MILLENNIUM = 1000_00_00
_SHARED_COUNTER_SINCE = {"C": 20231005, "P": 20250418, "Q": 20250418, "S": 20250418}
_OBSERVATION_ID = re.compile(r"([A-Z][A-Z0-9])_([A-Z])_(\d{8})_(\d{1,6})")
_DATED_GROUP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})(?:[+#](\d+))?")
_GROUP_EPOCH = datetime.datetime(2015, 1, 1)

# Reserved sizes of the packed detector-exposure id. These, their order and the
# first day are a published, stable interface of Rubin's dimension packer.
_PACKED_DAYS = 16384
_PACKED_SEQ_NUMS = 32768
_PACKED_DETECTORS = 256
_PACKED_FIRST_DAY = datetime.date(2010, 1, 1)


@dataclasses.dataclass(frozen=True)
class ExposureParts:
    """What an exposure id is made of."""

    day_obs: int
    """Observing day as YYYYMMDD."""
    seq_num: int
    """Number of the exposure within its day, from 0 to `MAX_SEQ_NUM`."""
    controller: str
    """Controller code; ``O`` also for controllers that share its counter."""


@dataclasses.dataclass(frozen=True)
class ObservationIdParts:
    """What an observation id such as ``MC_O_20250415_000060`` is made of."""

    camera: str
    """Camera code: MC (LSSTCam), CC (LSSTComCam), AT (LATISS), or a test
    stand's."""
    controller: str
    """Controller code."""
    day_obs: int
    """Observing day as YYYYMMDD."""
    seq_num: int
    """Number of the exposure within its day."""

    @property
    def exposure_id(self) -> int:
        """Exposure id of this observation (`int`)."""
        return compute_exposure_id(self.day_obs, self.seq_num, self.controller)


def compute_day_obs(date: Time | datetime.datetime, *, offset: TimeDelta = DAY_OBS_OFFSET) -> int:
    """Return the observing day that an instant belongs to.

    Parameters
    ----------
    date
        The instant: a `~astropy.time.Time` of any scale, or an aware
        `~datetime.datetime`.
    offset
        How long after midnight (TAI) an observing day begins: 12 hours at the
        observatory. Cameras in the laboratory used Pacific time.

    Returns
    -------
    day_obs
        Observing day as YYYYMMDD.

    Raises
    ------
    ValueError
        Raised if a `~datetime.datetime` has no time zone.

    Notes
    -----
    An observing day is a calendar day of the time zone UTC-12, so it never
    changes during a night in Chile (LSE-400, SITCOMTN-032). Rubin's software
    counts the twelve hours in TAI, as ``astro_metadata_translator`` and the
    Butler's ``day_obs`` dimension do: a day begins at 12:00:00 TAI, which is
    37 seconds before 12:00:00 UTC (since 2017). Where a header has ``DAYOBS``, that is
    the authority, not this function.
    """
    if isinstance(date, datetime.datetime):
        if date.tzinfo is None:
            raise ValueError(f"The date {date.isoformat()} has no time zone; expected an aware datetime.")
        date = Time(date.astimezone(datetime.UTC).replace(tzinfo=None), scale="utc")
    return int((date.tai - offset).strftime("%Y%m%d"))


def compute_exposure_id(day_obs: int, seq_num: int, controller: str | None = "O") -> int:
    """Return the exposure id: the integer YYYYMMDDnnnnn.

    Parameters
    ----------
    day_obs
        Observing day as YYYYMMDD.
    seq_num
        Number of the exposure within its day, from 0 to `MAX_SEQ_NUM`.
    controller
        Code of the controller that took the exposure, one of `CONTROLLERS`, or
        `None` where controllers do not matter (test stands).

    Returns
    -------
    exposure_id
        Value of the Butler's ``exposure`` dimension.

    Raises
    ------
    ValueError
        Raised if ``day_obs`` is not a date, ``seq_num`` does not fit, or the
        controller is unknown.

    Notes
    -----
    Each controller once had a counter of its own, so the same day and sequence
    number could occur twice; ids stay unique because the n-th controller of
    `CONTROLLERS` adds n millennia to the year. The camera controller (C) has
    shared the observatory's counter since day_obs 20231005, the simulated
    controllers (P, Q, S) since 20250418, and from then on add nothing. H
    (phosim) always adds its 2000 years. The rule is that of obs_lsst, whose
    ids are in every Rubin repository.
    """
    _check_day_obs(day_obs)
    if not 0 <= seq_num <= MAX_SEQ_NUM:
        raise ValueError(f"Sequence number {seq_num} is out of range; expected 0 to {MAX_SEQ_NUM}.")
    millennia = 0
    if controller is not None:
        if len(controller) != 1 or controller not in CONTROLLERS:
            raise ValueError(f"Unknown controller {controller!r}; expected one of {', '.join(CONTROLLERS)}.")
        unified = day_obs >= _SHARED_COUNTER_SINCE.get(controller, 99999999)
        millennia = 0 if unified else CONTROLLERS.index(controller)
    return (day_obs + millennia * _MILLENNIUM) * (MAX_SEQ_NUM + 1) + seq_num


def unpack_exposure_id(exposure_id: int) -> ExposureParts:
    """Take an exposure id apart; the inverse of `compute_exposure_id`.

    Parameters
    ----------
    exposure_id
        Value of the Butler's ``exposure`` dimension.

    Returns
    -------
    parts
        Day, sequence number and controller. A controller that shared the
        observatory's counter on that day comes back as ``O``.

    Raises
    ------
    ValueError
        Raised if the number is not an exposure id.
    """
    day, seq_num = divmod(exposure_id, MAX_SEQ_NUM + 1)
    millennia = day // _MILLENNIUM - 2
    if not 0 <= millennia < len(CONTROLLERS):
        raise ValueError(
            f"{exposure_id} is not an exposure id; expected YYYYMMDDnnnnn, the year from 2000 to "
            f"{2999 + 1000 * (len(CONTROLLERS) - 1)}."
        )
    day_obs = day - millennia * _MILLENNIUM
    _check_day_obs(day_obs)
    return ExposureParts(day_obs, seq_num, CONTROLLERS[millennia])


def compute_group_id(exposure_id: int, group: str | datetime.datetime | None = None) -> str:
    """Return the group that an exposure belongs to.

    Parameters
    ----------
    exposure_id
        Exposure id.
    group
        Value of the ``GROUPID`` keyword, if there is one. Date-like values in
        YAML correction files may arrive as `~datetime.datetime`.

    Returns
    -------
    group
        Value of the Butler's ``group`` dimension: the keyword if there is one,
        otherwise the exposure id as a string (every exposure its own group).
    """
    if isinstance(group, datetime.datetime):
        return group.isoformat(timespec="milliseconds")
    return str(exposure_id) if group is None else group


def compute_visit_id(group: str) -> int:
    """Return the visit id that the exposures of one group share.

    Parameters
    ----------
    group
        Value of the Butler's ``group`` dimension; see `compute_group_id`.

    Returns
    -------
    visit_id
        The ``visit_id`` of an `~astro_metadata_translator.ObservationInfo`.

    Raises
    ------
    ValueError
        Raised if the group is not ASCII text, or has an impossible date.

    Notes
    -----
    A group that is an integer is its own visit id. A dated group, an ISO date
    with milliseconds and optionally ``+n`` or ``#n``, becomes whole seconds since
    2015-01-01, three digits of milliseconds and four digits of n. Any other
    text becomes 56 bits of its BLAKE2b digest followed by its length in two
    digits. The rule is that of obs_lsst. Butler repositories with Rubin's
    "one exposure, one visit" system use the *exposure id* as ``visit``.
    """
    try:
        return int(group)
    except ValueError:
        pass
    if dated := _DATED_GROUP.fullmatch(group):
        whole, milliseconds, number = dated.groups()
        elapsed = datetime.datetime.fromisoformat(whole) - _GROUP_EPOCH
        return int(f"{elapsed.days * 86400 + elapsed.seconds}{milliseconds}{int(number or 0):04d}")
    digest = hashlib.blake2b(group.encode("ascii")).hexdigest()
    return int(f"{int(digest[:14], base=16)}{len(group):02d}")


def parse_observation_id(observation_id: str) -> ObservationIdParts:
    """Take an observation id such as ``MC_O_20250415_000060`` apart.

    Parameters
    ----------
    observation_id
        Value of the ``OBSID`` keyword; file names begin with it.

    Returns
    -------
    parts
        Camera, controller, day and sequence number.

    Raises
    ------
    ValueError
        Raised if the text does not have that form, or its day is no date.
    """
    match = _OBSERVATION_ID.fullmatch(observation_id)
    if match is None:
        raise ValueError(
            f"{observation_id!r} is not an observation id; expected CAMERA_CONTROLLER_YYYYMMDD_NNNNNN, "
            "for example MC_O_20250415_000060."
        )
    camera, controller, day_obs, seq_num = match.groups()
    _check_day_obs(int(day_obs))
    return ObservationIdParts(camera, controller, int(day_obs), int(seq_num))


def format_observation_id(parts: ObservationIdParts) -> str:
    """Return the observation id; the inverse of `parse_observation_id`.

    Parameters
    ----------
    parts
        Camera, controller, day and sequence number.

    Returns
    -------
    observation_id
        Text such as ``MC_O_20250415_000060``.
    """
    return f"{parts.camera}_{parts.controller}_{parts.day_obs}_{parts.seq_num:06d}"


def compute_detector_exposure_id(exposure_id: int, detector: int) -> int:
    """Pack an exposure id and a detector into one integer.

    Parameters
    ----------
    exposure_id
        Exposure id.
    detector
        Detector id, from 0 to 255.

    Returns
    -------
    detector_exposure_id
        The packed id. It is what Rubin's dimension packer (obs_lsst,
        ``RubinDimensionPacker``, all controllers enabled) gives.

    Raises
    ------
    ValueError
        Raised if a part does not fit in its share of the bits.
    """
    parts = unpack_exposure_id(exposure_id)
    days = (_as_date(parts.day_obs) - _PACKED_FIRST_DAY).days
    for name, value, size in (
        ("day number since 2010-01-01", days, _PACKED_DAYS),
        ("sequence number", parts.seq_num, _PACKED_SEQ_NUMS),
        ("detector", detector, _PACKED_DETECTORS),
    ):
        if not 0 <= value < size:
            raise ValueError(
                f"Exposure {exposure_id}, detector {detector} cannot be packed: the {name} is {value}, "
                f"expected 0 to {size - 1}."
            )
    packed = CONTROLLERS.index(parts.controller)
    packed = packed * _PACKED_DAYS + days
    packed = packed * _PACKED_SEQ_NUMS + parts.seq_num
    return packed * _PACKED_DETECTORS + detector


def _as_date(day_obs: int) -> datetime.date:
    year_month, day = divmod(day_obs, 100)
    year, month = divmod(year_month, 100)
    return datetime.date(year, month, day)


def _check_day_obs(day_obs: int) -> None:
    try:
        date = _as_date(day_obs)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"day_obs {day_obs} is not a date; expected YYYYMMDD.") from error
    if not 2000 <= date.year < 3000:
        raise ValueError(f"day_obs {day_obs} is out of range; expected a year from 2000 to 2999.")
