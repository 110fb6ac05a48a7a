# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ConsDbObserver",)

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from lsst.daf.butler import (
    Butler,
    DatasetNotFoundError,
    DimensionRecord,
    MissingCollectionError,
    MissingDatasetTypeError,
)

from ...execution import ImageReport
from ._database import ConsDbDatabase
from ._errors import ConsDbError, ConsDbUnavailableError
from ._exposure_row import exposure_row
from ._schema import SCHEMAS
from ._writer import ConsDbWriter, WriteReport

_LOG = logging.getLogger(__name__)


class ConsDbObserver:
    """Writes what an image gave to ConsDB, when it is told of it.

    Parameters
    ----------
    url
        Where the database is; see `ConsDbDatabase`.
    repository
        Root, configuration file or alias of the Butler repository, from which
        the metrics are read.
    inputs
        Collections with the raws, whose headers describe the exposures; the
        default is ``<instrument>/defaults``.
    create
        Whether to create the tables if they are not there.

    Notes
    -----
    Nothing is opened before the first image comes.  Images of instruments for
    which ConsDB has no tables are passed over.
    """

    def __init__(self, *, url: str, repository: str, inputs: Sequence[str] = (), create: bool = True) -> None:
        self._url = url
        self._repository = repository
        self._inputs = tuple(inputs)
        self._create = create
        self._butler: Butler | None = None
        self._writers: dict[str, ConsDbWriter] = {}
        self._databases: list[ConsDbDatabase] = []

    def __call__(self, report: ImageReport) -> WriteReport | None:
        """Write the results of an image.

        Parameters
        ----------
        report
            What became of its quanta.

        Returns
        -------
        written
            What became of the rows; `None` if there was nothing to write.

        Raises
        ------
        ConsDbError
            Raised if the database does not take it.
        ConsDbUnavailableError
            Raised if the database does not answer.
        """
        if report.instrument not in SCHEMAS or report.missing_input:
            return None
        if report.detector is None:
            return self.write_exposure(report.instrument, report.exposure, collections=(report.run,))
        return self.write_detector(
            report.instrument,
            report.exposure,
            report.detector,
            collections=(report.run,),
            metrics=report.published.get("rapid_detector_metrics"),
        )

    def prepare(self, instrument: str) -> None:
        """Open the database, so that the first image need not wait.

        Parameters
        ----------
        instrument
            Butler ``instrument``.

        Raises
        ------
        ConsDbError
            Raised if a table or a column is missing.
        """
        if instrument in SCHEMAS:
            # It may come back; every image tries again.
            with contextlib.suppress(ConsDbUnavailableError):
                self._writer(instrument).prepare()

    def write_detector(
        self,
        instrument: str,
        exposure: int,
        detector: int,
        *,
        collections: Sequence[str],
        metrics: Mapping[str, Any] | None = None,
    ) -> WriteReport:
        """Write the metrics of a detector.

        Parameters
        ----------
        instrument, exposure, detector
            Butler data ID.
        collections
            Where the metrics are, if they are not given.
        metrics
            Content of ``rapid_detector_metrics``.

        Returns
        -------
        written
            What became of the rows.
        """
        if metrics is None:
            metrics = self._get(
                "rapid_detector_metrics",
                collections,
                instrument=instrument,
                visit=exposure,
                detector=detector,
            )
        return self._writer(instrument).write_detector(
            exposure, detector, metrics=metrics, facts=lambda: self._read_facts(instrument, exposure)
        )

    def write_exposure(
        self, instrument: str, exposure: int, *, collections: Sequence[str]
    ) -> WriteReport | None:
        """Write what the detectors of an exposure have in common.

        Parameters
        ----------
        instrument, exposure
            Butler data ID.
        collections
            Where the gathered metrics are.

        Returns
        -------
        written
            What became of the rows; `None` if there are no gathered metrics.
        """
        table = self._get("rapid_exposure_detectors", collections, instrument=instrument, visit=exposure)
        if table is None:
            return None
        rows = [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]
        return self._writer(instrument).write_exposure(
            exposure, detectors=rows, facts=lambda: self._read_facts(instrument, exposure)
        )

    def close(self) -> None:
        """Close the connections to database and repository."""
        for database in self._databases:
            database.close()
        if self._butler is not None:
            self._butler.close()
            self._butler = None

    def _writer(self, instrument: str) -> ConsDbWriter:
        if instrument not in self._writers:
            database = ConsDbDatabase(self._url, instrument)
            self._databases.append(database)
            self._writers[instrument] = ConsDbWriter(database, create=self._create)
        return self._writers[instrument]

    def _reader(self) -> Butler:
        if self._butler is None:
            self._butler = Butler.from_config(self._repository, writeable=False)
        return self._butler

    def _get(self, name: str, collections: Sequence[str], **data_id: Any) -> Any:
        """Read a dataset; `None` if it was not made."""
        with contextlib.suppress(DatasetNotFoundError, MissingCollectionError, MissingDatasetTypeError):
            return self._reader().get(name, data_id, collections=list(collections))
        return None

    def _read_facts(self, instrument: str, exposure: int) -> dict[str, Any]:
        """Read what the repository knows of an exposure."""
        butler = self._reader()
        records = butler.query_dimension_records(
            "exposure", instrument=instrument, exposure=exposure, explain=False
        )
        if not records:
            raise ConsDbError(f"{self._repository} does not know exposure {exposure} of {instrument}.")
        (record,) = records
        filters = butler.query_dimension_records(
            "physical_filter",
            instrument=instrument,
            physical_filter=record.physical_filter,
            explain=False,
        )
        return exposure_row(
            record, band=filters[0].band if filters else None, obs_info=self._read_header(record)
        )

    def _read_header(self, record: DimensionRecord) -> Any:
        """Read the header of a raw of an exposure; `None` if there is none."""
        instrument = str(record.instrument)
        refs = self._reader().query_datasets(
            "raw",
            self._inputs or (f"{instrument}/defaults",),
            instrument=instrument,
            exposure=record.id,
            explain=False,
            limit=1,
        )
        try:
            return self._reader().get(refs[0].makeComponentRef("obs_info")) if refs else None
        except (FileNotFoundError, ValueError) as err:
            _LOG.warning("ConsDB gets few facts of %s exposure %d: %s", instrument, record.id, err)
            return None
