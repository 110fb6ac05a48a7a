# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A repository with one raw image of a half-size detector, and pipelines for it."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.simulation import SimulationConfig, simulate

DETECTOR = 192
_CONFIG = SimulationConfig(detectors=(DETECTOR,), star_density=100.0, galaxy_density=0.0)
EXPOSURE = _CONFIG.day_obs * 100_000 + _CONFIG.first_seq_num

_OFF = (
    "doSaturation",
    "doSuspect",
    "doCrosstalk",
    "doLinearize",
    "doDeferredCharge",
    "doE2VEdgeBleedMask",
    "doITLDipMask",
    "doITLSatSagMask",
    "doITLEdgeBleedMask",
    "doBias",
    "doNanMasking",
    "doSetBadRegions",
)
STEPS = ("start", "doApplyGains", "doDark", "doDefect", "doVariance", "doFlat", "doInterpolate")
"""Steps of the pipelines that `write_pipeline` writes."""


def get_repository(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the one repository of this process; tests only read it."""
    root = tmp_path_factory.getbasetemp() / "verify"
    if not root.exists():
        _make_repository(root)
    return root / "repo"


def _make_repository(root: pathlib.Path) -> None:
    """Simulate one exposure, and fill a repository with it."""
    simulation = root / "simulation"
    simulate(_CONFIG, simulation, processes=1)
    repository = root / "repo"
    for args in (
        ("repo", "create", repository),
        ("repo", "certify", repository, simulation / "calibrations" / "manifest.ecsv", "-t", "direct"),
        ("ingest", repository, simulation / "raw", "--transfer", "direct"),
    ):
        result = CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)
        assert result.exit_code == 0, result.output


def write_pipeline(
    path: pathlib.Path, task_class: str = "lsst.ra.pipe.tasks.FirstLookIsrTask", **config: Any
) -> str:
    """Write a pipeline of ISR with few steps; return its location."""
    overrides = {"file": "$RA_PIPE_DIR/config/rapid/isr.py", **dict.fromkeys(_OFF, False), **config}
    content = {
        "description": "ISR with few steps.",
        "instrument": "lsst.ra.pipe.camera.LsstCam",
        "tasks": {"isr": {"class": task_class, "config": overrides}},
    }
    path.write_text(yaml.safe_dump(content))
    return f"{path}#isr"
