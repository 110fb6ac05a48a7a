# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Cross-check of an amplifier extension's header against the camera.

Section keywords are the IRAF ones: ``[x1:x2,y1:y2]``, 1-based, both ends
included; a first limit above the second means that the axis runs backwards.
"""

from __future__ import annotations

__all__ = ("AmplifierHeader", "check_amplifier", "check_detector_sections", "format_section")

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lsst.images.cameras import Amplifier, AmplifierRawGeometry, Detector, DetectorType

from ._raw_errors import RawGeometryError, RawHeaderError

_SECTION = re.compile(r"\s*\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]\s*")


@dataclasses.dataclass(frozen=True)
class AmplifierHeader:
    """The part of an amplifier extension's header that says where it is."""

    extension: str
    """EXTNAME of the extension."""
    shape: tuple[int, ...]
    """Shape of the array, ``(ny, nx)``."""
    keywords: Mapping[str, Any]
    """All keywords of the extension."""


@dataclasses.dataclass(frozen=True)
class _Section:
    """A section as the keywords have it."""

    x: tuple[int, int]
    y: tuple[int, int]

    def mirrored(self, *, x: int | None, y: int | None) -> _Section:
        """Reflect the axes whose size is given."""
        return _Section(
            x=self.x if x is None else (x + 1 - self.x[0], x + 1 - self.x[1]),
            y=self.y if y is None else (y + 1 - self.y[0], y + 1 - self.y[1]),
        )

    def __str__(self) -> str:
        return f"[{self.x[0]}:{self.x[1]},{self.y[0]}:{self.y[1]}]"


def format_section(*, x: tuple[int, int], y: tuple[int, int]) -> str:
    """Return a section as the FITS keywords have it.

    Parameters
    ----------
    x, y
        First and last pixel, 1-based, in the order of read-out.

    Returns
    -------
    section
        For example ``[512:1,1:2002]``.
    """
    return str(_Section(x=x, y=y))


def check_amplifier(path: str | os.PathLike[str], header: AmplifierHeader, amplifier: Amplifier) -> None:
    """Check one extension's size and data section.

    Parameters
    ----------
    path
        The file, for the message.
    header
        Header of the extension.
    amplifier
        What the camera says.

    Raises
    ------
    RawHeaderError
        Raised if ``DATASEC`` is missing or has no meaning.
    RawGeometryError
        Raised if ``NAXIS1``, ``NAXIS2`` or ``DATASEC`` disagrees.
    """
    geometry = raw_geometry(amplifier)
    if len(header.shape) != 2:
        raise _disagrees(path, header, "NAXIS", 2, len(header.shape))
    ny, nx = header.shape
    found = _section(path, header, "DATASEC")
    box = geometry.data_bbox
    expected = _Section(x=(box.x.start + 1, box.x.stop), y=(box.y.start + 1, box.y.stop))
    if found != expected:
        raise _disagrees(path, header, "DATASEC", expected, found)
    if nx != geometry.bbox.x.size:
        raise _disagrees(path, header, "NAXIS1", geometry.bbox.x.size, nx)
    if ny != geometry.bbox.y.size:
        raise _disagrees(path, header, "NAXIS2", geometry.bbox.y.size, ny)


def check_detector_sections(
    path: str | os.PathLike[str], headers: Sequence[AmplifierHeader], detector: Detector
) -> None:
    """Check where the amplifiers lie in the detector.

    Parameters
    ----------
    path
        The file, for the message.
    headers
        Headers of the extensions, in the order of the detector's amplifiers.
    detector
        What the camera says.

    Raises
    ------
    RawHeaderError
        Raised if ``DETSEC`` is missing or has no meaning.
    RawGeometryError
        Raised if ``DETSEC`` disagrees.

    Notes
    -----
    The camera control system counts rows from the other edge than the
    camera's geometry (DM-36115), simulators count from the same edge. So the
    layout must agree up to one mirror image in y that holds for all
    amplifiers; wavefront halves may be turned round as well.
    """
    ny, nx = detector.bbox.shape
    mirrors: list[tuple[int | None, int | None]] = [(None, None), (None, ny)]
    if detector.type is DetectorType.WAVEFRONT:
        mirrors += [(nx, None), (nx, ny)]
    found = [_section(path, header, "DETSEC") for header in headers]
    nominal = [_detector_section(amplifier) for amplifier in detector.amplifiers]
    layouts = [[section.mirrored(x=x, y=y) for section in nominal] for x, y in mirrors]
    closest = max(layouts, key=lambda layout: sum(a == b for a, b in zip(layout, found, strict=True)))
    for header, expected, section in zip(headers, closest, found, strict=True):
        if section != expected:
            raise _disagrees(path, header, "DETSEC", expected, section)


def raw_geometry(amplifier: Amplifier) -> AmplifierRawGeometry:
    """Return the geometry of an amplifier's raw array.

    Parameters
    ----------
    amplifier
        Amplifier of one of this package's cameras.

    Returns
    -------
    geometry
        Regions of the raw array.

    Raises
    ------
    ValueError
        Raised if the amplifier has none.
    """
    if amplifier.unassembled_raw_geometry is None:
        raise ValueError(f"Amplifier {amplifier.name} has no geometry of an unassembled raw.")
    return amplifier.unassembled_raw_geometry


def _detector_section(amplifier: Amplifier) -> _Section:
    geometry = raw_geometry(amplifier)
    x = (amplifier.bbox.x.start + 1, amplifier.bbox.x.stop)
    y = (amplifier.bbox.y.start + 1, amplifier.bbox.y.stop)
    return _Section(x=x[::-1] if geometry.flip_x else x, y=y[::-1] if geometry.flip_y else y)


def _section(path: str | os.PathLike[str], header: AmplifierHeader, keyword: str) -> _Section:
    value = header.keywords.get(keyword)
    if value is None:
        raise RawHeaderError(path, f"extension {header.extension} has no keyword {keyword}.")
    match = _SECTION.fullmatch(str(value))
    if match is None:
        raise RawHeaderError(
            path,
            f"keyword {keyword} of extension {header.extension} must be a section [x1:x2,y1:y2], "
            f"not {value!r}.",
        )
    x1, x2, y1, y2 = map(int, match.groups())
    return _Section(x=(x1, x2), y=(y1, y2))


def _disagrees(
    path: str | os.PathLike[str], header: AmplifierHeader, keyword: str, expected: object, found: object
) -> RawGeometryError:
    return RawGeometryError(
        path,
        f"geometry disagrees with the camera: {keyword} of extension {header.extension} "
        f"must be {expected}, not {found}.",
    )
