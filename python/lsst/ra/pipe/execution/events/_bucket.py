# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Bucket notifications of S3 and of Ceph's object gateway."""

from __future__ import annotations

__all__ = ("read_bucket_record",)

import datetime
import hmac
import re
import urllib.parse
from typing import Any

import pydantic

from ._models import FileArrived
from ._names import RAW_NAME
from ._rejection import EventRejected, RejectionCode, describe_errors, quote

_KEY = re.compile(r"(?P<instrument>[\w-]+)/(?P<day_obs>[0-9]{8})/(?P<obs_id>\w+)/(?P<name>[^/]+)")
_LAYOUT = "INSTRUMENT/DAYOBS/OBSID/OBSID_Rrr_Sss.fits"
_INSTRUMENTS = {"ComCam": "LSSTComCam", "TS8": "LSST-TS8"}
"""Butler instrument by the prefix of a key, where they differ."""


class _Bucket(pydantic.BaseModel, extra="ignore"):
    name: str = pydantic.Field(min_length=1)


class _Object(pydantic.BaseModel, extra="ignore"):
    key: str = pydantic.Field(min_length=1)


class _S3(pydantic.BaseModel, extra="ignore"):
    bucket: _Bucket
    object: _Object


class _Record(pydantic.BaseModel, extra="ignore"):
    """The fields that are used, of many."""

    eventName: str
    s3: _S3
    eventTime: str = ""
    opaqueData: str = ""

    def time(self) -> datetime.datetime:
        """When the object was written; now, if the record does not say so."""
        try:
            time = datetime.datetime.fromisoformat(self.eventTime)
        except ValueError:  # Ceph gives 0.000000 to what was uploaded in parts.
            return datetime.datetime.now(datetime.UTC)
        return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def read_bucket_record(content: Any, *, secret: str | None, profile: str | None = None) -> FileArrived:
    """Read one of the ``Records`` of a notification.

    Parameters
    ----------
    content
        The record.
    secret
        What ``opaqueData`` must be, or `None` if it does not matter.
    profile
        Name of the S3 endpoint, which the URI gets before the bucket.

    Returns
    -------
    event
        The file.

    Raises
    ------
    EventRejected
        Raised if a field is missing or wrong, the secret is, or the object is
        not a new raw file.
    """
    try:
        record = _Record.model_validate(content)
    except pydantic.ValidationError as error:
        reason = f"bucket notification: {describe_errors(error.errors(), secret=['opaqueData'])}"
        raise EventRejected(RejectionCode.MALFORMED, reason) from None
    if secret is not None and not hmac.compare_digest(record.opaqueData.encode(), secret.encode()):
        came = "another" if record.opaqueData else "none"
        reason = f"bucket notification: opaqueData: expected the secret of this service, got {came}"
        raise EventRejected(RejectionCode.UNAUTHORIZED, reason)
    if not record.eventName.removeprefix("s3:").startswith("ObjectCreated:"):
        reason = f"bucket notification: eventName: expected ObjectCreated:*, got {quote(record.eventName)}"
        raise EventRejected(RejectionCode.NOT_RAW, reason)
    key = urllib.parse.unquote_plus(record.s3.object.key)
    bucket = f"{profile}@{record.s3.bucket.name}" if profile else record.s3.bucket.name
    return FileArrived(uri=f"s3://{bucket}/{key}", arrived=record.time(), instrument=_find_instrument(key))


def _find_instrument(key: str) -> str:
    """Check that a key is a raw file's, and tell the instrument."""
    place = _KEY.fullmatch(key)
    name = place and RAW_NAME.fullmatch(place["name"])
    if not place or not name or place["obs_id"] != name["obs_id"]:
        reason = f"bucket notification: s3.object.key: expected {_LAYOUT}, got {quote(key)}"
        raise EventRejected(RejectionCode.NOT_RAW, reason)
    return _INSTRUMENTS.get(place["instrument"], place["instrument"])
