# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Inputs of the plot and gather tasks with known truth, from numpy alone."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
import PIL.Image
from astropy.coordinates import Angle, SkyCoord
from astropy.table import Table
from lsst.ra.pipe.camera import Camera, load_camera
from lsst.ra.pipe.tasks.plots import DetectorPlotData, make_title
from lsst.ra.pipe.tasks.plots._frame import ColorScale
from matplotlib.figure import Figure

BORESIGHT = SkyCoord(359.9, -30.2, unit="deg")
ROTATION = Angle(30.0, "deg")
SIGMA = 2.0
"""Standard deviation of the stars' profile, pixels."""
LEFT_BY_OTHER_TESTS = ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
"""Warnings of whatever is garbage-collected meanwhile, not of a figure."""


def make_metrics(
    camera: Camera, detector: int, *, e: complex = 0.03 + 0.01j, fwhm: float = 0.8, **others: Any
) -> dict[str, Any]:
    """Metrics of one detector; ``e`` is the ellipticity in the focal plane."""
    facts = camera.facts[detector]
    in_pixels = complex(e) * np.exp(-2j * np.deg2rad(facts.yaw))
    ny, nx = facts.shape
    projection = camera.sky_projection(detector, boresight=BORESIGHT, rotation=ROTATION)
    x_centre, y_centre = 0.5 * (nx - 1), 0.5 * (ny - 1)
    *corners, centre = projection.pixel_to_sky(
        x=np.array([-0.5, nx - 0.5, nx - 0.5, -0.5, x_centre]),
        y=np.array([-0.5, -0.5, ny - 0.5, ny - 0.5, y_centre]),
    )
    metrics: dict[str, Any] = {
        "instrument": camera.name,
        "visit": 2026022000012,
        "exposure": 2026022000012,
        "detector": detector,
        "detector_name": facts.full_name,
        "day_obs": 20260220,
        "seq_num": 12,
        "physical_filter": "r_57",
        "exposure_time_second": 30.0,
        "target": "FIELD_A",
        "airmass": 1.21,
        "rotation_degree": float(ROTATION.deg),
        "psf_fwhm_arcsec": fwhm,
        "psf_e1": float(in_pixels.real),
        "psf_e2": float(in_pixels.imag),
        "psf_e": abs(e),
        "psf_status": "ok",
        "sky_electron": 820.0,
        "sky_noise_electron": 28.9,
        "n_sources": 900,
        "n_psf_stars": 150,
        "n_saturated_pixels": 3000,
        "mask_fraction_bad": 1e-3,
        "mask_fraction_sat": 2e-4,
        "mask_fraction_cr": 1e-4,
        "pixel_scale_arcsec": 0.2,
        "boresight_ra_degree": float(BORESIGHT.ra.deg),
        "boresight_dec_degree": float(BORESIGHT.dec.deg),
        "center_ra_degree": float(centre.ra.to_value(u.deg)),
        "center_dec_degree": float(centre.dec.to_value(u.deg)),
        "astrometry_status": "ok",
        "n_references": 160,
        "n_astrometry_stars": 140,
        "astrometry_offset_mean_arcsec": 0.012,
        "astrometry_offset_std_arcsec": 0.009,
        "pointing_offset_ra_arcsec": 4.0,
        "pointing_offset_dec_arcsec": -2.0,
        "pointing_rotation_degree": 0.01,
        "photometry_status": "ok",
        "n_photometry_stars": 120,
        "zero_point_mag": 32.1,
        "zero_point_err_mag": 0.001,
        "zero_point_scatter_mag": 0.012,
        "magnitude_limit_mag": 24.1,
        "effective_time_second": 15.3,
    }
    for corner, sky in enumerate(corners):
        metrics[f"corner_{corner}_ra_degree"] = float(sky.ra.to_value(u.deg))
        metrics[f"corner_{corner}_dec_degree"] = float(sky.dec.to_value(u.deg))
    return metrics | others


def make_stars(
    camera: Camera, detector: int, *, n_sources: int, e1: float = 0.06, e2: float = 0.0, seed: int = 1
) -> Table:
    """Sources of one detector, every other one a PSF star."""
    rng = np.random.default_rng(seed)
    ny, nx = camera.facts[detector].shape
    flux = 10.0 ** (3.0 + rng.exponential(0.8, n_sources))
    is_psf_star = np.arange(n_sources) % 2 == 0
    # The determinant is that of a round profile of SIGMA.
    size = SIGMA**2 / np.sqrt(1.0 - e1**2 - e2**2) * np.where(is_psf_star, 1.0, 2.0)
    table = Table(
        {
            "x": rng.uniform(0, nx - 1, n_sources),
            "y": rng.uniform(0, ny - 1, n_sources),
            "ixx": size * (1.0 + e1),
            "iyy": size * (1.0 - e1),
            "ixy": size * e2,
            "is_psf_star": is_psf_star,
            "is_extended": ~is_psf_star,
            "is_saturated": flux > 1e6,
        }
    )
    # Every fourth source is in the catalogue, displaced along x.
    matched = np.arange(n_sources) % 4 == 0
    table["ref_id"] = np.where(matched, np.arange(n_sources) + 1, 0)
    for axis, residual in (("x", 0.030), ("y", 0.0)):
        table[f"ref_residual_{axis}_arcsec"] = np.where(matched, residual, np.nan)
    table["is_astrometry_used"] = matched
    for radius in (3, 6, 9, 12, 17):
        table[f"ap{radius:02d}_flux"] = flux * (1.0 - 0.5 ** (radius / 3.0))
        table[f"ap{radius:02d}_flux_err"] = np.sqrt(flux + 820.0 * np.pi * radius**2)
    return table


def make_image(camera: Camera, detector: int, *, binning: int, seed: int = 1) -> npt.NDArray[np.float32]:
    """Binned image of one detector: noise about the sky."""
    ny, nx = (size // binning for size in camera.facts[detector].shape)
    rng = np.random.default_rng(seed)
    return rng.normal(820.0, 28.9 / binning, (ny, nx)).astype(np.float32)


def make_plot_data(
    *, camera: str = "LSSTCam", detector: int = 94, n_sources: int = 300, **metrics: Any
) -> DetectorPlotData:
    """All that the plots of one detector need."""
    instrument = load_camera(camera)
    values = make_metrics(instrument, detector, **metrics)
    return DetectorPlotData(
        image=make_image(instrument, detector, binning=8),
        binning=8,
        detector=instrument[detector],
        stars=make_stars(instrument, detector, n_sources=n_sources),
        metrics=values,
        title=make_title(values, detector=instrument.facts[detector].full_name),
    )


def render(figure: Figure) -> npt.NDArray[np.uint8]:
    """Write a figure as PNG and read it back: ``(ny, nx, 3)``."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(PIL.Image.open(buffer).convert("RGB"))


def texts(figure: Figure) -> str:
    """Everything that is written in a figure."""
    parts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        parts += [text.get_text() for text in axes.texts]
        parts += [axes.get_title(loc) for loc in ("left", "center", "right")]
        parts += [axes.get_xlabel(), axes.get_ylabel()]
    parts += [scale.label for scale in figure.findobj(ColorScale)]
    return "\n".join(parts)


def science_detectors(camera: Camera, *, but: Collection[int] = ()) -> list[int]:
    """Ids of the science detectors."""
    return [key for key, facts in camera.facts.items() if facts.purpose == "SCIENCE" and key not in but]
