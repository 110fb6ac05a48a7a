# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Golden ISR data: inputs made from a seed, and what the Science Pipelines made of them."""

from __future__ import annotations

__all__ = (
    "CONFIGS",
    "KINDS",
    "SEEDS",
    "GoldenScore",
    "compare",
    "find_shared",
    "load_inputs",
    "make_calibrations",
    "make_config",
    "make_raw",
    "run_isr",
)

import dataclasses
import importlib.util
import json
import pathlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
from lsst.images import Image, Mask, MaskedImage
from lsst.images.cameras import Detector
from lsst.pex.config import Config
from lsst.ra.pipe.algorithms import MASK_SCHEMA
from lsst.ra.pipe.camera import RawImage, read_raw
from lsst.ra.pipe.camera.calibrations import (
    Crosstalk,
    Defects,
    DeferredCharge,
    DetectorIdentity,
    LinearityType,
    Linearizer,
    PhotonTransferCurve,
    SerialTrap,
)
from lsst.ra.pipe.tasks import FirstLookIsrConfig, FirstLookIsrTask

KINDS = ("E2V", "ITL")
SEEDS = (1, 2)
CONFIGS = ("bare", "nointerp", "plain", "full", "rapid", "ap")

# Parts of the Science Pipelines' config that describe datasets, not pixels.
_NOT_COMPARED = {"connections", "inputDimensions", "inputStorageClass", "saveLogOutput"}


def find_shared() -> pathlib.Path:
    """Return the directory of the reference data."""
    shared = pathlib.Path(__file__).resolve().parents[2] / "shared"
    if not shared.is_dir():
        raise SystemExit(f"The golden data are not here: there is no directory {shared}.")
    return shared


def load_inputs(shared: pathlib.Path) -> ModuleType:
    """Import the module that makes the inputs."""
    path = shared / "golden" / "inputs.py"
    spec = importlib.util.spec_from_file_location("golden_inputs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def make_raw(inputs: ModuleType, kind: str, seed: int) -> RawImage:
    """Make a raw image, with the header of a real one."""
    template = read_raw(inputs.TEMPLATES[kind])
    pixels = inputs.raw_amplifiers(kind, seed)
    return dataclasses.replace(template, amplifiers=dict(zip(inputs.AMPLIFIERS, pixels, strict=True)))


def make_calibrations(inputs: ModuleType, kind: str, seed: int, detector: Detector) -> dict[str, Any]:
    """Make all calibrations, by the name of the task's connection."""
    names = inputs.AMPLIFIERS
    table = inputs.amplifier_tables(kind, seed)
    identity = DetectorIdentity.of(detector)
    images = inputs.calibrations(kind, seed)
    nodes, corrections = inputs.linearity_spline(kind, seed)
    cti = inputs.deferred_charge(kind, seed)

    def by_name(values: Any) -> dict[str, Any]:
        return dict(zip(names, values, strict=True))

    def image(name: str) -> MaskedImage:
        return MaskedImage(
            Image(images[name], bbox=detector.bbox),
            mask=Mask(0, schema=MASK_SCHEMA, bbox=detector.bbox),
            variance=Image(images[f"{name}_variance"], bbox=detector.bbox),
        )

    traps = [
        SerialTrap(size=size, emission_time=time, pixel=pixel, type=cti["trap_type"], coefficients=values)
        for size, time, pixel, values in zip(
            cti["trap_size"], cti["trap_emission"], cti["trap_pixel"], cti["trap_coeffs"], strict=True
        )
    ]
    return {
        "bias": image("bias"),
        "dark": image("dark"),
        "flat": image("flat"),
        "ptc": PhotonTransferCurve(
            detector=identity,
            gain=by_name(table["gain"]),
            noise=by_name(table["noise"]),
            ptc_turnoff=by_name(table["turnoff"]),
        ),
        "defects": Defects(detector=identity, boxes=np.array(inputs.defects(kind, seed))),
        "linearizer": Linearizer(
            detector=identity,
            types=dict.fromkeys(names, LinearityType.SPLINE),
            coefficients=by_name([np.concatenate([nodes, values]) for values in corrections]),
            bboxes={amplifier.name: amplifier.bbox for amplifier in detector.amplifiers},
        ),
        "crosstalk": Crosstalk(
            detector=identity,
            coefficients=table["crosstalk"],
            quadratic=inputs.crosstalk_quadratic(kind, seed),
            valid=np.ones((16, 16), bool),
        ),
        "deferredChargeCalib": DeferredCharge(
            detector=identity,
            drift_scale=by_name(cti["drift_scale"]),
            decay_time=by_name(cti["decay_time"]),
            global_cti=by_name(cti["global_cti"]),
            serial_traps=by_name(traps),
        ),
    }


def make_config(shared: pathlib.Path, name: str) -> FirstLookIsrConfig:
    """Make the task's config from that of the Science Pipelines."""
    config = FirstLookIsrConfig()
    _set(config, json.loads((shared / "golden" / f"{name}.config.json").read_text()))
    config.validate()
    return config


def _set(config: Config, values: dict[str, Any]) -> None:
    """Set fields, nested ones too; an unknown one is an error."""
    for name, value in values.items():
        if name in _NOT_COMPARED:
            continue
        current = getattr(config, name)
        if isinstance(current, Config):
            _set(current, value)
        elif isinstance(value, dict):
            for key, item in value.items():
                current[key] = type(config)._fields[name].itemtype()
                _set(current[key], item)
        else:
            setattr(config, name, value)


def run_isr(
    task: FirstLookIsrTask, inputs: ModuleType, raw: RawImage, calibrations: dict[str, Any]
) -> MaskedImage:
    """Run the task with the calibrations that its config wants."""
    wanted = task.config.wanted_calibrations()
    used = {name: value for name, value in calibrations.items() if wanted[name]}
    image: MaskedImage = task.run(ccdExposure=raw, dither_seed=inputs.EXPOSURE_ID, **used).exposure
    return image


@dataclasses.dataclass(frozen=True)
class GoldenScore:
    """Fractions of pixels that agree."""

    image: float
    """Pixels, not interpolated, within 1e-4 relative or 0.02 electron."""

    interpolated: float
    """Interpolated pixels within two standard deviations."""

    variance: float
    """Variances, not interpolated, within 1e-3 relative."""

    masks: dict[str, float]
    """By plane, pixels that are set in both among those set in either."""

    @property
    def mask(self) -> float:
        """The worst of the mask planes."""
        return min(self.masks.values(), default=1.0)

    @property
    def passed(self) -> bool:
        """Whether all is as near as it must be."""
        return (
            self.image >= 0.9999
            and self.interpolated >= 0.95
            and self.variance >= 0.9999
            and self.mask >= 0.999
        )


def compare(reference: Any, exposure: MaskedImage) -> GoldenScore:
    """Compare an image with the windows of a golden file."""
    size = int(reference["size"])
    boxes = [np.s_[y : y + size, x : x + size] for y, x in reference["windows"].tolist()]
    image = np.stack([exposure.image.array[box] for box in boxes])
    variance = np.stack([exposure.variance.array[box] for box in boxes])
    golden, golden_variance, bits = (reference[name] for name in ("image", "variance", "mask"))
    planes = dict(zip(reference["plane_names"].tolist(), reference["plane_bits"].tolist(), strict=True))
    interpolated = (bits >> planes["INTRP"]) & 1 > 0
    difference = np.abs(image - golden)
    near = (difference <= np.maximum(1e-4 * np.abs(golden), 0.02)) | (np.isnan(golden) & np.isnan(image))
    near_variance = np.abs(variance - golden_variance) <= 1e-3 * np.abs(golden_variance)
    masks = {}
    for plane, bit in planes.items():
        wanted = (bits >> bit) & 1 > 0
        found = np.stack([exposure.mask.get(plane)[box] for box in boxes])
        if (wanted | found).any():
            masks[plane] = float((wanted & found).sum() / (wanted | found).sum())
    within = difference <= 2.0 * np.sqrt(np.abs(golden_variance))
    return GoldenScore(
        image=float(near[~interpolated].mean()),
        interpolated=float(within[interpolated].mean()) if interpolated.any() else 1.0,
        variance=float(near_variance[~interpolated].mean()),
        masks=masks,
    )
