# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""An observer of the live service's images, for its child process."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import redis
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution import ImageReport
from lsst.ra.pipe.execution.service import ServiceSettings

FAILURES: dict[str, type[Exception]] = {"outage": redis.ConnectionError}
"""What the observer raises once where there is a file of this name in the
repository."""


def observe(*, settings: ServiceSettings, butler: Butler) -> Callable[[ImageReport], None]:
    """Make what writes down each image, and how many of its outputs are in
    the repository by then.
    """
    root = pathlib.Path(settings.repository)

    def write(report: ImageReport) -> None:
        name = "total" if report.detector is None else "acted"
        where: dict[str, Any] = {"instrument": report.instrument, "exposure": report.exposure}
        if report.detector is not None:
            where["detector"] = report.detector
        refs = butler.query_datasets(name, report.run, explain=False, **where)
        facts = {"exposure": report.exposure, "detector": report.detector, "n": len(refs), "run": report.run}
        with (root / "observed.jsonl").open("a") as file:
            file.write(json.dumps(facts) + "\n")
        if (root / "always").exists():
            raise ValueError("told to fail always")
        for kind, error in FAILURES.items():
            if (root / kind).exists():
                os.unlink(root / kind)
                raise error(f"told to {kind}")

    return write


def read_observed(root: pathlib.Path, exposure: int) -> Iterator[dict[str, Any]]:
    """Yield what was written down of an exposure."""
    for line in (root / "observed.jsonl").read_text().splitlines():
        facts = json.loads(line)
        if facts["exposure"] == exposure:
            yield facts
