# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Where the pixels of an amplifier's raw array go."""

from __future__ import annotations

__all__ = ("AmplifierLayout", "LayoutError")

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lsst.images.cameras import Amplifier, AmplifierRawGeometry, Detector, ReadoutCorner


class LayoutError(ValueError):
    """Amplifiers that the kernels cannot work on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AmplifierLayout:
    """Geometry of the amplifiers of a detector, as read out.

    Notes
    -----
    All amplifiers share one raw format, with the readout corner at pixel
    (0, 0): a smaller x was read before a larger one.  This is so for the
    CCDs of LSSTCam, LSSTComCam and LATISS, and the crosstalk and deferred
    charge kernels rely on it.
    """

    names: tuple[str, ...]
    """Amplifier names, in the order of all arrays with an amplifier axis."""

    raw_shape: tuple[int, int]
    """``(ny, nx)`` of an amplifier's raw array."""

    data_x0: int
    """First column of the data section; those before are the prescan."""

    data_shape: tuple[int, int]
    """``(ny, nx)`` of the data section, which begins at row 0."""

    serial_overscan: tuple[int, int]
    """First column of the serial overscan and the one after its last."""

    parallel_overscan: tuple[int, int]
    """First row of the parallel overscan and the one after its last."""

    shape: tuple[int, int]
    """``(ny, nx)`` of the assembled detector."""

    out_x0: npt.NDArray[np.int64]
    """First column of each amplifier in the assembled detector."""

    out_y0: npt.NDArray[np.int64]
    """First row of each amplifier in the assembled detector."""

    flip_x: npt.NDArray[np.bool_]
    """Whether assembly reverses an amplifier's columns."""

    flip_y: npt.NDArray[np.bool_]
    """Whether assembly reverses an amplifier's rows."""

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_detector(cls, detector: Detector) -> AmplifierLayout:
        """Take the layout from a detector's amplifiers.

        Parameters
        ----------
        detector
            Detector whose amplifiers have an unassembled raw geometry.

        Returns
        -------
        layout
            The layout, in the order of the detector's amplifiers.

        Raises
        ------
        LayoutError
            Raised if an amplifier has no unassembled raw geometry, has another
            format than the first one, or is not as the kernels need it.
        """
        amplifiers = detector.amplifiers
        raws = [_raw_geometry(detector.name, amplifier) for amplifier in amplifiers]
        first = raws[0]
        for amplifier, raw in zip(amplifiers, raws, strict=True):
            if _format(raw) != _format(first):
                raise LayoutError(
                    f"Amplifier {amplifier.name} of {detector.name} has raw boxes {_format(raw)}, but"
                    f" {amplifiers[0].name} has {_format(first)}; ISR needs one format a detector."
                )
            if amplifier.bbox.shape != first.data_bbox.shape:
                raise LayoutError(
                    f"Amplifier {amplifier.name} of {detector.name} has {first.data_bbox.shape} raw data"
                    f" pixels and {amplifier.bbox.shape} assembled ones."
                )
        origin = detector.bbox.start
        return cls(
            names=tuple(amplifier.name for amplifier in amplifiers),
            raw_shape=(first.bbox.shape.y, first.bbox.shape.x),
            data_x0=first.data_bbox.start.x,
            data_shape=(first.data_bbox.shape.y, first.data_bbox.shape.x),
            serial_overscan=(first.serial_overscan_bbox.start.x, first.serial_overscan_bbox.stop.x),
            parallel_overscan=(first.parallel_overscan_bbox.start.y, first.parallel_overscan_bbox.stop.y),
            shape=(detector.bbox.shape.y, detector.bbox.shape.x),
            out_x0=np.array([amplifier.bbox.start.x - origin.x for amplifier in amplifiers]),
            out_y0=np.array([amplifier.bbox.start.y - origin.y for amplifier in amplifiers]),
            flip_x=np.array([raw.flip_x for raw in raws]),
            flip_y=np.array([raw.flip_y for raw in raws]),
        )

    def assembled_slices(self, index: int) -> tuple[slice, slice]:
        """Where an amplifier is in the assembled detector.

        Parameters
        ----------
        index
            Amplifier index.

        Returns
        -------
        slices
            Slices of rows and columns.
        """
        y0, x0 = int(self.out_y0[index]), int(self.out_x0[index])
        return slice(y0, y0 + self.data_shape[0]), slice(x0, x0 + self.data_shape[1])

    def ordered(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> list[npt.NDArray[np.generic]]:
        """Order raw arrays as the layout's amplifiers.

        Parameters
        ----------
        arrays
            Raw array of each amplifier, by name.

        Returns
        -------
        ordered
            The same arrays, contiguous, in the layout's order.

        Raises
        ------
        LayoutError
            Raised if an amplifier is missing or unknown, or an array has
            another shape or byte order than the kernels take.
        """
        if set(arrays) != set(self.names):
            raise LayoutError(f"The raw has amplifiers {sorted(arrays)}; expected {sorted(self.names)}.")
        ordered = []
        for name in self.names:
            array = arrays[name]
            if array.shape != self.raw_shape:
                raise LayoutError(f"Amplifier {name} has shape {array.shape}; expected {self.raw_shape}.")
            if not array.dtype.isnative:
                array = array.astype(array.dtype.newbyteorder("="))
            ordered.append(np.ascontiguousarray(array))
        return ordered


def _raw_geometry(detector: str, amplifier: Amplifier) -> AmplifierRawGeometry:
    """Return a raw geometry that the kernels can work on."""
    raw = amplifier.unassembled_raw_geometry
    if raw is None:
        raise LayoutError(f"Amplifier {amplifier.name} of {detector} has no unassembled raw geometry.")
    if raw.readout_corner is not ReadoutCorner.LL:
        raise LayoutError(
            f"Amplifier {amplifier.name} of {detector} is read out from {raw.readout_corner}; expected LL."
        )
    if raw.bbox.start != (0, 0) or raw.data_bbox.start.y != 0:
        raise LayoutError(
            f"Amplifier {amplifier.name} of {detector} begins at {raw.bbox.start} and its data at row"
            f" {raw.data_bbox.start.y}; expected (0, 0) and 0."
        )
    return raw


def _format(raw: AmplifierRawGeometry) -> tuple[str, ...]:
    """Summarise the boxes that all amplifiers must share."""
    boxes = (raw.bbox, raw.data_bbox, raw.serial_overscan_bbox, raw.parallel_overscan_bbox)
    return tuple(str(box) for box in boxes)
