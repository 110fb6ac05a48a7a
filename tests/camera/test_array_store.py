# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import multiprocessing
import pathlib

import numpy as np
import pytest
from lsst.ra.pipe.camera.calibrations import ArrayStore

ENTRY_BYTES = 4000 + 128  # an array of 1000 float32 and its NPY header


def make(value: float) -> dict[str, np.ndarray]:
    """Make the arrays of one key."""
    return {"flat": np.full(1000, value, np.float32)}


def test_arrays_are_made_once_and_mapped(tmp_path: pathlib.Path) -> None:
    """The second request, also by another client, reads what is there."""
    made = []

    def count() -> dict[str, np.ndarray]:
        made.append(1)
        return make(3.0)

    for _ in range(2):
        arrays = ArrayStore(tmp_path, max_bytes=10 * ENTRY_BYTES).get_or_make("a", count)
        assert isinstance(arrays["flat"].base, np.memmap)
        assert np.array_equal(arrays["flat"], np.full(1000, 3.0, np.float32))
    assert made == [1]


def test_change_stays_with_who_makes_it(tmp_path: pathlib.Path) -> None:
    """A task cannot spoil a calibration for the others."""
    store = ArrayStore(tmp_path, max_bytes=10 * ENTRY_BYTES)
    store.get_or_make("a", lambda: make(1.0))["flat"][0] = 2.0
    assert store.get_or_make("a", lambda: make(-1.0))["flat"][0] == 1.0


def test_least_recently_used_leaves_and_its_users_keep_it(tmp_path: pathlib.Path) -> None:
    """The budget holds; arrays in use stay readable."""
    store = ArrayStore(tmp_path, max_bytes=2 * ENTRY_BYTES)
    first = store.get_or_make("a", lambda: make(1.0))
    store.get_or_make("b", lambda: make(2.0))
    store.get_or_make("a", lambda: make(-1.0))
    store.get_or_make("c", lambda: make(3.0))
    assert store.used_bytes <= store.max_bytes
    assert store.get_or_make("a", lambda: make(-1.0))["flat"][0] == 1.0
    assert store.get_or_make("b", lambda: make(-2.0))["flat"][0] == -2.0
    assert first["flat"][999] == 1.0


def test_arrays_beyond_the_budget_are_not_kept(tmp_path: pathlib.Path) -> None:
    """They are returned as they were made, and drive nothing out."""
    store = ArrayStore(tmp_path, max_bytes=ENTRY_BYTES - 200)
    assert store.get_or_make("a", lambda: make(1.0))["flat"][0] == 1.0
    assert store.used_bytes == 0


def test_failure_to_make_leaves_nothing(tmp_path: pathlib.Path) -> None:
    """The next request tries again."""

    def fail() -> dict[str, np.ndarray]:
        raise OSError("the file is corrupt")

    store = ArrayStore(tmp_path, max_bytes=10 * ENTRY_BYTES)
    with pytest.raises(OSError, match="corrupt"):
        store.get_or_make("a", fail)
    assert store.used_bytes == 0
    assert store.get_or_make("a", lambda: make(1.0))["flat"][0] == 1.0


def _make_slowly(directory: pathlib.Path, queue: multiprocessing.Queue[int]) -> None:
    def count() -> dict[str, np.ndarray]:
        queue.put(1)
        return make(5.0)

    ArrayStore(directory, max_bytes=10 * ENTRY_BYTES).get_or_make("a", count)


def test_one_process_makes_for_all(tmp_path: pathlib.Path) -> None:
    """Processes that ask at the same time wait for the first."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_make_slowly, args=(tmp_path, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert queue.get(timeout=5) == 1
    assert queue.empty()


def test_negative_budget_is_refused(tmp_path: pathlib.Path) -> None:
    """The error gives the number."""
    with pytest.raises(ValueError, match="-1 bytes"):
        ArrayStore(tmp_path, max_bytes=-1)
