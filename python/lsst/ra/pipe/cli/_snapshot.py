# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("snapshot",)

import pathlib

import click

from lsst.ra.pipe.drift import Level, write_overrides

from ._comparing import comparison_errors, load_side, write_file, write_output


@click.command()
@click.argument("pipeline")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="File to write [default: stdout].")
@click.option(
    "--level",
    type=click.Choice([str(one) for one in Level]),
    help="Level to work out [default: resolved where the tasks can be imported, else declared].",
)
@click.option(
    "--as-overrides",
    "task_class",
    metavar="CLASS",
    help="Write, in place of a snapshot, an override file that gives this task class the settings.",
)
@comparison_errors
def snapshot(*, pipeline: str, output: str | None, level: str | None, task_class: str | None) -> None:
    """Write what a pipeline is as sorted JSON: tasks, every field with what
    set it last, connections, subsets, steps, contracts, parameters, versions.

    PIPELINE is a pipeline's URI, which may end in ``#`` and labels, or a file
    with facts that a Science Pipelines install exported.  Where the tasks
    cannot be imported, what the files declare is written, and why.  Exits with
    2 if the pipeline cannot be read.
    """
    found = load_side(pipeline, Level(level) if level else None)
    if task_class is None:
        text = found.to_json()
    else:
        title = _TITLE.format(name=pipeline, task_class=task_class)
        text = write_overrides(found, task_class, title=title)
    if output is not None:
        write_file(text, pathlib.Path(output))
    else:
        write_output(text)
    reason = f": {found.reason}" if found.reason else ""
    n_tasks = len(found.tasks)
    tasks = "1 task" if n_tasks == 1 else f"{n_tasks} tasks"
    click.echo(f"{output or pipeline}: {tasks} at the {found.level} level{reason}", err=True)


_TITLE = """\
Made from {name}
for {task_class} by `rapid snapshot --as-overrides`: do not edit,
make it again.
"""
