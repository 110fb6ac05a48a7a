# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import pickle
import re
import shutil
import types
from typing import Any

import astropy.io.fits
import astropy.table
import astropy.units
import numpy as np
import pytest
from lsst.daf.butler import Butler, Config, DatasetRef, DatasetType, FileDataset
from lsst.images import Box, Image, MaskedImage, MaskPlane, MaskSchema
from lsst.images.cameras import Detector
from lsst.images.serialization import write_archive
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.camera.calibrations import (
    CalibrationError,
    CalibrationImageFormatter,
    Crosstalk,
    CrosstalkFormatter,
    Defects,
    DefectsFormatter,
    DeferredCharge,
    DeferredChargeFormatter,
    DetectorIdentity,
    IsrCalibration,
    LinearityType,
    Linearizer,
    LinearizerFormatter,
    PhotonTransferCurve,
    PhotonTransferCurveFormatter,
    SerialTrap,
    TrapType,
    image_identity,
    read_calibration_image,
    validate_calibration_image,
)
from lsst.resources import ResourcePath

TYPES: dict[str, type[IsrCalibration]] = {
    "ptc": PhotonTransferCurve,
    "linearizer": Linearizer,
    "crosstalk": Crosstalk,
    "defects": Defects,
    "cti": DeferredCharge,
}
FILES = [(name, "fits") for name in TYPES] + [(name, "ecsv") for name in TYPES if name != "cti"]
STORAGE_CLASSES = {
    "ptc": ("RapidPhotonTransferCurve", PhotonTransferCurveFormatter),
    "linearizer": ("RapidLinearizer", LinearizerFormatter),
    "crosstalk": ("RapidCrosstalk", CrosstalkFormatter),
    "defects": ("RapidDefects", DefectsFormatter),
    "cti": ("RapidDeferredCharge", DeferredChargeFormatter),
}


@pytest.fixture(scope="session")
def detector() -> Detector:
    """Return the detector that the sample files were made for."""
    return load_camera("LSSTCam")[98]


@pytest.fixture(scope="session")
def files(shared: pathlib.Path) -> pathlib.Path:
    """Directory with files that the Science Pipelines wrote."""
    return shared / "calib_files"


@pytest.fixture(scope="session")
def truth(shared: pathlib.Path) -> types.ModuleType:
    """Return the module that made the values of the files."""
    spec = importlib.util.spec_from_file_location("golden_inputs", shared / "golden" / "inputs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def true_images(truth: types.ModuleType) -> dict[str, np.ndarray]:
    """Return the whole images and variances that were cut out."""
    images: dict[str, np.ndarray] = truth.calibrations("E2V", 1)
    return images


def make_ptc(detector: Detector, **changes: Any) -> PhotonTransferCurve:
    """Make a PTC with plain values; ``gain_C10=nan`` changes one of them."""
    names = [amplifier.name for amplifier in detector.amplifiers]
    values: dict[str, dict[str, float]] = {
        "gain": {name: 1.5 + 0.01 * i for i, name in enumerate(names)},
        "noise": dict.fromkeys(names, 6.0),
        "ptc_turnoff": dict.fromkeys(names, 90_000.0),
    }
    others: dict[str, Any] = {}
    for key, value in changes.items():
        field, _, amplifier = key.rpartition("_")
        if field in values:
            values[field][amplifier] = value
        else:
            others[key] = value
    fields: dict[str, Any] = {**values, **others}
    return PhotonTransferCurve(detector=DetectorIdentity.of(detector), **fields)


def make_linearizer(detector: Detector, kind: str, **changes: Any) -> Linearizer:
    """Make a linearizer of one kind."""
    coefficients = {
        "Spline": [0.0, 1e4, 2e4, 3e4, 0.0, 2.0, 3.0, 1.0],
        "DoubleSpline": [3, 2, 0, 1e4, 2e4, 0, 1, 2, 0, 1e5, 0, 5],
        "LookupTable": [1.0, 10.5],
        "Polynomial": [1e-6, 2e-11],
        "Squared": [1e-6],
        "None": [0.0],
    }[kind]
    fields: dict[str, Any] = {
        "types": {amplifier.name: kind for amplifier in detector.amplifiers},
        "coefficients": {amplifier.name: coefficients for amplifier in detector.amplifiers},
        "bboxes": {amplifier.name: amplifier.bbox for amplifier in detector.amplifiers},
        "table": np.arange(12.0).reshape(2, 6) if kind == "LookupTable" else None,
        "detector": DetectorIdentity.of(detector),
    }
    return Linearizer(**(fields | changes))


def edit_fits(source: pathlib.Path, target: pathlib.Path, **cards: object) -> pathlib.Path:
    """Copy a FITS file with other cards in its first extension; None deletes."""
    with astropy.io.fits.open(source) as hdus:
        for key, value in cards.items():
            if value is None:
                del hdus[1].header[key]
            else:
                hdus[1].header[key] = value
        hdus.writeto(target)
    return target


def drop_column(source: pathlib.Path, target: pathlib.Path, column: str) -> pathlib.Path:
    """Copy an ECSV file without one of its columns."""
    table = astropy.table.Table.read(source, format="ascii.ecsv")
    table.remove_column(column)
    table.write(target, format="ascii.ecsv")
    return target


# Values ----------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["fits", "ecsv"])
def test_ptc_has_the_values_that_were_written(
    files: pathlib.Path, truth: types.ModuleType, extension: str
) -> None:
    """Gain, noise and turn-off come back exactly, by amplifier name."""
    ptc = PhotonTransferCurve.read(files / f"ptc.{extension}")
    expected = truth.amplifier_tables("E2V", 1)
    for i, name in enumerate(truth.AMPLIFIERS):
        assert ptc.gain[name] == expected["gain"][i]
        assert ptc.noise[name] == expected["noise"][i]
        assert ptc.ptc_turnoff[name] == expected["turnoff"][i]
    assert ptc.bad_amplifiers == frozenset()
    assert ptc.detector == DetectorIdentity(
        instrument="LSSTCam", id=98, name="R22_S22", serial="E2V-CCD250-370"
    )


@pytest.mark.parametrize("extension", ["fits", "ecsv"])
def test_linearizer_has_the_values_that_were_written(
    files: pathlib.Path, truth: types.ModuleType, detector: Detector, extension: str
) -> None:
    """Spline nodes and corrections come back exactly, and so do the boxes."""
    linearizer = Linearizer.read(files / f"linearizer.{extension}")
    nodes, values = truth.linearity_spline("E2V", 1)
    for i, name in enumerate(truth.AMPLIFIERS):
        assert linearizer.types[name] is LinearityType.SPLINE
        ((found_nodes, found_values),) = linearizer.splines(name)
        np.testing.assert_array_equal(found_nodes, nodes)
        np.testing.assert_array_equal(found_values, values[i])
    assert linearizer.units == "adu"
    assert linearizer.absolute_reference_amplifier == ""
    assert linearizer.bboxes["C10"] == Box.factory[2002:4004, 0:512]
    assert linearizer.input_gain["C05"] == truth.amplifier_tables("E2V", 1)["gain"][10]


@pytest.mark.parametrize("extension", ["fits", "ecsv"])
def test_crosstalk_has_the_values_that_were_written(
    files: pathlib.Path, truth: types.ModuleType, extension: str
) -> None:
    """The matrices come back exactly as they were given."""
    crosstalk = Crosstalk.read(files / f"crosstalk.{extension}")
    np.testing.assert_array_equal(crosstalk.coefficients, truth.amplifier_tables("E2V", 1)["crosstalk"])
    np.testing.assert_array_equal(crosstalk.quadratic, truth.crosstalk_quadratic("E2V", 1))
    np.testing.assert_array_equal(crosstalk.valid, np.ones((16, 16), bool))
    assert crosstalk.units == "electron"


@pytest.mark.parametrize("extension", ["fits", "ecsv"])
def test_defects_cover_the_pixels_that_were_written(
    files: pathlib.Path, truth: types.ModuleType, detector: Detector, extension: str
) -> None:
    """The file's boxes are others (it joins them), the pixels are the same."""
    defects = Defects.read(files / f"defects.{extension}")
    expected = np.zeros(truth.SHAPE["E2V"], bool)
    for x0, y0, width, height in truth.defects("E2V", 1):
        expected[y0 : y0 + height, x0 : x0 + width] = True
    np.testing.assert_array_equal(defects.mask(detector.bbox), expected)
    part = Box.factory[895:905, 1195:1215]
    np.testing.assert_array_equal(defects.mask(part), expected[895:905, 1195:1215])


def test_deferred_charge_has_the_values_that_were_written(
    files: pathlib.Path, truth: types.ModuleType
) -> None:
    """Drift, CTI and trap parameters come back exactly, by amplifier name."""
    cti = DeferredCharge.read(files / "cti.fits")
    expected = truth.deferred_charge("E2V", 1)
    for i, name in enumerate(truth.AMPLIFIERS):
        assert cti.drift_scale[name] == expected["drift_scale"][i]
        assert cti.decay_time[name] == expected["decay_time"][i]
        assert cti.global_cti[name] == expected["global_cti"][i]
        trap = cti.serial_traps[name]
        assert trap.size == expected["trap_size"][i]
        assert trap.emission_time == expected["trap_emission"][i]
        assert trap.pixel == 1
        assert trap.type is TrapType.LINEAR
        np.testing.assert_array_equal(trap.coefficients, expected["trap_coeffs"][i])


@pytest.mark.parametrize("name", ["bias", "dark", "flat"])
def test_calibration_image_has_the_values_that_were_written(
    files: pathlib.Path, true_images: dict[str, np.ndarray], name: str
) -> None:
    """Image, variance and origin of an ExposureF file are exact."""
    image = read_calibration_image(files / f"{name}_cutout.fits")
    assert image.bbox == Box.factory[800:1000, 1000:1256]
    cutout = np.s_[800:1000, 1000:1256]
    np.testing.assert_array_equal(image.image.array, true_images[name][cutout])
    np.testing.assert_array_equal(image.variance.array, true_images[f"{name}_variance"][cutout])
    assert image.image.array.dtype == np.float32
    assert image.image.array.dtype.isnative
    assert image.unit == (None if name == "flat" else astropy.units.electron)
    assert image_identity(image).id == 98
    assert "DETECTOR_ID" not in image.metadata


def test_calibration_image_mask_has_the_block_of_bad_pixels(files: pathlib.Path) -> None:
    """BAD is set where the raw mask has bit 0, under Rubin's plane name."""
    path = files / "bias_cutout.fits"
    image = read_calibration_image(path)
    with astropy.io.fits.open(path) as hdus:
        bits = hdus["MASK"].data
    assert bits.any()
    np.testing.assert_array_equal(image.mask.get("BAD"), bits & 1 == 1)
    assert {"BAD", "SAT", "INTRP", "NO_DATA", "STREAK"} <= set(image.mask.schema.names)
    assert not image.mask.get("SAT").any()


def test_mask_planes_are_put_into_a_given_schema(files: pathlib.Path) -> None:
    """A schema with BAD at another bit gets the same pixels."""
    path = files / "bias_cutout.fits"
    schema = MaskSchema([MaskPlane(f"P{i}", "filler") for i in range(9)] + [MaskPlane("BAD", "bad")])
    image = read_calibration_image(path, mask_schema=schema)
    np.testing.assert_array_equal(image.mask.get("BAD"), read_calibration_image(path).mask.get("BAD"))
    assert image.mask.schema == schema


def test_a_set_plane_that_the_schema_lacks_is_refused(files: pathlib.Path) -> None:
    """No mask bit is lost without a word."""
    schema = MaskSchema([MaskPlane("SAT", "saturated")])
    with pytest.raises(CalibrationError, match=r"bias_cutout.*mask plane.*SAT.*BAD"):
        read_calibration_image(files / "bias_cutout.fits", mask_schema=schema)


def test_calibration_image_of_lsst_images_is_read(tmp_path: pathlib.Path) -> None:
    """A file that lsst.images wrote gives the same object."""
    image = MaskedImage(
        Image(np.arange(30, dtype=np.float32).reshape(5, 6), yx0=(3, 2)),
        mask_schema=MaskSchema([MaskPlane("BAD", "bad")]),
        metadata={"INSTRUME": "LSSTCam", "CALIB_ID": "detector=94"},
    )
    image.mask.set("BAD", image.image.array > 20)
    write_archive(image, tmp_path / "bias.fits")
    back = read_calibration_image(tmp_path / "bias.fits")
    np.testing.assert_array_equal(back.image.array, image.image.array)
    assert back.bbox == image.bbox
    assert image_identity(back).id == 94
    other = MaskSchema([None, MaskPlane("BAD", "bad")])
    moved = read_calibration_image(tmp_path / "bias.fits", mask_schema=other)
    np.testing.assert_array_equal(moved.mask.get("BAD"), image.image.array > 20)


# Files -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "extension"), FILES)
def test_a_file_of_the_science_pipelines_is_copied_without_change(
    files: pathlib.Path, tmp_path: pathlib.Path, name: str, extension: str
) -> None:
    """Reading, writing and reading again gives an equal calibration."""
    one = TYPES[name].read(files / f"{name}.{extension}")
    for target in {extension, "fits"}:
        one.write(tmp_path / f"copy.{target}")
        assert TYPES[name].read(tmp_path / f"copy.{target}") == one


@pytest.mark.parametrize(("name", "extension"), FILES)
def test_written_files_have_all_that_the_science_pipelines_read(
    files: pathlib.Path, tmp_path: pathlib.Path, name: str, extension: str
) -> None:
    """Columns and cards are those of the Science Pipelines' own files."""
    TYPES[name].read(files / f"{name}.{extension}").write(tmp_path / f"copy.{extension}")
    if extension == "ecsv":
        tables = [
            [astropy.table.Table.read(path, format="ascii.ecsv")]
            for path in (files / f"{name}.ecsv", tmp_path / "copy.ecsv")
        ]
        columns = [[set(table.colnames) for table in group] for group in tables]
        headers = [{k: v for k, v in group[0].meta.items() if v is not None and v != ""} for group in tables]
        headers[0].pop("CROSSTALK_SHAPE", None)
        assert headers[1] == headers[0]
    else:
        columns = []
        for path in (files / f"{name}.fits", tmp_path / "copy.fits"):
            with astropy.io.fits.open(path) as hdus:
                columns.append([set(hdu.columns.names) for hdu in hdus[1:]])
                card = hdus[1].header
                assert card["CALIBCLS"].startswith("lsst.ip.isr.")
                assert card["DETECTOR"] == 98
            # The Science Pipelines read with this, which refuses zero widths.
            if path.parent == tmp_path:
                assert len(astropy.table.Table.read(path, hdu=1)) > 0
    assert columns[1] == columns[0]


def test_an_existing_file_is_not_overwritten(detector: Detector, tmp_path: pathlib.Path) -> None:
    """Overwriting must be asked for."""
    path = tmp_path / "ptc.ecsv"
    make_ptc(detector).write(path)
    with pytest.raises(FileExistsError, match=r"ptc\.ecsv"):
        make_ptc(detector).write(path)
    make_ptc(detector, gain_C10=2.0).write(path, overwrite=True)
    assert PhotonTransferCurve.read(path).gain["C10"] == 2.0


@pytest.mark.parametrize("extension", ["fits", "ecsv"])
@pytest.mark.parametrize("kind", ["Spline", "DoubleSpline", "Polynomial", "Squared", "None"])
def test_each_kind_of_linearizer_is_kept(
    detector: Detector, tmp_path: pathlib.Path, kind: str, extension: str
) -> None:
    """Types and coefficients survive a file."""
    one = make_linearizer(detector, kind)
    one.write(tmp_path / f"one.{extension}")
    back = Linearizer.read(tmp_path / f"one.{extension}")
    assert back == one
    back.validate_for(detector)


def test_lookup_table_is_kept(detector: Detector, tmp_path: pathlib.Path) -> None:
    """A lookup table is a second table, which FITS holds and ECSV does not."""
    one = make_linearizer(detector, "LookupTable")
    one.write(tmp_path / "one.fits")
    back = Linearizer.read(tmp_path / "one.fits")
    assert back == one
    assert back.table is not None
    assert back.table.shape == (2, 6)
    with pytest.raises(CalibrationError, match=r"format: expected FITS .* found ECSV"):
        one.write(tmp_path / "one.ecsv")


def test_double_spline_is_split_in_two(detector: Detector) -> None:
    """Nodes and corrections follow the two counts."""
    first, second = make_linearizer(detector, "DoubleSpline").splines("C10")
    np.testing.assert_array_equal(first, [[0, 1e4, 2e4], [0, 1, 2]])
    np.testing.assert_array_equal(second, [[0, 1e5], [0, 5]])


def test_traps_of_different_kinds_are_kept(detector: Detector, tmp_path: pathlib.Path) -> None:
    """NaN pads the shorter lists of coefficients in the file, not here."""
    names = [amplifier.name for amplifier in detector.amplifiers]
    traps = {
        name: SerialTrap(
            size=10.0 + i,
            emission_time=0.5,
            pixel=1,
            type=TrapType.SPLINE if i % 2 else TrapType.LINEAR,
            coefficients=np.array([0.0, 1e3, 1.0, 5.0]) if i % 2 else np.array([0.02]),
        )
        for i, name in enumerate(names)
    }
    values = dict.fromkeys(names, 1e-5)
    one = DeferredCharge(
        detector=DetectorIdentity.of(detector),
        drift_scale=values,
        decay_time=dict.fromkeys(names, 2.0),
        global_cti=values,
        serial_traps=traps,
    )
    one.write(tmp_path / "cti.fits")
    back = DeferredCharge.read(tmp_path / "cti.fits")
    assert back == one
    assert back.serial_traps["C10"].coefficients.shape == (1,)
    signals, charges = back.serial_traps["C11"].spline
    np.testing.assert_array_equal([signals, charges], [[0.0, 1e3], [1.0, 5.0]])
    back.validate_for(detector)


@pytest.mark.parametrize("extension", ["fits", "ecsv"])
def test_detector_without_defects_is_kept(detector: Detector, tmp_path: pathlib.Path, extension: str) -> None:
    """No rows are no error."""
    one = Defects(boxes=np.empty((0, 4), int), detector=DetectorIdentity.of(detector))
    one.write(tmp_path / f"none.{extension}")
    back = Defects.read(tmp_path / f"none.{extension}")
    assert back == one
    assert not back.mask(detector.bbox).any()


def test_bad_amplifiers_and_other_cards_are_kept(detector: Detector, tmp_path: pathlib.Path) -> None:
    """The list of bad amplifiers and the sequencer's cards survive a file."""
    one = make_ptc(
        detector,
        gain_C12=np.nan,
        bad_amplifiers=frozenset({"C12", "C00"}),
        metadata={"SEQNAME": "FP_E2V_2s", "CALIBDATE": "2026-04-01"},
    )
    for extension in ("fits", "ecsv"):
        one.write(tmp_path / f"ptc.{extension}")
        assert PhotonTransferCurve.read(tmp_path / f"ptc.{extension}") == one
    one.validate_for(detector)


def test_inter_chip_crosstalk_is_kept(detector: Detector, tmp_path: pathlib.Path) -> None:
    """Matrices of other detectors are a second table."""
    matrix = np.arange(256.0).reshape(16, 16)
    one = Crosstalk(coefficients=matrix, inter_chip={"R22_S21": 2 * matrix, "R22_S12": 3 * matrix})
    one.write(tmp_path / "crosstalk.fits")
    back = Crosstalk.read(tmp_path / "crosstalk.fits")
    assert back == one
    np.testing.assert_array_equal(back.inter_chip["R22_S12"], 3 * matrix)


def test_crosstalk_in_another_order_keeps_the_pairs(detector: Detector) -> None:
    """The coefficient of a pair of amplifiers does not depend on the order."""
    old = [amplifier.name for amplifier in detector.amplifiers]
    new = sorted(old)
    one = Crosstalk(coefficients=np.random.default_rng(3).normal(size=(16, 16)))
    two = one.in_order(new, detector)
    for source, target in (("C10", "C17"), ("C00", "C05"), ("C13", "C02")):
        assert (
            two.coefficients[new.index(source), new.index(target)]
            == one.coefficients[old.index(source), old.index(target)]
        )
    with pytest.raises(CalibrationError, match="amplifiers"):
        one.in_order(new[:-1], detector)


def test_noise_of_old_ptc_files_is_converted_to_electron(files: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Before version 1.9 full-covariance fits stored the noise squared."""
    new = PhotonTransferCurve.read(files / "ptc.fits")
    path = edit_fits(files / "ptc.fits", tmp_path / "ptc.fits", PTC_VERSION=1.8)
    old = PhotonTransferCurve.read(path)
    assert old.noise["C10"] == pytest.approx(np.sqrt(new.noise["C10"]))


def test_objects_of_the_science_pipelines_are_converted(files: pathlib.Path) -> None:
    """What `toTable` returns is enough, so that a Butler can convert them."""
    table = astropy.table.Table.read(files / "ptc.ecsv", format="ascii.ecsv")
    ptc = PhotonTransferCurve.from_isr_calib(types.SimpleNamespace(toTable=lambda: [table]))
    assert ptc == PhotonTransferCurve.read(files / "ptc.ecsv")


def test_calibrations_are_frozen(files: pathlib.Path) -> None:
    """Neither fields nor arrays can be changed, and pickling keeps them."""
    crosstalk = Crosstalk.read(files / "crosstalk.fits")
    with pytest.raises(dataclasses.FrozenInstanceError):
        crosstalk.units = "adu"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        crosstalk.coefficients[0, 0] = 1.0
    assert pickle.loads(pickle.dumps(crosstalk)) == crosstalk


# What is refused -------------------------------------------------------------


@pytest.mark.parametrize("name", TYPES)
def test_samples_fit_their_detector_and_no_other(files: pathlib.Path, detector: Detector, name: str) -> None:
    """The sample passes; another detector is refused with both numbers."""
    calibration = TYPES[name].read(files / f"{name}.fits")
    calibration.validate_for(detector)
    other = load_camera("LSSTCam")[99]
    with pytest.raises(CalibrationError, match=rf"{name}.fits: detector id: expected 99, found 98"):
        calibration.validate_for(other)
    with pytest.raises(CalibrationError, match="detector instrument"):
        calibration.validate_for(load_camera("LSSTComCam")[0])


@pytest.mark.parametrize(("name", "extension"), FILES)
def test_another_type_of_calibration_is_refused(files: pathlib.Path, name: str, extension: str) -> None:
    """Every type refuses the files of all others, naming both types."""
    for other, cls in TYPES.items():
        if other != name:
            with pytest.raises(CalibrationError, match=rf"{name}.{extension}: OBSTYPE: expected .*, found"):
                cls.read(files / f"{name}.{extension}")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("ptc", "GAIN"),
        ("ptc", "PTC_TURNOFF"),
        ("linearizer", "COEFFS"),
        ("linearizer", "BBOX_DX"),
        ("crosstalk", "CT_COEFFS"),
        ("defects", "width"),
    ],
)
def test_a_missing_column_is_named(
    files: pathlib.Path, tmp_path: pathlib.Path, name: str, column: str
) -> None:
    """The message has the file and the column."""
    path = drop_column(files / f"{name}.ecsv", tmp_path / f"{name}.ecsv", column)
    with pytest.raises(CalibrationError, match=rf"{name}.ecsv: columns: expected a column {column}"):
        TYPES[name].read(path)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("name", TYPES)
def test_a_truncated_file_is_refused(
    files: pathlib.Path, tmp_path: pathlib.Path, name: str, fraction: float
) -> None:
    """A part of a file is a CalibrationError, never zeros or an OSError."""
    data = (files / f"{name}.fits").read_bytes()
    path = tmp_path / f"{name}.fits"
    path.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(CalibrationError, match=f"{name}.fits"):
        TYPES[name].read(path)


@pytest.mark.parametrize("content", [b"", b"not a table at all", b"SIMPLE  ="])
@pytest.mark.parametrize("extension", ["fits", "ecsv"])
def test_a_file_that_is_no_table_is_refused(tmp_path: pathlib.Path, extension: str, content: bytes) -> None:
    """Garbage is a CalibrationError that names the file."""
    path = tmp_path / f"ptc.{extension}"
    path.write_bytes(content)
    with pytest.raises(CalibrationError, match=f"ptc.{extension}"):
        PhotonTransferCurve.read(path)


def test_unknown_file_names_and_missing_files_are_refused(tmp_path: pathlib.Path) -> None:
    """The message says which extensions there are."""
    with pytest.raises(CalibrationError, match=r"expected .fits or .ecsv, found .txt"):
        PhotonTransferCurve.read(tmp_path / "ptc.txt")
    with pytest.raises(CalibrationError, match=r"nothing.fits"):
        PhotonTransferCurve.read(tmp_path / "nothing.fits")
    with pytest.raises(CalibrationError, match=r"nothing.fits"):
        read_calibration_image(tmp_path / "nothing.fits")


@pytest.mark.parametrize("value", [np.nan, -1.5, 0.0, np.inf])
def test_an_unusable_gain_is_refused(detector: Detector, value: float) -> None:
    """The message names the amplifier and the value."""
    ptc = make_ptc(detector, gain_C13=value)
    with pytest.raises(
        CalibrationError, match=rf"gain .* of C13: expected a finite number > 0, found {value}"
    ):
        ptc.validate_for(detector)
    ptc.validate_for(detector, ignore_amplifiers={"C13"})


@pytest.mark.parametrize(("field", "value"), [("noise", -1.0), ("noise", np.nan), ("ptc_turnoff", np.nan)])
def test_unusable_noise_and_turnoff_are_refused(detector: Detector, field: str, value: float) -> None:
    """As for the gain; an infinite turn-off means that there is none."""
    with pytest.raises(CalibrationError, match=f"{field} .* of C00"):
        make_ptc(detector, **{f"{field}_C00": value}).validate_for(detector)
    make_ptc(detector, ptc_turnoff_C00=np.inf).validate_for(detector)


def test_a_ptc_with_only_bad_amplifiers_is_refused(detector: Detector) -> None:
    """There is nothing left to calibrate with."""
    names = frozenset(amplifier.name for amplifier in detector.amplifiers)
    with pytest.raises(CalibrationError, match="an amplifier that can be used"):
        make_ptc(detector, bad_amplifiers=names).validate_for(detector)


def test_another_serial_number_is_refused_unless_allowed(detector: Detector) -> None:
    """A CCD that was exchanged needs new calibrations."""
    identity = dataclasses.replace(DetectorIdentity.of(detector), serial="ITL-3800C-001")
    ptc = make_ptc(detector)
    ptc = dataclasses.replace(ptc, detector=identity)
    with pytest.raises(CalibrationError, match=r"detector serial: .*E2V-CCD250-370.*ITL-3800C-001"):
        ptc.validate_for(detector)
    ptc.validate_for(detector, check_serial=False)


def test_missing_amplifiers_are_refused(detector: Detector) -> None:
    """Every amplifier of the detector needs its values."""
    ptc = make_ptc(detector)
    few: dict[str, Any] = {
        name: {k: v for k, v in getattr(ptc, name).items() if k != "C05"}
        for name in ("gain", "noise", "ptc_turnoff")
    }
    with pytest.raises(CalibrationError, match=r"amplifiers: expected .*C05"):
        PhotonTransferCurve(detector=ptc.detector, **few).validate_for(detector)
    with pytest.raises(CalibrationError, match="amplifiers of noise"):
        PhotonTransferCurve(gain=ptc.gain, noise=few["noise"], ptc_turnoff=ptc.ptc_turnoff)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("Spline", {"coefficients": [0.0, 1.0, 2.0]}, "an even number"),
        ("Spline", {"types": "Cubic"}, "TYPE of C10: expected one of .*Spline.*found Cubic"),
        ("LookupTable", {"table": None}, "lookup table"),
        ("LookupTable", {"coefficients": [2.0, 0.0]}, r"row \(0 to 1\)"),
        ("DoubleSpline", {"coefficients": [3.0, 3.0, 0.0]}, "at least 14"),
    ],
)
def test_coefficients_that_do_not_suit_the_type_are_refused(
    detector: Detector, kind: str, changes: dict[str, object], message: str
) -> None:
    """A linearizer cannot be made that could not be applied."""
    names = [amplifier.name for amplifier in detector.amplifiers]
    fields = {k: v if k == "table" else dict.fromkeys(names, v) for k, v in changes.items()}
    with pytest.raises(CalibrationError, match=message):
        make_linearizer(detector, kind, **fields)


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [([0.0, np.nan, 0.0, 1.0], "finite numbers"), ([0.0, 2e4, 1e4, 0.0, 1.0, 2.0], "increasing numbers")],
)
def test_splines_that_cannot_be_used_are_refused(
    detector: Detector, coefficients: list[float], message: str
) -> None:
    """NaN and nodes out of order are found before a pixel is touched."""
    names = [amplifier.name for amplifier in detector.amplifiers]
    linearizer = make_linearizer(detector, "Spline", coefficients=dict.fromkeys(names, coefficients))
    with pytest.raises(CalibrationError, match=message):
        linearizer.validate_for(detector)


def test_a_linearizer_for_other_amplifier_boxes_is_refused(detector: Detector) -> None:
    """An ITL linearizer does not fit an E2V detector."""
    boxes = {amplifier.name: amplifier.bbox for amplifier in detector.amplifiers}
    boxes["C10"] = Box.factory[2000:4000, 0:509]
    with pytest.raises(CalibrationError, match="box of C10"):
        make_linearizer(detector, "Spline", bboxes=boxes).validate_for(detector)


def test_crosstalk_of_wrong_shape_or_values_is_refused(detector: Detector) -> None:
    """Shapes are checked when it is made, values and number when it is used."""
    with pytest.raises(CalibrationError, match=r"coefficients: expected shape \(16, 16\)"):
        Crosstalk(coefficients=np.zeros((16, 15)))
    with pytest.raises(CalibrationError, match="quadratic"):
        Crosstalk(coefficients=np.zeros((16, 16)), quadratic=np.zeros((8, 8)))
    with pytest.raises(CalibrationError, match="number of amplifiers: expected 16, found 8"):
        Crosstalk(coefficients=np.zeros((8, 8))).validate_for(detector)
    with pytest.raises(CalibrationError, match="coefficients: expected finite"):
        Crosstalk(coefficients=np.full((16, 16), np.nan)).validate_for(detector)
    with pytest.raises(CalibrationError, match="UNITS: expected adu or electron, found volt"):
        Crosstalk(coefficients=np.zeros((16, 16)), units="volt")


def test_crosstalk_with_another_number_of_values_is_refused(
    files: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """NAMP and the length of the vectors must agree."""
    path = edit_fits(files / "crosstalk.fits", tmp_path / "crosstalk.fits", NAMP=8)
    with pytest.raises(CalibrationError, match=r"CT_COEFFS: expected 64 values .* found 256"):
        Crosstalk.read(path)
    path = edit_fits(files / "crosstalk.fits", tmp_path / "other.fits", NAMP="many")
    with pytest.raises(CalibrationError, match="NAMP: expected a number of amplifiers, found 'many'"):
        Crosstalk.read(path)


@pytest.mark.parametrize(
    ("box", "message"),
    [((4096, 0, 1, 1), "boxes"), ((0, -5, 3, 5), "boxes"), ((10, 10, 0, 1), "width and height")],
)
def test_defects_outside_or_empty_are_refused(
    detector: Detector, box: tuple[int, int, int, int], message: str
) -> None:
    """A box that touches no pixel belongs to another detector."""
    with pytest.raises(CalibrationError, match=message):
        Defects(boxes=np.array([box])).validate_for(detector)


def test_amplifiers_covered_by_a_defect_are_found(detector: Detector) -> None:
    """Only a box over the whole amplifier counts."""
    whole = detector.amplifiers[3].bbox
    part = detector.amplifiers[4].bbox
    part = Box.factory[part.y.start + 1 : part.y.stop, part.x.start : part.x.stop]
    assert Defects.from_boxes([whole, part]).covered_amplifiers(detector) == {"C13"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "cubic"}, "TYPE"),
        ({"size": -1.0}, "SIZE"),
        ({"emission_time": 0.0}, "EMISSION_TIME"),
        ({"emission_time": np.nan}, "EMISSION_TIME"),
        ({"type": "spline", "coefficients": np.zeros(3)}, "an even number"),
        ({"coefficients": np.zeros(0)}, "1 or more"),
    ],
)
def test_impossible_traps_are_refused(changes: dict[str, Any], message: str) -> None:
    """A trap cannot be made that could not be applied."""
    fields: dict[str, Any] = {
        "size": 5.0,
        "emission_time": 0.5,
        "pixel": 1,
        "type": "linear",
        "coefficients": np.array([0.01]),
    }
    with pytest.raises(CalibrationError, match=message):
        SerialTrap(**(fields | changes))


def test_old_deferred_charge_in_unknown_units_is_refused(files: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Files before version 1.1 may be in adu."""
    path = edit_fits(files / "cti.fits", tmp_path / "cti.fits", CTI_VERSION=1.0)
    with pytest.raises(CalibrationError, match="CTI_VERSION"):
        DeferredCharge.read(path)


@pytest.mark.parametrize("extension", ["IMAGE", "MASK", "VARIANCE"])
def test_a_calibration_image_without_an_extension_is_refused(
    files: pathlib.Path, tmp_path: pathlib.Path, extension: str
) -> None:
    """The message names the extension."""
    path = tmp_path / "bias.fits"
    with astropy.io.fits.open(files / "bias_cutout.fits") as hdus:
        del hdus[extension]
        hdus.writeto(path)
    with pytest.raises(CalibrationError, match=rf"bias.fits: extensions: expected {extension}"):
        read_calibration_image(path)


def test_calibration_images_that_disagree_within_are_refused(
    files: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Image and variance must be of the same pixels."""
    path = tmp_path / "bias.fits"
    with astropy.io.fits.open(files / "bias_cutout.fits") as hdus:
        hdus["VARIANCE"].header["LTV1"] = -1001.0
        hdus.writeto(path)
    with pytest.raises(CalibrationError, match=r"VARIANCE.*shape and origin"):
        read_calibration_image(path)


def test_a_truncated_calibration_image_is_refused(files: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Half a file is a CalibrationError that names it."""
    path = tmp_path / "bias.fits"
    path.write_bytes((files / "bias_cutout.fits").read_bytes()[:300_000])
    with pytest.raises(CalibrationError, match=r"bias\.fits"):
        read_calibration_image(path)


def test_calibration_image_is_checked_against_the_detector(files: pathlib.Path, detector: Detector) -> None:
    """A cut-out has the wrong size; another detector, unit or NaN is refused."""
    cutout = read_calibration_image(files / "bias_cutout.fits")
    with pytest.raises(CalibrationError, match=r"bounding box: expected .*4004.* found .*800:1000"):
        validate_calibration_image(cutout, detector)
    with pytest.raises(CalibrationError, match="detector id"):
        validate_calibration_image(cutout, load_camera("LSSTCam")[97], source="bias")
    full = MaskedImage(
        Image(0.0, bbox=detector.bbox, dtype=np.float32, unit=astropy.units.adu),
        mask_schema=MaskSchema([MaskPlane("BAD", "bad")]),
    )
    validate_calibration_image(full, detector)
    with pytest.raises(CalibrationError, match="unit: expected electron, found adu"):
        validate_calibration_image(full, detector, unit=astropy.units.electron)
    full.image.array[...] = np.nan
    with pytest.raises(CalibrationError, match="finite values"):
        validate_calibration_image(full, detector)


def test_errors_can_be_pickled() -> None:
    """They pass from a worker process to its parent."""
    error = CalibrationError(source="a.fits", field="GAIN", expected="> 0", found=-1)
    assert str(pickle.loads(pickle.dumps(error))) == "a.fits: GAIN: expected > 0, found -1"


# Butler ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Make a repository with two detectors and the calibrations' dataset types."""
    config = Config(ResourcePath("resource://lsst.ra.pipe/resources/butler/calibrations.yaml"))
    root = tmp_path_factory.mktemp("calibrations") / "repo"
    Butler.makeRepo(root, config=config)
    butler = Butler.from_config(root, writeable=True)
    butler.registry.insertDimensionData(
        "instrument",
        {
            "name": "LSSTCam",
            "detector_max": 205,
            "visit_max": 1,
            "exposure_max": 1,
            "class_name": "lsst.ra.pipe.camera.LsstCam",
        },
    )
    for number, name in ((98, "R22_S22"), (99, "R30_S00")):
        butler.registry.insertDimensionData(
            "detector", {"instrument": "LSSTCam", "id": number, "full_name": name}
        )
    for name, (storage_class, _) in STORAGE_CLASSES.items():
        butler.registry.registerDatasetType(dataset_type(butler, name, storage_class))
    butler.registry.registerDatasetType(dataset_type(butler, "bias", "MaskedImageV2"))
    return root


@pytest.fixture
def butler(repository: pathlib.Path, request: pytest.FixtureRequest) -> Butler:
    """Return a Butler with a run of this test's own."""
    run = re.sub(r"\W", "_", request.node.name)
    return Butler.from_config(repository, writeable=True, run=run)


def dataset_type(butler: Butler, name: str, storage_class: str) -> DatasetType:
    """Return a calibration's dataset type."""
    return DatasetType(
        name,
        ["instrument", "detector"],
        storage_class,
        universe=butler.dimensions,
        isCalibration=True,
    )


def ingest(butler: Butler, name: str, path: pathlib.Path, formatter: type, detector: int = 98) -> DatasetRef:
    """Ingest a file of a calibration by copying."""
    assert butler.run is not None
    data_id = butler.registry.expandDataId(instrument="LSSTCam", detector=detector)
    ref = DatasetRef(butler.get_dataset_type(name), data_id, run=butler.run)
    butler.ingest(FileDataset(path=str(path), refs=[ref], formatter=formatter), transfer="copy")
    return ref


@pytest.mark.parametrize("name", TYPES)
def test_butler_keeps_calibrations(files: pathlib.Path, butler: Butler, name: str) -> None:
    """What is put is what is got, from a FITS file."""
    calibration = TYPES[name].read(files / f"{name}.fits")
    ref = butler.put(calibration, name, instrument="LSSTCam", detector=98)
    back = butler.get(ref)
    assert type(back) is TYPES[name]
    assert back == calibration
    assert butler.getURI(ref).getExtension() == ".fits"


@pytest.mark.parametrize(("name", "extension"), FILES)
def test_butler_ingests_files_of_the_science_pipelines(
    files: pathlib.Path, butler: Butler, name: str, extension: str
) -> None:
    """Both formats are read as they are."""
    ref = ingest(butler, name, files / f"{name}.{extension}", STORAGE_CLASSES[name][1])
    assert butler.get(ref) == TYPES[name].read(files / f"{name}.{extension}")


def test_butler_refuses_a_file_of_another_detector(files: pathlib.Path, butler: Butler) -> None:
    """The error has data ID, what was expected and what was found."""
    ref = ingest(butler, "ptc", files / "ptc.fits", PhotonTransferCurveFormatter, detector=99)
    with pytest.raises(ValueError, match="ptc") as info:
        butler.get(ref)
    message = "\n".join([str(info.value), str(info.value.__cause__)])
    assert "detector: 99" in message
    assert "expected 99, found 98" in message


def test_butler_does_not_store_a_calibration_of_another_detector(files: pathlib.Path, butler: Butler) -> None:
    """Nothing is left in the repository."""
    calibration = PhotonTransferCurve.read(files / "ptc.fits")
    with pytest.raises(RuntimeError) as info:
        butler.put(calibration, "ptc", instrument="LSSTCam", detector=99)
    assert isinstance(info.value.__cause__, CalibrationError)
    assert "expected 99, found 98" in str(info.value.__cause__)
    assert not butler.query_datasets("ptc", explain=False)


def test_butler_reads_calibration_images_of_the_science_pipelines(
    files: pathlib.Path, butler: Butler
) -> None:
    """The whole, a part and components of an ingested ExposureF file."""
    expected = read_calibration_image(files / "bias_cutout.fits")
    ref = ingest(butler, "bias", files / "bias_cutout.fits", CalibrationImageFormatter)
    np.testing.assert_array_equal(butler.get(ref).image.array, expected.image.array)
    box = Box.factory[810:820, 1010:1030]
    part = butler.get(ref, parameters={"bbox": box})
    np.testing.assert_array_equal(part.variance.array, expected.variance[box].array)
    assert butler.get("bias.bbox", ref.dataId) == expected.bbox
    mask = butler.get("bias.mask", ref.dataId)
    np.testing.assert_array_equal(mask.get("BAD"), expected.mask.get("BAD"))


def test_butler_image_formatter_leaves_other_files_to_lsst_images(
    files: pathlib.Path, butler: Butler, tmp_path: pathlib.Path
) -> None:
    """The same formatter reads what lsst.images wrote."""
    image = read_calibration_image(files / "bias_cutout.fits")
    write_archive(image, tmp_path / "bias.fits")
    shutil.copy(tmp_path / "bias.fits", tmp_path / "again.fits")
    ref = ingest(butler, "bias", tmp_path / "again.fits", CalibrationImageFormatter)
    np.testing.assert_array_equal(butler.get(ref).image.array, image.image.array)
    assert butler.get("bias.bbox", ref.dataId) == image.bbox
