# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The webhook that auto-ingest calls when it has ingested raw files."""

from __future__ import annotations

__all__ = ("read_webhook",)

import datetime
from typing import Any

from ._models import FileArrived, ImageAnnounced
from ._names import RAW_NAME, instrument_of, raw_key
from ._rejection import EventRejected, RejectionCode, quote


def read_webhook(
    content: dict[str, Any], *, file_root: str | None
) -> list[FileArrived | ImageAnnounced | EventRejected]:
    """Read the body of the webhook: ``exp_id`` and ``filenames``.

    Parameters
    ----------
    content
        The body.
    file_root
        URI of the directory with the directories of the instruments, if this
        service is to ingest the files into a repository of its own.  With
        `None` they are in the repository, as auto-ingest says.

    Returns
    -------
    events
        One for each file, in their order.

    Raises
    ------
    EventRejected
        Raised if the body has not the two fields.
    """
    obs_id, names = content.get("exp_id"), content.get("filenames")
    if not isinstance(obs_id, str) or not isinstance(names, list) or not names:
        reason = (
            "auto-ingest webhook: expected exp_id, a string, and filenames, a list of file names; "
            f"got {quote(obs_id)} and {quote(names)}"
        )
        raise EventRejected(RejectionCode.MALFORMED, reason)
    now = datetime.datetime.now(datetime.UTC)
    return [_read_name(obs_id, name, file_root, now) for name in names]


def _read_name(
    obs_id: str, name: object, file_root: str | None, now: datetime.datetime
) -> FileArrived | ImageAnnounced | EventRejected:
    """Read one of the file names."""
    parts = RAW_NAME.fullmatch(name) if isinstance(name, str) else None
    if parts is None or parts["obs_id"] != obs_id:
        reason = f"auto-ingest webhook: filenames: expected {quote(obs_id)}_Rrr_Sss.fits, got {quote(name)}"
        return EventRejected(RejectionCode.NOT_RAW, reason)
    instrument = instrument_of(obs_id)
    if instrument is None:
        reason = f"auto-ingest webhook: exp_id: expected to begin with AT, CC or MC, got {quote(obs_id)}"
        return EventRejected(RejectionCode.WRONG_INSTRUMENT, reason)
    if file_root is None:
        detector_name = parts["detector_name"]
        return ImageAnnounced(
            instrument=instrument, obs_id=obs_id, detector_name=detector_name, announced=now
        )
    uri = f"{file_root.rstrip('/')}/{raw_key(instrument, parts.string)}"
    return FileArrived(uri=uri, arrived=now, instrument=instrument)
