# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DirectorySource",)

import itertools
import logging
import os
import pathlib
import threading

import watchfiles
from watchfiles._rust_notify import WatchfilesRustInternalError

from ._delivery import Handler
from ._inbox import Inbox
from ._patience import PatientHandler
from ._settings import SourceSettings

_LOG = logging.getLogger(__name__)

_STEP_MS = 5
"""Changes are handed on when there was no more of them for this time (ms)."""

_MOST_MS = 50
"""Changes are handed on after this time (ms), though there may be more."""

_TICK_MS = 50
"""Without changes, files that wait are looked at after this time (ms)."""


class DirectorySource:
    """Finds raw files that appear in a directory, or below it.

    Parameters
    ----------
    directory
        The directory; there may be others in it, also new ones.
    settings
        Which files, and when they are complete.

    Notes
    -----
    The kernel tells about changes (inotify), the directory is read once at the
    start, after that, and where a new directory appears.  A file is delivered
    as a `~lsst.ra.pipe.execution.events.FileArrived` event when it is
    complete, and again if it changes later.
    """

    def __init__(self, directory: str | os.PathLike[str], *, settings: SourceSettings) -> None:
        self.ready = threading.Event()
        self._directory = pathlib.Path(directory).absolute()
        self._settings = settings
        self._stop = threading.Event()

    def run(self, handle: Handler) -> None:
        """Deliver files until `stop` is called.

        Parameters
        ----------
        handle
            Takes the deliveries.

        Raises
        ------
        NotADirectoryError
            Raised if there is no such directory.
        """
        if not self._directory.is_dir():
            raise NotADirectoryError(f"Directory source: there is no directory {self._directory}")
        inbox = Inbox(self._directory, settings=self._settings)
        patient = PatientHandler(handle, source="Directory source", stop=self._stop)
        while not self._stop.is_set():
            try:
                self._watch(inbox, patient)
            except WatchfilesRustInternalError as err:
                # A name that is no UTF-8, for one, which is no reason to stop.
                _LOG.warning("Directory source: watching %s again: %s", self._directory, err)

    def _watch(self, inbox: Inbox, patient: PatientHandler) -> None:
        """Deliver files until it is time to stop, or the watch breaks."""
        changes = watchfiles.watch(
            self._directory,
            watch_filter=None,
            step=_STEP_MS,
            debounce=_MOST_MS,
            rust_timeout=_TICK_MS,
            yield_on_timeout=True,
            stop_event=self._stop,
            force_polling=False,
            ignore_permission_denied=True,
        )
        for number, changed in enumerate(changes):
            if number == 0:  # The kernel tells of changes by now.
                inbox.scan(str(self._directory))
                self.ready.set()
            inbox.look_again([path for _, path in changed])
            if not self._deliver(inbox, patient):
                break

    def stop(self) -> None:
        """End `run`, from another thread or a signal handler."""
        self._stop.set()

    def _deliver(self, inbox: Inbox, patient: PatientHandler) -> bool:
        """Deliver what is complete; tell whether to go on."""
        for batch in itertools.batched(inbox.find_complete(), self._settings.batch_size):
            if patient.deliver([file.delivery for file in batch]) is None:
                return False
            inbox.mark_delivered(batch)
        return True
