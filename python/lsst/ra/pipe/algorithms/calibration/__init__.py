# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Calibration against a reference catalogue: positions, fluxes and depth."""

from ._astrometry import *
from ._depth import *
from ._matching import *
from ._projection import *
from ._references import *
from ._tangent_plane import *
from ._zero_point import *
