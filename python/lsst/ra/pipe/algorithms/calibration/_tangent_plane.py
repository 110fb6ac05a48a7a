# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Flat coordinates about a point on the sky, and corrections within them."""

from __future__ import annotations

__all__ = ("PlaneCorrection", "TangentPlane")

import dataclasses

import numpy as np
import numpy.typing as npt

_ARCSEC_PER_RADIAN = 3600.0 * 180.0 / np.pi

_EXPONENTS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))


@dataclasses.dataclass(frozen=True)
class TangentPlane:
    """Gnomonic projection of the sky about a point."""

    ra: float
    """ICRS right ascension of the point, in degrees."""

    dec: float
    """ICRS declination of the point, in degrees."""

    def from_sky(
        self, ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Project positions on the sky.

        Parameters
        ----------
        ra, dec
            ``(n,)`` ICRS positions in degrees.

        Returns
        -------
        xi, eta
            ``(n,)`` positions towards the east and the north, in arcsec; NaN
            for points 90 degrees or more away.
        """
        ra0, dec0 = np.radians(self.ra), np.radians(self.dec)
        # The sine of half the difference keeps precision near the point.
        half = np.sin(0.5 * np.radians(np.asarray(ra) - self.ra))
        delta, declination = np.radians(ra) - ra0, np.radians(dec)
        cosine = np.cos(declination)
        depth = np.cos(declination - dec0) - 2.0 * np.cos(dec0) * cosine * half**2
        depth = np.where(depth > 0.0, depth, np.nan)
        xi = cosine * np.sin(delta) / depth
        eta = (np.sin(declination - dec0) + 2.0 * np.sin(dec0) * cosine * half**2) / depth
        return _ARCSEC_PER_RADIAN * xi, _ARCSEC_PER_RADIAN * eta

    def to_sky(
        self, xi: npt.NDArray[np.float64], eta: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Find the positions on the sky of points of the plane.

        Parameters
        ----------
        xi, eta
            ``(n,)`` positions towards the east and the north, in arcsec.

        Returns
        -------
        ra, dec
            ``(n,)`` ICRS positions in degrees; right ascension from 0 to 360.
        """
        x, y = np.asarray(xi) / _ARCSEC_PER_RADIAN, np.asarray(eta) / _ARCSEC_PER_RADIAN
        sine, cosine = np.sin(np.radians(self.dec)), np.cos(np.radians(self.dec))
        depth = cosine - y * sine
        ra = self.ra + np.degrees(np.arctan2(x, depth))
        return ra % 360.0, np.degrees(np.arctan2(sine + y * cosine, np.hypot(x, depth)))

    def convergence(self, xi: float, eta: float) -> float:
        """Tell how far north, as seen at a point, is turned in the plane.

        Parameters
        ----------
        xi, eta
            The point, in arcsec.

        Returns
        -------
        angle
            Position angle in the plane of the direction to the pole, in
            degrees; 0 at the centre.
        """
        x, y = xi / _ARCSEC_PER_RADIAN, eta / _ARCSEC_PER_RADIAN
        sine, cosine = np.sin(np.radians(self.dec)), np.cos(np.radians(self.dec))
        # Meridians are straight lines through the pole, which is in the
        # plane at xi = 0, eta = cosine / sine.
        return float(np.degrees(np.arctan2(-x * sine, cosine - y * sine)))


@dataclasses.dataclass(frozen=True, eq=False)
class PlaneCorrection:
    """Polynomial that moves points of a tangent plane to where they belong.

    Powers are of ``xi / scale`` and ``eta / scale``.
    """

    coefficients: npt.NDArray[np.float64]
    """``(2, n_terms)`` coefficients in arcsec of 1, xi, eta and, if there are
    six, xi^2, xi eta, eta^2; the first row gives xi."""

    scale: float = 500.0
    """Length in arcsec that the powers are expressed in."""

    @classmethod
    def identity(cls) -> PlaneCorrection:
        """Make the correction that moves nothing.

        Returns
        -------
        correction
            The identity.
        """
        return cls(np.array([[0.0, cls.scale, 0.0], [0.0, 0.0, cls.scale]]))

    @property
    def exponents(self) -> tuple[tuple[int, int], ...]:
        """Powers of xi and eta in each term."""
        return _EXPONENTS[: self.coefficients.shape[1]]

    @property
    def shift(self) -> tuple[float, float]:
        """Where the centre goes, in arcsec towards east and north."""
        return float(self.coefficients[0, 0]), float(self.coefficients[1, 0])

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """``(2, 2)`` derivative at the centre, without unit."""
        return self.coefficients[:, 1:3] / self.scale

    @property
    def magnification(self) -> float:
        """Ratio of lengths after and before, at the centre."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def rotation(self) -> float:
        """Change of position angles (north through east), in degrees."""
        (a, b), (c, d) = self.matrix
        return -float(np.degrees(np.arctan2(c - b, a + d)))

    def apply(
        self, xi: npt.NDArray[np.float64], eta: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Move points.

        Parameters
        ----------
        xi, eta
            ``(n,)`` positions in arcsec.

        Returns
        -------
        xi, eta
            ``(n,)`` corrected positions in arcsec.
        """
        terms = self.terms(xi, eta, n_terms=self.coefficients.shape[1], scale=self.scale)
        moved = self.coefficients @ terms
        return moved[0], moved[1]

    @staticmethod
    def terms(
        xi: npt.NDArray[np.float64], eta: npt.NDArray[np.float64], *, n_terms: int, scale: float = 500.0
    ) -> npt.NDArray[np.float64]:
        """Evaluate the powers that the coefficients multiply.

        Parameters
        ----------
        xi, eta
            ``(n,)`` positions in arcsec.
        n_terms
            Number of terms, 3 or 6.
        scale
            Length in arcsec that the powers are expressed in.

        Returns
        -------
        terms
            Array of shape ``(n_terms, n)``.
        """
        u, v = np.asarray(xi) / scale, np.asarray(eta) / scale
        return np.stack([u**i * v**j for i, j in _EXPONENTS[:n_terms]])
