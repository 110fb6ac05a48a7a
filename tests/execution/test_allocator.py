# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
from lsst.ra.pipe.execution._allocator import keep_freed_memory

def faults_of_an_image():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    image = np.empty(100_000_000, np.uint8)
    # numpy asks for huge pages, of which a few faults fill much.
    image[::4096] = 1
    del image
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {kept}:
    assert keep_freed_memory()
print([faults_of_an_image() for _ in range(3)][-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Only glibc's allocator can be told.")
def test_memory_of_an_image_is_used_again() -> None:
    """The kernel has no pages to clear for the third image."""
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", SCRIPT.format(kept=kept)], check=True, capture_output=True
            ).stdout
        )
        for kept in (False, True)
    ]
    assert faults[0] >= 40
    assert faults[1] < 10
