# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Calibrations in the form that kernels want, shared by memory mapping."""

from __future__ import annotations

__all__ = ("ArrayStore",)

import contextlib
import fcntl
import gc
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt


class ArrayStore:
    """Named arrays on disk, which the processes of one machine map.

    Parameters
    ----------
    directory
        Directory for the arrays, best on a file system in memory.  It is made
        when missing; processes that name the same directory share it.
    max_bytes
        Budget for all arrays together.  The least recently used leave first.

    Notes
    -----
    Mapped pages are in memory once, however many processes use them, and a
    process that lets its arrays go gives its share back.  What is removed
    while somebody uses it stays until that use ends.
    """

    def __init__(self, directory: str | os.PathLike[str], *, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"The budget of an array store cannot be negative; got {max_bytes} bytes.")
        self.max_bytes = max_bytes
        self._root = pathlib.Path(directory)
        self._root.mkdir(parents=True, exist_ok=True)

    @property
    def used_bytes(self) -> int:
        """Size of all arrays in the store, in bytes (`int`)."""
        return sum(self._size(entry) for entry in self._entries())

    def get_or_make(
        self, key: str, make: Callable[[], Mapping[str, npt.NDArray[np.generic]]]
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the arrays of a key; make them if they are not here.

        Parameters
        ----------
        key
            What determines the arrays, for example dataset identifiers.
        make
            Called when the key is not here, by one process at a time.

        Returns
        -------
        arrays
            Arrays by name, mapped from the store: a change stays with the
            process that makes it.  Or what ``make`` returned, if that exceeds
            the whole budget.
        """
        entry = self._root / hashlib.sha256(key.encode()).hexdigest()[:32]
        with self._locked(entry.with_suffix(".lock")):
            if not entry.is_dir():
                arrays = make()
                if sum(array.nbytes for array in arrays.values()) > self.max_bytes:
                    return arrays
                self._write(entry, arrays)
                # Readers leave cycles of references to whole images.
                del arrays
                gc.collect()
            os.utime(entry)
            # Kernels are compiled for plain, writeable arrays.
            mapped = {
                path.stem: np.asarray(np.load(path, mmap_mode="c")) for path in sorted(entry.glob("*.npy"))
            }
        self._shrink(keep=entry)
        return mapped

    def _write(self, entry: pathlib.Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Write all arrays of a key, or none."""
        temporary = pathlib.Path(tempfile.mkdtemp(prefix="new-", dir=self._root))
        try:
            for name, array in arrays.items():
                np.save(temporary / f"{name}.npy", array)
            temporary.rename(entry)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _shrink(self, *, keep: pathlib.Path) -> None:
        """Remove the least recently used entries beyond the budget."""
        with self._locked(self._root / "shrink.lock"):
            entries = sorted(self._entries(), key=lambda entry: entry.stat().st_mtime_ns)
            sizes = {entry: self._size(entry) for entry in entries}
            excess = sum(sizes.values()) - self.max_bytes
            for entry in entries:
                if excess <= 0:
                    return
                if entry != keep:
                    excess -= sizes[entry]
                    shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> list[pathlib.Path]:
        return [path for path in self._root.iterdir() if path.is_dir() and not path.name.startswith("new-")]

    @staticmethod
    def _size(entry: pathlib.Path) -> int:
        with contextlib.suppress(FileNotFoundError):
            return sum(path.stat().st_size for path in entry.iterdir())
        return 0

    @contextlib.contextmanager
    def _locked(self, path: pathlib.Path) -> Iterator[None]:
        """Hold a lock that ends with the process that holds it."""
        with path.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
