# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ImageButler",)

from collections.abc import Iterable, Set
from typing import Any

from lsst.daf.butler import (
    Butler,
    ButlerMetrics,
    DatasetId,
    DatasetProvenance,
    DatasetRef,
    DeferredDatasetHandle,
    DimensionUniverse,
    LimitedButler,
    StorageClass,
)
from lsst.daf.butler.logging import ButlerLogRecords
from lsst.pipe.base import InMemoryDatasetHandle, TaskMetadata

from ._dataset_cache import DatasetCache
from ._staging import StagingArea

_PLAIN = (dict, list, tuple, str, bytes, int, float, TaskMetadata, ButlerLogRecords)
"""What leaves no large garbage behind."""


class ImageButler(LimitedButler):
    """What the tasks of one image read and write with.

    Parameters
    ----------
    reader
        Client of the repository, for the inputs.
    staging
        Where the outputs are written.
    calibrations
        Cache that outlives this butler.
    calibration_types
        Names of the dataset types to keep in it.
    kept
        Names of the outputs to hand on from memory.
    shared
        Those of them that no consumer changes, so that no copy is needed.
    unwritten
        Names of the outputs that are not written.
    existing
        Identifiers of the outputs that the repository has already.  They are
        not written again.
    """

    def __init__(
        self,
        reader: Butler,
        staging: StagingArea,
        *,
        calibrations: DatasetCache,
        calibration_types: Set[str],
        kept: Set[str],
        shared: Set[str],
        unwritten: Set[str],
        existing: Set[DatasetId],
    ) -> None:
        self._datastore = reader._datastore
        self.storageClasses = reader.storageClasses
        self._metrics = ButlerMetrics()
        self._reader = reader
        self._staging = staging
        self._calibrations = calibrations
        self._calibration_types = calibration_types
        self._kept = kept
        self._shared = shared
        self._unwritten = unwritten
        self._available = set(existing)
        self._existing = existing
        self._handles: dict[DatasetId, InMemoryDatasetHandle] = {}
        self._written: dict[DatasetId, DatasetRef] = {}
        self._overall: set[DatasetId] = set()
        self.missing: DatasetRef | None = None
        """The overall input, if any, whose file was found missing."""
        self.handled_images = False
        """Whether anything went through that may leave much memory in cycles
        of references."""

    @property
    def dimensions(self) -> DimensionUniverse:
        """Definitions of all dimensions of the repository."""
        return self._reader.dimensions

    @property
    def written(self) -> list[DatasetRef]:
        """What was written and is to be registered."""
        return list(self._written.values())

    def isWriteable(self) -> bool:
        """Return that this butler writes.

        Returns
        -------
        is_writeable
            True.
        """
        return True

    def expect(self, refs: Iterable[DatasetRef], *, overall: bool) -> None:
        """Take note of datasets that were found in the repository.

        Parameters
        ----------
        refs
            Their references.
        overall
            Whether the image cannot be processed without.
        """
        for ref in refs:
            self._available.add(ref.id)
            if overall:
                self._overall.add(ref.id)

    def get(
        self,
        ref: DatasetRef,
        /,
        *,
        parameters: dict[str, Any] | None = None,
        storageClass: StorageClass | str | None = None,
    ) -> Any:
        """Read a dataset, or take it from memory.

        Parameters
        ----------
        ref
            Dataset to get.
        parameters
            Read parameters, for example a cut-out.  Such a dataset comes from
            the file; if it is only in memory, the storage class must know the
            parameters.
        storageClass
            Storage class to return instead of the reference's own.

        Returns
        -------
        dataset
            The dataset; shared, if it is a calibration.

        Raises
        ------
        FileNotFoundError
            Raised if the dataset's file is not there.
        """
        with self._metrics.instrument_get():
            name, component = ref.datasetType.nameAndComponent()
            if parameters and ref.id in self._written:
                return self._staging.get(ref, parameters=parameters, storageClass=storageClass)
            if (handle := self._handles.get(ref.id)) is not None:
                wanted = ref.datasetType.storageClass if storageClass is None else storageClass
                return handle.get(component=component, parameters=parameters, storageClass=wanted)
            if name not in self._calibration_types or parameters or storageClass is not None:
                return self._read(ref, parameters=parameters, storageClass=storageClass)
            dataset = self._calibrations.get(ref.id, component)
            if dataset is None:
                dataset = self._read(ref)
                self._calibrations.put(dataset, ref.id, component)
            return dataset

    def getDeferred(
        self,
        ref: DatasetRef,
        /,
        *,
        parameters: dict[str, Any] | None = None,
        storageClass: str | StorageClass | None = None,
    ) -> DeferredDatasetHandle:
        """Make a handle that reads a dataset later.

        Parameters
        ----------
        ref
            Dataset to get.
        parameters
            Read parameters.
        storageClass
            Storage class to return instead of the reference's own.

        Returns
        -------
        handle
            The handle, which reads with this butler.
        """
        return DeferredDatasetHandle(butler=self, ref=ref, parameters=parameters, storageClass=storageClass)

    def put(self, obj: Any, ref: DatasetRef, /, *, provenance: DatasetProvenance | None = None) -> DatasetRef:
        """Write a dataset, keep it for the tasks that follow, or both.

        Parameters
        ----------
        obj
            The dataset.
        ref
            Its reference.
        provenance
            What is to be noted in the file.

        Returns
        -------
        ref
            The reference.
        """
        name = ref.datasetType.name
        with self._metrics.instrument_put():
            if name not in self._unwritten and ref.id not in self._existing:
                self._staging.put(obj, ref, provenance)
                self._written[ref.id] = ref
        if name in self._kept:
            self._handles[ref.id] = InMemoryDatasetHandle(
                obj,
                storageClass=ref.datasetType.storageClass,
                dataId=ref.dataId,
                copy=name not in self._shared,
            )
        self._available.add(ref.id)
        self._note(obj)
        return ref

    def peek(self, ref: DatasetRef) -> Any | None:
        """Return a dataset that is kept in memory, or `None`.

        Parameters
        ----------
        ref
            Its reference.

        Returns
        -------
        dataset
            The dataset itself, not a copy.
        """
        handle = self._handles.get(ref.id)
        return None if handle is None else handle.inMemoryDataset

    def stored_many(self, refs: Iterable[DatasetRef]) -> dict[DatasetRef, bool]:
        """Tell which datasets there are, from what is known already.

        Parameters
        ----------
        refs
            References of inputs or outputs of the image's quanta.

        Returns
        -------
        existence
            Whether each of them can be read.
        """
        return {ref: ref.id in self._available for ref in refs}

    def pruneDatasets(
        self,
        refs: Iterable[DatasetRef],
        *,
        disassociate: bool = True,
        unstore: bool = False,
        tags: Iterable[str] = (),
        purge: bool = False,
    ) -> None:
        """Take back outputs of this image.

        Parameters
        ----------
        refs
            Their references.
        disassociate
            Not used: nothing is in a collection yet.
        unstore
            Not used: they are removed in any case.
        tags
            Not used.
        purge
            Not used.
        """
        for ref in refs:
            self._written.pop(ref.id, None)
            self._handles.pop(ref.id, None)
            if ref.id not in self._existing:
                self._available.discard(ref.id)

    def _read(
        self,
        ref: DatasetRef,
        *,
        parameters: dict[str, Any] | None = None,
        storageClass: StorageClass | str | None = None,
    ) -> Any:
        try:
            dataset = self._reader.get(ref, parameters=parameters, storageClass=storageClass)
        except FileNotFoundError:
            if ref.id in self._overall:
                self.missing = ref
            raise
        self._note(dataset)
        return dataset

    def _note(self, dataset: Any) -> None:
        self.handled_images = self.handled_images or not isinstance(dataset, _PLAIN)
