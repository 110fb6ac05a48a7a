# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("CALIBRATION_TYPES", "CalibrationType", "CertificationReport", "certify_calibrations")

import dataclasses
import pathlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
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


@dataclasses.dataclass(frozen=True)
class CalibrationType:
    """How a kind of calibration is kept in a repository."""

    storage_class: str
    """Butler storage class."""

    formatter: type[FormatterV2]
    """Reader of the files."""

    dimensions: tuple[str, ...] = ("instrument", "detector")
    """Dimensions of the dataset type."""


CALIBRATION_TYPES: Mapping[str, CalibrationType] = {
    "bias": CalibrationType("MaskedImageV2", calibrations.CalibrationImageFormatter),
    "dark": CalibrationType("MaskedImageV2", calibrations.CalibrationImageFormatter),
    "flat": CalibrationType(
        "MaskedImageV2",
        calibrations.CalibrationImageFormatter,
        ("instrument", "detector", "physical_filter"),
    ),
    "defects": CalibrationType("RapidDefects", calibrations.DefectsFormatter),
    "ptc": CalibrationType("RapidPhotonTransferCurve", calibrations.PhotonTransferCurveFormatter),
    "linearizer": CalibrationType("RapidLinearizer", calibrations.LinearizerFormatter),
    "crosstalk": CalibrationType("RapidCrosstalk", calibrations.CrosstalkFormatter),
    "cti": CalibrationType("RapidDeferredCharge", calibrations.DeferredChargeFormatter),
}
"""Calibration dataset types, named as AP names them."""

_COLUMNS = ("path", "dataset_type", "instrument", "detector", "physical_filter", "valid_begin", "valid_end")


@dataclasses.dataclass(frozen=True)
class CertificationReport:
    """What a certification did."""

    certified: list[DatasetRef]
    """Calibrations that this call added to the collection."""

    existing: list[DatasetRef]
    """Calibrations that were there already, with the same validity."""


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One line of a manifest."""

    ref: DatasetRef
    file: FileDataset
    validity: Timespan


def certify_calibrations(
    butler: Butler,
    manifest: ResourcePathExpression,
    *,
    collection: str | None = None,
    transfer: str = "copy",
    on_file: Callable[[ResourcePath], Any] | None = None,
) -> CertificationReport:
    """Ingest calibrations and certify them for a range of time.

    Parameters
    ----------
    butler
        Writeable client of the repository.
    manifest
        ECSV table with the columns ``path`` (relative to the manifest),
        ``dataset_type``, ``instrument``, ``detector``, ``physical_filter`` (empty
        but for flats), ``valid_begin`` and ``valid_end`` (ISO 8601 TAI; empty
        for no limit).
    collection
        CALIBRATION collection; the default is ``<instrument>/calib``.
    transfer
        How the files get into the repository.
    on_file
        Called with each file when its entry has been read.

    Returns
    -------
    report
        What was certified, and what had been before.

    Raises
    ------
    ValueError
        Raised if the manifest is not of this form.
    FileNotFoundError
        Raised if a file of it is missing.  Nothing is changed then.
    lsst.daf.butler.registry.ConflictingDefinitionError
        Raised if another calibration is certified for an overlapping time.

    Notes
    -----
    The files go into the RUN collection ``<collection>/<name of the
    manifest's directory>``, in one transaction.  Doing it twice changes
    nothing.
    """
    manifest = ResourcePath(manifest)
    by_instrument: dict[str, list[Row]] = defaultdict(list)
    for row in _read_manifest(manifest):
        by_instrument[str(row["instrument"])].append(row)
    report = CertificationReport([], [])
    for name, rows in by_instrument.items():
        instrument = Instrument.fromName(name, butler.registry)
        target = collection or instrument.makeCalibrationCollectionName()
        run = f"{target}/{pathlib.PurePosixPath(manifest.path).parent.name}"
        entries = list(_read_entries(butler, rows, manifest, run, on_file))
        _certify(butler, entries, target, run, transfer, report)
    return report


def _read_manifest(manifest: ResourcePath) -> Table:
    with manifest.as_local() as local:
        table = Table.read(local.ospath, format="ascii.ecsv")
    missing = [column for column in _COLUMNS if column not in table.colnames]
    if missing:
        raise ValueError(
            f"{manifest} has no column {', '.join(missing)}; it has {', '.join(table.colnames)}."
        )
    return table


def _read_entries(
    butler: Butler,
    rows: list[Row],
    manifest: ResourcePath,
    run: str,
    on_file: Callable[[ResourcePath], Any] | None,
) -> Iterator[_Entry]:
    for row in rows:
        name = str(row["dataset_type"])
        path = manifest.dirname().join(str(row["path"]))
        if name not in CALIBRATION_TYPES:
            raise ValueError(
                f"{manifest}: {path.basename()} is a {name!r}; expected one of {list(CALIBRATION_TYPES)}."
            )
        if not path.exists():
            raise FileNotFoundError(f"{manifest} names {path}, which does not exist.")
        kind = CALIBRATION_TYPES[name]
        dataset_type = DatasetType(
            name, kind.dimensions, kind.storage_class, universe=butler.dimensions, isCalibration=True
        )
        data_id = butler.registry.expandDataId({dimension: row[dimension] for dimension in kind.dimensions})
        ref = DatasetRef(dataset_type, data_id, run=run, id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN)
        yield _Entry(
            ref,
            FileDataset(path, refs=[ref], formatter=kind.formatter),
            Timespan(_parse_time(row["valid_begin"]), _parse_time(row["valid_end"])),
        )
        if on_file is not None:
            on_file(path)


def _parse_time(text: Any) -> Time | None:
    return Time(str(text), format="isot", scale="tai") if text else None


def _certify(
    butler: Butler,
    entries: list[_Entry],
    collection: str,
    run: str,
    transfer: str,
    report: CertificationReport,
) -> None:
    registry = butler.registry
    butler.collections.register(collection, CollectionType.CALIBRATION)
    butler.collections.register(run, CollectionType.RUN)
    by_type: dict[DatasetType, list[_Entry]] = defaultdict(list)
    for entry in entries:
        by_type[entry.ref.datasetType].append(entry)
    files: dict[DatasetRef, FileDataset] = {}
    for entry in entries:
        if entry.ref in files:
            raise ValueError(
                f"Two files of one manifest are the {entry.ref.datasetType.name} of {entry.ref.dataId}: "
                f"{files[entry.ref].path} and {entry.file.path}; give each its own manifest and directory."
            )
        files[entry.ref] = entry.file
    for dataset_type in by_type:
        registry.registerDatasetType(dataset_type)
    with butler.transaction():
        butler.ingest(*files.values(), transfer=transfer, skip_existing=True)
        for dataset_type, members in by_type.items():
            certified = {
                (association.ref.id, association.timespan)
                for association in registry.queryDatasetAssociations(
                    dataset_type, collections=[collection], flattenChains=False
                )
            }
            by_validity: dict[Timespan, list[DatasetRef]] = defaultdict(list)
            for entry in members:
                if (entry.ref.id, entry.validity) in certified:
                    report.existing.append(entry.ref)
                else:
                    by_validity[entry.validity].append(entry.ref)
                    report.certified.append(entry.ref)
            for validity, refs in by_validity.items():
                registry.certify(collection, refs, validity)
