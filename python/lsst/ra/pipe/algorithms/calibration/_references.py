# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Columns and units of reference catalogues."""

from __future__ import annotations

__all__ = ("MissingFluxColumnError", "ab_magnitudes", "choose_flux_column")

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

_NANOJANSKY_AB = 31.4
_MAGNITUDE = 2.5 / np.log(10.0)

_FLUX_COLUMNS = (
    "monster_ComCam_{band}_flux",
    "monster_SynthLSST_{band}_flux",
    "lsst_{band}_flux",
    "{band}_flux",
    "monster_DES_{band}_flux",
    "monster_PS1_{band}_flux",
    "monster_SDSS_{band}_flux",
)
"""Where the flux of a band may be, best first."""

_STAND_IN_BANDS = {"y": ("z",), "white": ("r",)}
"""Bands that the Alert Production takes where a catalogue lacks one."""


class MissingFluxColumnError(ValueError):
    """The reference catalogue has no flux for a band."""


def choose_flux_column(columns: Collection[str], *, band: str) -> tuple[str, str | None]:
    """Find the flux of a band in a reference catalogue.

    Parameters
    ----------
    columns
        Names of the table's columns.
    band
        Short name of the passband, such as ``r``.

    Returns
    -------
    flux, error
        Names of the columns of the flux in nJy and of its error; `None` if
        there is no error.

    Raises
    ------
    MissingFluxColumnError
        Raised if there is no such flux. In ``y`` that of ``z`` is taken if
        need be, and for ``white`` that of ``r``, as the Alert Production does.
    """
    for name in (band, *_STAND_IN_BANDS.get(band, ())):
        for pattern in _FLUX_COLUMNS:
            flux = pattern.format(band=name)
            if flux in columns:
                return flux, f"{flux}Err" if f"{flux}Err" in columns else None
    looked_for = ", ".join(pattern.format(band=band) for pattern in _FLUX_COLUMNS)
    found = ", ".join(sorted(name for name in columns if name.endswith("_flux"))) or "no column of that kind"
    raise MissingFluxColumnError(
        f"The reference catalogue has no flux for the band {band!r}: expected one of {looked_for}; "
        f"among its columns that end in _flux are: {found}."
    )


def ab_magnitudes(
    flux: npt.ArrayLike, flux_err: npt.ArrayLike | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Convert fluxes in nJy to AB magnitudes.

    Parameters
    ----------
    flux
        ``(n,)`` fluxes in nJy.
    flux_err
        ``(n,)`` standard errors in nJy, if known.

    Returns
    -------
    mag, mag_err
        ``(n,)`` magnitudes and their errors; NaN where the flux is not
        positive or not known.
    """
    values = np.asarray(flux, dtype=np.float64)
    values = np.where(values > 0.0, values, np.nan)
    mag = _NANOJANSKY_AB - 2.5 * np.log10(values)
    if flux_err is None:
        return mag, np.full_like(mag, np.nan)
    return mag, _MAGNITUDE * np.asarray(flux_err, dtype=np.float64) / values
