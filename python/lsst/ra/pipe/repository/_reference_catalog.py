# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DEFAULT_REFERENCE_CATALOG", "load_reference_catalog")

import numpy as np
import pyarrow.parquet
from astropy.table import Table

from lsst.daf.butler import Butler, CollectionType, DatasetIdGenEnum, DatasetRef, DatasetType
from lsst.daf.butler.formatters.parquet import arrow_to_astropy
from lsst.resources import ResourcePath, ResourcePathExpression
from lsst.sphgeom import HtmPixelization, LonLat, UnitVector3d

DEFAULT_REFERENCE_CATALOG = "the_monster_20250219"
"""Dataset type of the reference catalogue that AP uses."""

_HTM_LEVEL = 7
_REQUIRED = ("id", "coord_ra", "coord_dec")


def load_reference_catalog(
    butler: Butler, path: ResourcePathExpression, *, name: str = DEFAULT_REFERENCE_CATALOG
) -> list[DatasetRef]:
    """Load a reference catalogue into a repository, sharded on the sky.

    Parameters
    ----------
    butler
        Writeable client of the repository.
    path
        Parquet file with the columns ``id``, ``coord_ra`` and ``coord_dec``
        (ICRS, degrees) and any number of flux columns (nJy).
    name
        Dataset type, one Arrow table for each HTM triangle of level 7, in the
        RUN collection ``refcats/<name>``, which joins the chain ``refcats``.

    Returns
    -------
    refs
        Shards that this call added; a shard that exists is left as it is.

    Raises
    ------
    ValueError
        Raised if a required column is missing or not finite.
    """
    with ResourcePath(path).as_local() as local:
        catalog = arrow_to_astropy(pyarrow.parquet.read_table(local.ospath))
    _check_columns(catalog, path)
    dataset_type = DatasetType(name, (f"htm{_HTM_LEVEL}",), "ArrowAstropy", universe=butler.dimensions)
    butler.registry.registerDatasetType(dataset_type)
    run = f"refcats/{name}"
    butler.collections.register(run, CollectionType.RUN)
    butler.collections.register("refcats", CollectionType.CHAINED)
    butler.collections.prepend_chain("refcats", run)
    added = []
    pixels = _htm_pixels(catalog)
    for pixel in np.unique(pixels):
        ref = DatasetRef(
            dataset_type,
            butler.registry.expandDataId({f"htm{_HTM_LEVEL}": int(pixel)}),
            run=run,
            id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN,
        )
        if not butler.stored(ref):
            butler.put(catalog[pixels == pixel], ref)
            added.append(ref)
    return added


def _check_columns(catalog: Table, path: ResourcePathExpression) -> None:
    missing = [column for column in _REQUIRED if column not in catalog.colnames]
    if missing:
        raise ValueError(
            f"The reference catalogue {path} has no column {', '.join(missing)}; it has {catalog.colnames}."
        )
    for column in ("coord_ra", "coord_dec"):
        bad = int(np.sum(~np.isfinite(catalog[column])))
        if bad:
            raise ValueError(
                f"The reference catalogue {path} has {bad} values of {column} that are not finite."
            )


def _htm_pixels(catalog: Table) -> np.ndarray:
    pixelization = HtmPixelization(_HTM_LEVEL)
    return np.array(
        [
            pixelization.index(UnitVector3d(LonLat.fromDegrees(float(ra), float(dec))))
            for ra, dec in zip(catalog["coord_ra"], catalog["coord_dec"], strict=True)
        ]
    )
