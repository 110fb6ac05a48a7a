# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Verdicts in any format."""

from __future__ import annotations

__all__ = ("ReportFormat", "write_report")

import enum
from collections.abc import Callable, Mapping, Sequence

from .._policy import Verdict
from ._github import write_github
from ._json import write_json
from ._junit import write_junit
from ._markdown import write_markdown


class ReportFormat(enum.StrEnum):
    """How verdicts are written for other programs."""

    JSON = "json"
    """All there is."""
    MARKDOWN = "markdown"
    """For a comment of a pull request."""
    JUNIT = "junit"
    """XML for what shows the results of tests."""
    GITHUB = "github"
    """Annotations of a GitHub workflow."""


_WRITERS: Mapping[ReportFormat, Callable[[Sequence[Verdict]], str]] = {
    ReportFormat.JSON: write_json,
    ReportFormat.MARKDOWN: write_markdown,
    ReportFormat.JUNIT: write_junit,
    ReportFormat.GITHUB: write_github,
}


def write_report(verdicts: Sequence[Verdict], *, format: ReportFormat) -> str:
    """Write verdicts for another program.

    Parameters
    ----------
    verdicts
        The verdicts.
    format
        The format.

    Returns
    -------
    text
        The report, with an end of line; the same for the same verdicts.
    """
    return _WRITERS[format](verdicts)
