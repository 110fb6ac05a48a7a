# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The LSSTCam family without AFW: geometry, raw files, headers, Butler."""

from ._camera import Camera, MissingPointingError, UnknownDetectorError, initial_sky_projection, load_camera
from ._exposure import (
    compute_day_obs,
    compute_detector_exposure_id,
    compute_exposure_id,
    compute_group_id,
    compute_visit_id,
    format_observation_id,
    parse_observation_id,
    unpack_exposure_id,
)
from ._facts import DetectorFacts, known_cameras
from ._formatter import RawFormatter
from ._instrument import Latiss, LsstCam, LsstComCam
from ._raw import RawImage, read_raw, read_raw_metadata
from ._raw_errors import (
    RawCorruptError,
    RawDetectorError,
    RawExtensionError,
    RawFileError,
    RawGeometryError,
    RawHeaderError,
)
from ._translator import (
    HeaderError,
    LatissTranslator,
    LsstCamSimTranslator,
    LsstCamTranslator,
    LsstComCamSimTranslator,
    LsstComCamTranslator,
    translate_header,
    translators,
)

__all__ = (
    "Camera",
    "DetectorFacts",
    "HeaderError",
    "Latiss",
    "LatissTranslator",
    "LsstCam",
    "LsstCamSimTranslator",
    "LsstCamTranslator",
    "LsstComCam",
    "LsstComCamSimTranslator",
    "LsstComCamTranslator",
    "MissingPointingError",
    "RawCorruptError",
    "RawDetectorError",
    "RawExtensionError",
    "RawFileError",
    "RawFormatter",
    "RawGeometryError",
    "RawHeaderError",
    "RawImage",
    "UnknownDetectorError",
    "compute_day_obs",
    "compute_detector_exposure_id",
    "compute_exposure_id",
    "compute_group_id",
    "compute_visit_id",
    "format_observation_id",
    "initial_sky_projection",
    "known_cameras",
    "load_camera",
    "parse_observation_id",
    "read_raw",
    "read_raw_metadata",
    "translate_header",
    "translators",
    "unpack_exposure_id",
)
