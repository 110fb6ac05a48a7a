# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Reading raw files, good and bad."""

from __future__ import annotations

import gzip
import pathlib
import pickle
import re
import tracemalloc
from typing import Any

import fitsio
import numpy as np
import pytest
from camera.raws import EXPOSURE, counts, damage, write_raw
from lsst.ra.pipe.camera import (
    RawCorruptError,
    RawDetectorError,
    RawExtensionError,
    RawFileError,
    RawGeometryError,
    RawHeaderError,
    load_camera,
    read_raw,
    read_raw_metadata,
)


@pytest.fixture(scope="module")
def raw_path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a good raw file of R22_S11, an E2V sensor."""
    return write_raw(tmp_path_factory.mktemp("raws") / "MC_O_20250415_000060_R22_S11.fits")


@pytest.mark.parametrize("compress", [None, "rice"])
@pytest.mark.parametrize(("detector", "count"), [("R22_S11", 16), ("R10_S02", 16), ("R00_SW1", 8)])
def test_pixels_are_those_written(
    tmp_path: pathlib.Path, compress: str | None, detector: str, count: int
) -> None:
    """E2V, ITL and a wavefront half, compressed or not, keep their counts."""
    path = write_raw(tmp_path / "raw.fits", detector=detector, compress=compress)
    raw = read_raw(path)
    sensor = load_camera("LSSTCam")[detector]
    assert raw.detector is sensor
    assert list(raw.amplifiers) == [amplifier.name for amplifier in sensor.amplifiers]
    assert len(raw.amplifiers) == count
    for index, pixels in enumerate(raw.amplifiers.values()):
        assert pixels.dtype == np.dtype(np.int32)
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, counts(index, (2048, 576)))
    assert raw.obs_info.exposure_id == EXPOSURE
    assert raw.obs_info.detector_unique_name == detector
    assert raw.header["RAFTBAY"] == detector[:3]


def test_whole_file_compression_is_understood(tmp_path: pathlib.Path) -> None:
    """A gzipped file is read like any other."""
    plain = write_raw(tmp_path / "raw.fits", detector="R00_SW0")
    packed = tmp_path / "raw.fits.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=1))
    np.testing.assert_array_equal(read_raw(packed).amplifiers["C12"], counts(2, (2048, 576)))


def test_rows_counted_from_the_other_edge_are_the_same_layout(tmp_path: pathlib.Path) -> None:
    """The camera control system's DETSEC is a mirror image in y."""
    path = write_raw(tmp_path / "raw.fits", mirror_rows=True)
    assert read_raw(path).detector.name == "R22_S11"


def test_pixels_are_not_copied(raw_path: pathlib.Path) -> None:
    """Reading allocates the pixels once, and little else."""
    read_raw(raw_path)
    tracemalloc.start()
    raw = read_raw(raw_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = sum(pixels.nbytes for pixels in raw.amplifiers.values())
    assert peak < 1.05 * size
    assert all(pixels.flags.owndata for pixels in raw.amplifiers.values())


def test_metadata_merges_the_readout_boards_conditions(shared: pathlib.Path) -> None:
    """Keywords of REB_COND join the primary header's."""
    header = read_raw_metadata(shared / "raw_files" / "30211212000310-R22-S22-det098.fits")
    assert header["OBSID"] == "MC_C_20211212_000310"
    assert header["CCDTEMP"] == pytest.approx(-99.98, abs=0.01)
    assert "EXTNAME" not in header
    assert "NAXIS" not in header


@pytest.mark.parametrize(
    ("name", "instrument", "exposure", "detector"),
    [
        ("3018092000065-det000.fits", "LATISS", 3018092000065, "RXX_S00"),
        ("3019031900001-R10-S02-det029.fits", "LSSTCam", 3019031900001, "R10_S02"),
        ("3019053000001-R22-S00-det000.fits", "LSSTComCam", 3019053000001, "R22_S00"),
        ("30211212000310-R22-S22-det098.fits", "LSSTCam", 3021121200310, "R22_S22"),
        ("7024032100720-R22-S11-det094.fits.fz", "LSSTCamSim", 7024032100720, "R22_S11"),
    ],
)
def test_real_files_are_read(
    shared: pathlib.Path, name: str, instrument: str, exposure: int, detector: str
) -> None:
    """Raws of all cameras and years give 16 amplifiers and their identity."""
    raw = read_raw(shared / "raw_files" / name)
    assert (raw.obs_info.instrument, raw.obs_info.exposure_id) == (instrument, exposure)
    assert raw.detector.name == detector
    assert list(raw.amplifiers) == [f"C1{i}" for i in range(8)] + [f"C0{i}" for i in range(7, -1, -1)]
    assert {pixels.shape for pixels in raw.amplifiers.values()} == {(2048, 576)}


def test_sensor_of_the_other_vendor_is_refused(shared: pathlib.Path) -> None:
    """The ITL of 2019 in today's E2V slot: file, extension, keyword, both values."""
    path = shared / "raw_files" / "3019031900001-R22-S21-det097.fits"
    with pytest.raises(RawGeometryError) as caught:
        read_raw(path)
    message = str(caught.value)
    for part in (path.name, "Segment10", "DATASEC", "[11:522,1:2002]", "[4:512,1:2000]"):
        assert part in message


@pytest.mark.parametrize(
    ("extension", "changes", "expected", "found"),
    [
        ("Segment14", {"DATASEC": "[10:521,1:2002]"}, "[11:522,1:2002]", "[10:521,1:2002]"),
        ("Segment03", {"DETSEC": "[1536:2047,1:2002]"}, "[1537:2048,1:2002]", "[1536:2047,1:2002]"),
        ("Segment03", {"DETSEC": "[2048:1537,1:2002]"}, "[1537:2048,1:2002]", "[2048:1537,1:2002]"),
        ("Segment17", {"shape": (2048, 544)}, "NAXIS1 of extension Segment17 must be 576", "not 544"),
        ("Segment17", {"shape": (2002, 576)}, "NAXIS2 of extension Segment17 must be 2048", "not 2002"),
    ],
)
def test_geometry_that_disagrees_is_refused(
    tmp_path: pathlib.Path, extension: str, changes: dict[str, Any], expected: str, found: str
) -> None:
    """The error names the extension, the expected and the found value."""
    path = write_raw(tmp_path / "bad.fits", extensions={extension: changes})
    with pytest.raises(RawGeometryError) as caught:
        read_raw(path)
    for part in ("bad.fits", extension, expected, found):
        assert part in str(caught.value)


@pytest.mark.parametrize("keyword", ["DATASEC", "DETSEC"])
def test_missing_section_keyword_is_named(tmp_path: pathlib.Path, keyword: str) -> None:
    """An extension without its section cannot be checked."""
    path = write_raw(tmp_path / "raw.fits", extensions={"Segment05": {keyword: None}})
    with pytest.raises(RawHeaderError, match=rf"raw\.fits.*Segment05 has no keyword {keyword}"):
        read_raw(path)


def test_section_without_meaning_is_quoted(tmp_path: pathlib.Path) -> None:
    """A section that cannot be parsed is shown as it is."""
    path = write_raw(tmp_path / "raw.fits", extensions={"Segment05": {"DATASEC": "[1:2]"}})
    with pytest.raises(RawHeaderError, match=r"DATASEC of extension Segment05 .*'\[1:2\]'"):
        read_raw(path)


@pytest.mark.parametrize("keyword", ["OBSID", "RAFTBAY", "IMGTYPE", "DATE-BEG"])
def test_missing_primary_keyword_is_named(tmp_path: pathlib.Path, keyword: str) -> None:
    """A header without what identifies the exposure is refused."""
    removed: dict[str, Any] = {keyword: None}
    removed |= {"DATE-BEG": {"DATE-OBS": None, "MJD-BEG": None}}.get(keyword, {})
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW0", header=removed)
    with pytest.raises(RawHeaderError, match=rf"raw\.fits.*{keyword}"):
        read_raw(path)


def test_missing_extension_is_named(tmp_path: pathlib.Path) -> None:
    """The amplifiers that are not there are listed."""
    path = write_raw(tmp_path / "raw.fits", omit=("Segment03", "Segment12"))
    with pytest.raises(RawExtensionError, match=r"R22_S11 \(E2V\): Segment12, Segment03 missing"):
        read_raw(path)


def test_amplifiers_of_a_full_sensor_in_a_wavefront_slot_are_refused(tmp_path: pathlib.Path) -> None:
    """Eight extensions too many are an error, not ignored."""
    header = {"RAFTBAY": "R00", "CCDSLOT": "SW0"}
    path = write_raw(tmp_path / "raw.fits", detector="R10_S02", header=header)
    with pytest.raises(RawExtensionError, match=r"R00_SW0 \(ITL_WF\): Segment07.* not expected"):
        read_raw(path)


@pytest.mark.parametrize("compress", [None, "rice"])
@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.97])
def test_truncated_file_is_refused(tmp_path: pathlib.Path, compress: str | None, fraction: float) -> None:
    """A file that ends too early gives one clear error."""
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW0", compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(RawFileError, match=r"raw\.fits"):
        read_raw(path)


@pytest.mark.parametrize("content", [b"", b"this is no FITS file\n" * 500])
def test_file_that_is_not_fits_is_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    """An empty or foreign file gives one clear error."""
    path = tmp_path / "raw.fits"
    path.write_bytes(content)
    for read in (read_raw, read_raw_metadata):
        with pytest.raises(RawCorruptError, match=r"raw\.fits: is not a FITS file"):
            read(path)


def test_corrupt_compressed_pixels_are_refused(tmp_path: pathlib.Path) -> None:
    """Damaged tiles give an error that names the amplifier, never pixels."""
    path = damage(write_raw(tmp_path / "raw.fits", detector="R00_SW0"), "Segment13")
    with pytest.raises(RawCorruptError, match=r"raw\.fits: the pixels of amplifier C13"):
        read_raw(path)


def test_checksums_tell_damage_that_decompresses(tmp_path: pathlib.Path) -> None:
    """One changed pixel is found when checksums are verified."""
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW0", compress=None)
    with fitsio.FITS(str(path), "rw") as fits:
        for hdu in fits:
            hdu.write_checksum()
        offset = fits["Segment13"].get_info()["data_start"]
    read_raw(path, verify_checksums=True)
    with path.open("r+b") as stream:
        stream.seek(offset + 4003)
        stream.write(b"\x55")
    with pytest.raises(RawCorruptError, match=r"amplifier C13 .*checksum"):
        read_raw(path, verify_checksums=True)
    assert read_raw(path).amplifiers["C13"].shape == (2048, 576)


def test_missing_file_is_told_apart(tmp_path: pathlib.Path) -> None:
    """A file that does not exist is not a corrupt one."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_raw(tmp_path / "nowhere.fits")


def test_raw_of_another_camera_is_refused(raw_path: pathlib.Path) -> None:
    """The caller's camera decides."""
    with pytest.raises(RawDetectorError, match="must be of camera LATISS, not LSSTCam"):
        read_raw(raw_path, camera=load_camera("LATISS"))


def test_unknown_detector_is_refused(tmp_path: pathlib.Path) -> None:
    """A slot that the camera does not have is named."""
    header = {"RAFTBAY": "R99", "CCDSLOT": "S77"}
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW0", header=header)
    with pytest.raises(RawFileError, match=re.escape("raw.fits")) as caught:
        read_raw(path)
    assert "R99" in str(caught.value)


@pytest.mark.parametrize(
    "header", [{"INSTRUME": "DECam", "TELESCOP": "CTIO"}, {"INSTRUME": None, "TELESCOP": None}]
)
def test_raw_of_another_observatory_is_refused(tmp_path: pathlib.Path, header: dict[str, Any]) -> None:
    """A known but foreign, or no instrument: the error lists ours."""
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW0", header=header)
    with pytest.raises(RawHeaderError, match=r"raw\.fits: INSTRUME .*LSSTCam"):
        read_raw(path)


def test_errors_survive_a_process_boundary() -> None:
    """A worker's error reaches its parent whole."""
    error = pickle.loads(pickle.dumps(RawGeometryError("a.fits", "wrong")))
    assert type(error) is RawGeometryError
    assert str(error) == "a.fits: wrong"
