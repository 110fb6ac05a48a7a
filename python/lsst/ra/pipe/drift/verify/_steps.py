# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The steps of a task: switches, in the order in which they act."""

from __future__ import annotations

__all__ = ("STEP_SWITCHES", "TaskStep", "plan_steps")

import dataclasses
from collections.abc import Sequence

from lsst.pipe.base import PipelineTaskConfig

from ._report import VerifyError
from ._settings import copy_config

STEP_SWITCHES = (
    "doDiffNonLinearCorrection",
    "doSaturation",
    "doSuspect",
    "doCorrectGains",
    "doApplyGains",
    "doCrosstalk",
    "doLinearize",
    "doDeferredCharge",
    "doE2VEdgeBleedMask",
    "doITLDipMask",
    "doITLSatSagMask",
    "doITLEdgeBleedMask",
    "doBias",
    "doDark",
    "doDefect",
    "doNanMasking",
    "doWidenSaturationTrails",
    "doBrighterFatter",
    "doVariance",
    "doFlat",
    "doSetBadRegions",
    "doInterpolate",
    "doAmpOffset",
)
"""Switches of ``lsst.ip.isr.IsrTaskLSST`` that change pixels, in the order of
its ``run``.  Overscan, dithering, checks of amplifiers and assembly have no
switch that could be off: they are in what all steps start from."""

_WITHOUT_EFFECT = ("doSaveInterpPixels", "doStandardStatistics", "doCalculateStatistics", "doBinnedExposures")
"""Switches that change no pixel of the image, and are off in all runs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskStep:
    """A pair of configurations to run."""

    name: str
    """Switch that is on for the first time, ``start`` or ``all``."""
    reference: PipelineTaskConfig
    """Configuration of the reference."""
    candidate: PipelineTaskConfig
    """Configuration of the candidate."""
    in_reference: bool = True
    """Whether the reference does the step."""
    in_candidate: bool = True
    """Whether the candidate does the step."""


def plan_steps(
    reference: PipelineTaskConfig, candidate: PipelineTaskConfig, *, by_step: bool = True
) -> list[TaskStep]:
    """Plan which configurations are run to tell the steps apart.

    Parameters
    ----------
    reference, candidate
        Configurations with everything on that is to be on; not changed.
    by_step
        Whether to switch one step on after another; otherwise everything is
        run at once.

    Returns
    -------
    steps
        ``start`` with all switches off, and a step for each switch that is on
        in either; or ``all``, if neither has such a switch.

    Raises
    ------
    VerifyError
        Raised if a task does not accept such a configuration.
    """
    on = {side: _switches_on(config) for side, config in (("r", reference), ("c", candidate))}
    switches = [name for name in STEP_SWITCHES if name in on["r"] or name in on["c"]] if by_step else []
    if not switches:
        return [TaskStep(name="all", reference=_with_only(reference), candidate=_with_only(candidate))]
    names = ["start", *switches]
    steps = []
    for number, name in enumerate(names):
        steps.append(
            TaskStep(
                name=name,
                reference=_with_only(reference, names[: number + 1]),
                candidate=_with_only(candidate, names[: number + 1]),
                in_reference=not number or name in on["r"],
                in_candidate=not number or name in on["c"],
            )
        )
    return steps


def _switches_on(config: PipelineTaskConfig) -> set[str]:
    return {name for name in STEP_SWITCHES if getattr(config, name, None) is True}


def _with_only(config: PipelineTaskConfig, switches: Sequence[str] | None = None) -> PipelineTaskConfig:
    """Return a copy in which, of the steps, only some are on, and nothing that
    has no effect on the pixels.
    """
    changed = copy_config(config)
    off = set(_WITHOUT_EFFECT)
    if switches is not None:
        off |= set(STEP_SWITCHES) - set(switches)
    for name in off:
        if getattr(changed, name, None) is True:
            setattr(changed, name, False)
    try:
        changed.validate()  # type: ignore[no-untyped-call]
    except ValueError as error:
        on = ", ".join(switches) if switches else "all"
        kind = f"{type(config).__module__}.{type(config).__qualname__}"
        raise VerifyError(f"{kind} cannot be used with these steps ({on}): {error}") from error
    return changed
