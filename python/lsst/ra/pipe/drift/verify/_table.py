# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A comparison of pixels for the terminal."""

from __future__ import annotations

__all__ = ("make_verify_table",)

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .._values import format_value
from ._report import (
    DetectorReport,
    Deviation,
    PixelDifferences,
    SettingDifference,
    StepReport,
    VerifyReport,
)

_MAX_VALUE = 60
"""Characters of a value that are shown."""


def make_verify_table(report: VerifyReport) -> RenderableType:
    """Show a comparison on a terminal.

    Parameters
    ----------
    report
        The comparison.

    Returns
    -------
    renderable
        For rich's console.
    """
    parts: list[RenderableType] = [_make_header(report)]
    if report.settings:
        parts.append(_make_settings(report))
    for detector in report.detectors:
        parts += _show_detector(detector)
    parts.append(Text(_summarize(report)))
    return Group(*parts)


def _make_header(report: VerifyReport) -> Text:
    tolerance = f"{report.tolerance.absolute:g} + {report.tolerance.relative:.2g} of the value"
    return Text(
        f"reference: {report.reference} ({report.reference_class})\n"
        f"candidate: {report.candidate} ({report.candidate_class})\n"
        f"{report.instrument} exposure {report.exposure}; tolerance {tolerance}\n"
    )


def _make_table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """Make a table with columns of text, then of numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _make_settings(report: VerifyReport) -> Table:
    table = _make_table("Settings that differ", ("field", "reference", "candidate", "ran with"), ())
    for one in report.settings:
        table.add_row(
            Text(one.field),
            Text(_shorten(format_value(one.reference))),
            Text(_shorten(format_value(one.candidate))),
            Text(_tell_what_ran(one)),
        )
    return table


def _tell_what_ran(setting: SettingDifference) -> str:
    if setting.applied:
        return "the reference's"
    return f"each its own: {setting.refusal}" if setting.refusal else "each its own"


def _shorten(text: str) -> str:
    half = _MAX_VALUE // 2 - 2
    return text if len(text) <= _MAX_VALUE else f"{text[:half]} ... {text[-half:]}"


def _show_detector(detector: DetectorReport) -> Iterator[RenderableType]:
    if detector.steps:
        table = _make_table(
            f"Detector {detector.detector}: differences that a step adds",
            ("step",),
            ("image", "max", "rms", "variance", "max", "mask", "in all"),
        )
        for step in detector.steps:
            table.add_row(*_make_row(step))
        yield table
        final = detector.steps[-1].total
        if final.found:
            yield _make_planes(detector, final)
    if detector.problem:
        yield Text(f"Detector {detector.detector} could not be compared: {detector.problem}")


def _make_row(step: StepReport) -> Iterator[Text]:
    only = "" if step.in_candidate else " (reference only)"
    only = only if step.in_reference else " (candidate only)"
    added, total = step.added, step.total
    yield Text(step.step + only)
    yield from (Text(one) for one in _count(added.image))
    yield from (Text(one) for one in _count(added.variance)[:2])
    yield Text(", ".join(_list_planes(added)) or "0")
    yield Text(str(total.image.n))


def _list_planes(differences: PixelDifferences) -> Iterator[str]:
    for plane in differences.planes:
        if count := plane.only_reference + plane.only_candidate:
            yield f"{plane.plane} {count}"


def _count(deviation: Deviation) -> tuple[str, str, str]:
    if not deviation.n:
        return "0", "", ""
    return str(deviation.n), f"{deviation.max:.4g}", f"{deviation.rms:.4g}"


def _make_planes(detector: DetectorReport, final: PixelDifferences) -> Table:
    table = _make_table(
        f"Detector {detector.detector}: final images by mask plane",
        ("plane",),
        ("only reference", "only candidate", "both", "image", "max", "rms"),
    )
    for plane in final.planes:
        counts = (plane.only_reference, plane.only_candidate, plane.both)
        values = _count(final.image_by_plane.get(plane.plane, Deviation()))
        table.add_row(Text(plane.plane), *map(str, counts), *values)
    table.add_row("(none)", "", "", "", *_count(final.image_by_plane.get("", Deviation())))
    return table


def _summarize(report: VerifyReport) -> str:
    failed = [str(one.detector) for one in report.detectors if one.problem]
    differing = [str(one.detector) for one in report.detectors if one.differs and not one.problem]
    parts = []
    if differing:
        parts.append(f"The final images of detector {', '.join(differing)} differ.")
    if failed:
        parts.append(f"Detector {', '.join(failed)} could not be compared.")
    return " ".join(parts) or "All final images are the same within the tolerance."
