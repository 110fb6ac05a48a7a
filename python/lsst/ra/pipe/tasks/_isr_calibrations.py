# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Calibrations of ISR: checked, and in the form that the kernels want."""

from __future__ import annotations

__all__ = (
    "BadCalibrationError",
    "CalibrationImages",
    "IsrCalibrations",
    "check_calibrations",
    "check_values",
    "compare_camera_state",
    "covered_amplifiers",
    "prepare_images",
)

import dataclasses
import functools
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from lsst.images import Mask, MaskedImage
from lsst.images.cameras import Detector
from lsst.pipe.base import UnprocessableDataError

from ..algorithms import MASK_SCHEMA, packed_mask
from ..algorithms.isr import DetrendCalibrations, quantiles
from ..camera.calibrations import (
    CalibrationError,
    Crosstalk,
    Defects,
    DeferredCharge,
    Linearizer,
    PhotonTransferCurve,
    validate_calibration_image,
)
from ._isr_config import FirstLookIsrConfig


class BadCalibrationError(UnprocessableDataError):
    """A calibration is missing, or cannot be used on the raw image.

    Parameters
    ----------
    connection
        Name of the task's connection.
    problem
        What is wrong.
    dataset
        Dataset type, data ID and run, where known.
    """

    def __init__(self, connection: str, problem: str, *, dataset: str = "") -> None:
        super().__init__(f"Calibration {dataset or connection} cannot be used: {problem}")
        self.connection = connection
        self.problem = problem


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationImages:
    """Bias, dark and flat, checked, in the form that the kernel wants."""

    arrays: DetrendCalibrations
    """Images for `lsst.ra.pipe.algorithms.isr.detrend`."""

    metadata: Mapping[str, Mapping[str, Any]]
    """Metadata of each of them by the name of its connection."""

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything as arrays, for an `ArrayStore`.

        Returns
        -------
        arrays
            The images, and the metadata as the octets of JSON.
        """
        plain = {name: dict(metadata) for name, metadata in self.metadata.items()}
        octets = np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8)
        images = {name: array for name, array in self.arrays._asdict().items() if array.size}
        return images | {"metadata": octets}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> CalibrationImages:
        """Take everything from what `to_arrays` gave.

        Parameters
        ----------
        arrays
            The images and the metadata.

        Returns
        -------
        images
            The images, which share memory with ``arrays``.
        """
        images = {name: array for name, array in arrays.items() if name != "metadata"}
        return cls(
            arrays=DetrendCalibrations(**images), metadata=json.loads(arrays["metadata"].tobytes().decode())
        )

    @classmethod
    def merge(
        cls, parts: Iterable[CalibrationImages], *, mask: npt.NDArray[np.uint16] | None = None
    ) -> CalibrationImages:
        """Join images of different connections; the masks are united.

        Parameters
        ----------
        parts
            Images, each of another connection.
        mask
            What `unite_masks` gives for them, if it is known.

        Returns
        -------
        images
            All of them.
        """
        arrays: dict[str, npt.NDArray[Any]] = {}
        metadata: dict[str, Mapping[str, Any]] = {}
        parts = list(parts)
        for part in parts:
            arrays |= {name: array for name, array in part.arrays._asdict().items() if array.size}
            metadata |= part.metadata
        if "mask" in arrays:
            arrays["mask"] = cls.unite_masks(parts) if mask is None else mask
        return cls(arrays=DetrendCalibrations(**arrays), metadata=metadata)

    @staticmethod
    def unite_masks(parts: Iterable[CalibrationImages]) -> npt.NDArray[np.uint16]:
        """Unite the masks of images.

        Parameters
        ----------
        parts
            Images, at least one of which has a mask.

        Returns
        -------
        mask
            Bits that any of them has.
        """
        masks = [part.arrays.mask for part in parts if part.arrays.mask.size]
        return functools.reduce(np.bitwise_or, masks)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class IsrCalibrations:
    """Calibrations of one detector; those of disabled steps are None."""

    bias: MaskedImage | None = None
    """Bias (electron, or adu if gains are not applied)."""

    dark: MaskedImage | None = None
    """Dark, of one second unless its metadata have a DARKTIME."""

    flat: MaskedImage | None = None
    """Flat."""

    ptc: PhotonTransferCurve | None = None
    """Gains, noise and turn-offs."""

    defects: Defects | None = None
    """Defects."""

    linearizer: Linearizer | None = None
    """Correction of the response."""

    crosstalk: Crosstalk | None = None
    """Crosstalk."""

    deferredChargeCalib: DeferredCharge | None = None
    """Serial deferred charge."""

    images: CalibrationImages | None = None
    """Bias, dark and flat in place of those above, prepared before."""

    def items(self) -> dict[str, Any]:
        """Return the calibrations that there are.

        Returns
        -------
        calibrations
            Calibrations by the name of their connection.
        """
        names = (field.name for field in dataclasses.fields(self) if field.name != "images")
        named = {name: getattr(self, name) for name in names}
        return {name: value for name, value in named.items() if value is not None}

    def metadata(self) -> dict[str, Mapping[str, Any]]:
        """Return the metadata of the calibrations that there are.

        Returns
        -------
        metadata
            Metadata by the name of the connection.
        """
        prepared = {} if self.images is None else dict(self.images.metadata)
        return prepared | {name: calibration.metadata for name, calibration in self.items().items()}


def check_calibrations(
    calibrations: IsrCalibrations, *, config: FirstLookIsrConfig, detector: Detector
) -> None:
    """Refuse calibrations that do not fit.

    Parameters
    ----------
    calibrations
        Calibrations to check.
    config
        Settings of the task.
    detector
        Detector of the raw image.

    Raises
    ------
    BadCalibrationError
        Raised if one is missing, or is that of another detector, shape or unit,
        or has values that cannot be used.
    """
    available = calibrations.metadata()
    for name, is_wanted in config.wanted_calibrations().items():
        if is_wanted and name not in available:
            raise BadCalibrationError(name, "it is missing, and an enabled step needs it")
    check_values(calibrations, config=config, detector=detector)


def check_values(calibrations: IsrCalibrations, *, config: FirstLookIsrConfig, detector: Detector) -> None:
    """Refuse those of the calibrations that do not fit.

    Parameters
    ----------
    calibrations
        Calibrations to check; some may be missing.
    config
        Settings of the task.
    detector
        Detector of the raw image.

    Raises
    ------
    BadCalibrationError
        Raised if one is that of another detector, shape or unit, or has values
        that cannot be used.
    """
    for name, calibration in calibrations.items().items():
        try:
            _check_values(name, calibration, calibrations, config, detector)
        except CalibrationError as error:
            raise BadCalibrationError(name, str(error)) from error


def compare_camera_state(
    calibrations: IsrCalibrations,
    *,
    config: FirstLookIsrConfig,
    header: Mapping[str, Any],
    log: logging.Logger | logging.LoggerAdapter[Any],
) -> None:
    """Compare the camera's state with that of the calibrations.

    Parameters
    ----------
    calibrations
        Calibrations to check.
    config
        Settings of the task.
    header
        Header of the raw image.
    log
        Logger for mismatches.

    Raises
    ------
    BadCalibrationError
        Raised if the states differ and the config says that this is an error.
    """
    for name, metadata in calibrations.metadata().items():
        mismatch = _camera_mismatch(metadata, config.cameraKeywordsToCompare, header)
        if mismatch and config.doRaiseOnCalibMismatch:
            raise BadCalibrationError(name, f"the camera's state differs: {mismatch}")
        if mismatch:
            log.warning("The camera's state differs from that of calibration %s: %s.", name, mismatch)


def covered_amplifiers(defects: Defects, detector: Detector) -> frozenset[str]:
    """Return the amplifiers that one defect covers.

    Parameters
    ----------
    defects
        Defects.
    detector
        Detector with the amplifiers.

    Returns
    -------
    names
        Names of the amplifiers.
    """
    x0, y0, width, height = np.asarray(defects.boxes).reshape(-1, 4).T
    names = set()
    for amplifier in detector.amplifiers:
        box = amplifier.bbox
        covers = (x0 <= box.x.start) & (y0 <= box.y.start)
        covers &= (x0 + width >= box.x.stop) & (y0 + height >= box.y.stop)
        if covers.any():
            names.add(amplifier.name)
    return frozenset(names)


def _check_values(
    name: str,
    calibration: Any,
    calibrations: IsrCalibrations,
    config: FirstLookIsrConfig,
    detector: Detector,
) -> None:
    """Check one calibration."""
    if isinstance(calibration, MaskedImage):
        unit = u.electron if config.doApplyGains else u.adu
        validate_calibration_image(calibration, detector, source=name, check_serial=False)
        if name != "flat":
            _check_unit(name, calibration, unit)
        return
    ignore = _known_bad_amplifiers(calibrations, config, detector)
    calibration.validate_for(detector, ignore_amplifiers=ignore, check_serial=False)


def _check_unit(name: str, image: MaskedImage, unit: u.UnitBase) -> None:
    """Check the unit of a bias or dark."""
    allowed = {unit, unit / u.s} if name == "dark" else {unit}
    found = image.unit
    if found is None and "LSST ISR UNITS" in image.metadata:
        found = u.Unit(str(image.metadata["LSST ISR UNITS"]))
    if found is not None and found not in allowed:
        raise CalibrationError(field="unit", expected=str(unit), found=str(found), source=name)


def _known_bad_amplifiers(
    calibrations: IsrCalibrations, config: FirstLookIsrConfig, detector: Detector
) -> set[str]:
    """Names of amplifiers whose calibrations need not be good."""
    bad = {amp.removeprefix(f"{detector.name}_") for amp in config.badAmps if amp.startswith(detector.name)}
    if calibrations.defects is not None:
        bad |= covered_amplifiers(calibrations.defects, detector)
    if calibrations.ptc is not None:
        bad |= calibrations.ptc.bad_amplifiers
    return bad


def _camera_mismatch(metadata: Mapping[str, Any], keywords: Any, header: Mapping[str, Any]) -> str:
    """Say which keywords have other values in the calibration than in the raw image."""
    differing = [
        f"{keyword} is {metadata[keyword]!r}, expected {header[keyword]!r}"
        for keyword in keywords
        if header.get(keyword) is not None
        and metadata.get(keyword) is not None
        and header[keyword] != metadata[keyword]
    ]
    return "; ".join(differing)


def prepare_images(calibrations: IsrCalibrations, *, config: FirstLookIsrConfig) -> CalibrationImages:
    """Bring bias, dark and flat into the form that the kernel wants.

    Parameters
    ----------
    calibrations
        Calibrations, checked.
    config
        Settings of the task.

    Returns
    -------
    prepared
        The images.  Bias and dark share memory with the calibrations where
        they can.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    bits = [
        _mask_bits(image.mask) for image in (calibrations.bias, calibrations.dark, calibrations.flat) if image
    ]
    present = [mask for mask in bits if mask is not None]
    if present:
        union = present[0].copy()
        for mask in present[1:]:
            union |= mask
        arrays["mask"] = union
    if calibrations.bias is not None:
        arrays |= {
            "bias": _float32(calibrations.bias.image.array),
            "bias_variance": _float32(calibrations.bias.variance.array),
        }
    if calibrations.dark is not None:
        # A dark of another time is rare, and costs a copy.
        metadata: Mapping[str, Any] = calibrations.dark.metadata
        time = float(metadata.get("DARKTIME", 1.0) or 1.0)
        dark, variance = calibrations.dark.image.array, calibrations.dark.variance.array
        arrays |= {
            "dark": _float32(dark if time == 1.0 else dark / time),
            "dark_variance": _float32(variance if time == 1.0 else variance / time**2),
        }
    if calibrations.flat is not None:
        flat = calibrations.flat.image.array
        with np.errstate(divide="ignore", invalid="ignore"):
            arrays |= {
                "inverse_flat": _float32(np.float32(_flat_scale(flat, config)) / flat),
                "flat_relative_variance": _float32(calibrations.flat.variance.array / (flat * flat)),
            }
    named = {"bias": calibrations.bias, "dark": calibrations.dark, "flat": calibrations.flat}
    metadata = {name: image.metadata for name, image in named.items() if image is not None}
    return CalibrationImages(arrays=DetrendCalibrations(**arrays), metadata=metadata)


def _float32(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return a contiguous array of native float32, a copy only if it must be."""
    return np.ascontiguousarray(array, np.float32)


def _flat_scale(flat: npt.NDArray[Any], config: FirstLookIsrConfig) -> float:
    """Return what the flat is divided by."""
    match config.flatScalingType:
        case "MEAN":
            return float(np.mean(flat[np.isfinite(flat)], dtype=np.float64))
        case "MEDIAN":
            return float(quantiles(flat, (0.5,))[0])
    return float(config.flatUserScale)


def _mask_bits(mask: Mask) -> npt.NDArray[np.uint16] | None:
    """Return a mask's planes as our bits, or None if none is set."""
    if not mask.array.any():
        return None
    if mask.schema == MASK_SCHEMA:
        return packed_mask(mask.copy())
    planes = [name for name in mask.schema.names if name in MASK_SCHEMA]
    translated = Mask(0, schema=MASK_SCHEMA, bbox=mask.bbox)
    for name in planes:
        translated.set(name, mask.get(name))
    return packed_mask(translated)
