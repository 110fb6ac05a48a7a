# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("EventRejected", "RejectionCode")

import enum
from collections.abc import Collection, Sequence
from typing import Any

_SHOWN = 120
"""Characters of a foreign value that a message quotes at most."""


class RejectionCode(enum.StrEnum):
    """Why an event was refused."""

    MALFORMED = "malformed"
    """It cannot be read, or a field is missing or makes no sense."""

    OVERSIZED = "oversized"
    """It has more bytes than an event may have."""

    UNKNOWN_VERSION = "unknown-version"
    """The type is known, the version is not."""

    UNKNOWN_TYPE = "unknown-type"
    """It is well formed, but none of the formats that are read here."""

    NOT_RAW = "not-raw"
    """It is about a file that is no raw image, as every sidecar is; nothing
    is wrong with that."""

    WRONG_INSTRUMENT = "wrong-instrument"
    """It is about an instrument that this service does not process."""

    UNAUTHORIZED = "unauthorized"
    """The sender's secret is missing or wrong."""

    INGEST_FAILED = "ingest-failed"
    """The sender says that the image did not get into the Butler."""

    UNKNOWN_IMAGE = "unknown-image"
    """The Butler knows no such exposure or detector."""

    REPLAYED = "replayed"
    """The same event was accepted before."""


class EventRejected(ValueError):  # noqa: N818, no error of this program
    """An event was refused; nothing is done about it.

    Parameters
    ----------
    code
        Kind of the reason.
    message
        Sentence for people: what was expected, and what came.
    """

    def __init__(self, code: RejectionCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def quote(value: object) -> str:
    """Show a foreign value in a message: on one line, and not too long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def listing(names: Sequence[str]) -> str:
    """Name the choices there are, for a message."""
    return ", ".join(sorted(names))


def describe_errors(errors: Sequence[Any], *, secret: Collection[str] = ()) -> str:
    """Put the errors of a pydantic validation into one line.

    Each names the field, what was expected, and what came, the latter not if
    the field is secret.
    """
    parts = []
    for error in errors:
        field = ".".join(str(part) for part in error["loc"]) or "body"
        came = "" if error["type"] == "missing" or field in secret else f", got {quote(error['input'])}"
        parts.append(f"{field}: {error['msg']}{came}")
    return "; ".join(parts)
