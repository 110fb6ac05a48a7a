# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("repo",)

import click

from lsst.daf.butler import Config
from lsst.ra.pipe.repository import (
    DEFAULT_REFERENCE_CATALOG,
    certify_calibrations,
    create_repository,
    load_reference_catalog,
    open_repository,
)

from ._errors import expected_errors
from ._progress import console, progress_bar


@click.group()
def repo() -> None:
    """Create and fill Butler repositories."""


@repo.command()
@click.argument("repository", metavar="REPO")
@click.option(
    "--instrument",
    "instruments",
    multiple=True,
    default=["lsst.ra.pipe.camera.LsstCam"],
    help="Class of an instrument to register; may be given more than once.",
)
@click.option("--seed-config", help="Butler configuration to begin with, for example another registry.")
@expected_errors
def create(*, repository: str, instruments: tuple[str, ...], seed_config: str | None) -> None:
    """Create a repository and register the instruments; or complete one."""
    create_repository(
        repository, instruments=instruments, seed_config=Config(seed_config) if seed_config else None
    )
    console.print(f"The repository {repository} knows {', '.join(instruments)}.")


@repo.command()
@click.argument("repository", metavar="REPO")
@click.argument("manifest")
@click.option("--collection", help="CALIBRATION collection instead of <instrument>/calib.")
@click.option("--transfer", "-t", default="copy", help="How the files get into the repository.")
@expected_errors
def certify(*, repository: str, manifest: str, collection: str | None, transfer: str) -> None:
    """Ingest the calibrations that MANIFEST lists, and certify them.

    MANIFEST is an ECSV table with the columns path, dataset_type, instrument,
    detector, physical_filter, valid_begin and valid_end.
    """
    butler = open_repository(repository, writeable=True)
    with progress_bar() as progress:
        task = progress.add_task("Certifying calibrations", total=None)
        report = certify_calibrations(
            butler,
            manifest,
            collection=collection,
            transfer=transfer,
            on_file=lambda _: progress.advance(task),
        )
    console.print(f"{len(report.certified)} calibrations certified, {len(report.existing)} were there.")


@repo.command("reference-catalog")
@click.argument("repository", metavar="REPO")
@click.argument("catalog")
@click.option("--name", default=DEFAULT_REFERENCE_CATALOG, help="Dataset type of the catalogue.")
@expected_errors
def reference_catalog(*, repository: str, catalog: str, name: str) -> None:
    """Load the reference catalogue in the Parquet file CATALOG."""
    butler = open_repository(repository, writeable=True)
    refs = load_reference_catalog(butler, catalog, name=name)
    console.print(f"{len(refs)} shards of {name} added.")
