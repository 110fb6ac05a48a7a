# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import astropy.units as u
import pytest
from arithmetic_pipeline import EXPOSURE
from astropy.time import Time
from lsst.daf.butler import (
    Butler,
    CalibrationLookupError,
    CollectionType,
    DataCoordinate,
    DatasetRef,
    DatasetType,
    Timespan,
)
from lsst.ra.pipe.execution._calibration_lookup import CalibrationLookup

BEGIN = Time("2026-01-02T00:00:00", scale="tai")


def day(number: float, length: float = 1.0) -> Timespan:
    """Return a span of days."""
    return Timespan(BEGIN + number * u.day, BEGIN + (number + length) * u.day)


def certify(
    butler: Butler, collection: str, value: float, timespan: Timespan, *, detector: int = 94
) -> DatasetRef:
    """Certify a factor, in a run of its own."""
    run = f"{collection}/{value}/{detector}"
    butler.collections.register(run)
    ref = butler.put({"value": value}, "factor", instrument="LSSTCam", detector=detector, run=run)
    butler.registry.registerCollection(collection, CollectionType.CALIBRATION)
    butler.registry.certify(collection, [ref], timespan)
    return ref


@pytest.fixture
def data_id(repository: Butler) -> DataCoordinate:
    """Detector 94 of the exposure."""
    return repository.registry.expandDataId(instrument="LSSTCam", exposure=EXPOSURE, detector=94)


def find(lookup: CalibrationLookup, butler: Butler, data_id: DataCoordinate, time: Timespan) -> object:
    """Return the identifier of what is found, after comparing with the Butler."""
    dataset_type = butler.get_dataset_type("factor")
    ref = lookup.find(dataset_type, data_id, time)
    expected = butler.find_dataset(
        dataset_type, data_id, collections=["first", "second"], timespan=time, dimension_records=True
    )
    assert ref == expected
    if ref is None:
        return None
    assert ref.dataId.hasRecords()
    return ref.id


def test_validity_and_order_of_collections(repository: Butler, data_id: DataCoordinate) -> None:
    """The answers are Butler's own: the valid one of the first collection
    that has any, of this detector.
    """
    early = certify(repository, "second", 1.0, day(0, 5))
    late = certify(repository, "second", 2.0, day(5, 5))
    better = certify(repository, "first", 3.0, day(6, 2))
    certify(repository, "first", 4.0, day(0, 10), detector=95)
    lookup = CalibrationLookup(repository, ["first", "second"])
    times = (day(-1, 0.5), day(1), day(5.5, 0.1), day(6.5, 0.1), day(9), day(10))
    found = [find(lookup, repository, data_id, time) for time in times]
    assert found == [None, early.id, late.id, better.id, late.id, None]


def test_dataset_in_a_run_is_always_valid(repository: Butler, data_id: DataCoordinate) -> None:
    """As Butler has it."""
    repository.collections.register("first")
    ref = repository.put({"value": 9.0}, "factor", instrument="LSSTCam", detector=94, run="first")
    certify(repository, "second", 1.0, day(0, 5))
    lookup = CalibrationLookup(repository, ["first", "second"])
    assert find(lookup, repository, data_id, day(1)) == ref.id


def test_two_valid_calibrations_are_refused(repository: Butler, data_id: DataCoordinate) -> None:
    """The error names type, collection and data ID."""
    certify(repository, "first", 1.0, day(0, 5))
    certify(repository, "first", 2.0, day(5, 5))
    lookup = CalibrationLookup(repository, ["first"])
    with pytest.raises(CalibrationLookupError, match=r"collection first has 2 factor .*detector: 94"):
        lookup.find(repository.get_dataset_type("factor"), data_id, day(4, 2))


def test_refresh_sees_what_was_replaced(repository: Butler, data_id: DataCoordinate) -> None:
    """Until then the answer is that of before."""
    old = certify(repository, "first", 1.0, day(0, 5))
    dataset_type = repository.get_dataset_type("factor")
    lookup = CalibrationLookup(repository, ["first"])
    lookup.load([dataset_type], "LSSTCam", [94])
    repository.registry.decertify("first", "factor", day(0, 5))
    new = certify(repository, "first", 2.0, day(0, 5))
    before = lookup.find(dataset_type, data_id, day(1))
    lookup.refresh()
    after = lookup.find(dataset_type, data_id, day(1))
    assert (before, after) == (old, new)


def test_lookup_that_fails_asks_again(repository: Butler, data_id: DataCoordinate) -> None:
    """A calibration that was certified meanwhile is found without a refresh,
    also if its collection is new in the chain.
    """
    repository.registry.registerCollection("chain", type=CollectionType.CHAINED)
    dataset_type = repository.get_dataset_type("factor")
    lookup = CalibrationLookup(repository, ["chain"])
    assert lookup.find(dataset_type, data_id, day(1)) is None
    ref = certify(repository, "first", 1.0, day(0, 5))
    repository.collections.prepend_chain("chain", "first")
    assert lookup.find(dataset_type, data_id, day(1)) == ref


def test_unknown_dataset_type_has_no_calibration(repository: Butler, data_id: DataCoordinate) -> None:
    """As one that is not certified."""
    known = repository.get_dataset_type("factor")
    unknown = DatasetType("divisor", known.dimensions, "StructuredDataDict", isCalibration=True)
    assert CalibrationLookup(repository, ["LSSTCam/calib"]).find(unknown, data_id, day(1)) is None
