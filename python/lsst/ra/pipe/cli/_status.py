# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("latency_table", "status")

import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import click
import redis
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lsst.ra.pipe.execution.queue import (
    ExposureStatus,
    JobQueue,
    QueueStatus,
    ShardStatus,
    StageLatency,
    WorkerStatus,
    read_status,
)
from lsst.ra.pipe.sinks.alerts import AlertBoard

from ._alert_options import alert_table
from ._errors import expected_errors
from ._progress import console
from ._queue_options import format_time, look_into_queue, queue_options, show_text, without_password

_MAX_SHARDS = 6
"""Detector shards that have a row of their own, the longest."""

_MAX_NAME = 24
"""Characters of a worker's name that are shown."""

_FWHM = "psf_fwhm_arcsec"
"""Metric that says most about an exposure."""


@click.command()
@queue_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option(
    "--live/--once",
    default=None,
    help="Look again and again, until Ctrl-C; the default is to do so on a terminal.",
    show_default=False,
)
@click.option("--interval", type=click.FloatRange(min=0.05), default=1.0, help="Time (s) between two looks.")
@click.option("--exposures", "n_exposures", type=click.IntRange(min=0), default=10, help="Exposures to show.")
@expected_errors
def status(
    *, redis_url: str, prefix: str, as_json: bool, live: bool | None, interval: float, n_exposures: int
) -> None:
    """Show the live service: queue, workers, exposures, latencies, failures."""
    queue = look_into_queue(redis_url, prefix)
    if as_json:
        facts = dataclasses.asdict(read_status(queue, n_exposures=n_exposures))
        board = AlertBoard(queue).read()
        alerts = [alert.model_dump(mode="json") for alert in board.standing]
        click.echo(json.dumps(facts | {"alerts": alerts, "alerts_unsent": board.n_unsent}))
    elif live if live is not None else sys.stdout.isatty():
        _watch(queue, without_password(redis_url), interval=interval, n_exposures=n_exposures)
    else:
        console.print(_look(queue, without_password(redis_url), n_exposures=n_exposures))


def _watch(queue: JobQueue, url: str, *, interval: float, n_exposures: int) -> None:
    """Show the status until Ctrl-C, over outages of the server, too."""
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as display:
        try:
            while True:
                try:
                    shown = _look(queue, url, n_exposures=n_exposures)
                except redis.RedisError as err:
                    shown = Text(f"{format_time(time.time())}: {url} does not answer: {err}")
                display.update(shown, refresh=True)
                time.sleep(interval)
        except KeyboardInterrupt:
            return


def _look(queue: JobQueue, url: str, *, n_exposures: int) -> RenderableType:
    """Put the tables together, without those that would be empty."""
    shown = read_status(queue, n_exposures=n_exposures)
    board = AlertBoard(queue).read()
    parts: list[RenderableType] = [_headline(shown, url)]
    if board.standing:
        parts.append(alert_table("Open alerts", board.standing))
    if shown.shards:
        parts.append(_shard_table(shown.shards))
    if shown.workers:
        parts.append(_worker_table(shown.workers))
    if shown.exposures:
        parts.append(_exposure_table(shown.exposures))
    if shown.latencies:
        parts.append(latency_table(shown.latencies))
    parts += [Text(line) for line in _footnotes(shown)]
    if board.n_unsent:
        parts.append(Text(f"{board.n_unsent} alerts wait for Kafka brokers that have not confirmed them."))
    return Group(*parts)


def _headline(shown: QueueStatus, url: str) -> Text:
    waiting = sum(shard.waiting for shard in shown.shards)
    leased = sum(shard.leased for shard in shown.shards)
    working = sum(worker.facts.get("state") == "working" for worker in shown.workers)
    return Text(
        f"{format_time(time.time())}, queue at {url}\n"
        f"jobs waiting: {waiting}, at work: {leased}; workers: {len(shown.workers)}, working: {working}; "
        f"failed for good: {shown.dead}; events refused: {shown.rejected}\n"
    )


def _footnotes(shown: QueueStatus) -> Iterator[str]:
    if shown.attempts:
        counts = ", ".join(f"{n} at attempt {attempt}" for attempt, n in shown.attempts.items())
        yield f"Of the last {sum(shown.attempts.values())} jobs succeeded: {counts}."
    if not shown.workers:
        yield "No worker has been seen in the last minute: nothing is processed."
    if shown.dead:
        yield "'rapid failures' lists the jobs that failed for good, and why."
    if unheard := sum(int(worker.facts.get("unheard", 0)) for worker in shown.workers):
        yield f"Observers failed on {unheard} images, such as ConsDB: see the workers' logs."
    if shown.rejected:
        yield "'rapid failures --events' lists the refused events, with their bytes."


def _make_table(title: str, left: Sequence[str], right: Sequence[str], *, last: Sequence[str] = ()) -> Table:
    """Make a table with columns of text, of numbers, and of text again."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in (*left, *right, *last):
        # What is too wide takes its space from the last columns.
        table.add_column(
            name,
            justify="right" if name in right else "left",
            min_width=None if name in last else len(name),
            no_wrap=True,
            overflow="ellipsis",
        )
    return table


def _shard_table(shards: Sequence[ShardStatus]) -> Table:
    """Show special shards and the longest others, the rest in one row."""
    table = _make_table("Queue", ["shard"], ["waiting", "at work", "oldest (s)"])
    special = [shard for shard in shards if not shard.name.isdigit()]
    others = sorted(
        (shard for shard in shards if shard.name.isdigit()),
        key=lambda shard: (-shard.waiting, -shard.leased, int(shard.name)),
    )
    rows = [*special, *others[:_MAX_SHARDS]]
    if rest := others[_MAX_SHARDS:]:
        rows.append(_sum_shards(f"{len(rest)} others", rest))
    for shard in rows:
        table.add_row(shard.name, str(shard.waiting), str(shard.leased), f"{shard.oldest_seconds:.1f}")
    return table


def _sum_shards(name: str, shards: Iterable[ShardStatus]) -> ShardStatus:
    rows = list(shards)
    return ShardStatus(
        name=name,
        waiting=sum(shard.waiting for shard in rows),
        leased=sum(shard.leased for shard in rows),
        oldest_seconds=max(shard.oldest_seconds for shard in rows),
    )


def _worker_table(workers: Sequence[WorkerStatus]) -> Table:
    table = _make_table(
        "Workers", ["worker"], ["done", "failed", "own (%)", "restarts", "seen (s)"], last=["doing"]
    )
    for worker in workers:
        facts = worker.facts
        done = int(facts.get("done", 0))
        table.add_row(
            Text(_shorten(worker.name)),
            str(done),
            facts.get("failed", "0"),
            f"{100 * int(facts.get('own', 0)) / done:.0f}" if done else "",
            str(max(int(facts.get("children", 0)) - 1, 0)),
            f"{worker.seen_seconds:.1f}",
            Text(_what_it_does(facts)),
        )
    return table


def _shorten(name: str) -> str:
    """Keep the end of a worker's name, in which they differ."""
    return name if len(name) <= _MAX_NAME else f"…{name[1 - _MAX_NAME :]}"


def _what_it_does(facts: Mapping[str, str]) -> str:
    """Name the job that a worker is at, or else its state."""
    state = facts.get("state", "unknown")
    about = facts.get({"working": "job", "cannot start": "reason"}.get(state, ""), "")
    if state == "working" and about:
        return show_text(about)
    return f"{state}: {show_text(about)}" if about else state


def _exposure_table(exposures: Sequence[ExposureStatus]) -> Table:
    table = _make_table(
        "Exposures",
        ["exposure"],
        ["expected", "done", "failed", "queued", "gathers", "age (s)", "median FWHM (arcsec)"],
    )
    for exposure in exposures:
        fwhm = exposure.partial.get(_FWHM)
        table.add_row(
            Text(exposure.id),
            str(exposure.expected or "any"),
            str(exposure.done),
            str(exposure.failed),
            str(exposure.queued),
            str(exposure.gathers),
            f"{exposure.age_seconds:.0f}",
            "" if fwhm is None else f"{fwhm:.2f}",
        )
    return table


def latency_table(latencies: Sequence[StageLatency]) -> Table:
    """Tabulate latencies by stage.

    Parameters
    ----------
    latencies
        What to tabulate.
    """
    table = _make_table("Latency of recent images (s)", ["from", "to"], ["images", "p50", "p90", "p99"])
    for one in latencies:
        table.add_row(one.begin, one.end, str(one.n), *(f"{p:z.3f}" for p in (one.p50, one.p90, one.p99)))
    return table
