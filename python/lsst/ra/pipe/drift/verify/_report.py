# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a comparison of two tasks' pixels has found."""

from __future__ import annotations

__all__ = (
    "DetectorReport",
    "Deviation",
    "PixelDifferences",
    "PlaneDifference",
    "SettingDifference",
    "StepReport",
    "Tolerance",
    "VerifyError",
    "VerifyReport",
)

from collections.abc import Mapping
from typing import Literal

import pydantic

from .._errors import DriftError
from .._record import Record
from .._values import ABSENT, JsonValue


class VerifyError(DriftError):
    """Two tasks cannot be run or compared; the message names what is missing."""


class Tolerance(Record):
    """How far two values may be apart: the sum of both parts."""

    absolute: float = pydantic.Field(default=0.01, ge=0, allow_inf_nan=False)
    """Part that all values have (electron, and electron squared for the
    variance; adu before the gains are applied)."""
    relative: float = pydantic.Field(default=2.0**-21, ge=0, allow_inf_nan=False)
    """Part in proportion to the larger of the two; by default that of four
    units in the last place of float32."""


class Deviation(Record):
    """How the values of some pixels differ."""

    n: int = 0
    """Pixels beyond the tolerance."""
    n_not_finite: int = 0
    """Those of them that have no finite value on one side, or on both; `max`
    and `rms` are without them."""
    max: float = 0.0
    """Largest absolute difference of the pixels beyond the tolerance."""
    rms: float = 0.0
    """Root mean square of their differences."""


class PlaneDifference(Record):
    """How often a mask plane is set."""

    plane: str
    """Name of the plane."""
    only_reference: int
    """Pixels in which only the reference has it."""
    only_candidate: int
    """Pixels in which only the candidate has it."""
    both: int
    """Pixels in which both have it."""


class PixelDifferences(Record):
    """How two images differ."""

    image: Deviation
    """Values of the image (electron, or adu without gains)."""
    variance: Deviation
    """Values of the variance, in that unit squared."""
    planes: tuple[PlaneDifference, ...]
    """Mask planes that are set anywhere, sorted by name."""
    image_by_plane: Mapping[str, Deviation]
    """Values of the image in the pixels that either side has in a mask plane;
    under the empty name, of those that are in none."""

    @property
    def found(self) -> bool:
        """Whether there are any differences."""
        masks = any(plane.only_reference or plane.only_candidate for plane in self.planes)
        return bool(self.image.n or self.variance.n or masks)


class StepReport(Record):
    """The images after a step, with those before it."""

    step: str
    """Switch that is on for the first time; ``start`` if all are off, and
    ``all`` for a task that is run once."""
    in_reference: bool
    """Whether the reference does the step."""
    in_candidate: bool
    """Whether the candidate does the step."""
    added: PixelDifferences
    """In the pixels that were the same before the step."""
    total: PixelDifferences
    """In all pixels, after the step."""


class DetectorReport(Record):
    """How the images of one detector differ."""

    detector: int
    """Number of the detector."""
    steps: tuple[StepReport, ...] = ()
    """Steps in their order; the last one has everything."""
    problem: str = ""
    """Why the images could not be compared; empty if they were."""

    @property
    def differs(self) -> bool:
        """Whether the final images differ."""
        return bool(self.steps) and self.steps[-1].total.found


class SettingDifference(Record):
    """A field that has other values in the two configurations."""

    field: str
    """Dotted name."""
    reference: JsonValue = ABSENT
    """Encoded value; `ABSENT` if the reference has no such field."""
    candidate: JsonValue = ABSENT
    """Encoded value; `ABSENT` if the candidate has no such field."""
    applied: bool = False
    """Whether the candidate ran with the reference's value."""
    refusal: str = ""
    """What the candidate said to the reference's value."""


class VerifyReport(Record):
    """How a candidate's pixels differ from those of a reference."""

    schema_version: Literal[1] = 1
    """Version of this layout."""
    reference: str
    """Pipeline and label of the reference."""
    candidate: str
    """Pipeline and label of the candidate."""
    reference_class: str
    """Full name of the reference's task."""
    candidate_class: str
    """Full name of the candidate's task."""
    instrument: str
    """Butler instrument."""
    exposure: int
    """Butler exposure."""
    collections: tuple[str, ...]
    """Where the inputs are from."""
    tolerance: Tolerance
    """How far values may be apart."""
    same_config: bool
    """Whether the candidate was given the reference's values."""
    settings: tuple[SettingDifference, ...]
    """Fields that differ, sorted by name."""
    detectors: tuple[DetectorReport, ...]
    """Detectors, by number."""

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> Literal[0, 1, 2]:
        """As of ``diff``: 0 the same within the tolerance, 1 different, 2 not
        all detectors could be compared.
        """
        if any(one.problem for one in self.detectors):
            return 2
        return 1 if any(one.differs for one in self.detectors) else 0

    def to_json(self) -> str:
        """Write it as JSON.

        Returns
        -------
        text
            The JSON, with an end of line.
        """
        return self.model_dump_json(indent=1) + "\n"
