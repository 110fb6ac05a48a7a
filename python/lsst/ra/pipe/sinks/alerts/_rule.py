# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("AlertRule", "AlertRules", "Circumstances")

import dataclasses
import fnmatch
import string
from collections.abc import Iterator, Mapping
from typing import Any, Self

import pydantic
import pydantic_core

from ...execution.dispatch import Patterns
from ._alert import Severity
from ._conditions import AmplifierCondition, ChangeCondition, DetectorCondition, LevelCondition

CONDITIONS = ("level", "change", "detectors", "amplifiers")
"""What a rule may be: exactly one of them."""

Condition = LevelCondition | ChangeCondition | DetectorCondition | AmplifierCondition

_COMMON_WORDS: Mapping[str, Any] = {
    "rule": "",
    "instrument": "",
    "exposure": 0,
    "day_obs": 0,
    "seq_num": 0,
    "physical_filter": "",
    "metric": "",
    "unit": "",
    "value": 0.0,
}
"""What the message of any rule may contain."""


class Circumstances(
    pydantic.BaseModel, frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
):
    """Exposures that a rule is for.

    Notes
    -----
    What is left out is met by every exposure.  A string or a glob pattern
    (``*``, ``?``, ``[...]``) is met by the values that match it, a list by
    those that match one of its members.  A value that the exposure does not
    have meets none.
    """

    instrument: Patterns | None = None
    """Butler ``instrument``."""

    observation_type: Patterns | None = None
    """Type, for example ``science``."""

    observation_reason: Patterns | None = None
    """Reason, for example ``field_survey*``."""

    science_program: Patterns | None = None
    """Programme, for example ``BLOCK-*``."""

    physical_filter: Patterns | None = None
    """Physical filter."""

    band: Patterns | None = None
    """Band, for example ``r``."""

    target: Patterns | None = None
    """Object or field."""

    def include(self, facts: Mapping[str, object]) -> bool:
        """Tell whether an exposure is meant.

        Parameters
        ----------
        facts
            What is known of the exposure.

        Returns
        -------
        included
            `True` if it is.
        """
        for name in type(self).model_fields:
            patterns = getattr(self, name)
            value = facts.get(name)
            if patterns is not None and not (
                value is not None and any(fnmatch.fnmatchcase(str(value), pattern) for pattern in patterns)
            ):
                return False
        return True


class AlertRule(pydantic.BaseModel, frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True):
    """When to alert observers, and what to say.

    Notes
    -----
    An alert opens with the first exposure that meets the condition.  It closes
    with the first later one that the rule is for and that does not meet it, by
    the hysteresis at least, or when a new observing day begins.  An exposure
    whose metric is not known changes nothing.
    """

    name: str = pydantic.Field(pattern=r"^[a-zA-Z0-9_-]+$")
    """Name of the rule, which no other rule has."""

    severity: Severity = pydantic.Field(strict=False)
    """How urgent it is: ``info``, ``warning`` or ``critical``."""

    when: Circumstances = Circumstances()
    """Exposures that the rule is for; the default is all."""

    level: LevelCondition | None = None
    """A metric of the exposure is above or below a level."""

    change: ChangeCondition | None = None
    """A metric of the exposure has changed from the median of earlier ones."""

    detectors: DetectorCondition | None = None
    """Some detectors are above or below a level, or in a status."""

    amplifiers: AmplifierCondition | None = None
    """The same of amplifiers, for bias, dark and flat exposures."""

    hysteresis: float = pydantic.Field(default=0.0, ge=0.0, strict=False, allow_inf_nan=False)
    """How far on the good side of the bound the value must be for an alert to
    close, in the unit of the bound."""

    repeat: bool = False
    """Whether to tell of an open alert with every exposure that meets the
    condition, not with the first one only."""

    message: str | None = None
    """What to say, with names in braces as in Python's formats."""

    @pydantic.model_validator(mode="after")
    def _has_one_condition(self) -> Self:
        given = [name for name in CONDITIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise pydantic_core.PydanticCustomError(
                "rule",
                "expected exactly one of {expected}; got {given}",
                {
                    "expected": ", ".join(CONDITIONS),
                    "given": " and ".join(given) or "none",
                    "key": given[-1] if given else "name",
                },
            )
        return self

    @pydantic.model_validator(mode="after")
    def _message_fits(self) -> Self:
        if self.message is not None:
            try:
                _check_template(self.message, {**_COMMON_WORDS, **self.condition.words})
            except (ValueError, KeyError, IndexError) as err:
                raise pydantic_core.PydanticCustomError(
                    "rule", "message: {reason}", {"reason": str(err.args[0]), "key": "message"}
                ) from err
        return self

    @property
    def condition(self) -> Condition:
        """The one condition that the rule has."""
        condition = self.level or self.change or self.detectors or self.amplifiers
        assert condition is not None, "The validator has seen to it."
        return condition

    @property
    def template(self) -> str:
        """The message, or what stands for it if there is none (`str`)."""
        return self.condition.default_message if self.message is None else self.message


@dataclasses.dataclass(frozen=True)
class AlertRules:
    """Rules, each with a name of its own."""

    rules: tuple[AlertRule, ...] = ()
    """The rules, in their order."""

    origin: str = "alert rules"
    """The file."""

    def __iter__(self) -> Iterator[AlertRule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @property
    def remembered_metrics(self) -> frozenset[str]:
        """Metrics that exposures are compared with earlier ones in."""
        return frozenset(rule.change.metric for rule in self.rules if rule.change is not None)


def _check_template(template: str, words: Mapping[str, Any]) -> None:
    """Complain of a message that cannot be written."""
    for _, name, _, _ in string.Formatter().parse(template):
        if name is not None and name not in words:
            raise ValueError(f"there is no {{{name}}}; there are {', '.join(sorted(words))}")
    template.format(**words)
