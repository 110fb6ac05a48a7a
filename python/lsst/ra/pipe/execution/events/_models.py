# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Event", "FileArrived", "ImageAnnounced", "ImageIngested")

from typing import Annotated, Literal

import pydantic

from ._names import DETECTOR_NAME, OBS_ID

_INT32 = 2**31
_INT64 = 2**63


class _BaseEvent(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What all events have in common."""


class ImageIngested(
    _BaseEvent,
    json_schema_extra={
        "examples": [
            {
                "type": "image-ingested",
                "version": 1,
                "instrument": "LSSTCam",
                "exposure": 2026032200005,
                "detector": 94,
                "ingested": "2026-03-23T03:14:15.926Z",
            }
        ]
    },
):
    """The raw image of one detector of one exposure is in the Butler."""

    type: Literal["image-ingested"] = "image-ingested"
    """Tells the events apart."""

    version: Literal[1] = 1
    """Version of this event's fields."""

    instrument: str = pydantic.Field(min_length=1)
    """Butler ``instrument`` dimension value."""

    exposure: int = pydantic.Field(ge=0, lt=_INT64)
    """Butler ``exposure`` dimension value."""

    detector: int = pydantic.Field(ge=0, lt=_INT32)
    """Butler ``detector`` dimension value."""

    ingested: pydantic.AwareDatetime
    """When the image came into the Butler."""


class FileArrived(
    _BaseEvent,
    json_schema_extra={
        "examples": [
            {
                "type": "file-arrived",
                "version": 1,
                "uri": "s3://rubin-raw/LSSTCam/20260322/MC_O_20260322_000005/MC_O_20260322_000005_R22_S11.fits",
                "arrived": "2026-03-23T03:14:15.926Z",
                "instrument": "LSSTCam",
            }
        ]
    },
):
    """The raw file of one detector is complete, and not yet in the Butler."""

    type: Literal["file-arrived"] = "file-arrived"
    """Tells the events apart."""

    version: Literal[1] = 1
    """Version of this event's fields."""

    uri: str = pydantic.Field(min_length=1)
    """Where the file is, as `lsst.resources.ResourcePath` takes it."""

    arrived: pydantic.AwareDatetime
    """When the file was complete."""

    instrument: str | None = pydantic.Field(default=None, min_length=1)
    """Butler ``instrument`` dimension value, if the sender knows it."""


class ImageAnnounced(
    _BaseEvent,
    json_schema_extra={
        "examples": [
            {
                "type": "image-announced",
                "version": 1,
                "instrument": "LSSTCam",
                "obs_id": "MC_O_20260322_000005",
                "detector_name": "R22_S11",
                "announced": "2026-03-23T03:14:15.926Z",
            }
        ]
    },
):
    """The raw image of one detector is in the Butler, which knows its numbers.

    The observatory's data service names an exposure by its observation ID and
    a detector by raft and sensor; the Butler gives the dimension values.
    """

    type: Literal["image-announced"] = "image-announced"
    """Tells the events apart."""

    version: Literal[1] = 1
    """Version of this event's fields."""

    instrument: str = pydantic.Field(min_length=1)
    """Butler ``instrument`` dimension value."""

    obs_id: str = pydantic.Field(pattern=f"^{OBS_ID}$")
    """Field ``obs_id`` of the Butler's ``exposure`` record, for example
    ``MC_O_20260322_000005``."""

    detector_name: str = pydantic.Field(pattern=f"^{DETECTOR_NAME}$")
    """Field ``full_name`` of the Butler's ``detector`` record, for example
    ``R22_S11``."""

    announced: pydantic.AwareDatetime
    """When the sender said so."""


Event = Annotated[ImageIngested | FileArrived | ImageAnnounced, pydantic.Field(discriminator="type")]
"""Any of the events, told apart by ``type``."""
