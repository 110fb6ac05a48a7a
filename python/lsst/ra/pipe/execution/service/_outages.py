# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("OUTAGES",)

import redis
import sqlalchemy.exc

from ._emitter import EmitError

OUTAGES = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    redis.ConnectionError,
    redis.TimeoutError,
    # Of a datastore, whatever its server is.
    ConnectionError,
    EmitError,
)
"""What says that a server does not answer, and nothing about the image."""
