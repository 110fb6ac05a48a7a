# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("CalibrationError",)


class CalibrationError(ValueError):
    """A calibration cannot be read, or does not fit what it is to be used on.

    Parameters
    ----------
    field
        Column, header keyword or attribute that is wrong.
    expected
        What it should be.
    found
        What it is.
    source
        File that the calibration came from; empty when it was made in memory.
    """

    def __init__(self, *, field: str, expected: object, found: object, source: str = "") -> None:
        self.field = field
        self.expected = expected
        self.found = found
        self.source = source
        super().__init__(f"{source or 'calibration'}: {field}: expected {expected}, found {found}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.field, str(self.expected), str(self.found), self.source)


def _rebuild(field: str, expected: str, found: str, source: str) -> CalibrationError:
    return CalibrationError(field=field, expected=expected, found=found, source=source)
