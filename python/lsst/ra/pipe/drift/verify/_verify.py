# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Run two tasks on the same raw images, and compare what they make."""

from __future__ import annotations

__all__ = ("VerifyRequest", "verify")

import dataclasses
from collections.abc import Callable, Sequence

from lsst.daf.butler import Butler

from ._compare import DifferingPixels, compare_pixels
from ._memory_butler import InputCache
from ._report import DetectorReport, SettingDifference, StepReport, Tolerance, VerifyError, VerifyReport
from ._settings import compare_settings, give_settings
from ._side import VerifiedTask, find_inputs, load_task, run_task
from ._steps import TaskStep, plan_steps

_DEFAULT_REFERENCE = "$AP_PIPE_DIR/pipelines/{instrument}/SingleFrame.yaml#isr"
_DEFAULT_CANDIDATE = "$RA_PIPE_DIR/pipelines/{instrument}/FirstLook.yaml#isr"

_RAW = "raw"
"""Dataset type that says which detectors there are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyRequest:
    """What is to be compared."""

    exposure: int
    """Butler exposure."""
    instrument: str | None = None
    """Butler instrument; `None` for the one that has the exposure."""
    detectors: Sequence[int] | None = None
    """Detectors; `None` for all that have a raw image."""
    collections: Sequence[str] = ()
    """Where the inputs are; ``<instrument>/defaults`` if empty."""
    reference: str | None = None
    """Pipeline and label of the reference; `None` for Alert Production's
    ISR."""
    candidate: str | None = None
    """Pipeline and label of the candidate; `None` for FirstLook's ISR."""
    same_config: bool = True
    """Whether the candidate gets the reference's values of all fields that
    both have."""
    by_step: bool = True
    """Whether to switch the steps on one after another."""
    tolerance: Tolerance = dataclasses.field(default_factory=Tolerance)
    """How far values may be apart."""


def verify(
    butler: Butler, request: VerifyRequest, *, on_step: Callable[[int, str, int, int], None] | None = None
) -> VerifyReport:
    """Compare the pixels that two tasks make of the same raw images.

    Parameters
    ----------
    butler
        Client of the repository; it is only read.
    request
        What to compare.
    on_step
        Called before each step with the detector, the step's name, how many
        steps are done, and of how many.

    Returns
    -------
    report
        The differences.  A detector that cannot be compared has its reason
        there, and does not keep the others from it.

    Raises
    ------
    DriftError
        Raised if a pipeline cannot be read.
    VerifyError
        Raised if a task cannot be imported or configured, or the repository
        does not have the exposure or a detector.
    """
    instrument = _find_instrument(butler, request)
    collections = tuple(request.collections) or (f"{instrument}/defaults",)
    detectors = _find_detectors(butler, instrument, request, collections)
    reference = load_task((request.reference or _DEFAULT_REFERENCE).format(instrument=instrument))
    candidate = load_task((request.candidate or _DEFAULT_CANDIDATE).format(instrument=instrument))
    candidate, settings = _settle(reference, candidate, request)
    steps = plan_steps(reference.config, candidate.config, by_step=request.by_step)
    comparison = _Comparison(
        butler=butler,
        reference=reference,
        candidate=candidate,
        steps=steps,
        instrument=instrument,
        exposure=request.exposure,
        collections=collections,
        tolerance=request.tolerance,
    )
    reports = []
    for number, detector in enumerate(detectors):

        def advance(name: str, step: int, number: int = number, detector: int = detector) -> None:
            if on_step is not None:
                on_step(detector, name, number * len(steps) + step, len(detectors) * len(steps))

        reports.append(comparison.compare_detector(detector, advance))
    return VerifyReport(
        reference=reference.name,
        candidate=candidate.name,
        reference_class=reference.class_name,
        candidate_class=candidate.class_name,
        instrument=instrument,
        exposure=request.exposure,
        collections=collections,
        tolerance=request.tolerance,
        same_config=request.same_config,
        settings=tuple(settings),
        detectors=tuple(reports),
    )


def _settle(
    reference: VerifiedTask, candidate: VerifiedTask, request: VerifyRequest
) -> tuple[VerifiedTask, list[SettingDifference]]:
    """Compare the settings, and give the candidate the reference's."""
    if not request.same_config:
        return candidate, list(compare_settings(reference.config, candidate.config).values())
    config, settings = give_settings(reference.config, candidate.config)
    return dataclasses.replace(candidate, config=config), settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Compares detector after detector."""

    butler: Butler
    reference: VerifiedTask
    candidate: VerifiedTask
    steps: Sequence[TaskStep]
    instrument: str
    exposure: int
    collections: Sequence[str]
    tolerance: Tolerance

    def compare_detector(self, detector: int, on_step: Callable[[str, int], None]) -> DetectorReport:
        """Run all steps of one detector."""
        cache: InputCache = {}
        try:
            reference, candidate = (
                find_inputs(
                    task,
                    self.butler,
                    instrument=self.instrument,
                    exposure=self.exposure,
                    detector=detector,
                    collections=self.collections,
                    cache=cache,
                )
                for task in (self.reference, self.candidate)
            )
        except VerifyError as error:
            return DetectorReport(detector=detector, problem=str(error))
        before: DifferingPixels | None = None
        reports: list[StepReport] = []
        for number, step in enumerate(self.steps):
            on_step(step.name, number)
            try:
                ours = run_task(self.reference, step.reference, reference)
                theirs = run_task(self.candidate, step.candidate, candidate)
                added, total, before = compare_pixels(ours, theirs, tolerance=self.tolerance, before=before)
            except VerifyError as error:
                problem = f"at step {step.name}: {error}"
                return DetectorReport(detector=detector, steps=tuple(reports), problem=problem)
            reports.append(
                StepReport(
                    step=step.name,
                    in_reference=step.in_reference,
                    in_candidate=step.in_candidate,
                    added=added,
                    total=total,
                )
            )
        return DetectorReport(detector=detector, steps=tuple(reports))


def _find_instrument(butler: Butler, request: VerifyRequest) -> str:
    """Return the instrument that has the exposure."""
    if request.instrument is not None:
        return request.instrument
    known = [str(record.name) for record in butler.query_dimension_records("instrument", explain=False)]
    having = [
        name
        for name in known
        if butler.query_dimension_records(
            "exposure", instrument=name, exposure=request.exposure, explain=False
        )
    ]
    if not having:
        raise VerifyError(
            f"There is no exposure {request.exposure} of {' or '.join(known) or 'any instrument'}."
        )
    if len(having) > 1:
        raise VerifyError(f"{' and '.join(having)} have an exposure {request.exposure}; say which is meant.")
    return having[0]


def _find_detectors(
    butler: Butler, instrument: str, request: VerifyRequest, collections: Sequence[str]
) -> list[int]:
    """Return the detectors to compare, all of which have a raw image."""
    known = {
        int(record.id)
        for record in butler.query_dimension_records("detector", instrument=instrument, explain=False)
    }
    refs = butler.query_datasets(
        _RAW, collections, instrument=instrument, exposure=request.exposure, explain=False, limit=None
    )
    having = {int(ref.dataId["detector"]) for ref in refs}
    wanted = having if request.detectors is None else set(request.detectors)
    if unknown := sorted(wanted - known):
        raise VerifyError(f"{instrument} has no detector {_list(unknown)}.")
    if (missing := sorted(wanted - having)) or not having:
        detectors = f" detector {_list(missing)}" if missing else ""
        raise VerifyError(
            f"There is no {_RAW} of {instrument} exposure {request.exposure}{detectors} in "
            f"{', '.join(collections)}."
        )
    return sorted(wanted)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
