# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""FirstLook of bias, dark and flat exposures, from simulated raw files, for real."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner
from lsst.daf.butler import Butler
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.algorithms.amplifiers import CALIBRATION_METRICS
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.simulation import SimulationConfig, simulate
from lsst.ra.pipe.simulation._ccd import Ccd, build_ccd
from lsst.ra.pipe.tasks import AmplifierMetricsConfig

DETECTOR = 94
CONFIG = SimulationConfig(detectors=(DETECTOR,), n_exposures=0, n_bias=1, n_dark=1, n_flat=1)
EXPOSURES = {
    kind: CONFIG.day_obs * 100_000 + CONFIG.first_seq_num + i
    for i, kind in enumerate(("bias", "dark", "flat"))
}
DARK_TIME = CONFIG.dark_exposure_time + 0.95


def pipeline(kind: str) -> str:
    """Location of a kind's pipeline."""
    return f"$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook{kind.title()}.yaml"


def rapid(*args: object) -> str:
    """Run ``rapid`` with arguments, and return what it prints."""
    result = CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Repository in which ``rapid run`` has processed one exposure of each kind."""
    simulation = tmp_path_factory.mktemp("simulation")
    simulate(CONFIG, simulation)
    root = tmp_path_factory.mktemp("calibration") / "repo"
    rapid("repo", "create", root)
    rapid("repo", "certify", root, simulation / "calibrations" / "manifest.ecsv", "--transfer", "direct")
    rapid("ingest", root, simulation / "raw", "--transfer", "direct")
    for kind, exposure in EXPOSURES.items():
        output = rapid("run", root, "-p", pipeline(kind), "-e", exposure, "-o", f"u/test/{kind}", "-j", 1)
        # Nothing of these pipelines needs a visit.
        assert "3 succeeded" in output
        assert "2 succeeded" in output
    return root


@pytest.fixture(scope="module")
def ccd() -> Ccd:
    """The detector as it was simulated."""
    return build_ccd(CONFIG, load_camera("LSSTCam")[DETECTOR])


def by_amplifier(ccd: Ccd, array: np.ndarray) -> list[np.ndarray]:
    """Parts of an assembled array, in order of amplifier."""
    box = ccd.detector.bbox
    return [
        array[amplifier.bbox.y.slice_within(box.y), amplifier.bbox.x.slice_within(box.x)]
        for amplifier in ccd.detector.amplifiers
    ]


def amplifiers(repository: pathlib.Path, kind: str) -> Table:
    """Metrics of the amplifiers."""
    butler = Butler.from_config(repository, collections=[f"u/test/{kind}"])
    table: Table = butler.get(
        "rapid_amplifier_metrics", instrument="LSSTCam", exposure=EXPOSURES[kind], detector=DETECTOR
    )
    return table


@pytest.mark.parametrize("kind", EXPOSURES)
def test_read_noise_and_bias_level_are_true(repository: pathlib.Path, ccd: Ccd, kind: str) -> None:
    """Read noise within 2 %, with the rounding of counts, and the level within its drifts, of any kind."""
    table = amplifiers(repository, kind)
    assert tuple(table["amplifier"]) == ccd.amplifier_names
    rounding = ccd.gain / np.sqrt(12.0)
    assert table["read_noise_electron"] == pytest.approx(np.hypot(ccd.read_noise, rounding), rel=0.02)
    assert table["bias_level_adu"] == pytest.approx(ccd.offset, abs=4.0)
    # ISR also masks the rare pixel that is so low that its variance would be negative.
    known = [int(part.sum()) for part in by_amplifier(ccd, ccd.is_defect)]
    assert table["n_bad_pixels"] == pytest.approx(known, abs=2)
    # The level settles by 4 to 12 adu after the start of read-out, within 150 rows.
    assert (table["overscan_drift_adu"] < 0.0).mean() > 0.8


def test_bias_has_no_residual(repository: pathlib.Path, ccd: Ccd) -> None:
    """The master bias leaves the noise of its pixels and of the overscan's levels."""
    table = amplifiers(repository, "bias")
    assert table["level_electron"] == pytest.approx(0.0, abs=1.0)
    assert table["pixel_noise_electron"] == pytest.approx(ccd.read_noise, rel=0.03)
    assert (table["structure_electron"] < 0.1 * ccd.read_noise).all()
    # Medians of some 50 pixels: 1.25 * sigma / sqrt(50), in a pattern of 3 electrons before.
    for name in ("row_structure_electron", "column_structure_electron"):
        assert table[name] == pytest.approx(1.25 * ccd.read_noise / np.sqrt(48.0), rel=0.25)


def test_dark_current_and_hot_pixels_are_true(repository: pathlib.Path, ccd: Ccd) -> None:
    """Current within 0.01 electron/s; hot pixels of which no defect is known, all but a tenth."""
    table = amplifiers(repository, "dark")
    current = [float(np.median(part)) for part in by_amplifier(ccd, ccd.dark)]
    # The level of an amplifier is known to a few tenths of an electron.
    assert table["dark_current_electron_per_second"] == pytest.approx(current, abs=0.01)
    assert np.mean(table["dark_current_electron_per_second"]) == pytest.approx(np.mean(current), rel=0.05)
    hot = int(np.count_nonzero((ccd.dark > 5.0) & ~ccd.is_defect))
    assert hot > 10
    assert np.sum(table["n_hot_pixels"]) == pytest.approx(hot, rel=0.1)
    assert np.sum(table["n_cosmic_ray_pixels"]) > 100


def test_flat_level_uniformity_and_gain_are_true(repository: pathlib.Path, ccd: Ccd) -> None:
    """Level within 0.1 %, non-uniformity within a tenth, gain within 3.5 %."""
    table = amplifiers(repository, "flat")
    response = [
        np.where(bad, np.nan, part)
        for part, bad in zip(by_amplifier(ccd, ccd.flat), by_amplifier(ccd, ccd.is_defect), strict=True)
    ]
    level = [CONFIG.flat_level * float(np.nanmean(part)) for part in response]
    assert table["flat_level_electron"] == pytest.approx(level, rel=1e-3)
    blocks = [
        np.nanmean(part[:1984, :512].reshape(62, 32, 16, 32), axis=(1, 3)) / np.nanmean(part)
        for part in response
    ]
    assert table["flat_nonuniformity"] == pytest.approx([np.std(block) for block in blocks], rel=0.1)
    assert (table["flat_residual_nonuniformity"] < 2e-4).all()
    # The simulated master flats are better than their variance says: 2.5 % too much is taken off the noise.
    assert table["gain_ratio"] == pytest.approx(1.0, abs=0.02)
    assert (table["n_low_pixels"] == 0).all()
    assert (table["n_saturated_pixels"] == 0).all()


@pytest.mark.parametrize("kind", EXPOSURES)
def test_outputs_are_what_users_expect(repository: pathlib.Path, kind: str) -> None:
    """Metrics in full, a summary, pictures as PNG, and no visit anywhere."""
    butler = Butler.from_config(repository, collections=[f"u/test/{kind}"])
    data_id = {"instrument": "LSSTCam", "exposure": EXPOSURES[kind]}
    metrics = butler.get("rapid_calibration_metrics", data_id, detector=DETECTOR)
    assert list(metrics) == list(CALIBRATION_METRICS)
    assert metrics["calibration_kind"] == metrics["observation_type"] == kind
    summary = butler.get("rapid_calibration_summary", data_id)
    assert (summary["n_detectors"], summary["n_amplifiers"], summary["bad_amplifiers"]) == (1, 16, [])
    assert len(butler.get("rapid_calibration_amplifiers", data_id)) == 16
    for name in ("calibration_image", "calibration_focal_plane", "amplifier_focal_plane"):
        (ref,) = butler.query_datasets(f"rapid_{name}_plot")
        assert butler.getURI(ref).read(8) == b"\x89PNG\r\n\x1a\n"
    assert butler.query_dimension_records("visit", instrument="LSSTCam", explain=False) == []


def test_pipetask_gives_the_same_metrics(repository: pathlib.Path) -> None:
    """The pipeline is an ordinary one, whose images go through files."""
    command = [
        *(str(pathlib.Path(sys.executable).with_name("pipetask")), "run", "-b", str(repository)),
        *("-p", pipeline("flat"), "-i", "LSSTCam/defaults", "-o", "u/test/pipetask"),
        *("--register-dataset-types", "-d", f"instrument='LSSTCam' AND exposure={EXPOSURES['flat']}"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "RA_PIPE_DIR"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    butler = Butler.from_config(repository)
    ours, theirs = (
        butler.get(
            "rapid_calibration_summary",
            instrument="LSSTCam",
            exposure=EXPOSURES["flat"],
            collections=f"u/test/{name}",
        )
        for name in ("flat", "pipetask")
    )
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        expected = pytest.approx(value, rel=1e-5, nan_ok=True) if isinstance(value, float) else value
        assert theirs[name] == expected


@pytest.mark.parametrize("instrument", ["LSSTCam", "LSSTComCam", "LATISS"])
@pytest.mark.parametrize("kind", EXPOSURES)
def test_no_dataset_of_a_calibration_exposure_is_of_a_visit(kind: str, instrument: str) -> None:
    """Every instrument has the pipeline, measures the right kind, and works on exposures throughout."""
    uri = pipeline(kind).replace("LSSTCam", instrument)
    graph = Pipeline.from_uri(uri).to_graph()
    config = graph.tasks["amplifierMetrics"].config
    assert isinstance(config, AmplifierMetricsConfig)
    assert config.kind == kind
    edges = [
        edge for node in graph.tasks.values() for edge in (*node.inputs.values(), *node.outputs.values())
    ]
    assert len(edges) > 15
    assert not any("visit" in edge.raw_dimensions for edge in edges)
