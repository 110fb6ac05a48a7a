# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Measurement of one detector's image: sky, sources, PSF and their table."""

from ._background import BackgroundModel, NoBackgroundError, fit_background
from ._detection import Detections, detect_sources
from ._measure import DetectorMeasurement, MeasurementSettings, PlaneBits, measure_detector
from ._metrics import DETECTOR_METRICS, MASK_FRACTION_PLANES, MetricDefinition, undefined_metrics
from ._photometry import APERTURE_RADII, AperturePhotometry, measure_apertures
from ._pixels import DOUBTFUL, UNUSABLE, count_planes, find_bad_pixels, set_plane
from ._psf import MoffatProfile, PsfMeasurement, measure_psf, render_moffat
from ._shapes import Shapes, determinant_radius, ellipticity, measure_shapes
from ._star_selection import StarSelection, isolated_sources, select_psf_stars, sharp_sources
from ._star_table import make_star_table

__all__ = (
    "APERTURE_RADII",
    "DETECTOR_METRICS",
    "DOUBTFUL",
    "MASK_FRACTION_PLANES",
    "UNUSABLE",
    "AperturePhotometry",
    "BackgroundModel",
    "Detections",
    "DetectorMeasurement",
    "MeasurementSettings",
    "MetricDefinition",
    "MoffatProfile",
    "NoBackgroundError",
    "PlaneBits",
    "PsfMeasurement",
    "Shapes",
    "StarSelection",
    "count_planes",
    "detect_sources",
    "determinant_radius",
    "ellipticity",
    "find_bad_pixels",
    "fit_background",
    "isolated_sources",
    "make_star_table",
    "measure_apertures",
    "measure_detector",
    "measure_psf",
    "measure_shapes",
    "render_moffat",
    "select_psf_stars",
    "set_plane",
    "sharp_sources",
    "undefined_metrics",
)
