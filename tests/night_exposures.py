# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A night of exposures with known weather."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import Table

DAY_OBS = 20260220
N_DETECTORS = 189
N_EXPOSURES = 60

FILTERS = {"g": "g_6", "r": "r_57", "i": "i_39", "z": "z_20", "y": "y_10"}
ZERO_POINT = {"g": 32.4, "r": 32.1, "i": 31.8, "z": 31.3, "y": 30.2}
SKY = {"g": 620.0, "r": 1150.0, "i": 1900.0, "z": 2900.0, "y": 3700.0}
BLOCKS = (("g", 10), ("r", 16), ("i", 12), ("z", 12), ("y", 10))
"""Bands of the night, with their numbers of exposures."""

CLOUD = range(18, 24)
"""Sequence numbers behind a cloud."""

AFTER_GAP = 39
"""First sequence number after an hour without exposures."""

WITHOUT_PSF = 45
"""Sequence number of an exposure whose stars were trailed."""

MISSING = {30: 9, 31: 9, 32: 1}
"""Number of missing detectors by sequence number."""


def make_summary(seq_num: int, band: str, *, seed: int = 1, n_detectors: int = N_DETECTORS) -> dict[str, Any]:
    """Summary of an exposure, as the task writes it."""
    rng = np.random.default_rng([seed, seq_num])
    extinction = (
        0.9 * math.sin(math.pi * (seq_num - CLOUD[0] + 0.5) / len(CLOUD)) if seq_num in CLOUD else 0.0
    )
    fwhm = 0.75 + 0.15 * math.sin(seq_num / 9.0) + 0.03 * rng.standard_normal()
    sky = SKY[band] * (1.0 + 0.002 * (seq_num - 30) ** 2 / 9 + 0.15 * extinction)
    zero_point = ZERO_POINT[band] - extinction + 0.005 * rng.standard_normal()
    n_missing = MISSING.get(seq_num, 0)
    minute = 0.62 * seq_num + (20.0 if seq_num >= AFTER_GAP else 0.0) + 3.0 * (seq_num > 10)
    exposure = DAY_OBS * 100_000 + seq_num
    summary: dict[str, Any] = {
        "instrument": "LSSTCam",
        "visit": exposure,
        "exposure": exposure,
        "day_obs": DAY_OBS,
        "seq_num": seq_num,
        "physical_filter": FILTERS[band],
        "band": band,
        "observation_type": "science",
        "observation_reason": "field_survey_science",
        "science_program": "BLOCK-365",
        "target": f"FIELD_{seq_num // 8:02d}",
        "exposure_time_second": 30.0,
        "begin_mjd_tai": 61092.1 + 4.0 * minute / 1440.0,
        "airmass": 1.0 + 0.4 * ((seq_num - 30) / 30.0) ** 2,
        "n_detectors": n_detectors - n_missing,
        "n_detectors_expected": n_detectors,
        "n_detectors_missing": n_missing,
        "detectors_missing": list(range(n_missing)),
        "psf_e_common": 0.02,
    }
    fractional = 10 ** (-0.8 * extinction) * (0.75 / fwhm) ** 2 * (SKY[band] / sky)
    values = {
        "psf_fwhm_arcsec": (fwhm, 0.93, 1.12),
        "psf_e": (0.035 + 0.008 * rng.standard_normal(), 0.4, 2.4),
        "sky_electron": (sky, 0.9, 1.06),
        "sky_noise_electron": (math.sqrt(sky + 36.0), 0.95, 1.1),
        "zero_point_mag": (zero_point, 1.0 - 0.002, 1.0 + 0.0015),
        "zero_point_mag_scatter": (0.01, 1.0, 1.0),
        "magnitude_limit_mag": (zero_point - 7.4 - 0.5 * math.log10(sky / 600.0), 0.995, 1.003),
        "effective_time_second": (30.0 * fractional, 0.8, 1.15),
        "n_psf_stars": (140.0, 0.4, 1.6),
    }
    lost = {"psf_fwhm_arcsec", "psf_e", "zero_point_mag", "magnitude_limit_mag", "effective_time_second"}
    for name, (value, low, high) in values.items():
        is_lost = seq_num == WITHOUT_PSF and name in lost
        for statistic, factor in (("median", 1.0), ("min", low), ("max", high)):
            summary[f"{name}_{statistic}"] = math.nan if is_lost else value * factor
    return summary


def make_night(blocks: Sequence[tuple[str, int]] = BLOCKS) -> list[dict[str, Any]]:
    """Summaries of a night: a cloud, a gap, an exposure without PSF."""
    bands = [band for band, n in blocks for _ in range(n)]
    return [make_summary(seq_num, band) for seq_num, band in enumerate(bands, start=1)]


def make_detectors(summary: dict[str, Any]) -> Table:
    """Table of the exposure's detectors, as far as alert rules look at it."""
    n = summary["n_detectors"]
    failed = math.isnan(summary["psf_fwhm_arcsec_median"])
    return Table(
        {
            "detector": np.arange(n),
            "detector_name": [f"R{index // 9:02d}_S{index % 9 // 3}{index % 3}" for index in range(n)],
            "psf_status": ["few stars" if failed else "ok"] * n,
            "astrometry_status": ["no match" if failed else "ok"] * n,
            "photometry_status": ["no astrometry" if failed else "ok"] * n,
        }
    )
