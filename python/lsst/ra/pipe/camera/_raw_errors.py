# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What can be wrong with a raw file."""

from __future__ import annotations

__all__ = (
    "RawCorruptError",
    "RawDetectorError",
    "RawExtensionError",
    "RawFileError",
    "RawGeometryError",
    "RawHeaderError",
)

import os


class RawFileError(ValueError):
    """A raw file cannot be used.

    Parameters
    ----------
    path
        The file.
    message
        What was expected and what was found.
    """

    def __init__(self, path: str | os.PathLike[str], message: str) -> None:
        super().__init__(f"{os.fspath(path)}: {message}")
        self.path = os.fspath(path)
        self.message = message

    def __reduce__(self) -> tuple[type[RawFileError], tuple[str, str]]:
        return type(self), (self.path, self.message)


class RawCorruptError(RawFileError):
    """A raw file is not FITS, is truncated or cannot be decompressed."""


class RawExtensionError(RawFileError):
    """A raw file lacks an amplifier's extension, or has one too many."""


class RawHeaderError(RawFileError):
    """A header lacks a keyword or has a value that has no meaning."""


class RawDetectorError(RawFileError):
    """A raw file is of a detector or camera that is not the one expected."""


class RawGeometryError(RawFileError):
    """The geometry of a raw file disagrees with the camera."""
