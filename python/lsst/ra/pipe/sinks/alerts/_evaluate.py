# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("AlertContext", "Evaluation", "evaluate")

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from ._alert import Alert, AlertState
from ._conditions import Reading
from ._exposure import ExposureMetrics, ExposureRecord
from ._rule import AlertRule, AlertRules


@dataclasses.dataclass(frozen=True)
class AlertContext:
    """What was before an exposure."""

    history: tuple[ExposureRecord, ...] = ()
    """Earlier exposures of the instrument."""

    standing: Mapping[str, Alert] = MappingProxyType({})
    """Alerts of the instrument that are open, by rule."""

    latest: int = -1
    """The latest exposure of the instrument that was judged."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What rules say about an exposure."""

    told: tuple[Alert, ...]
    """Alerts that open, are repeated or close, in the order of the rules."""

    standing: Mapping[str, Alert]
    """Alerts that are open now, by rule, as they are with this exposure."""


def evaluate(rules: AlertRules, exposure: ExposureMetrics, context: AlertContext) -> Evaluation:
    """Judge an exposure by rules.

    Parameters
    ----------
    rules
        The rules.
    exposure
        Metrics of the exposure.
    context
        What was before it.

    Returns
    -------
    evaluation
        What is to be told, and what stands.  The same arguments give the same
        result.

    Notes
    -----
    Alerts are about now: an exposure that is older than the latest one opens
    and closes nothing.  The latest one may be judged again, as when detectors
    came late: what has been told of it is not told again.
    """
    if exposure.exposure < context.latest:
        return Evaluation((), context.standing)
    told: list[Alert] = []
    standing: dict[str, Alert] = {}
    for rule in rules:
        before = context.standing.get(rule.name)
        after, message = _judge(rule, exposure, context, before)
        if after is not None:
            standing[rule.name] = after
        if message is not None:
            told.append(message)
    names = {rule.name for rule in rules}
    for name, alert in context.standing.items():
        if name not in names:
            told.append(_close(alert, exposure, "there is no such rule any more"))
    return Evaluation(tuple(told), standing)


def _judge(
    rule: AlertRule, exposure: ExposureMetrics, context: AlertContext, before: Alert | None
) -> tuple[Alert | None, Alert | None]:
    """Return the alert that stands after an exposure, and what is told."""
    reading = _read(rule, exposure, context)
    if before is not None and before.day_obs != exposure.day_obs:
        if reading is None or not reading.met:
            return None, _close(before, exposure, "a new observing day has begun")
        before = None
    if reading is None:
        return before, None
    if before is None:
        opened = _open(rule, reading, exposure, since=exposure.exposure) if reading.met else None
        return opened, opened
    if reading.cleared:
        return None, _close(before, exposure, "the condition is no longer met", value=reading.value)
    goes_on = _open(rule, reading, exposure, since=before.since)
    is_told = rule.repeat and reading.met and before.exposure != exposure.exposure
    return goes_on, goes_on if is_told else None


def _read(rule: AlertRule, exposure: ExposureMetrics, context: AlertContext) -> Reading | None:
    """Compare an exposure, if the rule is for it."""
    if not rule.when.include(exposure.facts()):
        return None
    history = [record for record in context.history if rule.when.include(record.facts)]
    return rule.condition.read(exposure, history, hysteresis=rule.hysteresis)


def _open(rule: AlertRule, reading: Reading, exposure: ExposureMetrics, *, since: int) -> Alert:
    """Make the alert of an exposure."""
    facts = {
        "instrument": exposure.instrument,
        "exposure": exposure.exposure,
        "day_obs": exposure.day_obs,
        "seq_num": int(exposure.summary.get("seq_num", -1)),
        "physical_filter": str(exposure.summary.get("physical_filter") or ""),
        "metric": rule.condition.metric,
        "unit": rule.condition.unit,
        "value": reading.value,
    }
    message = rule.template.format(**{"rule": rule.name, **facts, **reading.words})
    return Alert.model_validate(
        {
            **facts,
            "rule": rule.name,
            "severity": rule.severity,
            "state": AlertState.OPEN,
            "since": since,
            "observation_type": str(exposure.summary.get("observation_type") or ""),
            "detectors": reading.detectors,
            "message": " ".join(message.split()),
        }
    )


def _close(alert: Alert, exposure: ExposureMetrics, why: str, *, value: float | None = None) -> Alert:
    """Make the end of an alert."""
    return alert.model_copy(
        update={
            "state": AlertState.CLOSED,
            "exposure": exposure.exposure,
            "day_obs": exposure.day_obs,
            "seq_num": int(exposure.summary.get("seq_num", -1)),
            "physical_filter": str(exposure.summary.get("physical_filter") or ""),
            "observation_type": str(exposure.summary.get("observation_type") or ""),
            "value": value,
            "detectors": (),
            "message": f"Over: {why}. It was: {alert.message}",
        }
    )
