# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A repository with the summaries of a night."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import astropy.units as u
from astropy.time import Time
from lsst.daf.butler import Butler, CollectionType, DatasetRef, DatasetType, FileDataset, Timespan
from lsst.ra.pipe.repository import create_repository
from night_exposures import DAY_OBS, N_EXPOSURES, make_detectors, make_night, make_summary

CHAIN = "LSSTCam/rapid"
RUN = f"{CHAIN}/{DAY_OBS}/0123abcd"
LATE_RUN = f"{RUN}/late/1"

LATE = 32
"""Sequence number of an exposure that was gathered again, with all detectors."""

UNPROCESSED = N_EXPOSURES + 1
"""Sequence number of an exposure without a summary."""

_TYPES = {
    "rapid_exposure_summary": "StructuredDataDict",
    "rapid_exposure_detectors": "ArrowAstropy",
    "rapid_focal_plane_plot": "Plot",
}


def make_night_repository(root: pathlib.Path) -> pathlib.Path:
    """Create it: sixty exposures, one that is not processed, and one of the
    next day.
    """
    with create_repository(root, instruments=["lsst.ra.pipe.camera.LsstCam"]) as butler:
        for name, storage_class in _TYPES.items():
            dimensions = ("instrument", "visit")
            butler.registry.registerDatasetType(
                DatasetType(name, dimensions, storage_class, universe=butler.dimensions)
            )
        for run in (RUN, LATE_RUN):
            butler.collections.register(run)
        butler.collections.register(CHAIN, CollectionType.CHAINED)
        butler.collections.redefine_chain(CHAIN, [LATE_RUN, RUN])
        night = make_night()
        late = {**night[LATE - 1], "n_detectors": 189, "n_detectors_missing": 0, "detectors_missing": []}
        rest = make_summary(UNPROCESSED, "y")
        tomorrow = {**rest, "visit": (DAY_OBS + 1) * 100_000 + 1, "day_obs": DAY_OBS + 1, "seq_num": 1}
        with butler.transaction():
            for summary in (*night, rest, tomorrow):
                _add_visit(butler, summary)
        for summary in night:
            _put(butler, summary, RUN)
        _put(butler, late, LATE_RUN)
        _put_picture(butler, night[0], root.parent)
    return root


def _put(butler: Butler, summary: dict[str, Any], run: str) -> None:
    visit = {"instrument": "LSSTCam", "visit": summary["visit"]}
    butler.put(summary, "rapid_exposure_summary", visit, run=run)
    butler.put(make_detectors(summary), "rapid_exposure_detectors", visit, run=run)


def _put_picture(butler: Butler, summary: Mapping[str, Any], directory: pathlib.Path) -> None:
    """Put the beginning of a picture."""
    path = directory / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    data_id = butler.registry.expandDataId(instrument="LSSTCam", visit=summary["visit"])
    ref = DatasetRef(butler.get_dataset_type("rapid_focal_plane_plot"), data_id, RUN)
    butler.ingest(FileDataset(str(path), [ref]), transfer="copy")


def _add_visit(butler: Butler, summary: Mapping[str, Any]) -> None:
    """Make an exposure known, with a visit, without regions."""
    instrument = {"instrument": "LSSTCam"}
    number, day_obs = int(summary["visit"]), int(summary["day_obs"])
    begin = Time(summary["begin_mjd_tai"], format="mjd", scale="tai")
    common = {
        **instrument,
        "id": number,
        "day_obs": day_obs,
        "physical_filter": summary["physical_filter"],
        "seq_num": int(summary["seq_num"]),
        "timespan": Timespan(begin, begin + 30 * u.s),
    }
    butler.registry.syncDimensionData("day_obs", {**instrument, "id": day_obs})
    butler.registry.syncDimensionData("group", {**instrument, "name": str(number)})
    name = f"MC_O_{day_obs}_{common['seq_num']:06d}"
    exposure = {"group": str(number), "obs_id": name, "observation_type": "science"}
    butler.registry.syncDimensionData("exposure", {**common, **exposure})
    butler.registry.syncDimensionData("visit", {**common, "name": name})
    butler.registry.syncDimensionData("visit_definition", {**instrument, "visit": number, "exposure": number})
