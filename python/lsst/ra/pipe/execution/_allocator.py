# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("keep_freed_memory",)

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have this process keep the memory that it frees, for what comes next.

    Returns
    -------
    kept
        Whether it does; only the allocator of glibc can be told.

    Notes
    -----
    An image of a CCD takes hundreds of megabytes, which are free again before
    the next image.  By default they go back to the kernel, which then clears
    every page anew: a fifth of a detector's core-seconds, more on a virtual
    machine.  The process grows to what the largest image needs, as it does in
    any case, and stays there.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Blocks that are mapped by themselves would be unmapped when freed.
    return all(mallopt(option, value) for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER)))
