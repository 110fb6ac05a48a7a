# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A butler that reads from a repository and writes to memory."""

from __future__ import annotations

__all__ = ("InputCache", "MemoryButler")

from collections.abc import Iterable
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

type InputCache = dict[tuple[DatasetId, str, str], Any]
"""Datasets in memory by identifier, dataset type and storage class."""


class MemoryButler(LimitedButler):
    """What one run of a task reads and writes with; the repository is not
    changed.

    Parameters
    ----------
    reader
        Client of the repository.
    inputs
        Inputs that were read before; `None` to read them anew, for a task
        that changes its inputs.
    """

    def __init__(self, reader: Butler, *, inputs: InputCache | None) -> None:
        self._reader = reader
        self._inputs = inputs
        self._metrics = ButlerMetrics()
        self.storageClasses = reader.storageClasses
        self.outputs: dict[DatasetId, Any] = {}
        """What was written."""

    @property
    def dimensions(self) -> DimensionUniverse:
        """Definitions of all dimensions of the repository."""
        return self._reader.dimensions

    def isWriteable(self) -> bool:
        """Return that a task can write.

        Returns
        -------
        is_writeable
            True.
        """
        return True

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
            Read parameters, for example a cut-out.
        storageClass
            Storage class to return instead of the reference's own.

        Returns
        -------
        dataset
            The dataset.
        """
        if self._inputs is None or parameters or storageClass is not None:
            return self._reader.get(ref, parameters=parameters, storageClass=storageClass)
        key = (ref.id, ref.datasetType.name, ref.datasetType.storageClass_name)
        if key not in self._inputs:
            self._inputs[key] = self._reader.get(ref)
        return self._inputs[key]

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
        """Keep a dataset in memory.

        Parameters
        ----------
        obj
            The dataset.
        ref
            Its reference.
        provenance
            Not used: nothing is written.

        Returns
        -------
        ref
            The reference.
        """
        self.outputs[ref.id] = obj
        return ref

    def stored_many(self, refs: Iterable[DatasetRef]) -> dict[DatasetRef, bool]:
        """Tell which datasets can be read.

        Parameters
        ----------
        refs
            Their references.

        Returns
        -------
        existence
            Whether each of them can be read.
        """
        return self._reader.stored_many(refs)

    def pruneDatasets(
        self,
        refs: Iterable[DatasetRef],
        *,
        disassociate: bool = True,
        unstore: bool = False,
        tags: Iterable[str] = (),
        purge: bool = False,
    ) -> None:
        """Forget outputs.

        Parameters
        ----------
        refs
            Their references.
        disassociate
            Not used: nothing is in a collection.
        unstore
            Not used.
        tags
            Not used.
        purge
            Not used.
        """
        for ref in refs:
            self.outputs.pop(ref.id, None)
