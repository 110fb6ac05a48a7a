# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ConsDbError", "ConsDbUnavailableError")


class ConsDbError(ValueError):
    """The database does not take what is to be written; trying again does not
    help.  The message names table and key, and the column where it is known.
    """


class ConsDbUnavailableError(ConnectionError):
    """The database does not answer; nothing was written, and the same write
    may be tried again.
    """
