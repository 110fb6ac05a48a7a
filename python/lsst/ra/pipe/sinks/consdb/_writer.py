# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ConsDbWriter", "WriteReport")

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy

from ...camera import compute_detector_exposure_id, load_camera
from ._columns import (
    QUICKLOOK_TABLES,
    Aggregate,
    Computed,
    Measured,
    quicklook_sources,
)
from ._database import ConsDbDatabase, Outcome
from ._errors import ConsDbError, ConsDbUnavailableError

_MIDDLE = "R22_S11"
"""The detector in the middle of the focal plane."""


@dataclasses.dataclass(frozen=True)
class WriteReport:
    """What became of the rows of one write."""

    outcomes: Mapping[str, Outcome]
    """Outcome by table, of the tables that have results."""

    @property
    def changed(self) -> bool:
        """Whether anything is new (`bool`)."""
        return Outcome.WRITTEN in self.outcomes.values()

    def __str__(self) -> str:
        return ", ".join(f"{table}: {outcome}" for table, outcome in self.outcomes.items()) or "nothing"


class ConsDbWriter:
    """Writes metrics to the quicklook tables of one instrument, once each.

    Parameters
    ----------
    database
        The database.
    create
        Whether to create the tables if they are not there.

    Notes
    -----
    The key of a row is an exposure or a detector of it.  A second write of the
    same key changes nothing.  There are two exceptions: the row of an exposure
    gives way to one of more detectors, and where others have made a row, with
    columns of theirs, ours are filled in, once.
    """

    def __init__(self, database: ConsDbDatabase, *, create: bool = True) -> None:
        self._database = database
        self._create = create
        tables = database.schema.tables
        self._sources = quicklook_sources({name: tables[name].columns.keys() for name in QUICKLOOK_TABLES})
        self._columns = {
            table: [
                name
                for name, source in sources.items()
                if isinstance(source, (Measured, Aggregate, Computed))
            ]
            for table, sources in self._sources.items()
        }
        self._known: set[int] = set()
        camera = load_camera(database.instrument)
        middle = [number for number, facts in camera.facts.items() if facts.full_name == _MIDDLE]
        self._middle = middle[0] if middle else min(camera.facts)

    def prepare(self) -> None:
        """See that the tables are there.

        Raises
        ------
        ConsDbError
            Raised if a table or a column is missing.
        ConsDbUnavailableError
            Raised if the database does not answer.
        """
        tables = self._database.schema.tables
        facts = {
            name: [column.name for column in tables[name].columns if not column.nullable]
            for name in ("exposure", "ccdexposure", "visit1", "ccdvisit1")
        }
        keys = {name: [column.name for column in tables[name].primary_key.columns] for name in self._columns}
        wanted = {**facts, **{name: [*keys[name], *self._columns[name]] for name in self._columns}}
        self._database.prepare(wanted, create=self._create)

    def has_exposure(self, exposure: int) -> bool:
        """Tell whether the exposure itself is there.

        Parameters
        ----------
        exposure
            Butler ``exposure``.

        Returns
        -------
        there
            Whether ``exposure`` has its row.
        """
        self.prepare()
        if exposure not in self._known:
            table = self._database.schema.tables["exposure"]
            query = sqlalchemy.select(table.c.exposure_id).where(table.c.exposure_id == exposure)
            with self._database.transaction(f"exposure {exposure}") as connection:
                if connection.execute(query).first() is not None:
                    self._known.add(exposure)
        return exposure in self._known

    def write_detector(
        self,
        exposure: int,
        detector: int,
        *,
        metrics: Mapping[str, Any] | None,
        facts: Callable[[], Mapping[str, Any]],
    ) -> WriteReport:
        """Write the metrics of a detector.

        Parameters
        ----------
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``.
        metrics
            Content of ``rapid_detector_metrics``; `None` if the detector has
            none, then there are its rows without results.
        facts
            Called for the row of the exposure (see `exposure_row`), if that
            is not there.

        Returns
        -------
        written
            What became of the rows with results.

        Raises
        ------
        ConsDbError
            Raised if the database does not take it.
        ConsDbUnavailableError
            Raised if the database does not answer; nothing was written.
        """
        facts_row = None if self.has_exposure(exposure) else facts()
        image = f"exposure {exposure}, detector {detector}"
        with self._database.transaction(image) as connection:
            key = self._insert_exposure(connection, exposure, facts_row)
            row = {**key, "detector": detector}
            self._insert_detector(connection, exposure, row, metrics)
            outcomes = {}
            if metrics is not None:
                number = compute_detector_exposure_id(exposure, detector)
                for table, name in (
                    ("ccdexposure_quicklook", "ccdexposure_id"),
                    ("ccdvisit1_quicklook", "ccdvisit_id"),
                ):
                    results = {**row, name: number, **self._measure(table, metrics)}
                    outcomes[table] = self._insert_once(connection, table, results)
        self._known.add(exposure)
        return WriteReport(outcomes)

    def write_exposure(
        self,
        exposure: int,
        *,
        detectors: Sequence[Mapping[str, Any]],
        facts: Callable[[], Mapping[str, Any]],
    ) -> WriteReport:
        """Write what the detectors of an exposure have in common.

        Parameters
        ----------
        exposure
            Butler ``exposure``.
        detectors
            Rows of ``rapid_exposure_detectors``, at least one.
        facts
            Called for the row of the exposure (see `exposure_row`), if that
            is not there.

        Returns
        -------
        written
            What became of the rows with results.

        Raises
        ------
        ValueError
            Raised if there are no detectors.
        ConsDbError
            Raised if the database does not take it.
        ConsDbUnavailableError
            Raised if the database does not answer; nothing was written.
        """
        if not detectors:
            raise ValueError(f"Exposure {exposure} has no detectors to write to ConsDB.")
        facts_row = None if self.has_exposure(exposure) else facts()
        visit = {"visit_id": exposure, **self._summarize("visit1_quicklook", detectors)}
        summary = {"exposure_id": exposure, **self._summarize("exposure_quicklook", detectors)}
        with self._database.transaction(f"exposure {exposure}") as connection:
            key = self._insert_exposure(connection, exposure, facts_row)
            self._copy_visit(connection, key)
            outcome = self._database.insert(
                connection,
                "visit1_quicklook",
                {**key, **visit},
                update=self._columns["visit1_quicklook"],
                more_of="n_inputs",
            )
            outcomes = {"visit1_quicklook": outcome}
            if outcome is Outcome.WRITTEN:
                # It says no number of detectors, and follows the other.
                outcomes["exposure_quicklook"] = self._database.insert(
                    connection,
                    "exposure_quicklook",
                    {**key, **summary},
                    update=self._columns["exposure_quicklook"],
                )
            else:
                outcomes["exposure_quicklook"] = Outcome.UNCHANGED
        self._known.add(exposure)
        return WriteReport(outcomes)

    def _insert_exposure(
        self, connection: sqlalchemy.Connection, exposure: int, facts: Mapping[str, Any] | None
    ) -> dict[str, int]:
        """Insert the exposure if it is new; return its key."""
        table = self._database.schema.tables["exposure"]
        query = sqlalchemy.select(table.c.day_obs, table.c.seq_num, table.c.exposure_name)
        if facts is None:
            known = connection.execute(query.where(table.c.exposure_id == exposure)).first()
            if known is None:
                self._known.clear()
                raise ConsDbUnavailableError(f"ConsDB at {self._database.name} has lost exposure {exposure}.")
            return {"day_obs": known.day_obs, "seq_num": known.seq_num}
        key = {"day_obs": facts["day_obs"], "seq_num": facts["seq_num"]}
        row = {name: value for name, value in facts.items() if name in table.columns}
        self._database.insert(connection, "exposure", row)
        found = connection.execute(
            query.where(table.c.day_obs == key["day_obs"], table.c.seq_num == key["seq_num"])
        ).first()
        if found is None or found.exposure_name != facts["exposure_name"]:
            there = "another exposure of that number" if found is None else found.exposure_name
            raise ConsDbError(
                f"{self._database.name} cannot have exposure {exposure}, {facts['exposure_name']}: column "
                f"exposure_name: {there} is there; is it the database of another instrument?"
            )
        return key

    def _insert_detector(
        self,
        connection: sqlalchemy.Connection,
        exposure: int,
        key: Mapping[str, Any],
        metrics: Mapping[str, Any] | None,
    ) -> None:
        """Insert the detector if it is new, and the same as one of a visit."""
        number = compute_detector_exposure_id(exposure, key["detector"])
        region = None if metrics is None else _region(metrics)
        # Who was here without metrics did not know it.
        self._database.insert(
            connection,
            "ccdexposure",
            {**key, "ccdexposure_id": number, "exposure_id": exposure, "s_region": region},
            update=() if region is None else ("s_region",),
            where=self._database.schema.tables["ccdexposure"].c.s_region.is_(None),
        )
        if metrics is not None:
            self._copy_visit(connection, {name: key[name] for name in ("day_obs", "seq_num")})
            if not self._database.is_view("ccdvisit1"):
                renamed = {"ccdexposure_id": "ccdvisit_id", "exposure_id": "visit_id"}
                self._database.copy(connection, "ccdexposure", "ccdvisit1", key, renamed=renamed)

    def _copy_visit(self, connection: sqlalchemy.Connection, key: Mapping[str, Any]) -> None:
        """Make a visit of the exposure, as a view does at the observatory."""
        if not self._database.is_view("visit1"):
            self._database.copy(connection, "exposure", "visit1", key, renamed={"exposure_id": "visit_id"})

    def _insert_once(self, connection: sqlalchemy.Connection, table: str, row: Mapping[str, Any]) -> Outcome:
        """Insert a row, or fill in our columns of one that others have made."""
        # What knows nothing must not replace what knows nothing.
        columns = [name for name in self._columns[table] if not math.isnan(row[name])]
        target = self._database.schema.tables[table]
        unfilled = sqlalchemy.and_(*(target.c[name].is_(None) for name in self._columns[table]))
        return self._database.insert(connection, table, row, update=columns, where=unfilled)

    def _measure(self, table: str, metrics: Mapping[str, Any]) -> dict[str, float]:
        """Take the columns of a detector from its metrics."""
        sources = self._sources[table]
        return {
            column: source.value(metrics)
            for column in self._columns[table]
            if isinstance(source := sources[column], Measured)
        }

    def _summarize(self, table: str, detectors: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Compute the columns of an exposure."""
        row = {}
        for column in self._columns[table]:
            source = self._sources[table][column]
            if isinstance(source, Aggregate):
                row[column] = source.value(detectors)
            elif isinstance(source, Computed):
                row[column] = source.function(detectors, self._middle)
        return row


def _region(metrics: Mapping[str, Any]) -> str | None:
    """Write a detector's outline as STC-S, as the header service does."""
    corners = [
        float(metrics.get(f"corner_{corner}_{axis}_degree", math.nan))
        for corner in range(4)
        for axis in ("ra", "dec")
    ]
    if any(math.isnan(corner) for corner in corners):
        return None
    return "Polygon ICRS " + " ".join(f"{corner:.6f}" for corner in corners)
