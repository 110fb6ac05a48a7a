# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Small images of stars and galaxies with known truth, independent of the package's own profiles."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt
import scipy.integrate
import scipy.optimize
import scipy.special

OVERSAMPLING = 5


@dataclasses.dataclass
class Scene:
    """A simulated image and what is in it."""

    image: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    flux: npt.NDArray[np.float64]
    sky: float
    read_noise: float

    @property
    def sky_noise(self) -> float:
        """Standard deviation of a pixel of sky."""
        return float(np.hypot(np.sqrt(self.sky), self.read_noise))


@functools.cache
def kolmogorov_half_width() -> float:
    """Radius at half maximum of the transform of exp(-k^(5/3))."""

    def profile(radius: float) -> float:
        value, _ = scipy.integrate.quad(
            lambda k: k * np.exp(-(k ** (5 / 3))) * scipy.special.j0(k * radius), 0, 12, limit=200
        )
        return float(value)

    peak = profile(0.0)
    return float(scipy.optimize.brentq(lambda radius: profile(radius) - 0.5 * peak, 0.5, 4.0))


def kolmogorov_stamp(dx: float, dy: float, *, fwhm: float, half: int) -> npt.NDArray[np.float64]:
    """Pixel-integrated Kolmogorov profile of unit flux, centred at dx, dy."""
    size = 2 * (2 * half + 1)
    k = 2 * np.pi * np.fft.fftfreq(size * OVERSAMPLING, d=1 / OVERSAMPLING)
    kx, ky = np.meshgrid(k, k)
    scale = 0.5 * fwhm / kolmogorov_half_width()
    transform = np.exp(-((np.hypot(kx, ky) * scale) ** (5 / 3)))
    transform *= np.sinc(kx / (2 * np.pi)) * np.sinc(ky / (2 * np.pi))
    phase = np.exp(-1j * (kx * (dx + half) + ky * (dy + half)))
    fine = np.fft.ifft2(transform * phase).real * OVERSAMPLING**2
    return fine[::OVERSAMPLING, ::OVERSAMPLING][: 2 * half + 1, : 2 * half + 1]


def moffat_stamp(
    dx: float, dy: float, *, fwhm: float, half: int, beta: float = 3.0, e1: float = 0.0, e2: float = 0.0
) -> npt.NDArray[np.float64]:
    """Elliptical Moffat profile of unit flux, averaged over 7 x 7 sub-pixels."""
    alpha2 = (fwhm / 2) ** 2 / (2 ** (1 / beta) - 1)
    norm = (beta - 1) / (np.pi * alpha2)
    fine = (np.arange((2 * half + 1) * 7) - 3) / 7.0 - half
    x, y = np.meshgrid(fine - dx, fine - dy)
    root = np.sqrt(1 - e1 * e1 - e2 * e2)
    form = ((1 - e1) * x * x + (1 + e1) * y * y - 2 * e2 * x * y) / (root * alpha2)
    values = norm * (1 + form) ** -beta
    return np.asarray(values.reshape(2 * half + 1, 7, 2 * half + 1, 7).mean(axis=(1, 3)))


def gaussian_stamp(
    dx: float, dy: float, *, sigma: float, half: int, e1: float = 0.0, e2: float = 0.0
) -> npt.NDArray[np.float64]:
    """Elliptical Gaussian of unit flux and determinant radius sigma, sampled, not integrated."""
    root = np.sqrt(1 - e1 * e1 - e2 * e2)
    x, y = np.meshgrid(np.arange(-half, half + 1) - dx, np.arange(-half, half + 1) - dy)
    form = ((1 - e1) * x * x + (1 + e1) * y * y - 2 * e2 * x * y) / (root * sigma**2)
    return np.asarray(np.exp(-0.5 * form) / (2 * np.pi * sigma**2))


def add_stamp(image: npt.NDArray[np.float64], stamp: npt.NDArray[np.float64], x: int, y: int) -> None:
    """Add a stamp centred on pixel x, y, cut at the image's edges."""
    half = stamp.shape[0] // 2
    ny, nx = image.shape
    x0, x1, y0, y1 = max(x - half, 0), min(x + half + 1, nx), max(y - half, 0), min(y + half + 1, ny)
    image[y0:y1, x0:x1] += stamp[y0 - y + half : y1 - y + half, x0 - x + half : x1 - x + half]


def make_scene(
    *,
    shape: tuple[int, int] = (700, 800),
    n_stars: int = 40,
    fwhm: float = 4.0,
    profile: str = "moffat",
    e1: float = 0.0,
    e2: float = 0.0,
    beta: float = 3.0,
    sky: float = 1000.0,
    slope: float = 0.0,
    flux_range: tuple[float, float] = (2e4, 4e5),
    n_galaxies: int = 0,
    read_noise: float = 6.0,
    seed: int = 1,
) -> Scene:
    """Simulate stars on a jittered grid, so that they do not overlap, and galaxies between them."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    columns = int(np.ceil(np.sqrt(max(n_stars, 1) * nx / ny)))
    rows = int(np.ceil(max(n_stars, 1) / columns))
    places = rng.permutation(rows * columns)[:n_stars]
    x = (places % columns + 0.5 + rng.uniform(-0.15, 0.15, n_stars)) * nx / columns
    y = (places // columns + 0.5 + rng.uniform(-0.15, 0.15, n_stars)) * ny / rows
    low, high = np.log(flux_range)
    flux = np.exp(rng.uniform(low, high, n_stars))
    truth = sky * (1 + slope * (np.arange(nx) / nx - 0.5))[np.newaxis, :] * np.ones(shape)
    half = int(np.ceil((4 if profile == "kolmogorov" else 6) * fwhm))
    for xs, ys, fs in zip(x, y, flux, strict=True):
        ix, iy = round(xs), round(ys)
        if profile == "kolmogorov":
            stamp = kolmogorov_stamp(xs - ix, ys - iy, fwhm=fwhm, half=half)
        else:
            stamp = moffat_stamp(xs - ix, ys - iy, fwhm=fwhm, half=half, beta=beta, e1=e1, e2=e2)
        add_stamp(truth, fs * stamp, ix, iy)
    for _ in range(n_galaxies):
        stamp = moffat_stamp(
            *rng.uniform(-0.5, 0.5, 2), fwhm=fwhm * rng.uniform(1.5, 3.0), half=half, beta=2.5, e1=0.2
        )
        add_stamp(truth, np.exp(rng.uniform(low, high)) * stamp, int(rng.integers(nx)), int(rng.integers(ny)))
    image = rng.poisson(truth) + rng.normal(0, read_noise, shape)
    variance = np.maximum(image, 0) + read_noise**2
    return Scene(image.astype(np.float32), variance.astype(np.float32), x, y, flux, sky, read_noise)


def match(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], scene: Scene, *, radius: float = 2.0
) -> npt.NDArray[np.int64]:
    """Index of the nearest source to each true star, -1 beyond the radius."""
    result = np.full(scene.x.size, -1)
    for n, (xs, ys) in enumerate(zip(scene.x, scene.y, strict=True)):
        distance = np.hypot(x - xs, y - ys)
        if distance.size and distance.min() < radius:
            result[n] = int(np.argmin(distance))
    return result
