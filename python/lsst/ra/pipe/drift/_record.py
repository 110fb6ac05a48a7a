# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What all records of the drift gate have in common."""

from __future__ import annotations

__all__ = ("Record",)

import pydantic


class Record(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Base of the records: closed, and never changed."""
