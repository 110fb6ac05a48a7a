# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("backfill",)

from collections.abc import Callable, Collection, Sequence
from typing import Any

from lsst.daf.butler import Butler, MissingDatasetTypeError

from ._observer import ConsDbObserver
from ._writer import WriteReport


def backfill(
    observer: ConsDbObserver,
    butler: Butler,
    *,
    instrument: str,
    collections: Sequence[str],
    exposures: Collection[int] = (),
    on_report: Callable[[WriteReport], Any] | None = None,
) -> list[WriteReport]:
    """Write to ConsDB what is in a repository.

    Parameters
    ----------
    observer
        What writes.
    butler
        Client of the repository.
    instrument
        Butler ``instrument``.
    collections
        Collections with the metrics; the first one that has them counts.
    exposures
        Butler ``exposure`` values; the default is all.
    on_report
        Called with each report as it comes.

    Returns
    -------
    reports
        What became of each detector, and then of each exposure.
    """
    reports: list[WriteReport] = []

    def note(report: WriteReport | None) -> None:
        if report is not None:
            reports.append(report)
            if on_report is not None:
                on_report(report)

    def find(name: str) -> list[dict[str, Any]]:
        try:
            refs = butler.query_datasets(
                name, list(collections), instrument=instrument, explain=False, limit=None
            )
        except MissingDatasetTypeError:
            # No pipeline that makes it has run in this repository yet.
            return []
        found = [dict(ref.dataId.mapping) for ref in refs]
        return [one for one in found if not exposures or one["visit"] in exposures]

    for data_id in sorted(find("rapid_detector_metrics"), key=lambda one: (one["visit"], one["detector"])):
        note(
            observer.write_detector(
                instrument, data_id["visit"], data_id["detector"], collections=collections
            )
        )
    for data_id in sorted(find("rapid_exposure_detectors"), key=lambda one: one["visit"]):
        note(observer.write_exposure(instrument, data_id["visit"], collections=collections))
    return reports
