# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""FirstLook from simulated raw files to metrics and pictures, for real."""

from __future__ import annotations

import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lsst.daf.butler import Butler
from lsst.images import MaskedImage, VisitImage
from lsst.ra.pipe.camera import compute_detector_exposure_id
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.simulation import SimulationConfig, compare_with_truth, simulate

ROOT = pathlib.Path(__file__).resolve().parents[1]
E2V, ITL = 94, 0
DETECTORS = (ITL, E2V)
PIPELINE = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
PLOTS = (
    "rapid_detector_image_plot",
    "rapid_detector_psf_plot",
    "rapid_detector_source_plot",
    "rapid_detector_amplifier_plot",
    "rapid_detector_astrometry_plot",
    "rapid_focal_plane_plot",
    "rapid_focal_plane_metrics_plot",
)


def rapid(*args: object) -> Result:
    """Run ``rapid`` with arguments."""
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


def make_repository(root: pathlib.Path, simulation: pathlib.Path) -> pathlib.Path:
    """Fill a repository from a simulation, by the command line."""
    for args in (
        ("repo", "create", root),
        ("repo", "certify", root, simulation / "calibrations" / "manifest.ecsv", "--transfer", "direct"),
        ("repo", "reference-catalog", root, simulation / "reference_catalog.parquet"),
        ("ingest", root, simulation / "raw", "--transfer", "copy"),
    ):
        result = rapid(*args)
        assert result.exit_code == 0, result.output
    return root


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two exposures of an E2V and an ITL sensor."""
    directory = tmp_path_factory.mktemp("simulation")
    simulate(SimulationConfig(detectors=DETECTORS, n_exposures=2), directory, processes=2)
    return directory


@pytest.fixture(scope="module")
def exposure(simulation: pathlib.Path) -> int:
    """Number of the first exposure."""
    config = SimulationConfig.model_validate_json((simulation / "simulation.json").read_text())
    return config.day_obs * 100_000 + config.first_seq_num


@pytest.fixture(scope="module")
def repository(
    tmp_path_factory: pytest.TempPathFactory, simulation: pathlib.Path, exposure: int
) -> pathlib.Path:
    """Repository in which ``rapid run`` has processed both detectors."""
    root = make_repository(tmp_path_factory.mktemp("first") / "repo", simulation)
    result = rapid("run", root, "-p", PIPELINE, "-e", exposure, "-o", "test/rapid", "-j", 2)
    assert result.exit_code == 0, result.output
    return root


@pytest.mark.parametrize("detector", DETECTORS)
def test_metrics_agree_with_the_truth(
    repository: pathlib.Path, simulation: pathlib.Path, exposure: int, detector: int
) -> None:
    """PSF within 5 %, sky within 1 %, star positions within 2 pixels."""
    butler = Butler.from_config(repository, collections=["test/rapid"])
    data_id = {"instrument": "LSSTCam", "visit": exposure, "detector": detector}
    comparison = compare_with_truth(
        butler.get("rapid_detector_metrics", data_id),
        butler.get("single_visit_star_unstandardized", data_id),
        simulation,
    )
    assert comparison.fwhm == pytest.approx(comparison.true_fwhm, rel=0.05)
    assert comparison.sky == pytest.approx(comparison.true_sky, rel=0.01)
    assert comparison.position_offset < 2.0
    assert comparison.n_psf_stars > 50
    assert comparison.n_matched > 0.95 * comparison.n_psf_stars


def test_outputs_are_what_users_expect(repository: pathlib.Path, exposure: int) -> None:
    """Images of lsst.images with WCS and units, pictures as PNG."""
    butler = Butler.from_config(repository, collections=["test/rapid"])
    data_id = {"instrument": "LSSTCam", "exposure": exposure, "visit": exposure, "detector": E2V}
    post_isr = butler.get("post_isr_image", data_id)
    assert type(post_isr) is MaskedImage
    assert str(post_isr.unit) == "electron"
    visit_image = butler.get("preliminary_visit_image", data_id)
    assert type(visit_image) is VisitImage
    assert visit_image.bbox == post_isr.bbox == visit_image.detector.bbox
    assert visit_image.obs_info.exposure_id == exposure
    assert visit_image.band == "r"
    for name in PLOTS:
        refs = butler.query_datasets(name)
        assert len(refs) == (len(DETECTORS) if name.startswith("rapid_detector") else 1)
        for ref in refs:
            assert butler.getURI(ref).read(8) == b"\x89PNG\r\n\x1a\n"


def test_summary_has_both_detectors(repository: pathlib.Path, exposure: int) -> None:
    """The gathering saw what was processed, and knows what was not."""
    butler = Butler.from_config(repository, collections=["test/rapid"])
    summary = butler.get("rapid_exposure_summary", instrument="LSSTCam", visit=exposure)
    assert summary["n_detectors"] == 2
    assert summary["n_detectors_missing"] == 187
    table = butler.get("rapid_exposure_detectors", instrument="LSSTCam", visit=exposure)
    assert list(table["detector"]) == list(DETECTORS)


def test_running_again_does_nothing(repository: pathlib.Path, exposure: int) -> None:
    """The second run finds everything and succeeds."""
    butler = Butler.from_config(repository)
    before = {ref.id for ref in butler.query_all_datasets("test/rapid")}
    result = rapid("run", repository, "-p", PIPELINE, "-e", exposure, "-o", "test/rapid", "-j", 1)
    assert result.exit_code == 0
    assert "4 existed" in result.output
    assert {ref.id for ref in butler.query_all_datasets("test/rapid")} == before


def test_consdb_answers_the_question_of_the_documentation(repository: pathlib.Path, exposure: int) -> None:
    """The median FWHM by exposure tonight, from both exposures."""
    result = rapid(
        *("run", repository, "-p", PIPELINE, "-e", exposure + 1, "-d", E2V, "-o", "test/second", "-j", 1)
    )
    assert result.exit_code == 0, result.output
    assert "ConsDB: 2 images written." in result.output
    page = (ROOT / "doc" / "lsst.ra.pipe" / "consdb.rst").read_text()
    _, _, query = page.partition(".. code-block:: sql\n\n")
    connection = sqlite3.connect(repository / "consdb_lsstcam.sqlite3")
    connection.row_factory = sqlite3.Row
    rows = connection.execute(query.partition(";")[0]).fetchall()
    connection.close()
    assert [row["n_inputs"] for row in rows] == [2, 1]
    for row, collection in zip(rows, ("test/rapid", "test/second"), strict=True):
        butler = Butler.from_config(repository, collections=[collection])
        visit = exposure + row["seq_num"] - rows[0]["seq_num"]
        summary = butler.get("rapid_exposure_summary", instrument="LSSTCam", visit=visit)
        # Of a Gaussian with the PSF's second moments, which wings widen.
        assert 1.0 < row["median_fwhm_arcsec"] / summary["psf_fwhm_arcsec_median"] < 1.4
        assert row["exposure_name"].endswith(f"{row['seq_num']:06d}")


def test_consdb_has_what_was_measured(repository: pathlib.Path, exposure: int) -> None:
    """Each row agrees with the Butler's dataset."""
    butler = Butler.from_config(repository, collections=["test/rapid"])
    connection = sqlite3.connect(repository / "consdb_lsstcam.sqlite3")
    query = "SELECT psf_sigma, n_psf_star FROM ccdvisit1_quicklook WHERE ccdvisit_id = ?"
    for detector in DETECTORS:
        data_id = {"instrument": "LSSTCam", "visit": exposure, "detector": detector}
        metrics = butler.get("rapid_detector_metrics", data_id)
        found = connection.execute(query, (compute_detector_exposure_id(exposure, detector),)).fetchall()
        assert found == [(metrics["psf_sigma_pixel"], metrics["n_psf_stars"])]
    connection.close()


@pytest.mark.parametrize(("detector", "isr_again"), [(ITL, False), (E2V, True)])
def test_published_metrics_follow_from_the_butler_alone(
    repository: pathlib.Path, exposure: int, detector: int, isr_again: bool
) -> None:
    """The documentation's example gives every number again, to the last bit,
    from the kept detrended image and from one made anew.
    """
    page = (ROOT / "doc" / "lsst.ra.pipe" / "measurement.rst").read_text()
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", page)
    [example] = [textwrap.dedent(block) for block in blocks if "def reproduce(" in block]
    names: dict[str, Any] = {}
    exec(compile(example, "measurement.rst", "exec"), names)
    collections = ["test/rapid"]
    if isr_again:
        result = rapid(
            *("run", repository, "-p", f"{PIPELINE}#isr", "-e", exposure, "-d", detector),
            *("-o", "u/test/again", "-j", 1),
        )
        assert result.exit_code == 0, result.output
        collections.insert(0, "u/test/again")
    butler = Butler.from_config(repository, collections=collections, instrument="LSSTCam")
    published = butler.get("rapid_detector_metrics", visit=exposure, detector=detector)
    again = names["reproduce"](butler, visit=exposure, detector=detector)
    # The references took part.
    assert published["astrometry_status"] == published["photometry_status"] == "ok"
    assert list(again) == list(published)
    assert {name: repr(value) for name, value in again.items()} == {
        name: repr(value) for name, value in published.items()
    }


def test_pipetask_gives_the_same_metrics(repository: pathlib.Path, exposure: int) -> None:
    """The pipeline is an ordinary one, and the runner changes no result."""
    command = [
        *(str(pathlib.Path(sys.executable).with_name("pipetask")), "run", "-b", str(repository)),
        *("-p", PIPELINE, "-i", "LSSTCam/defaults", "-o", "u/test/pipetask", "--register-dataset-types"),
        *("-d", f"exposure={exposure} AND detector in ({E2V})"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "RA_PIPE_DIR"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    butler = Butler.from_config(repository)
    ours, theirs = (
        butler.get(
            "rapid_detector_metrics",
            instrument="LSSTCam",
            visit=exposure,
            detector=E2V,
            collections=name,
        )
        for name in ("test/rapid", "u/test/pipetask")
    )
    # NaN is not equal to itself.
    assert {name: repr(value) for name, value in ours.items()} == {
        name: repr(value) for name, value in theirs.items()
    }


def test_truncated_raw_costs_its_detector_only(
    tmp_path: pathlib.Path, simulation: pathlib.Path, exposure: int
) -> None:
    """The summary names the file; the other detector is done and gathered;
    nothing of the bad one is in the repository.
    """
    root = make_repository(tmp_path / "repo", simulation)
    butler = Butler.from_config(root)
    raw = butler.find_dataset(
        "raw", instrument="LSSTCam", exposure=exposure, detector=E2V, collections="LSSTCam/raw/all"
    )
    assert raw is not None
    path = pathlib.Path(butler.getURI(raw).ospath)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = rapid("run", root, "-p", PIPELINE, "-e", exposure, "-o", "u/test", "-j", 2)
    assert result.exit_code == 1
    assert f"detector {E2V}" in result.output
    assert path.name in result.output
    assert "1 of 3 images failed" in result.output
    butler.registry.refresh()
    outputs = butler.query_all_datasets("u/test", find_first=False)
    assert {ref.dataId["detector"] for ref in outputs if "detector" in ref.dataId and ref.run != raw.run} >= {
        ITL
    }
    ours = [ref for ref in outputs if ref.run.startswith("u/test/") and "detector" in ref.dataId]
    assert {ref.dataId["detector"] for ref in ours} == {ITL}
    summary = butler.get("rapid_exposure_summary", instrument="LSSTCam", visit=exposure, collections="u/test")
    assert summary["n_detectors"] == 1


def test_missing_calibration_is_named_with_its_data_id(
    tmp_path: pathlib.Path, simulation: pathlib.Path, exposure: int
) -> None:
    """A detector without a flat says so; exit status 1."""
    root = make_repository(tmp_path / "repo", simulation)
    butler = Butler.from_config(root, writeable=True)
    [flat] = butler.query_datasets(
        "flat", "LSSTCam/calib/calibrations", where="detector = 94 AND instrument = 'LSSTCam'"
    )
    butler.pruneDatasets([flat], purge=True, unstore=True, disassociate=True)
    result = rapid("run", root, "-p", PIPELINE, "-e", exposure, "-d", E2V, "-o", "u/test", "-j", 1)
    assert result.exit_code == 1
    assert "flat" in result.output
    assert f"detector {E2V}" in result.output
