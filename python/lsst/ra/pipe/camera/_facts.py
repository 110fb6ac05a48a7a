# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The facts of a camera as its tables give them, read without conversion."""

from __future__ import annotations

__all__ = (
    "AmplifierFacts",
    "CameraFacts",
    "DetectorFacts",
    "TransformFacts",
    "known_cameras",
    "read_camera_facts",
)

import csv
import dataclasses
import functools
import importlib.resources
from collections.abc import Iterator, Mapping
from types import MappingProxyType


@dataclasses.dataclass(frozen=True, slots=True)
class DetectorFacts:
    """One slot of the focal plane and the sensor that it holds."""

    id: int
    """Butler ``detector`` dimension value."""
    full_name: str
    """Raft and slot joined, for example ``R22_S11``."""
    raft: str
    """Raft bay, for example ``R22``."""
    name_in_raft: str
    """Slot in the raft, for example ``S11``."""
    purpose: str
    """Butler detector purpose: ``SCIENCE``, ``WAVEFRONT`` or ``GUIDER``."""
    physical_type: str
    """Vendor type: ``E2V``, ``ITL``, ``ITL_G`` (guider) or ``ITL_WF``
    (wavefront half)."""
    serial: str
    """Serial name of the sensor (``LSST_NUM`` of its raw headers)."""
    reference_pixel: tuple[float, float]
    """Pixel position (x, y) that ``offset`` places."""
    offset: tuple[float, float, float]
    """Focal-plane position of ``reference_pixel``, mm."""
    yaw: float
    """Rotation of the sensor about the optical axis, degrees
    anticlockwise."""
    shape: tuple[int, int]
    """Assembled, trimmed size ``(ny, nx)``, pixels."""
    pixel_size: float
    """Side of a pixel, mm."""


@dataclasses.dataclass(frozen=True, slots=True)
class AmplifierFacts:
    """One amplifier; ranges are half open and 0-based in its raw array."""

    name: str
    """Name of the amplifier, for example ``C10``."""
    grid: tuple[int, int]
    """Place (ix, iy) in the grid of amplifiers of the assembled sensor."""
    flip_x: bool
    """Whether assembly reverses the columns."""
    flip_y: bool
    """Whether assembly reverses the rows."""
    read_corner: str
    """Corner of the raw array that is read out first."""
    raw_x: tuple[int, int]
    """Columns of the raw array."""
    raw_y: tuple[int, int]
    """Rows of the raw array."""
    data_x: tuple[int, int]
    """Columns of the light-sensitive pixels."""
    data_y: tuple[int, int]
    """Rows of the light-sensitive pixels."""
    serial_prescan_x: tuple[int, int]
    """Columns of the serial prescan."""
    serial_overscan_x: tuple[int, int]
    """Columns of the serial overscan."""
    parallel_overscan_y: tuple[int, int]
    """Rows of the parallel overscan."""
    gain: float
    """Nominal gain, electron per adu."""
    read_noise: float
    """Nominal read noise, electron."""
    saturation: float
    """Nominal saturation level, electron."""


@dataclasses.dataclass(frozen=True, slots=True)
class TransformFacts:
    """Focal plane to field angle."""

    plate_scale: float
    """Scale on the optical axis, arcsec per mm."""
    radial: tuple[float, ...]
    """Coefficients ``c`` of the radial distortion ``r' = sum(c[i] r**i)``
    with r and r' in mm."""
    flip_x: bool
    """Whether the field angle x runs against the focal plane x."""


@dataclasses.dataclass(frozen=True, slots=True)
class CameraFacts:
    """Everything the tables say about one camera."""

    name: str
    """Butler instrument name."""
    detectors: Mapping[int, DetectorFacts]
    """Detectors by id, in order of id."""
    amplifiers: Mapping[int, tuple[AmplifierFacts, ...]]
    """Amplifiers by detector id, in the order of their HDUs."""
    filters: Mapping[str, str]
    """Band by physical filter."""
    transform: TransformFacts
    """Focal plane to field angle."""


def known_cameras() -> tuple[str, ...]:
    """Return the names of the cameras that this package knows."""
    return tuple(row["instrument"] for row in _rows("transforms"))


@functools.cache
def read_camera_facts(name: str) -> CameraFacts:
    """Read the tables of one camera.

    Parameters
    ----------
    name
        Butler instrument name, for example ``LSSTCam``.

    Returns
    -------
    facts
        What the tables say about this camera.

    Raises
    ------
    ValueError
        Raised if no table knows the camera.
    """
    transforms = {row["instrument"]: row for row in _rows("transforms")}
    if name not in transforms:
        raise ValueError(f"No camera is named {name!r}; known are {', '.join(transforms)}.")
    detectors = [_detector(row) for row in _rows("detectors") if row["instrument"] == name]
    amplifiers: dict[int, list[AmplifierFacts]] = {detector.id: [] for detector in detectors}
    for row in _rows("amplifiers"):
        if row["instrument"] == name:
            amplifiers[int(row["detector"])].append(_amplifier(row))
    return CameraFacts(
        name=name,
        detectors=MappingProxyType({d.id: d for d in sorted(detectors, key=lambda d: d.id)}),
        amplifiers=MappingProxyType({id_: tuple(found) for id_, found in amplifiers.items()}),
        filters=MappingProxyType(
            {row["physical_filter"]: row["band"] for row in _rows("filters") if row["instrument"] == name}
        ),
        transform=_transform(transforms[name]),
    )


def _rows(table: str) -> Iterator[dict[str, str]]:
    source = importlib.resources.files(__package__).joinpath("data", f"{table}.csv")
    with source.open("r", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def _detector(row: Mapping[str, str]) -> DetectorFacts:
    return DetectorFacts(
        id=int(row["detector"]),
        full_name=row["full_name"],
        raft=row["raft"],
        name_in_raft=row["name_in_raft"],
        purpose=row["purpose"],
        physical_type=row["physical_type"],
        serial=row["serial"],
        reference_pixel=(float(row["refpos_x_pix"]), float(row["refpos_y_pix"])),
        offset=(float(row["offset_x_mm"]), float(row["offset_y_mm"]), float(row["offset_z_mm"])),
        yaw=float(row["yaw_deg"]),
        shape=(int(row["height_pix"]), int(row["width_pix"])),
        pixel_size=float(row["pixel_size_mm"]),
    )


def _amplifier(row: Mapping[str, str]) -> AmplifierFacts:
    def interval(name: str, axis: str) -> tuple[int, int]:
        start = int(row[f"{name}_{axis}0"])
        return start, start + int(row[f"{name}_n{axis}"])

    return AmplifierFacts(
        name=row["amplifier"],
        grid=(int(row["ix"]), int(row["iy"])),
        flip_x=row["flip_x"] == "1",
        flip_y=row["flip_y"] == "1",
        read_corner=row["read_corner"],
        raw_x=interval("raw", "x"),
        raw_y=interval("raw", "y"),
        data_x=interval("data", "x"),
        data_y=interval("data", "y"),
        serial_prescan_x=interval("serial_prescan", "x"),
        serial_overscan_x=interval("serial_overscan", "x"),
        parallel_overscan_y=interval("parallel_overscan", "y"),
        gain=float(row["gain_e_per_adu"]),
        read_noise=float(row["read_noise_e"]),
        saturation=float(row["saturation_e"]),
    )


def _transform(row: Mapping[str, str]) -> TransformFacts:
    coefficients = [float(row[f"radial_c{power}"]) for power in range(6)]
    return TransformFacts(
        plate_scale=float(row["plate_scale_arcsec_per_mm"]),
        radial=tuple(coefficients),
        flip_x=row["flip_x"] == "1",
    )
