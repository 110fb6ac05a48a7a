# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Butler formatter of raw files."""

from __future__ import annotations

__all__ = ("RawFormatter",)

from typing import Any, ClassVar

from astro_metadata_translator import ObservationInfo

from lsst.daf.butler import FormatterV2

from ._camera import load_camera
from ._raw import find_detector, read_raw, read_raw_metadata, translate_raw_metadata
from ._raw_errors import RawDetectorError, RawFileError


class RawFormatter(FormatterV2):
    """Reads raw files of the LSSTCam family; never writes them.

    Notes
    -----
    The storage class is ``RapidRaw``. Its components ``detector`` and
    ``obs_info`` need the headers only.
    """

    can_read_from_local_file: ClassVar[bool] = True
    default_extension: ClassVar[str | None] = ".fits"
    supported_extensions: ClassVar[frozenset[str]] = frozenset({".fits", ".fits.fz", ".fits.gz", ".fz"})
    unsupported_parameters: ClassVar[None] = None

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        """Read a raw file or what its headers say.

        Parameters
        ----------
        path
            Local path of the file.
        component
            ``detector``, ``obs_info``, or `None` for everything.
        expected_size
            Not used.

        Returns
        -------
        result
            `RawImage`, or its `lsst.images.cameras.Detector` or
            `~astro_metadata_translator.ObservationInfo`.

        Raises
        ------
        RawFileError
            Raised if the file cannot be used, or is not of the exposure and
            detector of the data ID.
        """
        try:
            return self._read(path, component)
        except RawFileError as error:
            error.add_note(f"The dataset is {self.dataset_ref.datasetType.name} of {self.data_id}.")
            raise

    def _read(self, path: str, component: str | None) -> Any:
        camera = load_camera(str(self.data_id["instrument"]))
        if component is None:
            raw = read_raw(path, camera=camera)
            self._check_data_id(path, raw.obs_info)
            return raw
        obs_info = translate_raw_metadata(path, read_raw_metadata(path))
        self._check_data_id(path, obs_info)
        match component:
            case "obs_info":
                return obs_info
            case "detector":
                return find_detector(path, obs_info, camera=camera)
        raise ValueError(f"A raw has the components detector and obs_info, not {component!r}.")

    def _check_data_id(self, path: str, obs_info: ObservationInfo) -> None:
        found = {"exposure": obs_info.exposure_id, "detector": obs_info.detector_num}
        for dimension, value in found.items():
            if value != self.data_id[dimension]:
                raise RawDetectorError(
                    path, f"the header says {dimension} {value}, but the data ID is {self.data_id}."
                )
