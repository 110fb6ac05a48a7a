# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("CalibrationLookup",)

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from lsst.daf.butler import (
    Butler,
    CalibrationLookupError,
    DataCoordinate,
    DatasetRef,
    DatasetType,
    MissingDatasetTypeError,
    Timespan,
)

_Scope = tuple[str, int | None]
"""Instrument, and detector if the dataset type has one."""


@dataclasses.dataclass(frozen=True)
class _Association:
    """A calibration, and when it is valid."""

    ref: DatasetRef
    collection: str
    timespan: Timespan | None
    """`None` in a RUN collection, where validity has no limits."""


class CalibrationLookup:
    """Finds the calibrations that are valid at a time, from memory.

    Parameters
    ----------
    butler
        Client of the repository.
    inputs
        Collections to search, in this order.

    Notes
    -----
    For each pair of dataset type and detector (of all filters) the validity
    ranges in the input collections are remembered, and the flattened list of
    these collections.  A calibration that is certified, decertified or
    replaced later is seen after `refresh`, which is to be called from time to
    time.  A lookup that finds nothing asks the repository before it says so,
    as does the first one of each detector.  The answers are those of
    `lsst.daf.butler.Butler.find_dataset` at the last refresh.
    """

    def __init__(self, butler: Butler, inputs: Sequence[str]) -> None:
        self._butler = butler
        self._inputs = list(inputs)
        self._collections: tuple[str, ...] = ()
        self._known: dict[tuple[str, _Scope], dict[DataCoordinate, list[_Association]]] = {}
        self._flatten()

    def find(
        self, dataset_type: DatasetType, data_id: DataCoordinate, timespan: Timespan
    ) -> DatasetRef | None:
        """Find the calibration of a data ID that is valid at a time.

        Parameters
        ----------
        dataset_type
            Dataset type of the calibration.
        data_id
            At least the dimensions of the dataset type, with their records.
        timespan
            Time at which it must be valid.

        Returns
        -------
        ref
            The calibration from the first collection that has one, or `None`.

        Raises
        ------
        lsst.daf.butler.CalibrationLookupError
            Raised if this collection has several.
        """
        data_id = data_id.subset(dataset_type.dimensions)
        key = (dataset_type.name, _scope(data_id))
        fresh = key not in self._known
        if fresh:
            self._query(dataset_type, [key[1]])
        ref = self._choose(dataset_type, data_id, timespan, key)
        if ref is None and not fresh:
            self._flatten()
            self._query(dataset_type, [key[1]])
            ref = self._choose(dataset_type, data_id, timespan, key)
        return None if ref is None else ref.expanded(data_id)

    def load(self, dataset_types: Iterable[DatasetType], instrument: str, detectors: Iterable[int]) -> None:
        """Ask the repository for what these detectors will need.

        Parameters
        ----------
        dataset_types
            Dataset types of the calibrations.
        instrument
            Butler ``instrument``.
        detectors
            Butler ``detector`` values.
        """
        for dataset_type in dataset_types:
            per_detector = "detector" in dataset_type.dimensions
            self._query(dataset_type, [(instrument, d) for d in (detectors if per_detector else [None])])

    def refresh(self) -> None:
        """Ask the repository again for all that is remembered."""
        self._flatten()
        scopes = defaultdict(list)
        for name, scope in self._known:
            scopes[name].append(scope)
        for name, known in scopes.items():
            self._query(self._butler.get_dataset_type(name), known)

    def _flatten(self) -> None:
        self._collections = tuple(self._butler.collections.query(self._inputs, flatten_chains=True))

    def _choose(
        self,
        dataset_type: DatasetType,
        data_id: DataCoordinate,
        timespan: Timespan,
        key: tuple[str, _Scope],
    ) -> DatasetRef | None:
        minimal = data_id.subset(dataset_type.dimensions.required)
        valid = defaultdict(list)
        for association in self._known[key].get(minimal, ()):
            if association.timespan is None or association.timespan.overlaps(timespan):
                valid[association.collection].append(association.ref)
        for collection in self._collections:
            if len(valid[collection]) > 1:
                raise CalibrationLookupError(
                    f"Ambiguous calibration lookup: collection {collection} has {len(valid[collection])} "
                    f"{dataset_type.name} for {minimal} at {timespan}, expected one."
                )
            if valid[collection]:
                return valid[collection][0]
        return None

    def _query(self, dataset_type: DatasetType, scopes: Iterable[_Scope]) -> None:
        """Ask for one dataset type, for detectors of one or more instruments."""
        by_instrument: dict[str, list[int | None]] = defaultdict(list)
        for instrument, detector in scopes:
            by_instrument[instrument].append(detector)
            self._known[dataset_type.name, (instrument, detector)] = {}
        for instrument, detectors in by_instrument.items():
            for association in self._fetch(dataset_type, instrument, detectors):
                data_id = association.ref.dataId
                known = self._known[dataset_type.name, _scope(data_id)]
                known.setdefault(data_id.subset(dataset_type.dimensions.required), []).append(association)

    def _fetch(
        self, dataset_type: DatasetType, instrument: str, detectors: Sequence[int | None]
    ) -> list[_Association]:
        name = dataset_type.name
        values: Mapping[str, object] = {"instrument": instrument}
        numbers = [detector for detector in detectors if detector is not None]
        try:
            with self._butler.query() as query:
                query = query.join_dataset_search(name, self._collections).where(values)
                if numbers:
                    query = query.where("detector IN (:numbers)", bind={"numbers": numbers})
                rows = query.general(
                    dataset_type.dimensions,
                    dataset_fields={name: {"dataset_id", "run", "collection", "timespan"}},
                    find_first=False,
                )
                return [
                    _Association(refs[0], row[f"{name}.collection"], row[f"{name}.timespan"])
                    for _, refs, row in rows.iter_tuples(dataset_type)
                ]
        except MissingDatasetTypeError:
            return []


def _scope(data_id: DataCoordinate) -> _Scope:
    detector = int(data_id["detector"]) if "detector" in data_id.dimensions else None
    return str(data_id["instrument"]), detector
