# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Known mistakes of raw headers, as tables of corrections.

A `Correction` says for which exposures a mistake is known and computes the
values that replace the wrong ones. A translator's ``fix_header`` applies its
table from top to bottom; each correction sees what those before it changed.
"""

from __future__ import annotations

__all__ = ("Correction", "apply_corrections")

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from astropy.time import Time

_LOG = logging.getLogger(__name__)

Header = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correction:
    """One known mistake, when it was made, and what is right.

    The limits combine: a correction applies to the exposures that satisfy all
    that are given. A header without the date or the keywords that a limit
    needs is left alone.
    """

    reason: str
    """What is wrong, for the log."""
    change: Callable[[Header], Mapping[str, Any]]
    """Function of the header that returns keywords with their right values,
    or nothing if this header does not have the mistake."""
    since: str | None = None
    """UTC date; exposures that begin later are affected."""
    before: str | None = None
    """UTC date; exposures that begin earlier are affected."""
    days: range | tuple[int, ...] | None = None
    """Affected values of ``DAYOBS``, as YYYYMMDD."""
    exposures: Mapping[int, tuple[tuple[int, int], ...]] | None = None
    """Affected ``SEQNUM`` ranges (both ends included) by ``DAYOBS``."""

    def applies(self, header: Header, begin: float | None = None) -> bool:
        """Say whether an exposure is within the limits.

        Parameters
        ----------
        header
            Header of the exposure.
        begin
            Begin of the exposure as TAI modified Julian date, if known.

        Returns
        -------
        applies
            Whether the exposure is within all limits.
        """
        if self.since is not None and (begin is None or begin <= _tai_mjd(self.since)):
            return False
        if self.before is not None and (begin is None or begin >= _tai_mjd(self.before)):
            return False
        day_obs = _integer(header.get("DAYOBS"))
        if self.days is not None and day_obs not in self.days:
            return False
        if self.exposures is not None:
            seq_num = _integer(header.get("SEQNUM"))
            if day_obs is None or seq_num is None:
                return False
            return any(first <= seq_num <= last for first, last in self.exposures.get(day_obs, ()))
        return True


def apply_corrections(
    header: MutableMapping[str, Any],
    corrections: tuple[Correction, ...],
    *,
    begin: float | None = None,
    label: str,
) -> bool:
    """Correct a header in place.

    Parameters
    ----------
    header
        Header to correct.
    corrections
        Corrections in the order in which they are applied.
    begin
        Begin of the exposure as TAI modified Julian date, if known.
    label
        What log messages call the header.

    Returns
    -------
    modified
        Whether anything was changed.
    """
    modified = False
    for correction in corrections:
        if not correction.applies(header, begin):
            continue
        for keyword, value in correction.change(header).items():
            _LOG.debug(
                "%s: %s; %s is now %r, was %r",
                label,
                correction.reason,
                keyword,
                value,
                header.get(keyword),
            )
            header[keyword] = value
            modified = True
    return modified


@functools.cache
def _tai_mjd(date: str) -> float:
    return float(Time(date, scale="utc").tai.mjd)


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
