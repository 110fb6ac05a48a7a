# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Small real tasks with what the arithmetic pipeline's tasks have not: images
with components, deferred reading, early exits, init-datasets and hooks.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from arithmetic_pipeline import DoubleConfig, DoubleConnections, DoubleTask
from lsst.daf.butler import DeferredDatasetHandle
from lsst.images import Box, Image, MaskedImage, MaskPlane, MaskSchema
from lsst.pex.config import Field
from lsst.pipe.base import (
    NoWorkFound,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    Struct,
    connectionTypes,
)

_DETECTOR = ("instrument", "exposure", "detector")


class PickyTask(DoubleTask):
    """Doubles a number, but finds no work in a zero; counts in its metadata."""

    ConfigClass = DoubleConfig
    _DefaultName: ClassVar[str] = "picky"

    def run(self, *, number: dict[str, Any], factor: dict[str, Any]) -> Struct:
        self.metadata["runs"] = int(self.metadata.get("runs", 0)) + 1
        if number["value"] == 0:
            raise NoWorkFound("the number is zero")
        return super().run(number=number, factor=factor)


class PaintConnections(PipelineTaskConnections, dimensions=_DETECTOR):
    number = connectionTypes.Input(
        doc="A number.", name="number", storageClass="StructuredDataDict", dimensions=_DETECTOR
    )
    palette = connectionTypes.InitOutput(
        doc="Something made once.", name="palette", storageClass="StructuredDataDict"
    )
    painting = connectionTypes.Output(
        doc="An image of the number.", name="painting", storageClass="MaskedImageV2", dimensions=_DETECTOR
    )


class PaintConfig(PipelineTaskConfig, pipelineConnections=PaintConnections):
    pass


class PaintTask(PipelineTask):
    """Fills an image with a number."""

    ConfigClass = PaintConfig
    _DefaultName: ClassVar[str] = "paint"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.palette = {"brightness": 10.0}

    def run(self, *, number: dict[str, Any]) -> Struct:
        box = Box.factory[0:20, 0:30]
        image = Image(np.full(box.shape, number["value"], np.float32), bbox=box)
        schema = MaskSchema([MaskPlane("BAD", "Unusable.")])
        variance = Image(np.ones(box.shape, np.float32), bbox=box)
        return Struct(painting=MaskedImage(image, mask_schema=schema, variance=variance))


class LookConnections(PipelineTaskConnections, dimensions=("instrument", "visit", "detector")):
    palette = connectionTypes.InitInput(
        doc="Something made once.", name="palette", storageClass="StructuredDataDict"
    )
    part = connectionTypes.Input(
        doc="The image's values.",
        name="painting.image",
        storageClass="ImageV2",
        dimensions=_DETECTOR,
    )
    later = connectionTypes.Input(
        doc="The image, read when it is wanted.",
        name="painting",
        storageClass="MaskedImageV2",
        dimensions=_DETECTOR,
        deferLoad=True,
    )
    seen = connectionTypes.Output(
        doc="What was seen.",
        name="seen",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit", "detector"),
    )


class LookConfig(PipelineTaskConfig, pipelineConnections=LookConnections):
    cut = Field[bool](doc="Whether to look at a corner, too.", default=False)  # type: ignore[no-untyped-call]


class LookTask(PipelineTask):
    """Looks at an image by its component and by a handle."""

    ConfigClass = LookConfig
    _DefaultName: ClassVar[str] = "look"
    config: LookConfig

    def __init__(self, *, initInputs: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(initInputs=initInputs, **kwargs)
        self._brightness = initInputs["palette"]["brightness"]

    def run(self, *, part: Image, later: DeferredDatasetHandle) -> Struct:
        if float(part.array[0, 0]) < 0:
            raise ValueError("the picture is dark")
        whole = later.get()
        parameters = {"bbox": Box.factory[0:2, 0:3]} if self.config.cut else {}
        corner = later.get(parameters=parameters)
        part.array[:] = 0.0
        return Struct(
            seen={
                "mean": float(whole.image.array.mean()),
                "corner": list(corner.image.array.shape),
                "brightness": self._brightness,
            }
        )


class TogetherConnections(DoubleConnections, dimensions=_DETECTOR):
    def adjust_all_quanta(self, adjuster: Any) -> None:
        pass


class TogetherConfig(DoubleConfig, pipelineConnections=TogetherConnections):
    pass


class TogetherTask(DoubleTask):
    """Wants all its quanta adjusted together."""

    ConfigClass = TogetherConfig
    _DefaultName: ClassVar[str] = "together"
