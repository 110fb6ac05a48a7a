# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Numbers in the form of a Butler data query."""

from __future__ import annotations

__all__ = ("parse_identifiers",)

import re


def parse_identifiers(text: str) -> tuple[int, ...]:
    """Read numbers and ranges such as ``90..98`` or ``1,5,7..9``.

    Parameters
    ----------
    text
        Comma-separated numbers and ranges, which include both ends; a third
        number is the stride, as in the Butler's query language.

    Returns
    -------
    numbers
        The numbers, in the order of the text.

    Raises
    ------
    ValueError
        Raised if a part is something else.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\.\.(\d+)(?::(\d+))?)?\s*", part)
        if match is None:
            raise ValueError(f"expected numbers and ranges like 1,5,90..98; got {part!r}")
        begin, end, stride = (int(group) if group else None for group in match.groups())
        assert begin is not None, "The pattern has a first number."
        last = begin if end is None else end
        if last < begin or stride == 0:
            raise ValueError(f"expected a range that goes up, like 90..98; got {part!r}")
        numbers += range(begin, last + 1, stride or 1)
    return tuple(numbers)
