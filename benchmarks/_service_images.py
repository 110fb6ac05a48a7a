# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Simulated raws for the service's benchmark, and a repository for them."""

from __future__ import annotations

__all__ = ("DETECTORS", "INSTRUMENT", "PIPELINE", "RawFile", "make_images", "make_repository", "write_rules")

import dataclasses
import os
import pathlib
import shutil

from astropy.io import fits
from lsst.daf.butler import Butler
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.repository import certify_calibrations, create_repository, load_reference_catalog
from lsst.ra.pipe.simulation import SimulationConfig, simulate
from lsst.ra.pipe.simulation._exposures import plan_exposures
from lsst.ra.pipe.simulation._headers import Card, primary_header, raw_file_name

INSTRUMENT = "LSSTCam"
PIPELINE = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
DETECTORS = (90, 91, 94, 97)
"""As many of even number as of odd, so that two workers own as many each."""


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A raw file, not in any repository."""

    path: pathlib.Path
    """Where it is."""

    exposure: int
    """Butler ``exposure``."""

    detector: int
    """Butler ``detector``."""


def make_images(directory: pathlib.Path, *, n_exposures: int) -> list[RawFile]:
    """Simulate one exposure; the others have its pixels and their own header.

    They point at the same place of the sky, so the pixels are right for all.
    """
    config = SimulationConfig(detectors=DETECTORS, n_exposures=1, dither=0.0)
    simulated = simulate(config, directory, processes=os.cpu_count() or 1).raws
    camera = load_camera(INSTRUMENT)
    planned = plan_exposures(
        config.model_copy(update={"n_exposures": n_exposures}), band=camera.filters[config.physical_filter]
    )
    files = []
    for exposure in planned:
        for detector, source in zip(DETECTORS, simulated, strict=True):
            facts = camera.facts[detector]
            path = source.with_name(raw_file_name(exposure, facts))
            if path != source:
                shutil.copyfile(source, path)
                _replace_header(path, primary_header(exposure, facts, seed=config.seed))
            files.append(RawFile(path, exposure.exposure_id, detector))
    return files


def _replace_header(path: pathlib.Path, cards: list[Card]) -> None:
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        # Names with spaces are the same in all exposures.
        hdus[0].header.update({name: value for name, value in cards if " " not in name})


def make_repository(root: pathlib.Path, simulation: pathlib.Path) -> Butler:
    """Make a repository with calibrations, and without raws."""
    butler = create_repository(str(root), instruments=["lsst.ra.pipe.camera.LsstCam"])
    certify_calibrations(butler, simulation / "calibrations" / "manifest.ecsv", transfer="direct")
    load_reference_catalog(butler, simulation / "reference_catalog.parquet")
    return butler


def write_rules(path: pathlib.Path) -> None:
    """Write rules as those of the package, for the detectors that there are."""
    detectors = ",".join(map(str, DETECTORS))
    path.write_text(f"""
description: FirstLook of the simulated detectors.
instrument: {INSTRUMENT}
rules:
  - name: on-sky
    pipeline: {PIPELINE}
    order: newest-first
    expected_detectors: "{detectors}"
    persist: [single_visit_star_unstandardized]
    publish: [rapid_detector_metrics]
""")
