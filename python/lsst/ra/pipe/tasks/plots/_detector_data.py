# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the plots of a detector are made from."""

from __future__ import annotations

__all__ = ("DetectorPlotData", "column", "flag")

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from lsst.images.cameras import Detector

from ._style import PlotTitle

_SIGMA_TO_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorPlotData:
    """Image, sources and metrics of one detector; plots do not change them."""

    image: npt.NDArray[np.floating]
    """``(ny, nx)`` binned, detrended pixels, in electron per pixel of the
    detector; NaN where there are no data."""

    binning: int
    """Side of a binned pixel in pixels of the detector."""

    detector: Detector
    """Geometry of the detector and its amplifiers."""

    stars: Table
    """Sources: the columns of ``single_visit_star_unstandardized``."""

    metrics: Mapping[str, float | int | str]
    """Metrics of the detector by name: ``rapid_detector_metrics``."""

    title: PlotTitle
    """Name of the observation and the detector."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the detector in pixels."""
        ny, nx = self.detector.bbox.shape
        return int(ny), int(nx)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper edge of the binned image in pixels of
        the detector, whose first pixel has its centre at 0.
        """
        ny, nx = self.image.shape
        return -0.5, nx * self.binning - 0.5, -0.5, ny * self.binning - 0.5

    def metric(self, name: str) -> float:
        """Return a metric as a number.

        Parameters
        ----------
        name
            Name of the metric.

        Returns
        -------
        value
            Its value; NaN if there is none, it is not a number, or it is the
            -1 of an integer that could not be measured.
        """
        value = self.metrics.get(name)
        if not isinstance(value, int | float) or (isinstance(value, int) and value == -1):
            return np.nan
        return float(value)

    def status(self, step: str) -> str:
        """Tell why a part of the measurement has no result.

        Parameters
        ----------
        step
            Part with a metric ``<step>_status``, such as ``psf``.

        Returns
        -------
        reason
            The reason; empty if the step succeeded or nothing is said of it.
        """
        status = str(self.metrics.get(f"{step}_status") or "")
        return "" if status == "ok" else status

    @property
    def is_calibrated(self) -> bool:
        """Whether the zero point is known."""
        return bool(np.isfinite(self.metric("zero_point_mag")))

    @functools.cached_property
    def magnitude(self) -> npt.NDArray[np.float64]:
        """``(n,)`` magnitudes of the sources from their PSF flux, or without a
        PSF from that within 12 pixels: AB if the zero point is known,
        otherwise instrumental, which is ``-2.5 log10`` of the flux in
        electron. NaN where there is no flux.
        """
        flux = column(self.stars, self.flux_name)
        instrumental = -2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        return np.asarray(instrumental + (self.metric("zero_point_mag") if self.is_calibrated else 0.0))

    @property
    def flux_name(self) -> str:
        """Column of the flux that magnitudes are from."""
        return "psf_flux" if np.isfinite(column(self.stars, "psf_flux")).any() else "ap12_flux"

    @property
    def magnitude_label(self) -> str:
        """What `magnitude` is, for an axis."""
        return "AB magnitude" if self.is_calibrated else "instrumental magnitude"

    @property
    def sky_gradient(self) -> npt.NDArray[np.float64] | None:
        """``[[east per x, east per y], [north per x, north per y]]`` in
        arcsec per pixel, from the positions of the corners; `None` if they
        are not known.
        """
        ra = np.array([self.metric(f"corner_{corner}_ra_degree") for corner in range(4)])
        dec = np.array([self.metric(f"corner_{corner}_dec_degree") for corner in range(4)])
        if not np.isfinite(ra + dec).all():
            return None
        east = ((ra - ra[0] + 180.0) % 360.0 - 180.0) * np.cos(np.deg2rad(dec.mean()))
        ny, nx = self.shape
        # Corners go anticlockwise from the lower left.
        gradient = [
            [(sky[1] - sky[0] + sky[2] - sky[3]) / nx, (sky[3] - sky[0] + sky[2] - sky[1]) / ny]
            for sky in (east, dec)
        ]
        result: npt.NDArray[np.float64] = 1800.0 * np.array(gradient)
        return result

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel in arcsec; NaN if not known."""
        return self.metric("pixel_scale_arcsec")

    @functools.cached_property
    def is_psf_star(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` which sources are PSF stars with measured moments."""
        return flag(self.stars, "is_psf_star") & np.isfinite(self.fwhm)

    @functools.cached_property
    def fwhm(self) -> npt.NDArray[np.float64]:
        """``(n,)`` FWHM in pixels of a Gaussian with the sources' second
        moments; NaN where they were not measured.
        """
        ixx, iyy, ixy = (column(self.stars, name) for name in ("ixx", "iyy", "ixy"))
        determinant = ixx * iyy - ixy**2
        radius: npt.NDArray[np.float64] = np.where(determinant > 0, determinant, np.nan) ** 0.25
        return np.asarray(radius * _SIGMA_TO_FWHM)

    @property
    def ellipticity(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """``(n,)`` e1 and e2 of the sources' second moments, in the frame of
        the pixels: the distortion ``(a^2 - b^2) / (a^2 + b^2)``.
        """
        ixx, iyy, ixy = (column(self.stars, name) for name in ("ixx", "iyy", "ixy"))
        trace = np.where(ixx + iyy > 0, ixx + iyy, np.nan)
        return (ixx - iyy) / trace, 2.0 * ixy / trace


def column(table: Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column as floating-point numbers.

    Parameters
    ----------
    table
        Table of ``n`` rows.
    name
        Name of the column.

    Returns
    -------
    values
        ``(n,)`` values; NaN where masked, and throughout if the table has no
        such column.
    """
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    return np.asarray(np.ma.filled(np.ma.asarray(table[name]).astype(np.float64), np.nan))


def flag(table: Table, name: str) -> npt.NDArray[np.bool_]:
    """Return a column of flags.

    Parameters
    ----------
    table
        Table of ``n`` rows.
    name
        Name of the column.

    Returns
    -------
    flags
        ``(n,)`` flags; `False` throughout if the table has no such column.
    """
    if name not in table.colnames:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table[name], dtype=bool)
