# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Hold FirstLook against the truth of simulated raw files in hard conditions.

Simulates one detector in each condition, removes the instrument's signature
and measures, as FirstLook does, and prints truth and measurement. Errors may be
twice those on clean scenes (``accuracy.py``). An image that cannot be measured
must be refused, or have a status that says why. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import argparse
import json
import logging
import math
import pathlib
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

import astropy.table
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import scipy.ndimage
from _accuracy_scores import Row, Score, print_scores, save_mistakes, score
from _accuracy_truth import APERTURE_RADIUS, Bars, Truth, catalogue_error
from accuracy import PIPELINE, run_task
from lsst.images import MaskedImage
from lsst.pipe.base import AlgorithmError, NoWorkFound, Pipeline
from lsst.ra.pipe.camera import RawImage, load_camera, read_raw
from lsst.ra.pipe.camera.calibrations import (
    Crosstalk,
    Defects,
    DeferredCharge,
    IsrCalibration,
    Linearizer,
    PhotonTransferCurve,
    read_calibration_image,
)
from lsst.ra.pipe.simulation import (
    SimulationConfig,
    SimulationResult,
    TrueDetector,
    aperture_fraction,
    shadow,
    simulate,
)
from lsst.ra.pipe.tasks import CalibrateImageTask, FirstLookIsrTask
from rich.console import Console

_REFUSALS: tuple[type[BaseException], ...] = (AlgorithmError, NoWorkFound)
_FACTOR = 2.0
_LIT = 0.99
_REFERENCE_COLUMN = "monster_ComCam_r"
_COMMON: Mapping[str, Any] = {
    "detectors": (94,),
    "star_density": 50_000.0,
    "reference_magnitude_limit": 20.0,
    "fwhm": (0.9, 0.9),
}
_SPARSE: Mapping[str, Any] = {"star_density": 1200.0, "star_magnitudes": (15.0, 23.0), "galaxy_density": 0.0}
_EMPTY: Mapping[str, Any] = {"star_density": 0.0, "galaxy_density": 0.0}

CONDITIONS: Mapping[str, Mapping[str, Any]] = {
    "normal": {},
    "seeing_05": {"fwhm": (0.5, 0.5)},
    "seeing_07": {"fwhm": (0.7, 0.7)},
    "seeing_14": {"fwhm": (1.4, 1.4)},
    "seeing_20": {"fwhm": (2.0, 2.0)},
    "kolmogorov": {"psf_profile": "kolmogorov"},
    "elongated": {"ellipticity": 0.12},
    "crowded": {"star_density": 237_000.0, "fwhm": (0.7, 0.7), "galaxy_density": 0.0},
    "sparse": _SPARSE,
    "bright_sky": {"sky_magnitude": 18.5},
    "twilight": {"sky_magnitude": 17.0, "exposure_time": 15.0},
    "dead_amplifiers": {"dead_amplifiers": ("C12", "C05")},
    "dead_amplifiers_unknown": {"dead_amplifiers": ("C12", "C05"), "dead_amplifiers_known": False},
    "half_vignetted": {"shadow": 0.5},
    "half_vignetted_flat": {"shadow": 0.5, "shadow_in_flat": True},
    "saturated": {"star_magnitudes": (8.0, 20.0), "star_density": 15_000.0},
    "cosmic_rays": {"cosmic_ray_rate": 20.0},
    "pointing": {"pointing_error": 30.0, "rotation_error": 0.5},
    "pointing_sparse": {**_SPARSE, "pointing_error": 30.0, "rotation_error": -0.5},
    "pointing_edge": {
        "detectors": (29,),
        "pointing_error": 30.0,
        "rotation_error": 0.5,
        "vignetting": False,
    },
}
"""Conditions in which FirstLook must measure well, as overrides of the
simulation's settings."""

UNMEASURABLE: Mapping[str, Mapping[str, Any]] = {
    "closed_dome": {**_EMPTY, "sky_magnitude": 40.0},
    "dome_flat": {**_EMPTY, "sky_magnitude": 17.0},
    "dark_with_cosmic_rays": {**_EMPTY, "sky_magnitude": 40.0, "cosmic_ray_rate": 20.0},
    "empty_sky": {**_EMPTY},
    "all_vignetted": {"shadow": -0.5},
    "trailed": {"trail": 10.0},
    "donut_small": {"donut_diameter": 3.0},
    "donut": {"donut_diameter": 12.0},
    "dark": {"n_exposures": 0, "n_dark": 1},
    "flat": {"n_exposures": 0, "n_flat": 1},
}
"""Conditions in which there is no PSF of stars to measure."""

_TABLES: Mapping[str, type[IsrCalibration]] = {
    "ptc": PhotonTransferCurve,
    "defects": Defects,
    "crosstalk": Crosstalk,
    "linearizer": Linearizer,
    "cti": DeferredCharge,
}
_CONNECTIONS = {"cti": "deferredChargeCalib"}


class FirstLook:
    """ISR and measurement as the pipeline configures them."""

    def __init__(self) -> None:
        tasks = Pipeline.from_uri(PIPELINE).to_graph().tasks
        self.isr = FirstLookIsrTask(config=tasks["isr"].config)
        self.calibrate = CalibrateImageTask(config=tasks["calibrateImage"].config)

    def detrend(self, raw: RawImage, made: SimulationResult) -> MaskedImage:
        """Run ISR with the calibrations of the simulation."""
        wanted = self.isr.config.wanted_calibrations()
        calibrations: dict[str, Any] = {}
        for one in made.calibrations:
            name = _CONNECTIONS.get(one.dataset_type, one.dataset_type)
            if wanted[name]:
                table = _TABLES.get(one.dataset_type)
                calibrations[name] = table.read(one.path) if table else read_calibration_image(one.path)
        image: MaskedImage = self.isr.run(ccdExposure=raw, **calibrations).exposure
        return image


def make_truth(name: str, config: SimulationConfig, made: SimulationResult, image: MaskedImage) -> Truth:
    """Collect what is true of a simulated detector."""
    [detector] = config.detectors
    row = pq.read_table(made.truth).to_pylist()[0]
    objects = pq.read_table(made.object_truth[0])
    x, y, flux, is_star = (objects[column].to_numpy() for column in ("x", "y", "flux_electron", "is_star"))
    references = read_references(made)
    _, index, row_of_reference = np.intersect1d(
        objects["id"].to_numpy(), np.asarray(references["id"]), return_indices=True
    )
    true = TrueDetector.of(config, detector=detector)
    projection = true.projection
    ny, nx = image.bbox.shape
    star = true.star((nx - 1) / 2.0, (ny - 1) / 2.0)
    area = 1.0 / np.sum(star**2)

    def to_sky(
        x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        sky = projection.pixel_to_sky(x=x, y=y)
        return sky.ra.deg, sky.dec.deg

    fraction = np.mean(
        [
            aperture_fraction(true.star(float(at_x), float(at_y)), APERTURE_RADIUS)
            for at_x in np.linspace(0.1, 0.9, 3) * (nx - 1)
            for at_y in np.linspace(0.1, 0.9, 3) * (ny - 1)
        ]
    )
    noise = row["noise_electron"]
    return Truth(
        name=name,
        shape=(ny, nx),
        psf=true.moments,
        fwhm=row["psf_fwhm_arcsec"] / row["pixel_scale_arcsec"],
        sky=row["sky_electron"],
        noise=noise,
        sky_at=true.sky,
        usable=find_usable(config, image),
        zero_point=row["zero_point_12_pixels"],
        mean_zero_point=float(row["zero_point"] + 2.5 * np.log10(fraction)),
        catalogue_zero_point_error=catalogue_error(
            references[row_of_reference],
            true_mag=objects["mag"].to_numpy()[index],
            column=_REFERENCE_COLUMN,
        ),
        to_sky=to_sky,
        x=x,
        y=y,
        flux=flux,
        is_star=is_star,
        signal_to_noise=flux / np.sqrt(noise**2 * area + flux),
        bars=Bars.for_field(row["n_stars"], factor=_FACTOR),
    )


def read_references(made: SimulationResult) -> astropy.table.Table:
    """Read the reference catalogue, which has the columns of the shards."""
    return astropy.table.Table(pq.read_table(made.reference_catalog).to_pydict())


def find_usable(config: SimulationConfig, image: MaskedImage) -> npt.NDArray[np.bool_]:
    """Find pixels with light, away from defects and bleeds."""
    bad = ~np.isfinite(image.image.array)
    for plane in ("BAD", "SAT", "NO_DATA", "UNMASKEDNAN"):
        bad |= image.mask.get(plane)
    usable: npt.NDArray[np.bool_] = ~scipy.ndimage.binary_dilation(bad, np.ones((1, 9)), iterations=1)
    usable &= ~scipy.ndimage.binary_dilation(bad, np.ones((9, 1)), iterations=1)
    [number] = config.detectors
    detector = load_camera(config.instrument)[number]
    for amplifier in detector.amplifiers:
        if amplifier.name in config.dead_amplifiers:
            usable[amplifier.bbox.slice_within(detector.bbox)] = False
    usable &= shadow(config, np.arange(usable.shape[1]), usable.shape[1]) >= _LIT
    return usable


def refusal(name: str, error: BaseException) -> Score:
    """Return the score of an image that the task refused."""
    row = Row("said why", 1.0, 1.0, "said_why", limit=1.0, at_least=True, digits=0)
    empty = astropy.table.Table()
    return Score(name, (row,), empty, empty, (f"{type(error).__name__}: {error}",))


def partial_result(name: str, metrics: Mapping[str, Any]) -> Score:
    """Score an image without a measurable PSF for which there is a result.

    It must say why there is no PSF, and must not have one.
    """
    statuses = tuple(f"{key}: {value}" for key, value in metrics.items() if key.endswith("_status"))
    said = metrics.get("psf_status") not in ("ok", "", None)
    psf = [key for key, value in metrics.items() if key.startswith("psf_") and isinstance(value, float)]
    invented = [key for key in psf if math.isfinite(metrics[key])]
    rows = (
        Row("said why", 1.0, float(said), "said_why", limit=1.0, at_least=True, digits=0),
        Row("PSF metrics with a value", 0.0, float(len(invented)), "invented_metrics", limit=0.0, digits=0),
        *(
            Row(key, None, float(metrics.get(key, math.nan)))
            for key in (
                "sky_electron",
                "sky_noise_electron",
                "n_sources",
                "n_psf_stars",
                "psf_sigma_pixel",
                "psf_e1",
                "psf_e2",
                "zero_point_mag",
                "n_astrometry_stars",
            )
        ),
    )
    empty = astropy.table.Table()
    return Score(name, rows, empty, empty, statuses)


def refused_in_vain(name: str, error: BaseException) -> Score:
    """Return the score of an image that should have been measured."""
    row = Row("measured", 1.0, 0.0, "measured", limit=1.0, at_least=True, digits=0)
    empty = astropy.table.Table()
    return Score(name, (row,), empty, empty, (f"{type(error).__name__}: {error}",))


def score_condition(first_look: FirstLook, name: str, directory: pathlib.Path, *, seed: int) -> Score:
    """Simulate, process and score one condition."""
    measurable = name in CONDITIONS
    overrides = CONDITIONS[name] if measurable else UNMEASURABLE[name]
    config = SimulationConfig(seed=seed, **{**_COMMON, **overrides})
    made = simulate(config, directory)
    raw = read_raw(made.raws[0])
    image = first_look.detrend(raw, made)
    pixels = image.image.array.copy()
    inputs = {
        "image": image,
        "obs_info": raw.obs_info,
        "detector": raw.detector,
        "band": "r",
        "references": read_references(made),
    }
    try:
        result, seconds = run_task(first_look.calibrate, **inputs)
    except _REFUSALS as error:
        return refused_in_vain(name, error) if measurable else refusal(name, error)
    if not measurable:
        return partial_result(name, result.metrics)
    truth = make_truth(name, config, made, image)
    return score(truth, result, image=pixels, core_seconds=seconds)


def main() -> None:
    """Measure, print the tables and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "conditions", nargs="*", help=f"Some of {', '.join((*CONDITIONS, *UNMEASURABLE))}; all by default."
    )
    parser.add_argument("--seed", type=int, default=1, help="Seed of the simulations.")
    parser.add_argument("--save", type=pathlib.Path, help="Write false detections and missed stars here.")
    parser.add_argument("--brief", action="store_true", help="Print only the lines that miss their bar.")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    names = args.conditions or [*CONDITIONS, *UNMEASURABLE]
    if unknown := sorted(set(names) - {*CONDITIONS, *UNMEASURABLE}):
        parser.error(f"there is no condition {', '.join(unknown)}")
    first_look, console, found = FirstLook(), Console(width=120), []
    for name in names:
        with tempfile.TemporaryDirectory() as directory:
            found.append(score_condition(first_look, name, pathlib.Path(directory), seed=args.seed))
        print_scores(found[-1:], console, brief=args.brief)
        if args.save is not None:
            save_mistakes(found[-1:], args.save)
    figures: dict[str, float | None] = {}
    for one in found:
        figures |= one.figures
    figures["missed_bars"] = sum(one.n_missed_bars for one in found)
    print(json.dumps({"benchmark": "accuracy_raw", "figures": figures}))


if __name__ == "__main__":
    main()
