# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Statistics of metrics over the detectors of a focal plane."""

from ._fields import EllipticityPattern, PlaneFit, find_ellipticity_pattern, fit_plane, rotate_ellipticity
from ._pointing import PointingFit, fit_pointing
from ._robust import RobustStatistics, summarize

__all__ = (
    "EllipticityPattern",
    "PlaneFit",
    "PointingFit",
    "RobustStatistics",
    "find_ellipticity_pattern",
    "fit_plane",
    "fit_pointing",
    "rotate_ellipticity",
    "summarize",
)
