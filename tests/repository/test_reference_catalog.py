# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import numpy as np
import pyarrow.parquet
import pytest
from astropy.table import Table, vstack
from lsst.daf.butler import Butler
from lsst.daf.butler.formatters.parquet import astropy_to_arrow
from lsst.ra.pipe.repository import load_reference_catalog
from lsst.sphgeom import LonLat, UnitVector3d


def write_catalog(path: pathlib.Path, **changes: object) -> Table:
    """Write a catalogue that spans some HTM triangles of level 7."""
    rng = np.random.default_rng(5)
    table = Table(
        {
            "id": np.arange(300),
            "coord_ra": rng.uniform(10.0, 12.0, 300),
            "coord_dec": rng.uniform(-31.0, -29.0, 300),
            "monster_ComCam_r_flux": rng.uniform(1e3, 1e5, 300),
        }
    )
    for name, value in changes.items():
        table[name][7] = value
    pyarrow.parquet.write_table(astropy_to_arrow(table), path)
    return table


def test_shards_hold_every_star_once(butler: Butler, tmp_path: pathlib.Path) -> None:
    """The shards together are the catalogue; a second load adds nothing."""
    table = write_catalog(tmp_path / "catalog.parquet")
    refs = load_reference_catalog(butler, tmp_path / "catalog.parquet", name="gaia")
    assert len(refs) > 3
    shards = [butler.get(ref) for ref in refs]
    together = vstack(shards)
    together.sort("id")
    assert np.array_equal(together["id"], table["id"])
    assert np.array_equal(together["monster_ComCam_r_flux"], table["monster_ComCam_r_flux"])
    assert "refcats/gaia" in butler.collections.get_info("refcats").children
    assert load_reference_catalog(butler, tmp_path / "catalog.parquet", name="gaia") == []


def test_stars_are_in_the_shard_of_their_position(butler: Butler, tmp_path: pathlib.Path) -> None:
    """The region of a shard's data ID contains its stars."""
    write_catalog(tmp_path / "catalog.parquet")
    for ref in load_reference_catalog(butler, tmp_path / "catalog.parquet", name="gaia"):
        region = ref.dataId.region
        assert region is not None
        for star in butler.get(ref):
            assert region.contains(UnitVector3d(LonLat.fromDegrees(star["coord_ra"], star["coord_dec"])))


def test_position_that_is_not_finite_is_refused(butler: Butler, tmp_path: pathlib.Path) -> None:
    """The error names the column and counts the values."""
    write_catalog(tmp_path / "catalog.parquet", coord_dec=np.nan)
    with pytest.raises(ValueError, match=r"catalog\.parquet has 1 values of coord_dec"):
        load_reference_catalog(butler, tmp_path / "catalog.parquet")


def test_missing_column_is_refused(butler: Butler, tmp_path: pathlib.Path) -> None:
    """The error names the column and what there is."""
    pyarrow.parquet.write_table(pyarrow.table({"id": [1], "ra": [1.0]}), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match=r"no column coord_ra, coord_dec; it has \['id', 'ra'\]"):
        load_reference_catalog(butler, tmp_path / "bad.parquet")
