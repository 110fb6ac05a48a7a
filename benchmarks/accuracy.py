# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Hold calibrateImage against the truth of simulated scenes, beside CalibrateImageTask.

Makes the scenes of a folder with ``scenes.py``, runs CalibrateImageTask of
FirstLook on each, and prints truth, what it measured and what the Science
Pipelines' task measured (``scenes_reference.json``) side by side. Lines that
miss their bar are marked. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import argparse
import contextlib
import importlib.util
import inspect
import io
import json
import logging
import pathlib
import tempfile
import time
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import astropy.table
import astropy.units as u
import numpy as np
import numpy.typing as npt
from _accuracy_scores import Score, print_scores, save_mistakes, score
from _accuracy_truth import APERTURE_RADIUS, Bars, Truth, catalogue_error
from _golden_data import find_shared
from astro_metadata_translator import ObservationInfo
from astropy.coordinates import AltAz, Angle, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from lsst.images import Image, Mask, MaskedImage, SkyProjection
from lsst.pipe.base import Pipeline, Struct
from lsst.ra.pipe.algorithms import MASK_SCHEMA
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.simulation import AdaptiveMoments, adaptive_moments, aperture_fraction
from lsst.ra.pipe.tasks import CalibrateImageTask
from rich.console import Console
from scipy.spatial import KDTree

PIPELINE = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
_STAMP = 40
_REFERENCE_COLUMN = "monster_ComCam_r"


def load_scenes(golden: pathlib.Path) -> ModuleType:
    """Import ``scenes.py``."""
    spec = importlib.util.spec_from_file_location("golden_scenes", golden / "scenes.py")
    if spec is None or spec.loader is None or not (golden / "scenes.py").is_file():
        raise SystemExit(f"There is no scenes.py in {golden}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_task() -> CalibrateImageTask:
    """Make the task as the FirstLook pipeline configures it."""
    node = Pipeline.from_uri(PIPELINE).to_graph().tasks["calibrateImage"]
    return CalibrateImageTask(config=node.config)


def make_image(directory: pathlib.Path, name: str, meta: Mapping[str, Any]) -> MaskedImage:
    """Read a scene as ISR would give it."""
    camera = load_camera("LSSTCam")
    detector = camera[meta["detector"]]
    with fits.open(directory / f"{name}.fits") as hdus:
        image, variance = (hdus[plane].data.astype(np.float32) for plane in ("IMAGE", "VARIANCE"))
    projection = SkyProjection.from_fits_wcs(WCS(meta["wcs_initial"]), detector.frame)
    return MaskedImage(
        Image(image, unit=u.electron, bbox=detector.bbox),
        mask=Mask(0, schema=MASK_SCHEMA, bbox=detector.bbox),
        variance=Image(variance, unit=u.electron**2, bbox=detector.bbox),
        sky_projection=projection,
    )


def make_obs_info(meta: Mapping[str, Any]) -> ObservationInfo:
    """Make what a header would say."""
    begin = Time("2026-02-21T04:00:00", scale="tai")
    return ObservationInfo.makeObservationInfo(
        instrument="LSSTCam",
        telescope="Simonyi Survey Telescope",
        exposure_id=2026022000001,
        visit_id=2026022000001,
        observation_id="MC_O_20260220_000001",
        observation_type="science",
        physical_filter=meta["filter"],
        detector_num=meta["detector"],
        exposure_time=meta["exptime"] * u.s,
        datetime_begin=begin,
        datetime_end=begin + meta["exptime"] * u.s,
        tracking_radec=SkyCoord(meta["boresight_ra"] * u.deg, meta["boresight_dec"] * u.deg),
        boresight_rotation_angle=Angle(meta["rotation"] * u.deg),
        boresight_rotation_coord="sky",
        boresight_airmass=1.2,
        altaz_begin=AltAz(alt=56.4 * u.deg, az=20.0 * u.deg),
    )


def make_references(directory: pathlib.Path, name: str) -> astropy.table.Table:
    """Read the reference catalogue with the columns that the shards have."""
    catalog = astropy.table.Table.read(directory / f"{name}_refcat.ecsv")
    references = astropy.table.Table()
    references["id"] = np.asarray(catalog["id"], np.int64)
    for axis in ("ra", "dec"):
        references[f"coord_{axis}"] = np.asarray(catalog[axis], float)
        references[f"coord_{axis}Err"] = np.asarray(catalog[f"{axis}_err_mas"], float) / 3.6e6
    for column in catalog.colnames:
        if column.endswith(("_flux", "_fluxErr")):
            references[column] = np.asarray(catalog[column], float)
    return references


def find_references(
    references: astropy.table.Table, objects: astropy.table.Table
) -> tuple[astropy.table.Table, npt.NDArray[np.float64]]:
    """Return the references on the detector and their true magnitudes."""
    stars = objects[np.asarray(objects["is_star"], bool)]
    scale = np.cos(np.radians(np.median(stars["dec"])))

    def plane(ra: str, dec: str, table: astropy.table.Table) -> npt.NDArray[np.float64]:
        return np.stack([np.asarray(table[ra], float) * scale, np.asarray(table[dec], float)], axis=1)

    _, index = KDTree(plane("ra", "dec", stars)).query(plane("coord_ra", "coord_dec", references))
    inside = np.asarray(stars["on_ccd"], bool)[index]
    return references[inside], np.asarray(stars["mag"], float)[index[inside]]


def make_truth(scenes: ModuleType, directory: pathlib.Path, name: str, meta: Mapping[str, Any]) -> Truth:
    """Collect what is true of a scene."""
    settings = scenes.SCENES[name]
    ny, nx = meta["ny"], meta["nx"]
    objects = astropy.table.Table.read(directory / f"{name}_truth.ecsv")
    references, mag = find_references(make_references(directory, name), objects)

    def stamp(x: float, y: float) -> npt.NDArray[np.float64]:
        made: npt.NDArray[np.float64] = scenes.stamp(
            0.0, 0.0, _STAMP, *scenes.psf_params(settings, x, y), settings["beta"]
        )
        return made

    def psf(x: float, y: float) -> AdaptiveMoments:
        return adaptive_moments(stamp(x, y))

    def sky_at(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        u_, v_ = scenes.uv(x, y)
        gradient = scenes.SKY_GRAD
        return np.asarray(settings["sky"] * (1.0 + gradient[0] * u_ + gradient[1] * v_))

    true_wcs = WCS(meta["wcs_true"])

    def to_sky(
        x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        ra, dec = true_wcs.wcs_pix2world(x, y, 0)
        return np.asarray(ra), np.asarray(dec)

    def zero_point(positions: list[tuple[float, float]]) -> float:
        fraction = np.mean([aperture_fraction(stamp(x, y), APERTURE_RADIUS) for x, y in positions])
        return float(meta["zero_point"] + 2.5 * np.log10(fraction))

    steps = np.linspace(0.1, 0.9, 5)
    grid = [(float(x), float(y)) for x in steps * (nx - 1) for y in steps * (ny - 1)]
    return Truth(
        name=name,
        shape=(ny, nx),
        psf=psf,
        fwhm=float(meta["fwhm_pix"]),
        sky=float(settings["sky"]),
        noise=float(np.sqrt(settings["sky"] + meta["read_noise_e"] ** 2)),
        sky_at=sky_at,
        usable=None,
        zero_point=zero_point([((nx - 1) / 2.0, (ny - 1) / 2.0)]),
        mean_zero_point=zero_point(grid),
        catalogue_zero_point_error=catalogue_error(references, true_mag=mag, column=_REFERENCE_COLUMN),
        to_sky=to_sky,
        x=np.asarray(objects["x"], float),
        y=np.asarray(objects["y"], float),
        flux=np.asarray(objects["flux_e"], float),
        is_star=np.asarray(objects["is_star"], bool),
        signal_to_noise=np.asarray(objects["snr"], float),
        bars=Bars.for_field(int(meta["n_star_ccd"])),
    )


def run_task(task: CalibrateImageTask, **inputs: Any) -> tuple[Struct, float]:
    """Run the task; return the result and its CPU time (s)."""
    if "references" not in inspect.signature(task.run).parameters:
        inputs.pop("references")
    begin = time.process_time()
    result = task.run(**inputs)
    return result, time.process_time() - begin


def score_scene(
    task: CalibrateImageTask, scenes: ModuleType, directory: pathlib.Path, name: str, *, runs: int
) -> Score:
    """Measure one scene and score it."""
    meta = json.loads((directory / f"{name}.json").read_text())
    image = make_image(directory, name, meta)
    inputs = {
        "image": image,
        "obs_info": make_obs_info(meta),
        "detector": load_camera("LSSTCam")[meta["detector"]],
        "band": meta["band"],
        "references": make_references(directory, name),
    }
    seconds = []
    for _ in range(runs):
        result, spent = run_task(task, **inputs)
        seconds.append(spent)
    truth = make_truth(scenes, directory, name, meta)
    return score(truth, result, image=image.image.array, core_seconds=min(seconds))


def read_references(golden: pathlib.Path) -> dict[str, dict[str, float]]:
    """Read what CalibrateImageTask measured, by scene and figure."""
    path = golden / "scenes_reference.json"
    if not path.is_file():
        return {}
    results = json.loads(path.read_text())["results"]
    return {one["scene"]: _flatten(one) for one in results if one["config"] == "ap"}


def _flatten(one: Mapping[str, Any]) -> dict[str, float]:
    """Return one scene's values under the names of our figures."""
    grid, detect = one["psf_grid"], one["detect"]
    flat = {
        "psf_sigma_error_percent": one["psfSigma"][0],
        "e1_error": one["e"][0][0],
        "e2_error": one["e"][0][1],
        "PSF stars": one["n_psf_used"],
        "psf_grid_sigma_mean_percent": 100.0 * grid["dsigma_frac_mean"],
        "psf_grid_sigma_rms_percent": 100.0 * grid["dsigma_frac_rms"],
        "psf_grid_sigma_max_percent": 100.0 * grid["dsigma_frac_max"],
        "psf_grid_e_rms": float(np.hypot(grid["de1_rms"], grid["de2_rms"]) / np.sqrt(2.0)),
        "sky_error_percent": one["skyBg"][0],
        "noise_error_percent": one["skyNoise"][0],
        "background_residual_median_electron": one["background_e"]["minus_true_median"],
        "background_residual_rms_electron": one["background_e"]["minus_true_rms"],
        "zero_point_error_mmag": one["zeroPoint"][0],
        "zero_point_mean_error_mmag": one["zeroPoint"][0],
        "stars of the zero point": one["n_phot"],
        "wcs_rms_mas": one["wcs_vs_truth"]["rms"],
        "wcs_max_mas": one["wcs_vs_truth"]["max"],
        "stars of the WCS": one["n_astrom_used"],
        "magnitude_limit_mag": one["magLim"],
        "effective_time_second": one["effTime"],
        "n_sources": detect["n"],
        "false_percent": 100.0 * detect["false_any_truth_1as"] / detect["n"],
        "core_seconds": one["cpu_s"],
    }
    names = {
        "sn50": "sn>=50",
        "sn20": "sn>=20",
        "near_sn20": "sn20",
        "sn10": "sn>=10",
        "near_sn10": "sn10",
        "sn5_10": "sn5_10",
    }
    for ours, theirs in names.items():
        if detect[theirs][1]:
            flat[f"completeness_{ours}_percent"] = 100.0 * detect[theirs][2]
    right, total = one["ext"]["true_star_sn>=50"]
    if total:
        flat["stars_sn50_right_percent"] = 100.0 * right / total
    return flat


def main() -> None:
    """Measure, print the tables and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scenes", nargs="*", help="Names of scenes; all of them by default.")
    parser.add_argument(
        "--golden", type=pathlib.Path, help="Folder of scenes.py; that of ../shared by default."
    )
    parser.add_argument("--made", type=pathlib.Path, help="Take scenes that scenes.py made from this folder.")
    parser.add_argument("--save", type=pathlib.Path, help="Write false detections and missed stars here.")
    parser.add_argument("--runs", type=int, default=2, help="Runs of a scene; the fastest is reported.")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    golden = args.golden or find_shared() / "golden"
    scenes = load_scenes(golden)
    names = args.scenes or list(scenes.SCENES)
    if unknown := sorted(set(names) - set(scenes.SCENES)):
        raise SystemExit(f"{golden / 'scenes.py'} has no scene {unknown}; it has {list(scenes.SCENES)}.")
    task = make_task()
    found = []
    for name in names:
        with tempfile.TemporaryDirectory() as temporary:
            directory = args.made or pathlib.Path(temporary)
            if args.made is None:
                with contextlib.redirect_stdout(io.StringIO()):
                    scenes.make(name, temporary)
            found.append(score_scene(task, scenes, directory, name, runs=args.runs))
    print_scores(found, Console(width=120), references=read_references(golden))
    if args.save is not None:
        save_mistakes(found, args.save)
    figures: dict[str, float | None] = {}
    for one in found:
        figures |= one.figures
    figures["missed_bars"] = sum(one.n_missed_bars for one in found)
    print(json.dumps({"benchmark": "accuracy", "figures": figures}))


if __name__ == "__main__":
    main()
