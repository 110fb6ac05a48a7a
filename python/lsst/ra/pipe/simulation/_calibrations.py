# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Master calibrations that undo what the simulation does."""

from __future__ import annotations

__all__ = ("SimulatedCalibration", "write_calibrations")

import dataclasses
import pathlib

import astropy.units as u
import numpy as np

from lsst.images import Image, Mask, MaskedImage

from ..algorithms import MASK_SCHEMA
from ..camera.calibrations import (
    Crosstalk,
    Defects,
    DeferredCharge,
    DetectorIdentity,
    IsrCalibration,
    LinearityType,
    Linearizer,
    PhotonTransferCurve,
    SerialTrap,
    TrapType,
)
from ._ccd import Ccd
from ._config import SimulationConfig
from ._write import atomic_path, write_masked_image

_BIAS_VARIANCE = 0.5
_DARK_VARIANCE = 1e-4
_FLAT_VARIANCE = 1e-8

_EMPTY_TRAP = SerialTrap(size=0.0, emission_time=1.0, pixel=1, type=TrapType.LINEAR, coefficients=np.zeros(1))
"""A trap that holds no charge."""


@dataclasses.dataclass(frozen=True)
class SimulatedCalibration:
    """A calibration file and the data ID that it is for."""

    dataset_type: str
    """Butler dataset type."""
    path: pathlib.Path
    """The file."""
    detector: int
    """Butler detector number."""
    physical_filter: str | None = None
    """Physical filter; flats only."""


def write_calibrations(config: SimulationConfig, ccd: Ccd, out: pathlib.Path) -> list[SimulatedCalibration]:
    """Write the master calibrations of one CCD.

    Bias (electron), dark (electron in one second) and flat (relative) are the
    true patterns of the simulated CCD, to a sixteenth of their pixel noise.

    Parameters
    ----------
    config
        Gives seed and filter.
    ccd
        The CCD.
    out
        Directory of the simulation; files go to
        ``calibrations/<type>/<type>_[<filter>_]<detector>.<suffix>``.

    Returns
    -------
    calibrations
        bias, dark, flat, defects, ptc, crosstalk, linearizer and cti.
    """
    detector = ccd.detector
    found: list[SimulatedCalibration] = []
    images = (
        ("bias", ccd.bias, _BIAS_VARIANCE, u.electron, None),
        ("dark", ccd.dark, _DARK_VARIANCE, u.electron, None),
        ("flat", ccd.flat, _FLAT_VARIANCE, None, config.physical_filter),
    )
    for name, array, variance, unit, physical_filter in images:
        filter_part = f"{physical_filter}_" if physical_filter else ""
        path = out / "calibrations" / name / f"{name}_{filter_part}{detector.name}.fits"
        image = _masked_image(
            ccd, array, variance=variance, unit=unit, name=name, filter_name=physical_filter
        )
        noisy = name != "dark" and bool(array.std() > 0.0)
        write_masked_image(path, image, quantize_seed=1 + detector.id if noisy else None)
        found.append(SimulatedCalibration(name, path, detector.id, physical_filter))
    identity = DetectorIdentity.of(detector)
    names = ccd.amplifier_names
    tables: dict[str, IsrCalibration] = {
        "defects": Defects(detector=identity, boxes=np.array(ccd.defects, np.int64).reshape(-1, 4)),
        "ptc": PhotonTransferCurve(
            detector=identity,
            gain=dict(zip(names, ccd.gain.tolist(), strict=True)),
            noise=dict(zip(names, ccd.read_noise.tolist(), strict=True)),
            ptc_turnoff=dict(zip(names, (ccd.saturation / ccd.gain).tolist(), strict=True)),
            bad_amplifiers=frozenset(ccd.dead if config.dead_amplifiers_known else ()),
        ),
        "crosstalk": Crosstalk(
            detector=identity, coefficients=ccd.crosstalk.T, fit_gains=ccd.gain, units="electron"
        ),
        # The simulated CCDs are linear and transfer all charge.
        "linearizer": Linearizer(
            detector=identity,
            types=dict.fromkeys(names, LinearityType.PROPORTIONAL),
            coefficients={name: np.zeros(1) for name in names},
            bboxes={amplifier.name: amplifier.bbox for amplifier in detector.amplifiers},
        ),
        "cti": DeferredCharge(
            detector=identity,
            drift_scale=dict.fromkeys(names, 0.0),
            decay_time=dict.fromkeys(names, 1.0),
            global_cti=dict.fromkeys(names, 0.0),
            serial_traps=dict.fromkeys(names, _EMPTY_TRAP),
        ),
    }
    for name, table in tables.items():
        suffix = "fits" if name == "cti" else "ecsv"
        path = out / "calibrations" / name / f"{name}_{detector.name}.{suffix}"
        with atomic_path(path) as temporary:
            table.write(temporary)
        found.append(SimulatedCalibration(name, path, detector.id))
    return found


def _masked_image(
    ccd: Ccd,
    array: np.ndarray,
    *,
    variance: float,
    unit: u.UnitBase | None,
    name: str,
    filter_name: str | None,
) -> MaskedImage:
    """Add mask, variance and identity to a calibration array."""
    bbox = ccd.detector.bbox
    metadata: dict[str, int | float | str | bool | None] = {
        "OBSTYPE": name,
        **DetectorIdentity.of(ccd.detector).to_metadata(),
    }
    if filter_name:
        metadata["FILTER"] = filter_name
    mask = Mask(schema=MASK_SCHEMA, bbox=bbox)
    mask.set("BAD", ccd.is_defect)
    return MaskedImage(
        Image(array, bbox=bbox, unit=unit),
        mask=mask,
        variance=Image(
            np.full(ccd.shape, variance, np.float32), bbox=bbox, unit=None if unit is None else unit**2
        ),
        metadata=metadata,
    )
