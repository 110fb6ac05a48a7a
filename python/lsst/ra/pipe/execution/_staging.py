# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("StagingArea",)

import contextlib
import os
import shutil
import tempfile
import time
import uuid
import weakref
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lsst.daf.butler import (
    Butler,
    DatasetId,
    DatasetProvenance,
    DatasetRef,
    DatasetType,
    Formatter,
    FormatterV2,
    Location,
    StorageClass,
)
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.direct_butler import DirectButler
from lsst.daf.butler.registry import ConflictingDefinitionError
from lsst.daf.butler.registry.interfaces import DatabaseInsertMode, DatasetIdRef
from lsst.resources import ResourcePath

_DIRECTORY = ".rapid-staging"
_ABANDONED_SECONDS = 86_400.0
"""Age at which what a killed process has left may be removed."""

_MAX_ATTEMPTS = 10
"""How often a registration begins anew because another process was first."""


class _StagingDatastore(FileDatastore):
    """Writes files as the repository's datastore does, but into one directory,
    and keeps the records in memory.
    """

    def __init__(self, datastore: FileDatastore, root: ResourcePath, butler: DirectButler) -> None:
        super().__init__(
            datastore.config,
            butler._registry.getDatastoreBridgeManager(),
            root,
            datastore.formatterFactory,
            datastore.templates,
            datastore.composites,
            trustGetRequest=False,
        )
        self.files: dict[DatasetId, list[tuple[ResourcePath, StoredFileInfo]]] = {}
        self._paths: dict[str, str] = {}

    def _determine_put_formatter_location(
        self, ref: DatasetRef, provenance: DatasetProvenance | None = None
    ) -> tuple[Location, Formatter | FormatterV2]:
        location, formatter = super()._determine_put_formatter_location(ref, provenance)
        # Directories cost more than files, so there are none here.
        name = f"{ref.id}-{ref.datasetType.component() or 'all'}{location.getExtension()}"
        staged = self.locationFactory.fromPath(name, trusted_path=True)
        formatter.file_descriptor.location = staged
        self._paths[name] = location.pathInStore.path
        return staged, formatter

    def _register_datasets(
        self,
        refsAndInfos: Iterable[tuple[DatasetRef, StoredFileInfo]],
        insert_mode: DatabaseInsertMode = DatabaseInsertMode.INSERT,
    ) -> None:
        for ref, info in refsAndInfos:
            staged = info.file_location(self.locationFactory).uri
            final = info.rebase(ref).update(path=self._paths.pop(info.path))
            self.files.setdefault(ref.id, []).append((staged, final))

    def getStoredItemsInfo(
        self, ref: DatasetIdRef, ignore_datastore_records: bool = False
    ) -> list[StoredFileInfo]:
        return [info.update(path=str(uri.relative_to(self.root))) for uri, info in self.files.get(ref.id, ())]

    def clear(self) -> None:
        """Remove the files that are still here."""
        for files in self.files.values():
            for uri, _ in files:
                with contextlib.suppress(FileNotFoundError):
                    uri.remove()
        self.files.clear()
        self._paths.clear()


class StagingArea:
    """Where the files of outputs wait until their datasets are registered.

    Parameters
    ----------
    butler
        Writeable client of the repository, whose datastore must be one of
        files.
    dataset_types
        The repository's definitions of the dataset types to be written.

    Raises
    ------
    TypeError
        Raised if the repository has another kind of datastore.

    Notes
    -----
    The area is a directory of its own under the datastore's root, or a local
    one if the root is remote.  What is registered moves to its place while the
    transaction holds the rows of the datasets, so two writers of the same
    dataset never touch each other's file: the second one finds the dataset
    there, and discards its own.
    """

    def __init__(self, butler: Butler, dataset_types: Iterable[DatasetType]) -> None:
        datastore = butler._datastore
        if not isinstance(butler, DirectButler) or not isinstance(datastore, FileDatastore):
            raise TypeError(
                "The outputs need a DirectButler with a FileDatastore; got a "
                f"{type(butler).__name__} with a {type(datastore).__name__}: {butler}."
            )
        self._butler = butler
        self._datastore = datastore
        if datastore.root.isLocal:
            parent = os.path.join(datastore.root.ospath, _DIRECTORY)
            _remove_abandoned(parent)
            root = os.path.join(parent, str(uuid.uuid4()))
        else:
            root = tempfile.mkdtemp(prefix="rapid-staging-")
        self._staged = _StagingDatastore(datastore, ResourcePath(root, forceDirectory=True), butler)
        self._staged.set_retrieve_dataset_type_method({one.name: one for one in dataset_types}.get)
        weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)

    def put(self, dataset: Any, ref: DatasetRef, provenance: DatasetProvenance | None = None) -> None:
        """Write a dataset's file.

        Parameters
        ----------
        dataset
            The dataset.
        ref
            Its reference, with dimension records.
        provenance
            What is to be noted in the file.
        """
        self._staged.put(dataset, ref, provenance)

    def get(
        self,
        ref: DatasetRef,
        *,
        parameters: Mapping[str, Any] | None = None,
        storageClass: StorageClass | str | None = None,
    ) -> Any:
        """Read a dataset that was put and is not registered yet.

        Parameters
        ----------
        ref
            Its reference.
        parameters
            Read parameters, for example a cut-out.
        storageClass
            Storage class to return instead of the reference's own.

        Returns
        -------
        dataset
            The dataset.
        """
        return self._staged.get(ref, parameters=parameters, storageClass=storageClass)

    def register(self, refs: Collection[DatasetRef]) -> list[DatasetRef]:
        """Enter datasets in the registry, in one transaction.

        Parameters
        ----------
        refs
            Datasets that were put.

        Returns
        -------
        registered
            Those that were not in the repository already.

        Raises
        ------
        lsst.daf.butler.registry.ConflictingDefinitionError
            Raised if the run has a dataset of the same type and data ID that
            comes from elsewhere.

        Notes
        -----
        The identifiers of the datasets must follow from type, run and data
        ID.  All of them are in the repository at the end, from here or from
        another process, with their files.
        """
        new = sorted(refs, key=lambda ref: ref.id)
        for attempt in range(_MAX_ATTEMPTS):
            try:
                self._register_new(new)
                return new
            except ConflictingDefinitionError:
                known = {ref.id for ref in self._butler.get_many_datasets(ref.id for ref in new)}
                if not known and attempt:
                    raise
                new = [ref for ref in new if ref.id not in known]
        raise RuntimeError(f"Registration met other writers {_MAX_ATTEMPTS} times: {new}")

    def clear(self) -> None:
        """Remove what is still here."""
        self._staged.clear()

    def _register_new(self, refs: list[DatasetRef]) -> None:
        if not refs:
            return
        groups = defaultdict(list)
        for ref in refs:
            groups[ref.run, ref.datasetType.dimensions].append(ref)
        table = self._datastore.config["records", "table"]
        records: Mapping[DatasetId, Any] = {
            ref.id: {table: [info for _, info in self._staged.files[ref.id]]} for ref in refs
        }
        with self._butler.transaction():
            # All writers take the groups, and the rows in them, in the same order.
            for key in sorted(groups, key=str):
                self._butler.registry._importDatasets(groups[key], expand=False, assume_new=True)
            self._butler._datastore.import_records(
                {self._datastore.name: DatastoreRecordData(records=dict(records))}
            )
            for ref in refs:
                for uri, info in self._staged.files[ref.id]:
                    self._move(uri, info)

    def _move(self, source: ResourcePath, info: StoredFileInfo) -> None:
        """Move a file to where the repository expects it."""
        target = info.file_location(self._datastore.locationFactory).uri
        if not target.isLocal:
            target.transfer_from(source, transfer="copy", overwrite=True)
            return
        os.makedirs(os.path.dirname(target.ospath), exist_ok=True)
        os.replace(source.ospath, target.ospath)


def _remove_abandoned(parent: str) -> None:
    """Remove staging areas that killed processes left."""
    oldest = time.time() - _ABANDONED_SECONDS
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(parent):
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry.path, ignore_errors=True)
