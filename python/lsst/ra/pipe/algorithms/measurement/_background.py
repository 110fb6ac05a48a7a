# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Level and noise of the sky, and a smooth model of its level."""

from __future__ import annotations

__all__ = (
    "BackgroundModel",
    "NoBackgroundError",
    "SkyMesh",
    "find_unlit_cells",
    "fit_background",
    "measure_mesh",
    "measure_noise",
)

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt
import scipy.ndimage

from ._robust import MAD_TO_SIGMA

_SAMPLES_FOR_MEDIAN = 300
# Standard deviation of a unit normal cut at +-3.
_CLIPPED_SIGMA = 0.98658
_CLIP = 3.0
_CLIP_ITERATIONS = 4
_SETTLED = 0.002
_MIN_CELL_FRACTION = 0.08
_FILLED_CELL_WEIGHT = 0.05
_CELL_OUTLIER = 4.0


# A cell whose relative noise is so many times the typical one has no sky, nor
# one with less than this share of the sky; if they are so many together.
_RELATIVE_NOISE, _LEAST_LIGHT, _LEAST_CELLS = 3.0, 0.3, 8
# Where noise is more than this share of the level there is no sky to compare.
_DARK = 0.3


class NoBackgroundError(ValueError):
    """No part of the image has enough good pixels to measure the sky."""


@dataclasses.dataclass(frozen=True, eq=False)
class BackgroundModel:
    """A Chebyshev polynomial for the sky, and the mesh it was fitted to.

    Positions are array indices: pixel ``[0, 0]`` has its centre at
    ``x = y = 0``. The polynomial's domain is the image, half a pixel beyond
    the outer centres included, as in `lsst.images.fields.ChebyshevField`.
    """

    coefficients: npt.NDArray[np.float64]
    """``[p, q]`` multiplies ``T_p(y) T_q(x)``, in the image's unit."""

    shape: tuple[int, int]
    """Shape ``(ny, nx)`` of the image."""

    mesh_level: npt.NDArray[np.float64]
    """``(cells_y, cells_x)`` clipped mean of each cell; NaN where too few
    good pixels were left."""

    mesh_noise: npt.NDArray[np.float64]
    """``(cells_y, cells_x)`` standard deviation of the sky's elements that
    were fitted, gaps filled: of a pixel, or of the mean of a block of them."""

    @property
    def level(self) -> float:
        """Median of the model over the cells with sky, in its unit."""
        return float(np.median(self._lit_values()))

    @property
    def noise(self) -> float:
        """Median of ``mesh_noise``, in the image's unit."""
        return float(np.median(self.mesh_noise))

    @property
    def gradient(self) -> float:
        """Largest minus smallest model value over the median, of the cells
        with sky; NaN if that is 0.
        """
        mesh = self._lit_values()
        level = float(np.median(mesh))
        return float(mesh.max() - mesh.min()) / abs(level) if level != 0.0 else math.nan

    def _lit_values(self) -> npt.NDArray[np.float32]:
        """Model values in the centres of the cells that have sky."""
        return self.evaluate_mesh()[np.isfinite(self.mesh_level)]

    def evaluate_mesh(self) -> npt.NDArray[np.float32]:
        """Evaluate the model in the centres of the mesh's cells.

        Returns
        -------
        values
            ``(cells_y, cells_x)`` model values.
        """
        cells_y, cells_x = self.mesh_level.shape
        y = _to_domain(_cell_centres(cells_y, self.shape[0]), self.shape[0])
        x = _to_domain(_cell_centres(cells_x, self.shape[1]), self.shape[1])
        values = np.polynomial.chebyshev.chebgrid2d(y, x, self.coefficients)
        return np.asarray(values, dtype=np.float32)

    def subtract_from(self, image: npt.NDArray[np.float32], *, factor: int = 1) -> npt.NDArray[np.float32]:
        """Subtract the model from an image.

        Parameters
        ----------
        image
            Pixels of shape ``(ny, nx)``, or means of blocks of them of shape
            ``(ceil(ny / factor), ceil(nx / factor))``.
        factor
            Side of a block in pixels.

        Returns
        -------
        subtracted
            New array of the same shape.

        Raises
        ------
        ValueError
            Raised if the image's shape is not the model's.
        """
        expected = (-(-self.shape[0] // factor), -(-self.shape[1] // factor))
        if image.shape != expected:
            raise ValueError(f"The model is for an image of shape {expected}, got one of {image.shape}.")
        order_y, order_x = self.coefficients.shape
        y, x = (
            _to_domain(_cell_centres(n, n * factor), size)
            for n, size in zip(expected, self.shape, strict=True)
        )
        rows = (np.polynomial.chebyshev.chebvander(y, order_y - 1) @ self.coefficients).astype(np.float32)
        basis = np.polynomial.chebyshev.chebvander(x, order_x - 1)
        return _subtract(image, rows, np.ascontiguousarray(basis.T, dtype=np.float32))


@dataclasses.dataclass(frozen=True, eq=False)
class SkyMesh:
    """Clipped statistics of an image's sky in a mesh of cells."""

    level: npt.NDArray[np.float64]
    """``(cells_y, cells_x)`` clipped mean."""

    noise: npt.NDArray[np.float64]
    """``(cells_y, cells_x)`` clipped standard deviation."""

    n_good: npt.NDArray[np.float64]
    """``(cells_y, cells_x)`` number of good elements."""

    size: tuple[int, int]
    """Shape of the array of elements."""

    factor: int
    """Side in pixels of the blocks that the elements are means of."""

    shape: tuple[int, int]
    """Shape ``(ny, nx)`` of the image in pixels."""

    @property
    def is_known(self) -> npt.NDArray[np.bool_]:
        """Whether a cell has enough good elements."""
        least = max(_MIN_CELL_FRACTION * self.size[0] * self.size[1] / self.level.size, 8)
        return np.asarray(self.n_good >= least)

    def without(self, cells: npt.NDArray[np.bool_]) -> SkyMesh:
        """Forget some cells.

        Parameters
        ----------
        cells
            ``(cells_y, cells_x)`` array, `True` for those to forget.

        Returns
        -------
        mesh
            The same mesh, with no good element in them.
        """
        return dataclasses.replace(self, n_good=np.where(cells, 0.0, self.n_good))


def measure_mesh(
    image: npt.NDArray[np.float32],
    *,
    bad: npt.NDArray[np.uint8],
    cell_size: int = 128,
    factor: int = 1,
    shape: tuple[int, int] | None = None,
) -> SkyMesh:
    """Take clipped means and standard deviations in a mesh of cells.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)``, or means of blocks of them.
    bad
        Array of that shape, non-zero where an element must not be used.
    cell_size
        Approximate side of a cell in pixels.
    factor
        Side in pixels of the blocks that ``image`` has the means of.
    shape
        Shape of the image in pixels; that of ``image`` if not given.

    Returns
    -------
    mesh
        The statistics.
    """
    ny, nx = shape or (image.shape[0], image.shape[1])
    cells_y, cells_x = max(1, round(ny / cell_size)), max(1, round(nx / cell_size))
    level, noise, n_good = _mesh_statistics(image, bad, cells_y, cells_x)
    return SkyMesh(level, noise, n_good, (image.shape[0], image.shape[1]), factor, (ny, nx))


def find_unlit_cells(mesh: SkyMesh) -> npt.NDArray[np.bool_]:
    """Find the parts of an image that the sky does not reach.

    An amplifier without signal, the shadow of the dome, or where a flat made
    of such a shadow divides nothing by nearly nothing: there the noise is out
    of proportion to the level, or the level is below three tenths of that of the
    other cells. Single cells are left alone, as they may hold a bright
    star.

    Parameters
    ----------
    mesh
        Statistics of the image.

    Returns
    -------
    unlit
        ``(cells_y, cells_x)`` array, `True` for such cells; none if there is
        no cell with a sky above its noise.
    """
    level, known = mesh.level, mesh.is_known
    relative = np.where(level > 0.0, mesh.noise / np.where(level > 0.0, level, 1.0), np.inf)
    typical = float(np.percentile(relative[known], 25.0, method="lower")) if known.any() else math.inf
    if not typical < _DARK:
        return np.zeros(level.shape, dtype=bool)
    unlit = known & (relative > _RELATIVE_NOISE * typical)
    lit = known & ~unlit
    unlit |= lit & (level < _LEAST_LIGHT * np.median(level[lit]))
    labels, n_parts = scipy.ndimage.label(unlit)
    sizes = np.bincount(labels.ravel(), minlength=n_parts + 1)
    return np.asarray(unlit & (sizes[labels] >= _LEAST_CELLS))


def fit_background(mesh: SkyMesh, *, order: int = 6) -> BackgroundModel:
    """Fit a smooth model to the clipped mean of the sky in a mesh of cells.

    The same scheme as the Alert Production's ``SubtractBackgroundTask`` with
    its approximation on: clipped means in cells of 128 pixels, a Chebyshev
    polynomial of order 6 (``p + q <= order``) fitted to them. Cells that lie
    far from the fit, for example in the halo of a bright star, are dropped.
    Gaps are held to their nearest good cell with a small weight, so that the
    polynomial does not swing where there are no data.

    Parameters
    ----------
    mesh
        Statistics of the image.
    order
        Highest order of the polynomial; lower when there are few cells.

    Returns
    -------
    model
        The fitted model, in the unit of the image.

    Raises
    ------
    NoBackgroundError
        Raised if no cell has enough good pixels.
    """
    good = mesh.is_known
    ny, nx = mesh.shape
    if not good.any():
        fraction = 1.0 - mesh.n_good.sum() / (mesh.size[0] * mesh.size[1])
        raise NoBackgroundError(
            f"No cell of the mesh of {good.shape[1]} x {good.shape[0]} has enough good pixels to measure the "
            f"sky: {fraction:.1%} of the {nx} x {ny} pixels are masked or not finite."
        )
    _, nearest = scipy.ndimage.distance_transform_edt(~good, return_indices=True)
    filled_noise = mesh.noise[nearest[0], nearest[1]]
    filled_level = mesh.level[nearest[0], nearest[1]]
    n_good = mesh.n_good
    weight = np.where(good, np.sqrt(n_good), np.sqrt(n_good[good].max()) * _FILLED_CELL_WEIGHT)
    centres = [
        _to_domain((_cell_centres(cells, n) + 0.5) * mesh.factor - 0.5, size)
        for cells, n, size in zip(good.shape, mesh.size, (ny, nx), strict=True)
    ]
    coefficients = _fit_mesh(filled_level, weight=weight, y=centres[0], x=centres[1], order=order)
    if min(filled_noise.shape) > 1:
        filled_noise = scipy.ndimage.median_filter(filled_noise, size=3, mode="nearest")
    filled_noise = np.maximum(filled_noise, np.finfo(np.float32).tiny)
    return BackgroundModel(coefficients, (ny, nx), np.where(good, mesh.level, np.nan), filled_noise)


def measure_noise(
    image: npt.NDArray[np.float32],
    *,
    bad: npt.NDArray[np.uint8],
    flags: npt.NDArray[np.uint8],
    factor: int,
    cells: int = 16,
    row_step: int = 8,
) -> float:
    """Measure the standard deviation of a pixel of sky.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    bad
        ``(ny, nx)`` array, non-zero where a pixel must not be used.
    flags
        ``(ceil(ny / factor), ceil(nx / factor))`` array, non-zero where a
        block of pixels is not pure sky.
    factor
        Side of a block in pixels.
    cells
        Number of cells along either axis, of each of which the noise is
        taken, around the cell's own mean.
    row_step
        Use every so many rows.

    Returns
    -------
    noise
        Median of the cells' clipped standard deviations, in the unit of
        ``image``; NaN if there is no sky.
    """
    rows = np.arange(0, image.shape[0], row_step)
    sample = image[::row_step]
    not_sky = bad[::row_step] | np.repeat(flags[rows // factor], factor, axis=1)[:, : image.shape[1]]
    _, noise, n_good = _mesh_statistics(sample, not_sky, cells, cells)
    enough = n_good >= max(_MIN_CELL_FRACTION * sample.size / cells**2, 8)
    if not enough.any():
        enough = n_good >= 8
    return float(np.median(noise[enough])) if enough.any() else math.nan


def _fit_mesh(
    level: npt.NDArray[np.float64],
    *,
    weight: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    x: npt.NDArray[np.float64],
    order: int,
) -> npt.NDArray[np.float64]:
    """Fit the polynomial to the mesh, dropping outlying cells twice."""
    cells_y, cells_x = level.shape
    order = max(0, min(order, min(cells_y, cells_x) - 1))
    basis_y = np.polynomial.chebyshev.chebvander(y, order)
    basis_x = np.polynomial.chebyshev.chebvander(x, order)
    terms = [(p, q) for p in range(order + 1) for q in range(order + 1 - p)]
    design = np.stack([np.outer(basis_y[:, p], basis_x[:, q]).ravel() for p, q in terms], axis=1)
    values, weights = level.ravel(), weight.ravel().copy()
    solution = np.zeros(len(terms))
    for _ in range(3):
        weighted = design * np.square(weights)[:, np.newaxis]
        # Normal equations are small; lstsq copes if they are degenerate.
        solution, *_ = np.linalg.lstsq(weighted.T @ design, weighted.T @ values, rcond=None)
        residual = values - design @ solution
        scatter = MAD_TO_SIGMA * np.median(np.abs(residual))
        weights[np.abs(residual) > max(_CELL_OUTLIER * scatter, 1e-6 * np.abs(values).max())] = 0.0
        if np.count_nonzero(weights) < 2 * len(terms):
            break
    coefficients = np.zeros((order + 1, order + 1))
    for (p, q), value in zip(terms, solution, strict=True):
        coefficients[p, q] = value
    return coefficients


def _cell_centres(cells: int, size: int) -> npt.NDArray[np.float64]:
    """Centres of the cells that share ``size`` pixels, in pixels."""
    edges = np.arange(cells + 1) * size // cells
    return (edges[:-1] + edges[1:] - 1) / 2.0


def _to_domain(position: npt.NDArray[np.generic], size: int) -> npt.NDArray[np.float64]:
    """Map pixel coordinates to the polynomial's domain, -1 to 1."""
    return (2.0 * np.asarray(position, dtype=np.float64) + 1.0) / size - 1.0


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"})
def _clipped_mean(values: np.ndarray, centre: float, sigma: float) -> tuple[float, float]:  # pragma: no cover
    for _ in range(_CLIP_ITERATIONS):
        reach = np.float32(_CLIP * sigma)
        origin = np.float32(centre)
        count, total, square = 0, 0.0, 0.0
        for value in values:
            delta = value - origin
            if abs(delta) <= reach:
                count += 1
                total += delta
                square += delta * delta
        if count < 2:
            break
        mean = total / count
        before = sigma
        sigma = np.sqrt(max(square / count - mean * mean, 0.0)) / _CLIPPED_SIGMA
        centre += mean
        if abs(mean) < _SETTLED * sigma and abs(sigma - before) < _SETTLED * sigma:
            break
    return centre, sigma


@numba.njit(cache=True, nogil=True)
def _mesh_statistics(
    image: np.ndarray, bad: np.ndarray, cells_y: int, cells_x: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # pragma: no cover
    ny, nx = image.shape
    level = np.zeros((cells_y, cells_x))
    noise = np.zeros((cells_y, cells_x))
    n_good = np.zeros((cells_y, cells_x))
    buffer = np.empty((ny // cells_y + 1) * (nx // cells_x + 1), dtype=np.float32)
    for j in range(cells_y):
        y0, y1 = j * ny // cells_y, (j + 1) * ny // cells_y
        for i in range(cells_x):
            x0, x1 = i * nx // cells_x, (i + 1) * nx // cells_x
            count = 0
            for y in range(y0, y1):
                any_bad = np.uint8(0)
                for x in range(x0, x1):
                    any_bad |= bad[y, x]
                if any_bad == 0:
                    for x in range(x1 - x0):
                        buffer[count + x] = image[y, x0 + x]
                    count += x1 - x0
                    continue
                for x in range(x0, x1):
                    buffer[count] = image[y, x]
                    count += bad[y, x] == 0
            n_good[j, i] = count
            if count == 0:
                continue
            sample = buffer[: count : max(1, count // _SAMPLES_FOR_MEDIAN)].copy()
            centre = np.median(sample)
            sigma = MAD_TO_SIGMA * np.median(np.abs(sample - centre))
            level[j, i], noise[j, i] = _clipped_mean(buffer[:count], centre, sigma)
    return level, noise, n_good


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _subtract(image: np.ndarray, rows: np.ndarray, basis: np.ndarray) -> np.ndarray:  # pragma: no cover
    ny, nx = image.shape
    out = np.empty((ny, nx), dtype=np.float32)
    line = np.empty(nx, dtype=np.float32)
    for y in range(ny):
        line[:] = rows[y, 0]
        for k in range(1, basis.shape[0]):
            factor = rows[y, k]
            for x in range(nx):
                line[x] += factor * basis[k, x]
        for x in range(nx):
            out[y, x] = image[y, x] - line[x]
    return out
