# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Exposures to judge, with metrics as a test wants them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml
from astropy.table import Table
from lsst.ra.pipe.sinks.alerts import (
    Alert,
    AlertContext,
    AlertMemory,
    AlertRule,
    AlertRules,
    AlertState,
    ExposureMetrics,
    Severity,
    evaluate,
)

DAY_OBS = 20260101


def make_exposure(
    seq_num: int,
    *,
    detectors: Mapping[str, Sequence[Any]] | None = None,
    day_obs: int = DAY_OBS,
    **summary: Any,
) -> ExposureMetrics:
    """Metrics of one exposure: any of its summary, and columns of its detectors."""
    columns = dict(detectors or {})
    n = len(next(iter(columns.values()), ()))
    table = Table({name: np.array(values) for name, values in columns.items()})
    table["detector_name"] = [f"R22_S{index // 3}{index % 3}" for index in range(n)]
    facts = {
        "instrument": "LSSTCam",
        "exposure": day_obs * 100_000 + seq_num,
        "visit": day_obs * 100_000 + seq_num,
        "day_obs": day_obs,
        "seq_num": seq_num,
        "physical_filter": "r_57",
        "band": "r",
        "observation_type": "science",
        "exposure_time_second": 30.0,
    }
    return ExposureMetrics(summary=facts | summary, detectors=table)


def make_rules(*texts: str) -> AlertRules:
    """Rules of severity info, from YAML without its braces."""
    rules = []
    for index, text in enumerate(texts):
        data = {"name": f"rule-{index}", "severity": "info"} | yaml.safe_load(f"{{{text}}}")
        rules.append(AlertRule.model_validate(data))
    return AlertRules(tuple(rules))


def watch(
    rules: AlertRules, exposures: Iterable[ExposureMetrics], memory: AlertMemory | None = None
) -> list[Alert]:
    """Judge exposures one after another; return all that is told."""
    memory = AlertMemory() if memory is None else memory
    told: list[Alert] = []
    for exposure in exposures:

        def decide(context: AlertContext, exposure: ExposureMetrics = exposure) -> Any:
            return evaluate(rules, exposure, context)

        told += memory.exchange(exposure.record(rules.remembered_metrics), decide)
    return told


def make_alert(rule: str = "clouds", *, seq_num: int = 1, **others: Any) -> Alert:
    """One alert."""
    facts: dict[str, Any] = {
        "rule": rule,
        "severity": Severity.WARNING,
        "state": AlertState.OPEN,
        "instrument": "LSSTCam",
        "exposure": DAY_OBS * 100_000 + seq_num,
        "since": DAY_OBS * 100_000 + seq_num,
        "day_obs": DAY_OBS,
        "seq_num": seq_num,
        "metric": "zero_point_mag_median",
        "message": "Zero point fell",
    }
    return Alert.model_validate(facts | others)
