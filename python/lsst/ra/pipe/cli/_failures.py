# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("failures", "retry")

import base64
import dataclasses
import fnmatch
import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator

import click

from lsst.ra.pipe.execution.queue import DeadLetter, RejectedEvent

from ._errors import expected_errors
from ._queue_options import format_time, look_into_queue, queue_options, show_text

_MAX_BODY = 400
"""Bytes of a refused event that are shown without --detail."""


@click.command()
@queue_options
@click.option("--events", is_flag=True, help="Refused events, with their bytes, instead of failed jobs.")
@click.option("--detail", is_flag=True, help="Show tracebacks, and events in full.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@expected_errors
def failures(*, redis_url: str, prefix: str, events: bool, detail: bool, as_json: bool) -> None:
    """List what failed for good, the oldest first, with the reason.

    Jobs stay here until `rapid retry` queues them again.
    """
    queue = look_into_queue(redis_url, prefix)
    if events:
        shown = (_event_as_json(e) if as_json else _event_as_text(e, detail) for e in queue.rejected_events())
        codes = _print_each(shown)
        summary = f"Refused events: {codes.total()}" + _list_counts(codes)
    else:
        letters = queue.dead_letters()
        codes = _print_each(
            (_letter_as_json(one) if as_json else _letter_as_text(one, detail)) for one in letters
        )
        summary = f"Jobs that failed for good: {codes.total()}" + _list_counts(codes)
        summary += " 'rapid retry' tries them again." if codes else ""
    if not as_json:
        click.echo(summary)


@click.command()
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
@queue_options
@click.option("--all", "every", is_flag=True, help="Queue every job that failed for good.")
@click.option("--match", "pattern", metavar="GLOB", help="Those whose key matches, as file names in a shell.")
@expected_errors
def retry(
    *, identifiers: tuple[str, ...], redis_url: str, prefix: str, every: bool, pattern: str | None
) -> None:
    """Queue jobs again that failed for good, with all their attempts.

    ID is what `rapid failures` shows in front of each job.
    """
    if sum((bool(identifiers), every, pattern is not None)) != 1:
        raise click.UsageError("Expected one of: IDs, --all, --match GLOB.")
    queue = look_into_queue(redis_url, prefix)
    letters = list(queue.dead_letters())
    if unknown := set(identifiers) - {letter.id for letter in letters}:
        raise click.ClickException(f"No job failed for good with ID {', '.join(sorted(unknown))}.")
    chosen = [
        letter
        for letter in letters
        if every
        or letter.id in identifiers
        or (pattern is not None and fnmatch.fnmatchcase(letter.job.key, pattern))
    ]
    click.echo(f"{queue.retry(chosen)} of {len(letters)} failed jobs are queued again.")


def _print_each(shown: Iterable[tuple[str, str]]) -> Counter[str]:
    """Print each as it comes; return the number of each kind."""
    kinds: Counter[str] = Counter()
    for kind, text in shown:
        click.echo(text)
        kinds[kind] += 1
    return kinds


def _list_counts(kinds: Counter[str]) -> str:
    return f" ({', '.join(f'{kind} {n}' for kind, n in kinds.most_common())})." if kinds else "."


def _letter_as_text(letter: DeadLetter, detail: bool) -> tuple[str, str]:
    attempts = f"{letter.attempts} attempt{'s' * (letter.attempts != 1)}"
    lines = [
        f"{letter.id}  {show_text(letter.job.key)}  {attempts}, {format_time(letter.time)}",
        *_indented(letter.reason),
        *(_indented(letter.detail) if detail and letter.detail else ()),
    ]
    return letter.job.kind, "\n".join(lines)


def _letter_as_json(letter: DeadLetter) -> tuple[str, str]:
    fields = {
        **dataclasses.asdict(letter),
        "job": letter.job.model_dump(mode="json", exclude={"gather"}, exclude_none=True),
    }
    return letter.job.kind, json.dumps(fields)


def _event_as_text(event: RejectedEvent, detail: bool) -> tuple[str, str]:
    body = event.body if detail else event.body[:_MAX_BODY]
    left = len(event.body) - len(body)
    lines = [
        f"{event.code}  {show_text(event.origin)}  {format_time(event.time)}",
        *_indented(event.reason),
        *_indented(_show_bytes(body) + (f" ... ({left} more bytes)" if left else "")),
    ]
    return event.code, "\n".join(lines)


def _event_as_json(event: RejectedEvent) -> tuple[str, str]:
    body = {"body_base64": base64.b64encode(event.body).decode(), "body_text": _show_bytes(event.body)}
    fields = {name: getattr(event, name) for name in ("time", "code", "origin", "reason")}
    return event.code, json.dumps({**fields, **body})


def _show_bytes(body: bytes) -> str:
    return show_text(body.decode(errors="backslashreplace"))


def _indented(text: str) -> Iterator[str]:
    for line in show_text(text).splitlines():
        yield textwrap.indent(line, "    ")
