# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = (
    "CalibrationImageFormatter",
    "CrosstalkFormatter",
    "DefectsFormatter",
    "DeferredChargeFormatter",
    "IsrCalibrationFormatter",
    "LinearizerFormatter",
    "PhotonTransferCurveFormatter",
)

from typing import Any, ClassVar

from lsst.daf.butler import FormatterV2
from lsst.images import MaskedImage
from lsst.images.formatters import GenericFormatter
from lsst.resources import ResourcePath

from ._crosstalk import Crosstalk
from ._defects import Defects
from ._deferred_charge import DeferredCharge
from ._errors import CalibrationError
from ._image import image_identity, is_exposure_file, read_calibration_image
from ._isr_calib import DetectorIdentity, IsrCalibration
from ._linearizer import Linearizer
from ._ptc import PhotonTransferCurve


class IsrCalibrationFormatter(FormatterV2):
    """Read and write one type of calibration, in FITS or ECSV.

    Notes
    -----
    The write parameter ``format`` is ``fits`` (the default) or ``ecsv``. A file
    whose header names another detector than the data ID is refused.
    """

    calibration_type: ClassVar[type[IsrCalibration]]
    default_extension: ClassVar[str | None] = ".fits"
    supported_extensions = frozenset({".fits", ".ecsv"})
    supported_write_parameters = frozenset({"format"})
    can_read_from_local_file = True

    def get_write_extension(self) -> str:
        """Return the extension of the file that is written.

        Returns
        -------
        extension
            ``.fits`` or ``.ecsv``, as the write parameter says.

        Raises
        ------
        ValueError
            Raised if the write parameter is neither.
        """
        extension = f".{self.write_parameters.get('format', 'fits')}"
        if extension not in self.supported_extensions:
            raise ValueError(f"{self.name()}: format: expected fits or ecsv, found {extension[1:]!r}")
        return extension

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        """Read the calibration.

        Parameters
        ----------
        path
            Local file.
        component
            Not used; these calibrations have none.
        expected_size
            Not used.

        Returns
        -------
        calibration
            The calibration.

        Raises
        ------
        CalibrationError
            Raised if the file is not what its type and data ID say.
        """
        calibration = self.calibration_type.read(path)
        _check_data_id(self, calibration.detector, path)
        return calibration

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        """Write the calibration.

        Parameters
        ----------
        in_memory_dataset
            The calibration.
        uri
            File to write.

        Raises
        ------
        CalibrationError
            Raised if the calibration is for another detector.
        """
        calibration: IsrCalibration = in_memory_dataset
        _check_data_id(self, calibration.detector, uri.ospath)
        calibration.write(uri.ospath, overwrite=True)


class DefectsFormatter(IsrCalibrationFormatter):
    """Read and write `Defects`."""

    calibration_type = Defects


class PhotonTransferCurveFormatter(IsrCalibrationFormatter):
    """Read and write a `PhotonTransferCurve`."""

    calibration_type = PhotonTransferCurve


class LinearizerFormatter(IsrCalibrationFormatter):
    """Read and write a `Linearizer`."""

    calibration_type = Linearizer


class CrosstalkFormatter(IsrCalibrationFormatter):
    """Read and write `Crosstalk`."""

    calibration_type = Crosstalk


class DeferredChargeFormatter(IsrCalibrationFormatter):
    """Read and write `DeferredCharge`, in FITS only (it has two tables)."""

    calibration_type = DeferredCharge
    supported_extensions = frozenset({".fits"})


class CalibrationImageFormatter(GenericFormatter):
    """Read a bias, dark or flat of the Science Pipelines as a MaskedImage.

    Notes
    -----
    To be named when such files are ingested. Files that lsst.images wrote,
    and writing, are left to `lsst.images.formatters.GenericFormatter`.
    """

    can_read_from_uri: ClassVar[bool] = False
    can_read_from_local_file: ClassVar[bool] = True

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        """Read the image or a component, whole or a part.

        Parameters
        ----------
        path
            Local file.
        component
            Component of the storage class ``MaskedImageV2``.
        expected_size
            Passed on to lsst.images.

        Returns
        -------
        image
            The image or its component.

        Raises
        ------
        CalibrationError
            Raised if the file is not what its type and data ID say.
        """
        if not is_exposure_file(path):
            return super().read_from_local_file(path, component, expected_size)
        image = read_calibration_image(path)
        _check_data_id(self, image_identity(image, source=path), path)
        parameters = dict(self.file_descriptor.parameters or {})
        if (bbox := parameters.pop("bbox", None)) is not None:
            image = image[bbox]
        if component == "components":
            names = parameters.pop("components", None) or ("image", "mask", "variance", "bbox", "unit")
            return {name: _component(image, name) for name in names}
        return image if component is None else _component(image, component)


def _component(image: MaskedImage, name: str) -> Any:
    return getattr(image, name)


def _check_data_id(formatter: FormatterV2, identity: DetectorIdentity, source: str) -> None:
    """Refuse a file whose header contradicts the data ID."""
    for dimension, found in (("instrument", identity.instrument), ("detector", identity.id)):
        expected = formatter.data_id.get(dimension)
        if expected is not None and found is not None and found != expected:
            raise CalibrationError(
                source=source,
                field=f"{dimension} ({formatter.dataset_ref.datasetType.name} {formatter.data_id})",
                expected=repr(expected),
                found=repr(found),
            )
