# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A repository whose raws are small files with numbers."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import astropy.units as u
from astropy.time import Time
from lsst.daf.butler import (
    Butler,
    Config,
    DatasetRef,
    DatasetType,
    DimensionRecord,
    FileDataset,
    Timespan,
)
from lsst.ra.pipe.repository import create_repository

INSTRUMENT = "LSSTCam"
DAY_OBS = 20260101
RAW_RUN = "LSSTCam/raw/all"


def exposure_id(sequence: int) -> int:
    """Return the number of an exposure of the night."""
    return DAY_OBS * 100_000 + sequence


def make_repository(
    root: pathlib.Path, *, exposures: Iterable[int], seed_config: Config | None = None
) -> Butler:
    """Create a repository with exposures, each with a visit, and no numbers."""
    butler = create_repository(root, instruments=["lsst.ra.pipe.camera.LsstCam"], seed_config=seed_config)
    number = DatasetType(
        "number", ("instrument", "exposure", "detector"), "StructuredDataDict", universe=butler.dimensions
    )
    butler.registry.registerDatasetType(number)
    add_exposures(butler, exposures)
    return butler


def add_exposures(butler: Butler, exposures: Iterable[int]) -> None:
    """Make exposures known, each with a visit."""
    begin = Time("2026-01-02T03:00:00", scale="tai")
    with butler.transaction():
        butler.registry.syncDimensionData("day_obs", {"instrument": INSTRUMENT, "id": DAY_OBS})
        for exposure in exposures:
            group = {"instrument": INSTRUMENT, "name": str(exposure)}
            butler.registry.syncDimensionData("group", group)
            record = butler.dimensions["exposure"].RecordClass(
                instrument=INSTRUMENT,
                id=exposure,
                day_obs=DAY_OBS,
                seq_num=exposure % 100_000,
                group=str(exposure),
                physical_filter="r_57",
                obs_id=f"MC_O_{DAY_OBS}_{exposure % 100_000:06d}",
                observation_type="science",
                tracking_ra=150.0,
                tracking_dec=2.0,
                sky_angle=30.0,
                timespan=Timespan(begin, begin + 30 * u.s),
            )
            butler.registry.syncDimensionData("exposure", record)
            _define_visit(butler, record)


def _define_visit(butler: Butler, exposure: DimensionRecord) -> None:
    """Define a visit without regions, which take long to compute."""
    key = {"instrument": INSTRUMENT, "visit": exposure.id}
    visit = {
        "instrument": INSTRUMENT,
        "id": exposure.id,
        "day_obs": DAY_OBS,
        "physical_filter": exposure.physical_filter,
        "name": exposure.obs_id,
        "seq_num": exposure.seq_num,
        "timespan": exposure.timespan,
    }
    butler.registry.syncDimensionData("visit", visit)
    butler.registry.syncDimensionData("visit_definition", {**key, "exposure": exposure.id})


def put_numbers(
    butler: Butler, numbers: Mapping[tuple[int, int], Mapping[str, Any]], directory: pathlib.Path
) -> None:
    """Store the numbers of detectors, by exposure and detector, at once."""
    directory.mkdir(parents=True, exist_ok=True)
    dataset_type = butler.get_dataset_type("number")
    files = []
    for (exposure, detector), content in numbers.items():
        data_id = butler.registry.expandDataId(instrument=INSTRUMENT, exposure=exposure, detector=detector)
        path = directory / f"number-{exposure}-{detector}.yaml"
        path.write_text(json.dumps(content))
        files.append(FileDataset(str(path), DatasetRef(dataset_type, data_id, run=RAW_RUN)))
    butler.ingest(*files, transfer="copy")


def put_raw(butler: Butler, exposure: int, detector: int, directory: pathlib.Path) -> None:
    """Store a raw, which nobody reads: for those who ask what raws there are."""
    path = directory / f"raw-{exposure}-{detector}.fits"
    path.write_bytes(b"")
    data_id = butler.registry.expandDataId(instrument=INSTRUMENT, exposure=exposure, detector=detector)
    ref = DatasetRef(butler.get_dataset_type("raw"), data_id, run=RAW_RUN)
    butler.ingest(FileDataset(str(path), ref), transfer="copy")
