# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A model of the point-spread function that varies over the detector."""

from __future__ import annotations

__all__ = ("PsfModel", "fit_psf_model")

import dataclasses
import functools
import math

import numba
import numpy as np
import numpy.typing as npt

from ._moffat import MoffatProfile, render_moffat
from ._shapes import Shapes, determinant_radius, ellipticity, measure_shapes
from ._surfaces import evaluate_terms, fit_surface, scale_position

_NODES_PER_AXIS, _ORDER = 4, 3
# Typical change of log size, e1 and e2 from the centre to the edges: linear
# and quadratic part.
_EXPECTED = (0.03, 0.01)
_STAMP_IN_FWHM = 3.2
_MIN_HALF, _MAX_HALF = 12, 30
_SIZE_FLOOR, _SHAPE_FLOOR = 0.002, 0.002
_MAX_RESIDUAL_STARS = 60
# Residuals count as far as they are more than noise.
_SHRINKAGE = 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class PsfModel:
    """PSF whose every pixel is a polynomial in the position.

    Positions are scaled to -1 to 1 over the image: ``u = 2 x / (nx - 1) - 1``
    and ``v = 2 y / (ny - 1) - 1``.
    """

    coefficients: npt.NDArray[np.float64]
    """``(n_terms, size, size)`` coefficient images. The PSF is that of a star
    in the middle of the central pixel, integrated over pixels; its sum is 1."""

    powers: tuple[tuple[int, int], ...]
    """Powers of ``u`` and ``v`` of each term."""

    moments: npt.NDArray[np.float64]
    """``(n_terms, 3)`` coefficients of the model's own adaptive moments ixx,
    iyy and ixy, in square pixels."""

    shape: tuple[int, int]
    """Shape ``(ny, nx)`` of the image."""

    @property
    def half(self) -> int:
        """Half the side of the stamp: it has ``2 half + 1`` pixels."""
        return int(self.coefficients.shape[1] // 2)

    def terms(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Evaluate the polynomial's terms.

        Parameters
        ----------
        x, y
            ``(n,)`` positions in pixels.

        Returns
        -------
        terms
            ``(n, n_terms)`` values.
        """
        u, v = scale_position(x, y, self.shape)
        return np.stack([u**p * v**q for p, q in self.powers], axis=-1)

    def image_at(self, x: float, y: float) -> npt.NDArray[np.float64]:
        """Return the PSF at a position.

        Parameters
        ----------
        x, y
            Position in pixels.

        Returns
        -------
        image
            ``(size, size)`` PSF, centred on the central pixel.
        """
        return np.tensordot(self.terms(x, y), self.coefficients, axes=1)

    def moments_at(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the adaptive moments of the PSF.

        Parameters
        ----------
        x, y
            ``(n,)`` positions in pixels.

        Returns
        -------
        moments
            ``(n, 3)`` array of ixx, iyy and ixy in square pixels.
        """
        return self.terms(x, y) @ self.moments

    def grid(self, n_per_axis: int = 9) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the positions of a regular grid over the image.

        Parameters
        ----------
        n_per_axis
            Number of points along either axis; the outer ones are in the
            corner pixels.

        Returns
        -------
        x, y
            ``(n_per_axis**2,)`` positions in pixels.
        """
        ny, nx = self.shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, n_per_axis), np.linspace(0, ny - 1, n_per_axis))
        return x.ravel(), y.ravel()


def fit_psf_model(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    shapes: Shapes,
    is_psf_star: npt.NDArray[np.bool_],
    profile: MoffatProfile,
) -> PsfModel:
    """Fit a model that has the stars' adaptive moments and their profile.

    Size and ellipticity of the stars are fitted by quadratic polynomials of
    the position, of which few stars determine little more than the mean. A
    Moffat
    profile with the exponent of the stacked stars gets these moments at each
    of the nodes of a grid. What the mean profile of the stars has beyond a
    Moffat's is added as far as it is significant. Each pixel is then a
    polynomial through the nodes.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    variance
        Their variance, of the same shape.
    bad
        ``(ny, nx)`` array, non-zero where a pixel must not be used.
    shapes
        Adaptive moments of ``n`` sources.
    is_psf_star
        ``(n,)`` which of them are stars to use.
    profile
        Profile fitted to the stacked stars.

    Returns
    -------
    model
        The model.

    Raises
    ------
    ValueError
        Raised if there is no star, or the profile is not finite.
    """
    stars = np.flatnonzero(is_psf_star)
    if not stars.size or not math.isfinite(profile.fwhm):
        raise ValueError(f"A PSF model needs stars and their profile; got {stars.size} stars, {profile}.")
    shape = (image.shape[0], image.shape[1])
    surfaces = _MomentSurfaces.fit(shapes, stars, shape)
    half = min(max(math.ceil(_STAMP_IN_FWHM * profile.fwhm), _MIN_HALF), _MAX_HALF)
    moffat = _MatchedMoffat.match(profile, surfaces.at(0.0, 0.0), half)
    residual = _mean_residual(image, variance, bad, shapes, stars, surfaces, moffat)
    axis = np.linspace(-1.0, 1.0, _NODES_PER_AXIS)
    u, v = (values.ravel() for values in np.meshgrid(axis, axis))
    images = np.stack([moffat.render(*surfaces.at(a, b)) + residual for a, b in zip(u, v, strict=True)])
    images /= images.sum(axis=(1, 2), keepdims=True)
    powers = tuple((p, q) for q in range(_ORDER + 1) for p in range(_ORDER + 1 - q))
    design = np.stack([u**p * v**q for p, q in powers], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, images.reshape(len(images), -1), rcond=None)
    moments, *_ = np.linalg.lstsq(design, np.array([_stamp_moments(stamp) for stamp in images]), rcond=None)
    return PsfModel(coefficients.reshape(-1, *images.shape[1:]), powers, moments, shape)


@dataclasses.dataclass(frozen=True, eq=False)
class _MomentSurfaces:
    """Logarithm of the size, e1 and e2 as polynomials of the position."""

    coefficients: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, shapes: Shapes, stars: npt.NDArray[np.int64], shape: tuple[int, int]) -> _MomentSurfaces:
        """Fit with weights by significance, clipping what lies off."""
        x, y = shapes.x[stars], shapes.y[stars]
        ixx, iyy, ixy = shapes.ixx[stars], shapes.iyy[stars], shapes.ixy[stars]
        values = np.stack([np.log(determinant_radius(ixx, iyy, ixy)), *ellipticity(ixx, iyy, ixy)], axis=1)
        noise = 1.0 / np.maximum(shapes.signal_to_noise[stars], 1.0)
        errors = np.stack(
            [np.hypot(noise, _SIZE_FLOOR), *2 * [np.hypot(math.sqrt(2.0) * noise, _SHAPE_FLOOR)]], axis=1
        )
        columns = [
            fit_surface(x, y, value, errors=error, shape=shape, n_terms=6, expected=_EXPECTED)
            for value, error in zip(values.T, errors.T, strict=True)
        ]
        return cls(np.stack(columns, axis=1))

    def at(self, u: float, v: float) -> tuple[float, float, float]:
        """Size in pixels, e1 and e2 at a scaled position."""
        log_size, e1, e2 = evaluate_terms(u, v, n_terms=len(self.coefficients)) @ self.coefficients
        return math.exp(log_size), float(e1), float(e2)


@dataclasses.dataclass(frozen=True)
class _MatchedMoffat:
    """Moffat profiles of one exponent, chosen by adaptive moments."""

    beta: float
    fwhm: float
    """Width of the profile that has ``size``."""
    size: float
    exponent: float
    """Derivative of log fwhm by log size."""
    response: float
    """Ellipticity of the profile over that of its adaptive moments."""
    half: int

    @classmethod
    def match(cls, profile: MoffatProfile, target: tuple[float, float, float], half: int) -> _MatchedMoffat:
        """Find the width that has a size, and the derivatives there."""
        size, e1, e2 = target
        trial = cls(profile.beta, profile.fwhm, size, 1.0, 1.0, half)
        fwhm, slope = profile.fwhm, 1.0
        strength = max(math.hypot(e1, e2), 0.05)
        measured = shape = math.nan
        for _ in range(3):
            measured, shape = trial.measure(fwhm, strength)
            wider, _ = trial.measure(1.02 * fwhm, strength)
            slope = math.log(1.02) / math.log(wider / measured)
            fwhm *= (size / measured) ** slope
            if abs(measured / size - 1.0) < 1e-3:
                break
        return cls(profile.beta, fwhm, size, slope, strength / shape, half)

    def measure(self, fwhm: float, e1: float) -> tuple[float, float]:
        """Size and e1 of the adaptive moments of a profile."""
        stamp = self._stamp(fwhm, e1, 0.0)
        moments = _stamp_moments(stamp)
        return float(determinant_radius(*moments)), float(ellipticity(*moments)[0])

    def parameters(self, size: float, e1: float, e2: float) -> tuple[float, float, float]:
        """Width and ellipticity of the profile that has these moments."""
        fwhm = self.fwhm * (size / self.size) ** self.exponent
        return fwhm, self.response * e1, self.response * e2

    def render(self, size: float, e1: float, e2: float) -> npt.NDArray[np.float64]:
        """Stamp of the profile that has these moments."""
        return self._stamp(*self.parameters(size, e1, e2))

    def _stamp(self, fwhm: float, e1: float, e2: float) -> npt.NDArray[np.float64]:
        dx, dy = _offsets(self.half)
        values = render_moffat(dx, dy, fwhm=fwhm, e1=e1, e2=e2, beta=self.beta)
        return values.reshape(2 * self.half + 1, -1)


def _mean_residual(
    image: npt.NDArray[np.float32],
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    shapes: Shapes,
    stars: npt.NDArray[np.int64],
    surfaces: _MomentSurfaces,
    moffat: _MatchedMoffat,
) -> npt.NDArray[np.float64]:
    """Mean of the stars' pixels minus the profile, per unit flux."""
    brightest = stars[np.argsort(-shapes.signal_to_noise[stars], kind="stable")][:_MAX_RESIDUAL_STARS]
    size = 2 * moffat.half + 1
    total, weight, square = np.zeros((3, size, size))
    shape = (image.shape[0], image.shape[1])
    for star in brightest:
        x, y = shapes.x[star], shapes.y[star]
        column, row = math.floor(x + 0.5), math.floor(y + 0.5)
        dx, dy = _offsets(moffat.half)
        u, v = scale_position(x, y, shape)
        fwhm, e1, e2 = moffat.parameters(*surfaces.at(float(u), float(v)))
        model = render_moffat(dx - (x - column), dy - (y - row), fwhm=fwhm, e1=e1, e2=e2, beta=moffat.beta)
        _add_residual(
            image,
            variance,
            bad,
            row,
            column,
            x - column,
            y - row,
            model.reshape(size, size),
            total,
            weight,
            square,
        )
    known = weight > 0.0
    mean = np.divide(total, weight, out=np.zeros_like(total), where=known)
    error = np.divide(np.sqrt(square), weight, out=np.zeros_like(total), where=known)
    signal = mean**2
    scale = signal + (_SHRINKAGE * error) ** 2
    return np.asarray(np.divide(mean * signal, scale, out=np.zeros_like(total), where=scale > 0.0))


@numba.njit(cache=True, nogil=True)
def _add_residual(
    image: np.ndarray,
    variance: np.ndarray,
    bad: np.ndarray,
    row: int,
    column: int,
    shift_x: float,
    shift_y: float,
    model: np.ndarray,
    total: np.ndarray,
    weight: np.ndarray,
    square: np.ndarray,
) -> None:  # pragma: no cover
    """Add one star's residuals to the grid, by bilinear shares."""
    ny, nx = image.shape
    size = model.shape[0]
    half = size // 2
    top, bottom = 0.0, 0.0
    for b in range(size):
        for a in range(size):
            j, i = row + b - half, column + a - half
            if j < 0 or j >= ny or i < 0 or i >= nx or bad[j, i] != 0:
                continue
            top += model[b, a] * image[j, i]
            bottom += model[b, a] * model[b, a]
    flux = top / bottom if bottom > 0.0 else 0.0
    if not flux > 0.0:
        return
    for b in range(size):
        for a in range(size):
            j, i = row + b - half, column + a - half
            if j < 0 or j >= ny or i < 0 or i >= nx or bad[j, i] != 0 or not variance[j, i] > 0.0:
                continue
            value = image[j, i] / flux - model[b, a]
            inverse = flux * flux / variance[j, i]
            left, low = a - shift_x, b - shift_y
            a0, b0 = int(np.floor(left)), int(np.floor(low))
            for q in range(2):
                for p in range(2):
                    share = abs(1 - p - (left - a0)) * abs(1 - q - (low - b0))
                    if 0 <= a0 + p < size and 0 <= b0 + q < size:
                        total[b0 + q, a0 + p] += share * inverse * value
                        weight[b0 + q, a0 + p] += share * inverse
                        square[b0 + q, a0 + p] += share * share * inverse


def _stamp_moments(stamp: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Adaptive moments of a PSF stamp."""
    middle = np.array([(stamp.shape[0] - 1) / 2.0])
    pixels = np.ascontiguousarray(stamp, dtype=np.float32)
    shapes = measure_shapes(
        pixels,
        variance=np.ones_like(pixels),
        bad=np.zeros(pixels.shape, dtype=np.uint8),
        x=middle,
        y=middle,
    )
    return float(shapes.ixx[0]), float(shapes.iyy[0]), float(shapes.ixy[0])


@functools.lru_cache(maxsize=64)
def _offsets(half: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    axis = np.arange(-half, half + 1, dtype=np.float64)
    dx, dy = np.meshgrid(axis, axis)
    return dx.ravel(), dy.ravel()
