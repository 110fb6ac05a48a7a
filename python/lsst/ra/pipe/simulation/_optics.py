# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Vignetting of the telescope and camera, and what else takes light."""

from __future__ import annotations

__all__ = ("shadow", "vignetting")

import numpy as np
import scipy.interpolate
import scipy.special

from ._config import SimulationConfig

# Ray tracing of the Rubin optics with batoid, as the fit in obs_lsst's
# make_lsstcam_pseudoflats.py gives it, read off at these field angles and made
# monotonic.
_FIELD_ANGLE = (0.0, 0.60, 1.00, 1.22, 1.44, 1.67, 1.72, 1.78, 1.83, 1.89, 1.94, 2.00, 2.06)
_TRANSMISSION = (1.0, 0.999, 0.990, 0.982, 0.960, 0.937, 0.910, 0.845, 0.737, 0.609, 0.499, 0.325, 0.2)
_CURVE = scipy.interpolate.PchipInterpolator(_FIELD_ANGLE, _TRANSMISSION)


def vignetting(field_angle: np.ndarray) -> np.ndarray:
    """Return the fraction of the axial light that reaches the focal plane.

    Parameters
    ----------
    field_angle
        Angle from the boresight, degrees.

    Returns
    -------
    transmission
        1 on the axis, 0.98 at 1.2 degrees, 0.87 at 1.75 degrees.
    """
    return np.asarray(_CURVE(np.clip(field_angle, 0.0, _FIELD_ANGLE[-1])))


def shadow(config: SimulationConfig, x: np.ndarray, width: int) -> np.ndarray:
    """Return the fraction of the light that passes what shades a detector.

    Parameters
    ----------
    config
        Gives place and width of the shadow's edge.
    x
        Columns, 0-based pixel centres.
    width
        Columns of the detector.

    Returns
    -------
    transmission
        1 without a shadow and well before its edge, 0 well behind it.
    """
    if config.shadow is None:
        return np.ones(np.shape(x))
    distance = (np.asarray(x) - config.shadow * width) / (0.5 * config.shadow_width)
    return np.asarray(0.5 * scipy.special.erfc(distance / np.sqrt(2.0)))
