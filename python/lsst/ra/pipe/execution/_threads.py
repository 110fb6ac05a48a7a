# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("limit_threads",)

import os

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def limit_threads() -> None:
    """Have the processes that this one starts use one thread each, unless the
    environment says otherwise: the parallelism comes from the detectors.
    """
    for name in _THREAD_LIMITS:
        os.environ.setdefault(name, "1")
