# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Files that appear whole or not at all."""

from __future__ import annotations

__all__ = ("atomic_path", "write_masked_image", "write_raw", "write_table")

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator, Sequence

import fitsio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lsst.images import MaskedImage
from lsst.images.fits import (
    FitsCompressionAlgorithm,
    FitsCompressionOptions,
    FitsDitherAlgorithm,
    FitsQuantizationOptions,
)

from ._headers import Card

_STRIP = 64
"""Rows of a tile of a compressed calibration image."""


@contextlib.contextmanager
def atomic_path(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a temporary name that becomes `path` when all goes well.

    Parameters
    ----------
    path
        File to write; its directory is created. A file of this name is
        replaced.

    Yields
    ------
    temporary
        File in the same directory, with the same suffixes; removed if the
        block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_raw(
    path: pathlib.Path, *, counts: np.ndarray, primary: Sequence[Card], extensions: Sequence[Sequence[Card]]
) -> None:
    """Write a Rice-compressed raw file.

    Parameters
    ----------
    path
        File to write.
    counts
        Counts as read out, int32, of shape ``(n_amp, raw_ny, raw_nx)``.
    primary
        Primary header.
    extensions
        Headers of the extensions.
    """
    with atomic_path(path) as temporary, fitsio.FITS(os.fspath(temporary), "rw", clobber=True) as fits:
        fits.write(None, header=_fitsio_header(primary))
        fits[0].write_checksum()
        for array, header in zip(counts, extensions, strict=True):
            fits.write(
                array,
                header=_fitsio_header(header),
                extname=str(dict(header)["EXTNAME"]),
                compress="RICE",
                tile_dims=(1, array.shape[1]),
            )
            fits[-1].write_checksum()


def _fitsio_header(cards: Sequence[Card]) -> list[dict[str, object]]:
    """Return cards as fitsio wants them; long names become HIERARCH."""
    return [
        {"name": f"HIERARCH {name}" if len(name) > 8 else name, "value": value, "comment": ""}
        for name, value in cards
    ]


def write_masked_image(path: pathlib.Path, image: MaskedImage, *, quantize_seed: int | None = None) -> None:
    """Write a calibration image.

    Parameters
    ----------
    path
        FITS file to write.
    image
        Image with mask, and one value of variance throughout.
    quantize_seed
        Seed of the dithers that go with Rice compression of the image to a
        sixteenth of its pixel noise; no compression if unset. Mask and
        variance are always exact.
    """
    strip = (_STRIP, image.bbox.x.size)
    quantization = FitsQuantizationOptions(
        dither=FitsDitherAlgorithm.SUBTRACTIVE_DITHER_2, level=16.0, seed=quantize_seed or 1
    )
    rice = FitsCompressionOptions(
        algorithm=FitsCompressionAlgorithm.RICE_1, tile_shape=strip, quantization=quantization
    )
    # Integers are never quantized; of constant tiles only the constant is kept.
    options = {
        "image": None if quantize_seed is None else rice,
        "mask": FitsCompressionOptions(algorithm=FitsCompressionAlgorithm.RICE_1, tile_shape=strip),
        "variance": rice,
    }
    with atomic_path(path) as temporary:
        image.write(os.fspath(temporary), compression_options=options)


def write_table(path: pathlib.Path, table: pa.Table) -> None:
    """Write a table as Parquet.

    Parameters
    ----------
    path
        File to write.
    table
        Table to write.
    """
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
