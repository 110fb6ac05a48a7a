# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Verdicts as JSON."""

from __future__ import annotations

__all__ = ("write_json",)

import json
from collections.abc import Sequence
from typing import Any

from .._policy import Fault, JudgedComparison, JudgedDifference, PolicyEntry, Verdict

_REPORT_VERSION = 1
"""Version of the layout."""

_KEYS_OF_ENTRY = {
    "candidate",
    "category",
    "expires",
    "level",
    "place",
    "propagate",
    "reason",
    "reference",
    "task",
    "ticket",
}
"""What all entries have; the rest is their kind and names."""


def write_json(verdicts: Sequence[Verdict]) -> str:
    """Write all there is, sorted, with an end of line."""
    content = {
        "report_version": _REPORT_VERSION,
        "exit_code": max((verdict.exit_code for verdict in verdicts), default=0),
        "verdicts": [_write_verdict(verdict) for verdict in verdicts],
    }
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _write_verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "policy": verdict.policy or None,
        "exit_code": verdict.exit_code,
        "comparisons": [_write_comparison(one) for one in verdict.comparisons],
        "faults": [_write_fault(fault) for fault in verdict.faults],
    }


def _write_comparison(judged: JudgedComparison) -> dict[str, Any]:
    head = judged.comparison.model_dump(mode="json", exclude={"differences"})
    return {
        **head,
        "undeclared": [_write_difference(one) for one in judged.undeclared],
        "allowed": [_write_difference(one) for one in judged.allowed],
    }


def _write_difference(judged: JudgedDifference) -> dict[str, Any]:
    content = {**judged.difference.model_dump(mode="json"), "subject": judged.difference.subject}
    if judged.entry:
        content["entry"] = _write_entry(judged.entry)
    if judged.note:
        content["note"] = judged.note
    return content


def _write_fault(fault: Fault) -> dict[str, Any]:
    return {"kind": str(fault.kind), "message": fault.message, "entry": _write_entry(fault.entry)}


def _write_entry(entry: PolicyEntry) -> dict[str, Any]:
    """Write an entry in one way, whatever it is about."""
    content = entry.model_dump(mode="json", include=_KEYS_OF_ENTRY)
    return {**content, "kind": str(entry.kind), "names": list(entry.names)}
