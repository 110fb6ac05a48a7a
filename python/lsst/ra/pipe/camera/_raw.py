# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Raw files of the LSSTCam family: one extension for each amplifier."""

from __future__ import annotations

__all__ = ("RawImage", "read_raw", "read_raw_metadata", "translate_raw_metadata")

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import fitsio
import numpy as np
from astro_metadata_translator import MetadataTranslator, ObservationInfo

from lsst.images.cameras import Detector

from ._camera import Camera, load_camera
from ._raw_errors import RawCorruptError, RawDetectorError, RawExtensionError, RawHeaderError
from ._raw_geometry import AmplifierHeader, check_amplifier, check_detector_sections
from ._raw_pixels import CompressedReader
from ._translator import HeaderError, translate_header, translators

_MERGED_EXTENSION = "REB_COND"
_STRUCTURE = re.compile(
    r"XTENSION|SIMPLE|EXTEND|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|EXTNAME|CHECKSUM|DATASUM"
    r"|COMMENT|HISTORY|CONTINUE|END|LONGSTRN"
)
_SEGMENT = re.compile(r"Segment(\d\d)", re.IGNORECASE)
_SIMULATED = {"LSSTCamSim": "LSSTCam", "LSSTComCamSim": "LSSTComCam"}


@dataclasses.dataclass(frozen=True, eq=False)
class RawImage:
    """One detector as it was read out."""

    amplifiers: Mapping[str, np.ndarray]
    """Counts (adu) by amplifier name (``C10``), each of shape
    ``(raw_ny, raw_nx)`` with prescan and overscan, in the file's data type
    and the order of its extensions."""
    detector: Detector
    """Geometry of the detector."""
    obs_info: ObservationInfo
    """What the header says about the exposure."""
    header: dict[str, Any]
    """Keywords of the primary header and of ``REB_COND``, after the
    translator's corrections."""


def read_raw(
    path: str | os.PathLike[str], *, camera: Camera | None = None, verify_checksums: bool = False
) -> RawImage:
    """Read the raw file of one detector.

    Parameters
    ----------
    path
        A FITS file, compressed by tiles or as a whole, or not at all.
    camera
        Camera that the file must be of. By default the header decides.
    verify_checksums
        Whether to compare the amplifiers with their ``CHECKSUM`` and
        ``DATASUM``, where they have them. It tells damage that happens to
        decompress, and adds 6 % to the time.

    Returns
    -------
    raw
        Pixels, geometry and metadata. Each pixel is written once, into the
        array that is returned.

    Raises
    ------
    FileNotFoundError
        Raised if there is no such file.
    RawFileError
        Raised if the file cannot be used. Subclasses say why: it is not FITS
        or truncated, an extension or a keyword is missing, the detector is
        unknown, or the geometry disagrees with the camera.
    """
    with _open(path) as fits:
        header = _merged_header(path, fits)
        obs_info = translate_raw_metadata(path, header)
        detector = find_detector(path, obs_info, camera=camera)
        extensions = _find_amplifiers(path, fits, detector)
        headers = {name: _read_whole_header(path, hdu) for name, hdu in extensions.items()}
        _check_geometry(path, extensions, headers, detector)
        with open(path, "rb", buffering=0) as file:
            reader = CompressedReader(file)
            amplifiers = {
                name: _read_pixels(path, name, hdu, headers[name], reader, verify_checksums=verify_checksums)
                for name, hdu in sorted(extensions.items(), key=lambda item: item[1].get_extnum())
            }
    return RawImage(amplifiers=amplifiers, detector=detector, obs_info=obs_info, header=header)


def read_raw_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the metadata of a raw file, but no pixels.

    Parameters
    ----------
    path
        The FITS file.

    Returns
    -------
    header
        Keywords of the primary header and of ``REB_COND``, as they are in
        the file.

    Raises
    ------
    FileNotFoundError
        Raised if there is no such file.
    RawFileError
        Raised if the file is not FITS.
    """
    with _open(path) as fits:
        return _merged_header(path, fits)


def translate_raw_metadata(path: str | os.PathLike[str], header: dict[str, Any]) -> ObservationInfo:
    """Translate a raw's header.

    Parameters
    ----------
    path
        The file, for messages and corrections that depend on its name.
    header
        Merged header; corrected in place.

    Returns
    -------
    obs_info
        The observation.

    Raises
    ------
    RawHeaderError
        Raised if no translator of this package knows the header, or a keyword
        is missing or has no meaning.
    """
    try:
        # Translators of other observatories may be registered as well.
        translator = MetadataTranslator.determine_translator(header, filename=os.fspath(path)).name
    except ValueError:
        translator = None
    if translator not in translators():
        raise RawHeaderError(
            path,
            f"INSTRUME {header.get('INSTRUME')!r} and TELESCOP {header.get('TELESCOP')!r} must be of one of "
            f"{', '.join(translators())}.",
        )
    try:
        return translate_header(header, filename=os.fspath(path))
    except HeaderError as error:
        raise RawHeaderError(path, error.describe()) from error


def find_detector(
    path: str | os.PathLike[str], obs_info: ObservationInfo, *, camera: Camera | None = None
) -> Detector:
    """Find the detector that a raw file is of.

    Parameters
    ----------
    path
        The file, for messages.
    obs_info
        Its translated header.
    camera
        Camera that the file must be of. By default the header decides.

    Returns
    -------
    detector
        Geometry of the detector. Simulated cameras have that of the real.

    Raises
    ------
    RawDetectorError
        Raised if the file is of another camera, the camera has no such
        detector, or its number and name contradict each other.
    """
    number, instrument = obs_info.detector_num, obs_info.instrument
    if number is None or instrument is None:
        raise RawHeaderError(path, "the header tells no detector number or instrument.")
    name = _SIMULATED.get(instrument, instrument)
    if camera is None:
        try:
            camera = load_camera(name)
        except ValueError as error:
            raise RawDetectorError(path, f"the header names an unknown camera. {error}") from error
    elif name != camera.name:
        raise RawDetectorError(path, f"must be of camera {camera.name}, not {instrument}.")
    if number not in camera:
        raise RawDetectorError(
            path,
            f"the header says detector {number} ({obs_info.detector_unique_name}); "
            f"{camera.name} has {len(camera.facts)} detectors and none of this number.",
        )
    detector = camera[number]
    if detector.name != obs_info.detector_unique_name:
        raise RawDetectorError(
            path,
            f"detector {detector.id} of {camera.name} must be named {detector.name}, "
            f"not {obs_info.detector_unique_name}.",
        )
    return detector


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[fitsio.FITS]:
    if not os.path.exists(path):
        raise FileNotFoundError(f"No such raw file: {os.fspath(path)}")
    try:
        fits = fitsio.FITS(os.fspath(path), "r")
    except OSError as error:
        raise RawCorruptError(path, f"is not a FITS file that can be read: {_first_line(error)}") from error
    try:
        yield fits
    finally:
        fits.close()


def _merged_header(path: str | os.PathLike[str], fits: fitsio.FITS) -> dict[str, Any]:
    header = _read_header(path, fits[0])
    for hdu in fits:
        if hdu.get_extname() == _MERGED_EXTENSION:
            header.update(_read_header(path, hdu))
    return header


def _read_header(path: str | os.PathLike[str], hdu: Any) -> dict[str, Any]:
    """Return the keywords of an extension that say no FITS structure."""
    return _without_structure(_read_whole_header(path, hdu))


def _without_structure(header: Mapping[str, Any]) -> dict[str, Any]:
    return {key: header[key] for key in header if key and not _STRUCTURE.fullmatch(key)}


def _read_whole_header(path: str | os.PathLike[str], hdu: Any) -> Mapping[str, Any]:
    try:
        header = hdu.read_header()
    except (OSError, ValueError) as error:
        raise RawCorruptError(
            path, f"the header of HDU {hdu.get_extnum()} cannot be read: {_first_line(error)}"
        ) from error
    return {key: header[key] for key in header if key}


def _find_amplifiers(
    path: str | os.PathLike[str], fits: fitsio.FITS, detector: Detector
) -> dict[str, fitsio.hdu.ImageHDU]:
    """Return the extensions by amplifier name, in the detector's order."""
    found: dict[str, fitsio.hdu.ImageHDU] = {}
    for hdu in fits:
        match = _SEGMENT.fullmatch(hdu.get_extname())
        if match is None or not isinstance(hdu, fitsio.hdu.ImageHDU):
            continue
        name = f"C{match[1]}"
        if name in found:
            raise RawExtensionError(path, f"has the extension {match[0]} twice.")
        found[name] = hdu
    expected = [amplifier.name for amplifier in detector.amplifiers]
    missing = [f"Segment{name[1:]}" for name in expected if name not in found]
    excess = [f"Segment{name[1:]}" for name in found if name not in expected]
    if missing or excess:
        wrong = [f"{', '.join(missing)} missing"] if missing else []
        wrong += [f"{', '.join(excess)} not expected"] if excess else []
        raise RawExtensionError(
            path,
            f"must have the {len(expected)} amplifier extensions of {detector.name} "
            f"({detector.physical_type}): {'; '.join(wrong)}. It has {len(fits)} HDUs that can be read"
            f"{'; it may be truncated.' if missing else '.'}",
        )
    return {name: found[name] for name in expected}


def _check_geometry(
    path: str | os.PathLike[str],
    extensions: Mapping[str, fitsio.hdu.ImageHDU],
    keywords: Mapping[str, Mapping[str, Any]],
    detector: Detector,
) -> None:
    headers = []
    for amplifier in detector.amplifiers:
        hdu = extensions[amplifier.name]
        header = AmplifierHeader(
            extension=hdu.get_extname(),
            shape=tuple(hdu.get_info().get("dims", ())),
            keywords=_without_structure(keywords[amplifier.name]),
        )
        check_amplifier(path, header, amplifier)
        headers.append(header)
    check_detector_sections(path, headers, detector)


def _read_pixels(
    path: str | os.PathLike[str],
    name: str,
    hdu: fitsio.hdu.ImageHDU,
    header: Mapping[str, Any],
    reader: CompressedReader,
    *,
    verify_checksums: bool,
) -> np.ndarray:
    try:
        if verify_checksums:
            hdu.verify_checksum()
        pixels: np.ndarray | None = reader.read(hdu, header)
        if pixels is None:
            # cfitsio decompresses straight into the array that it returns.
            pixels = hdu.read()
    except (OSError, ValueError) as error:
        raise RawCorruptError(
            path,
            f"the pixels of amplifier {name} cannot be read, the file is truncated or corrupt: "
            f"{_first_line(error)}",
        ) from error
    return pixels


def _first_line(error: Exception) -> str:
    """Return cfitsio's summary without its message stack."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
