# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("IdentifierRange",)

import re

import click


class IdentifierRange(click.ParamType[tuple[int, ...]]):
    """Numbers in the form of a Butler data query: ``90..98``, ``1,5,7..9``."""

    name = "ids"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Convert the text of an option.

        Parameters
        ----------
        value
            Comma-separated numbers and ranges, which include both ends; a
            third number is the stride, as in the Butler's query language.
        param
            Option or argument that the text is for.
        ctx
            Context of the command.
        """
        if isinstance(value, tuple):
            return value
        numbers: list[int] = []
        for part in value.split(","):
            match = re.fullmatch(r"\s*(\d+)(?:\.\.(\d+)(?::(\d+))?)?\s*", part)
            if match is None:
                self.fail(f"expected numbers and ranges like 1,5,90..98; got {part!r}", param, ctx)
            begin, end, stride = (int(group) if group else None for group in match.groups())
            assert begin is not None, "The pattern has a first number."
            numbers += range(begin, (begin if end is None else end) + 1, stride or 1)
        return tuple(numbers)
