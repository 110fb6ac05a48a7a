# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The PSF model in the form that lsst.images keeps with an image."""

from __future__ import annotations

__all__ = ("load_piff", "make_piff_psf")

import numpy as np
import numpy.typing as npt

from lsst.images import Box
from lsst.images.psfs import PiffWrapper

from ..algorithms.measurement import PsfModel

_INTERPOLANT = "Lanczos(7)"
_SCALE = 0.2
"""Arcsec per pixel of the model's own flat coordinates, in which Piff keeps
polynomials; any value would do."""


def load_piff() -> None:
    """Import Piff, which takes seconds: when a task is made, as workers do
    while nobody waits, not with its first image, nor for all who only look at
    pipelines.
    """
    import piff  # noqa: F401


def make_piff_psf(model: PsfModel, bbox: Box) -> PiffWrapper:
    """Express a PSF model as a Piff PSF: a grid of pixels, each of which is a
    polynomial of the position.

    Parameters
    ----------
    model
        PSF in the pixels of the image's array.
    bbox
        The image's pixels.

    Returns
    -------
    psf
        The same PSF, as `lsst.images.psfs` reads and writes it.
    """
    import galsim
    import piff

    size = 2 * model.half + 1
    order = max(p for p, _ in model.powers)
    interpolation = piff.BasisPolynomial(order=order)
    interpolation.q = _in_flat_coordinates(model, bbox, order)
    grid = piff.PixelGrid(scale=_SCALE, size=size, interp=_INTERPOLANT, centered=False)
    psf = piff.SimplePSF(grid, interpolation)
    psf.wcs = {0: galsim.PixelScale(_SCALE)}
    psf.pointing = None
    psf.bandpass = None
    psf.stars = []
    return PiffWrapper(psf, bbox, size)


def _in_flat_coordinates(model: PsfModel, bbox: Box, order: int) -> npt.NDArray[np.float64]:
    """Convert polynomials of scaled positions to Piff's coordinates.

    Returns an ``(n_pixels, n_terms)`` array, terms in the order in which
    `piff.BasisPolynomial` has them.
    """
    ny, nx = model.shape
    reach = _SCALE * max(nx, ny)
    axis = np.linspace(0.0, 1.0, order + 1)
    x, y = (values.ravel() for values in np.meshgrid(axis * (nx - 1), axis * (ny - 1)))
    values = np.tensordot(model.terms(x, y), model.coefficients, axes=1).reshape(x.size, -1)
    u, v = _SCALE * (x + bbox.x.min) / reach, _SCALE * (y + bbox.y.min) / reach
    powers = [(p, q) for p in range(order + 1) for q in range(order + 1) if p + q <= order]
    design = np.stack([u**p * v**q for p, q in powers], axis=1)
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    scale = np.array([reach ** (p + q) for p, q in powers])
    return np.asarray((solution / scale[:, np.newaxis]).T)
