# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""How the observatory names exposures, detectors and raw files."""

from __future__ import annotations

__all__ = ("DETECTOR_NAME", "OBS_ID", "RAW_NAME", "instrument_of", "raw_key")

import re

OBS_ID = r"[A-Z0-9]{2}_[A-Z]_[0-9]{8}_[0-9]{6}"
"""Camera code, controller, observing day, sequence number."""

DETECTOR_NAME = r"R[0-9]{2}_S[0-9GW][0-9]"
"""Raft and sensor; ``G`` is a guider, ``W`` half a wavefront sensor."""

RAW_NAME = re.compile(rf"(?P<obs_id>{OBS_ID})_(?P<detector_name>{DETECTOR_NAME})\.fits(?:\.fz)?")
"""Name of a raw file, without its directory."""

_INSTRUMENTS = {"AT": "LATISS", "CC": "LSSTComCam", "MC": "LSSTCam"}
"""Butler instrument by the camera code of an observation ID."""


def instrument_of(obs_id: str) -> str | None:
    """Give the Butler instrument of an observation ID, if its code is known."""
    return _INSTRUMENTS.get(obs_id[:2])


def raw_key(instrument: str, file_name: str) -> str:
    """Give the place of a raw file below the root of the raw files."""
    obs_id = file_name[: len("MC_O_20260322_000005")]
    day_obs = obs_id.split("_")[2]
    return f"{instrument}/{day_obs}/{obs_id}/{file_name}"
