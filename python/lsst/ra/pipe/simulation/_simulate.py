# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The whole simulation: raws, calibrations, truth and reference catalogue."""

from __future__ import annotations

__all__ = ("ProgressCallback", "SimulationError", "SimulationResult", "simulate")

import concurrent.futures
import dataclasses
import multiprocessing
import pathlib
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from astropy.coordinates import SkyCoord

from ..camera import Camera, load_camera
from ._calibrations import SimulatedCalibration, write_calibrations
from ._ccd import build_ccd
from ._config import SimulationConfig
from ._detector import DetectorTruth, ObservedObjects, render
from ._exposures import SimulatedExposure, plan_exposures
from ._headers import amplifier_header, primary_header, raw_file_name
from ._manifest import write_manifest
from ._random import Stream, random_stream
from ._sky import BANDS, SkyCatalog
from ._view import view_detector
from ._write import atomic_path, write_raw, write_table

_NANOJANSKY = 31.4
"""AB magnitude of 1 nJy."""


class SimulationError(RuntimeError):
    """A simulation could not be made; the message says of what, and why."""


class ProgressCallback(Protocol):
    """What `simulate` calls when it has done something."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Take note of progress.

        Parameters
        ----------
        done
            Steps done.
        total
            All steps.
        what
            What was done last.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulationResult:
    """Files that a simulation wrote."""

    raws: tuple[pathlib.Path, ...]
    """Raw files, by exposure, then by detector as configured."""
    calibrations: tuple[SimulatedCalibration, ...]
    """Master calibrations, by detector."""
    manifest: pathlib.Path
    """List of the calibrations, from which a repository is filled."""
    truth: pathlib.Path
    """Table with one row per exposure and detector."""
    object_truth: tuple[pathlib.Path, ...]
    """Tables of the objects on one detector in one exposure."""
    reference_catalog: pathlib.Path
    """Reference catalogue of stars."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _DetectorResult:
    """What the simulation of one detector gave."""

    raws: list[pathlib.Path]
    objects: list[pathlib.Path]
    calibrations: list[SimulatedCalibration]
    truth: list[dict[str, Any]]


def simulate(
    config: SimulationConfig,
    out: pathlib.Path | str,
    *,
    processes: int = 1,
    progress: ProgressCallback | None = None,
) -> SimulationResult:
    """Write raw files with known truth, and everything to process them.

    Parameters
    ----------
    config
        What to simulate.
    out
        Directory to write to; files of an earlier simulation with the same
        names are replaced. It will hold ``raw/<day_obs>/``,
        ``calibrations/``, ``truth/``, ``reference_catalog.parquet`` and
        ``simulation.json``.
    processes
        Number of worker processes; the result does not depend on it. With
        more than one, a script that calls this must guard its main module.
    progress
        Called after each exposure of a detector and after its calibrations.

    Returns
    -------
    result
        The files.

    Raises
    ------
    lsst.ra.pipe.camera.UnknownDetectorError
        Raised if the camera lacks a detector.
    ValueError
        Raised if the filter is unknown or has no band of the sky, or the
        field cannot be seen in the night of ``day_obs``.
    SimulationError
        Raised if a detector could not be simulated or written. No file is
        left half written.
    """
    out = pathlib.Path(out)
    camera = load_camera(config.instrument)
    for detector in config.detectors:
        camera.detector_id(detector)
    exposures = plan_exposures(config, band=_band(camera, config.physical_filter))
    total = len(config.detectors) * (len(exposures) + 1)
    done = 0

    def report(what: str, steps: int = 1) -> None:
        nonlocal done
        done += steps
        if progress is not None:
            progress(done, total, what)

    with atomic_path(out / "simulation.json") as temporary:
        temporary.write_text(config.model_dump_json(indent=2) + "\n")
    catalog = out / "reference_catalog.parquet"
    write_table(catalog, _reference_catalog(config, camera, exposures))
    results = dict(_run_detectors(config, out, exposures, processes, report))
    ordered = [results[detector] for detector in config.detectors]
    truth = out / "truth" / "detectors.parquet"
    rows = [result.truth[i] for i in range(len(exposures)) for result in ordered]
    write_table(truth, pa.Table.from_pylist(rows))
    calibrations = tuple(c for result in ordered for c in result.calibrations)
    return SimulationResult(
        raws=tuple(result.raws[i] for i in range(len(exposures)) for result in ordered),
        calibrations=calibrations,
        manifest=write_manifest(out, calibrations, instrument=config.instrument),
        truth=truth,
        object_truth=tuple(path for result in ordered for path in result.objects),
        reference_catalog=catalog,
    )


def _band(camera: Camera, physical_filter: str) -> str:
    """Return the band of a filter, one of those the sky has."""
    band = camera.filters.get(physical_filter)
    if band not in BANDS:
        usable = sorted(name for name, b in camera.filters.items() if b in BANDS and "_" in name)
        found = "unknown to" if band is None else f"of band {band!r} in"
        raise ValueError(
            f"physical filter {physical_filter!r} is {found} {camera.name}; expected one of"
            f" {', '.join(usable)}"
        )
    return band


def _run_detectors(
    config: SimulationConfig,
    out: pathlib.Path,
    exposures: tuple[SimulatedExposure, ...],
    processes: int,
    report: Callable[..., None],
) -> Iterator[tuple[int, _DetectorResult]]:
    """Simulate all detectors, here or in worker processes."""
    if processes <= 1 or len(config.detectors) == 1:
        for detector in config.detectors:
            try:
                yield detector, _simulate_detector(config, out, exposures, detector, report)
            except (OSError, ValueError) as error:
                raise SimulationError(f"detector {detector}: {error}") from error
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = {
            pool.submit(_simulate_detector, config, out, exposures, detector): detector
            for detector in config.detectors
        }
        for future in concurrent.futures.as_completed(futures):
            detector = futures[future]
            try:
                result = future.result()
            except (OSError, ValueError, BrokenProcessPool) as error:
                pool.shutdown(wait=True, cancel_futures=True)
                raise SimulationError(f"detector {detector}: {error}") from error
            report(f"detector {detector}", len(exposures) + 1)
            yield detector, result


def _simulate_detector(
    config: SimulationConfig,
    out: pathlib.Path,
    exposures: tuple[SimulatedExposure, ...],
    detector: int,
    report: Callable[[str], None] = lambda _: None,
) -> _DetectorResult:
    """Write calibrations and all exposures of one detector."""
    camera = load_camera(config.instrument)
    facts = camera.facts[detector]
    ccd = build_ccd(config, camera[detector])
    result = _DetectorResult(raws=[], objects=[], calibrations=write_calibrations(config, ccd, out), truth=[])
    report(f"{facts.full_name} calibrations")
    extensions = [
        amplifier_header(ccd.detector, amplifier, channel=i + 1)
        for i, amplifier in enumerate(ccd.detector.amplifiers)
    ]
    for exposure in exposures:
        counts, truth, objects = render(config, camera, ccd, exposure)
        name = raw_file_name(exposure, facts)
        path = out / "raw" / str(exposure.day_obs) / name
        write_raw(
            path,
            counts=counts,
            primary=primary_header(exposure, facts, seed=config.seed),
            extensions=extensions,
        )
        result.raws.append(path)
        result.truth.append(_truth_row(exposure, detector, facts.full_name, truth))
        if objects is not None:
            table = out / "truth" / "objects" / f"{pathlib.Path(name).stem}.parquet"
            write_table(table, _object_table(objects))
            result.objects.append(table)
        report(f"{facts.full_name} {exposure.observation_id}")
    return result


def _truth_row(
    exposure: SimulatedExposure, detector: int, full_name: str, truth: DetectorTruth
) -> dict[str, Any]:
    """Return one row of ``truth/detectors.parquet``."""
    return {
        "exposure": exposure.exposure_id,
        "detector": detector,
        "detector_name": full_name,
        "image_type": exposure.image_type.value,
        "physical_filter": exposure.physical_filter,
        "exposure_time": exposure.exposure_time,
        "dark_time": exposure.dark_time,
        **dataclasses.asdict(truth),
    }


def _object_table(objects: ObservedObjects) -> pa.Table:
    """Return one table of ``truth/objects/``."""
    catalog = objects.catalog
    return pa.table(
        {
            "id": catalog.id,
            "x": objects.x,
            "y": objects.y,
            "ra": catalog.ra,
            "dec": catalog.dec,
            "mag": objects.magnitude,
            "flux_electron": objects.flux,
            "is_star": catalog.is_star,
            "fwhm_arcsec": objects.fwhm,
            "e1": objects.e1,
            "e2": objects.e2,
            "psf_fwhm_arcsec": objects.psf_fwhm,
        }
    )


def _reference_catalog(
    config: SimulationConfig, camera: Camera, exposures: tuple[SimulatedExposure, ...]
) -> pa.Table:
    """Return the stars around all detectors, as a survey knows them.

    Positions are true; fluxes (nJy) have errors of 5 mmag and more.
    """
    ra, dec = config.boresight_ra, config.boresight_dec
    radius = 0.0
    centre = SkyCoord(ra, dec, unit="deg")
    for exposure in exposures[:1]:
        for detector in config.detectors:
            view = view_detector(camera, camera[detector], exposure, vignetted=False)
            radius = max(radius, float(view.centre.separation(centre).deg) + view.radius)
    catalog = SkyCatalog.in_circle(config, ra=ra, dec=dec, radius=radius + config.dither / 3600.0 + 0.05)
    catalog = catalog.select(catalog.is_star & (catalog.magnitude("r") < config.reference_magnitude_limit))
    # One stream per band, in the order of ids: the same star in a larger
    # catalogue may get another error, but never another position.
    rng = random_stream(config.seed, Stream.REFERENCE_CATALOG)
    columns: dict[str, np.ndarray] = {"id": catalog.id, "coord_ra": catalog.ra, "coord_dec": catalog.dec}
    for band in BANDS:
        true = catalog.magnitude(band)
        error = np.hypot(0.005, 0.02 * 10.0 ** (0.3 * (true - 20.0)))
        flux = 10.0 ** (-0.4 * (true + error * rng.standard_normal(true.size) - _NANOJANSKY))
        columns[f"monster_ComCam_{band}_flux"] = flux
        columns[f"monster_ComCam_{band}_fluxErr"] = flux * error * np.log(10.0) / 2.5
    return pa.table(columns)
