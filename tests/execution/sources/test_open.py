# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A URL names a source, or is refused."""

from __future__ import annotations

import pytest
from lsst.ra.pipe.execution.sources import DirectorySource, HttpSource, KafkaSource, open_source


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("kafka://127.0.0.1:9092/topic", KafkaSource),
        ("kafka://one:9092,two:9092/topic-1,topic-2?group=other", KafkaSource),
        ("http://127.0.0.1:0/events", HttpSource),
        ("http://[::1]:8080", HttpSource),
        ("file:///data/new%20raws", DirectorySource),
    ],
)
def test_url_names_a_source(url: str, kind: type) -> None:
    """Nothing runs, and nothing is looked at, before `run`."""
    source = open_source(url)
    assert isinstance(source, kind)
    assert not source.ready.is_set()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/data",
        "ftp://host/dir",
        "kafka:///topic",
        "kafka://127.0.0.1:9092",
        "kafka://127.0.0.1:9092/topic,,other",
        "kafka://127.0.0.1:9092/topic?group=",
        "kafka://127.0.0.1:9092/topic?offset=latest",
        "kafka://user:secret@127.0.0.1:9092/topic",
        "http:///events",
        "http://127.0.0.1:port/events",
        "http://127.0.0.1:8080/health",
        "http://127.0.0.1:8080/events?group=rapid",
        "file://host/dir",
        "file://",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """Also options that would be passed over."""
    with pytest.raises(ValueError, match=r"expected|[Pp]ort"):
        open_source(url)
