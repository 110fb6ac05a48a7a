# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ImageFinder", "ImageId")

import contextlib
import dataclasses
from collections import OrderedDict
from typing import Any

from lsst.daf.butler import Butler, DataCoordinate, DimensionRecord
from lsst.daf.butler.registry import DataIdError

_MAX_EXPOSURES = 200
"""How many exposures an `ImageFinder` remembers."""


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

    def __str__(self) -> str:
        detector = "" if self.detector is None else f", detector {self.detector}"
        return f"{self.instrument} exposure {self.exposure}{detector}"


class ImageFinder:
    """Looks images up in the registry.

    Parameters
    ----------
    butler
        Client of the repository.

    Notes
    -----
    The records of an exposure that has a visit are remembered, as they do not
    change.  An exposure without one is looked up each time: its visit may be
    defined yet.
    """

    def __init__(self, butler: Butler) -> None:
        self._butler = butler
        self._records: OrderedDict[tuple[str, int], dict[str, DimensionRecord | None]] = OrderedDict()
        self._last: tuple[str, int, int | None] | None = None

    def find(self, *, instrument: str, exposure: int, detector: int | None) -> ImageId:
        """Look an image up.

        Parameters
        ----------
        instrument
            Butler ``instrument``.
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``, or `None` for the whole exposure.

        Returns
        -------
        image
            The image; of several visits it has the first.

        Raises
        ------
        lsst.daf.butler.DataIdError
            Raised if the repository knows no such exposure or detector.
        """
        self._last = instrument, exposure, detector
        values: dict[str, Any] = {"instrument": instrument, "exposure": exposure}
        if detector is not None:
            values["detector"] = detector
        records = self._records.get((instrument, exposure))
        if records is not None:
            visit = records["visit"]
            assert visit is not None, "Exposures without a visit are not remembered."
            data_id = self._butler.registry.expandDataId(values | {"visit": visit.id}, records=records)
        else:
            data_id = self._query(values)
        number = int(data_id["visit"]) if "visit" in data_id else None
        return ImageId(instrument, exposure, detector, number, data_id)

    def refresh(self) -> None:
        """Let all that is remembered go, and look the last image up again, so
        that the next one finds the client's own caches filled.
        """
        self._records.clear()
        if self._last is not None:
            instrument, exposure, detector = self._last
            # It may have been removed.
            with contextlib.suppress(DataIdError):
                self.find(instrument=instrument, exposure=exposure, detector=detector)

    def _query(self, values: dict[str, Any]) -> DataCoordinate:
        """Look up an image with its visit in one query, or without."""
        with self._butler.query() as query:
            dimensions = {*values, "visit"}
            found = list(query.data_ids(dimensions).where(values).with_dimension_records())
        if not found:
            return self._butler.registry.expandDataId(values)
        data_id = min(found, key=lambda one: int(one["visit"]))
        elements = self._butler.dimensions.conform(["exposure", "visit"]).elements
        key = (str(values["instrument"]), int(values["exposure"]))
        self._records[key] = {name: data_id.records[name] for name in elements}
        if len(self._records) > _MAX_EXPOSURES:
            self._records.popitem(last=False)
        return data_id
