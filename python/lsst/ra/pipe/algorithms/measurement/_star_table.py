# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The table of sources of one detector."""

from __future__ import annotations

__all__ = ("StarReferences", "make_star_table")

import dataclasses

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import Column, Table

from ._measure import DetectorMeasurement

_FLAGS = {
    "is_saturated": "The footprint holds a saturated pixel.",
    "is_edge": "Within 9 pixels of the edge of the detector.",
    "is_bad": "Bad or doubtful pixels within 2.5 standard deviations of the centre.",
    "is_blended": "Split from a neighbour.",
    "is_shape_failed": "The adaptive moments did not converge; the position is that of the detection.",
    "is_extended": "Wider than a star by 8 per cent and three standard errors.",
    "is_sharp": "More concentrated than a star can be: cosmic ray or hot pixel.",
    "is_psf_star": "Used to measure the PSF.",
    "is_astrometry_used": "Used to fit the sky projection.",
    "is_photometry_used": "Used for the zero point.",
}


@dataclasses.dataclass(frozen=True, eq=False)
class StarReferences:
    """What the reference catalogue says of ``n`` sources."""

    ref_id: npt.NDArray[np.int64]
    """``(n,)`` identifier of the reference; 0 for none."""

    ref_mag: npt.NDArray[np.float64]
    """``(n,)`` its AB magnitude; NaN for none."""

    residual_x: npt.NDArray[np.float64]
    """``(n,)`` measured minus reference position along the detector's x, in
    arcsec; NaN for none."""

    residual_y: npt.NDArray[np.float64]
    """``(n,)`` the same along y."""

    residual_mag: npt.NDArray[np.float64]
    """``(n,)`` measured minus reference magnitude; NaN for none."""

    is_astrometry_used: npt.NDArray[np.bool_]
    """``(n,)`` whether the fit of the sky projection used the source."""

    is_photometry_used: npt.NDArray[np.bool_]
    """``(n,)`` whether the fit of the zero point used the source."""


def make_star_table(
    measurement: DetectorMeasurement,
    *,
    ra: npt.NDArray[np.float64],
    dec: npt.NDArray[np.float64],
    references: StarReferences,
    origin: tuple[int, int] = (0, 0),
) -> Table:
    """Put the measured sources of a detector into a table.

    Parameters
    ----------
    measurement
        What `measure_detector` found, in electron.
    ra, dec
        ``(n,)`` ICRS positions of the sources in degrees.
    references
        What the reference catalogue says of them.
    origin
        Column and row of the array's first pixel, ``(x, y)``.

    Returns
    -------
    table
        One row a source, brightest first, with units and descriptions.
        ``x`` and ``y`` are 0-based pixel centres of the assembled detector.
    """
    shapes, photometry = measurement.shapes, measurement.photometry
    n_sources = shapes.x.size
    table = Table()

    def add(
        name: str, values: npt.NDArray[np.generic], description: str, unit: u.UnitBase | None = None
    ) -> None:
        table.add_column(Column(values, name=name, unit=unit, description=description))

    add("id", np.arange(1, n_sources + 1, dtype=np.int64), "Number of the source within the detector.")
    add("x", shapes.x + origin[0], "Column of the centroid, 0-based pixel centres.", u.pix)
    add("y", shapes.y + origin[1], "Row of the centroid, 0-based pixel centres.", u.pix)
    add("x_err", shapes.x_err, "Standard error of x.", u.pix)
    add("y_err", shapes.y_err, "Standard error of y.", u.pix)
    add("ra", ra, "Right ascension, ICRS.", u.deg)
    add("dec", dec, "Declination, ICRS.", u.deg)
    for name in ("ixx", "iyy", "ixy"):
        description = f"Adaptive second moment {name[1:]}, pixel integration included."
        add(name, getattr(shapes, name), description, u.pix**2)
    add("signal_to_noise", shapes.signal_to_noise, "Flux in the matched Gaussian over its error.")
    for radius, flux, error, truncated in zip(
        photometry.radii, photometry.flux, photometry.flux_err, photometry.is_truncated, strict=True
    ):
        prefix = f"ap{radius:02.0f}"
        add(f"{prefix}_flux", flux, f"Flux within {radius:g} pixels.", u.electron)
        add(f"{prefix}_flux_err", error, f"Standard error of {prefix}_flux.", u.electron)
        add(f"{prefix}_flag", truncated, "The aperture leaves the detector or holds unusable pixels.")
    psf = measurement.psf_photometry
    add(
        "psf_flux", psf.flux, "Flux as a point source, in the system of the calibration aperture.", u.electron
    )
    add("psf_flux_err", psf.flux_err, "Standard error of psf_flux.", u.electron)
    add("ref_id", references.ref_id, "Star of the reference catalogue; 0 for none.")
    add("ref_mag", references.ref_mag, "AB magnitude of that star.", u.mag)
    for axis in "xy":
        description = f"Measured minus reference position along the detector's {axis}."
        add(f"ref_residual_{axis}_arcsec", getattr(references, f"residual_{axis}"), description, u.arcsec)
    add("ref_residual_mag", references.residual_mag, "Measured minus reference magnitude.", u.mag)
    add("peak", shapes.peak, "Highest pixel within 2 pixels of the centroid.", u.electron)
    flags = {
        "is_saturated": measurement.is_saturated,
        "is_edge": measurement.is_edge,
        "is_bad": shapes.n_bad > 0,
        "is_blended": measurement.detections.is_blended,
        "is_shape_failed": ~shapes.converged,
        "is_extended": measurement.selection.is_extended,
        "is_sharp": measurement.is_sharp,
        "is_psf_star": measurement.selection.is_psf_star,
        "is_astrometry_used": references.is_astrometry_used,
        "is_photometry_used": references.is_photometry_used,
    }
    for name, description in _FLAGS.items():
        add(name, flags[name], description)
    return table
