# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A pipeline of small real tasks: double a number of each detector, put the
visit to it, and sum over the detectors.
"""

from __future__ import annotations

import math
import os
import signal
from typing import Any, ClassVar

from lsst.daf.butler import Butler
from lsst.pex.config import Field
from lsst.pipe.base import PipelineTask, PipelineTaskConfig, PipelineTaskConnections, Struct, connectionTypes

EXPOSURE = 2026010100007
NO_VISIT = 2026010100008
DETECTORS = (93, 94, 95)

PIPELINE = """
description: Arithmetic on detectors.
instrument: lsst.ra.pipe.camera.LsstCam
tasks:
  double: arithmetic_pipeline.DoubleTask
  mark: arithmetic_pipeline.MarkTask
  sum: arithmetic_pipeline.SumTask
"""


class DoubleConnections(PipelineTaskConnections, dimensions=("instrument", "exposure", "detector")):
    number = connectionTypes.Input(
        doc="A number.",
        name="number",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
    )
    factor = connectionTypes.PrerequisiteInput(
        doc="A calibration.",
        name="factor",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    doubled = connectionTypes.Output(
        doc="Its double.",
        name="doubled",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
    )


class DoubleConfig(PipelineTaskConfig, pipelineConnections=DoubleConnections):
    offset = Field[float](doc="Added to the result.", default=0.0)


class DoubleTask(PipelineTask):
    ConfigClass = DoubleConfig
    _DefaultName: ClassVar[str] = "double"
    config: DoubleConfig

    def run(self, *, number: dict[str, Any], factor: dict[str, Any]) -> Struct:
        if number["value"] < 0:
            raise ValueError("the number is negative")
        if math.isinf(number["value"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return Struct(doubled={"value": factor["value"] * number["value"] + self.config.offset})


class MarkConnections(PipelineTaskConnections, dimensions=("instrument", "visit", "detector")):
    doubled = connectionTypes.Input(
        doc="The doubles of the visit's exposures.",
        name="doubled",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
    )
    marked = connectionTypes.Output(
        doc="The first of them.",
        name="marked",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit", "detector"),
    )


class MarkConfig(PipelineTaskConfig, pipelineConnections=MarkConnections):
    pass


class MarkTask(PipelineTask):
    ConfigClass = MarkConfig
    _DefaultName: ClassVar[str] = "mark"

    def run(self, *, doubled: list[dict[str, Any]]) -> Struct:
        return Struct(marked=doubled[0])


class SumConnections(PipelineTaskConnections, dimensions=("instrument", "visit")):
    marked = connectionTypes.Input(
        doc="Results of the detectors.",
        name="marked",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit", "detector"),
        multiple=True,
    )
    total = connectionTypes.Output(
        doc="Their sum.", name="total", storageClass="StructuredDataDict", dimensions=("instrument", "visit")
    )


class SumConfig(PipelineTaskConfig, pipelineConnections=SumConnections):
    pass


class SumTask(PipelineTask):
    ConfigClass = SumConfig
    _DefaultName: ClassVar[str] = "sum"

    def run(self, *, marked: list[dict[str, Any]]) -> Struct:
        return Struct(total={"value": sum(one["value"] for one in marked), "n": len(marked)})


def put_number(butler: Butler, exposure: int, detector: int, value: float) -> None:
    """Store the number of a detector."""
    butler.put(
        {"value": value},
        "number",
        instrument="LSSTCam",
        exposure=exposure,
        detector=detector,
        run="LSSTCam/raw/all",
    )


def replace_number(butler: Butler, exposure: int, detector: int, value: float) -> None:
    """Put another number in the place of a detector's."""
    ref = butler.find_dataset(
        "number", instrument="LSSTCam", exposure=exposure, detector=detector, collections="LSSTCam/raw/all"
    )
    assert ref is not None
    butler.pruneDatasets([ref], purge=True, unstore=True, disassociate=True)
    put_number(butler, exposure, detector, value)
