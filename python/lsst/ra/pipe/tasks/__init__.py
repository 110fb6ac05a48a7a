# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The PipelineTasks of FirstLook."""

from ._amplifier_metrics import *
from ._calibrate_image import *
from ._calibrate_image_config import *
from ._calibration_plots import *
from ._calibration_summary import *
from ._detector_metrics import *
from ._detector_plots import *
from ._exposure_amplifier_plots import *
from ._exposure_plots import *
from ._exposure_summary import *
from ._isr import *
