# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("drift",)

import datetime
import pathlib

import click
from rich.console import RenderableType

from lsst.ra.pipe.drift import (
    ChangeReport,
    Comparison,
    DriftError,
    Level,
    Policy,
    PolicyPair,
    ReportFormat,
    Snapshot,
    Verdict,
    check_proposal,
    compare_snapshots,
    judge,
    load_policy,
    make_change_table,
    make_snapshot,
    make_table,
    trace_changes,
    write_changes,
    write_proposal,
    write_report,
)

from ._comparing import comparison_errors, load_side, naming, write_file, write_output


@click.command()
@click.argument("reference", required=False)
@click.argument("candidate", required=False)
@click.option("--policy", "-p", "policies", multiple=True, help="File that says which differences are meant.")
@click.option(
    "--level",
    "level_name",
    type=click.Choice([str(one) for one in Level]),
    help="Level to compare at [default: resolved where both sides can be, else declared].",
)
@click.option("--since", metavar="OLD", help="Snapshot of the reference as it was: say what changed since.")
@click.option(
    "--propose",
    metavar="OUT.yaml",
    type=click.Path(dir_okay=False),
    help="Write the differences to be propagated as a pipeline on the reference.",
)
@click.option(
    "--format", "format_name", type=click.Choice(["table", *map(str, ReportFormat)]), default="table"
)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False), help="File for the report [default: stdout]."
)
@comparison_errors
def drift(
    *,
    reference: str | None,
    candidate: str | None,
    policies: tuple[str, ...],
    level_name: str | None,
    since: str | None,
    propose: str | None,
    format_name: str,
    output: str | None,
) -> None:
    """Say how CANDIDATE differs from REFERENCE, and whether that is meant.

    Each is the URI of a pipeline, which may end in ``#`` and labels, or a
    snapshot.  Without them the pairs that the policies name are compared.
    Exits with 0 if all differences are declared, with 1 if not (or, with
    --since, if a change does not reach the candidate), and with 2 if they could
    not be compared.
    """
    if (reference is None) is not (candidate is None):
        raise click.UsageError("Name both sides, or none to compare the pairs of the policies.")
    if reference is None and not policies:
        raise click.UsageError("Name two pipelines, or a policy that does.")
    if since is not None and propose is not None:
        raise click.UsageError("--since and --propose are two questions; ask one at a time.")
    if since is not None and format_name not in _CHANGE_FORMATS:
        raise click.UsageError(f"--since has no {format_name} format; it has {', '.join(_CHANGE_FORMATS)}.")
    pair = (reference, candidate) if reference is not None and candidate is not None else None
    level = Level(level_name) if level_name else None
    if since is not None:
        report = _trace(pair, policies, level, since)
        _write(_write_changes(report, format_name), output)
        exit_code = report.exit_code
    else:
        if propose is None:
            verdicts = _judge(pair, policies, level)
        else:
            verdicts = [_propose(pair, policies, level, pathlib.Path(propose))]
        _write(_write_verdicts(verdicts, format_name), output)
        exit_code = max(verdict.exit_code for verdict in verdicts)
    raise click.exceptions.Exit(exit_code)


_CHANGE_FORMATS = ("table", "json", "markdown")
"""Formats of what changed since a snapshot."""

type _Pair = tuple[str, str] | None
"""What was named; `None` for what the policies name."""


def _load_policies(policies: tuple[str, ...]) -> list[Policy]:
    return [_load_policy(file) for file in policies] or [Policy()]


def _load_policy(file: str) -> Policy:
    with naming(file):
        return load_policy(file)


def _judge(pair: _Pair, policies: tuple[str, ...], level: Level | None) -> list[Verdict]:
    """Compare, and hold the differences against the policies."""
    verdicts = []
    for policy in _load_policies(policies):
        pairs = [pair] if pair else policy.compare
        if not pairs:
            raise DriftError(f"{policy.file}:1: this policy names no pipelines to compare; name two.")
        comparisons = [_compare(one, level)[0] for one in pairs]
        verdicts.append(judge(comparisons, policy, today=datetime.date.today()))
    return verdicts


def _compare(
    pair: tuple[str, str] | PolicyPair, level: Level | None
) -> tuple[Comparison, tuple[Snapshot, Snapshot]]:
    """Compare two sides, and return them, too; of what a policy names, an error
    says where it does.
    """
    try:
        sides = _load_pair(pair, level)
        return compare_snapshots(*sides), sides
    except DriftError as error:
        if isinstance(pair, tuple):
            raise
        raise DriftError(f"{error}\nThis was to be compared by {pair.place}.") from error


def _load_pair(pair: tuple[str, str] | PolicyPair, level: Level | None) -> tuple[Snapshot, Snapshot]:
    reference, candidate = pair if isinstance(pair, tuple) else (pair.reference, pair.candidate)
    return load_side(reference, level), load_side(candidate, level)


def _one_pair(
    pair: _Pair, policies: tuple[str, ...], option: str
) -> tuple[tuple[str, str] | PolicyPair, Policy]:
    """Return the pair and policy of what is done for one pair only."""
    loaded = _load_policies(policies)
    pairs = [pair] if pair else [one for policy in loaded for one in policy.compare]
    if len(pairs) != 1 or len(loaded) != 1:
        raise click.UsageError(
            f"{option} is for one pair and at most one policy; there are {len(pairs)} and {len(loaded)}."
        )
    return pairs[0], loaded[0]


def _trace(pair: _Pair, policies: tuple[str, ...], level: Level | None, since: str) -> ChangeReport:
    one, policy = _one_pair(pair, policies, "--since")
    old = load_side(since, level, may_be_stale=True)
    return trace_changes(old, *_load_pair(one, level), policy)


def _propose(pair: _Pair, policies: tuple[str, ...], level: Level | None, path: pathlib.Path) -> Verdict:
    """Write what is to be propagated, once it is known to do just that."""
    one, policy = _one_pair(pair, policies, "--propose")
    comparison, sides = _compare(one, level)
    verdict = judge([comparison], policy, today=datetime.date.today())
    judged = verdict.comparisons[0]
    text = write_proposal(judged, *sides)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        try:
            make_snapshot(sides[0].pipeline, level=judged.comparison.level)
        except DriftError as error:
            click.echo(f"{path}: not checked, since it imports what cannot be read here: {error}", err=True)
        else:
            check_proposal(str(draft), judged, *sides)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return verdict


def _write_verdicts(verdicts: list[Verdict], format_name: str) -> str | RenderableType:
    """Write how pipelines differ, and whether that is meant."""
    if format_name == "table":
        return make_table(verdicts)
    return write_report(verdicts, format=ReportFormat(format_name))


def _write_changes(report: ChangeReport, format_name: str) -> str | RenderableType:
    """Write what changed."""
    match format_name:
        case "json":
            return report.model_dump_json(indent=1) + "\n"
        case "markdown":
            return write_changes(report)
        case _:
            return make_change_table(report)


def _write(report: str | RenderableType, output: str | None) -> None:
    """Write to a file or to standard output."""
    if output is None:
        write_output(report)
    else:
        write_file(report, pathlib.Path(output))
