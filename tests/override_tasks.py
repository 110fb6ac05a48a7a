# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A task with fields of each kind, nested in each other, for override files."""

from __future__ import annotations

from typing import Any

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
from lsst.pipe.base import PipelineTask, PipelineTaskConfig, PipelineTaskConnections


class Limits(Config):
    """Limits with an order of their own."""

    low = Field[float](doc="Lower limit.", default=0.0)
    by_amplifier = DictField(keytype=int, itemtype=float, doc="By number.", default={1: 0.5})


class Plugin:
    """Measures something."""

    ConfigClass = Limits


inner = makeRegistry("Plugins of a plugin.")
for _name in ("one", "two", "three"):
    inner.register(_name, type(_name, (Plugin,), {}))


class Chain(Config):
    """A plugin that has plugins."""

    plugins = RegistryField(registry=inner, multi=True, doc="Inner.", default=[])


class ChainPlugin:
    """Calls others."""

    ConfigClass = Chain


registry = makeRegistry("Plugins.")
for _name in ("flux", "shape"):
    registry.register(_name, type(_name, (Plugin,), {}))
registry.register("chain", ChainPlugin)


class Part(Config):
    """A subtask's settings, that hold dictionaries."""

    rules = ConfigDictField(keytype=str, itemtype=Limits, doc="By detector.", default={"R00": Limits()})
    colors = DictField(keytype=str, itemtype=float, doc="By band.", default={"g": 0.1})


class Worker:
    """A subtask."""

    ConfigClass = Part


class SampleConnections(PipelineTaskConnections, dimensions=("instrument",)):
    pass


class SampleConfig(PipelineTaskConfig, pipelineConnections=SampleConnections):
    number = Field[float](doc="A number.", default=1.0)
    count = Field[int](doc="A count.", default=1)
    switch = Field[bool](doc="A switch.", default=False)
    text = Field[str](doc="A text.", default="plain", optional=True)
    words = ListField[str](doc="Names.", default=["a"])
    numbers = ListField[float](doc="Numbers.", default=[1.0])
    colors = DictField(keytype=str, itemtype=float, doc="By band.", default={"g": 0.1, "r": 0.2})
    by_number = DictField(keytype=int, itemtype=str, doc="By number.", default={})
    rules = ConfigDictField(keytype=int, itemtype=Limits, doc="By detector.", default={})
    part = ConfigField(dtype=Part, doc="Nested.")
    worker = ConfigurableField(target=Worker, doc="A subtask.")
    plugins = RegistryField(registry=registry, multi=True, doc="Plugins.", default=["flux"])
    method = RegistryField(registry=registry, doc="Method.", default="flux")


class SampleTask(PipelineTask):
    """A task with a field of each kind."""

    ConfigClass = SampleConfig
    _DefaultName = "sample"


class OtherWorker(Worker):
    """Another class with the same settings."""


def make_config() -> Any:
    """Make the task's configuration with its defaults."""
    return SampleConfig()


def make_limits() -> Any:
    """Make the configuration that is an element of dictionaries."""
    return Limits()
