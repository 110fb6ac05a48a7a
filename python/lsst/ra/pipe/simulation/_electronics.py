# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""From light to counts: the steps that instrument signature removal undoes.

In each pixel, in electrons: photons and dark current are Poisson, cosmic rays
are added, full wells bleed along the columns. On the way out amplifiers see
each other (crosstalk), the bias pattern is added, the gain makes counts, and
level, its drift, and read noise are added.
"""

from __future__ import annotations

__all__ = ("add_cosmic_rays", "bleed", "collect_charge", "read_out")

import numba
import numpy as np

from ._ccd import Ccd, raw_geometry

_BLOCK = 128
_POISSON_BELOW = 16.0
"""Expected electrons below which numpy's Poisson is used; above, a normal
number with the skewness of a Poisson one."""
_MAX_COUNT = 2**18 - 1
"""Largest count of the 18-bit converters, adu."""
_DEPTH = 10.0
"""Thickness of the silicon, pixels (100 micron)."""
_MIP = 80.0 * 10.0
"""Electrons that a minimum-ionising particle leaves per pixel of path (80 per
micron; Particle Data Group)."""
_SHARING = 0.45
"""Rms diffusion of charge, pixels."""


def collect_charge(
    charge: np.ndarray,
    *,
    ccd: Ccd,
    illumination: np.ndarray,
    dark_time: float,
    rng: np.random.Generator | None,
) -> None:
    """Turn expected photons into collected electrons.

    Parameters
    ----------
    charge
        Expected electrons of the objects before the flat, of shape
        ``(ny, nx)``, float32; changed in place into
        ``Poisson(flat * (objects + illumination) + dark * dark_time)``.
    ccd
        Gives flat and dark.
    illumination
        Expected electrons of the sky or a lamp, on a regular grid of nodes
        that includes the corner pixels' centres, shape ``(my, mx)``.
    dark_time
        Time over which dark current was collected, seconds.
    rng
        Noise; `None` leaves expected values.
    """
    grid = np.ascontiguousarray(illumination, dtype=np.float32)
    ny = len(charge)
    for start in range(0, ny, _BLOCK):
        block = np.s_[start : min(start + _BLOCK, ny)]
        least = _expect(charge, ccd.flat, ccd.dark, grid, np.float32(dark_time), block.start, block.stop)
        if rng is None:
            continue
        part = charge[block]
        low = np.flatnonzero(part < _POISSON_BELOW) if least < _POISSON_BELOW else None
        few = None if low is None else rng.poisson(part.ravel()[low])
        _add_photon_noise(part, rng.standard_normal(part.shape, dtype=np.float32))
        if low is not None:
            part.ravel()[low] = few  # part is contiguous: ravel is a view


@numba.njit(cache=True, fastmath=True, nogil=True)
def _expect(
    charge: np.ndarray,
    flat: np.ndarray,
    dark: np.ndarray,
    grid: np.ndarray,
    dark_time: np.float32,
    start: int,
    stop: int,
) -> np.float32:
    """Apply sky, flat and dark to some rows; return the least value."""
    ny, nx = charge.shape
    my, mx = grid.shape
    row = np.empty(mx, np.float32)
    least = np.float32(3e38)
    step = np.float32((mx - 1) / (nx - 1))
    for y in range(start, stop):
        gy = y * (my - 1) / (ny - 1)
        j = min(int(gy), my - 2)
        w = np.float32(gy - j)
        for i in range(mx):
            row[i] = grid[j, i] * (np.float32(1.0) - w) + grid[j + 1, i] * w
        for x in range(nx):
            gx = np.float32(x) * step
            i = min(int(gx), mx - 2)
            sky = row[i] + (row[i + 1] - row[i]) * (gx - np.float32(i))
            value = flat[y, x] * (charge[y, x] + sky) + dark[y, x] * dark_time
            charge[y, x] = value
            least = min(least, value)
    return least


@numba.njit(cache=True, fastmath=True, nogil=True)
def _add_photon_noise(charge: np.ndarray, normal: np.ndarray) -> None:
    """Replace expected values by integers of Poisson's first three moments
    (Cornish & Fisher 1938), where values are not small.
    """
    sixth = np.float32(1.0 / 6.0)
    for y in range(charge.shape[0]):
        for x in range(charge.shape[1]):
            mean, z = max(charge[y, x], np.float32(0.0)), normal[y, x]
            charge[y, x] = max(np.rint(mean + np.sqrt(mean) * z + (z * z - np.float32(1.0)) * sixth), 0.0)


def add_cosmic_rays(charge: np.ndarray, *, expected: float, rng: np.random.Generator) -> int:
    """Add straight tracks of minimum-ionising particles.

    Parameters
    ----------
    charge
        Electrons, shape ``(ny, nx)``; changed in place.
    expected
        Expected number of tracks.
    rng
        Where, and how long.

    Returns
    -------
    count
        Number of tracks.
    """
    ny, nx = charge.shape
    count = int(rng.poisson(expected))
    for _ in range(count):
        x0, y0, angle = rng.uniform(0, nx), rng.uniform(0, ny), rng.uniform(0.0, 2.0 * np.pi)
        # Muons come with intensity cos^2 of the zenith angle; the sensor is
        # tilted by the telescope, so take any inclination to 85 degrees.
        slope = np.tan(np.deg2rad(rng.uniform(0.0, 85.0)))
        length = _DEPTH * slope
        n = int(10 + 8 * length)
        t = rng.random(n) * length
        x = np.rint(x0 + t * np.cos(angle) + rng.normal(0.0, _SHARING, n)).astype(int)
        y = np.rint(y0 + t * np.sin(angle) + rng.normal(0.0, _SHARING, n)).astype(int)
        inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
        electrons = np.rint(_MIP * _DEPTH * np.hypot(1.0, slope) / n)
        np.add.at(charge, (y[inside], x[inside]), np.float32(electrons))
    return count


def bleed(charge: np.ndarray, *, ccd: Ccd) -> int:
    """Spread charge above full well along the columns of each amplifier.

    Half of the excess goes either way; what reaches the read-out edge or the
    middle of the CCD is lost.

    Parameters
    ----------
    charge
        Electrons, shape ``(ny, nx)``; changed in place.
    ccd
        Gives full wells and amplifiers.

    Returns
    -------
    count
        Number of pixels at or above full well before bleeding.
    """
    count = 0
    for amplifier, full_well in zip(ccd.detector.amplifiers, ccd.full_well, strict=True):
        if np.isfinite(full_well):
            count += _bleed_box(
                charge,
                amplifier.bbox.x.start,
                amplifier.bbox.x.stop,
                amplifier.bbox.y.start,
                amplifier.bbox.y.stop,
                np.float32(full_well),
            )
    return count


@numba.njit(cache=True, nogil=True)
def _bleed_box(charge: np.ndarray, x0: int, x1: int, y0: int, y1: int, full: np.float32) -> int:
    """Bleed one amplifier's columns; return the number of full pixels."""
    is_full = np.zeros(x1 - x0, np.bool_)
    count = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            if charge[y, x] >= full:
                is_full[x - x0] = True
                count += 1
    excess = np.empty(y1 - y0, np.float64)
    for x in range(x0, x1):
        if not is_full[x - x0]:
            continue
        for y in range(y0, y1):
            excess[y - y0] = max(charge[y, x] - full, np.float32(0.0)) / 2.0
            charge[y, x] = min(charge[y, x], full)
        for up in (True, False):
            carried = 0.0
            for i in range(y1 - y0):
                y = y0 + i if up else y1 - 1 - i
                carried += excess[y - y0]
                taken = min(carried, full - charge[y, x])
                charge[y, x] += np.float32(taken)
                carried -= taken
    return count


def read_out(charge: np.ndarray, *, ccd: Ccd, structure: bool, rng: np.random.Generator | None) -> np.ndarray:
    """Read a CCD out through its amplifiers.

    Parameters
    ----------
    charge
        Electrons, shape ``(ny, nx)``, float32.
    ccd
        Gives the amplifiers' properties.
    structure
        Whether the level drifts with row and column and the overscan has a
        trail.
    rng
        Read noise and drifts; `None` for neither.

    Returns
    -------
    counts
        Counts (adu) as read out, int32, of shape ``(n_amp, raw_ny, raw_nx)``,
        in the order of the HDUs.
    """
    geometries = [raw_geometry(amplifier) for amplifier in ccd.detector.amplifiers]
    data = geometries[0].data_bbox
    raw_ny, raw_nx = geometries[0].bbox.shape
    boxes = np.array(
        [
            (a.bbox.x.start, a.bbox.y.start, g.flip_x, g.flip_y)
            for a, g in zip(ccd.detector.amplifiers, geometries, strict=True)
        ],
        np.int64,
    )
    rows, columns = _level_structure(len(boxes), raw_ny, raw_nx, rng if structure else None)
    counts = np.empty((len(boxes), raw_ny, raw_nx), np.int32)
    normal = np.zeros((len(boxes), _BLOCK, raw_nx), np.float32)
    for start in range(0, raw_ny, _BLOCK):
        if rng is not None:
            rng.standard_normal(out=normal, dtype=np.float32)
        _read_rows(
            counts,
            start,
            min(start + _BLOCK, raw_ny),
            charge,
            ccd.bias,
            boxes,
            np.array([data.x.start, data.x.size, data.y.start, data.y.size], np.int64),
            ccd.crosstalk.astype(np.float32),
            (1.0 / ccd.gain).astype(np.float32),
            (rows + ccd.offset[:, None]).astype(np.float32),
            columns.astype(np.float32),
            (ccd.read_noise / ccd.gain).astype(np.float32),
            normal,
            np.float32(5e-4 if structure else 0.0),
        )
    return counts


def _level_structure(
    n: int, raw_ny: int, raw_nx: int, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return level by row ``(n, raw_ny)`` and by column ``(n, raw_nx)``,
    adu, beyond the constant level.

    Rows settle after the start of read-out, wander, and jitter; columns have
    a small wave, which the parallel overscan shows too.
    """
    if rng is None:
        return np.zeros((n, raw_ny)), np.zeros((n, raw_nx))
    y, x = np.arange(raw_ny), np.arange(raw_nx)
    amplitude = rng.uniform(0.5, 1.5, (n, 1))
    rows = amplitude * (8.0 * np.exp(-y / 150.0) + 2.0 * np.sin(y / 90.0 + rng.uniform(0.0, 6.3)))
    rows += rng.normal(0.0, 0.3, raw_ny)
    columns = 0.5 * np.sin(x / rng.uniform(20.0, 60.0, (n, 1)) + rng.uniform(0.0, 6.3, (n, 1)))
    return rows, columns


@numba.njit(cache=True, fastmath=True, nogil=True)
def _read_rows(
    counts: np.ndarray,
    start: int,
    stop: int,
    charge: np.ndarray,
    bias: np.ndarray,
    boxes: np.ndarray,
    data: np.ndarray,
    crosstalk: np.ndarray,
    per_gain: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    noise: np.ndarray,
    normal: np.ndarray,
    trail: np.float32,
) -> None:
    """Read some raw rows of all amplifiers, which share one geometry."""
    n, _, raw_nx = counts.shape
    x0, nx, y0, ny = data
    seen = np.zeros((n, nx), np.float32)
    signal = np.zeros((n, raw_nx), np.float32)
    for y in range(start, stop):
        signal[:] = np.float32(0.0)
        if y0 <= y < y0 + ny:
            for a in range(n):
                bx, by, flip_x, flip_y = boxes[a]
                row = by + (ny - 1 - (y - y0) if flip_y else y - y0)
                source = charge[row, bx : bx + nx]
                pattern = bias[row, bx : bx + nx]
                if flip_x:
                    source, pattern = source[::-1], pattern[::-1]
                for x in range(nx):
                    seen[a, x] = source[x]
                    signal[a, x0 + x] = source[x] + pattern[x]
            for a in range(n):
                for b in range(n):
                    c = crosstalk[a, b]
                    if c != np.float32(0.0):
                        for x in range(nx):
                            signal[a, x0 + x] += c * seen[b, x]
                for k in range(min(4, raw_nx - x0 - nx)):  # charge left behind by the last pixel
                    signal[a, x0 + nx + k] = trail * seen[a, nx - 1] * np.exp(np.float32(-1.2 * k))
        for a in range(n):
            g, s, level = per_gain[a], noise[a], rows[a, y]
            for x in range(raw_nx):
                value = signal[a, x] * g + level + columns[a, x] + s * normal[a, y - start, x]
                counts[a, y, x] = np.int32(min(max(np.rint(value), 0.0), _MAX_COUNT))
