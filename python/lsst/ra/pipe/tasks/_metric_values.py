# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Plain values of metrics."""

from __future__ import annotations

__all__ = ("as_metric", "exposure_facts")

import math
from collections.abc import Mapping
from typing import Any

import astropy.units as u
from astro_metadata_translator import ObservationInfo

_UNKNOWN: Mapping[type, float | int | str] = {float: math.nan, int: -1, str: ""}


def exposure_facts(obs_info: ObservationInfo) -> dict[str, float | int | str | None]:
    """Take the facts that are metrics from an observation's description.

    Parameters
    ----------
    obs_info
        What the header says about the observation.

    Returns
    -------
    facts
        By the names of the metrics; `None` where the header does not say.
    """
    radec = obs_info.tracking_radec.icrs if obs_info.tracking_radec is not None else None
    altaz = obs_info.altaz_begin
    rotation = obs_info.boresight_rotation_angle
    begin = obs_info.datetime_begin
    time, dark_time = obs_info.exposure_time, obs_info.dark_time
    return {
        "exposure": obs_info.exposure_id,
        "day_obs": obs_info.observing_day,
        "seq_num": obs_info.observation_counter,
        "physical_filter": obs_info.physical_filter,
        "observation_type": obs_info.observation_type,
        "observation_reason": obs_info.observation_reason,
        "science_program": obs_info.science_program,
        "target": obs_info.object,
        "exposure_time_second": time.to_value(u.s) if time is not None else None,
        "dark_time_second": dark_time.to_value(u.s) if dark_time is not None else None,
        "begin_mjd_tai": begin.tai.mjd if begin is not None else None,
        "airmass": obs_info.boresight_airmass,
        "altitude_degree": altaz.alt.deg if altaz is not None else None,
        "azimuth_degree": altaz.az.deg if altaz is not None else None,
        "boresight_ra_degree": radec.ra.deg if radec is not None else None,
        "boresight_dec_degree": radec.dec.deg if radec is not None else None,
        "rotation_degree": rotation.deg if rotation is not None else None,
    }


def as_metric(name: str, value: Any, kind: type[float] | type[int] | type[str]) -> float | int | str:
    """Convert a metric to its plain type.

    Parameters
    ----------
    name
        Name of the metric.
    value
        Its value; `None` if it is not known.
    kind
        The type.

    Returns
    -------
    converted
        The value; NaN, -1 or an empty string if it is not known.

    Raises
    ------
    ValueError
        Raised if the value does not convert.
    """
    if value is None:
        return _UNKNOWN[kind]
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The metric {name} should be {kind.__name__}; found {value!r}.") from error
