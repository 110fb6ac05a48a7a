# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Exposures and rule files for tests of the dispatch."""

from __future__ import annotations

import pathlib
from typing import Any

from lsst.ra.pipe.execution.dispatch import DispatchTable, ExposureFacts, load_dispatch

FACTS: dict[str, Any] = {
    "instrument": "LSSTCam",
    "exposure": 2026022000001,
    "day_obs": 20260220,
    "seq_num": 1,
    "obs_id": "MC_O_20260220_000001",
    "observation_type": "science",
    "observation_reason": "field_survey_science",
    "science_program": "BLOCK-365",
    "physical_filter": "r_57",
    "ra": 150.0,
    "dec": 2.0,
    "shutter_close": None,
}
"""Facts of an exposure on the sky."""


def make_facts(**changes: Any) -> ExposureFacts:
    """Make the facts of an exposure, with some of them changed."""
    return ExposureFacts(**(FACTS | changes))


def write_rules(directory: pathlib.Path, text: str) -> pathlib.Path:
    """Write a file of rules."""
    path = directory / "dispatch.yaml"
    path.write_text(text)
    return path


def load_rules(directory: pathlib.Path, text: str) -> DispatchTable:
    """Write a file of rules, and load it without looking at pipelines."""
    return load_dispatch(write_rules(directory, text), check=False)
