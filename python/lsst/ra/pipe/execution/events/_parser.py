# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("EventParser",)

from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args

import pydantic
import pydantic_core

from ._bucket import read_bucket_record
from ._models import Event, FileArrived, ImageAnnounced, ImageIngested
from ._oods import read_oods
from ._rejection import EventRejected, RejectionCode, describe_errors, listing, quote
from ._webhook import read_webhook

_MODELS: Mapping[str, type[ImageIngested | FileArrived | ImageAnnounced]] = {
    model.model_fields["type"].default: model for model in get_args(get_args(Event)[0])
}

_MOST_RECORDS = 10_000
"""Records that one body may hold; a visit has 205 detectors."""


class EventParser:
    """Reads events from the bytes that a source delivers.

    Parameters
    ----------
    instruments
        Butler instruments that this service processes.
    max_bytes
        Size that a body may have.
    s3_secret
        What ``opaqueData`` of a bucket notification must be, if anything.
    s3_profile
        Name of the S3 endpoint, which the URIs get before the bucket
        (``s3://profile@bucket/key``).
    file_root
        URI below which the files of the auto-ingest webhook lie, as
        ``INSTRUMENT/DAYOBS/OBSID/FILE``.  By default the webhook's images are
        taken for ingested.

    Raises
    ------
    ValueError
        Raised if there is no instrument, or no byte is allowed.

    Notes
    -----
    The format is told by the content: ``type`` (this package's own events),
    ``Records`` (bucket notification), ``exp_id`` or ``filenames``
    (auto-ingest webhook), ``obsid`` (OODS).
    """

    def __init__(
        self,
        *,
        instruments: Collection[str],
        max_bytes: int = 262_144,
        s3_secret: str | None = None,
        s3_profile: str | None = None,
        file_root: str | None = None,
    ) -> None:
        if not instruments or isinstance(instruments, str):
            raise ValueError(f"instruments: expected a list with at least one name, got {instruments!r}")
        if max_bytes <= 0:
            raise ValueError(f"max_bytes: expected a positive number, got {max_bytes}")
        if s3_secret == "":
            raise ValueError("s3_secret: expected a secret or none at all, got an empty one")
        self._instruments = frozenset(instruments)
        self._max_bytes = max_bytes
        self._s3_secret = s3_secret
        self._s3_profile = s3_profile
        self._file_root = file_root

    def parse(self, body: bytes) -> list[Event | EventRejected]:
        """Read a body, which may hold several events.

        Parameters
        ----------
        body
            JSON, as it came from outside.

        Returns
        -------
        events
            The events in their order, each or the reason why it was refused.
            A body that cannot be read at all gives one reason.  Never empty.
        """
        try:
            content = self._read_json(body)
            events = list(self._read_content(content, body))
        except EventRejected as rejected:
            return [rejected]
        return [self._check_instrument(event) for event in events]

    def _read_json(self, body: bytes) -> dict[str, Any]:
        """Read the body as a JSON object."""
        if len(body) > self._max_bytes:
            reason = f"expected at most {self._max_bytes} bytes, got {len(body)}"
            raise EventRejected(RejectionCode.OVERSIZED, reason)
        if body[:1] == b"\0":
            reason = "expected JSON, got what looks like Avro with a schema registry's prefix"
            raise EventRejected(RejectionCode.MALFORMED, reason)
        try:
            content = pydantic_core.from_json(body)
        except ValueError as error:
            reason = f"expected JSON, got {quote(bytes(body[:60]))}: {error}"
            raise EventRejected(RejectionCode.MALFORMED, reason) from None
        if not isinstance(content, dict):
            reason = f"expected a JSON object, got {quote(content)}"
            raise EventRejected(RejectionCode.MALFORMED, reason)
        return content

    def _read_content(self, content: dict[str, Any], body: bytes) -> Iterator[Event | EventRejected]:
        """Read the events, by the format that the fields show."""
        if "type" in content:
            yield _read_canonical(content, body)
        elif "Records" in content:
            yield from self._read_records(content["Records"])
        elif "exp_id" in content or "filenames" in content:
            yield from read_webhook(content, file_root=self._file_root)
        elif "obsid" in content:
            yield read_oods(content)
        else:
            reason = (
                "expected an event with type, a bucket notification with Records, an auto-ingest webhook "
                f"with exp_id and filenames or an OODS message with obsid; got fields {quote(list(content))}"
            )
            raise EventRejected(RejectionCode.UNKNOWN_TYPE, reason)

    def _read_records(self, records: object) -> Iterator[FileArrived | EventRejected]:
        """Read a bucket notification, each record on its own."""
        if not isinstance(records, list) or not 0 < len(records) <= _MOST_RECORDS:
            reason = (
                f"bucket notification: Records: expected a list of 1 to {_MOST_RECORDS}, got {quote(records)}"
            )
            raise EventRejected(RejectionCode.MALFORMED, reason)
        for record in records:
            try:
                event = read_bucket_record(record, secret=self._s3_secret, profile=self._s3_profile)
            except EventRejected as rejected:
                yield rejected  # and read the others
            else:
                yield event

    def _check_instrument(self, event: Event | EventRejected) -> Event | EventRejected:
        """Refuse an event about an instrument that is not ours."""
        if isinstance(event, EventRejected) or event.instrument is None:
            return event
        if event.instrument in self._instruments:
            return event
        expected = listing(list(self._instruments))
        reason = f"{event.type}: instrument: expected {expected}, got {quote(event.instrument)}"
        return EventRejected(RejectionCode.WRONG_INSTRUMENT, reason)


def _read_canonical(content: dict[str, Any], body: bytes) -> Event:
    """Read one of this package's own events."""
    kind, version = content["type"], content.get("version")
    model = _MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        reason = f"type: expected {listing(list(_MODELS))}, got {quote(kind)}"
        raise EventRejected(RejectionCode.UNKNOWN_TYPE, reason)
    expected = model.model_fields["version"].default
    # True equals 1, and is none.
    if type(version) is not int or version != expected:
        reason = f"{kind}: version: expected {expected}, got {quote(version)}"
        raise EventRejected(RejectionCode.UNKNOWN_VERSION, reason)
    try:
        return model.model_validate_json(body, strict=True)
    except pydantic.ValidationError as error:
        reason = f"{kind}: {describe_errors(error.errors())}"
        raise EventRejected(RejectionCode.MALFORMED, reason) from None
