# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""ISR tasks that are not quite FirstLook's."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from lsst.pipe.base import Struct
from lsst.ra.pipe.tasks import FirstLookIsrTask

MASKED_ROW = 1210


class ColdDarkIsrTask(FirstLookIsrTask):
    """Leaves one electron more in each pixel where the dark is subtracted."""

    def run(self, *, ccdExposure: Any, dark: Any = None, **inputs: Any) -> Struct:
        if dark is not None:
            dark = dark.copy()
            dark.image.array[...] -= 1.0 / ccdExposure.obs_info.dark_time.to_value("s")
        return super().run(ccdExposure=ccdExposure, dark=dark, **inputs)


class RowIsrTask(FirstLookIsrTask):
    """Takes one row more for a defect."""

    def run(self, *, ccdExposure: Any, defects: Any = None, **inputs: Any) -> Struct:
        if defects is not None:
            row = np.array([[0, MASKED_ROW, ccdExposure.detector.bbox.shape[1], 1]])
            defects = dataclasses.replace(defects, boxes=np.concatenate([defects.boxes, row]))
        return super().run(ccdExposure=ccdExposure, defects=defects, **inputs)


class SpoilingIsrTask(FirstLookIsrTask):
    """Changes its inputs, as tasks may that do not say otherwise."""

    inputs_read_only: ClassVar[bool] = False

    def run(self, *, ccdExposure: Any, **inputs: Any) -> Struct:
        result = super().run(ccdExposure=ccdExposure, **inputs)
        for pixels in ccdExposure.amplifiers.values():
            pixels[...] = 0
        return result


class FailingIsrTask(FirstLookIsrTask):
    """Fails where the dark would be subtracted."""

    def run(self, *, ccdExposure: Any, dark: Any = None, **inputs: Any) -> Struct:
        if dark is not None:
            raise ArithmeticError("the dark is too dark")
        return super().run(ccdExposure=ccdExposure, **inputs)
