# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Small writer of raw files with known counts, and mistakes on purpose."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import fitsio
import numpy as np
from lsst.ra.pipe.camera import load_camera

HEADER: dict[str, Any] = {
    "INSTRUME": "LSSTCam",
    "TELESCOP": "Simonyi Survey Telescope",
    "OBSID": "MC_O_20250415_000060",
    "DAYOBS": "20250415",
    "SEQNUM": 60,
    "CONTRLLR": "O",
    "RAFTBAY": "R22",
    "CCDSLOT": "S11",
    "LSST_NUM": "E2V-CCD250-382",
    "IMGTYPE": "OBJECT",
    "DATE-BEG": "2025-04-16T01:00:00.000",
    "DATE-END": "2025-04-16T01:00:30.000",
    "DATE-OBS": "2025-04-16T01:00:00.000",
    "MJD-BEG": 60781.0416666667,
    "TIMESYS": "TAI",
    "EXPTIME": 30.0,
    "DARKTIME": 30.5,
    "FILTER": "r_57",
    "RA": 150.0,
    "DEC": -30.0,
    "ROTPA": 20.0,
    "ROTCOORD": "sky",
    "TRACKSYS": "RADEC",
    "GROUPID": "2025-04-16T01:00:00.000",
    "AZSTART": 10.0,
    "ELSTART": 70.0,
    "AZEND": 10.0,
    "ELEND": 70.0,
    "AMSTART": 1.06,
}
EXPOSURE = 2025041500060


def counts(index: int, shape: tuple[int, int]) -> np.ndarray:
    """Return the counts of an amplifier: each pixel of each differs."""
    y, x = np.indices(shape, dtype=np.int32)
    return (index * 10_000 + (7 * y + 3 * x) % 9973).astype(np.int32)


def write_raw(
    path: pathlib.Path,
    *,
    detector: str = "R22_S11",
    compress: str | None = "rice",
    header: Mapping[str, Any] | None = None,
    extensions: Mapping[str, Mapping[str, Any]] | None = None,
    omit: tuple[str, ...] = (),
    mirror_rows: bool = False,
) -> pathlib.Path:
    """Write a raw file of LSSTCam as the camera's tables describe it.

    Parameters
    ----------
    path
        File to write.
    detector
        Full name of the detector.
    compress
        Tile compression, or `None`.
    header
        Changes of the primary header; `None` removes a keyword.
    extensions
        Changes of extension headers by name, likewise.
    omit
        Extensions to leave out.
    mirror_rows
        Count the rows of DETSEC from the other edge.

    Returns
    -------
    path
        The file.
    """
    sensor = load_camera("LSSTCam")[detector]
    raft, slot = detector.split("_")
    primary = HEADER | {"RAFTBAY": raft, "CCDSLOT": slot, "LSST_NUM": sensor.serial} | dict(header or {})
    with fitsio.FITS(str(path), "rw", clobber=True) as fits:
        fits.write(None, header=_records(primary))
        for index, amplifier in enumerate(sensor.amplifiers):
            name = f"Segment{amplifier.name[1:]}"
            if name in omit:
                continue
            raw = amplifier.unassembled_raw_geometry
            assert raw is not None
            data = raw.data_bbox
            x1, x2 = amplifier.bbox.x.start + 1, amplifier.bbox.x.stop
            y1, y2 = amplifier.bbox.y.start + 1, amplifier.bbox.y.stop
            if raw.flip_x:
                x1, x2 = x2, x1
            if raw.flip_y:
                y1, y2 = y2, y1
            if mirror_rows:
                y1, y2 = sensor.bbox.y.size + 1 - y1, sensor.bbox.y.size + 1 - y2
            keywords = {
                "DATASEC": f"[{data.x.start + 1}:{data.x.stop},{data.y.start + 1}:{data.y.stop}]",
                "DETSEC": f"[{x1}:{x2},{y1}:{y2}]",
            } | dict((extensions or {}).get(name, {}))
            shape = keywords.pop("shape", raw.bbox.shape)
            fits.write(counts(index, shape), header=_records(keywords), extname=name, compress=compress)
    return path


def damage(path: pathlib.Path, extension: str) -> pathlib.Path:
    """Overwrite the first compressed tiles of an extension.

    Parameters
    ----------
    path
        File that `write_raw` wrote with compression.
    extension
        Name of the extension.

    Returns
    -------
    path
        The same file.
    """
    with fitsio.FITS(str(path)) as fits:
        start = fits[extension].get_info()["data_start"]
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(b"\x7f" * 2048 * 16)
    return path


def _records(keywords: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": key, "value": value} for key, value in keywords.items() if value is not None]
