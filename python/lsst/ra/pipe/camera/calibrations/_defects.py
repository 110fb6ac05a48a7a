# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Defects",)

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from lsst.images import Box
from lsst.images.cameras import Detector

from ._isr_calib import IsrCalibration, frozen_array
from ._tables import CalibTable

_COLUMNS = ("x0", "y0", "width", "height")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Defects(IsrCalibration):
    """Rectangles of pixels that are not to be used."""

    boxes: np.ndarray
    """Int64 array of shape ``(n, 4)``: x0, y0, width, height of each box, in
    0-based pixels of the assembled CCD."""

    obs_type: ClassVar[str] = "defects"
    schema_name: ClassVar[str] = ""
    schema_version: ClassVar[float] = 2.0
    science_pipelines_class: ClassVar[str] = "lsst.ip.isr.defects.Defects"

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes)
        if boxes.size == 0:
            boxes = np.empty((0, 4), dtype=np.int64)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise self._error("boxes", "shape (n, 4)", boxes.shape)
        if boxes.dtype.kind not in "iu":
            raise self._error("boxes", "whole numbers", boxes.dtype)
        empty = (boxes[:, 2:] <= 0).any(axis=1)
        if empty.any():
            raise self._error("box size", "width and height of 1 or more", boxes[empty][0].tolist())
        object.__setattr__(self, "boxes", frozen_array(boxes, np.int64))

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Box]:
        for x0, y0, width, height in self.boxes.tolist():
            yield Box.factory[y0 : y0 + height, x0 : x0 + width]

    def mask(self, bbox: Box) -> np.ndarray:
        """Return the pixels of an image that are in a defect.

        Parameters
        ----------
        bbox
            Pixels of the image; boxes are clipped to it.

        Returns
        -------
        mask
            Boolean array of shape ``(ny, nx)``.
        """
        mask = np.zeros(bbox.shape, dtype=bool)
        ny, nx = bbox.shape
        for x0, y0, width, height in (self.boxes - [bbox.x.start, bbox.y.start, 0, 0]).tolist():
            mask[max(y0, 0) : max(min(y0 + height, ny), 0), max(x0, 0) : max(min(x0 + width, nx), 0)] = True
        return mask

    def covered_amplifiers(self, detector: Detector) -> frozenset[str]:
        """Return the amplifiers that one box covers completely.

        Parameters
        ----------
        detector
            Detector with the amplifiers' boxes in assembled pixels.

        Returns
        -------
        names
            Names of the amplifiers.
        """
        boxes = list(self)
        return frozenset(
            amplifier.name
            for amplifier in detector.amplifiers
            if any(box.contains(amplifier.bbox) for box in boxes)
        )

    @classmethod
    def from_boxes(cls, boxes: Iterable[Box], **fields: Any) -> Defects:
        """Make defects from lsst.images boxes.

        Parameters
        ----------
        boxes
            Boxes in assembled pixels.
        **fields
            Other fields of the calibration, such as ``detector``.

        Returns
        -------
        defects
            The defects.
        """
        rows = [(box.x.start, box.y.start, box.x.size, box.y.size) for box in boxes]
        return cls(boxes=np.array(rows, dtype=np.int64).reshape(-1, 4), **fields)

    @classmethod
    def _fields_from_tables(cls, tables: Sequence[CalibTable]) -> dict[str, Any]:
        return {"boxes": np.stack([tables[0].integers(name) for name in _COLUMNS], axis=-1)}

    def _tables(self) -> list[CalibTable]:
        return [CalibTable(columns={name: self.boxes[:, i] for i, name in enumerate(_COLUMNS)})]

    def _check_values(self, detector: Detector, ignore: frozenset[str]) -> None:
        bbox = detector.bbox
        x0, y0, width, height = self.boxes.T
        outside = (x0 >= bbox.x.stop) | (x0 + width <= bbox.x.start)
        outside |= (y0 >= bbox.y.stop) | (y0 + height <= bbox.y.start)
        if outside.any():
            raise self._error(
                "boxes (x0, y0, width, height)", f"pixels of {bbox}", self.boxes[outside][0].tolist()
            )
