# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pipelines of a few lines, for the tests of drift."""

from __future__ import annotations

import pathlib
import textwrap
from collections.abc import Mapping

import pytest
from lsst.ra.pipe.drift._load import make_snapshot
from lsst.ra.pipe.drift._snapshot import Level, Snapshot


class Home:
    """A product of a test, in ``$HERE_DIR``.

    Parameters
    ----------
    path
        Its directory.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, by name."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)

    def declare(self, name: str = "p.yaml") -> Snapshot:
        """Read a pipeline at the declared level."""
        return make_snapshot(f"$HERE_DIR/{name}", level=Level.DECLARED)

    def resolve(self, name: str = "p.yaml") -> Snapshot:
        """Read a pipeline at the resolved level."""
        return make_snapshot(f"$HERE_DIR/{name}", level=Level.RESOLVED)

    def measure(self, config: str, **files: str) -> None:
        """Write ``p.yaml``, a pipeline of one `drift_tasks.MeasureTask`."""
        self.write({name.replace("_py", ".py"): text for name, text in files.items()})
        text = "description: One task.\ntasks:\n  m:\n    class: drift_tasks.MeasureTask\n    config:\n"
        body = textwrap.indent(textwrap.dedent(config).strip("\n"), " " * 6)
        (self.path / "p.yaml").write_text(f"{text}{body}\n")


CONFIG_LINE = 6
"""Line of the first line that `Home.measure` is given."""


def make_home(path: pathlib.Path, patch: pytest.MonkeyPatch, variable: str = "HERE_DIR") -> Home:
    """Make a product and set its variable."""
    (path / "ups").mkdir(parents=True, exist_ok=True)
    patch.setenv(variable, str(path))
    return Home(path)
