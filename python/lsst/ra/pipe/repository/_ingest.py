# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("IngestReport", "ingest_raws")

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from astro_metadata_translator import ObservationInfo

from lsst.daf.butler import (
    Butler,
    CollectionType,
    DatasetIdGenEnum,
    DatasetRef,
    DimensionRecord,
    FileDataset,
)
from lsst.pipe.base import Instrument
from lsst.ra.pipe.camera import HeaderError, RawFileError, read_raw_metadata, translate_header
from lsst.resources import ResourcePath, ResourcePathExpression

from ._create import make_raw_dataset_type
from ._dimension_records import (
    RawMetadataError,
    make_day_obs_record,
    make_exposure_record,
    make_group_record,
)
from ._visits import define_visits

_LOG = logging.getLogger(__name__)

_FILE_PATTERN = r"\.fits(\.fz)?$"


@dataclasses.dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    files: dict[str, DatasetRef]
    """Raw by file, for each file that was ingested or was there before."""

    ingested: list[DatasetRef]
    """Raws that this call added."""

    existing: list[DatasetRef]
    """Raws that were in the repository already."""

    exposures: list[DimensionRecord]
    """Records of the exposures of all good files."""

    visits: list[int]
    """Visits that this call defined."""

    failures: dict[str, str]
    """Reason by file, for each file that was not ingested."""


def ingest_raws(
    butler: Butler,
    paths: Iterable[ResourcePathExpression],
    *,
    run: str | None = None,
    transfer: str = "direct",
    define: bool = True,
    on_file: Callable[[ResourcePath], Any] | None = None,
) -> IngestReport:
    """Ingest raw files, one detector each, and register their exposures.

    Parameters
    ----------
    butler
        Writeable client of the repository.
    paths
        Files, or directories that are searched for ``*.fits`` and
        ``*.fits.fz``.
    run
        RUN collection; the default is the instrument's ``<name>/raw/all``.
    transfer
        How the files get there: ``direct``, ``copy``, ``link``, ``symlink``,
        ``hardlink``, ``move`` or ``auto``.
    define
        Whether to define visits, one for each on-sky exposure.
    on_file
        Called with each file once its header has been read.

    Returns
    -------
    report
        What was ingested, what was there before, and what failed and why.  A
        bad file stops no other.

    Notes
    -----
    The identifiers of the datasets follow from data ID and run, as in Rubin's
    own ingest.  An exposure is ingested in one transaction.  Ingesting a file
    twice changes nothing.
    """
    failures: dict[str, str] = {}
    records: dict[tuple[str, int], DimensionRecord] = {}
    by_exposure: dict[tuple[str, int], list[tuple[ResourcePath, ObservationInfo]]] = defaultdict(list)
    for path in ResourcePath.findFileResources(paths, _FILE_PATTERN):
        try:
            with path.as_local() as local:
                metadata = read_raw_metadata(local.ospath)
            obs_info = translate_header(metadata, filename=str(path))
            record = make_exposure_record(obs_info, butler.dimensions)
        except (HeaderError, RawFileError, RawMetadataError, FileNotFoundError) as err:
            failures[str(path)] = str(err)
        else:
            key = (record.instrument, record.id)
            records.setdefault(key, record)
            by_exposure[key].append((path, obs_info))
        if on_file is not None:
            on_file(path)

    refs: dict[str, DatasetRef] = {}
    ingested: list[DatasetRef] = []
    existing: list[DatasetRef] = []
    exposures: list[DimensionRecord] = []
    for key, record in records.items():
        files = by_exposure[key]
        try:
            found, new = _ingest_exposure(butler, record, files, run=run, transfer=transfer)
        except (LookupError, ValueError, OSError) as err:
            failures.update((str(path), str(err)) for path, _ in files)
            continue
        exposures.append(record)
        refs |= found
        ingested += new
        added = set(new)
        existing += [ref for ref in found.values() if ref not in added]
    visits = define_visits(butler, exposures) if define else []
    return IngestReport(refs, ingested, existing, exposures, visits, failures)


def _ingest_exposure(
    butler: Butler,
    record: DimensionRecord,
    files: list[tuple[ResourcePath, ObservationInfo]],
    *,
    run: str | None,
    transfer: str,
) -> tuple[dict[str, DatasetRef], list[DatasetRef]]:
    """Register an exposure and ingest its files; return raw by file, and which
    are new.
    """
    first = files[0][1]
    instrument = Instrument.fromName(record.instrument, butler.registry)
    if run is None:
        run = instrument.makeDefaultRawIngestRunName()
    with butler.transaction():
        butler.registry.syncDimensionData("day_obs", make_day_obs_record(first, butler.dimensions))
        butler.registry.syncDimensionData("group", make_group_record(first, butler.dimensions))
        butler.registry.syncDimensionData("exposure", record)
    butler.collections.register(run, CollectionType.RUN)
    dataset_type = make_raw_dataset_type(instrument, butler.dimensions)
    datasets: dict[DatasetRef, FileDataset] = {}
    for path, obs_info in files:
        data_id = butler.registry.expandDataId(
            instrument=obs_info.instrument, exposure=obs_info.exposure_id, detector=obs_info.detector_num
        )
        ref = DatasetRef(dataset_type, data_id, run=run, id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN)
        if ref in datasets:
            raise ValueError(f"Two files for the same raw {data_id}: {datasets[ref].path} and {path}.")
        datasets[ref] = FileDataset(path, refs=[ref], formatter=instrument.getRawFormatter(data_id))
    stored = butler.stored_many(datasets)
    new = [ref for ref in datasets if not stored[ref]]
    butler.ingest(*(datasets[ref] for ref in new), transfer=transfer)
    return {str(file.path): ref for ref, file in datasets.items()}, new
