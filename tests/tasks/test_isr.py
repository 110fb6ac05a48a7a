# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import pathlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astro_metadata_translator import ObservationInfo
from lsst.images import Image, Mask, MaskedImage
from lsst.pex.config import FieldValidationError
from lsst.pipe.base import UnprocessableDataError
from lsst.ra.pipe.algorithms import MASK_SCHEMA
from lsst.ra.pipe.camera import RawImage, load_camera
from lsst.ra.pipe.camera.calibrations import ArrayStore, Defects, DetectorIdentity, PhotonTransferCurve
from lsst.ra.pipe.tasks import (
    BadCalibrationError,
    FirstLookIsrConfig,
    FirstLookIsrConnections,
    FirstLookIsrTask,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
RAPID = ROOT / "config" / "rapid" / "isr.py"
DETECTOR = load_camera("LSSTCam")["R22_S11"]
GAIN, NOISE, LEVEL, SKY = 1.6, 7.0, 23_000, 1000.0
OFF = ("doDark", "doFlat", "doLinearize", "doCrosstalk", "doDeferredCharge", "doDefect", "doBias")


@functools.cache
def golden_module() -> ModuleType:
    """The benchmarks' access to the golden data."""
    spec = importlib.util.spec_from_file_location("_golden_data", ROOT / "benchmarks" / "_golden_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@functools.lru_cache(maxsize=1)
def golden_inputs(shared: pathlib.Path, kind: str, seed: int) -> tuple[ModuleType, RawImage, dict[str, Any]]:
    """Inputs of a golden file, made once for its configs."""
    golden = golden_module()
    inputs = golden.load_inputs(shared)
    raw = golden.make_raw(inputs, kind, seed)
    return inputs, raw, golden.make_calibrations(inputs, kind, seed, raw.detector)


CASES = [("E2V", 1, "nointerp"), ("E2V", 1, "full"), ("E2V", 1, "ap"), ("E2V", 2, "ap")]
CASES += [("ITL", 2, name) for name in ("bare", "plain", "rapid", "ap")] + [("ITL", 1, "ap")]


@pytest.mark.parametrize(("kind", "seed", "name"), CASES)
def test_pixels_are_those_of_the_science_pipelines(
    shared: pathlib.Path, kind: str, seed: int, name: str
) -> None:
    """Image, variance and mask planes agree with what IsrTaskLSST made."""
    golden = golden_module()
    inputs, raw, calibrations = golden_inputs(shared, kind, seed)
    task = FirstLookIsrTask(config=golden.make_config(shared, name))
    exposure = golden.run_isr(task, inputs, raw, calibrations)
    with np.load(shared / "golden" / f"{kind}_{seed}_{name}.npz") as reference:
        score = golden.compare(reference, exposure)
    assert score.passed, score
    assert exposure.unit == u.electron


def make_config(**fields: Any) -> FirstLookIsrConfig:
    """The rapid config with only the steps that need no calibration."""
    config = FirstLookIsrConfig()
    config.load(str(RAPID))
    config.bssVoltageMinimum = 0.0
    for name in OFF:
        setattr(config, name, False)
    for name, value in fields.items():
        setattr(config, name, value)
    return config


def make_raw(**header: Any) -> RawImage:
    """A raw image with a known sky, noise and bias level."""
    rng = np.random.default_rng(1)
    amplifiers = {}
    for amplifier in DETECTOR.amplifiers:
        geometry = amplifier.unassembled_raw_geometry
        assert geometry is not None
        counts = LEVEL + rng.normal(0.0, NOISE / GAIN, geometry.bbox.shape)
        data = (
            slice(geometry.data_bbox.y.stop),
            slice(geometry.data_bbox.x.start, geometry.data_bbox.x.stop),
        )
        counts[data] += rng.normal(SKY, math.sqrt(SKY), geometry.data_bbox.shape) / GAIN
        amplifiers[amplifier.name] = np.rint(counts).astype(np.int32)
    obs_info = ObservationInfo.makeObservationInfo(
        instrument="LSSTCam",
        exposure_id=2025042000123,
        detector_exposure_id=202504200012394,
        dark_time=30.0 * u.s,
    )
    return RawImage(amplifiers=amplifiers, detector=DETECTOR, obs_info=obs_info, header=header)


def make_ptc(**changes: Any) -> PhotonTransferCurve:
    """Gains of the test's detector."""
    names = [amplifier.name for amplifier in DETECTOR.amplifiers]
    values: dict[str, Any] = {
        "detector": DetectorIdentity.of(DETECTOR),
        "gain": dict.fromkeys(names, GAIN),
        "noise": dict.fromkeys(names, NOISE),
        "ptc_turnoff": dict.fromkeys(names, 9e4),
    }
    return PhotonTransferCurve(**(values | changes))


def make_image(
    value: float, *, bbox: Any = DETECTOR.bbox, unit: Any = u.electron, **metadata: Any
) -> MaskedImage:
    """A constant calibration image."""
    image = Image(value, bbox=bbox, unit=unit, dtype=np.float32)
    return MaskedImage(image, mask=Mask(0, schema=MASK_SCHEMA, bbox=bbox), metadata=metadata)


@pytest.fixture(scope="module")
def raw() -> RawImage:
    """The raw image of most tests; nothing may change it."""
    return make_raw()


def test_sky_and_noise_come_out(raw: RawImage) -> None:
    """The sky is in electron, its variance that of photons and read-out, and bins show it."""
    task = FirstLookIsrTask(config=make_config())
    result = task.run(ccdExposure=raw, ptc=make_ptc())
    image = result.outputExposure
    assert abs(np.median(image.image.array) - SKY) < 0.5
    assert abs(np.median(image.variance.array) - SKY - NOISE**2) < 1.0
    assert abs(image.image.array.std() - math.sqrt(SKY + NOISE**2)) < 0.5
    assert image.unit == u.electron
    assert image.variance.unit == u.electron**2
    assert not image.mask.array.any()
    assert result.outputBin1Exposure.array.shape == (500, 512)
    assert result.outputBin2Exposure.array.shape == (62, 64)
    np.testing.assert_allclose(result.outputBin2Exposure.array, SKY, atol=5.0)
    assert abs(image.metadata["LSST ISR OVERSCAN RESIDUAL SERIAL STDEV C10"] * GAIN - NOISE) < 0.3
    assert abs(image.metadata["LSST ISR FINAL MEDIAN C07"] - SKY) < 1.0
    assert abs(image.metadata["LSST ISR OVERSCAN SERIAL MEDIAN C07"] - LEVEL) < 0.5


def test_an_image_without_pointing_has_no_place_on_the_sky(raw: RawImage) -> None:
    """A missing pointing is no error."""
    image = FirstLookIsrTask(config=make_config()).run(ccdExposure=raw, ptc=make_ptc()).exposure
    assert image.sky_projection is None


def test_the_raw_image_is_not_changed(raw: RawImage) -> None:
    """Inputs may be cached and shared."""
    before = {name: pixels.copy() for name, pixels in raw.amplifiers.items()}
    FirstLookIsrTask(config=make_config()).run(ccdExposure=raw, ptc=make_ptc())
    assert all(np.array_equal(before[name], raw.amplifiers[name]) for name in before)


def test_bias_dark_and_flat(raw: RawImage) -> None:
    """Bias and scaled dark are subtracted, then the flat divides."""
    config = make_config(doBias=True, doDark=True, doFlat=True)
    images: dict[str, Any] = {
        "bias": make_image(50.0),
        "dark": make_image(4.0, DARKTIME=2.0),
        "flat": make_image(0.5, unit=None),
    }
    image = FirstLookIsrTask(config=config).run(ccdExposure=raw, ptc=make_ptc(), **images).exposure
    assert abs(np.median(image.image.array) - (SKY - 50.0 - 30.0 * 2.0) / 0.5) < 1.0


def test_pixels_without_data_are_zero(raw: RawImage) -> None:
    """Where the flat says NO_DATA, there is no value and a huge variance."""
    flat = make_image(1.0, unit=None)
    corner = np.zeros(flat.image.array.shape, bool)
    corner[:100, :100] = True
    flat.mask.set("NO_DATA", corner)
    config = make_config(doFlat=True)
    image = FirstLookIsrTask(config=config).run(ccdExposure=raw, ptc=make_ptc(), flat=flat).exposure
    np.testing.assert_array_equal(image.mask.get("NO_DATA"), corner)
    np.testing.assert_array_equal(image.image.array[corner], 0.0)
    np.testing.assert_array_equal(image.variance.array[corner], np.float32(config.noDataVariance))
    assert image.image.array[~corner].min() > 0.0


def test_defects_and_bad_amplifiers_are_masked_and_interpolated(raw: RawImage) -> None:
    """Boxes and amplifiers of the config are BAD, interpolated, and near the sky."""
    config = make_config(doDefect=True, badAmps=["R22_S11_C13", "R22_S12_C00"])
    defects = Defects(
        detector=DetectorIdentity.of(DETECTOR), boxes=np.array([[700, 800, 3, 90], [4090, 0, 9, 5]])
    )
    image = FirstLookIsrTask(config=config).run(ccdExposure=raw, ptc=make_ptc(), defects=defects).exposure
    [c13] = [amplifier for amplifier in DETECTOR.amplifiers if amplifier.name == "C13"]
    expected = np.zeros(image.image.array.shape, bool)
    box = c13.bbox.slice_within(DETECTOR.bbox)
    expected[box.y, box.x] = expected[800:890, 700:703] = expected[:5, 4090:] = True
    np.testing.assert_array_equal(image.mask.get("BAD"), expected)
    np.testing.assert_array_equal(image.mask.get("INTRP"), expected)
    assert abs(image.image.array[800:890, 700:703].mean() - SKY) < 15.0


def test_a_noisy_amplifier_is_bad(raw: RawImage) -> None:
    """An amplifier whose overscan is too noisy is masked."""
    noisy = dict(raw.amplifiers)
    noisy["C05"] = noisy["C05"] + np.random.default_rng(0).normal(0, 30, noisy["C05"].shape).astype(np.int32)
    spoilt = dataclasses.replace(raw, amplifiers=noisy)
    image = FirstLookIsrTask(config=make_config()).run(ccdExposure=spoilt, ptc=make_ptc()).exposure
    assert image.metadata["LSST ISR MASK BAD C05"] == 2002 * 512
    assert image.metadata["LSST ISR MASK BAD C04"] == 0


def test_no_good_amplifier_is_unprocessable(raw: RawImage) -> None:
    """A detector without a good amplifier is reported, not processed."""
    config = make_config(ampNoiseThreshold=1.0)
    with pytest.raises(UnprocessableDataError, match="All amplifiers of detector R22_S11 are bad"):
        FirstLookIsrTask(config=config).run(ccdExposure=raw, ptc=make_ptc())


@pytest.mark.parametrize(("voltage", "switch"), [(0.1, "ON"), (50.0, "OFF")])
def test_a_detector_that_is_off_is_unprocessable(voltage: float, switch: str) -> None:
    """Without back-side bias there is no image."""
    raw = make_raw(BSSVBS=voltage, HVBIAS=switch)
    with pytest.raises(UnprocessableDataError, match="R22_S11 is off: BSSVBS"):
        FirstLookIsrTask(config=make_config(bssVoltageMinimum=5.0)).run(ccdExposure=raw, ptc=make_ptc())


def wrong_calibrations() -> dict[str, tuple[dict[str, Any], str]]:
    """Calibrations that do not fit, and what is said of them."""
    names = [amplifier.name for amplifier in DETECTOR.amplifiers]
    small = DETECTOR.bbox.absolute[0:100, 0:100]
    other = DetectorIdentity.of(load_camera("LSSTCam")["R22_S12"])
    return {
        "missing": ({"bias": None}, "bias cannot be used: it is missing"),
        "shape": ({"bias": make_image(1.0, bbox=small)}, "bounding box"),
        "unit": ({"bias": make_image(1.0, unit=u.adu)}, "expected.*electron.*found.*adu"),
        "units in the header": (
            {"bias": make_image(1.0, unit=None, **{"LSST ISR UNITS": "adu"})},
            "expected.*electron.*found.*adu",
        ),
        "no values": ({"bias": make_image(math.nan)}, "finite values"),
        "detector": ({"ptc": make_ptc(detector=other)}, "R22_S12|95"),
        "NaN gain": ({"ptc": make_ptc(gain=dict.fromkeys(names, GAIN) | {"C03": math.nan})}, "gain.*C03"),
        "negative gain": ({"ptc": make_ptc(gain=dict.fromkeys(names, GAIN) | {"C03": -1.0})}, "gain.*C03"),
    }


@pytest.mark.parametrize("case", sorted(wrong_calibrations()))
def test_calibrations_that_do_not_fit_are_refused(raw: RawImage, case: str) -> None:
    """The error names the calibration, what was expected and what was found."""
    changes, message = wrong_calibrations()[case]
    calibrations = {"ptc": make_ptc(), "bias": make_image(1.0)} | changes
    with pytest.raises(BadCalibrationError, match=rf"(?s)Calibration .*{message}"):
        FirstLookIsrTask(config=make_config(doBias=True)).run(ccdExposure=raw, **calibrations)


def test_a_known_bad_amplifier_needs_no_gain(raw: RawImage) -> None:
    """The gain of an amplifier that the PTC calls bad may be NaN."""
    names = [amplifier.name for amplifier in DETECTOR.amplifiers]
    ptc = make_ptc(gain=dict.fromkeys(names, GAIN) | {"C03": math.nan}, bad_amplifiers=frozenset({"C03"}))
    config = make_config(doInterpolate=False, doSetBadRegions=False)
    image = FirstLookIsrTask(config=config).run(ccdExposure=raw, ptc=ptc).exposure
    bad = image.mask.get("BAD")
    np.testing.assert_array_equal(bad, image.mask.get("UNMASKEDNAN"))
    np.testing.assert_array_equal(bad, ~np.isfinite(image.image.array))
    assert bad.sum() == 2002 * 512


def test_another_camera_state_is_refused_if_the_config_says_so() -> None:
    """Header keywords of raw and calibration are compared."""
    config = make_config(doBias=True, cameraKeywordsToCompare=["SEQNAME"], doRaiseOnCalibMismatch=True)
    calibrations: dict[str, Any] = {"ptc": make_ptc(), "bias": make_image(1.0, SEQNAME="v28.seq")}
    with pytest.raises(BadCalibrationError, match=r"SEQNAME is 'v28.seq', expected 'v30.seq'"):
        FirstLookIsrTask(config=config).run(ccdExposure=make_raw(SEQNAME="v30.seq"), **calibrations)


class FakeContext:
    """A Butler that has what it is given; a reference is a name."""

    def __init__(self, datasets: dict[str, Any]) -> None:
        self.datasets = datasets
        self.outputs: Any = None

    def get(self, ref: Any) -> Any:
        """Return a dataset, or raise the error that it is."""
        dataset = self.datasets[ref.name]
        if isinstance(dataset, Exception):
            raise dataset
        return dataset

    def put(self, outputs: Any, refs: Any) -> None:
        """Keep the outputs."""
        self.outputs = outputs


class FakeRef(SimpleNamespace):
    """A dataset reference."""

    def __str__(self) -> str:
        return f"{self.name}@{{instrument: 'LSSTCam', detector: 94}} (run={self.run})"


class FakeRefs(dict[str, FakeRef]):
    """References by connection."""

    def __getattr__(self, name: str) -> FakeRef:
        return self[name]


@pytest.mark.parametrize(
    "problem", [ValueError("row 3 is torn"), make_ptc(noise={a.name: math.nan for a in DETECTOR.amplifiers})]
)
def test_errors_name_the_dataset(raw: RawImage, problem: Any) -> None:
    """A calibration that cannot be read or used is named with its data ID and run."""
    refs = FakeRefs({name: FakeRef(name=name, run="calib/a", id=1) for name in ("ccdExposure", "ptc")})
    context: Any = FakeContext({"ccdExposure": raw, "ptc": problem})
    inputs: Any = refs
    with pytest.raises(
        BadCalibrationError, match=r"ptc@\{instrument: 'LSSTCam', detector: 94\} \(run=calib/a\)"
    ):
        FirstLookIsrTask(config=make_config()).runQuantum(context, inputs, inputs)


def test_provenance_is_written(raw: RawImage) -> None:
    """The image tells which calibrations it was made with."""
    refs = FakeRefs({name: FakeRef(name=name, run="calib/a", id=1) for name in ("ccdExposure", "ptc")})
    context: Any = FakeContext({"ccdExposure": raw, "ptc": make_ptc()})
    inputs: Any = refs
    FirstLookIsrTask(config=make_config()).runQuantum(context, inputs, inputs)
    assert context.outputs.outputExposure.metadata["LSST CALIB RUN PTC"] == "calib/a"


def test_images_in_the_store_give_the_same_pixels_and_masks(raw: RawImage, tmp_path: pathlib.Path) -> None:
    """Kept or read, the bits of all calibrations' masks are in the result."""
    images = {name: make_image(value) for name, value in (("bias", 3.0), ("dark", 0.1), ("flat", 0.9))}
    for row, (name, plane) in enumerate((("bias", "BAD"), ("dark", "SUSPECT"), ("flat", "NO_DATA"))):
        pixels = np.zeros(DETECTOR.bbox.shape, bool)
        pixels[100 + row, 200:300] = True
        images[name].mask.set(plane, pixels)
    datasets = {"ccdExposure": raw, "ptc": make_ptc(), **images}
    refs: Any = FakeRefs({name: FakeRef(name=name, run="calib/a", id=n) for n, name in enumerate(datasets)})
    config = make_config(doBias=True, doDark=True, doFlat=True)
    exposures = []
    for store in (None, ArrayStore(tmp_path, max_bytes=2_000_000_000)):
        task = FirstLookIsrTask(config=config)
        task.calibration_store = store
        for _ in range(2):
            context: Any = FakeContext(dict(datasets))
            task.runQuantum(context, refs, refs)
            exposures.append(context.outputs.outputExposure)
    for plane in ("BAD", "SUSPECT", "NO_DATA"):
        assert exposures[0].mask.get(plane)[100:103, 200:300].sum() >= 100
    for exposure in exposures[1:]:
        assert exposure.mask == exposures[0].mask
        np.testing.assert_array_equal(exposure.image.array, exposures[0].image.array)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("doBrighterFatter", True),
        ("doAmpOffset", True),
        ("doBootstrap", True),
        ("doCorrectGains", True),
        ("doDiffNonLinearCorrection", True),
        ("doCalculateStatistics", True),
        ("doAssembleCcd", False),
        ("useLegacyInterp", False),
        ("useGainsFrom", "LINEARIZER"),
        ("qa.doWriteOss", True),
        ("assembleCcd.doTrim", False),
        ("masking.doSpecificMasking", True),
        ("maskListToInterpolate", ["SAT", "NO_SUCH_PLANE"]),
        ("suspectMaskName", "NO_SUCH_PLANE"),
        (
            "overscanCamera.defaultDetectorConfig.defaultAmpConfig.serialOverscanConfig.fitType",
            "AKIMA_SPLINE",
        ),
        ("overscanCamera.defaultDetectorConfig.defaultAmpConfig.parallelOverscanConfig.overscanIsInt", True),
        ("doSaturation", False),
    ],
)
def test_what_is_not_implemented_is_a_config_error(field: str, value: Any) -> None:
    """A setting is never ignored: enabled steps that do not exist, and contradictions, are errors."""
    config = make_config()
    config.validate()
    *path, name = field.split(".")
    target = functools.reduce(getattr, path, config)
    setattr(target, name, value)
    with pytest.raises(FieldValidationError, match=name if not path else path[0]) as caught:
        config.validate()
    wanted = value[-1] if isinstance(value, list) else str(value)
    assert wanted in str(caught.value) or "needs" in str(caught.value)


def test_overrides_of_obs_lsst_can_be_loaded() -> None:
    """Overrides as obs packages write them need no change."""
    config = make_config()
    override = """
import copy
config.badAmps = ["R42_S21_C07"]
config.crosstalk.doQuadraticCrosstalkCorrection = True
config.crosstalk.minPixelToMask = 1.0
config.ampOffset.doApplyAmpOffset = False
config.ampOffset.ampEdgeMaxOffset = 10.0
config.brighterFatterCorrectionMethod = "ASTIER23"
rule = copy.copy(config.overscanCamera.defaultDetectorConfig)
rule.itlDipMinWidth = 10
rule.itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R01_S10"] = rule
config.overscanCamera.defaultDetectorConfig.defaultAmpConfig.saturation = 120000
poscan = config.overscanCamera.defaultDetectorConfig.defaultAmpConfig.parallelOverscanConfig
poscan.doAbsoluteMaxDeviation = True
"""
    config.loadFromString(override)
    config.validate()
    assert config.overscanCamera.detectorRules["R01_S10"].itlDipMinWidth == 10
    assert config.overscanCamera.for_detector(DETECTOR).for_amplifier("C00").saturation == 120_000


def test_connections_of_disabled_steps_do_not_exist() -> None:
    """Only calibrations that are used are asked for."""
    connections = FirstLookIsrConnections(config=make_config())
    assert set(connections.prerequisiteInputs) == {"ptc"}
    assert set(connections.outputs) == {"outputExposure", "outputBin1Exposure", "outputBin2Exposure"}
    config = make_config(doFlat=True, doBinnedExposures=False, doSaveInterpPixels=True)
    connections = FirstLookIsrConnections(config=config)
    assert set(connections.prerequisiteInputs) == {"ptc", "flat"}
    assert set(connections.outputs) == {"outputExposure", "preInterpExposure"}


def test_rapid_overrides_leave_the_steps_of_alert_production_on() -> None:
    """Low latency switches off only what the file gives a reason for."""
    config = FirstLookIsrConfig()
    config.load(str(RAPID))
    config.validate()
    assert all(config.wanted_calibrations().values())
    default = FirstLookIsrConfig()
    changed = {name for name in config.keys() if getattr(config, name) != getattr(default, name)}  # noqa: SIM118
    assert {name for name in changed if name.startswith("do")} == {
        "doBrighterFatter",
        "doCorrectGains",
        "doCalculateStatistics",
        "doBinnedExposures",
    }
