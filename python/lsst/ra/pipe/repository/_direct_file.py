# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Files that are on the disk when they have been written."""

from __future__ import annotations

__all__ = ("DirectFile",)

import errno
import os
from types import TracebackType
from typing import Self

import numpy as np

_PAGE = 4096
_BUFFER = 4 * 1024 * 1024
_DIRECT = getattr(os, "O_DIRECT", 0)
"""Flag of systems that can write past the page cache."""


class DirectFile:
    """A new file, written from start to end past the page cache.

    An image of 132 MB that nobody reads soon would take twice the processor's
    time to put into the page cache than to make, and would still be lost if
    the machine stopped before the kernel wrote it. Files that fit the buffer,
    and file systems that do not know such writing, get ordinary calls.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileExistsError
        Raised if there is such a file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._is_direct = False
        room = np.empty(_BUFFER + _PAGE, dtype=np.uint8)
        start = -room.ctypes.data % _PAGE
        self._buffer = memoryview(room[start : start + _BUFFER])
        self._filled = 0
        self._flushed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                self._finish()
        finally:
            os.close(self._descriptor)

    def tell(self) -> int:
        """Return the number of bytes written.

        Returns
        -------
        position
            Bytes from the start of the file.
        """
        return self._flushed + self._filled

    def write(self, part: bytes | memoryview) -> int:
        """Add bytes at the end.

        Parameters
        ----------
        part
            The bytes.

        Returns
        -------
        count
            Number of bytes taken, at least one.
        """
        count = min(len(part), _BUFFER - self._filled)
        self._buffer[self._filled : self._filled + count] = memoryview(part)[:count]
        self._filled += count
        if self._filled == _BUFFER:
            self._flush(_BUFFER)
        return count

    def _flush(self, size: int) -> None:
        """Write the start of the buffer, whole pages if past the cache."""
        if self._flushed == 0 and size == _BUFFER:
            self._set_direct(True)
        rest = self._buffer[:size]
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except OSError as error:
                if not self._is_direct or error.errno != errno.EINVAL:
                    raise
                self._set_direct(False)
                continue
            rest = rest[written:]
            if written % _PAGE:
                # The next write would not begin at a page.
                self._set_direct(False)
        self._flushed += size
        self._filled = 0

    def _finish(self) -> None:
        """Write what is left, and cut what filled the last page."""
        if not self._filled:
            return
        size = self.tell()
        whole = -(-self._filled // _PAGE) * _PAGE if self._is_direct else self._filled
        self._buffer[self._filled : whole] = bytes(whole - self._filled)
        self._flush(whole)
        if whole != size:
            os.ftruncate(self._descriptor, size)

    def _set_direct(self, value: bool) -> None:
        """Begin or stop to write past the page cache, if the file can."""
        if not _DIRECT:
            return
        import fcntl

        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | _DIRECT if value else flags & ~_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return
        self._is_direct = value
