# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Metrics and facts of images that nobody took, for the tests of ConsDB."""

from __future__ import annotations

import datetime
import math
from typing import Any

from lsst.ra.pipe.algorithms.measurement import DETECTOR_METRICS
from lsst.ra.pipe.camera import compute_exposure_id

DAY_OBS = 20250415


def make_facts(seq_num: int = 88, *, prefix: str = "MC", **others: Any) -> dict[str, Any]:
    """Make the facts of an exposure."""
    begin = datetime.datetime(2025, 4, 16, 2, 3, 4)
    return {
        "exposure_id": compute_exposure_id(DAY_OBS, seq_num),
        "exposure_name": f"{prefix}_O_{DAY_OBS}_{seq_num:06d}",
        "controller": "O",
        "day_obs": DAY_OBS,
        "seq_num": seq_num,
        "physical_filter": "r_57",
        "band": "r",
        "img_type": "science",
        "obs_start": begin,
        "obs_start_mjd": 60781.08546296,
        "s_ra": 12.5,
        **others,
    }


def make_metrics(detector: int = 94, **others: Any) -> dict[str, Any]:
    """Make all metrics of a detector, each of another value."""
    metrics: dict[str, Any] = {}
    for number, definition in enumerate(DETECTOR_METRICS.values()):
        metrics[definition.name] = {str: "ok", int: 100 + number, float: 0.5 + 0.01 * number}[definition.type]
    return {**metrics, "detector": detector, **others}


def make_unknown_metrics(detector: int = 94) -> dict[str, Any]:
    """Make the metrics of a detector on which nothing could be measured."""
    unknown = {str: "", int: -1, float: math.nan}
    values: dict[str, Any] = {name: unknown[one.type] for name, one in DETECTOR_METRICS.items()}
    return {**values, "detector": detector}
