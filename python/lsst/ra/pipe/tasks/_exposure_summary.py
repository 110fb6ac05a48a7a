# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Summarise an exposure from the metrics of its detectors."""

from __future__ import annotations

__all__ = ("ExposureSummaryConfig", "ExposureSummaryConnections", "ExposureSummaryTask")

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from astropy.table import Column, Table

from lsst.pex.config import ListField
from lsst.pipe.base import (
    InputQuantizedConnection,
    OutputQuantizedConnection,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    QuantumContext,
    Struct,
)
from lsst.pipe.base.connectionTypes import Input, Output

from ..algorithms.focal_plane import (
    find_ellipticity_pattern,
    fit_plane,
    fit_pointing,
    rotate_ellipticity,
    summarize,
)
from ..algorithms.measurement import DETECTOR_METRICS
from ..camera import Camera, load_camera

_EXPOSURE_FACTS = (
    "instrument",
    "visit",
    "exposure",
    "day_obs",
    "seq_num",
    "physical_filter",
    "band",
    "observation_type",
    "observation_reason",
    "science_program",
    "target",
    "exposure_time_second",
    "begin_mjd_tai",
    "airmass",
    "altitude_degree",
    "azimuth_degree",
    "boresight_ra_degree",
    "boresight_dec_degree",
    "rotation_degree",
)
"""Metrics that are the same for all detectors of an exposure."""

_STEP_VALUES: Mapping[str, str] = MappingProxyType(
    {
        "psf": "psf_fwhm_arcsec",
        "astrometry": "astrometry_offset_mean_arcsec",
        "photometry": "zero_point_mag",
    }
)
"""Metric that is finite where a part of the measurement succeeded; the metric
``<part>_status`` says why it did not."""

_UNKNOWN_STATUS = "unknown"


class ExposureSummaryConnections(
    PipelineTaskConnections, dimensions=("instrument", "visit"), defaultTemplates={}
):
    """Datasets of `ExposureSummaryTask`."""

    metrics = Input(
        doc="Metrics of the detectors, of as many as there are.",
        name="rapid_detector_metrics",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit", "detector"),
        multiple=True,
    )
    summary = Output(
        doc="Medians, scatters, extremes and gradients over the focal plane; which detectors are missing.",
        name="rapid_exposure_summary",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit"),
    )
    detectors = Output(
        doc="All metrics in one table, one row a detector, in order of detector.",
        name="rapid_exposure_detectors",
        storageClass="ArrowAstropy",
        dimensions=("instrument", "visit"),
    )


class ExposureSummaryConfig(PipelineTaskConfig, pipelineConnections=ExposureSummaryConnections):
    """Configuration of `ExposureSummaryTask`."""

    statistics = ListField[str](
        dtype=str,
        default=[
            "psf_fwhm_arcsec",
            "psf_e",
            "focal_plane_e1",
            "focal_plane_e2",
            "sky_electron",
            "sky_noise_electron",
            "n_sources",
            "n_psf_stars",
            "n_saturated_pixels",
            "mask_fraction_bad",
            "mask_fraction_sat",
            "mask_fraction_cr",
            "psf_fwhm_pixel",
            "psf_sigma_pixel",
            "psf_star_delta_size_scatter_pixel",
            "psf_trace_radius_delta_pixel",
            "seeing_zenith_500nm_arcsec",
            "pixel_scale_arcsec",
            "post_isr_median_electron",
            "n_cosmic_rays",
            "n_references",
            "n_astrometry_stars",
            "astrometry_offset_mean_arcsec",
            "astrometry_offset_std_arcsec",
            "n_photometry_stars",
            "zero_point_mag",
            "zero_point_err_mag",
            "zero_point_scatter_mag",
            "magnitude_limit_mag",
            "effective_time_second",
            "effective_time_psf_scale",
            "effective_time_sky_scale",
            "effective_time_zero_point_scale",
        ],
        doc="Metrics, or columns of the detector table, to give the median, scatter, minimum and maximum of.",
    )
    gradients = ListField[str](
        dtype=str,
        default=["psf_fwhm_arcsec", "focal_plane_e1", "focal_plane_e2", "sky_electron", "zero_point_mag"],
        doc="Metrics, or columns of the detector table, to fit a plane to, over the focal plane; slopes are "
        "per degree.",
    )
    expectedPurposes = ListField[str](
        dtype=str,
        default=["SCIENCE"],
        doc="Purposes of the detectors that an exposure should have; the others do not count as missing.",
    )
    expectedDetectors = ListField[int](
        dtype=int,
        default=[],
        doc="Ids of the detectors that an exposure should have, in place of expectedPurposes; empty for all "
        "of those.",
    )


class ExposureSummaryTask(PipelineTask):
    """Summarise an exposure from the metrics of the detectors that are there.

    Detectors may be missing, and a detector without stars has NaN in its PSF
    metrics: neither changes the statistics of the others. How many there were
    for each is in the summary, with the reasons of those that failed:

    - ``n_detectors``, ``n_detectors_expected``, ``n_detectors_missing`` and
      ``detectors_missing``;
    - ``n_detectors_with_psf``, ``..._astrometry``, ``..._photometry``, and
      ``detectors_without_psf``, ``..._astrometry``, ``..._photometry``;
    - ``psf_status_counts``, ``astrometry_status_counts`` and
      ``photometry_status_counts``: number of detectors by status, in which
      ``ok`` is one and ``unknown`` stands for none;
    - ``boresight_offset_ra_arcsec``, ``boresight_offset_dec_arcsec`` and
      ``boresight_rotation_degree``: where the telescope pointed relative to
      the header, from `~lsst.ra.pipe.algorithms.focal_plane.fit_pointing`;
    - for each of ``statistics`` the name with ``_median``, ``_scatter``,
      ``_min``, ``_min_detector``, ``_max``, ``_max_detector``, and for each
      of ``gradients`` with ``_gradient_x_per_degree``,
      ``_gradient_y_per_degree`` and ``_residual_scatter``.
    """

    ConfigClass: ClassVar[type[ExposureSummaryConfig]] = ExposureSummaryConfig
    config: ExposureSummaryConfig
    _DefaultName: ClassVar[str] = "exposureSummary"

    inputs_read_only: ClassVar[bool] = True
    """The inputs are not changed (`bool`)."""

    def runQuantum(
        self,
        butlerQC: QuantumContext,
        inputRefs: InputQuantizedConnection,
        outputRefs: OutputQuantizedConnection,
    ) -> None:
        """Read the inputs, run, write.

        Parameters
        ----------
        butlerQC
            Access to the datasets of this quantum.
        inputRefs, outputRefs
            References to them.
        """
        data_id = butlerQC.quantum.dataId
        assert data_id is not None, "Guaranteed by the executor."
        metrics = {int(ref.dataId["detector"]): butlerQC.get(ref) for ref in inputRefs.metrics}
        result = self.run(metrics=metrics, instrument=str(data_id["instrument"]))
        butlerQC.put(result, outputRefs)

    def run(self, *, metrics: Mapping[int, Mapping[str, Any]], instrument: str) -> Struct:
        """Summarise an exposure.

        Parameters
        ----------
        metrics
            Metrics of each detector, by detector id.
        instrument
            Butler instrument name.

        Returns
        -------
        result
            Struct with ``summary`` (`dict`) and ``detectors``
            (`astropy.table.Table`), which has a column for each metric and

            - ``focal_plane_x_mm``, ``focal_plane_y_mm``: centre of the
              detector;
            - ``field_angle_x_degree``, ``field_angle_y_degree``: the same
              on the sky;
            - ``focal_plane_e1``, ``focal_plane_e2``: ellipticity in the
              frame of the focal plane.

        Raises
        ------
        lsst.ra.pipe.camera.UnknownDetectorError
            Raised if the camera has no such detector.
        ValueError
            Raised if there are no metrics, or the configuration names a
            column that the table does not have.
        """
        if not metrics:
            raise ValueError(f"No detector of this {instrument} exposure has metrics.")
        camera = load_camera(instrument)
        detectors = make_detector_table(metrics, camera)
        self._check_columns(detectors)
        summary = {
            **_common_facts(metrics),
            **self._count(camera, detectors),
            **self._describe(detectors),
            **_fit_boresight(detectors),
        }
        return Struct(summary=summary, detectors=detectors)

    def _check_columns(self, detectors: Table) -> None:
        """Complain of columns that do not exist or are no numbers."""
        for field in ("statistics", "gradients"):
            for name in getattr(self.config, field):
                is_number = (
                    detectors[name].dtype.kind in "fi"
                    if name in detectors.colnames
                    else name in DETECTOR_METRICS and DETECTOR_METRICS[name].type is not str
                )
                if not is_number:
                    raise ValueError(f"The configuration field {field} names {name!r}, which is no metric.")

    def _count(self, camera: Camera, detectors: Table) -> dict[str, Any]:
        """Tell which detectors are here and which are not."""
        present = {int(detector) for detector in detectors["detector"]}
        expected = set(self.config.expectedDetectors) or {
            detector
            for detector, facts in camera.facts.items()
            if facts.purpose in self.config.expectedPurposes
        }
        counts = {
            "n_detectors": len(present),
            "n_detectors_expected": len(expected),
            "n_detectors_missing": len(expected - present),
            "detectors_missing": sorted(expected - present),
        }
        for step in _STEP_VALUES:
            counts |= _count_step(detectors, step)
        return counts

    def _describe(self, detectors: Table) -> dict[str, Any]:
        """Compute the statistics and the fits."""
        values: dict[str, Any] = {}
        for name in self.config.statistics:
            statistics = summarize(_numbers(detectors, name))
            values[f"{name}_median"] = statistics.median
            values[f"{name}_scatter"] = statistics.scatter
            for end, extreme, index in (
                ("min", statistics.minimum, statistics.argmin),
                ("max", statistics.maximum, statistics.argmax),
            ):
                values[f"{name}_{end}"] = extreme
                values[f"{name}_{end}_detector"] = int(detectors["detector"][index]) if index >= 0 else -1
        x, y = (_numbers(detectors, f"focal_plane_{axis}_mm") for axis in "xy")
        angle_x, angle_y = (_numbers(detectors, f"field_angle_{axis}_degree") for axis in "xy")
        for name in self.config.gradients:
            plane = fit_plane(x=angle_x, y=angle_y, values=_numbers(detectors, name))
            values[f"{name}_gradient_x_per_degree"] = plane.gradient_x
            values[f"{name}_gradient_y_per_degree"] = plane.gradient_y
            values[f"{name}_residual_scatter"] = plane.scatter
        pattern = find_ellipticity_pattern(
            x=x, y=y, e1=_numbers(detectors, "focal_plane_e1"), e2=_numbers(detectors, "focal_plane_e2")
        )
        values["psf_e_common"] = math.hypot(pattern.e1, pattern.e2)
        values["psf_e_common_angle_degree"] = math.degrees(0.5 * math.atan2(pattern.e2, pattern.e1))
        values["psf_e_radial"] = pattern.radial
        values["psf_e_cross"] = pattern.cross
        return values


def make_detector_table(metrics: Mapping[int, Mapping[str, Any]], camera: Camera) -> Table:
    """Put the metrics of an exposure's detectors in a table.

    Parameters
    ----------
    metrics
        Metrics of each detector, by detector id.
    camera
        Camera with the positions of the detectors.

    Returns
    -------
    table
        One row a detector, in order of id, with units and descriptions. A
        metric that a detector lacks is NaN, -1 or an empty string.
    """
    ids = sorted(metrics)
    rows = [metrics[detector] for detector in ids]
    table = Table()
    table["detector"] = Column(np.array(ids, dtype=np.int64), description="Detector number.")
    names = [detector.full_name for detector in (camera.facts[camera.detector_id(key)] for key in ids)]
    table["detector_name"] = Column(names, dtype=str, description="Full name of the detector.")
    _add_geometry(table, camera)
    for name in dict.fromkeys(name for row in rows for name in row):
        if name not in table.colnames:
            table[name] = _metric_column(name, [row.get(name) for row in rows])
    e1, e2 = rotate_ellipticity(
        _numbers(table, "psf_e1"),
        _numbers(table, "psf_e2"),
        angle=np.array([camera.facts[detector].yaw for detector in ids]),
    )
    frame = "in the frame of the focal plane."
    table["focal_plane_e1"] = Column(e1, description=f"Median e1 of the stars {frame}")
    table["focal_plane_e2"] = Column(e2, description=f"Median e2 of the stars {frame}")
    return table


def _add_geometry(table: Table, camera: Camera) -> None:
    """Add columns with the centres of the detectors."""
    centres = np.empty((len(table), 4))
    for row, detector in enumerate(table["detector"]):
        geometry = camera[int(detector)]
        ny, nx = geometry.bbox.shape
        middle = {"x": np.array([0.5 * (nx - 1)]), "y": np.array([0.5 * (ny - 1)])}
        plane = geometry.to_focal_plane.apply_forward(**middle)
        angle = geometry.to_field_angle.apply_forward(**middle)
        centres[row] = plane.x[0], plane.y[0], np.degrees(angle.x[0]), np.degrees(angle.y[0])
    for name, unit, text, values in zip(
        ("focal_plane_x_mm", "focal_plane_y_mm", "field_angle_x_degree", "field_angle_y_degree"),
        ("mm", "mm", "deg", "deg"),
        ("Focal plane x", "Focal plane y", "Field angle x", "Field angle y"),
        centres.T,
        strict=True,
    ):
        table[name] = Column(values, unit=unit, description=f"{text} of the detector's centre.")


def _count_step(detectors: Table, step: str) -> dict[str, Any]:
    """Tell how many detectors passed a part of the measurement, and why the
    others did not.
    """
    done = np.isfinite(_numbers(detectors, _STEP_VALUES[step]))
    statuses = detectors[f"{step}_status"] if f"{step}_status" in detectors.colnames else ()
    return {
        f"n_detectors_with_{step}": int(np.count_nonzero(done)),
        f"detectors_without_{step}": [int(detector) for detector in detectors["detector"][~done]],
        f"{step}_status_counts": dict(
            sorted(Counter(str(status) or _UNKNOWN_STATUS for status in statuses).items())
        ),
    }


def _fit_boresight(detectors: Table) -> dict[str, float | int]:
    """Find where the telescope pointed relative to the header."""
    fit = fit_pointing(
        ra=_numbers(detectors, "center_ra_degree"),
        dec=_numbers(detectors, "center_dec_degree"),
        offset_ra=_numbers(detectors, "pointing_offset_ra_arcsec"),
        offset_dec=_numbers(detectors, "pointing_offset_dec_arcsec"),
        rotation=_numbers(detectors, "pointing_rotation_degree"),
        boresight=(
            summarize(_numbers(detectors, "boresight_ra_degree")).median,
            summarize(_numbers(detectors, "boresight_dec_degree")).median,
        ),
    )
    return {
        "boresight_offset_ra_arcsec": fit.offset_ra,
        "boresight_offset_dec_arcsec": fit.offset_dec,
        "boresight_rotation_degree": fit.rotation,
        "boresight_offset_scatter_arcsec": fit.scatter,
        "n_detectors_boresight": fit.n_used,
    }


def _metric_column(name: str, values: Sequence[Any]) -> Column:
    """Make a column of one metric, missing values filled."""
    definition = DETECTOR_METRICS.get(name)
    if definition is not None:
        kind, unit, description = definition.type, definition.unit or None, definition.description
    else:
        known = [type(value) for value in values if value is not None]
        kind, unit, description = (known[0] if len(set(known)) == 1 else float), None, ""
    missing = {int: -1, str: ""}.get(kind, math.nan)
    dtype = {int: np.dtype(np.int64), str: np.dtype(str)}.get(kind, np.dtype(np.float64))
    filled = [missing if value is None else value for value in values]
    return Column(np.array(filled, dtype=dtype), unit=unit, description=description)


def _numbers(table: Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column as numbers: NaN where an integer is -1, and throughout
    if the column does not exist.
    """
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    values = np.asarray(table[name])
    if values.dtype.kind == "i":
        return np.where(values == -1, np.nan, values)
    return values.astype(np.float64)


def _common_facts(metrics: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts of the exposure, as its first detector tells them."""
    first = metrics[min(metrics)]
    return {name: first[name] for name in _EXPOSURE_FACTS if name in first}
