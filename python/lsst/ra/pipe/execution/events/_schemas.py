# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("event_schemas", "write_event_schemas")

import json
import os
import pathlib
from typing import Any, get_args

from ._models import Event


def event_schemas() -> dict[str, dict[str, Any]]:
    """Give the JSON Schema of each event, with an example.

    Returns
    -------
    schemas
        Schema by the event's ``type``.
    """
    schemas = {}
    for model in get_args(get_args(Event)[0]):
        schema = model.model_json_schema()
        # A message says what it is, though a constructor need not be told.
        schema["required"] = ["type", "version", *schema["required"]]
        kind = model.model_fields["type"].default
        schemas[kind] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return schemas


def write_event_schemas(directory: str | os.PathLike[str]) -> None:
    """Write the schemas into files, ``TYPE.json``.

    Parameters
    ----------
    directory
        Where to; it is created.  The documentation has them in
        ``doc/lsst.ra.pipe/schemas``.
    """
    target = pathlib.Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for kind, schema in event_schemas().items():
        (target / f"{kind}.json").write_text(json.dumps(schema, indent=2) + "\n")
