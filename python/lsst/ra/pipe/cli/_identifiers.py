# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("IdentifierRange", "detector_option", "exposure_option")

import click

from lsst.ra.pipe.execution.dispatch import parse_identifiers


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
        try:
            return parse_identifiers(value)
        except ValueError as err:
            self.fail(str(err), param, ctx)


exposure_option = click.option(
    "--exposure",
    "-e",
    "exposures",
    type=IdentifierRange(),
    required=True,
    help="For example 2026112200001..2026112200005.",
)
detector_option = click.option(
    "--detector",
    "-d",
    "detectors",
    type=IdentifierRange(),
    help="For example 90..98; the default is every raw.",
)
