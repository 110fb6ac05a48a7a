# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("exposure_row",)

from typing import Any

import astropy.units as u
from astro_metadata_translator import ObservationInfo
from astropy.coordinates import AltAz, CartesianRepresentation
from astropy.time import Time

from lsst.daf.butler import DimensionRecord


def exposure_row(
    record: DimensionRecord, *, band: str | None, obs_info: ObservationInfo | None
) -> dict[str, Any]:
    """Collect the facts of an exposure under the names of ConsDB's columns.

    Parameters
    ----------
    record
        The Butler's record of the exposure.
    band
        Short name of the passband.
    obs_info
        What a raw's header says, if there is a raw.

    Returns
    -------
    row
        Columns of the table ``exposure``; what is not known is `None` or
        not there.  The units are those of the schema: degrees, seconds,
        degrees Celsius, Pa.

    Notes
    -----
    At the observatory the table is filled from the header service, with more.
    """
    row = {"band": band or None, **_from_record(record)}
    if obs_info is not None:
        more = {**_from_description(obs_info), **_from_positions(obs_info), **_from_times(obs_info)}
        row.update({name: value for name, value in more.items() if value is not None})
    return row


def _from_record(record: DimensionRecord) -> dict[str, Any]:
    zenith = record.zenith_angle
    return {
        "exposure_id": record.id,
        "exposure_name": record.obs_id,
        "controller": _controller(record.obs_id),
        "day_obs": record.day_obs,
        "seq_num": record.seq_num,
        "physical_filter": record.physical_filter,
        "s_ra": record.tracking_ra,
        "s_dec": record.tracking_dec,
        "sky_rotation": record.sky_angle,
        "zenith_distance_start": zenith,
        "altitude_start": None if zenith is None else 90.0 - zenith,
        "azimuth_start": record.azimuth,
        "shut_time": record.exposure_time,
        "dark_time": record.dark_time,
        "group_id": record.group,
        "cur_index": record.seq_num - record.seq_start + 1 if record.seq_start is not None else None,
        "img_type": record.observation_type,
        "emulated": record.has_simulated,
        "science_program": record.science_program or None,
        "observation_reason": record.observation_reason or None,
        "target_name": record.target_name or None,
        "can_see_sky": record.can_see_sky,
        **_times(record.timespan.begin, record.timespan.end),
    }


def _controller(obs_id: str) -> str:
    """Take the controller out of an observation's name, as in MC_O_..."""
    parts = obs_id.split("_")
    return parts[1] if len(parts) > 1 and len(parts[1]) == 1 else "O"


def _from_description(info: ObservationInfo) -> dict[str, Any]:
    start, end = info.group_counter_start, info.group_counter_end
    return {
        "airmass": info.boresight_airmass,
        "exp_time": _to(info.exposure_time_requested, u.s),
        "max_index": end - start + 1 if start is not None and end is not None else None,
        "air_temp": (
            None if info.temperature is None else float(info.temperature.to_value(u.deg_C, u.temperature()))
        ),
        "pressure": _to(info.pressure, u.Pa),
        "humidity": info.relative_humidity,
        # The schema gives no unit; the headers have mm.
        "focus_z": _to(info.focus_z, u.mm),
    }


def _from_positions(info: ObservationInfo) -> dict[str, Any]:
    row: dict[str, Any] = {}
    middle = _midpoint(info.altaz_begin, info.altaz_end)
    for suffix, altaz in (("_start", info.altaz_begin), ("_end", info.altaz_end), ("", middle)):
        if altaz is not None:
            row[f"azimuth{suffix}"] = float(altaz.az.deg)
            row[f"altitude{suffix}"] = float(altaz.alt.deg)
            row[f"zenith_distance{suffix}"] = float(altaz.zen.deg)
    return row


def _midpoint(begin: AltAz | None, end: AltAz | None) -> AltAz | None:
    if begin is None or end is None:
        return None
    middle = begin.represent_as(CartesianRepresentation) + end.represent_as(CartesianRepresentation)
    return AltAz(middle / middle.norm())


def _from_times(info: ObservationInfo) -> dict[str, Any]:
    return _times(info.datetime_begin, info.datetime_end)


def _times(begin: Time | None, end: Time | None) -> dict[str, Any]:
    if begin is None or end is None:
        return {}
    row: dict[str, Any] = {}
    middle = begin + (end - begin) / 2
    for name, time in (("obs_start", begin), ("obs_end", end), ("exp_midpt", middle)):
        row[name] = time.tai.to_datetime()
        row[f"{name}_mjd"] = float(time.tai.mjd)
    return row


def _to(quantity: u.Quantity | None, unit: u.UnitBase) -> float | None:
    return None if quantity is None else float(quantity.to_value(unit))
