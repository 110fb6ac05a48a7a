# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What is raised when pipelines cannot be read or compared."""

from __future__ import annotations

__all__ = ("DriftError",)


class DriftError(ValueError):
    """A pipeline, snapshot or policy cannot be read, or not be compared.

    The message begins with the file and, where it is known, the line.
    """
