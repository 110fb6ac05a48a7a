# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("RawMetadataError", "make_day_obs_record", "make_exposure_record", "make_group_record")

from typing import Any

from astro_metadata_translator import ObservationInfo

from lsst.daf.butler import DimensionRecord, DimensionUniverse, Timespan

REQUIRED = (
    "instrument",
    "exposure_id",
    "observation_id",
    "observing_day",
    "observation_counter",
    "exposure_group",
    "physical_filter",
    "datetime_begin",
    "datetime_end",
    "exposure_time_requested",
    "observation_type",
)
"""Properties without which an exposure cannot be registered."""


class RawMetadataError(ValueError):
    """The metadata of a raw file do not suffice to register its exposure."""


def make_exposure_record(obs_info: ObservationInfo, universe: DimensionUniverse) -> DimensionRecord:
    """Make the ``exposure`` dimension record of an observation.

    Parameters
    ----------
    obs_info
        Translated header of any detector of the exposure.
    universe
        Dimensions of the repository.

    Returns
    -------
    record
        The record, not yet in any registry.

    Raises
    ------
    RawMetadataError
        Raised if a property that every exposure needs is missing.

    Notes
    -----
    The fields have the meaning that Rubin's own ingest gives them: angles in
    degrees, times in seconds, the exposure time the requested one.  An end
    before the begin (a known fault of some real headers) becomes the begin.
    """
    missing = [name for name in REQUIRED if getattr(obs_info, name) is None]
    if missing:
        raise RawMetadataError(f"No value for {', '.join(missing)} in the translated header.")
    begin: Any = obs_info.datetime_begin
    end: Any = obs_info.datetime_end
    exposure_time: Any = obs_info.exposure_time_requested
    optional: dict[str, Any] = dict.fromkeys(
        ("tracking_ra", "tracking_dec", "sky_angle", "azimuth", "zenith_angle", "dark_time")
    )
    if obs_info.tracking_radec is not None:
        pointing = obs_info.tracking_radec.icrs
        optional["tracking_ra"] = float(pointing.ra.deg)
        optional["tracking_dec"] = float(pointing.dec.deg)
        if obs_info.boresight_rotation_coord == "sky" and obs_info.boresight_rotation_angle is not None:
            optional["sky_angle"] = float(obs_info.boresight_rotation_angle.deg)
    if obs_info.altaz_begin is not None:
        optional["azimuth"] = float(obs_info.altaz_begin.az.deg)
        optional["zenith_angle"] = float(obs_info.altaz_begin.zen.deg)
    if obs_info.dark_time is not None:
        optional["dark_time"] = float(obs_info.dark_time.to_value("s"))
    record: DimensionRecord = universe["exposure"].RecordClass(
        instrument=obs_info.instrument,
        id=obs_info.exposure_id,
        obs_id=obs_info.observation_id,
        day_obs=obs_info.observing_day,
        seq_num=obs_info.observation_counter,
        seq_start=obs_info.group_counter_start,
        seq_end=obs_info.group_counter_end,
        group=obs_info.exposure_group,
        physical_filter=obs_info.physical_filter,
        exposure_time=float(exposure_time.to_value("s")),
        observation_type=obs_info.observation_type,
        observation_reason=obs_info.observation_reason,
        science_program=obs_info.science_program,
        target_name=obs_info.object,
        has_simulated=obs_info.has_simulated_content,
        can_see_sky=obs_info.can_see_sky,
        timespan=Timespan(begin, max(begin, end)),
        **optional,
    )
    return record


def make_day_obs_record(obs_info: ObservationInfo, universe: DimensionUniverse) -> DimensionRecord:
    """Make the ``day_obs`` dimension record of an observation.

    Parameters
    ----------
    obs_info
        Translated header, with ``observing_day`` (YYYYMMDD) and its offset.
    universe
        Dimensions of the repository.

    Returns
    -------
    record
        The record, not yet in any registry.
    """
    timespan = None
    if obs_info.observing_day is not None and obs_info.observing_day_offset is not None:
        offset = round(obs_info.observing_day_offset.to_value("s"))
        timespan = Timespan.from_day_obs(obs_info.observing_day, offset)
    record: DimensionRecord = universe["day_obs"].RecordClass(
        instrument=obs_info.instrument, id=obs_info.observing_day, timespan=timespan
    )
    return record


def make_group_record(obs_info: ObservationInfo, universe: DimensionUniverse) -> DimensionRecord:
    """Make the ``group`` dimension record of an observation.

    Parameters
    ----------
    obs_info
        Translated header.
    universe
        Dimensions of the repository.

    Returns
    -------
    record
        The record, not yet in any registry.
    """
    record: DimensionRecord = universe["group"].RecordClass(
        instrument=obs_info.instrument, name=obs_info.exposure_group
    )
    return record
