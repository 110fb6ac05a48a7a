# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Night", "NightExposure", "read_night")

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from astropy.table import Table

from lsst.daf.butler import Butler, DatasetRef, MissingDatasetTypeError

from ..alerts import Alert, AlertMemory, AlertRules, ExposureMetrics, evaluate

_PICTURES = {
    "rapid_focal_plane_plot": "focal plane",
    "rapid_focal_plane_metrics_plot": "metrics",
}
"""Pictures of an exposure by dataset type, with the words that link to them."""


@dataclasses.dataclass(frozen=True)
class NightExposure:
    """One exposure of a night."""

    exposure: int
    """Butler ``exposure``."""

    seq_num: int
    """Number within its day."""

    physical_filter: str
    """Butler ``physical_filter``."""

    summary: Mapping[str, Any] | None
    """``rapid_exposure_summary``; `None` if there is none."""

    run: str = ""
    """RUN collection of the summary."""

    pictures: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """URIs of pictures, by the words that link to them."""

    alerts: tuple[Alert, ...] = ()
    """Alerts that opened or closed with it."""


@dataclasses.dataclass(frozen=True)
class Night:
    """What is in the Butler of one observing day of an instrument."""

    instrument: str
    """Butler ``instrument``."""

    day_obs: int
    """Day of observation as YYYYMMDD."""

    collections: tuple[str, ...]
    """Collections that were read."""

    exposures: tuple[NightExposure, ...]
    """Exposures of the sky in order, those without a summary among them."""


def read_night(
    butler: Butler,
    *,
    instrument: str,
    day_obs: int,
    collections: Sequence[str],
    rules: AlertRules | None = None,
    on_exposure: Callable[[int, int], object] | None = None,
) -> Night:
    """Read what is known of an observing day.

    Parameters
    ----------
    butler
        Client of the repository.
    instrument
        Butler ``instrument``.
    day_obs
        Day of observation as YYYYMMDD.
    collections
        Collections with ``rapid_exposure_summary``.
    rules
        Alert rules to judge the exposures by, one after another; none are
        told of otherwise.
    on_exposure
        Called with the number of exposures that were read, and of all.

    Returns
    -------
    night
        All exposures that have a visit.

    Raises
    ------
    LookupError
        Raised if no exposure of the day has a summary.
    lsst.daf.butler.MissingCollectionError
        Raised if there is no such collection.
    """
    where = {"instrument": instrument, "day_obs": day_obs}
    # The day of an exposure that is not processed is known, too.
    visits = butler.query_dimension_records(
        "visit", data_id=where, order_by="visit", explain=False, limit=None
    )
    found = {
        name: _find(butler, name, where, collections)
        for name in ("rapid_exposure_summary", "rapid_exposure_detectors", *_PICTURES)
    }
    summaries = found["rapid_exposure_summary"]
    if not summaries:
        raise LookupError(
            f"No exposure of {instrument} on {day_obs} has a summary in {', '.join(collections)}; "
            f"{len(visits)} exposures of the sky are known."
        )
    memory = AlertMemory()
    exposures = []
    for number, visit in enumerate(visits, start=1):
        refs = {name: refs[visit.id] for name, refs in found.items() if visit.id in refs}
        exposures.append(_read_exposure(butler, visit, refs, rules, memory))
        if on_exposure is not None:
            on_exposure(number, len(visits))
    return Night(instrument, day_obs, tuple(collections), tuple(exposures))


def _read_exposure(
    butler: Butler,
    visit: Any,
    refs: Mapping[str, DatasetRef],
    rules: AlertRules | None,
    memory: AlertMemory,
) -> NightExposure:
    exposure = NightExposure(int(visit.id), int(visit.seq_num), str(visit.physical_filter), None)
    if "rapid_exposure_summary" not in refs:
        return exposure
    ref = refs["rapid_exposure_summary"]
    summary = butler.get(ref)
    alerts: tuple[Alert, ...] = ()
    if rules is not None:
        rows = refs.get("rapid_exposure_detectors")
        metrics = ExposureMetrics(summary, Table() if rows is None else butler.get(rows))
        alerts = memory.exchange(
            metrics.record(rules.remembered_metrics), lambda context: evaluate(rules, metrics, context)
        )
    pictures = {
        words: butler.getURI(refs[name]).geturl() for name, words in _PICTURES.items() if name in refs
    }
    return dataclasses.replace(exposure, summary=summary, run=str(ref.run), pictures=pictures, alerts=alerts)


def _find(
    butler: Butler, dataset_type: str, where: Mapping[str, Any], collections: Sequence[str]
) -> dict[int, DatasetRef]:
    """Return datasets of a day by visit."""
    try:
        refs = butler.query_datasets(
            dataset_type, list(collections), data_id=where, explain=False, limit=None
        )
    except MissingDatasetTypeError:
        # No pipeline that makes it has run in this repository yet.
        return {}
    return {int(ref.dataId["visit"]): ref for ref in refs}
