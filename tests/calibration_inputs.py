# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Calibration exposures and metrics of amplifiers with known truth, from numpy alone."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astro_metadata_translator import ObservationInfo
from astropy.table import Table
from lsst.images import Image, Mask, MaskedImage
from lsst.ra.pipe.algorithms import MASK_SCHEMA
from lsst.ra.pipe.algorithms.amplifiers import AMPLIFIER_METRICS, CALIBRATION_METRICS, summarize_amplifiers
from lsst.ra.pipe.algorithms.isr import AmplifierLayout
from lsst.ra.pipe.camera import RawImage, load_camera
from lsst.ra.pipe.tasks._amplifier_metrics import make_amplifier_table

EXPOSURE = 2026022000012
DETECTOR = load_camera("LSSTCam")[94]
LAYOUT = AmplifierLayout.from_detector(DETECTOR)
GAIN, READ_NOISE, BIAS_LEVEL = 1.5, 6.0, 24000.0


def make_obs_info(kind: str, *, dark_time: float | None = 60.0) -> ObservationInfo:
    """What the header of a calibration exposure says."""
    return ObservationInfo.makeObservationInfo(
        exposure_id=EXPOSURE,
        observing_day=20260220,
        observation_counter=12,
        observation_type=kind,
        physical_filter="r_57",
        exposure_time=30.0 * u.s,
        dark_time=None if dark_time is None else dark_time * u.s,
    )


def make_raw(kind: str, *, drift: float = -4.0, dark_time: float | None = 60.0) -> RawImage:
    """Raw image of overscan alone, whose level changes linearly by ``drift`` (adu)."""
    random = np.random.default_rng(1)
    ny, nx = LAYOUT.raw_shape
    level = BIAS_LEVEL + drift * np.arange(ny)[:, np.newaxis] / LAYOUT.data_shape[0]
    counts = np.rint(level + READ_NOISE / GAIN * random.standard_normal((ny, nx))).astype(np.int32)
    return RawImage(
        amplifiers=dict.fromkeys(LAYOUT.names, counts),
        detector=DETECTOR,
        obs_info=make_obs_info(kind, dark_time=dark_time),
        header={},
    )


def make_image(kind: str, *, level: float = 0.0, bad: str = "", **metadata: Any) -> MaskedImage:
    """Image after ISR: a level with read noise and photon noise, one amplifier bad if named."""
    random = np.random.default_rng(2)
    shape = tuple(DETECTOR.bbox.shape)
    noise = np.hypot(READ_NOISE, np.sqrt(level))
    pixels = (level + noise * random.standard_normal(shape, dtype=np.float32)).astype(np.float32)
    mask = Mask(0, schema=MASK_SCHEMA, bbox=DETECTOR.bbox)
    values: dict[str, Any] = {
        "LSST ISR UNITS": "electron",
        "LSST ISR BIAS APPLIED": True,
        "LSST ISR DARK APPLIED": kind == "flat",
        "LSST ISR FLAT APPLIED": kind == "flat",
    }
    for index, name in enumerate(LAYOUT.names):
        values |= {f"LSST ISR GAIN {name}": GAIN, f"LSST ISR READNOISE {name}": READ_NOISE}
        if name == bad:
            is_bad = np.zeros(shape, np.bool_)
            is_bad[LAYOUT.assembled_slices(index)] = True
            mask.set("BAD", is_bad)
            continue
        values |= {
            f"LSST ISR OVERSCAN SERIAL MEDIAN {name}": BIAS_LEVEL + index,
            f"LSST ISR OVERSCAN SERIAL STDEV {name}": 1.2,
            f"LSST ISR MASK BAD {name}": 7,
        }
    return MaskedImage(
        Image(pixels, bbox=DETECTOR.bbox, unit=u.electron),
        mask=mask,
        variance=Image(np.full(shape, noise**2, np.float32), bbox=DETECTOR.bbox),
        metadata=values | metadata,
    )


def make_flat() -> MaskedImage:
    """Flat of half response, without noise."""
    shape = tuple(DETECTOR.bbox.shape)
    return MaskedImage(
        Image(np.full(shape, 0.5, np.float32), bbox=DETECTOR.bbox),
        mask=Mask(0, schema=MASK_SCHEMA, bbox=DETECTOR.bbox),
        variance=Image(np.zeros(shape, np.float32), bbox=DETECTOR.bbox),
    )


def make_amplifiers(detector: int, *, camera: str = "LSSTCam", **values: Any) -> Table:
    """Metrics of a detector's amplifiers, all alike but for their order."""
    geometry = load_camera(camera)[detector]
    n = len(geometry.amplifiers)
    columns: dict[str, Any] = {}
    for name, definition in AMPLIFIER_METRICS.items():
        default = 1.0 + 0.01 * np.arange(n) if definition.type is float else np.full(n, 3)
        columns[name] = np.broadcast_to(values.get(name, default), (n,))
    columns["detector"] = np.full(n, detector)
    columns["detector_name"] = [geometry.name] * n
    columns["amplifier"] = [amplifier.name for amplifier in geometry.amplifiers]
    return make_amplifier_table(columns)


def make_calibration_metrics(amplifiers: Table, *, kind: str, instrument: str = "LSSTCam") -> dict[str, Any]:
    """Metrics of a detector that agree with those of its amplifiers."""
    facts = {
        "instrument": instrument,
        "exposure": EXPOSURE,
        "detector": int(amplifiers["detector"][0]),
        "detector_name": str(amplifiers["detector_name"][0]),
        "day_obs": 20260220,
        "seq_num": 12,
        "calibration_kind": kind,
        "exposure_time_second": 30.0,
        **summarize_amplifiers({name: np.asarray(amplifiers[name]) for name in amplifiers.colnames}),
    }
    unknown: dict[type, Any] = {float: np.nan, int: -1, str: ""}
    return {name: facts.get(name, unknown[metric.type]) for name, metric in CALIBRATION_METRICS.items()}
