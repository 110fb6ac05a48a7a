# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("main",)

import logging

import click

from ._demo import demo
from ._distribute import distribute
from ._gaps import gaps
from ._ingest import ingest
from ._repo import repo
from ._reprocess import reprocess
from ._run import run
from ._simulate import simulate
from ._up import up
from ._warm_up import warm_up
from ._work import work


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="lsst-ra-pipe")
@click.option("--verbose", "-v", is_flag=True, help="Say what the libraries below do, too.")
def main(*, verbose: bool) -> None:
    """Rapid Analysis: image quality, plots and a focal-plane picture of every
    exposure, seconds after the shutter closes.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s"
    )


main.add_command(demo)
main.add_command(distribute)
main.add_command(gaps)
main.add_command(ingest)
main.add_command(repo)
main.add_command(reprocess)
main.add_command(run)
main.add_command(simulate)
main.add_command(up)
main.add_command(warm_up)
main.add_command(work)
