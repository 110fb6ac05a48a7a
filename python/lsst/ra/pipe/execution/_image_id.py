# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ImageId",)

import dataclasses
from typing import Any

from lsst.daf.butler import Butler, DataCoordinate


@dataclasses.dataclass(frozen=True)
class ImageId:
    """Which image: one detector of an exposure, or the whole exposure."""

    instrument: str
    """Butler ``instrument``."""

    exposure: int
    """Butler ``exposure``."""

    detector: int | None
    """Butler ``detector``, `None` for the whole exposure."""

    visit: int | None
    """Butler ``visit`` of the exposure, `None` if it has none."""

    data_id: DataCoordinate
    """All dimensions of the image, with their records."""

    @classmethod
    def find(cls, butler: Butler, *, instrument: str, exposure: int, detector: int | None) -> ImageId:
        """Look an image up in the registry.

        Parameters
        ----------
        butler
            Client of the repository.
        instrument
            Butler ``instrument``.
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``, or `None` for the whole exposure.

        Raises
        ------
        lsst.daf.butler.DataIdError
            Raised if the repository knows no such exposure or detector.
        """
        values: dict[str, Any] = {"instrument": instrument, "exposure": exposure}
        definitions = butler.query_dimension_records("visit_definition", data_id=values, explain=False)
        if detector is not None:
            values["detector"] = detector
        visit = min((record.visit for record in definitions), default=None)
        if visit is not None:
            values["visit"] = visit
        data_id = butler.registry.expandDataId(values)
        return cls(instrument, exposure, detector, visit, data_id)

    def __str__(self) -> str:
        detector = "" if self.detector is None else f", detector {self.detector}"
        return f"{self.instrument} exposure {self.exposure}{detector}"
