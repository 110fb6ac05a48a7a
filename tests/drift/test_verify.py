# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Drift of algorithms: pixels of two tasks, by step and by mask plane."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from lsst.daf.butler import Butler
from lsst.images import Box, Image, Mask, MaskedImage, MaskPlane, MaskSchema
from lsst.pex.config import Config, ConfigField, DictField, Field, ListField
from lsst.pipe.base import PipelineTaskConfig, PipelineTaskConnections
from lsst.ra.pipe.drift import DriftError
from lsst.ra.pipe.drift.verify import (
    STEP_SWITCHES,
    DifferingPixels,
    MaskedPixels,
    SettingDifference,
    StepReport,
    Tolerance,
    VerifyError,
    VerifyReport,
    VerifyRequest,
    compare_pixels,
    compare_settings,
    give_settings,
    plan_steps,
    verify,
)
from lsst.ra.pipe.tasks import FirstLookIsrConfig
from verify_repository import DETECTOR, EXPOSURE, STEPS, get_repository, write_pipeline

SHAPE = (4, 5)
N_PIXELS = 2000 * 4072

Verify = Callable[..., VerifyReport]


@pytest.fixture(scope="module")
def butler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Butler]:
    """Read-only client of a repository with one raw image."""
    with Butler.from_config(get_repository(tmp_path_factory)) as butler:
        yield butler


@pytest.fixture
def run(butler: Butler, tmp_path: pathlib.Path) -> Verify:
    """Compare classes of altered_isr, or FirstLook's ISR where none is named."""

    def write(side: str, name: str | None, config: Mapping[str, Any]) -> str:
        altered = [] if name is None else [f"altered_isr.{name}"]
        return write_pipeline(tmp_path / f"{side}.yaml", *altered, **config)

    def run(
        candidate: str | None,
        *,
        reference: str | None = None,
        config: Mapping[str, Any] | None = None,
        both: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> VerifyReport:
        common = both or {}
        sides: dict[str, Any] = {
            "reference": write("reference", reference, common),
            "candidate": write("candidate", candidate, {**common, **(config or {})}),
        }
        return verify(butler, VerifyRequest(exposure=EXPOSURE, **sides, **request))

    return run


def steps_that_add(report: VerifyReport) -> dict[str, StepReport]:
    """Steps with differences of their own, by name."""
    [detector] = report.detectors
    assert detector.problem == ""
    return {step.step: step for step in detector.steps if step.added.found}


def test_equal_tasks_make_equal_pixels(butler: Butler, run: Verify) -> None:
    """No difference in any step, and nothing is in the repository that was not there."""
    before = set(butler.collections.query("*")), {kind.name for kind in butler.registry.queryDatasetTypes()}
    report = run(None)
    assert report.exit_code == 0
    assert report.settings == ()
    [detector] = report.detectors
    assert detector.detector == DETECTOR
    assert tuple(step.step for step in detector.steps) == STEPS
    assert not any(step.total.found for step in detector.steps)
    planes = {plane.plane: plane for plane in detector.steps[-1].total.planes}
    assert planes["BAD"].both > 100
    butler.registry.refresh()
    after = set(butler.collections.query("*")), {kind.name for kind in butler.registry.queryDatasetTypes()}
    assert after == before


def test_an_electron_in_the_dark_is_found_in_the_dark(run: Verify) -> None:
    """What follows of it in variance, flat and interpolation is not said to be of those steps."""
    report = run("ColdDarkIsrTask")
    assert report.exit_code == 1
    found = steps_that_add(report)
    assert list(found) == ["doDark"]
    image = found["doDark"].added.image
    assert (image.n, image.n_not_finite) == (N_PIXELS, 0)
    assert image.rms == pytest.approx(1.0, abs=1e-3)
    assert image.max == pytest.approx(1.0, abs=1e-2)
    assert found["doDark"].added.variance.n == 0
    final = report.detectors[0].steps[-1].total
    # The variance has the electron's noise, and all values are divided by the flat.
    assert final.variance.n == N_PIXELS
    assert final.image.n == N_PIXELS
    assert final.image_by_plane[""].n > 0.99 * N_PIXELS
    assert final.image_by_plane["BAD"].n == next(one.both for one in final.planes if one.plane == "BAD")


def test_a_masked_row_is_found_among_the_defects(run: Verify) -> None:
    """Its interpolation follows from it; the rest of the image is the same."""
    report = run("RowIsrTask")
    assert report.exit_code == 1
    found = steps_that_add(report)
    assert list(found) == ["doDefect"]
    added = found["doDefect"].added
    assert added.image.n == added.variance.n == 0
    assert [one.plane for one in added.planes if one.only_reference or one.only_candidate] == ["BAD"]
    [bad] = [one for one in added.planes if one.plane == "BAD"]
    assert bad.only_reference == 0
    assert bad.only_candidate == 4072
    final = report.detectors[0].steps[-1].total
    only = {one.plane: one.only_candidate for one in final.planes if one.only_candidate}
    assert only == {"BAD": bad.only_candidate, "INTRP": bad.only_candidate}
    assert 0 < final.image.n <= bad.only_candidate
    assert "" not in final.image_by_plane


def test_inputs_that_a_task_changes_are_read_anew(run: Verify) -> None:
    """A raw that a task has spoilt is not the raw of the next run."""
    report = run("SpoilingIsrTask", reference="SpoilingIsrTask", by_step=False)
    assert report.exit_code == 0


def test_a_failing_task_is_reported_with_its_step(run: Verify) -> None:
    """The steps before are there; exit code 2."""
    report = run("FailingIsrTask")
    assert report.exit_code == 2
    [detector] = report.detectors
    assert [step.step for step in detector.steps] == ["start", "doApplyGains"]
    assert "at step doDark" in detector.problem
    assert "candidate.yaml#isr: ArithmeticError: the dark is too dark" in detector.problem


def test_only_algorithms_differ_with_the_same_settings(run: Verify) -> None:
    """The candidate gets the reference's scale of the flat, and it is listed."""
    report = run(None, config={"flatUserScale": 2.0}, by_step=False)
    assert report.exit_code == 0
    assert report.settings == (
        SettingDifference(field="flatUserScale", reference=1.0, candidate=2.0, applied=True),
    )
    assert [step.step for step in report.detectors[0].steps] == ["all"]


def test_own_settings_make_a_difference(run: Verify) -> None:
    """A step that only one side does is told, and differs."""
    off = {"doDark": False, "doDefect": False, "doVariance": False, "doInterpolate": False}
    report = run(None, config={"doFlat": False}, both=off, same_config=False)
    assert report.exit_code == 1
    [setting] = report.settings
    assert (setting.field, setting.applied) == ("doFlat", False)
    found = steps_that_add(report)
    assert list(found) == ["doFlat"]
    assert (found["doFlat"].in_reference, found["doFlat"].in_candidate) == (True, False)
    assert found["doFlat"].added.image.n > 0.9 * N_PIXELS


def test_a_missing_calibration_is_a_problem_of_the_detector(run: Verify) -> None:
    """The message names it."""
    report = run(None, collections=["LSSTCam/raw/all"])
    assert report.exit_code == 2
    assert f"detector {DETECTOR}" in report.detectors[0].problem
    assert "Not enough datasets (0) found for non-optional connection" in report.detectors[0].problem


def test_the_report_is_read_back(run: Verify) -> None:
    """JSON has everything, and the exit code."""
    report = run("RowIsrTask", by_step=False)
    content = json.loads(report.to_json())
    assert content.pop("exit_code") == 1
    assert VerifyReport.model_validate(content) == report


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exposure": 77}, "no exposure 77 of LSSTCam"),
        ({"exposure": 77, "instrument": "LSSTCam"}, "no raw of LSSTCam exposure 77 in LSSTCam/defaults"),
        ({"detectors": (94,)}, f"no raw of LSSTCam exposure {EXPOSURE} detector 94"),
        ({"detectors": (999,)}, "LSSTCam has no detector 999"),
        (
            {"reference": "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml#nothing"},
            r"FirstLook.yaml: there is no task with the label 'nothing'; there are .*isr",
        ),
        ({"reference": "$NO_SUCH_PIPE_DIR/a.yaml"}, "NO_SUCH_PIPE_DIR is not set"),
    ],
)
def test_what_is_missing_is_named(butler: Butler, changes: dict[str, Any], message: str) -> None:
    """Nothing is run."""
    first_look = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml#isr"
    request = dataclasses.replace(VerifyRequest(exposure=EXPOSURE, reference=first_look), **changes)
    with pytest.raises(DriftError, match=message):
        verify(butler, request)


@pytest.mark.parametrize(
    ("task_class", "message"),
    [
        ("lsst.ip.isr.IsrTaskLSST", r"needs a Science Pipelines install \(lsst.ip.isr\)"),
        ("altered_isr.NoSuchTask", "altered_isr.NoSuchTask cannot be imported"),
    ],
)
def test_a_class_that_cannot_be_imported_is_named(
    butler: Butler, tmp_path: pathlib.Path, task_class: str, message: str
) -> None:
    """With what has to be installed."""
    pipeline = write_pipeline(tmp_path / "other.yaml", task_class)
    with pytest.raises(VerifyError, match=message):
        verify(butler, VerifyRequest(exposure=EXPOSURE, reference=pipeline))


def test_an_override_that_fails_is_named(butler: Butler, tmp_path: pathlib.Path) -> None:
    """A field that does not exist."""
    pipeline = write_pipeline(tmp_path / "other.yaml", noSuchField=1)
    with pytest.raises(VerifyError, match=r"other.yaml#isr: the task .* cannot be configured: .*noSuchField"):
        verify(butler, VerifyRequest(exposure=EXPOSURE, reference=pipeline))


def make_pixels(image: Any = 0.0, *, variance: Any = 1.0, **planes: list[tuple[int, int]]) -> MaskedPixels:
    """Small images; of each plane the pixels (y, x) that are set."""

    def fill(value: Any) -> npt.NDArray[np.floating]:
        return np.array(np.broadcast_to(np.asarray(value, np.float32), SHAPE))

    masks = {name: np.zeros(SHAPE, np.bool_) for name in planes}
    for name, pixels in planes.items():
        for pixel in pixels:
            masks[name][pixel] = True
    return MaskedPixels(
        image=fill(image), variance=fill(variance), plane_names=frozenset(masks), read_plane=masks.__getitem__
    )


def with_value(value: float, *, y: int, x: int, level: float = 0.0) -> npt.NDArray[np.float32]:
    """An image of a level, and one other value."""
    image = np.full(SHAPE, level, np.float32)
    image[y, x] = value
    return image


EXACT = Tolerance(absolute=0.0, relative=0.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "differs"),
    [
        (math.nan, math.nan, False),
        (math.inf, math.inf, False),
        (math.inf, -math.inf, True),
        (math.nan, 1.0, True),
        (1.0, math.inf, True),
        (1.0, 1.009, False),
        (1.0, 1.011, True),
        (1e5, 1e5 + 0.05, False),
        (1e5, 1e5 + 0.1, True),
        (-1e5, -1e5 - 0.05, False),
    ],
)
def test_values_are_compared_within_the_tolerance(ours: float, theirs: float, differs: bool) -> None:
    """NaN equals NaN, and the two parts of the tolerance are added."""
    images = (make_pixels(with_value(value, y=1, x=2)) for value in (ours, theirs))
    _, total, differing = compare_pixels(*images, tolerance=Tolerance())
    assert total.found is differs
    assert total.image.n == differs
    assert total.image.n_not_finite == (differs and not (math.isfinite(ours) and math.isfinite(theirs)))
    assert list(zip(*np.nonzero(differing.image_or_mask), strict=True)) == [(1, 2)] * differs


def test_measures_are_those_of_the_differing_pixels() -> None:
    """Largest and root mean square, of finite values."""
    theirs = np.zeros(SHAPE, np.float32)
    theirs[0, :3] = 3.0, -4.0, np.nan
    _, total, _ = compare_pixels(make_pixels(), make_pixels(theirs), tolerance=EXACT)
    assert (total.image.n, total.image.n_not_finite, total.image.max) == (3, 1, 4.0)
    assert total.image.rms == pytest.approx(math.sqrt(12.5))
    assert total.variance.n == 0


def test_mask_planes_go_by_name() -> None:
    """Also those that only one side knows; those that nobody sets are left out."""
    ours = make_pixels(BAD=[(0, 0), (0, 1)], CR=[], SAT=[(2, 2)])
    theirs = make_pixels(SAT=[(2, 2)], BAD=[(0, 1), (0, 2), (0, 3)], OWN=[(3, 4)])
    _, total, _ = compare_pixels(ours, theirs, tolerance=EXACT)
    counts = {one.plane: (one.only_reference, one.only_candidate, one.both) for one in total.planes}
    assert counts == {"BAD": (1, 2, 1), "OWN": (0, 1, 0), "SAT": (0, 0, 1)}
    assert total.image_by_plane == {}


def test_values_are_split_by_the_mask_of_either_side() -> None:
    """A pixel counts in each of its planes, or under no name."""
    theirs = make_pixels(with_value(2.0, y=0, x=0) + with_value(1.0, y=3, x=3), SAT=[(0, 0)])
    _, total, _ = compare_pixels(make_pixels(BAD=[(0, 0), (1, 1)]), theirs, tolerance=EXACT)
    by_plane = {name: (one.n, one.max) for name, one in total.image_by_plane.items()}
    assert by_plane == {"BAD": (1, 2.0), "SAT": (1, 2.0), "": (1, 1.0)}


def test_only_new_differences_are_added() -> None:
    """What differed before is only in the total; a variance that follows from a value is not new."""
    before = DifferingPixels.none(SHAPE)
    before.image_or_mask[0, 0] = before.variance[1, 1] = True
    theirs = make_pixels(
        with_value(5.0, y=0, x=0) + with_value(7.0, y=2, x=2),
        variance=with_value(3.0, y=0, x=0, level=1.0) + with_value(2.0, y=1, x=1),
        BAD=[(0, 0), (1, 1)],
    )
    added, total, differing = compare_pixels(make_pixels(), theirs, tolerance=EXACT, before=before)
    assert (added.image.n, added.image.max, added.variance.n) == (1, 7.0, 0)
    assert (total.image.n, total.variance.n) == (2, 2)
    # A variance that differed before excuses no mask.
    assert [one.only_candidate for one in added.planes] == [1]
    assert [one.only_candidate for one in total.planes] == [2]
    assert np.count_nonzero(differing.image_or_mask) == 3
    assert np.count_nonzero(differing.variance) == 2


def test_images_of_other_shapes_are_not_compared() -> None:
    """Both shapes are in the message."""
    small = MaskedPixels(
        image=np.zeros((2, 3)),
        variance=np.zeros((2, 3)),
        plane_names=frozenset(),
        read_plane=lambda _: np.zeros((2, 3), np.bool_),
    )
    with pytest.raises(VerifyError, match=r"\(4, 5\) in the reference, \(2, 3\) in the candidate"):
        compare_pixels(make_pixels(), small, tolerance=EXACT)


class AfwMask:
    """What is used of ``lsst.afw.image.Mask``."""

    def __init__(self, array: npt.NDArray[np.int32], planes: dict[str, int]) -> None:
        self.array = array
        self._planes = planes

    def getMaskPlaneDict(self) -> dict[str, int]:
        """Return the number of each plane's bit."""
        return self._planes


def test_exposures_of_afw_and_lsst_images_look_the_same() -> None:
    """Planes by name, whatever their bits; no difference is found."""
    values = np.arange(20, dtype=np.float32).reshape(SHAPE)
    bits = np.zeros(SHAPE, np.int32)
    bits[0, 1], bits[2, 3] = 1 << 21, 1 << 3 | 1 << 21
    planes = {"BAD": 3, "ITL_DIP": 21, "EDGE": 4}
    afw = SimpleNamespace(
        image=SimpleNamespace(array=values),
        variance=SimpleNamespace(array=values + 1),
        mask=AfwMask(bits, planes),
    )
    schema = MaskSchema([MaskPlane("ITL_DIP", "Dip."), MaskPlane("BAD", "Bad.")])
    box = Box.factory[: SHAPE[0], : SHAPE[1]]
    mask = Mask(0, schema=schema, bbox=box)
    mask.set("ITL_DIP", (bits & 1 << 21) != 0)
    mask.set("BAD", (bits & 1 << 3) != 0)
    ours = MaskedImage(Image(values, bbox=box), mask=mask, variance=Image(values + 1, bbox=box))
    both = (MaskedPixels.from_exposure(afw), MaskedPixels.from_exposure(ours))
    _, total, _ = compare_pixels(*both, tolerance=EXACT)
    assert not total.found
    assert {one.plane: one.both for one in total.planes} == {"BAD": 1, "ITL_DIP": 2}


def test_what_is_no_image_is_refused() -> None:
    """The class is in the message."""
    with pytest.raises(VerifyError, match=r"types.SimpleNamespace is no image.*variance"):
        MaskedPixels.from_exposure(SimpleNamespace(image=SimpleNamespace(array=np.zeros(SHAPE))))


class NoConnections(PipelineTaskConnections, dimensions=()):
    """No datasets."""


class InnerConfig(Config):
    """Part of a configuration."""

    radius: Field[int] = Field(doc="Radius (pixel).", dtype=int, default=3)
    scales: DictField[str, float] = DictField(doc="Scales.", keytype=str, itemtype=float, default={"r": 1.0})


class SmallConfig(PipelineTaskConfig, pipelineConnections=NoConnections):
    """Configuration that refuses some values."""

    doSlow: Field[bool] = Field(doc="Not implemented.", dtype=bool, default=False)
    doFirst: Field[bool] = Field(doc="Needs the second.", dtype=bool, default=False)
    doSecond: Field[bool] = Field(doc="Second.", dtype=bool, default=False)
    planes: ListField[str] = ListField(doc="Planes.", dtype=str, default=["BAD"])
    limit: Field[float] = Field(doc="Limit.", dtype=float, default=math.nan)
    inner: ConfigField[InnerConfig] = ConfigField(doc="Part.", dtype=InnerConfig)

    def validate(self) -> None:
        super().validate()  # type: ignore[no-untyped-call]
        if self.doSlow:
            raise ValueError("doSlow=True is not implemented.\nMore about it.")
        if self.doFirst and not self.doSecond:
            raise ValueError("doFirst needs doSecond.")


class LargeConfig(SmallConfig):
    """The same with one field more, and without that refusal."""

    doExtra: Field[bool] = Field(doc="More.", dtype=bool, default=True)

    def validate(self) -> None:
        """Accept everything."""


def make[C: Config](kind: type[C]) -> C:
    """Make a configuration."""
    return kind()


def test_settings_are_given_where_they_are_accepted() -> None:
    """Nested ones too; a refused one stays, and one that needs another is tried again."""
    reference, candidate = make(LargeConfig), make(SmallConfig)
    reference.doSlow = reference.doFirst = reference.doSecond = True
    reference.planes = ["BAD", "SAT"]
    reference.inner.radius = 5
    reference.inner.scales["r"] = 2.0
    reference.inner.scales["i"] = 3.0
    changed, differences = give_settings(reference, candidate)
    assert {one.field: (one.applied, one.refusal) for one in differences} == {
        "doExtra": (False, ""),
        "doFirst": (True, ""),
        "doSecond": (True, ""),
        "doSlow": (False, "doSlow=True is not implemented."),
        "inner.radius": (True, ""),
        "inner.scales.i": (False, ""),
        "inner.scales.r": (True, ""),
        "planes": (True, ""),
    }
    assert [one.field for one in compare_settings(reference, changed).values()] == [
        "doExtra",
        "doSlow",
        "inner.scales.i",
    ]
    assert (candidate.inner.radius, list(candidate.planes), dict(candidate.inner.scales)) == (
        3,
        ["BAD"],
        {"r": 1.0},
    )


def test_names_of_datasets_are_no_settings() -> None:
    """Two tasks may write to different dataset types."""
    ours, theirs = make(FirstLookIsrConfig), make(FirstLookIsrConfig)
    theirs.connections.outputExposure = "another_image"
    assert compare_settings(ours, theirs) == {}


def test_steps_are_switched_on_in_the_order_of_operations() -> None:
    """Each with those before it, and nothing that changes no pixel."""
    config = make(FirstLookIsrConfig)
    config.doBrighterFatter = config.doCorrectGains = config.doCalculateStatistics = False
    config.doBinnedExposures = True
    no_pixels = ("doBinnedExposures", "doStandardStatistics")
    steps = plan_steps(config, config)
    switches = [name for name in STEP_SWITCHES if getattr(config, name, False)]
    assert [step.name for step in steps] == ["start", *switches]
    assert switches.index("doBias") < switches.index("doDark") < switches.index("doFlat")
    for number, step in enumerate(steps):
        on = [name for name in STEP_SWITCHES if getattr(step.candidate, name, False)]
        assert on == switches[:number]
        assert not any(getattr(step.reference, name) for name in no_pixels)
    assert config.doFlat
    assert config.doBinnedExposures


def test_a_task_without_switches_is_run_once() -> None:
    """There is nothing to tell apart."""
    assert [step.name for step in plan_steps(make(SmallConfig), make(SmallConfig))] == ["all"]


def test_progress_is_told(butler: Butler, tmp_path: pathlib.Path) -> None:
    """Before each step, with how much there is."""
    told: list[tuple[int, str, int, int]] = []
    pipeline = write_pipeline(tmp_path / "isr.yaml")
    request = VerifyRequest(exposure=EXPOSURE, reference=pipeline, candidate=pipeline, by_step=False)
    verify(butler, request, on_step=lambda *args: told.append(args))
    assert told == [(DETECTOR, "all", 0, 1)]
