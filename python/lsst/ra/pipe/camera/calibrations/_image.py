# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("image_identity", "is_exposure_file", "read_calibration_image", "validate_calibration_image")

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import astropy.units
import fitsio
import numpy as np

from lsst.images import Image, Mask, MaskedImage, MaskPlane, MaskSchema
from lsst.images.cameras import Detector
from lsst.images.serialization import ArchiveReadError, read_archive

from ._errors import CalibrationError
from ._isr_calib import DetectorIdentity

_UNIT_CARD = "LSST ISR UNITS"
_UNITS = {"adu": astropy.units.adu, "electron": astropy.units.electron}
_CONTAINER_CARDS = frozenset({"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "COMMENT", "EXPINFO_V", "AR_HDU"})
"""Cards of the file rather than of the image."""

_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "BAD": "Bad pixel in the instrument, including bad amplifiers.",
        "SAT": "Pixel was saturated or affected by a saturated neighbour.",
        "INTRP": "Pixel value was interpolated.",
        "CR": "A cosmic ray affected this pixel.",
        "EDGE": "Pixel was too close to the edge to be considered for detection.",
        "DETECTED": "Pixel was part of a detected source.",
        "DETECTED_NEGATIVE": "Pixel was part of a detected negative source.",
        "SUSPECT": "Pixel was close to the saturation level.",
        "NO_DATA": "No data was available for this pixel.",
        "VIGNETTED": "Pixel was vignetted by the optics.",
        "STREAK": "Pixel was affected by the trail of a moving object.",
        "CROSSTALK": "Pixel was affected by crosstalk and corrected.",
        "UNMASKEDNAN": "Pixel was found to be NaN unexpectedly.",
        "ITL_DIP": "Pixel was affected by a dark trail from a bright source, on an ITL CCD.",
    }
)


def read_calibration_image(
    path: str | os.PathLike[str], *, mask_schema: MaskSchema | None = None
) -> MaskedImage:
    """Read a bias, dark or flat.

    Parameters
    ----------
    path
        Local file: an ``ExposureF`` or ``MaskedImageF`` that the Science
        Pipelines wrote, or any file of an `lsst.images.MaskedImage`.
    mask_schema
        Mask planes of the result. By default those of the file, with the
        Science Pipelines' names and bits.

    Returns
    -------
    image
        Float32 image and variance, and mask, of shape ``(ny, nx)``, with the
        origin of the file. The unit is that of ``LSST ISR UNITS``; a flat of
        the Science Pipelines is relative, so that it has no unit.
        The primary header is in the metadata.

    Raises
    ------
    CalibrationError
        Raised if the file cannot be read, lacks image, mask or variance,
        or if these disagree, or if the schema lacks a plane that is set.
    """
    source = os.fspath(path)
    try:
        if is_exposure_file(source):
            return _read_exposure(source, mask_schema)
        image = read_archive(source)
    except CalibrationError:
        raise
    except (OSError, ValueError, KeyError, ArchiveReadError) as error:
        raise _error(source, "file", "a readable image", " ".join(str(error).split())) from error
    if not isinstance(image, MaskedImage):
        raise _error(source, "file", "a MaskedImage", type(image).__name__)
    if mask_schema is not None and image.mask.schema != mask_schema:
        planes = {name: image.mask.get(name) for name in image.mask.schema.names}
        image.mask = _mask_from_planes(planes, mask_schema, image.mask, source)
    return image


def is_exposure_file(path: str) -> bool:
    """Tell a FITS file of the Science Pipelines' from one of lsst.images.

    Parameters
    ----------
    path
        Local file.

    Returns
    -------
    is_exposure
        Whether this is FITS without lsst.images' data model.

    Raises
    ------
    OSError
        Raised if the file is not FITS although its name says so.
    """
    if not path.lower().endswith((".fits", ".fits.gz", ".fits.fz", ".fit")):
        return False
    return "DATAMODL" not in fitsio.read_header(path, ext=0)


def validate_calibration_image(
    image: MaskedImage,
    detector: Detector,
    *,
    unit: astropy.units.UnitBase | None = None,
    source: str = "",
    check_serial: bool = True,
) -> None:
    """Refuse a bias, dark or flat that does not fit a detector.

    Parameters
    ----------
    image
        Calibration image.
    detector
        Detector on which it is to be used.
    unit
        Unit that it must have, if it has one.
    source
        File or data ID, for messages.
    check_serial
        Whether the serial number of the CCD must agree.

    Raises
    ------
    CalibrationError
        Raised if detector, size or unit differ, or no pixel is finite.
    """
    image_identity(image, source=source).check(detector, source=source, check_serial=check_serial)
    if image.bbox != detector.bbox:
        raise _error(source, "bounding box", detector.bbox, image.bbox)
    if unit is not None and image.unit is not None and image.unit != unit:
        raise _error(source, "unit", unit, image.unit)
    if not np.isfinite(image.image.array).any():
        raise _error(source, "pixels", "finite values", "none")


def image_identity(image: MaskedImage, *, source: str = "") -> DetectorIdentity:
    """Return the detector that an image's metadata name.

    Parameters
    ----------
    image
        Calibration image; its metadata are a header of the Science Pipelines.
    source
        File, for messages.

    Returns
    -------
    identity
        What the metadata do not tell is `None`.

    Raises
    ------
    CalibrationError
        Raised if the detector number is not a number.
    """
    metadata = image.metadata
    calib_id = dict(item.split("=", 1) for item in str(metadata.get("CALIB_ID", "")).split() if "=" in item)
    cards = {
        "INSTRUME": metadata.get("INSTRUME"),
        "DETECTOR": metadata.get("LSST BUTLER DATAID DETECTOR", calib_id.get("detector")),
        "DET_NAME": metadata.get("DETNAME", metadata.get("DET_NAME")),
        "DET_SER": metadata.get("DETSER", metadata.get("DET_SER")),
    }
    known = {key: value for key, value in cards.items() if isinstance(value, str | int) and value != ""}
    return DetectorIdentity.from_metadata(known, source=source)


def _read_exposure(source: str, mask_schema: MaskSchema | None) -> MaskedImage:
    """Read image, mask and variance of an afw file."""
    with fitsio.FITS(source) as fits:
        primary = _header(fits[0])
        extensions = {name: _extension(fits, name, source) for name in ("IMAGE", "MASK", "VARIANCE")}
        headers = {name: _header(hdu) for name, hdu in extensions.items()}
        pixels = {name: hdu.read() for name, hdu in extensions.items()}
    yx0 = {name: _origin(header, f"{source}[{name}]") for name, header in headers.items()}
    for name in ("MASK", "VARIANCE"):
        one = (pixels[name].shape, yx0[name])
        if one != (pixels["IMAGE"].shape, yx0["IMAGE"]):
            raise _error(
                f"{source}[{name}]", "shape and origin (y, x)", (pixels["IMAGE"].shape, yx0["IMAGE"]), one
            )
    unit_name = primary.get(_UNIT_CARD)
    if unit_name not in {None, *_UNITS}:
        raise _error(source, _UNIT_CARD, "adu or electron", repr(unit_name))
    relative = str(primary.get("OBSTYPE", "")).casefold() == "flat"
    unit = None if unit_name is None or relative else _UNITS[unit_name]
    image = Image(pixels["IMAGE"].astype(np.float32, copy=False), yx0=yx0["IMAGE"], unit=unit)
    variance = Image(
        pixels["VARIANCE"].astype(np.float32, copy=False),
        yx0=yx0["IMAGE"],
        unit=None if unit is None else unit**2,
    )
    mask = _read_mask(pixels["MASK"], headers["MASK"], image, mask_schema, source)
    metadata = _image_metadata(primary)
    return MaskedImage(image, mask=mask, variance=variance, metadata=metadata)


def _image_metadata(primary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cards that say something of the image, not of the file.

    A card ``X_ID`` beside ``ARCHIVE_ID_X`` is the number of an object in the
    file: ``DETECTOR_ID`` is not the detector.
    """
    return {
        key: value
        for key, value in primary.items()
        if isinstance(value, str | int | float | bool)
        and key not in _CONTAINER_CARDS
        and not key.startswith("ARCHIVE_ID_")
        and f"ARCHIVE_ID_{key.removesuffix('_ID')}" not in primary
    }


def _read_mask(
    bits: np.ndarray, header: Mapping[str, Any], image: Image, schema: MaskSchema | None, source: str
) -> Mask:
    """Turn an afw mask of shape ``(ny, nx)`` into one with a schema."""
    numbers = {key.removeprefix("MP_"): int(value) for key, value in header.items() if key.startswith("MP_")}
    if not numbers:
        raise _error(f"{source}[MASK]", "header", "MP_ cards that name the mask planes", "none")
    used = int(np.bitwise_or.reduce(bits, axis=None))
    unknown = [n for n in range(32) if used >> n & 1 and n not in numbers.values()]
    if unknown:
        raise _error(f"{source}[MASK]", "header", f"an MP_ card for bits {unknown}, which are set", numbers)
    if schema is not None:
        planes = {name: (bits >> n & 1).astype(bool) for name, n in numbers.items() if used >> n & 1}
        return _mask_from_planes(planes, schema, image, source)
    # The same bits in the same places: no work on the pixels.
    names = {n: name for name, n in numbers.items()}
    schema = MaskSchema(
        [
            MaskPlane(names[n], _DESCRIPTIONS.get(names[n], f"{names[n]} of the Science Pipelines."))
            if n in names
            else None
            for n in range(max(names) + 1)
        ]
    )
    octets = np.ascontiguousarray(bits, dtype="<i4").view(np.uint8).reshape(*bits.shape, 4)
    return Mask(np.ascontiguousarray(octets[..., : schema.mask_size]), schema=schema, bbox=image.bbox)


def _mask_from_planes(
    planes: Mapping[str, np.ndarray], schema: MaskSchema, like: Image | Mask, source: str
) -> Mask:
    """Make a mask from boolean planes; those without a pixel may be unknown."""
    mask = Mask(0, schema=schema, bbox=like.bbox, sky_projection=like.sky_projection)
    for name, plane in planes.items():
        if name in schema:
            mask.set(name, plane)
        elif plane.any():
            raise _error(f"{source}[MASK]", "mask plane", f"one of {', '.join(schema.names)}", name)
    return mask


def _header(hdu: Any) -> dict[str, Any]:
    return {record["name"]: record["value"] for record in hdu.read_header().records() if record["name"]}


def _extension(fits: fitsio.FITS, name: str, source: str) -> Any:
    if name not in fits:
        found = ", ".join(hdu.get_extname() or "primary" for hdu in fits)
        raise _error(source, "extensions", name, found)
    return fits[name]


def _origin(header: Mapping[str, Any], source: str) -> tuple[int, int]:
    """Return (y, x) of the first pixel, from the cards of afw."""
    origin = []
    for axis in (2, 1):
        value = (
            float(header[f"LTV{axis}"]) if f"LTV{axis}" in header else -float(header.get(f"CRVAL{axis}A", 0))
        )
        if value != round(value):
            raise _error(source, f"LTV{axis}", "a whole number", value)
        origin.append(-round(value))
    return origin[0], origin[1]


def _error(source: str, field: str, expected: object, found: object) -> CalibrationError:
    return CalibrationError(source=source, field=field, expected=expected, found=found)
