# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""FirstLook's ISR has the settings that Alert Production runs."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from lsst.pipe.base import Pipeline

ROOT = pathlib.Path(__file__).resolve().parents[1]

RAPID = {"doBinnedExposures", "doCalculateStatistics", "doCorrectGains"}
"""Settings that ``config/rapid/isr.py`` makes differ from AP's."""

OURS = {"connections", "binning"}
"""Fields that name datasets or subtasks of each implementation."""


def leaves(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of every field."""
    for name, value in config.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from leaves(value, here)
        else:
            yield here, value


def same(one: Any, other: Any) -> bool:
    """Compare values; NaN equals NaN, and an unset value is NaN there."""

    def unset(value: Any) -> bool:
        return value is None or value != value

    return bool(one == other or (unset(one) and unset(other)))


@pytest.mark.parametrize("instrument", ["LSSTCam", "LSSTComCam", "LATISS"])
def test_isr_settings_are_aps(shared: pathlib.Path, instrument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field has AP's value but those that low latency changes."""
    monkeypatch.setenv("RA_PIPE_DIR", str(ROOT))
    snapshot = json.loads((shared / "ap" / f"ap-{instrument}-SingleFrame.json").read_text())
    ap = dict(leaves(snapshot["tasks"]["isr"]["config"]))
    graph = Pipeline.from_uri(str(ROOT / "pipelines" / instrument / "FirstLook.yaml")).to_graph()
    ours = dict(leaves(graph.tasks["isr"].config.toDict()))
    compared = {name for name in ap.keys() | ours.keys() if name.partition(".")[0] not in OURS}
    different = {name for name in compared if not same(ap.get(name), ours.get(name))}
    assert len(compared) > 150
    assert different == RAPID
