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
from ._exposure import MAX_HISTORY, ExposureMetrics, ExposureRecord
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

    rules: tuple[str, ...] = ()
    """Names of the rules whose alerts of this exposure are known now."""


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
    What stands is about now: an exposure that is older than the latest one
    leaves it as it is.  What is to be said of it is told all the same, once,
    and marked as late.

    An exposure may be judged again, as when detectors came late: what has been
    told of it is not told again.
    """
    if exposure.exposure < context.latest:
        return _evaluate_late(rules, exposure, context)
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
    known = {*_known_rules(exposure, context), *standing, *(alert.rule for alert in told)}
    return Evaluation(tuple(told), standing, tuple(sorted(known)))


def _evaluate_late(rules: AlertRules, exposure: ExposureMetrics, context: AlertContext) -> Evaluation:
    """Judge an exposure that is older than the latest one."""
    if len(context.history) >= MAX_HISTORY and exposure.exposure < min(
        record.exposure for record in context.history
    ):
        # It would be forgotten at once, and told of again.
        return Evaluation((), context.standing)
    known = set(_known_rules(exposure, context))
    told: list[Alert] = []
    for rule in rules:
        reading = _read(rule, exposure, context)
        if rule.name in known or reading is None or not reading.met:
            continue
        known.add(rule.name)
        now = context.standing.get(rule.name)
        if not rule.repeat and now is not None and _reaches(now, rule, exposure, context):
            continue
        told += _tell_late(rule, reading, exposure, context, now)
    return Evaluation(tuple(told), context.standing, tuple(sorted(known)))


def _known_rules(exposure: ExposureMetrics, context: AlertContext) -> tuple[str, ...]:
    """Return the rules whose alerts of an exposure are known already."""
    return next((one.rules for one in context.history if one.exposure == exposure.exposure), ())


def _reaches(now: Alert, rule: AlertRule, exposure: ExposureMetrics, context: AlertContext) -> bool:
    """Tell whether an open alert began before a late exposure, or after it
    with no exposure between them that was without the alert.
    """
    if now.day_obs != exposure.day_obs:
        return False
    return not any(
        exposure.exposure < record.exposure < now.since
        and rule.name not in record.rules
        and rule.when.include(record.facts)
        for record in context.history
    )


def _tell_late(
    rule: AlertRule, reading: Reading, exposure: ExposureMetrics, context: AlertContext, now: Alert | None
) -> list[Alert]:
    """Make what is told of a late exposure: an alert and its end, or the alert
    alone if the rule has one that is open, which must not seem to end.
    """
    opened = _open(rule, reading, exposure, since=exposure.exposure)
    message = f"Late, after exposure {context.latest}: {opened.message}"
    opened = opened.model_copy(update={"late": True, "message": message})
    if now is not None:
        return [opened]
    return [opened, _close(opened, exposure, "a later exposure was judged before")]


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
