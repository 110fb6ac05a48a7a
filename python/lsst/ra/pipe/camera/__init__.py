# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The LSSTCam family without AFW: geometry, raw files, headers, Butler."""

from ._camera import Camera, MissingPointingError, UnknownDetectorError, initial_sky_projection, load_camera
from ._facts import DetectorFacts, known_cameras

__all__ = (
    "Camera",
    "DetectorFacts",
    "MissingPointingError",
    "UnknownDetectorError",
    "initial_sky_projection",
    "known_cameras",
    "load_camera",
)
