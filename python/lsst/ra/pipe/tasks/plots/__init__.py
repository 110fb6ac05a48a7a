# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Plots: plain data in, matplotlib figures out; no Butler, no pyplot."""

from ._calibration import *
from ._detector_amplifiers import *
from ._detector_astrometry import *
from ._detector_data import *
from ._detector_image import *
from ._detector_psf import *
from ._detector_sources import *
from ._focal_plane import *
from ._focal_plane_image import *
from ._focal_plane_metrics import *
from ._mosaic import *
from ._night import *
from ._stretch import *
from ._style import *
