# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("AlertObserver", "log_alert", "observe_service", "read_exposure", "recall_exposures")

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lsst.daf.butler import Butler, DatasetRef, MissingDatasetTypeError

from ...execution.queue import JobQueue, connect
from ._alert import Alert, AlertState, Severity
from ._board import AlertBoard
from ._evaluate import evaluate
from ._exposure import ExposureMetrics, ExposureRecord
from ._kafka import AlertSender
from ._load import load_instrument_rules
from ._memory import AlertStore
from ._rule import AlertRules

if TYPE_CHECKING:
    # The service's own imports are no concern of who looks at alerts only.
    from ...execution import ImageReport
    from ...execution.service import ServiceSettings

_LOG = logging.getLogger(__name__)

_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.CRITICAL,
}

_SUMMARIES = {
    "rapid_exposure_summary": ("detectors", "rapid_exposure_detectors"),
    "rapid_calibration_summary": ("amplifiers", "rapid_calibration_amplifiers"),
}
"""Table that belongs to each kind of summary: field of `ExposureMetrics`, and
dataset type."""


class AlertObserver:
    """Judges exposures by rules once they are gathered.

    Parameters
    ----------
    butler
        Client of the repository with the summaries.
    rules
        Rules by instrument; exposures of others are not judged.
    store
        Keeps what was before an exposure.
    on_alert
        Called with each alert that opens, is repeated or closes.
    on_image
        Called after each image, whatever it was: sends what waits.
    """

    def __init__(
        self,
        butler: Butler,
        rules: Mapping[str, AlertRules],
        store: AlertStore,
        *,
        on_alert: Callable[[Alert], object],
        on_image: Callable[[], object] | None = None,
    ) -> None:
        self._butler = butler
        self._rules = dict(rules)
        self._store = store
        self._on_alert = on_alert
        self._on_image = on_image

    def __call__(self, report: ImageReport) -> None:
        """Judge an exposure, if the report is of one.

        Parameters
        ----------
        report
            Report of a detector, or of an exposure that was gathered.
        """
        rules = self._rules.get(report.instrument)
        if report.detector is None and rules is not None and report.run:
            metrics = read_exposure(
                self._butler, instrument=report.instrument, exposure=report.exposure, collections=[report.run]
            )
            if metrics is not None:
                self.judge(rules, metrics)
        if self._on_image is not None:
            self._on_image()

    def judge(self, rules: AlertRules, metrics: ExposureMetrics) -> tuple[Alert, ...]:
        """Judge an exposure, and tell of it.

        Parameters
        ----------
        rules
            The rules.
        metrics
            Metrics of the exposure.

        Returns
        -------
        told
            Alerts that open, are repeated or close.
        """
        told = self._store.exchange(
            metrics.record(rules.remembered_metrics), lambda context: evaluate(rules, metrics, context)
        )
        for alert in told:
            self._on_alert(alert)
        return told


def log_alert(alert: Alert) -> None:
    """Write an alert to the log.

    Parameters
    ----------
    alert
        The alert; one that closes is written at the level of information.
    """
    level = _LEVELS[alert.severity] if alert.state is AlertState.OPEN else logging.INFO
    _LOG.log(
        level,
        "%s alert %s %s: %s %d seq %d: %s",
        *(alert.severity, alert.rule, alert.state),
        *(alert.instrument, alert.day_obs, alert.seq_num, alert.message),
    )


def read_exposure(
    butler: Butler, *, instrument: str, exposure: int, collections: Sequence[str]
) -> ExposureMetrics | None:
    """Read the summary of an exposure, and the table that belongs to it.

    Parameters
    ----------
    butler
        Client of the repository.
    instrument
        Butler ``instrument``.
    exposure
        Butler ``exposure``.
    collections
        Collections to look in.

    Returns
    -------
    metrics
        The metrics; `None` if the exposure has no summary there.
    """
    for name, (field, table) in _SUMMARIES.items():
        summary = _find(butler, name, instrument=instrument, exposure=exposure, collections=collections)
        if summary is not None:
            run = [str(summary.run)]
            rows = _find(butler, table, instrument=instrument, exposure=exposure, collections=run)
            tables = {} if rows is None else {field: butler.get(rows)}
            return ExposureMetrics(summary=butler.get(summary), **tables)
    return None


def recall_exposures(
    butler: Butler,
    rules: AlertRules,
    *,
    instrument: str,
    before: int,
    collections: Sequence[str],
    n: int = 30,
) -> list[ExposureRecord]:
    """Read what rules compare an exposure with, from earlier summaries.

    Parameters
    ----------
    butler
        Client of the repository.
    rules
        The rules.
    instrument
        Butler ``instrument``.
    before
        Butler ``exposure``; earlier ones are read.
    collections
        Collections to look in.
    n
        Number of exposures, the latest ones.

    Returns
    -------
    records
        One an exposure of the sky, the latest first; none if no rule compares
        exposures.

    Notes
    -----
    It reads a file an exposure, and is not for a live service.
    """
    names = rules.remembered_metrics
    if not names:
        return []
    try:
        refs = butler.query_datasets(
            "rapid_exposure_summary",
            collections,
            where="visit < :before",
            bind={"before": before},
            instrument=instrument,
            order_by="-visit",
            limit=n,
            explain=False,
        )
    except MissingDatasetTypeError:
        return []
    found = (
        read_exposure(
            butler, instrument=instrument, exposure=int(ref.dataId["visit"]), collections=[str(ref.run)]
        )
        for ref in refs
    )
    return [metrics.record(names) for metrics in found if metrics is not None]


def _find(
    butler: Butler, dataset_type: str, *, instrument: str, exposure: int, collections: Sequence[str]
) -> DatasetRef | None:
    """Return the dataset of an exposure, if it is there."""
    try:
        refs = butler.query_datasets(
            dataset_type, collections, instrument=instrument, exposure=exposure, explain=False
        )
    except MissingDatasetTypeError:
        # No pipeline that makes it has run in this repository yet.
        return None
    return refs[0] if refs else None


def observe_service(*, settings: ServiceSettings, butler: Butler) -> Callable[[ImageReport], None]:
    """Make what judges the exposures of a live service.

    Parameters
    ----------
    settings
        Settings of the service: its instruments, their rules, the server of
        the queue, and where alerts are sent.
    butler
        Client of its repository.

    Returns
    -------
    observer
        To be called with the report of each image.

    Raises
    ------
    AlertRuleError
        Raised if anything is wrong with the rules.
    """
    rules = {
        name: load_instrument_rules(name, settings.alerts.get(name))
        for name in settings.instruments
        if settings.alerts.get(name) != ""
    }
    queue = JobQueue(connect(settings.redis_url), settings.queue)
    board = AlertBoard(queue, sends=settings.alert_topic is not None)
    send = None
    if settings.alert_topic is not None:
        send = AlertSender(board, settings.alert_topic, options=settings.source.kafka_options).send
    return AlertObserver(butler, rules, board, on_alert=log_alert, on_image=send)
