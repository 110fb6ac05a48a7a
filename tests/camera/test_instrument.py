# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Registration of the instruments in a Butler repository."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from lsst.daf.butler import Butler
from lsst.daf.butler.registry import ConflictingDefinitionError
from lsst.pex.config import Config, Field
from lsst.pipe.base import Instrument
from lsst.ra.pipe.camera import Latiss, LsstCam, LsstComCam, RawFormatter, load_camera

INSTRUMENTS = [LsstCam, LsstComCam, Latiss]


@pytest.fixture
def butler(tmp_path: pathlib.Path) -> Iterator[Butler]:
    """Return an empty repository."""
    with Butler.from_config(Butler.makeRepo(str(tmp_path / "repo")), writeable=True) as butler:
        yield butler


def records(butler: Butler, element: str, instrument: str) -> list[dict[str, Any]]:
    """Return all records of a dimension, as dictionaries."""
    found = butler.query_dimension_records(element, instrument=instrument, explain=False)
    return [record.toDict() for record in found]


@pytest.mark.parametrize("instrument_class", INSTRUMENTS)
def test_registration_fills_the_dimensions(butler: Butler, instrument_class: type[Instrument]) -> None:
    """Instrument, detectors and filters are those of the camera."""
    name = instrument_class.getName()
    instrument_class().register(butler.registry)
    camera = load_camera(name)
    (record,) = records(butler, "instrument", name)
    assert record["visit_max"] == record["exposure_max"] == 7050_12_31_99999
    assert record["visit_system"] == 0
    assert record["class_name"] == f"lsst.ra.pipe.camera.{instrument_class.__name__}"
    detectors = {row["id"]: row for row in records(butler, "detector", name)}
    assert set(detectors) == set(camera.facts)
    assert max(detectors) < record["detector_max"]
    for id_, facts in camera.facts.items():
        row = detectors[id_]
        assert row["full_name"] == facts.full_name
        assert (row["raft"], row["name_in_raft"]) == (facts.raft, facts.name_in_raft)
        assert row["purpose"] == facts.purpose
    filters = {row["name"]: row["band"] for row in records(butler, "physical_filter", name)}
    assert filters == dict(camera.filters)


def test_registration_is_idempotent(butler: Butler) -> None:
    """A second registration changes nothing."""
    instrument = LsstComCam()
    instrument.register(butler.registry)
    before = {e: records(butler, e, "LSSTComCam") for e in ("instrument", "detector", "physical_filter")}
    instrument.register(butler.registry)
    after = {e: records(butler, e, "LSSTComCam") for e in ("instrument", "detector", "physical_filter")}
    assert after == before


def test_changed_records_need_update(butler: Butler) -> None:
    """A record that differs is an error, or replaced when that is asked."""
    record = {"instrument": "LATISS", "name": "SDSSr", "band": "i"}
    Latiss().register(butler.registry)
    butler.registry.syncDimensionData("physical_filter", record, update=True)
    with pytest.raises(ConflictingDefinitionError):
        Latiss().register(butler.registry)
    Latiss().register(butler.registry, update=True)
    filters = {row["name"]: row["band"] for row in records(butler, "physical_filter", "LATISS")}
    assert filters["SDSSr"] == "r"


def test_failed_registration_leaves_nothing(butler: Butler) -> None:
    """Registration is all or nothing."""
    butler.registry.syncDimensionData(
        "instrument",
        {
            "name": "LATISS",
            "visit_max": 10,
            "exposure_max": 10,
            "detector_max": 1,
            "class_name": "other.Latiss",
            "visit_system": 0,
        },
    )
    with pytest.raises(ConflictingDefinitionError):
        Latiss().register(butler.registry)
    assert records(butler, "detector", "LATISS") == []


def test_butler_finds_the_class_by_name(butler: Butler) -> None:
    """The registered class name leads back to our class."""
    LsstCam().register(butler.registry)
    found = Instrument.fromName("LSSTCam", butler.registry)
    assert type(found) is LsstCam
    assert found.getRawFormatter({"instrument": "LSSTCam"}) is RawFormatter
    assert found.raw_definition == ("raw", ("instrument", "exposure", "detector"), "RapidRaw")


@pytest.mark.parametrize("instrument_class", INSTRUMENTS)
def test_task_without_overrides_keeps_its_defaults(instrument_class: type[Instrument]) -> None:
    """A missing override file, or directory, is no error."""

    class ExampleConfig(Config):
        value = Field[int](doc="Example.", default=3)

    config = ExampleConfig()
    instrument_class().applyConfigOverrides("taskThatNobodyConfigures", config)
    assert config.value == 3


def test_default_packer_packs_and_unpacks(butler: Butler) -> None:
    """The instrument's bounds leave room for every exposure and detector."""
    LsstCam().register(butler.registry)
    data_id = butler.registry.expandDataId(instrument="LSSTCam", detector=204)
    packer = Instrument.make_default_dimension_packer(data_id, is_exposure=True)
    assert packer.maxBits < 64
    packed = packer.pack(instrument="LSSTCam", exposure=2025041500060, detector=204)
    assert isinstance(packed, int)
    unpacked = packer.unpack(packed)
    assert (unpacked["exposure"], unpacked["detector"]) == (2025041500060, 204)
