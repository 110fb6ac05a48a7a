# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a watched directory holds, and what of it was delivered."""

from __future__ import annotations

__all__ = ("ArrivedFile", "Inbox")

import dataclasses
import datetime
import logging
import os
import pathlib
import stat
import time
from collections.abc import Iterable

from lsst.ra.pipe.execution.events import FileArrived

from ._delivery import Delivery
from ._fits_structure import is_complete_fits
from ._settings import SourceSettings

_LOG = logging.getLogger(__name__)

_BURST = 1000
"""Paths that change at once from which the kernel's queue of changes may have
been too short."""


@dataclasses.dataclass(frozen=True)
class _Version:
    """What tells one state of a file from another."""

    inode: int
    size: int
    modified_ns: int


@dataclasses.dataclass
class _Waiting:
    """A file that may not be complete."""

    version: _Version
    since: float
    """When this state was seen first, by the monotonic clock (s)."""
    is_complete: bool | None = None
    """What its structure says, once it has been asked."""


@dataclasses.dataclass(frozen=True)
class ArrivedFile:
    """A file that is to be delivered."""

    path: str
    """Where it is."""

    version: _Version
    """The state that is delivered."""

    @property
    def delivery(self) -> Delivery:
        """The event, as the handler takes it (`Delivery`)."""
        arrived = datetime.datetime.fromtimestamp(self.version.modified_ns / 1e9, datetime.UTC)
        event = FileArrived(uri=pathlib.Path(self.path).as_uri(), arrived=arrived)
        return Delivery(event.model_dump_json().encode(), f"file {self.path}")


class Inbox:
    """The files of a directory: which wait, and which were delivered.

    Parameters
    ----------
    directory
        The directory; what it holds is not looked at yet.
    settings
        Which files, and when they are complete.
    """

    def __init__(self, directory: pathlib.Path, *, settings: SourceSettings) -> None:
        self._directory = str(directory)
        self._settings = settings
        self._waiting: dict[str, _Waiting] = {}
        self._delivered: dict[str, _Version] = {}
        self._scans: dict[str, float] = {}

    def scan(self, directory: str) -> None:
        """Look at all files of a directory and those below it.

        Parameters
        ----------
        directory
            Where to begin.
        """
        seen = set()
        for place, names, files in os.walk(directory, onerror=_log_unreadable, followlinks=True):
            where = os.path.realpath(place)
            if where in seen:  # a link to where we were
                names.clear()
                continue
            seen.add(where)
            names[:] = [name for name in names if not name.startswith(".")]
            for name in files:
                self._look(os.path.join(place, name))

    def look_again(self, changed: Iterable[str]) -> None:
        """Look at what changed.

        Parameters
        ----------
        changed
            Paths of files and directories, also of such that are gone.

        Notes
        -----
        A file may come into a new directory before the kernel tells of its
        changes, so that is scanned, and once more when that is sure to be
        over.  The same after a burst of changes, some of which the kernel may
        have dropped.
        """
        changed = list(changed)
        later = time.monotonic() + self._settings.settle_seconds
        if len(changed) >= _BURST:
            self._scans.setdefault(self._directory, later)
        for path in changed:
            if os.path.isdir(path):
                if not self._is_hidden(path):
                    self._scans.setdefault(path, later)
                    self.scan(path)
            else:
                self._look(path)

    def find_complete(self) -> list[ArrivedFile]:
        """Find the files that are to be delivered now, the oldest first.

        Returns
        -------
        files
            They wait until `mark_delivered`.
        """
        now = time.monotonic()
        for directory in [path for path, due in self._scans.items() if due <= now]:
            del self._scans[directory]
            self.scan(directory)
        files = []
        for path in list(self._waiting):
            # It may have changed since the change that is known.
            status = self._look(path)
            if status is not None and self._is_due(path, status):
                files.append(ArrivedFile(path, self._waiting[path].version))
        return sorted(files, key=lambda file: (file.version.modified_ns, file.path))

    def mark_delivered(self, files: Iterable[ArrivedFile]) -> None:
        """Note that files were delivered, and wait no more.

        Parameters
        ----------
        files
            Some that `find_complete` found.
        """
        for file in files:
            self._delivered[file.path] = file.version
            self._waiting.pop(file.path, None)

    def _is_hidden(self, path: str) -> bool:
        """Whether the file, or a directory that it is in, is hidden."""
        return any(part.startswith(".") for part in os.path.relpath(path, self._directory).split(os.sep))

    def _look(self, path: str) -> os.stat_result | None:
        """Look at a file; give its status if it waits, after that."""
        name = os.path.basename(path)
        if not self._settings.file_pattern.search(name) or self._is_hidden(path):
            return None
        if not _is_text(path):
            # No URI can name it, and opening it would break the watch.
            _LOG.warning("Directory source: passing over %r, whose name is no UTF-8", os.fsencode(path))
            return None
        try:
            status = os.stat(path)
        except OSError:  # It is gone, or not for us.
            self._waiting.pop(path, None)
            self._delivered.pop(path, None)
            return None
        version = _Version(status.st_ino, status.st_size, status.st_mtime_ns)
        if not stat.S_ISREG(status.st_mode) or self._delivered.get(path) == version:
            self._waiting.pop(path, None)
            return None
        waiting = self._waiting.get(path)
        if waiting is None or waiting.version != version:
            self._waiting[path] = _Waiting(version, since=time.monotonic())
        return status

    def _is_due(self, path: str, status: os.stat_result) -> bool:
        """Whether a waiting file is complete, or unlikely ever to be."""
        waiting = self._waiting[path]
        if waiting.is_complete is None:
            waiting.is_complete = _is_complete(path)
        unchanged = time.monotonic() - waiting.since
        # A long write sets the time when it begins, so that only an old file's counts.
        if (age := time.time() - status.st_mtime) >= self._settings.settle_seconds:
            unchanged = max(unchanged, age)
        if not waiting.is_complete:
            return unchanged >= self._settings.settle_seconds
        # Writing sets both times; what came after it was a rename or the like.
        is_in_place = status.st_ctime_ns > status.st_mtime_ns
        return is_in_place or unchanged >= self._settings.quiet_seconds


def _is_complete(path: str) -> bool:
    try:
        return is_complete_fits(path)
    except OSError:  # Ingest will say what is wrong with it.
        return False


def _log_unreadable(error: OSError) -> None:
    _LOG.warning("Directory source: passes over what it cannot read: %s", error)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
