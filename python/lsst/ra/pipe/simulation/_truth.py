# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What is true anywhere on a simulated detector, without its pixels."""

from __future__ import annotations

__all__ = ("TrueDetector",)

import functools
from typing import Self

import numpy as np

from lsst.images import DetectorFrame, SkyProjection

from ..camera import Camera, load_camera
from ._config import SimulationConfig
from ._exposures import SimulatedExposure, plan_exposures
from ._light import draw_star, expected_sky
from ._moments import AdaptiveMoments, adaptive_moments
from ._view import DetectorView, view_detector


class TrueDetector:
    """One detector of one exposure as it was simulated.

    Parameters
    ----------
    config
        The simulation.
    camera
        Its camera.
    detector
        Butler detector number.
    exposure
        The exposure.
    """

    def __init__(
        self, config: SimulationConfig, camera: Camera, detector: int, exposure: SimulatedExposure
    ) -> None:
        self._config = config
        self._camera = camera
        self._detector = camera[detector]
        self._exposure = exposure

    @classmethod
    def of(cls, config: SimulationConfig, *, detector: int, exposure: int = 0) -> Self:
        """Choose a detector and an exposure of a simulation.

        Parameters
        ----------
        config
            The simulation.
        detector
            Butler detector number.
        exposure
            Index of the exposure, those of the sky first.

        Returns
        -------
        truth
            What is true of them.
        """
        camera = load_camera(config.instrument)
        exposures = plan_exposures(config, band=camera.filters[config.physical_filter])
        return cls(config, camera, detector, exposures[exposure])

    @functools.cached_property
    def _view(self) -> DetectorView:
        return view_detector(self._camera, self._detector, self._exposure, vignetted=self._config.vignetting)

    @property
    def projection(self) -> SkyProjection[DetectorFrame]:
        """Pixels to ICRS (`lsst.images.SkyProjection`)."""
        return self._camera.sky_projection(
            self._detector.id, boresight=self._exposure.boresight, rotation=self._exposure.rotation
        )

    def star(self, x: float, y: float, *, size: int = 81) -> np.ndarray:
        """Draw a star of unit flux, without noise.

        Parameters
        ----------
        x, y
            Pixel position at which the PSF is taken.
        size
            Side of the stamp, odd.

        Returns
        -------
        stamp
            Pixels of shape ``(size, size)``, float64; the star is in the
            middle of the middle one.
        """
        return draw_star(self._config, self._detector, self._exposure, self._view, x, y, size=size)

    def moments(self, x: float, y: float) -> AdaptiveMoments:
        """Compute the adaptive moments of the PSF.

        Parameters
        ----------
        x, y
            Pixel position.

        Returns
        -------
        moments
            With integration over pixels; NaN where no Gaussian matches.
        """
        return adaptive_moments(self.star(x, y))

    def sky(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the expected level of the sky after the flat.

        Parameters
        ----------
        x, y
            Pixel positions, of one shape.

        Returns
        -------
        sky
            Electrons.
        """
        return expected_sky(self._config, self._detector, self._exposure, self._view, x, y)
