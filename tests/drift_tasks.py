# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

# mypy: disable-error-code="no-untyped-call, var-annotated, misc"

"""Tasks with a field of each kind, for the tests of drift; they do nothing."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from lsst.daf.butler import FormatterV2
from lsst.daf.butler.registry import Registry
from lsst.pex.config import (
    Config,
    ConfigDictField,
    ConfigField,
    ConfigurableField,
    DictField,
    Field,
    ListField,
    RegistryField,
    makeRegistry,
)
from lsst.pipe.base import (
    Instrument,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    connectionTypes,
)


class Fit(Config):
    """How to fit."""

    order = Field[int](doc="Order of the polynomial.", default=2)
    clip = Field[float](doc="Threshold (sigma).", default=3.0)


class RobustFit(Fit):
    """How to fit robustly."""

    n_samples = Field[int](doc="Number of samples.", default=100)


class Fitter:
    """Fits something."""

    ConfigClass = Fit


class RobustFitter:
    """Fits something robustly."""

    ConfigClass = RobustFit


class Size(Config):
    """How to measure sizes."""

    radius = Field[float](doc="Radius (pixel).", default=5.0)
    flags = ListField[str](doc="Flags that reject.", default=["edge", "bad"])


class Flux(Config):
    """How to measure fluxes."""

    radii = ListField[float](doc="Radii (pixel).", default=[3.0, 6.0])
    limit = Field[float](doc="Limit; not a number for none.", default=float("nan"))


class Shape(Config):
    """How to measure shapes."""

    n_iterations = Field[int](doc="Number of iterations.", default=10)


class Plugin:
    """Measures something."""


def _plugin(name: str, config: type[Config]) -> type[Plugin]:
    return type(name, (Plugin,), {"ConfigClass": config})


class OtherFitter(Fitter):
    """Fits something with the same settings."""


plugins = makeRegistry("Plugins that measure.")
selectors = makeRegistry("Selectors of stars.")
for _name, _config in (("size", Size), ("flux", Flux), ("shape", Shape)):
    plugins.register(_name, _plugin(f"{_name.title()}Plugin", _config))
    selectors.register(f"by_{_name}", _plugin(f"By{_name.title()}", _config))


class Rule(Config):
    """A rule for a detector."""

    weight = Field[float](doc="Weight.", default=1.0)
    reason = Field[str](doc="Reason.", default="none")


class MeasureConnections(
    PipelineTaskConnections,
    dimensions=("instrument", "exposure", "detector"),
    defaultTemplates={"stage": "first"},
):
    image = connectionTypes.Input(
        doc="An image.",
        name="{stage}_image",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
    )
    dark = connectionTypes.PrerequisiteInput(
        doc="A calibration.",
        name="dark",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    numbers = connectionTypes.Output(
        doc="What was measured.",
        name="{stage}_numbers",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
    )

    def __init__(self, *, config: Any = None) -> None:
        super().__init__(config=config)
        if not config.do_dark:
            del self.dark


class MeasureConfig(PipelineTaskConfig, pipelineConnections=MeasureConnections):
    do_dark = Field[bool](doc="Whether to subtract the dark.", default=True)
    threshold = Field[float](doc="Threshold (sigma).", default=5.0)
    name = Field[str](doc="Name of the algorithm.", default="standard", optional=True)
    masks = ListField[str](doc="Masks to avoid.", default=["BAD", "SAT"])
    colors = DictField(keytype=str, itemtype=float, doc="Color terms.", default={"g": 0.1, "r": 0.2})
    fit = ConfigField(dtype=Fit, doc="How to fit.")
    fitter = ConfigurableField(target=Fitter, doc="What fits.")
    plugins = RegistryField(registry=plugins, doc="Plugins.", multi=True, default=["size", "flux"])
    selector = RegistryField(registry=selectors, doc="Selector.", default="by_size")
    rules = ConfigDictField(keytype=str, itemtype=Rule, doc="Rules by detector.", default={})


class MeasureTask(PipelineTask):
    ConfigClass = MeasureConfig
    _DefaultName: ClassVar[str] = "measure"


class MeasureAgainTask(MeasureTask):
    """Measures in another way, with the same settings."""


class CombineConnections(PipelineTaskConnections, dimensions=("instrument", "exposure")):
    numbers = connectionTypes.Input(
        doc="What was measured.",
        name="first_numbers",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
    )
    summary = connectionTypes.Output(
        doc="Their summary.",
        name="summary",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure"),
    )


class CombineConfig(PipelineTaskConfig, pipelineConnections=CombineConnections):
    n_least = Field[int](doc="Least number of detectors.", default=1)
    release = Field[int](doc="Release.", default=0)


class CombineTask(PipelineTask):
    ConfigClass = CombineConfig
    _DefaultName: ClassVar[str] = "combine"


class DriftCam(Instrument):
    """An instrument with overrides of its own."""

    @classmethod
    def getName(cls) -> str:
        return "DriftCam"

    def register(self, registry: Registry, *, update: bool = False) -> None:
        raise NotImplementedError

    def getRawFormatter(self, dataId: Any) -> type[FormatterV2]:
        raise NotImplementedError

    @property
    def configPaths(self) -> list[str]:  # type: ignore[override]
        return [os.path.join(os.environ["DRIFT_TEST_DIR"], "config", "camera")]


class OtherCam(DriftCam):
    """An instrument with the same overrides."""
