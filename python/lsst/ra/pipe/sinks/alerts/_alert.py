# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Alert", "AlertState", "Severity")

import enum
from typing import Literal

import pydantic


class Severity(enum.StrEnum):
    """How urgent an alert is."""

    INFO = "info"
    """Worth knowing."""

    WARNING = "warning"
    """To be looked at soon."""

    CRITICAL = "critical"
    """Exposures may be lost until somebody acts."""

    @property
    def rank(self) -> int:
        """Place in the order of urgency, from 0 (`int`)."""
        return list(Severity).index(self)


class AlertState(enum.StrEnum):
    """Whether an alert begins or ends."""

    OPEN = "open"
    """The rule's condition is met."""

    CLOSED = "closed"
    """It is no longer met."""


class Alert(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What a rule says about an exposure."""

    type: Literal["exposure-alert"] = "exposure-alert"
    """What this message is."""

    version: Literal[1] = 1
    """Version of this model."""

    rule: str
    """Name of the rule."""

    severity: Severity
    """How urgent it is."""

    state: AlertState
    """Whether the alert begins, or goes on, or ends."""

    instrument: str
    """Butler ``instrument``."""

    exposure: int
    """Butler ``exposure`` that this message is about."""

    since: int
    """Butler ``exposure`` that the alert began with."""

    day_obs: int
    """Day of observation as YYYYMMDD."""

    seq_num: int
    """Number of the exposure within its day; -1 if it is not known."""

    physical_filter: str = ""
    """Butler ``physical_filter``."""

    observation_type: str = ""
    """Kind of exposure."""

    metric: str
    """Name of the metric that the rule is on."""

    unit: str = ""
    """Unit of ``value``, as astropy spells it; empty for none."""

    value: float | None = pydantic.Field(default=None, allow_inf_nan=False)
    """What was compared with the rule's bounds: the metric, its change, or
    the number or fraction of detectors; `None` if it was not known."""

    detectors: tuple[str, ...] = ()
    """Names of the detectors or amplifiers that the rule found."""

    late: bool = False
    """Whether it is of an exposure that was gathered after a later one: it
    changes nothing of what is open now."""

    message: str
    """One sentence for people."""

    @property
    def id(self) -> str:
        """Identifier, the same whenever this message is sent again (`str`)."""
        return f"{self.instrument}/{self.exposure}/{self.rule}/{self.state}"
