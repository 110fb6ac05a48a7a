# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Collection, Iterable

import pytest
from arithmetic_pipeline import EXPOSURE, NO_VISIT
from click.testing import CliRunner, Result
from lsst.daf.butler import Butler, CollectionType, DatasetType
from lsst.pipe.base import QuantumSuccessCaveats, TaskMetadata
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.execution.dispatch import DispatchTable, Gap, GapKind, find_gaps

RUN = "LSSTCam/rapid/20260101/digest"
CHAIN = "LSSTCam/rapid"
DIMENSIONS = {
    "double": ("instrument", "exposure", "detector"),
    "mark": ("instrument", "visit", "detector"),
    "sum": ("instrument", "visit"),
}


def rapid(*args: object) -> Result:
    """Run ``rapid`` with arguments."""
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture
def finish(butler: Butler) -> Callable[..., None]:
    """Leave behind what a task leaves when it has run."""

    def put(task: str, number: int, *detectors: int, caveats: QuantumSuccessCaveats | None = None) -> None:
        dimensions = DIMENSIONS[task]
        dataset_type = DatasetType(f"{task}_metadata", dimensions, "TaskMetadata", universe=butler.dimensions)
        butler.registry.registerDatasetType(dataset_type)
        butler.collections.register(RUN)
        butler.registry.registerCollection(CHAIN, CollectionType.CHAINED)
        butler.collections.redefine_chain(CHAIN, [RUN])
        metadata = TaskMetadata()
        metadata["quantum"] = {"caveats": (caveats or QuantumSuccessCaveats.NO_CAVEATS).value}
        for detector in detectors or (None,):
            data_id = {"instrument": "LSSTCam", dimensions[1]: number}
            if detector is not None:
                data_id["detector"] = detector
            butler.put(metadata, dataset_type, data_id, run=RUN)

    return put


def summarize(gaps: Iterable[Gap]) -> dict[tuple[int, int | None], tuple[str, ...]]:
    """Return the missing tasks of each image."""
    return {(gap.exposure, gap.detector): (gap.missing.value, *gap.tasks) for gap in gaps}


def test_nothing_was_processed(butler: Butler, table: DispatchTable) -> None:
    """Every raw is a gap, but those that are ignored, and every gathering;
    without a visit the tasks on visits are not missed.
    """
    gaps = list(find_gaps(butler, table, instrument="LSSTCam"))
    assert summarize(gaps) == {
        (EXPOSURE, 93): ("not processed", "double", "mark"),
        (EXPOSURE, 94): ("not processed", "double", "mark"),
        (EXPOSURE, None): ("not gathered", "sum"),
        (NO_VISIT, 93): ("not processed", "double"),
        (NO_VISIT, 94): ("not processed", "double"),
    }
    assert {gap.rule for gap in gaps} == {"arithmetic"}


def test_everything_was_processed(butler: Butler, table: DispatchTable, finish: Callable[..., None]) -> None:
    """What has left its metadata is no gap."""
    finish("double", EXPOSURE, 93, 94)
    finish("double", NO_VISIT, 93, 94)
    finish("mark", EXPOSURE, 93, 94)
    finish("sum", EXPOSURE)
    assert list(find_gaps(butler, table, instrument="LSSTCam")) == []


def test_some_was_processed(butler: Butler, table: DispatchTable, finish: Callable[..., None]) -> None:
    """A detector that has done part of its tasks names the others."""
    finish("double", EXPOSURE, 93, 94)
    finish("mark", EXPOSURE, 93)
    finish("sum", EXPOSURE)
    gaps = find_gaps(butler, table, instrument="LSSTCam", exposures=[EXPOSURE])
    assert summarize(gaps) == {(EXPOSURE, 94): (GapKind.PARTLY_PROCESSED, "mark")}


def test_nothing_to_do_is_no_gap(butler: Butler, table: DispatchTable, finish: Callable[..., None]) -> None:
    """What depends on a task that found nothing to do is not missed."""
    finish("double", EXPOSURE, 93, 94, caveats=QuantumSuccessCaveats.NO_WORK)
    finish("sum", EXPOSURE)
    assert list(find_gaps(butler, table, instrument="LSSTCam", exposures=[EXPOSURE])) == []


def test_choice_of_exposures(butler: Butler, table: DispatchTable) -> None:
    """Only what is asked for is looked at."""

    def look(*, exposures: Collection[int] | None = None, day_obs: int | None = None) -> set[int]:
        gaps = find_gaps(butler, table, instrument="LSSTCam", exposures=exposures, day_obs=day_obs)
        return {gap.exposure for gap in gaps}

    assert look(exposures=[NO_VISIT]) == {NO_VISIT}
    assert look(exposures=range(EXPOSURE, NO_VISIT + 100)) == {EXPOSURE, NO_VISIT}
    assert look(exposures=[EXPOSURE - 1, NO_VISIT + 1]) == set()
    assert look(exposures=[]) == set()
    assert look(day_obs=20260101) == {EXPOSURE, NO_VISIT}
    assert look(day_obs=20260102) == set()
    assert look(day_obs=20260101, exposures=[EXPOSURE]) == {EXPOSURE}


def test_unknown_instrument(butler: Butler, table: DispatchTable) -> None:
    """A typing error is not the same as no gaps."""
    with pytest.raises(LookupError, match="'LSSTcam' is not in the repository"):
        list(find_gaps(butler, table, instrument="LSSTcam"))


def test_command(butler: Butler, root: pathlib.Path, rules: pathlib.Path) -> None:
    """It lists the gaps and exits with 1; as JSON one a line."""
    result = rapid("gaps", root, "--dispatch", rules, "-e", EXPOSURE)
    assert result.exit_code == 1, result.output
    assert "3 gaps" in result.output
    result = rapid("gaps", root, "--dispatch", rules, "-e", EXPOSURE, "--json")
    assert result.exit_code == 1
    assert [json.loads(line) for line in result.output.splitlines()][-1] == {
        "instrument": "LSSTCam",
        "exposure": EXPOSURE,
        "detector": None,
        "rule": "arithmetic",
        "missing": "not gathered",
        "tasks": ["sum"],
    }


def test_command_without_gaps(butler: Butler, root: pathlib.Path) -> None:
    """The package's own rules ignore exposures without a type; exit status 0."""
    result = rapid("gaps", root)
    assert result.exit_code == 0, result.output
    assert "0 gaps" in result.output


def test_command_that_could_not_look(butler: Butler, root: pathlib.Path) -> None:
    """Exit status 2, and what is wrong."""
    for option, value in (
        ("--instrument", "Nobody"),
        ("--dispatch", "nowhere.yaml"),
        ("--input", "nowhere"),
        ("--day-obs", "x"),
    ):
        result = rapid("gaps", root, option, value)
        assert result.exit_code == 2
        assert value in result.output


def test_command_without_repository(tmp_path: pathlib.Path) -> None:
    """That is no sign of gaps, either."""
    result = rapid("gaps", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "rapid repo create" in result.output
