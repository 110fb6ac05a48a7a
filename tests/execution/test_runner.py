# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import concurrent.futures
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from arithmetic_pipeline import DETECTORS, EXPOSURE, NO_VISIT, put_number, replace_number
from lsst.daf.butler import Butler, DatasetIdGenEnum, DatasetRef, Timespan
from lsst.daf.butler.registry import DataIdError
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.execution import (
    ImageReport,
    QuantumRunner,
    QuantumStatus,
    prepare_output_run,
    register_late_run,
)

INPUTS = ["LSSTCam/defaults"]


class Runner:
    """A runner whose outputs go to ``u/test``."""

    def __init__(self, root: pathlib.Path, pipeline: str, *, offset: float = 0.0, **kwargs: Any) -> None:
        loaded = Pipeline.from_uri(pipeline)
        if "double" in loaded.task_labels:
            loaded.addConfigOverride("double", "offset", offset)
        butler = Butler.from_config(root, writeable=True)
        graph = loaded.to_graph(registry=butler.registry)
        self.run = prepare_output_run(butler, graph, parent="u/test", chain="u/test", inputs=INPUTS)
        self.runner = QuantumRunner(root, graph, inputs=INPUTS, **kwargs)

    def run_detector(self, detector: int, exposure: int = EXPOSURE) -> ImageReport:
        return self.runner.run_detector(
            instrument="LSSTCam", exposure=exposure, detector=detector, output_run=self.run
        )

    def run_exposure(self, output_run: str | None = None, detector_runs: Sequence[str] = ()) -> ImageReport:
        return self.runner.run_exposure(
            instrument="LSSTCam",
            exposure=EXPOSURE,
            output_run=output_run or self.run,
            detector_runs=detector_runs,
        )


def statuses(report: ImageReport) -> dict[str, QuantumStatus]:
    """Return the status of each task by its label."""
    return {outcome.task: outcome.status for outcome in report.outcomes}


def test_detector_then_exposure(
    root: pathlib.Path, repository: Butler, pipeline: str, read: Callable[..., object]
) -> None:
    """A detector's tasks run on it alone; the gathering sums over all."""
    runner = Runner(root, pipeline)
    for detector in DETECTORS:
        report = runner.run_detector(detector)
        assert statuses(report) == {"double": QuantumStatus.SUCCEEDED, "mark": QuantumStatus.SUCCEEDED}
    assert read("marked", "u/test", visit=EXPOSURE, detector=94) == {"value": 188.0}
    report = runner.run_exposure()
    assert statuses(report) == {"sum": QuantumStatus.SUCCEEDED}
    assert read("total", "u/test", visit=EXPOSURE) == {"value": 2.0 * sum(DETECTORS), "n": 3}


def test_second_run_does_nothing(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """A duplicate request finds the outputs and leaves them alone."""
    runner = Runner(root, pipeline)
    runner.run_detector(94)
    before = repository.query_datasets("marked", collections="u/test")
    report = Runner(root, pipeline).run_detector(94)
    assert set(statuses(report).values()) == {QuantumStatus.EXISTED}
    assert repository.query_datasets("marked", collections="u/test") == before


def test_failed_task_leaves_nothing_and_blocks_what_follows(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """The failure names the data ID; no output of it is registered or stored,
    and the detectors that are good are gathered without it.
    """
    replace_number(repository, EXPOSURE, 93, -1.0)
    runner = Runner(root, pipeline)
    bad = runner.run_detector(93)
    assert statuses(bad) == {"double": QuantumStatus.FAILED, "mark": QuantumStatus.BLOCKED}
    assert bad.first_failure is not None
    assert "detector 93" in bad.first_failure.reason
    assert "the number is negative" in bad.first_failure.reason
    for name in ("doubled", "marked", "double_metadata"):
        assert not repository.query_datasets(name, collections="u/test", explain=False)
    for detector in (94, 95):
        runner.run_detector(detector)
    runner.run_exposure()
    total = repository.get("total", instrument="LSSTCam", visit=EXPOSURE, collections="u/test")
    assert total == {"value": 2.0 * (94 + 95), "n": 2}


def test_failed_image_can_be_run_again(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Once the cause is gone the same run collection takes the outputs."""
    replace_number(repository, EXPOSURE, 93, -1.0)
    runner = Runner(root, pipeline)
    assert runner.run_detector(93).failed
    replace_number(repository, EXPOSURE, 93, 1.0)
    assert not runner.run_detector(93).failed


def test_missing_input_is_a_failure_with_its_data_id(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """A detector that was never ingested is reported, not raised."""
    report = Runner(root, pipeline).run_detector(96)
    assert statuses(report) == {"double": QuantumStatus.MISSING_INPUT, "mark": QuantumStatus.BLOCKED}
    assert report.failed
    assert report.missing_input
    assert report.first_failure is not None
    assert "detector 96" in report.first_failure.reason
    assert "number" in report.first_failure.reason


def test_missing_calibration_is_named(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """A detector without its calibration says which one is missing."""
    put_number(repository, EXPOSURE, 97, 1.0)
    report = Runner(root, pipeline).run_detector(97)
    assert report.first_failure is not None
    assert "factor" in report.first_failure.reason


def test_exposure_without_visit(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Tasks on the exposure run; those on a visit say why they cannot."""
    report = Runner(root, pipeline).run_detector(94, NO_VISIT)
    assert statuses(report) == {"double": QuantumStatus.SUCCEEDED, "mark": QuantumStatus.NOT_APPLICABLE}
    assert not report.failed


def test_unknown_exposure(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """An exposure that the repository does not know is the caller's error."""
    with pytest.raises(DataIdError, match="123"):
        Runner(root, pipeline).run_detector(94, 123)


def test_another_configuration_writes_another_run(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """Results of one configuration never overwrite those of another."""
    Runner(root, pipeline).run_detector(94)
    Runner(root, pipeline, offset=1.0).run_detector(94)
    values = {
        ref.run: repository.get(ref)["value"]
        for ref in repository.query_datasets("marked", collections="u/test", find_first=False)
    }
    assert sorted(values.values()) == [188.0, 189.0]
    assert repository.get(
        "marked", instrument="LSSTCam", visit=EXPOSURE, detector=94, collections="u/test"
    ) == {"value": 189.0}


PICKY = """
description: Arithmetic, with a task that may find no work.
instrument: lsst.ra.pipe.camera.LsstCam
tasks:
  double: odd_tasks.PickyTask
  mark: arithmetic_pipeline.MarkTask
  sum: arithmetic_pipeline.SumTask
"""

PAINTING = """
description: An image, its component and its handle.
instrument: lsst.ra.pipe.camera.LsstCam
tasks:
  paint: odd_tasks.PaintTask
  look: odd_tasks.LookTask
"""


def write_pipeline(directory: pathlib.Path, text: str) -> str:
    """Write a pipeline file."""
    path = directory / "Other.yaml"
    path.write_text(text)
    return str(path)


def names_in(repository: Butler, collection: str) -> set[str]:
    """Return the names of the dataset types that have datasets in a run."""
    repository.registry.refresh()
    refs = repository.query_all_datasets(collection, find_first=False)
    return {ref.datasetType.name for ref in refs if ref.dataId.dimensions.names}


def staged_files(root: pathlib.Path) -> list[pathlib.Path]:
    """Return what lies in staging areas."""
    return [path for path in (root / ".rapid-staging").rglob("*") if path.is_file()]


def test_intermediate_that_is_not_persisted_passes_in_memory(
    root: pathlib.Path, repository: Butler, pipeline: str, read: Callable[..., object]
) -> None:
    """It is neither registered nor on disk; what follows from it is right."""
    runner = Runner(root, pipeline, persist=())
    assert not runner.run_detector(94).failed
    assert read("marked", "u/test", visit=EXPOSURE, detector=94) == {"value": 188.0}
    assert names_in(repository, runner.run) == {"marked", "double_metadata", "mark_metadata"}
    assert not list(root.rglob("doubled*"))


def test_task_runs_again_for_what_only_memory_had(
    root: pathlib.Path, repository: Butler, pipeline: str, tmp_path: pathlib.Path
) -> None:
    """When the second task failed, its input is made anew; the first one's
    outputs stay what they are.
    """
    replace_number(repository, EXPOSURE, 93, -1.0)
    runner = Runner(root, write_pipeline(tmp_path, PAINTING), persist=())
    first = runner.run_detector(93)
    assert statuses(first) == {"paint": QuantumStatus.SUCCEEDED, "look": QuantumStatus.FAILED}
    assert first.first_failure is not None
    assert "the picture is dark" in first.first_failure.detail
    before = repository.query_datasets("paint_metadata", collections=runner.run)
    replace_number(repository, EXPOSURE, 93, 5.0)
    second = runner.run_detector(93)
    assert statuses(second) == {"paint": QuantumStatus.EXISTED, "look": QuantumStatus.SUCCEEDED}
    assert repository.query_datasets("paint_metadata", collections=runner.run) == before


@pytest.mark.parametrize("persist", [None, ()])
def test_components_and_handles_of_handed_on_images(
    root: pathlib.Path,
    repository: Butler,
    pipeline: str,
    tmp_path: pathlib.Path,
    read: Callable[..., object],
    persist: tuple[str, ...] | None,
) -> None:
    """They are as from a file, for a task that reads an init-input as well; a
    reader that changes its copy spoils nothing.
    """
    # Only a file knows how to cut an image.
    look = f"look:\n    class: odd_tasks.LookTask\n    config:\n      cut: {str(persist is None).lower()}"
    text = PAINTING.replace("look: odd_tasks.LookTask", look)
    runner = Runner(root, write_pipeline(tmp_path, text), persist=persist)
    report = runner.run_detector(94)
    assert not report.failed, report.first_failure
    corner = [2, 3] if persist is None else [20, 30]
    seen = {"mean": 94.0, "corner": corner, "brightness": 10.0}
    assert read("seen", "u/test", visit=EXPOSURE, detector=94) == seen
    assert read("palette", "u/test") == {"brightness": 10.0}
    if persist is None:
        painting: Any = read("painting", "u/test", exposure=EXPOSURE, detector=94)
        assert (painting.image.array == 94.0).all()
    runner.runner.collect_garbage()


def test_persisting_an_unknown_name_is_refused(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """The error lists the intermediates; what the gathering reads is none."""
    with pytest.raises(ValueError, match=r"whether to write marked: .* are doubled\."):
        Runner(root, pipeline, persist=["doubled", "marked"])


def test_publishing_an_unknown_name_is_refused(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """The error lists the outputs."""
    with pytest.raises(ValueError, match=r"publish number: .*marked.*total"):
        Runner(root, pipeline, publish=["number"])


@pytest.mark.parametrize("persist", [None, ()])
def test_published_content_is_in_the_report(
    root: pathlib.Path, repository: Butler, pipeline: str, persist: tuple[str, ...] | None
) -> None:
    """From memory when the tasks ran, from the repository for a duplicate."""
    runner = Runner(root, pipeline, publish=["marked", "total"], persist=persist)
    assert runner.run_detector(94).published == {"marked": {"value": 188.0}}
    again = Runner(root, pipeline, publish=["marked", "total"], persist=persist).run_detector(94)
    assert set(statuses(again).values()) == {QuantumStatus.EXISTED}
    assert again.published == {"marked": {"value": 188.0}}
    assert runner.run_exposure().published == {"total": {"value": 188.0, "n": 1}}


def test_failed_task_publishes_nothing(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """What is in the report is in the repository."""
    replace_number(repository, EXPOSURE, 94, -1.0)
    assert Runner(root, pipeline, publish=["doubled", "marked"]).run_detector(94).published == {}


def test_raw_whose_file_is_missing_is_a_missing_input(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """As if it were not registered; once it is there the image runs."""
    number = repository.find_dataset(
        "number", instrument="LSSTCam", exposure=EXPOSURE, detector=94, collections="LSSTCam/raw/all"
    )
    assert number is not None
    path = pathlib.Path(repository.getURI(number).ospath)
    content = path.read_bytes()
    path.unlink()
    runner = Runner(root, pipeline)
    report = runner.run_detector(94)
    assert statuses(report) == {"double": QuantumStatus.MISSING_INPUT, "mark": QuantumStatus.BLOCKED}
    assert report.missing_input
    assert report.failed
    path.write_bytes(content)
    assert not runner.run_detector(94).failed


def test_missing_calibration_is_no_missing_input(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """Waiting for it would not help."""
    put_number(repository, EXPOSURE, 97, 1.0)
    report = Runner(root, pipeline).run_detector(97)
    assert report.failed
    assert not report.missing_input


def test_no_work_is_no_failure_downstream(
    root: pathlib.Path, repository: Butler, pipeline: str, tmp_path: pathlib.Path
) -> None:
    """A task whose inputs were not produced has no work either, as with
    pipetask, and is not run again.
    """
    replace_number(repository, EXPOSURE, 94, 0.0)
    runner = Runner(root, write_pipeline(tmp_path, PICKY))
    report = runner.run_detector(94)
    assert set(statuses(report).values()) == {QuantumStatus.NO_WORK}
    assert not report.failed
    assert "the number is zero" in report.outcomes[0].reason
    assert set(statuses(runner.run_detector(94)).values()) == {QuantumStatus.EXISTED}


def test_metadata_are_those_of_one_quantum(
    root: pathlib.Path, repository: Butler, pipeline: str, tmp_path: pathlib.Path
) -> None:
    """A task that is used again starts with empty metadata; pipe_base's own
    entries are there.
    """
    runner = Runner(root, write_pipeline(tmp_path, PICKY))
    for detector in DETECTORS:
        runner.run_detector(detector)
        metadata = repository.get(
            "double_metadata",
            instrument="LSSTCam",
            exposure=EXPOSURE,
            detector=detector,
            collections=runner.run,
        )
        assert metadata["double"]["runs"] == 1
        assert metadata["quantum"]["butler_metrics"]["n_get"] == 2
        assert metadata["quantum"]["butler_metrics"]["n_put"] == 1
        doubled = repository.find_dataset(
            "doubled", instrument="LSSTCam", exposure=EXPOSURE, detector=detector, collections=runner.run
        )
        assert doubled is not None
        assert metadata["quantum"].getArray("outputs") == [str(doubled.id)]


def test_late_gathering_goes_to_a_run_of_its_own(
    root: pathlib.Path, repository: Butler, pipeline: str, read: Callable[..., object]
) -> None:
    """Users of the chain see the latest; preparing the run again, as another
    worker does, leaves it in front.
    """
    runner = Runner(root, pipeline)
    runner.run_detector(93)
    assert runner.run_exposure().detectors == (93,)
    runner.run_detector(95)
    late = register_late_run(repository, runner.run, 1, "u/test")
    assert late == f"{runner.run}/late/1"
    report = runner.run_exposure(late, [runner.run])
    assert report.detectors == (93, 95)
    assert set(statuses(report).values()) == {QuantumStatus.SUCCEEDED}
    assert Runner(root, pipeline).run == runner.run
    assert read("total", "u/test", visit=EXPOSURE) == {"value": 2.0 * (93 + 95), "n": 2}
    assert read("total", runner.run, visit=EXPOSURE) == {"value": 2.0 * 93, "n": 1}


def test_gathering_nothing_is_a_failure(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """The reason names the dataset type and the run."""
    runner = Runner(root, pipeline)
    report = runner.run_exposure()
    assert report.first_failure is not None
    assert "no detector has marked" in report.first_failure.reason
    assert runner.run in report.first_failure.reason


def test_new_calibration_is_used_after_refresh(
    root: pathlib.Path, repository: Butler, pipeline: str, read: Callable[..., object]
) -> None:
    """Until then the one that was valid."""
    runner = Runner(root, pipeline)
    runner.runner.warm([94], "LSSTCam")
    repository.registry.decertify("LSSTCam/calib", "factor", Timespan(None, None))
    repository.collections.register("LSSTCam/calib/new")
    new = repository.put({"value": 3.0}, "factor", instrument="LSSTCam", detector=94, run="LSSTCam/calib/new")
    repository.registry.certify("LSSTCam/calib", [new], Timespan(None, None))
    runner.runner.refresh()
    runner.run_detector(94)
    assert read("doubled", "u/test", exposure=EXPOSURE, detector=94) == {"value": 3.0 * 94}


def test_task_that_adjusts_all_quanta_is_refused(
    root: pathlib.Path, repository: Butler, pipeline: str, tmp_path: pathlib.Path
) -> None:
    """The error names the task and the hook."""
    text = PICKY.replace("PickyTask", "TogetherTask")
    with pytest.raises(ValueError, match=r"Task double cannot run image by image: .*adjust_all_quanta"):
        Runner(root, write_pipeline(tmp_path, text))


def test_nothing_is_left_in_the_staging_area(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Neither after a success nor after a failure."""
    replace_number(repository, EXPOSURE, 93, -1.0)
    runner = Runner(root, pipeline)
    assert runner.run_detector(93).failed
    assert not runner.run_detector(94).failed
    assert staged_files(root) == []


@pytest.mark.parametrize("detector", DETECTORS)
def test_two_runners_on_one_image_write_it_once(
    root: pathlib.Path, repository: Butler, pipeline: str, read: Callable[..., object], detector: int
) -> None:
    """Both succeed; each output exists once, with the file it was registered with."""
    runners = [Runner(root, pipeline, publish=["marked"]) for _ in range(3)]
    barrier = threading.Barrier(len(runners))

    def run(runner: Runner) -> ImageReport:
        barrier.wait()
        return runner.run_detector(detector)

    with concurrent.futures.ThreadPoolExecutor(len(runners)) as pool:
        reports = list(pool.map(run, runners))
    for report in reports:
        assert not report.failed, report.first_failure
        assert report.published == {"marked": {"value": 2.0 * detector}}
    refs = repository.query_all_datasets(runners[0].run, find_first=False)
    per_image = [ref for ref in refs if "detector" in ref.dataId]
    assert sorted(ref.datasetType.name for ref in per_image) == [
        "double_metadata",
        "doubled",
        "mark_metadata",
        "marked",
    ]
    for ref in per_image:
        repository.get(ref)
    assert staged_files(root) == []


def test_rehearsal_writes_nothing(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Its tasks succeed; afterwards the image is as new."""
    runner = Runner(root, pipeline)
    report = runner.runner.rehearse(instrument="LSSTCam", exposure=EXPOSURE, detector=94)
    assert set(statuses(report).values()) == {QuantumStatus.SUCCEEDED}
    assert names_in(repository, runner.run) == set()
    assert staged_files(root) == []
    assert set(statuses(runner.run_detector(94)).values()) == {QuantumStatus.SUCCEEDED}


def test_raw_is_found_where_a_search_finds_it(
    root: pathlib.Path, repository: Butler, pipeline: str, read: Callable[..., object]
) -> None:
    """A number whose identifier is predictable, as those of raws are, does not
    go before one of a collection that is earlier in the chain.
    """
    dataset_type = repository.get_dataset_type("number")
    for detector in (187, 188):
        ref = repository.put(
            {"value": 2.0}, "factor", instrument="LSSTCam", detector=detector, run="LSSTCam/calib/run"
        )
        repository.registry.certify("LSSTCam/calib", [ref], Timespan(None, None))
    for detector, run in ((187, "LSSTCam/raw/all"), (188, "LSSTCam/raw/all"), (188, "u/better")):
        repository.collections.register(run)
        data_id = repository.registry.expandDataId(instrument="LSSTCam", exposure=EXPOSURE, detector=detector)
        mode = DatasetIdGenEnum.DATAID_TYPE_RUN
        ref = DatasetRef(dataset_type, data_id, run=run, id_generation_mode=mode)
        repository.put({"value": 1.0 if run == "LSSTCam/raw/all" else 5.0}, ref)
    runner = Runner(root, pipeline)
    runner.run_detector(187)
    assert read("doubled", "u/test", exposure=EXPOSURE, detector=187) == {"value": 2.0}
    repository.collections.prepend_chain("LSSTCam/defaults", "u/better")
    runner.runner.refresh()
    runner.run_detector(188)
    assert read("doubled", "u/test", exposure=EXPOSURE, detector=188) == {"value": 10.0}
