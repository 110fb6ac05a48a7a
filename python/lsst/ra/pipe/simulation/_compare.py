# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What was measured on simulated exposures, beside the truth."""

from __future__ import annotations

__all__ = ("DetectorComparison", "compare_with_truth")

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.parquet
from astropy.table import Table
from scipy.spatial import KDTree

from lsst.daf.butler.formatters.parquet import arrow_to_astropy

_MATCH_RADIUS = 5.0
"""Largest distance (pixels) between a star and its measurement."""


@dataclasses.dataclass(frozen=True)
class DetectorComparison:
    """Measured values of one detector of one exposure, and the true ones."""

    exposure: int
    """Butler ``exposure``."""
    detector: int
    """Butler ``detector``."""
    detector_name: str
    """Full name of the detector."""
    fwhm: float
    """Measured PSF FWHM, arcsec."""
    true_fwhm: float
    """PSF FWHM at the centre before integration over pixels, arcsec."""
    sky: float
    """Measured sky level, electron."""
    true_sky: float
    """Median expected sky level, vignetting included, electron."""
    position_offset: float
    """Median distance of the PSF stars from their true places, pixels."""
    n_matched: int
    """PSF stars that were matched with true ones."""
    n_psf_stars: int
    """PSF stars that were measured."""


def compare_with_truth(
    metrics: Mapping[str, Any], stars: Table, simulation: pathlib.Path | str
) -> DetectorComparison:
    """Hold the results of one detector against the simulation's truth.

    Parameters
    ----------
    metrics
        The dataset ``rapid_detector_metrics``.
    stars
        The dataset ``single_visit_star_unstandardized``.
    simulation
        Directory that `simulate` wrote.

    Returns
    -------
    comparison
        Measured and true values.

    Raises
    ------
    LookupError
        Raised if the simulation has no such exposure and detector.

    Notes
    -----
    Positions are compared on the sky, so the header's pointing and the camera
    geometry are tested with the centroids.
    """
    simulation = pathlib.Path(simulation)
    exposure, detector = int(metrics["exposure"]), int(metrics["detector"])
    detectors = _read_table(simulation / "truth" / "detectors.parquet")
    rows = detectors[(detectors["exposure"] == exposure) & (detectors["detector"] == detector)]
    if len(rows) != 1:
        raise LookupError(f"{simulation} has no exposure {exposure}, detector {detector}.")
    truth = rows[0]
    offsets = _star_offsets(stars, _read_objects(simulation, truth), float(truth["pixel_scale_arcsec"]))
    return DetectorComparison(
        exposure=exposure,
        detector=detector,
        detector_name=str(truth["detector_name"]),
        fwhm=float(metrics["psf_fwhm_arcsec"]),
        true_fwhm=float(truth["psf_fwhm_arcsec"]),
        sky=float(metrics["sky_electron"]),
        true_sky=float(truth["sky_electron"]),
        position_offset=float(np.median(offsets)) if offsets.size else np.nan,
        n_matched=offsets.size,
        n_psf_stars=int(metrics["n_psf_stars"]),
    )


def _read_table(path: pathlib.Path) -> Table:
    return arrow_to_astropy(pyarrow.parquet.read_table(path))


def _read_objects(simulation: pathlib.Path, truth: Any) -> Table:
    """Read the objects that were on the detector."""
    day_obs, seq_num = divmod(int(truth["exposure"]), 100_000)
    pattern = f"*_{day_obs}_{seq_num:06d}_{truth['detector_name']}.parquet"
    [path] = (simulation / "truth" / "objects").glob(pattern)
    return _read_table(path)


def _star_offsets(stars: Table, objects: Table, pixel_scale: float) -> np.ndarray:
    """Return distances (pixels) of PSF stars to the nearest true star."""
    measured = stars[np.asarray(stars["is_psf_star"], dtype=bool)]
    true = objects[np.asarray(objects["is_star"], dtype=bool)]
    if not len(measured) or not len(true):
        return np.zeros(0)
    ra, dec = float(np.median(true["ra"])), float(np.median(true["dec"]))

    def plane(table: Table) -> np.ndarray:
        x = ((np.asarray(table["ra"]) - ra + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec))
        return np.stack([x, np.asarray(table["dec"]) - dec], axis=1) * (3600.0 / pixel_scale)

    distance, _ = KDTree(plane(true)).query(plane(measured), distance_upper_bound=_MATCH_RADIUS)
    return np.asarray(distance[np.isfinite(distance)])
