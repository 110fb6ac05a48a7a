# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Verdicts as JUnit's XML."""

from __future__ import annotations

__all__ = ("write_junit",)

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from .._policy import Fault, JudgedComparison, JudgedDifference, Verdict
from .._snapshot import Level
from ._wording import (
    count,
    describe_judgement,
    describe_level,
    describe_omits,
    describe_sides,
    name_difference,
    name_pair,
)

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""

_PIPELINE = "(pipeline)"
"""Name of the case of what is not of one task."""


def write_junit(verdicts: Sequence[Verdict]) -> str:
    """Write a suite for each comparison and each policy with faults.

    A suite has a case for the pipeline as such and one for each task that
    differs; one with an undeclared difference has failed.
    """
    root = ET.Element("testsuites", name="drift")
    for verdict in verdicts:
        for judged in verdict.comparisons:
            root.append(_make_suite(judged))
        if verdict.faults:
            root.append(_make_policy_suite(verdict))
    for key in ("tests", "failures"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("errors", "0")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _make_suite(judged: JudgedComparison) -> ET.Element:
    """Make the suite of a comparison."""
    comparison = judged.comparison
    suite = ET.Element("testsuite", name=_clean(name_pair(comparison)))
    properties = ET.SubElement(suite, "properties")
    facts = {
        "reference": comparison.reference,
        "candidate": comparison.candidate,
        "level": describe_level(comparison),
        "not compared": describe_omits(comparison),
    }
    for name, value in facts.items():
        if value:
            ET.SubElement(properties, "property", name=name, value=_clean(value))
    for task in sorted({"", *(one.difference.task for one in judged.differences)}):
        suite.append(_make_case(judged, task))
    return _count_cases(suite)


def _make_case(judged: JudgedComparison, task: str) -> ET.Element:
    """Make the case of a task; an empty label stands for the pipeline."""
    level = judged.comparison.level
    undeclared = [one for one in judged.undeclared if one.difference.task == task]
    allowed = [one for one in judged.allowed if one.difference.task == task]
    name = task or _PIPELINE
    case = ET.Element("testcase", classname=_clean(name_pair(judged.comparison)), name=_clean(name))
    if undeclared:
        message = count(len(undeclared), "undeclared difference")
        failure = ET.SubElement(case, "failure", message=message, type="undeclared")
        failure.text = _clean("\n".join(_write_difference(one, level) for one in undeclared))
    if allowed:
        lines = [count(len(allowed), "allowed difference")]
        lines += [_write_difference(one, level) for one in allowed]
        ET.SubElement(case, "system-out").text = _clean("\n".join(lines))
    return case


def _make_policy_suite(verdict: Verdict) -> ET.Element:
    """Make the suite of the entries of a policy that have faults."""
    suite = ET.Element("testsuite", name=_clean(f"policy {verdict.policy}"))
    for fault in verdict.faults:
        suite.append(_make_fault_case(fault))
    return _count_cases(suite)


def _make_fault_case(fault: Fault) -> ET.Element:
    place = fault.entry.place
    name = f"line {place.line}: {fault.entry.subject}"
    case = ET.Element("testcase", classname=_clean(f"policy {place.file}"), name=_clean(name))
    failure = ET.SubElement(case, "failure", message=_clean(fault.message), type=str(fault.kind))
    failure.text = _clean(str(fault))
    return case


def _count_cases(suite: ET.Element) -> ET.Element:
    """Set the numbers of a suite."""
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", "0")
    return suite


def _write_difference(judged: JudgedDifference, level: Level) -> str:
    """Write a difference in three or four lines."""
    lines = [name_difference(judged.difference)]
    for side in describe_sides(judged.difference, level):
        lines.append(f"  {side.key}: {side.value}" + (f"  [{side.origin}]" if side.origin else ""))
    if remark := describe_judgement(judged):
        lines.append(f"  {remark}")
    return "\n".join(lines)


def _clean(text: str) -> str:
    """Replace what XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
