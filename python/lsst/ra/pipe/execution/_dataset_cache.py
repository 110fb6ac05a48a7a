# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DatasetCache",)

import sys
import threading
from collections import OrderedDict
from typing import Any

from lsst.daf.butler import DatasetId
from lsst.images import MaskedImage


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
