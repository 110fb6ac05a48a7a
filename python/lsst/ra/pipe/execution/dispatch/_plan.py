# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Plan", "PlannedRun", "plan_pipeline", "plan_runs")

import dataclasses
from collections.abc import Mapping

from ._exposure_facts import ExposureFacts
from ._rule import Rule
from ._table import DispatchTable

_NO_RAW = "it has no raw of these detectors"


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A pipeline to run on the same detectors of some exposures."""

    pipeline: str
    """URI of the pipeline."""

    exposures: tuple[int, ...]
    """Butler ``exposure`` values."""

    detectors: tuple[int, ...]
    """Butler ``detector`` values."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the dispatch rules make of some exposures."""

    runs: tuple[PlannedRun, ...]
    """What to run."""

    skipped: Mapping[int, str]
    """Why nothing is run for an exposure."""


def plan_runs(raws: Mapping[ExposureFacts, frozenset[int]], *, table: DispatchTable) -> Plan:
    """Choose the pipelines of exposures, as the live service does.

    Parameters
    ----------
    raws
        Detectors to run, by exposure.
    table
        The dispatch rules.

    Returns
    -------
    plan
        One run for each pipeline and set of detectors.
    """
    chosen: dict[int, dict[str, list[int]]] = {}
    skipped = {}
    for facts, detectors in raws.items():
        rules = {detector: table.select(facts, detector) for detector in sorted(detectors)}
        pipelines = chosen[facts.exposure] = {}
        for detector, rule in rules.items():
            if rule is not None and rule.pipeline is not None:
                pipelines.setdefault(rule.pipeline, []).append(detector)
        if not pipelines:
            reasons = dict.fromkeys(_why_not(rule) for rule in rules.values())
            skipped[facts.exposure] = "; ".join(reasons) or _NO_RAW
    return Plan(_group(chosen), skipped)


def plan_pipeline(raws: Mapping[ExposureFacts, frozenset[int]], *, pipeline: str) -> Plan:
    """Plan to run one pipeline on all exposures.

    Parameters
    ----------
    raws
        Detectors to run, by exposure.
    pipeline
        URI of the pipeline.

    Returns
    -------
    plan
        One run for each set of detectors.
    """
    chosen = {facts.exposure: {pipeline: sorted(numbers)} for facts, numbers in raws.items() if numbers}
    skipped = {facts.exposure: _NO_RAW for facts, numbers in raws.items() if not numbers}
    return Plan(_group(chosen), skipped)


def _group(chosen: Mapping[int, Mapping[str, list[int]]]) -> tuple[PlannedRun, ...]:
    """Put exposures with the same pipeline and detectors together."""
    grouped: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for exposure, pipelines in chosen.items():
        for pipeline, detectors in pipelines.items():
            grouped.setdefault((pipeline, tuple(detectors)), []).append(exposure)
    return tuple(
        PlannedRun(pipeline, tuple(exposures), detectors)
        for (pipeline, detectors), exposures in grouped.items()
    )


def _why_not(rule: Rule | None) -> str:
    if rule is None:
        return "no rule matches it"
    if rule.ignore:
        return f"rule {rule.name!r} ignores it"
    return f"rule {rule.name!r} calls {rule.function}, which is no pipeline"
