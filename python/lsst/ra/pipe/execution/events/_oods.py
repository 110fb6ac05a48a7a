# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Messages of the Observatory Operations Data Service (OODS).

Its ``imageInOODS`` event says that it has ingested one detector's image, or
could not.  The fields are those of the event's SAL definition, as JSON.
"""

from __future__ import annotations

__all__ = ("read_oods",)

import datetime
import re
from typing import Any

import pydantic
from astropy.time import Time

from ._models import ImageAnnounced
from ._names import DETECTOR_NAME, OBS_ID
from ._rejection import EventRejected, RejectionCode, describe_errors, quote

_LATEST = 4e9
"""Time stamp (s) that is certainly wrong: in the year 2096."""


class _ImageInOods(pydantic.BaseModel, extra="ignore", strict=True):
    """The fields that are used; SAL adds some of its own to each event."""

    camera: str = pydantic.Field(min_length=1)
    obsid: str
    raft: str = ""
    sensor: str = ""
    statusCode: int
    description: str = ""
    private_efdStamp: float = pydantic.Field(default=0.0, ge=0, lt=_LATEST)
    private_sndStamp: float = pydantic.Field(default=0.0, ge=0, lt=_LATEST)

    def announced(self) -> datetime.datetime:
        """When the event was sent (stamps in UTC and TAI seconds), or now."""
        if self.private_efdStamp:
            return datetime.datetime.fromtimestamp(self.private_efdStamp, datetime.UTC)
        if self.private_sndStamp:
            time = Time(self.private_sndStamp, format="unix_tai")
            sent: datetime.datetime = time.utc.to_datetime(datetime.UTC)
            return sent
        return datetime.datetime.now(datetime.UTC)


def read_oods(content: dict[str, Any]) -> ImageAnnounced:
    """Read an ``imageInOODS`` event.

    Parameters
    ----------
    content
        The event's fields.

    Returns
    -------
    event
        The image, as OODS names it.

    Raises
    ------
    EventRejected
        Raised if a field is missing or wrong, or OODS failed to ingest.
    """
    try:
        message = _ImageInOods.model_validate(content)
    except pydantic.ValidationError as error:
        reason = f"OODS imageInOODS: {describe_errors(error.errors())}"
        raise EventRejected(RejectionCode.MALFORMED, reason) from None
    name = f"{message.raft}_{message.sensor}"
    image = f"{quote(message.camera)} {quote(message.obsid)} {quote(name)}"
    if message.statusCode != 0:
        reason = (
            f"OODS could not ingest {image}: status {message.statusCode}, {quote(message.description)}; "
            "expected status 0"
        )
        raise EventRejected(RejectionCode.INGEST_FAILED, reason)
    if not re.fullmatch(OBS_ID, message.obsid) or not re.fullmatch(DETECTOR_NAME, name):
        reason = (
            "OODS imageInOODS: expected an obsid like 'MC_O_20260322_000005', a raft like 'R22' "
            f"and a sensor like 'S11', got {image}"
        )
        raise EventRejected(RejectionCode.MALFORMED, reason)
    return ImageAnnounced(
        instrument=message.camera,
        obs_id=message.obsid,
        detector_name=name,
        announced=message.announced(),
    )
