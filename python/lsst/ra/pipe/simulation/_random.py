# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Random streams that do not depend on the order of work."""

from __future__ import annotations

__all__ = ("Stream", "random_stream")

import enum

import numpy as np


class Stream(enum.IntEnum):
    """What a random stream is for; values are part of what a seed means."""

    SKY = 1
    POINTING = 2
    PSF = 3
    CAMERA = 4
    BIAS = 5
    DARK = 6
    FLAT = 7
    DEFECTS = 8
    CROSSTALK = 9
    PHOTONS = 10
    COSMIC_RAYS = 11
    READOUT = 12
    REFERENCE_CATALOG = 13
    POINTING_ERROR = 14


def random_stream(seed: int, stream: Stream, *keys: int) -> np.random.Generator:
    """Return the random generator of one purpose.

    Parameters
    ----------
    seed
        Seed of the simulation.
    stream
        What the numbers are for.
    *keys
        What else tells this stream from others, for example exposure and
        detector; not negative.

    Returns
    -------
    generator
        Generator whose numbers depend on nothing else.
    """
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, int(stream), *keys])))
