# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""The usual script of photutils: sky, sources, moments, aperture fluxes."""

from __future__ import annotations

__all__ = ("measure_with_photutils",)

import numpy as np
import numpy.typing as npt
from astropy.convolution import convolve_fft
from astropy.stats import SigmaClip
from astropy.table import QTable
from photutils.aperture import CircularAperture, aperture_photometry
from photutils.background import Background2D, MedianBackground
from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources, make_2dgaussian_kernel


def measure_with_photutils(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    fwhm: float,
    threshold: float,
) -> QTable:
    """Measure the sources of an image (electron) as photutils' guide does.

    The steps are those of `lsst.ra.pipe.algorithms.measurement`'s: a sky mesh
    of the same cells, detection at the same threshold on an image convolved
    with the PSF, deblending, second moments, and fluxes in an aperture of 12
    pixels.
    """
    sky = Background2D(
        image,
        (128, 128),
        filter_size=3,
        mask=mask,
        sigma_clip=SigmaClip(3.0),
        bkg_estimator=MedianBackground(),
    )
    subtracted = image - sky.background
    kernel = make_2dgaussian_kernel(fwhm, size=2 * round(1.5 * fwhm) + 1)
    convolved = convolve_fft(np.where(mask, 0.0, subtracted), kernel, normalize_kernel=True)
    # The noise of the convolved image is smaller than that of a pixel.
    noise = sky.background_rms * np.sqrt(np.sum((kernel.array / kernel.array.sum()) ** 2))
    segments = detect_sources(convolved, threshold * noise, n_pixels=5, mask=mask)
    segments = deblend_sources(
        convolved, segments, n_pixels=5, n_levels=32, contrast=0.005, progress_bar=False
    )
    catalog = SourceCatalog(
        subtracted, segments, convolved_data=convolved, error=np.sqrt(variance), mask=mask
    )
    columns = ["label", "x_centroid", "y_centroid", "covariance_xx", "covariance_xy", "covariance_yy"]
    table = catalog.to_table(columns=[*columns, "segment_flux", "segment_flux_err"])
    positions = np.column_stack((catalog.x_centroid, catalog.y_centroid))
    apertures = CircularAperture(positions[np.isfinite(positions).all(axis=1)], r=12.0)
    aperture_photometry(subtracted, apertures, error=np.sqrt(variance), mask=mask)
    return table
