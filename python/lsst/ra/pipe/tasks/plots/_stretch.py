# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""From pixel values to grey levels."""

from __future__ import annotations

__all__ = ("SkyStretch", "find_stretch")

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from matplotlib.colors import AsinhNorm, Normalize

_MAD_TO_SIGMA = 1.4826
_MAX_SAMPLES = 100_000
_LEAST_BELOW = 4.0
_DARK_PERCENTILE = 1.0
_MAX_TICKS = 7
_LINEAR = 3.0
_LEAST_ABOVE = 30.0
_BRIGHT_PERCENTILE = 99.8


@dataclasses.dataclass(frozen=True)
class SkyStretch:
    """Grey scale, linear about the sky and logarithmic far above it."""

    sky: float
    """Median of the image, in its unit; the scale's zero."""

    sigma: float
    """Robust standard deviation of the image, in its unit."""

    darkest: float
    """Lower end of the scale below the sky, in the image's unit, positive."""

    brightest: float
    """Upper end of the scale above the sky, in the image's unit."""

    @property
    def norm(self) -> Normalize:
        """Normalisation for an image with ``sky`` subtracted."""
        return AsinhNorm(linear_width=_LINEAR * self.sigma, vmin=-self.darkest, vmax=self.brightest)

    def grey(self, image: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """Turn an image into shades of grey.

        Parameters
        ----------
        image
            Pixels of shape ``(ny, nx)``.

        Returns
        -------
        shades
            ``(ny, nx, 4)`` red, green, blue and opacity; transparent where the
            image is not finite. To draw this is faster than to draw the image
            with ``norm``.
        """
        good = np.isfinite(image)
        scaled = np.asarray(self.norm(np.where(good, image, self.sky) - self.sky))
        shades = np.empty((*image.shape, 4), dtype=np.uint8)
        shades[..., :3] = np.clip(255.0 * scaled, 0.0, 255.0).astype(np.uint8)[..., np.newaxis]
        shades[..., 3] = np.where(good, 255, 0)
        return shades

    @property
    def ticks(self) -> list[float]:
        """Round values to mark on the colour scale: zero, and steps of about
        three on the wings.
        """
        power = math.floor(math.log10(_LINEAR * self.sigma))
        round_values = [digit * 10.0**exponent for exponent in range(power, power + 9) for digit in (1, 3)]
        above = [value for value in round_values if 2.0 * self.sigma < value < self.brightest]
        below = [-value for value in round_values if 2.0 * self.sigma < value < self.darkest]
        return [*sorted(below)[-2:], 0.0, *above[:_MAX_TICKS]]


def find_stretch(image: npt.NDArray[np.floating], *, least_above: float = _LEAST_ABOVE) -> SkyStretch:
    """Find the grey scale that shows the sky's structure and the stars.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)``; those that are not finite do not count.
    least_above
        Least upper end of the scale, in standard deviations above the
        median; the default leaves room for stars.

    Returns
    -------
    stretch
        Scale from the darkest per cent of the pixels, and at least 4 standard
        deviations below the median, to the brightest 0.2 per cent, and at
        least ``least_above`` above. The standard deviation is that of the median absolute
        deviation.
    """
    values = image.ravel()[:: max(1, image.size // _MAX_SAMPLES)]
    values = values[np.isfinite(values)]
    if values.size == 0:
        return SkyStretch(0.0, 1.0, _LEAST_BELOW, least_above)
    sky = float(np.median(values))
    sigma = _MAD_TO_SIGMA * float(np.median(np.abs(values - sky)))
    if sigma <= 0.0:
        sigma = max(float(np.std(values)), abs(sky) * 1e-3, 1e-6)
    dark, bright = np.percentile(values, [_DARK_PERCENTILE, _BRIGHT_PERCENTILE]) - sky
    return SkyStretch(
        sky, sigma, max(float(-dark), _LEAST_BELOW * sigma), max(float(bright), least_above * sigma)
    )
