# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("CALIBRATION_TYPES", "CertificationReport", "certify_calibrations")

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from astropy.table import Row, Table
from astropy.time import Time

from lsst.daf.butler import (
    Butler,
    CollectionType,
    DatasetIdGenEnum,
    DatasetRef,
    DatasetType,
    FileDataset,
    FormatterV2,
    Timespan,
)
from lsst.pipe.base import Instrument
from lsst.ra.pipe.camera import calibrations
from lsst.resources import ResourcePath, ResourcePathExpression

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CalibrationType:
    """How a kind of calibration is kept in a repository."""

    storage_class: str
    dimensions: tuple[str, ...]
    formatter: type[FormatterV2]
    read: Callable[[str], Any]


CALIBRATION_TYPES: Mapping[str, CalibrationType] = {
    name: CalibrationType(storage_class, ("instrument", "detector", *dimensions), formatter, read)
    for name, storage_class, dimensions, formatter, read in (
        (
            "bias",
            "MaskedImageV2",
            (),
            calibrations.CalibrationImageFormatter,
            calibrations.read_calibration_image,
        ),
        (
            "dark",
            "MaskedImageV2",
            (),
            calibrations.CalibrationImageFormatter,
            calibrations.read_calibration_image,
        ),
        (
            "flat",
            "MaskedImageV2",
            ("physical_filter",),
            calibrations.CalibrationImageFormatter,
            calibrations.read_calibration_image,
        ),
    )
}
"""Calibration dataset types by name."""

_COLUMNS = ("path", "dataset_type", "instrument", "detector", "physical_filter", "valid_begin", "valid_end")


@dataclasses.dataclass(frozen=True)
class CertificationReport:
    """What a certification did."""

    certified: list[DatasetRef]
    """Calibrations that this call added to the collection."""

    existing: list[DatasetRef]
    """Calibrations that were there already, with the same validity."""


