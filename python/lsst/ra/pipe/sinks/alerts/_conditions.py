# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("AmplifierCondition", "ChangeCondition", "DetectorCondition", "LevelCondition", "Reading")

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pydantic
import pydantic_core
from astropy.table import Table

from ...algorithms.amplifiers import AMPLIFIER_METRICS
from ...algorithms.focal_plane import summarize
from ...algorithms.measurement import MetricDefinition
from ._exposure import ExposureMetrics, ExposureRecord, column_numbers
from ._metric_names import DETECTOR_TABLE_METRICS, EXPOSURE_METRICS, suggest_names

_MAX_NAMES = 5
"""Detectors that a message names."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """How an exposure compares with a condition."""

    met: bool
    """Whether the condition is met."""

    cleared: bool
    """Whether an alert ends: it is not met, by the hysteresis at least."""

    value: float
    """What was compared with the bounds."""

    words: Mapping[str, Any] = MappingProxyType({})
    """What messages may contain, by name."""

    detectors: tuple[str, ...] = ()
    """Names of the detectors or amplifiers that were found."""


def _read_strings(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


_Strings = Annotated[tuple[str, ...], pydantic.BeforeValidator(_read_strings), pydantic.Field(min_length=1)]
_Bound = Annotated[float, pydantic.Field(strict=False, allow_inf_nan=False)]


class _Condition(pydantic.BaseModel, frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True):
    """A metric and what is compared with it."""

    metric: str
    """Name of the metric."""

    above: _Bound | None = None
    """The condition is met by larger values."""

    below: _Bound | None = None
    """The condition is met by smaller values."""

    metrics: ClassVar[Mapping[str, MetricDefinition]] = EXPOSURE_METRICS
    """Metrics that the condition may be on."""

    @pydantic.field_validator("metric")
    @classmethod
    def _metric_exists(cls, name: str) -> str:
        if name not in cls.metrics:
            similar = suggest_names(name, cls.metrics)
            hint = f"; did you mean {similar}?" if similar else ""
            raise ValueError(f"there is no metric {name!r} of {cls._of_what()}{hint}")
        return name

    @classmethod
    def _of_what(cls) -> str:
        return "an exposure"

    @pydantic.model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.above is not None and self.below is not None and self.below > self.above:
            raise _error(
                "below",
                f"expected at most {self.above:g}, which is 'above', got {self.below:g}: any value meets one",
            )
        return self

    @property
    def definition(self) -> MetricDefinition:
        """What the metric is (`MetricDefinition`)."""
        return self.metrics[self.metric]

    def _is_beyond(self, value: float, hysteresis: float = 0.0) -> bool:
        return (self.above is not None and value > self.above - hysteresis) or (
            self.below is not None and value < self.below + hysteresis
        )


class LevelCondition(_Condition):
    """A metric of the exposure is above or below a level."""

    default_message: ClassVar[str] = "{metric} is {value:.4g} {unit} ({bounds})"
    """Message of rules that have none (`str`)."""

    @pydantic.model_validator(mode="after")
    def _has_bound(self) -> Self:
        return _require_bound(self)

    @property
    def unit(self) -> str:
        """Unit of the value that is compared (`str`)."""
        return self.definition.unit

    @property
    def words(self) -> Mapping[str, Any]:
        """What messages may contain, by name (`~collections.abc.Mapping`)."""
        return {"bounds": _describe_bounds(self)}

    def read(
        self, exposure: ExposureMetrics, history: Sequence[ExposureRecord], *, hysteresis: float
    ) -> Reading | None:
        """Compare an exposure.

        Parameters
        ----------
        exposure
            Its metrics.
        history
            Earlier exposures of the same kind, which do not matter here.
        hysteresis
            How far on the good side of the bound an alert ends.

        Returns
        -------
        reading
            The result; `None` if the metric is not known.
        """
        value = exposure.value(self.metric)
        if not math.isfinite(value):
            return None
        return Reading(self._is_beyond(value), not self._is_beyond(value, hysteresis), value, self.words)


class ChangeCondition(_Condition):
    """A metric of the exposure has changed from the median of earlier ones.

    ``above`` and ``below`` are bounds of the change: the value minus the
    median.
    """

    unit_of_change: Literal["metric", "sigma"] = pydantic.Field(default="metric", alias="in")
    """Unit of the bounds: that of the metric, or the robust standard deviation
    of the earlier exposures."""

    smallest_sigma: _Bound | None = pydantic.Field(default=None, gt=0)
    """The least that is taken for the standard deviation, in the metric's
    unit: exposures that are alike by chance do not make the next one an
    outlier."""

    last: int = pydantic.Field(default=10, ge=1)
    """Number of earlier exposures to compare with, the latest ones."""

    at_least: int = pydantic.Field(default=3, ge=1)
    """Number of them that there must be."""

    same: Annotated[
        tuple[
            Literal[
                "physical_filter",
                "band",
                "exposure_time_second",
                "day_obs",
                "observation_type",
                "observation_reason",
                "science_program",
                "target",
            ],
            ...,
        ],
        pydantic.BeforeValidator(_read_strings),
    ] = ("physical_filter",)
    """What earlier exposures must have in common with this one, beside the
    instrument and the rule's ``when``."""

    default_message: ClassVar[str] = (
        "{metric} is {now:.4g} {metric_unit}, {change:+.3g} from the median of the last {n} exposures "
        "({bounds})"
    )
    """Message of rules that have none (`str`)."""

    @pydantic.model_validator(mode="after")
    def _has_bound(self) -> Self:
        return _require_bound(self)

    @pydantic.model_validator(mode="after")
    def _sigma_fits(self) -> Self:
        if (self.unit_of_change == "sigma") != (self.smallest_sigma is not None):
            raise _error(
                "smallest_sigma",
                "expected a value if 'in' is sigma, and none otherwise; "
                f"'in' is {self.unit_of_change}, the value {self.smallest_sigma}",
            )
        if self.at_least > self.last:
            raise _error("at_least", f"expected at most {self.last}, which is 'last', got {self.at_least}")
        return self

    @property
    def unit(self) -> str:
        """Unit of the value that is compared (`str`)."""
        return "sigma" if self.unit_of_change == "sigma" else self.definition.unit

    @property
    def words(self) -> Mapping[str, Any]:
        """What messages may contain, by name (`~collections.abc.Mapping`)."""
        return {
            "bounds": _describe_bounds(self),
            "metric_unit": self.definition.unit,
            "now": 0.0,
            "median": 0.0,
            "change": 0.0,
            "n": 0,
        }

    def read(
        self, exposure: ExposureMetrics, history: Sequence[ExposureRecord], *, hysteresis: float
    ) -> Reading | None:
        """Compare an exposure.

        Parameters
        ----------
        exposure
            Its metrics.
        history
            Earlier exposures of the same kind.
        hysteresis
            How far on the good side of the bound an alert ends.

        Returns
        -------
        reading
            The result; `None` if the metric is not known, or too few of the
            earlier exposures have it.
        """
        now = exposure.value(self.metric)
        facts = exposure.facts()
        alike = [
            record
            for record in history
            if record.exposure < exposure.exposure
            and self.metric in record.values
            and all(record.facts.get(name) == facts.get(name) for name in self.same)
        ]
        alike = sorted(alike, key=lambda record: record.exposure)[-self.last :]
        if not math.isfinite(now) or len(alike) < self.at_least:
            return None
        earlier = summarize(np.array([record.values[self.metric] for record in alike]))
        value = change = now - earlier.median
        if self.smallest_sigma is not None:
            value = change / max(self.smallest_sigma, np.nan_to_num(earlier.scatter))
        words = {**self.words, "now": now, "median": earlier.median, "change": change, "n": len(alike)}
        return Reading(self._is_beyond(value), not self._is_beyond(value, hysteresis), value, words)


class DetectorCondition(_Condition):
    """At least some number or fraction of the detectors has values of a
    metric that are above or below a level, or has certain texts.

    Detectors whose value is not known do not count, neither among those that
    are found nor in the total that the fraction is of.
    """

    metrics: ClassVar[Mapping[str, MetricDefinition]] = DETECTOR_TABLE_METRICS
    """Metrics that the condition may be on."""

    one_of: _Strings | None = None
    """The condition is met by these texts."""

    other_than: _Strings | None = None
    """The condition is met by all texts but these."""

    number: int | None = pydantic.Field(default=None, ge=1)
    """Number of detectors that must meet it."""

    fraction: _Bound | None = pydantic.Field(default=None, gt=0.0, le=1.0)
    """Fraction of the detectors that must meet it."""

    default_message: ClassVar[str] = "{metric} of {number} of {total} detectors {bounds}: {names}"
    """Message of rules that have none (`str`)."""

    @classmethod
    def _of_what(cls) -> str:
        return "a detector"

    @pydantic.model_validator(mode="after")
    def _fits_metric(self) -> Self:
        numbers = [key for key in ("above", "below") if getattr(self, key) is not None]
        texts = [key for key in ("one_of", "other_than") if getattr(self, key) is not None]
        expected, given, wrong = ("one_of or other_than", texts, numbers)
        if self.definition.type is not str:
            expected, given, wrong = ("above or below", numbers, texts)
        if wrong:
            kind = "text" if self.definition.type is str else "a number"
            raise _error(wrong[0], f"{self.metric} is {kind}: expected {expected}")
        if not given or len(texts) > 1:
            raise _error(
                "metric", f"expected {expected} for {self.metric}, got {' and '.join(given) or 'none'}"
            )
        if (self.number is None) == (self.fraction is None):
            raise _error("metric", "expected either number or fraction")
        return self

    @property
    def unit(self) -> str:
        """Unit of the value that is compared: none (`str`)."""
        return ""

    @property
    def words(self) -> Mapping[str, Any]:
        """What messages may contain, by name (`~collections.abc.Mapping`)."""
        return {
            "bounds": _describe_bounds(self),
            "metric_unit": self.definition.unit,
            "number": 0,
            "total": 0,
            "fraction": 0.0,
            "names": "",
        }

    def read(
        self, exposure: ExposureMetrics, history: Sequence[ExposureRecord], *, hysteresis: float
    ) -> Reading | None:
        """Compare an exposure.

        Parameters
        ----------
        exposure
            Its metrics.
        history
            Earlier exposures, which do not matter here.
        hysteresis
            By how much the number or the fraction must be less for an alert to
            end.

        Returns
        -------
        reading
            The result; `None` if the metric is not known of any.
        """
        table = self._table(exposure)
        if self.metric not in table.colnames or not len(table):
            return None
        found, known = self._select(table)
        number, total = int(np.count_nonzero(found)), int(np.count_nonzero(known))
        if total == 0:
            return None
        names = tuple(name for name, is_found in zip(self._names(table), found, strict=True) if is_found)
        value = float(number) if self.number is not None else number / total
        bound = self.number if self.number is not None else self.fraction
        assert bound is not None, "The validator has seen to it."
        words = {
            **self.words,
            "number": number,
            "total": total,
            "fraction": number / total,
            "names": _join_names(names),
        }
        cleared = number == 0 or value < bound - hysteresis
        return Reading(number > 0 and value >= bound, cleared, value, words, names)

    def _table(self, exposure: ExposureMetrics) -> Table:
        return exposure.detectors

    def _names(self, table: Table) -> list[str]:
        return [str(name) for name in table["detector_name"]]

    def _select(self, table: Table) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which rows meet the condition, and which are known."""
        if self.definition.type is str:
            texts = [str(text) for text in table[self.metric]]
            known = np.array([bool(text) for text in texts])
            if self.one_of is not None:
                return known & np.array([text in self.one_of for text in texts]), known
            assert self.other_than is not None, "The validator has seen to it."
            return known & np.array([text not in self.other_than for text in texts]), known
        values = column_numbers(table, self.metric)
        found = np.zeros(len(values), dtype=bool)
        if self.above is not None:
            found |= values > self.above
        if self.below is not None:
            found |= values < self.below
        return found, np.isfinite(values)


class AmplifierCondition(DetectorCondition):
    """The same for the amplifiers of a bias, dark or flat exposure."""

    metrics: ClassVar[Mapping[str, MetricDefinition]] = AMPLIFIER_METRICS
    """Metrics that the condition may be on."""

    default_message: ClassVar[str] = "{metric} of {number} of {total} amplifiers {bounds}: {names}"
    """Message of rules that have none (`str`)."""

    @classmethod
    def _of_what(cls) -> str:
        return "an amplifier"

    def _table(self, exposure: ExposureMetrics) -> Table:
        return exposure.amplifiers

    def _names(self, table: Table) -> list[str]:
        return [
            f"{detector}_{amplifier}"
            for detector, amplifier in zip(table["detector_name"], table["amplifier"], strict=True)
        ]


def _require_bound[C: _Condition](condition: C) -> C:
    if condition.above is None and condition.below is None:
        raise _error("metric", "expected above or below, or both")
    return condition


def _describe_bounds(condition: Any) -> str:
    """Say in words what meets a condition."""
    unit = "" if isinstance(condition, DetectorCondition) else condition.unit
    if isinstance(condition, DetectorCondition):
        unit = condition.definition.unit
    unit = f" {unit}" if unit else ""
    texts = [
        f"{key} {getattr(condition, key):g}{unit}"
        for key in ("above", "below")
        if getattr(condition, key) is not None
    ]
    for key, words in (("one_of", "is"), ("other_than", "is other than")):
        if (values := getattr(condition, key, None)) is not None:
            texts.append(f"{words} {' or '.join(values)}")
    return " or ".join(texts)


def _join_names(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _MAX_NAMES
    return ", ".join(listed[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _error(key: str, message: str) -> pydantic_core.PydanticCustomError:
    """Make an error of the whole condition that is one of its keys' fault."""
    return pydantic_core.PydanticCustomError("condition", "{message}", {"message": message, "key": key})
