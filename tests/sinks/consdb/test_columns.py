# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Every quicklook column has a metric of its unit, or a reason for NULL."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import felis.cli
import numpy as np
import pytest
from astropy.coordinates import Angle, SkyCoord
from click.testing import CliRunner
from consdb_inputs import make_metrics, make_unknown_metrics
from lsst.ra.pipe.algorithms.measurement import DETECTOR_METRICS
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.sinks.consdb import (
    QUICKLOOK_TABLES,
    SCHEMAS,
    Aggregate,
    Computed,
    ConsDbSchema,
    Measured,
    Source,
    Statistic,
    Unknown,
    describe_source,
    load_schema,
    quicklook_sources,
    same_unit,
    schema_uri,
)


@pytest.fixture(params=SCHEMAS)
def schema(request: pytest.FixtureRequest) -> ConsDbSchema:
    """Schema of each instrument."""
    return load_schema(request.param, named=False)


@pytest.fixture
def sources(schema: ConsDbSchema) -> dict[str, dict[str, Source]]:
    """Where each column of each table comes from."""
    return quicklook_sources({name: schema.tables[name].columns.keys() for name in QUICKLOOK_TABLES})


def test_felis_accepts_the_schemas() -> None:
    """The observatory's own tool finds nothing wrong with the files used."""
    uris = [schema_uri(instrument) for instrument in SCHEMAS]
    options = ["--check-description", "--check-tap-table-indexes"]
    result = CliRunner().invoke(felis.cli.cli, ["--id-generation", "validate", *options, *uris])
    assert result.exit_code == 0, result.output


def test_felis_refuses_what_is_no_schema(tmp_path: pathlib.Path) -> None:
    """The test above can fail."""
    file = tmp_path / "cdb.yaml"
    file.write_text("name: cdb_lsstcam\ntables:\n- name: exposure\n  columns: [{name: exposure_id}]\n")
    result = CliRunner().invoke(felis.cli.cli, ["--id-generation", "validate", str(file)])
    assert result.exit_code == 1


def test_no_column_is_forgotten(schema: ConsDbSchema, sources: dict[str, dict[str, Source]]) -> None:
    """What is not filled has a reason."""
    for table in QUICKLOOK_TABLES:
        assert list(sources[table]) == schema.tables[table].columns.keys()
        for source in sources[table].values():
            if isinstance(source, Unknown):
                assert len(source.reason.split()) > 3


def test_units_are_those_of_the_schema(schema: ConsDbSchema, sources: dict[str, dict[str, Source]]) -> None:
    """Where the schema file gives a unit, the values have it."""
    compared = 0
    for table, columns in sources.items():
        for column, source in columns.items():
            unit = schema.units[table].get(column)
            if unit is not None and isinstance(source, (Measured, Aggregate, Computed)):
                assert same_unit(unit, source.unit), f"{table}.{column}: {unit}, not {source.unit}"
                compared += 1
    assert compared > 20


@pytest.mark.parametrize(
    ("unit", "other"),
    [("arcsec", "deg"), ("count", "mag"), ("pixel", "arcsec"), ("nJy/count", "nJy"), ("mag", ""), ("s", "")],
)
def test_other_units_are_told_apart(unit: str, other: str) -> None:
    """The comparison of units can fail."""
    assert not same_unit(unit, other)


def test_sources_name_metrics_that_exist(sources: dict[str, dict[str, Source]]) -> None:
    """A metric that changes its name is missed here, and in ConsDB."""
    for columns in sources.values():
        for source in columns.values():
            if isinstance(source, Aggregate):
                source = source.measured
            if isinstance(source, Measured):
                assert source.metric in DETECTOR_METRICS
                assert math.isfinite(source.value(make_metrics()))
                assert math.isnan(source.value(make_unknown_metrics()))
            if isinstance(source, Computed):
                assert set(source.metrics) <= DETECTOR_METRICS.keys()


def test_one_column_of_each_kind(sources: dict[str, dict[str, Source]]) -> None:
    """Spot checks, against the schema's descriptions."""
    assert sources["ccdvisit1_quicklook"]["psf_sigma"] == Measured("psf_sigma_pixel", "pix")
    assert sources["ccdexposure_quicklook"]["postisr_pixel_median"] == Measured(
        "post_isr_median_electron", "electron"
    )
    visit = sources["visit1_quicklook"]
    if "psf_sigma_median" in visit:
        assert visit["psf_sigma_max"] == Aggregate(Measured("psf_sigma_pixel", "pix"), Statistic.MAXIMUM)
        assert visit["n_psf_star_total"] == Aggregate(Measured("n_psf_stars"), Statistic.TOTAL)
        assert visit["psf_star_delta_e1_median_min"] == Aggregate(
            Measured("psf_star_delta_e1_median"), Statistic.MINIMUM
        )
    else:
        assert visit["psf_star_delta_e1_median"] == Aggregate(
            Measured("psf_star_delta_e1_median"), Statistic.ONLY
        )


def test_seeing_becomes_a_sigma_in_pixels() -> None:
    """The column is a sigma like psf_sigma; readers multiply it by 2.355 and
    the pixel scale.
    """
    sources = quicklook_sources(
        {name: load_schema("LSSTCam", named=False).tables[name].columns.keys() for name in QUICKLOOK_TABLES}
    )
    source = sources["ccdvisit1_quicklook"]["seeing_zenith_500nm"]
    assert isinstance(source, Measured)
    metrics = make_metrics(seeing_zenith_500nm_arcsec=0.7, pixel_scale_arcsec=0.2)
    assert source.value(metrics) * 2.3548 * 0.2 == pytest.approx(0.7, rel=1e-4)


def test_statistics_skip_what_is_not_known() -> None:
    """A detector on which nothing was measured does not spoil the others."""
    detectors = [make_metrics(n_psf_stars=10), make_unknown_metrics(), make_metrics(n_psf_stars=30)]
    values = {
        one: Aggregate(Measured("n_psf_stars"), one).value(detectors)
        for one in (Statistic.MINIMUM, Statistic.MEDIAN, Statistic.MAXIMUM, Statistic.TOTAL)
    }
    assert list(values.values()) == [10, 20, 30, 40]
    assert math.isnan(Aggregate(Measured("n_psf_stars"), Statistic.TOTAL).value([make_unknown_metrics()]))


@pytest.mark.parametrize(("instrument", "detector"), [("LSSTCam", 94), ("LATISS", 0)])
@pytest.mark.parametrize(("dec", "rotation"), [(-30.0, 0.3), (70.0, 359.5), (-85.0, 200.0)])
def test_fitted_rotation_is_that_of_the_projection(
    instrument: str, detector: int, dec: float, rotation: float
) -> None:
    """It is the angle on the sky that the headers give, too; LATISS's detector
    is not quite on the boresight, which matters near the pole.
    """
    camera = load_camera(instrument)
    projection = camera.sky_projection(
        detector, boresight=SkyCoord(359.99, dec, unit="deg"), rotation=Angle(rotation, "deg")
    )
    ny, nx = camera.facts[detector].shape
    sky = projection.pixel_to_sky(
        x=np.array([0.5 * (nx - 1), -0.5, nx - 0.5, nx - 0.5, -0.5]),
        y=np.array([0.5 * (ny - 1), -0.5, -0.5, ny - 0.5, ny - 0.5]),
    )
    metrics: dict[str, Any] = {"astrometry_status": "ok"}
    for place, one in zip(("center", "corner_0", "corner_1", "corner_2", "corner_3"), sky, strict=True):
        metrics |= {f"{place}_ra_degree": one.ra.deg, f"{place}_dec_degree": one.dec.deg}
    tables = load_schema(instrument, named=False).tables
    sources = quicklook_sources({name: tables[name].columns.keys() for name in QUICKLOOK_TABLES})
    source = sources["visit1_quicklook"]["astrom_sky_rotation"]
    assert isinstance(source, Computed)
    found = source.function([make_metrics(detector, **metrics)], detector)
    assert found == pytest.approx(rotation, abs=0.02 if instrument == "LATISS" else 1e-3)


def test_sources_are_described() -> None:
    """For the command that lists them."""
    measured = Measured("seeing_zenith_500nm_arcsec", "pix", per_pixel_scale=True)
    assert describe_source(measured) == "seeing_zenith_500nm_arcsec, as pix"
    assert describe_source(Aggregate(Measured("n_psf_stars"), Statistic.TOTAL)) == "total of n_psf_stars"
    assert describe_source(Unknown("from a seeing monitor")) == "NULL: from a seeing monitor"
    assert describe_source(None).startswith("NULL")


def test_unknown_instrument_is_named() -> None:
    """The message lists those that there are."""
    with pytest.raises(ValueError, match="no tables for 'HSC'; expected one of LSSTCam"):
        schema_uri("HSC")
