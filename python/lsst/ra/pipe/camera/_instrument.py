# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Butler instruments of the LSSTCam family."""

from __future__ import annotations

__all__ = ("Latiss", "LsstCam", "LsstComCam")

from typing import ClassVar

from lsst.daf.butler import DataId, FormatterV2
from lsst.daf.butler.registry import Registry
from lsst.pipe.base import Instrument
from lsst.utils.introspection import get_full_type_name

from ._camera import Camera, load_camera
from ._exposure import MAX_EXPOSURE_ID
from ._formatter import RawFormatter

_ONE_TO_ONE = 0
"""Butler's number of the visit system in which each exposure is a visit."""


class _LsstInstrument(Instrument):
    """What the instruments have in common."""

    _name: ClassVar[str]
    _detector_max: ClassVar[int] = 1000
    """Rubin's upper bound of detector ids, which packed ids depend on."""

    raw_definition = ("raw", ("instrument", "exposure", "detector"), "RapidRaw")

    @classmethod
    def getName(cls) -> str:
        """Return the Butler's name of the instrument."""
        return cls._name

    @classmethod
    def get_camera(cls) -> Camera:
        """Return the camera, with its detectors and filters."""
        return load_camera(cls._name)

    def register(self, registry: Registry, *, update: bool = False) -> None:
        """Insert the instrument, its detectors and filters in a registry.

        Parameters
        ----------
        registry
            Registry of the repository.
        update
            Whether to replace records that differ. By default they raise
            `lsst.daf.butler.registry.ConflictingDefinitionError`.

        Notes
        -----
        All or nothing; registering again changes nothing.
        """
        camera = self.get_camera()
        with registry.transaction():
            registry.syncDimensionData(
                "instrument",
                {
                    "name": self.getName(),
                    "visit_max": MAX_EXPOSURE_ID,
                    "exposure_max": MAX_EXPOSURE_ID,
                    "detector_max": self._detector_max,
                    "class_name": get_full_type_name(self),
                    "visit_system": _ONE_TO_ONE,
                },
                update=update,
            )
            for detector in camera.facts.values():
                registry.syncDimensionData(
                    "detector",
                    {
                        "instrument": self.getName(),
                        "id": detector.id,
                        "full_name": detector.full_name,
                        "name_in_raft": detector.name_in_raft,
                        "raft": detector.raft,
                        "purpose": detector.purpose,
                    },
                    update=update,
                )
            for physical_filter, band in camera.filters.items():
                registry.syncDimensionData(
                    "physical_filter",
                    {"instrument": self.getName(), "name": physical_filter, "band": band},
                    update=update,
                )

    def getRawFormatter(self, dataId: DataId) -> type[FormatterV2]:
        """Return the formatter that reads raw files.

        Parameters
        ----------
        dataId
            Not used: all raws are read alike.

        Returns
        -------
        formatter
            The formatter class.
        """
        return RawFormatter


class LsstCam(_LsstInstrument):
    """LSSTCam: 189 science, 8 wavefront and 8 guide sensors."""

    _name = "LSSTCam"
    policyName = "lsstCam"
    configPaths = ("resource://lsst.ra.pipe/resources/config/LSSTCam",)


class LsstComCam(_LsstInstrument):
    """LSSTComCam, the commissioning camera: one raft."""

    _name = "LSSTComCam"
    policyName = "comCam"
    configPaths = ("resource://lsst.ra.pipe/resources/config/LSSTComCam",)


class Latiss(_LsstInstrument):
    """LATISS, the spectrograph and imager of the auxiliary telescope."""

    _name = "LATISS"
    _detector_max = 1
    policyName = "latiss"
    configPaths = ("resource://lsst.ra.pipe/resources/config/LATISS",)
