# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Calibration of a detector's sources against a reference catalogue."""

from __future__ import annotations

__all__ = ("ReferenceCalibration", "calibrate_with_references")

import dataclasses

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import Table
from astropy.time import Time

from lsst.images import Box, DetectorFrame, SkyProjection

from ..algorithms.calibration import (
    AstrometricSolution,
    DetectorPlane,
    MissingFluxColumnError,
    PlanePositions,
    ZeroPoint,
    ab_magnitudes,
    choose_flux_column,
    correct_projection,
    fit_zero_point,
    moffat_aperture_fraction,
    select_photometric_stars,
    solve_astrometry,
)
from ..algorithms.measurement import DetectorMeasurement, determinant_radius

_MATCH_SIGNAL_TO_NOISE = 8.0
_MAS_PER_DEGREE = 3.6e6
# A star whose flux in the aperture is that of the PSF has no other light in
# it; asked for where enough stars can answer.
_PURE, _ENOUGH_STARS = 0.01, 12


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceCalibration:
    """What a reference catalogue tells of a detector's image."""

    projection: SkyProjection[DetectorFrame]
    """Fitted sky projection; the header's without an astrometric solution."""

    astrometry: AstrometricSolution
    """Matched stars and the correction of the header's pointing."""

    zero_point: ZeroPoint
    """Zero point, for the matched stars in the order of ``astrometry``."""

    has_psf: bool
    """Whether it is known how much of a star's light the aperture holds."""

    has_fluxes: bool
    """Whether the catalogue has fluxes in the band."""

    ref_id: npt.NDArray[np.int64]
    """``(n,)`` reference of each source; 0 for none."""

    ref_mag: npt.NDArray[np.float64]
    """``(n,)`` AB magnitude of the reference; NaN for none."""

    @property
    def astrometry_status(self) -> str:
        """``ok``, or why there is no astrometric solution."""
        return self.astrometry.status

    @property
    def photometry_status(self) -> str:
        """``ok``, or why there is no zero point."""
        if self.astrometry.status != "ok":
            return "no astrometry"
        if not self.has_psf:
            return "no PSF"
        return self.zero_point.status if self.has_fluxes else "no reference flux"


def calibrate_with_references(
    measurement: DetectorMeasurement,
    references: Table | None,
    *,
    projection: SkyProjection[DetectorFrame],
    bbox: Box,
    band: str,
    time: Time | None = None,
) -> ReferenceCalibration:
    """Match sources to references, fit the sky projection and the zero point.

    Parameters
    ----------
    measurement
        What was measured, in electron.
    references
        Stars on and around the detector: ``id``, ``coord_ra`` and
        ``coord_dec`` (degrees, if the columns have no unit), their errors
        ``coord_raErr`` and ``coord_decErr`` where known, proper motions
        ``pm_ra`` (times the cosine of the declination) and ``pm_dec`` in mas a
        year from ``epoch`` (modified Julian date, TAI) where known, fluxes in
        nJy. `None` or an empty table if there are none.
    projection
        Sky projection from the header's pointing.
    bbox
        The image's pixels.
    band
        Short name of the passband.
    time
        When the image was taken, for proper motions.

    Returns
    -------
    calibration
        The calibration; what cannot be had is NaN, with the reason in its
        status.

    Raises
    ------
    ValueError
        Raised if the catalogue lacks a column that it must have.
    """
    stars = references if references is not None and len(references) else _NO_REFERENCES
    if missing := [name for name in _NO_REFERENCES.colnames if name not in stars.colnames]:
        raise ValueError(f"The reference catalogue has no column {missing}; it has {stars.colnames}.")
    plane = DetectorPlane.build(projection, bbox)
    ref_mag, ref_mag_err = _reference_magnitudes(stars, band)
    solution = solve_astrometry(
        _project_sources(measurement, plane, projection, bbox),
        _project_references(stars, plane, ref_mag, time),
        usable=_astrometric_stars(measurement),
        jacobian=plane.jacobian,
        half_size=plane.half_size,
        plane=plane.plane,
    )
    source, reference = solution.source_index, solution.reference_index
    ids = np.zeros(len(measurement.detections), dtype=np.int64)
    mags = np.full(ids.size, np.nan)
    ids[source], mags[source] = np.asarray(stars["id"])[reference], ref_mag[reference]
    if solution.status == "ok":
        projection = correct_projection(
            projection, plane=plane.plane, correction=solution.correction, bbox=bbox
        )
    return ReferenceCalibration(
        projection=projection,
        astrometry=solution,
        zero_point=_fit_zero_point(measurement, solution, ref_mag[reference], ref_mag_err[reference]),
        has_psf=measurement.psf_model is not None,
        has_fluxes=bool(np.isfinite(ref_mag).any()),
        ref_id=ids,
        ref_mag=mags,
    )


_NO_REFERENCES = Table({"id": np.empty(0, np.int64), "coord_ra": np.empty(0), "coord_dec": np.empty(0)})


def _reference_magnitudes(
    references: Table, band: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Magnitudes in the band and their errors; NaN if it has no fluxes."""
    try:
        flux, error = choose_flux_column(references.colnames, band=band)
    except MissingFluxColumnError:
        unknown = np.full(len(references), np.nan)
        return unknown, unknown
    return ab_magnitudes(_values(references, flux), None if error is None else _values(references, error))


def _values(table: Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column of numbers; NaN where it is masked."""
    return np.asarray(np.ma.filled(np.ma.asarray(table[name]).astype(np.float64), np.nan))


def _project_sources(
    measurement: DetectorMeasurement,
    plane: DetectorPlane,
    projection: SkyProjection[DetectorFrame],
    bbox: Box,
) -> PlanePositions:
    """Put the sources where the header's pointing has them."""
    shapes = measurement.shapes
    xi, eta = plane.from_pixels(projection, shapes.x + bbox.x.min, shapes.y + bbox.y.min)
    flux = measurement.photometry.flux[1]
    magnitude = -2.5 * np.log10(np.where(flux > 0.0, flux, np.nan))
    error = np.hypot(shapes.x_err, shapes.y_err) * plane.pixel_scale / np.sqrt(2.0)
    return PlanePositions(xi=xi, eta=eta, error=error, magnitude=magnitude)


def _project_references(
    references: Table, plane: DetectorPlane, magnitude: npt.NDArray[np.float64], time: Time | None
) -> PlanePositions:
    """Put the references into the same plane, where they are by now."""
    ra, dec = (_in_unit(references, f"coord_{axis}", u.deg) for axis in ("ra", "dec"))
    if time is not None and "epoch" in references.colnames:
        years = (time.tai.mjd - _values(references, "epoch")) / 365.25
        motion = u.mas / u.yr
        along_ra, along_dec = (
            np.nan_to_num(years * _in_unit(references, f"pm_{axis}", motion, default=motion))
            / _MAS_PER_DEGREE
            for axis in ("ra", "dec")
        )
        ra, dec = ra + along_ra / np.cos(np.radians(dec)), dec + along_dec
    errors = [_in_unit(references, f"coord_{axis}Err", u.arcsec) for axis in ("ra", "dec")]
    xi, eta = plane.plane.from_sky(ra, dec)
    return PlanePositions(
        xi=xi, eta=eta, error=np.hypot(errors[0], errors[1]) / np.sqrt(2.0), magnitude=magnitude
    )


def _in_unit(
    table: Table, name: str, unit: u.UnitBase, *, default: u.UnitBase = u.deg
) -> npt.NDArray[np.float64]:
    """Return a column in some unit, by default in degrees unless it says
    otherwise; NaN throughout if the table does not have it.
    """
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    values = u.Quantity(_values(table, name), table[name].unit or default)
    return np.asarray(values.to_value(unit))


def _astrometric_stars(measurement: DetectorMeasurement) -> npt.NDArray[np.bool_]:
    """Choose the sources whose positions can be trusted."""
    shapes = measurement.shapes
    usable = shapes.converged & (shapes.n_bad == 0) & (shapes.signal_to_noise >= _MATCH_SIGNAL_TO_NOISE)
    return np.asarray(usable & ~measurement.is_saturated & ~measurement.is_edge)


def _fit_zero_point(
    measurement: DetectorMeasurement,
    solution: AstrometricSolution,
    ref_mag: npt.NDArray[np.float64],
    ref_mag_err: npt.NDArray[np.float64],
) -> ZeroPoint:
    """Fit the zero point in the calibration aperture, at the centre."""
    photometry, shapes = measurement.photometry, measurement.shapes
    aperture = measurement.calibration_aperture
    flux, flux_err = photometry.flux[aperture], photometry.flux_err[aperture]
    source = solution.source_index
    usable = select_photometric_stars(
        shapes.x,
        shapes.y,
        flux=flux,
        flux_err=flux_err,
        star_index=source,
        aperture_radius=photometry.radii[aperture],
    )
    sound = (shapes.n_bad == 0) & ~measurement.is_saturated & ~photometry.is_truncated[aperture]
    usable &= sound[source] & (measurement.psf_model is not None)
    with np.errstate(invalid="ignore", divide="ignore"):
        pure = usable & (np.abs(flux / measurement.psf_photometry.flux - 1.0) < _PURE)[source]
    if np.count_nonzero(pure) >= _ENOUGH_STARS:
        usable = pure
    return fit_zero_point(
        flux[source],
        flux_err=flux_err[source],
        ref_mag=ref_mag,
        ref_mag_err=ref_mag_err,
        usable=usable,
        relative_throughput=_relative_throughput(measurement, source),
    )


def _relative_throughput(
    measurement: DetectorMeasurement, source: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64] | None:
    """Share of a star's light in the aperture, relative to the detector's
    centre: the PSF is wider in one place than in another.
    """
    model, profile = measurement.psf_model, measurement.psf.profile
    if model is None:
        return None
    ny, nx = model.shape
    x, y = (
        np.append(measurement.shapes.x[source], 0.5 * (nx - 1)),
        np.append(measurement.shapes.y[source], 0.5 * (ny - 1)),
    )
    size = determinant_radius(*model.moments_at(x, y).T)
    fwhm = profile.fwhm * size / np.median(size)
    radius = measurement.photometry.radii[measurement.calibration_aperture]
    share = moffat_aperture_fraction(radius, fwhm=fwhm, beta=profile.beta)
    return np.asarray(share[:-1] / share[-1])
