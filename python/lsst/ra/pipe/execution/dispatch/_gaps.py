# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Gap", "GapKind", "find_gaps")

import dataclasses
import enum
from collections.abc import Collection, Iterator, Mapping, Sequence

from lsst.daf.butler import Butler

from ._exposure_facts import ExposureFacts
from ._finished import FinishedTasks
from ._pipeline_tasks import PipelineTasks
from ._raws import find_raws
from ._rule import Rule
from ._table import DispatchTable


class GapKind(enum.StrEnum):
    """How much of the processing is missing."""

    NOT_PROCESSED = "not processed"
    """No task of the detector has run."""

    PARTLY_PROCESSED = "partly processed"
    """Some tasks have not run."""

    NOT_GATHERED = "not gathered"
    """Tasks on the whole exposure have not run."""


@dataclasses.dataclass(frozen=True)
class Gap:
    """An image that is in the repository and was not processed."""

    instrument: str
    """Butler ``instrument``."""

    exposure: int
    """Butler ``exposure``."""

    detector: int | None
    """Butler ``detector``; `None` for the whole exposure."""

    rule: str
    """Name of the dispatch rule that is for it."""

    missing: GapKind
    """How much is missing."""

    tasks: tuple[str, ...]
    """Labels of the tasks that have not run."""


def find_gaps(
    butler: Butler,
    table: DispatchTable,
    *,
    instrument: str,
    exposures: Collection[int] | None = None,
    day_obs: int | None = None,
    inputs: Sequence[str] | None = None,
    output: str | None = None,
) -> Iterator[Gap]:
    """Find raws that should have been processed and were not.

    Parameters
    ----------
    butler
        Client of the repository.
    table
        The dispatch rules.
    instrument
        Butler ``instrument``.
    exposures
        Butler ``exposure`` values to look at; the default is all.
    day_obs
        Observing day (YYYYMMDD) to look at; the default is all.
    inputs
        Collections with the raws; the default is ``<instrument>/defaults``.
    output
        Collection with the outputs, in whatever run of it; the default is
        ``<instrument>/rapid``.

    Yields
    ------
    gap
        One gap after another, by exposure and detector.

    Raises
    ------
    LookupError
        Raised if the repository has no such instrument.
    lsst.daf.butler.MissingCollectionError
        Raised if there is no collection of ``inputs``.

    Notes
    -----
    A task has run if its metadata are there.  A task that found nothing to do
    excuses those that depend on it, and exposures without a visit have no
    tasks on visits.  What a rule ignores, what no rule matches, and what a
    Python function does (it leaves no trace in the Butler) is no gap.

    The number of queries depends on the number of tasks, and on that of the
    exposures by the hundred, not on that of the raws.
    """
    if not butler.query_dimension_records("instrument", instrument=instrument, explain=False):
        raise LookupError(f"The instrument {instrument!r} is not in the repository.")
    inputs = inputs or (f"{instrument}/defaults",)
    output = output or f"{instrument}/rapid"
    pipelines: dict[str, PipelineTasks] = {}
    for raws in find_raws(
        butler, instrument=instrument, exposures=exposures, day_obs=day_obs, collections=inputs
    ):
        finished = FinishedTasks(
            butler, instrument=instrument, exposures=[facts.exposure for facts in raws], collection=output
        )
        for facts, detectors in raws.items():
            for rule, numbers in _by_rule(table, facts, detectors).items():
                assert rule.pipeline is not None, "Chosen so."
                if rule.pipeline not in pipelines:
                    pipelines[rule.pipeline] = PipelineTasks.load(rule.pipeline)
                yield from _gaps_of_exposure(pipelines[rule.pipeline], rule, facts, numbers, finished)


def _by_rule(
    table: DispatchTable, facts: ExposureFacts, detectors: Collection[int]
) -> Mapping[Rule, list[int]]:
    """Return the detectors of each rule that runs a pipeline on them."""
    result: dict[Rule, list[int]] = {}
    for detector in sorted(detectors):
        rule = table.select(facts, detector)
        if rule is not None and rule.pipeline is not None:
            result.setdefault(rule, []).append(detector)
    return result


def _gaps_of_exposure(
    pipeline: PipelineTasks,
    rule: Rule,
    facts: ExposureFacts,
    detectors: Collection[int],
    finished: FinishedTasks,
) -> Iterator[Gap]:
    """Find the gaps of what one rule does with one exposure."""
    for detector in (*detectors, None):
        tasks = pipeline.exposure_tasks if detector is None else pipeline.detector_tasks
        applicable = finished.applicable(tasks, facts.exposure)
        missing = finished.missing(applicable, facts.exposure, detector)
        if not missing:
            continue
        kind = GapKind.PARTLY_PROCESSED
        if detector is None:
            kind = GapKind.NOT_GATHERED
        elif len(missing) == len(applicable):
            kind = GapKind.NOT_PROCESSED
        yield Gap(facts.instrument, facts.exposure, detector, rule.name, kind, missing)
