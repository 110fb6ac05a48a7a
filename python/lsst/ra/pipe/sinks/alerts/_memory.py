# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("AlertMemory", "AlertStore")

from collections.abc import Callable, Iterable
from typing import Protocol

from ._alert import Alert
from ._evaluate import AlertContext, Evaluation
from ._exposure import MAX_HISTORY, ExposureRecord


class AlertStore(Protocol):
    """Keeps what was before an exposure."""

    def exchange(
        self, record: ExposureRecord, decide: Callable[[AlertContext], Evaluation]
    ) -> tuple[Alert, ...]:
        """Have an exposure judged, and keep the result, as one action.

        Parameters
        ----------
        record
            What is to be remembered of the exposure; it knows its instrument.
        decide
            Judges the exposure by what was before it; may be called again
            when that has changed meanwhile.

        Returns
        -------
        told
            Alerts that open, are repeated or close.
        """
        ...


class AlertMemory:
    """Keeps what was before an exposure in this process.

    Parameters
    ----------
    records
        Earlier exposures.
    """

    def __init__(self, records: Iterable[ExposureRecord] = ()) -> None:
        self._history: dict[str, dict[int, ExposureRecord]] = {}
        self._standing: dict[str, dict[str, Alert]] = {}
        self._latest: dict[str, int] = {}
        for record in records:
            self._remember(record)

    def exchange(
        self, record: ExposureRecord, decide: Callable[[AlertContext], Evaluation]
    ) -> tuple[Alert, ...]:
        """Have an exposure judged, and keep the result.

        Parameters
        ----------
        record
            What is to be remembered of the exposure.
        decide
            Judges the exposure.

        Returns
        -------
        told
            Alerts that open, are repeated or close.
        """
        instrument = str(record.facts["instrument"])
        latest = self._latest.get(instrument, -1)
        context = AlertContext(
            history=tuple(self._history.get(instrument, {}).values()),
            standing=self._standing.get(instrument, {}),
            latest=latest,
        )
        evaluation = decide(context)
        self._standing[instrument] = dict(evaluation.standing)
        self._latest[instrument] = max(latest, record.exposure)
        self._remember(record.model_copy(update={"rules": evaluation.rules}))
        return evaluation.told

    def standing(self, instrument: str) -> tuple[Alert, ...]:
        """Return the alerts that are open.

        Parameters
        ----------
        instrument
            Butler ``instrument``.

        Returns
        -------
        alerts
            In the order of the rules.
        """
        return tuple(self._standing.get(instrument, {}).values())

    def _remember(self, record: ExposureRecord) -> None:
        history = self._history.setdefault(str(record.facts["instrument"]), {})
        history[record.exposure] = record
        for exposure in sorted(history)[:-MAX_HISTORY]:
            del history[exposure]
