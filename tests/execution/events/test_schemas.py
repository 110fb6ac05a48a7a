# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The documentation shows the events as they are."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from lsst.ra.pipe.execution.events import (
    EventParser,
    EventRejected,
    RejectionCode,
    event_schemas,
    write_event_schemas,
)

DOC = pathlib.Path(__file__).resolve().parents[3] / "doc/lsst.ra.pipe"


def test_documented_schemas_are_current(tmp_path: pathlib.Path) -> None:
    """Else: call ``write_event_schemas("doc/lsst.ra.pipe/schemas")``."""
    write_event_schemas(tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in (DOC / "schemas").iterdir()}


@pytest.mark.parametrize("kind", sorted(event_schemas()))
def test_example_of_each_schema_is_an_event(kind: str) -> None:
    """The example has the type that its schema is of, and all it requires."""
    schema = event_schemas()[kind]
    (example,) = schema["examples"]
    (event,) = EventParser(instruments=["LSSTCam"]).parse(json.dumps(example).encode())
    assert not isinstance(event, EventRejected)
    assert event.type == kind
    assert set(schema["required"]) <= set(example) <= set(schema["properties"])


def test_documented_messages_are_read() -> None:
    """Every message that the page shows is understood."""
    text = (DOC / "events.rst").read_text()
    blocks = re.findall(r"\.\. code-block:: json\n\n((?:   .*\n|\n)+)", text)
    parser = EventParser(instruments=["LSSTCam", "LATISS"])
    assert len(blocks) == 6
    for block in blocks:
        events = parser.parse(block.encode())
        assert not [event for event in events if isinstance(event, EventRejected)], block


def test_documented_rejections_are_complete() -> None:
    """The page has a row for every code."""
    text = (DOC / "events.rst").read_text()
    assert set(re.findall(r"^``([a-z-]+)`` +\d{3}", text, re.MULTILINE)) == set(RejectionCode)
