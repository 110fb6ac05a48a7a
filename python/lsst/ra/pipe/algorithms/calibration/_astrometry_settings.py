# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Choices for the astrometric match and fit."""

from __future__ import annotations

__all__ = ("AstrometrySettings",)

import dataclasses


@dataclasses.dataclass(frozen=True)
class AstrometrySettings:
    """What can be chosen about the astrometric match and fit."""

    max_shift: float = 100.0
    """Largest error of the initial position of the detector's centre, in
    arcsec along each axis."""

    max_rotation: float = 0.7
    """Largest error of the initial rotation, in degrees."""

    min_matches: int = 3
    """A match has at least so many stars."""

    max_chance: float = 1e-6
    """Accept a match if fewer than so many are expected by chance."""

    min_affine: int = 12
    """Fit an affine correction to at least so many stars, otherwise a
    similarity: shift, rotation and scale."""

    min_quadratic: int = 100
    """With at least so many stars try second order, which is kept if it
    improves the fit beyond doubt."""

    error_floor: float = 0.004
    """Standard error in arcsec, along each axis, that is added in quadrature
    to those of sources and references: what the atmosphere does to a short
    exposure."""

    max_distortion: float = 0.003
    """Refuse a fit whose scale or shear differs by more from the initial
    one."""
