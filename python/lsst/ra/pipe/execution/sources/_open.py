# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("open_source",)

import urllib.parse

from ._delivery import Source
from ._directory import DirectorySource
from ._http import HttpSource
from ._kafka import KafkaSource
from ._settings import SourceSettings

_FORMS = "kafka://host:port,host:port/topic,topic?group=name, http://host:port/path or file:///directory"


def open_source(url: str, settings: SourceSettings | None = None) -> Source:
    """Make the source that a URL names.

    Parameters
    ----------
    url
        ``kafka://host:port,host:port/topic,topic?group=name``,
        ``http://host:port/path`` or ``file:///directory``.
    settings
        The rest.

    Returns
    -------
    source
        It does nothing until it runs.

    Raises
    ------
    ValueError
        Raised if the URL is not of one of these forms.
    """
    settings = settings or SourceSettings()
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
    group = query.pop("group", ["rapid"]) if parts.scheme == "kafka" else ["rapid"]
    if query or parts.fragment or len(group) != 1 or "@" in parts.netloc:
        raise ValueError(f"source {url!r}: expected {_FORMS}, and nothing else")
    match parts.scheme:
        case "kafka":
            return KafkaSource(
                brokers=parts.netloc.split(","),
                topics=urllib.parse.unquote(parts.path).strip("/").split(","),
                group=group[0],
                settings=settings,
            )
        case "http" if parts.hostname:
            # ValueError if the port is no number.
            port = 80 if parts.port is None else parts.port
            return HttpSource(host=parts.hostname, port=port, path=parts.path or "/", settings=settings)
        case "file" if parts.netloc in ("", "localhost") and parts.path:
            return DirectorySource(urllib.parse.unquote(parts.path), settings=settings)
    raise ValueError(f"source {url!r}: expected {_FORMS}")
