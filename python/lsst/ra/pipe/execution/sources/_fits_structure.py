# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Whether a FITS file is whole, told without reading its data."""

from __future__ import annotations

__all__ = ("is_complete_fits",)

import math
import os
import re
from typing import BinaryIO

_BLOCK = 2880
_CARD = 80
_MOST_BLOCKS = 1000
"""Blocks that a header may have; a raw's has a dozen."""

_COUNTED = re.compile(rb"(BITPIX|NAXIS\d*|PCOUNT|GCOUNT) *=")
_END = b"END".ljust(_CARD)


def is_complete_fits(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file ends where one of its HDUs ends.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    is_complete
        `False` also for what is no FITS file.

    Raises
    ------
    OSError
        Raised if the file cannot be read.

    Notes
    -----
    A file that is being written looks complete between two HDUs as well.
    """
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        position = 0
        while position < size:
            end = _end_of_hdu(stream, position)
            if end is None or end > size:
                return False
            position = end
        return size > 0


def _end_of_hdu(stream: BinaryIO, start: int) -> int | None:
    """Give the offset after an HDU, `None` if its header is not whole."""
    stream.seek(start)
    expected = b"XTENSION=" if start else b"SIMPLE  ="
    counts: dict[str, int] = {}
    for number in range(_MOST_BLOCKS):
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK or (number == 0 and not block.startswith(expected)):
            return None
        for at in range(0, _BLOCK, _CARD):
            card = block[at : at + _CARD]
            if card == _END:
                size = _data_size(counts)
                data = start + (number + 1) * _BLOCK
                return None if size is None else data + math.ceil(size / _BLOCK) * _BLOCK
            if match := _COUNTED.match(card):
                value = card[10:].partition(b"/")[0]
                try:
                    counts[match[1].decode()] = int(value)
                except ValueError:
                    return None
    return None


def _data_size(counts: dict[str, int]) -> int | None:
    """Give the size (bytes) of the data, `None` if the header has it not."""
    axes = [counts.get(f"NAXIS{axis}", -1) for axis in range(1, counts.get("NAXIS", -1) + 1)]
    if "NAXIS" not in counts or "BITPIX" not in counts or min(axes, default=0) < 0:
        return None
    if axes and axes[0] == 0:  # "random groups": the first axis does not count
        axes = axes[1:]
    values = math.prod(axes) if axes else 0
    return abs(counts["BITPIX"]) // 8 * counts.get("GCOUNT", 1) * (counts.get("PCOUNT", 0) + values)
