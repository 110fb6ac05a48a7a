# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DatasetCache", "ReadThroughButler")

import sys
import threading
from collections import OrderedDict
from collections.abc import Set
from typing import Any

from lsst.daf.butler import DatasetId, DatasetRef, LimitedButler, StorageClass
from lsst.images import MaskedImage
from lsst.pipe.base.caching_limited_butler import CachingLimitedButler


def _memory_bytes(dataset: Any) -> int:
    """Return the memory that a dataset occupies, in bytes."""
    if isinstance(dataset, MaskedImage):
        return int(dataset.image.array.nbytes + dataset.mask.array.nbytes + dataset.variance.array.nbytes)
    return sys.getsizeof(dataset)


class DatasetCache:
    """Datasets in memory, the least recently used leave first.

    Parameters
    ----------
    max_bytes
        Memory budget.  A dataset larger than this is not kept.

    Notes
    -----
    The datasets are shared, not copied: who gets one must not change it.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"The budget of a cache cannot be negative; got {max_bytes} bytes.")
        self.max_bytes = max_bytes
        self._datasets: OrderedDict[tuple[DatasetId, str | None], tuple[Any, int]] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Memory that the cached datasets occupy (`int`)."""
        return self._used

    def __len__(self) -> int:
        return len(self._datasets)

    def get(self, dataset_id: DatasetId, component: str | None = None) -> Any | None:
        """Return a dataset, or `None` when it is not here.

        Parameters
        ----------
        dataset_id
            Identifier of the dataset.
        component
            Name of the component, if the dataset is one.

        Returns
        -------
        dataset
            The dataset itself, not a copy.
        """
        with self._lock:
            entry = self._datasets.get((dataset_id, component))
            if entry is None:
                return None
            self._datasets.move_to_end((dataset_id, component))
            return entry[0]

    def put(self, dataset: Any, dataset_id: DatasetId, component: str | None = None) -> None:
        """Keep a dataset, and let others go if the budget asks for it.

        Parameters
        ----------
        dataset
            The dataset.
        dataset_id
            Its identifier.
        component
            Name of the component, if the dataset is one.
        """
        size = _memory_bytes(dataset)
        key = (dataset_id, component)
        with self._lock:
            if size > self.max_bytes or key in self._datasets:
                return
            self._datasets[key] = (dataset, size)
            self._used += size
            while self._used > self.max_bytes:
                _, (_, freed) = self._datasets.popitem(last=False)
                self._used -= freed


class ReadThroughButler(CachingLimitedButler):
    """A limited butler that keeps calibrations from one image to the next.

    Parameters
    ----------
    wrapped
        Butler that reads and writes.
    calibrations
        Cache that outlives this butler.
    calibration_types
        Names of the dataset types to keep in it.
    intermediates
        Names of the dataset types that a later task of the same image reads;
        the last one of each is kept when it is written.
    shared_intermediates
        Those of them that no consumer changes, so that no copy is needed.

    Notes
    -----
    `CachingLimitedButler` holds one dataset of each type, which suits the
    intermediate images; a worker that serves several detectors and filters
    needs more of the calibrations.
    """

    def __init__(
        self,
        wrapped: LimitedButler,
        *,
        calibrations: DatasetCache,
        calibration_types: Set[str],
        intermediates: Set[str],
        shared_intermediates: Set[str],
    ) -> None:
        super().__init__(wrapped, cache_on_put=intermediates, no_copy_on_cache=shared_intermediates)
        self._calibrations = calibrations
        self._calibration_types = calibration_types

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
            Read parameters, for example a cut-out; such a dataset is not
            cached.
        storageClass
            Storage class to return instead of the dataset type's own.

        Returns
        -------
        dataset
            The dataset; shared, if it is a calibration.
        """
        name, component = ref.datasetType.nameAndComponent()
        if name not in self._calibration_types or parameters or storageClass is not None:
            return super().get(ref, parameters=parameters, storageClass=storageClass)
        dataset = self._calibrations.get(ref.id, component)
        if dataset is None:
            dataset = super().get(ref)
            self._calibrations.put(dataset, ref.id, component)
        return dataset
