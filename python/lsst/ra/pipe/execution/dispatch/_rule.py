# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DetectorSet", "Patterns", "Rule", "import_function")

import importlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
import pydantic_core

from ._exposure_facts import ExposureFacts
from ._identifiers import parse_identifiers
from ._patterns import matches_any
from ._region import SkyCircle, SkyPolygon

CONDITIONS = (
    "instrument",
    "observation_type",
    "observation_reason",
    "science_program",
    "physical_filter",
)
"""Conditions of a rule on strings, which are facts of the exposure."""

ACTIONS = ("pipeline", "function", "ignore")
"""What a rule may do: exactly one of them."""


def _read_strings(value: object) -> object:
    """Take a string for a list of one."""
    if value == []:
        raise ValueError("expected a string or a list of strings; leave the key out for any value")
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _read_detectors(value: object) -> object:
    """Take the text of numbers and ranges for a set of numbers."""
    items = value if isinstance(value, list | tuple | set | frozenset) else [value]
    numbers: set[int] = set()
    for item in items:
        if isinstance(item, str):
            numbers.update(parse_identifiers(item))
        elif isinstance(item, int) and not isinstance(item, bool) and item >= 0:
            numbers.add(item)
        else:
            raise ValueError(f'expected detector numbers and ranges like "90..98,100"; got {item!r}')
    if not numbers:
        raise ValueError("expected at least one detector; leave the key out for all")
    return frozenset(numbers)


def _read_names(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _read_expected_detectors(value: object) -> object:
    return value if value == "science" else _read_detectors(value)


def _kind_of_region(value: object) -> str:
    return "polygon" if isinstance(value, list | tuple | SkyPolygon) else "circle"


Patterns = Annotated[tuple[str, ...], pydantic.BeforeValidator(_read_strings)]
"""Strings, or one: glob patterns of `fnmatch`, of which one must match."""

DetectorSet = Annotated[frozenset[int], pydantic.BeforeValidator(_read_detectors)]
"""Detector numbers, or the text of numbers and ranges."""

_Names = Annotated[tuple[str, ...], pydantic.BeforeValidator(_read_names)]
_Region = Annotated[
    Annotated[SkyCircle, pydantic.Tag("circle")] | Annotated[SkyPolygon, pydantic.Tag("polygon")],
    pydantic.Discriminator(_kind_of_region),
]


class Rule(pydantic.BaseModel, frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True):
    """What to do with the images that meet some conditions.

    Notes
    -----
    A condition that is left out is met by every image.  A string or a glob
    pattern (``*``, ``?``, ``[...]``) is met by the values that match it, a list
    by those that match one of its members.  A value that the exposure does not
    have meets no condition.
    """

    name: str = pydantic.Field(pattern=r"^[a-zA-Z0-9_-]+$")
    """Name of the rule, which no other rule has."""

    instrument: Patterns | None = None
    """Condition on the Butler ``instrument``."""

    observation_type: Patterns | None = None
    """Condition on the type, for example ``science``."""

    observation_reason: Patterns | None = None
    """Condition on the reason, for example ``field_survey*``."""

    science_program: Patterns | None = None
    """Condition on the program, for example ``BLOCK-*``."""

    physical_filter: Patterns | None = None
    """Condition on the physical filter."""

    detectors: DetectorSet | None = None
    """Condition on the detector: numbers and ranges such as ``90..98,100``."""

    region: _Region | None = None
    """Condition on the boresight: the circle or polygon in which it lies
    (degrees, ICRS)."""

    pipeline: str | None = None
    """URI of the pipeline to run; ``#label,label`` selects tasks or subsets."""

    function: str | None = pydantic.Field(default=None, pattern=r"^\w+(\.\w+)*:\w+$")
    """Python function to call instead, as ``package.module:name``."""

    ignore: bool = False
    """Whether to do nothing."""

    order: Literal["fifo", "newest-first"] = "fifo"
    """Which images go first when they wait: the oldest or the newest."""

    time_limit: float = pydantic.Field(default=120.0, gt=0.0)
    """Time (s) after which an attempt on an image is ended."""

    attempts: int = pydantic.Field(default=3, ge=1)
    """Number of attempts on an image before it is given up."""

    raw_wait: float = pydantic.Field(default=60.0, ge=0.0)
    """Time (s) to wait for a raw that was announced but is not there yet."""

    expected_detectors: Annotated[
        Literal["science"] | frozenset[int], pydantic.BeforeValidator(_read_expected_detectors)
    ] = "science"
    """Detectors that an exposure is complete with: numbers and ranges, or
    ``science`` for all whose purpose is that."""

    gather_deadline: float = pydantic.Field(default=60.0, ge=0.0)
    """Time (s) to wait for further detectors before an exposure is gathered
    without them."""

    persist: _Names = ()
    """Intermediate dataset types to write; others pass in memory only."""

    publish: _Names = ()
    """Dataset types whose content goes out with the result."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _conditions_are_not_empty(cls, data: Any) -> Any:
        """Refuse ``detectors:`` without a value, which YAML takes for null."""
        if isinstance(data, Mapping):
            for key in (*CONDITIONS, "detectors", "region"):
                if key in data and data[key] is None:
                    raise pydantic_core.PydanticCustomError(
                        "empty", "{key} is empty; leave the key out for any value", {"key": key}
                    )
        return data

    @pydantic.model_validator(mode="after")
    def _has_one_action(self) -> Self:
        actions = [name for name in ACTIONS if getattr(self, name)]
        if len(actions) != 1:
            given = " and ".join(actions) or "none"
            raise pydantic_core.PydanticCustomError(
                "action",
                "expected exactly one of {expected}; got {given}",
                {"expected": ", ".join(ACTIONS), "given": given, "key": actions[-1] if actions else "name"},
            )
        return self

    def matches(self, facts: ExposureFacts, detector: int) -> bool:
        """Tell whether an image meets all conditions.

        Parameters
        ----------
        facts
            Facts of the exposure.
        detector
            Butler ``detector``.

        Returns
        -------
        matches
            `True` if it does.
        """
        return (self.detectors is None or detector in self.detectors) and self.matches_exposure(facts)

    def matches_exposure(self, facts: ExposureFacts) -> bool:
        """Tell whether an exposure meets all conditions but the detector's.

        Parameters
        ----------
        facts
            Facts of the exposure.

        Returns
        -------
        matches
            `True` if it does.
        """
        for name in CONDITIONS:
            patterns = getattr(self, name)
            if patterns is not None and not matches_any(patterns, getattr(facts, name)):
                return False
        if self.region is None:
            return True
        return facts.ra is not None and facts.dec is not None and self.region.contains(facts.ra, facts.dec)


def import_function(name: str) -> Callable[..., Any]:
    """Import the function that a rule names.

    Parameters
    ----------
    name
        The function as ``package.module:name``.

    Returns
    -------
    function
        The function.

    Raises
    ------
    ImportError
        Raised if there is no such module.
    AttributeError
        Raised if the module has no such name.
    TypeError
        Raised if it cannot be called.

    Notes
    -----
    The module's own code runs, and may raise anything.
    """
    module, _, attribute = name.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    if not callable(function):
        raise TypeError(f"{name} is a {type(function).__name__}, which cannot be called")
    result: Callable[..., Any] = function
    return result
