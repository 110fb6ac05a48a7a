# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("die_with",)

import ctypes
import os
import signal

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``."""


def die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel signal this process when its parent dies.

    Parameters
    ----------
    parent
        Process identifier of the parent, or rather of its thread that started
        this process: that one must not end before.
    number
        The signal.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)
