# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The list of calibrations that a repository is filled from."""

from __future__ import annotations

__all__ = ("write_manifest",)

import pathlib
from collections.abc import Iterable

from astropy.table import Table

from ._calibrations import SimulatedCalibration
from ._write import atomic_path


def write_manifest(
    out: pathlib.Path, calibrations: Iterable[SimulatedCalibration], *, instrument: str
) -> pathlib.Path:
    """Write ``calibrations/manifest.ecsv``, as ``rapid repo certify`` reads it.

    Parameters
    ----------
    out
        Directory of the simulation.
    calibrations
        The calibrations, which lie below it.
    instrument
        Butler instrument.

    Returns
    -------
    path
        The manifest.  The calibrations in it are valid at all times.
    """
    path = out / "calibrations" / "manifest.ecsv"
    rows = [
        {
            "path": calibration.path.relative_to(path.parent).as_posix(),
            "dataset_type": calibration.dataset_type,
            "instrument": instrument,
            "detector": calibration.detector,
            "physical_filter": calibration.physical_filter or "",
            "valid_begin": "",
            "valid_end": "",
        }
        for calibration in calibrations
    ]
    with atomic_path(path) as temporary:
        Table(rows).write(temporary, format="ascii.ecsv", overwrite=True)
    return path
