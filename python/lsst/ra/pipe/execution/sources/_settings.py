# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("SourceSettings",)

import re

import pydantic


class SourceSettings(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Settings of the sources; each uses those that concern it."""

    batch_size: int = pydantic.Field(default=500, ge=1, le=100_000)
    """Deliveries that are handled at once, at most."""

    max_body_bytes: int = pydantic.Field(default=262_144, ge=1)
    """Bytes of an HTTP request's body that are read, at most.  Of a longer one
    the beginning is handled, with one byte too many."""

    kafka_options: dict[str, str] = pydantic.Field(default={}, repr=False)
    """Options of librdkafka, such as ``security.protocol``, ``sasl.password``
    or ``ssl.ca.location``."""

    http_token: pydantic.SecretStr | None = None
    """What ``Authorization: Bearer`` of an HTTP request must give; nothing is
    asked for by default."""

    file_pattern: re.Pattern[str] = re.compile(r"\.fits(\.fz)?$")
    """What is searched for in the name of a file, without its directory."""

    quiet_seconds: float = pydantic.Field(default=0.05, ge=0)
    """Time (s) that a file which looks complete must not have been written
    to."""

    settle_seconds: float = pydantic.Field(default=10.0, ge=0)
    """Time (s) without change after which a file that looks incomplete is
    delivered all the same."""
