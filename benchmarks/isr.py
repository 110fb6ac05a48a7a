# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Time FirstLook's ISR beside reading, ``ccdproc`` and a copy of its arrays.

One 4k x 4k LSSTCam raw, one process, one core, warm kernels and calibrations;
the best of several runs.  Prints a table and, as the last line, JSON.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import json
import logging
import pathlib
import tempfile
import time
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import astropy.units as u
import ccdproc
import fitsio
import numpy as np
from _golden_data import find_shared, load_inputs, make_calibrations, make_config, make_raw, run_isr
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import sigma_clipped_stats
from lsst.images import MaskedImage
from lsst.ra.pipe.camera import RawImage, read_raw
from lsst.ra.pipe.tasks import FirstLookIsrTask
from rich.console import Console
from rich.table import Table

KIND, SEED = "E2V", 1
N_RUNS = 7


def best_of(function: Callable[[], Any], n: int = N_RUNS) -> float:
    """Return the least seconds of several calls, after one to warm up."""
    function()
    seconds = []
    for _ in range(n):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def write_compressed(inputs: ModuleType, path: pathlib.Path) -> None:
    """Write the raw file as the camera does: tiles of one row, compressed."""
    plain = path.with_suffix(".plain.fits")
    inputs.write_raw(KIND, SEED, plain)
    with fits.open(plain) as hdus:
        compressed = [
            fits.CompImageHDU(hdu.data, hdu.header, compression_type="RICE_1")
            if isinstance(hdu, fits.ImageHDU) and hdu.data is not None
            else hdu
            for hdu in hdus[1:]
        ]
        fits.HDUList([hdus[0], *compressed]).writeto(path)


def decompress(path: pathlib.Path) -> None:
    """Read the pixels of all amplifiers, and nothing else."""
    with fitsio.FITS(path) as file:
        for i in range(1, 17):
            file[i].read()


def time_isr(
    config: str, inputs: ModuleType, raw: RawImage, calibrations: dict[str, Any], console: Console
) -> float:
    """Time the task with a golden config, and print the share of its parts."""
    task = FirstLookIsrTask(config=make_config(find_shared(), config))
    parts: list[dict[str, float]] = []

    def run() -> None:
        run_isr(task, inputs, raw, calibrations)
        parts.append(dict(task.step_seconds))

    seconds = best_of(run)
    least = {name: min(part[name] for part in parts) for name in parts[0]}
    total = sum(least.values())
    shares = ", ".join(f"{name} {value / total:.0%}" for name, value in least.items())
    console.print(f"[bold]{config}[/bold] {seconds:.3f} s: {shares}")
    return seconds


def copy_arrays(raw: RawImage, calibrations: dict[str, Any], exposure: MaskedImage) -> Callable[[], None]:
    """Return a function that copies what ISR must at least read and write.

    Read are the raw counts and image and variance of bias, dark and flat;
    written are image, variance and mask.
    """
    images = [calibrations[name] for name in ("bias", "dark", "flat")]
    arrays = [*raw.amplifiers.values()]
    for image in (*images, exposure):
        arrays += [image.image.array, image.variance.array]
    arrays.append(exposure.mask.array)
    targets = [np.empty_like(array) for array in arrays]

    def copy() -> None:
        for target, array in zip(targets, arrays, strict=True):
            np.copyto(target, array)

    return copy


def run_ccdproc(raw: RawImage, calibrations: dict[str, Any], *, all_steps: bool = True) -> CCDData:
    """Do the steps of the config ``plain`` with ccdproc.

    Overscan by row and by column with its read noise, trimming, saturation,
    gain, variance, assembly, bias, dark, flat, masks, interpolation along rows
    and clipped statistics of each amplifier.  Without ``all_steps``, only what
    ccdproc itself does: no interpolation and no statistics.
    """
    ptc, detector = calibrations["ptc"], raw.detector
    ny, nx = detector.bbox.shape
    data, deviation = np.empty((ny, nx), np.float32), np.empty((ny, nx), np.float32)
    mask = np.zeros((ny, nx), bool)
    for amplifier in detector.amplifiers:
        geometry = amplifier.unassembled_raw_geometry
        assert geometry is not None
        name, x = amplifier.name, geometry.data_bbox.x
        ccd = CCDData(raw.amplifiers[name].astype(np.float32), unit=u.adu)
        serial, parallel = geometry.serial_overscan_bbox.x, geometry.parallel_overscan_bbox.y
        overscan = ccd[:, serial.start + 3 : -3]
        ccd = ccdproc.subtract_overscan(ccd, overscan=overscan, overscan_axis=1, median=True)
        if all_steps:
            sigma_clipped_stats(ccd.data[:, serial.start :], maxiters=3)
        overscan = ccd[parallel.start + 3 : -3, :]
        ccd = ccdproc.subtract_overscan(ccd, overscan=overscan, overscan_axis=0, median=True)
        if all_steps:
            sigma_clipped_stats(ccd.data[parallel.start :, x.start : x.stop], maxiters=3)
        ccd = ccdproc.trim_image(ccd[: geometry.data_bbox.y.stop, x.start : x.stop])
        saturated = ccd.data >= ptc.ptc_turnoff[name]
        ccd = ccdproc.gain_correct(ccd, ptc.gain[name] * u.electron / u.adu)
        ccd = ccdproc.create_deviation(ccd, readnoise=ptc.noise[name] * u.electron, disregard_nan=True)
        flips = (
            slice(None, None, -1 if geometry.flip_y else 1),
            slice(None, None, -1 if geometry.flip_x else 1),
        )
        box = amplifier.bbox.slice_within(detector.bbox)
        data[box.y, box.x] = ccd.data[flips]
        deviation[box.y, box.x] = ccd.uncertainty.array[flips]
        mask[box.y, box.x] = saturated[flips]
    for x0, y0, width, height in calibrations["defects"].boxes.tolist():
        mask[y0 : y0 + height, x0 : x0 + width] = True
    ccd = CCDData(data, unit=u.electron, uncertainty=StdDevUncertainty(deviation), mask=mask)
    masters = {}
    for name, unit in (("bias", u.electron), ("dark", u.electron), ("flat", u.dimensionless_unscaled)):
        image = calibrations[name]
        uncertainty = StdDevUncertainty(np.sqrt(image.variance.array))
        masters[name] = CCDData(image.image.array, unit=unit, uncertainty=uncertainty)
    assert raw.obs_info.dark_time is not None
    ccd = ccdproc.subtract_bias(ccd, masters["bias"])
    ccd = ccdproc.subtract_dark(
        ccd, masters["dark"], dark_exposure=1 * u.s, data_exposure=raw.obs_info.dark_time, scale=True
    )
    ccd = ccdproc.flat_correct(ccd, masters["flat"], norm_value=1.0)
    if not all_steps:
        return ccd
    ccd.mask |= ~np.isfinite(ccd.data)
    columns = np.arange(nx)
    for y in np.flatnonzero(ccd.mask.any(axis=1)):
        bad = ccd.mask[y]
        for plane in (ccd.data, ccd.uncertainty.array):
            plane[y, bad] = np.interp(columns[bad], columns[~bad], plane[y, ~bad]) if not bad.all() else 0.0
    for amplifier in detector.amplifiers:
        box = amplifier.bbox.slice_within(detector.bbox)
        sigma_clipped_stats(ccd.data[box.y, box.x], maxiters=3)
    return ccd


def main() -> None:
    """Measure, print the table and the figures."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    console = Console(width=120)
    inputs = load_inputs(find_shared())
    raw = make_raw(inputs, KIND, SEED)
    calibrations = make_calibrations(inputs, KIND, SEED, raw.detector)
    figures: dict[str, float] = {}
    for name in ("plain", "full", "ap"):
        figures[f"isr_{name}_s"] = time_isr(name, inputs, raw, calibrations, console)
    task = FirstLookIsrTask(config=make_config(find_shared(), "ap"))
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "raw.fits.fz"
        write_compressed(inputs, path)
        figures["read_s"] = best_of(lambda: decompress(path))
        figures["read_and_isr_ap_s"] = best_of(lambda: run_isr(task, inputs, read_raw(path), calibrations))
    exposure = run_isr(task, inputs, raw, calibrations)
    figures["ccdproc_s"] = best_of(lambda: run_ccdproc(raw, calibrations), 2)
    figures["ccdproc_detrending_only_s"] = best_of(lambda: run_ccdproc(raw, calibrations, all_steps=False), 2)
    figures["copy_s"] = best_of(copy_arrays(raw, calibrations, exposure))
    figures["isr_vs_ccdproc"] = figures["ccdproc_s"] / figures["isr_plain_s"]
    figures["isr_plain_vs_copy"] = figures["isr_plain_s"] / figures["copy_s"]
    figures["isr_ap_vs_copy"] = figures["isr_ap_s"] / figures["copy_s"]
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    console.print(table)
    rounded = {name: round(value, 4) for name, value in figures.items()}
    print(json.dumps({"benchmark": "isr", "figures": rounded}))


if __name__ == "__main__":
    main()
