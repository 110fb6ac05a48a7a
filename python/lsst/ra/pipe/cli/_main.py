# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("main",)

import importlib
import logging

import click

_COMMANDS = {
    "consdb": "_consdb",
    "demo": "_demo",
    "distribute": "_distribute",
    "drift": "_drift",
    "failures": "_failures",
    "gaps": "_gaps",
    "ingest": "_ingest",
    "night": "_night",
    "repo": "_repo",
    "reprocess": "_reprocess",
    "retry": "_failures",
    "run": "_run",
    "simulate": "_simulate",
    "snapshot": "_snapshot",
    "status": "_status",
    "trigger": "_trigger",
    "up": "_up",
    "verify": "_verify",
    "warm-up": "_warm_up",
    "work": "_work",
}
"""Module of each command, which is imported when the command is wanted: a
worker shall not wait for what only the demo needs."""


class _LazyGroup(click.Group):
    """A group that imports a command when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f".{_COMMANDS[cmd_name]}", __package__)
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="lsst-ra-pipe")
@click.option("--verbose", "-v", is_flag=True, help="Say what the libraries below do, too.")
def main(*, verbose: bool) -> None:
    """Rapid Analysis: image quality, plots and a focal-plane picture of every
    exposure, seconds after the shutter closes.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s"
    )
