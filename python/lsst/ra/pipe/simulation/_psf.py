# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The point-spread function: its profile, its variation, and its drawing."""

from __future__ import annotations

__all__ = (
    "PsfField",
    "RadialProfile",
    "add_objects",
    "donut_profile",
    "kolmogorov_profile",
    "moffat_profile",
)

import dataclasses
import functools
from typing import Self

import numba
import numpy as np
import scipy.special

from ._config import SimulationConfig
from ._random import Stream, random_stream

_STEP = 1.0 / 128.0
_RHO_MAX = 60.0
_CORE = 3.0
"""Elliptical radius in FWHM within which a pixel is sampled four times."""
_OBSCURATION = 0.61
"""Inner over outer diameter of the telescope's pupil (Ivezic et al. 2019, ApJ
873, 111: primary mirror of 8.4 m with a central hole of 5.1 m)."""


@dataclasses.dataclass(frozen=True)
class RadialProfile:
    """A circular profile of unit flux and unit FWHM, tabulated."""

    values: np.ndarray
    """Surface brightness of shape ``(n,)``, float32, at radii 0, step, ..."""
    step: float
    """Distance of the radii, in FWHM."""

    def radius_of(self, brightness: np.ndarray) -> np.ndarray:
        """Return where the profile has fallen to a surface brightness.

        Parameters
        ----------
        brightness
            Surface brightness in the units of `values`.

        Returns
        -------
        radius
            Radius in FWHM, between 0 and the table's end; the outermost, if
            the profile is not monotonic.
        """
        radii = np.arange(self.values.size) * self.step
        return np.asarray(np.interp(brightness, np.maximum.accumulate(self.values[::-1]), radii[::-1]))


@functools.lru_cache(maxsize=8)
def moffat_profile(beta: float) -> RadialProfile:
    """Return the profile of Moffat (1969, A&A 3, 455).

    Parameters
    ----------
    beta
        Exponent, above 1.

    Returns
    -------
    profile
        ``(beta - 1) / (pi a^2) (1 + (r / a)^2)^-beta`` with FWHM 1.
    """
    rho = np.arange(0.0, _RHO_MAX + _STEP, _STEP)
    a2 = 0.25 / (2.0 ** (1.0 / beta) - 1.0)
    values = (beta - 1.0) / (np.pi * a2) * (1.0 + rho * rho / a2) ** -beta
    return RadialProfile(values.astype(np.float32), _STEP)


@functools.lru_cache(maxsize=1)
def kolmogorov_profile() -> RadialProfile:
    """Return the long-exposure profile of Kolmogorov turbulence.

    Returns
    -------
    profile
        Hankel transform of ``exp(-k^(5/3))`` (Fried 1966, JOSA 56, 1372),
        scaled to FWHM 1; beyond 8 FWHM its asymptote ``r^(-11/3)``.
    """
    k, weights = scipy.special.roots_legendre(600)
    k, weights = 6.5 * (k + 1.0), 6.5 * weights  # exp(-13^(5/3)) is 0
    integrand = weights * np.exp(-(k ** (5.0 / 3.0))) * k / (2.0 * np.pi)
    # In these units the half width is near 1.46; find it, then tabulate.
    fine = np.linspace(0.0, 3.0, 3001)
    core = scipy.special.j0(np.outer(fine, k)) @ integrand
    fwhm = 2.0 * np.interp(-core[0] / 2.0, -core, fine)
    nodes = np.linspace(0.0, 8.0, 801)
    values = scipy.special.j0(np.outer(nodes * fwhm, k)) @ integrand * fwhm**2
    rho = np.arange(0.0, _RHO_MAX + _STEP, _STEP)
    near = np.exp(np.interp(rho, nodes, np.log(values)))
    far = values[-1] * (np.maximum(rho, 1.0) / nodes[-1]) ** (-11.0 / 3.0)
    return RadialProfile(np.where(rho <= nodes[-1], near, far).astype(np.float32), _STEP)


@functools.lru_cache(maxsize=8)
def donut_profile(blur: float) -> RadialProfile:
    """Return the profile of an out-of-focus star.

    Parameters
    ----------
    blur
        FWHM of the seeing over the outer diameter of the donut.

    Returns
    -------
    profile
        The telescope's annular pupil, of outer diameter 1, convolved with a
        Gaussian; "FWHM" in the table's description is that diameter.
    """
    sigma = blur / np.sqrt(8.0 * np.log(2.0))
    inner, outer = 0.5 * _OBSCURATION, 0.5
    nodes, weights = scipy.special.roots_legendre(200)
    ring = inner + (outer - inner) * 0.5 * (nodes + 1.0)
    weights = weights * 0.5 * (outer - inner) / (np.pi * (outer**2 - inner**2))
    rho = np.arange(0.0, _RHO_MAX + _STEP, _STEP)
    values = np.zeros(rho.size)
    near = rho < outer + 12.0 * sigma
    r = rho[near, None]
    # The angle's integral of a Gaussian about a point of the ring.
    bessel = scipy.special.i0e(r * ring / sigma**2)
    values[near] = (np.exp(-0.5 * ((r - ring) / sigma) ** 2) * bessel * ring / sigma**2) @ weights
    return RadialProfile(values.astype(np.float32), _STEP)


@dataclasses.dataclass(frozen=True)
class PsfField:
    """Size and shape of one exposure's PSF over the field of view.

    Both are quadratic polynomials of the field angle, as low-order optical
    aberrations give. Ellipticity components are along the focal plane's axes:
    ``e1 = (Ixx - Iyy) / (Ixx + Iyy)``, ``e2 = 2 Ixy / (Ixx + Iyy)``.
    """

    fwhm: tuple[float, ...]
    """Coefficients of 1, u, v, u^2 + v^2, arcsec; u and v are the field angle
    in units of 1.75 degrees. FWHM is the geometric mean of both axes'."""
    e1: tuple[float, ...]
    """Coefficients of 1, u, v, u^2 - v^2."""
    e2: tuple[float, ...]
    """Coefficients of 1, u, v, 2 u v."""

    @classmethod
    def draw(cls, config: SimulationConfig, exposure: int) -> Self:
        """Draw the PSF of an exposure.

        Parameters
        ----------
        config
            Gives seed, range of sizes and typical ellipticity.
        exposure
            Exposure id.

        Returns
        -------
        field
            The PSF over the field of view.
        """
        rng = random_stream(config.seed, Stream.PSF, exposure)
        seeing = rng.uniform(*config.fwhm)
        angle = rng.uniform(0.0, 2.0 * np.pi, 2)
        tilt = 0.02 * seeing
        e = config.ellipticity
        return cls(
            fwhm=(seeing, tilt * np.cos(angle[0]), tilt * np.sin(angle[0]), 0.04 * seeing),
            e1=(e * np.cos(angle[1]), *(e * rng.normal(0.0, 0.25, 2)), 0.6 * e),
            e2=(e * np.sin(angle[1]), *(e * rng.normal(0.0, 0.25, 2)), 0.6 * e),
        )

    def at(self, field_x: np.ndarray, field_y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return FWHM (arcsec), e1 and e2 at some field angles.

        Parameters
        ----------
        field_x, field_y
            Field angle, degrees.

        Returns
        -------
        fwhm
            Geometric-mean FWHM before integration over pixels, arcsec.
        e1, e2
            Ellipticity along the focal plane's axes.
        """
        u, v = np.asarray(field_x) / 1.75, np.asarray(field_y) / 1.75
        f, a, b = self.fwhm, self.e1, self.e2
        fwhm = f[0] + f[1] * u + f[2] * v + f[3] * (u * u + v * v)
        e1 = a[0] + a[1] * u + a[2] * v + a[3] * (u * u - v * v)
        e2 = b[0] + b[1] * u + b[2] * v + b[3] * 2.0 * u * v
        return fwhm, e1, e2


def add_objects(
    image: np.ndarray,
    *,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    fwhm: np.ndarray,
    e1: np.ndarray,
    e2: np.ndarray,
    profile: RadialProfile,
    threshold: float = 0.01,
) -> None:
    """Draw elliptical objects into an image.

    Parameters
    ----------
    image
        Image of shape ``(ny, nx)``, float32, changed in place.
    x, y
        Centres of shape ``(n,)``, 0-based pixel centres; may be outside.
    flux
        Total flux of each object, in the image's unit.
    fwhm
        Geometric-mean FWHM of each object before integration over pixels,
        pixels.
    e1, e2
        Ellipticity of each object along the pixel axes; see `PsfField`.
    profile
        Radial profile of all objects.
    threshold
        Surface brightness per pixel at which an object ends.
    """
    with np.errstate(divide="ignore"):
        faintest = np.where(flux > 0.0, threshold * fwhm**2 / np.where(flux > 0.0, flux, 1.0), np.inf)
    reach = np.maximum(profile.radius_of(faintest), 3.0) * fwhm * np.sqrt(1.0 + np.hypot(e1, e2))
    norm = np.sqrt(1.0 - e1 * e1 - e2 * e2) * fwhm**2  # of the inverse shape matrix
    _draw(
        image,
        np.stack([x, y, flux / fwhm**2, reach], axis=1),
        np.stack([(1.0 - e1) / norm, (1.0 + e1) / norm, -2.0 * e2 / norm], axis=1),
        profile.values,
        1.0 / profile.step,
    )


@numba.njit(cache=True, fastmath=True, nogil=True)
def _draw(
    image: np.ndarray, objects: np.ndarray, shapes: np.ndarray, table: np.ndarray, per_step: float
) -> None:
    """Add objects (x, y, amplitude, reach) of shapes (ixx, iyy, 2 ixy)."""
    ny, nx = image.shape
    offset = np.float32(0.5 / np.sqrt(3.0))  # 2-point Gauss-Legendre nodes
    core = np.float32(_CORE * _CORE)
    scale, end = np.float32(per_step), np.float32(table.size - 2)
    for i in range(objects.shape[0]):
        x, y, amplitude, reach = objects[i]
        ixx, iyy, ixy = np.float32(shapes[i, 0]), np.float32(shapes[i, 1]), np.float32(shapes[i, 2])
        amplitude32 = np.float32(amplitude)
        for row in range(max(0, int(np.ceil(y - reach))), min(ny, int(np.floor(y + reach)) + 1)):
            dy = np.float32(row - y)
            width = np.sqrt(max(reach * reach - (row - y) ** 2, 0.0))
            for column in range(max(0, int(np.ceil(x - width))), min(nx, int(np.floor(x + width)) + 1)):
                dx = np.float32(column - x)
                q = ixx * dx * dx + iyy * dy * dy + ixy * dx * dy
                if q > core:
                    t = min(np.sqrt(q) * scale, end)
                    k = int(t)
                    value = table[k] + (table[k + 1] - table[k]) * (t - np.float32(k))
                else:
                    value = np.float32(0.0)
                    for sy in (-offset, offset):
                        for sx in (-offset, offset):
                            ux, uy = dx + sx, dy + sy
                            t = np.sqrt(ixx * ux * ux + iyy * uy * uy + ixy * ux * uy) * scale
                            k = int(t)
                            value += table[k] + (table[k + 1] - table[k]) * (t - np.float32(k))
                    value *= np.float32(0.25)
                image[row, column] += amplitude32 * value
