# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Calibrations: defects, gains, linearity, crosstalk, CTI; bias, dark, flat.

They are read from the files that the Science Pipelines' ``ip_isr`` and ``afw``
write, and written so that those can read them, without either being there.
"""

from ._array_store import ArrayStore
from ._crosstalk import Crosstalk
from ._defects import Defects
from ._deferred_charge import DeferredCharge, SerialTrap, TrapType
from ._errors import CalibrationError
from ._formatters import (
    CalibrationImageFormatter,
    CrosstalkFormatter,
    DefectsFormatter,
    DeferredChargeFormatter,
    IsrCalibrationFormatter,
    LinearizerFormatter,
    PhotonTransferCurveFormatter,
)
from ._image import image_identity, read_calibration_image, validate_calibration_image
from ._isr_calib import DetectorIdentity, IsrCalibration
from ._linearizer import LinearityType, Linearizer
from ._ptc import PhotonTransferCurve
from ._tables import CalibTable

__all__ = (
    "ArrayStore",
    "CalibTable",
    "CalibrationError",
    "CalibrationImageFormatter",
    "Crosstalk",
    "CrosstalkFormatter",
    "Defects",
    "DefectsFormatter",
    "DeferredCharge",
    "DeferredChargeFormatter",
    "DetectorIdentity",
    "IsrCalibration",
    "IsrCalibrationFormatter",
    "LinearityType",
    "Linearizer",
    "LinearizerFormatter",
    "PhotonTransferCurve",
    "PhotonTransferCurveFormatter",
    "SerialTrap",
    "TrapType",
    "image_identity",
    "read_calibration_image",
    "validate_calibration_image",
)
