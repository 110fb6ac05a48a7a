# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a pipeline is, as sorted JSON that can be kept and compared."""

from __future__ import annotations

__all__ = (
    "SCHEMA_VERSION",
    "Block",
    "Connection",
    "Contract",
    "Level",
    "Origin",
    "OriginKind",
    "Parameter",
    "Setting",
    "Snapshot",
    "Step",
    "Subset",
    "TaskSnapshot",
)

import enum
import json
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from ._errors import DriftError
from ._record import Record
from ._values import JsonValue

SCHEMA_VERSION = 1
"""Version of the files that `Snapshot.to_json` writes."""

_LINE_LENGTH = 120
"""Length (characters) up to which something is written on one line."""


class Level(enum.StrEnum):
    """How far a pipeline was worked out."""

    RESOLVED = "resolved"
    """All overrides are applied: every field of every task is known."""
    DECLARED = "declared"
    """The tasks cannot be imported: only what pipeline and override files
    say is known.
    """


class OriginKind(enum.StrEnum):
    """What may set a field."""

    DEFAULT = "default"
    """The task's own default."""
    INSTRUMENT = "instrument"
    """Overrides that the instrument applies, before those of the pipeline."""
    PIPELINE = "pipeline"
    """A pipeline file."""
    FILE = "file"
    """An override file that a pipeline names."""
    PYTHON = "python"
    """A ``python`` block of a pipeline file."""


class Origin(Record):
    """Who set something, and where."""

    kind: OriginKind
    """What set it last."""
    file: str = ""
    """The file, beginning with an environment variable if there is one."""
    line: int | None = None
    """The line, from one, where it is known."""

    def __str__(self) -> str:
        if not self.file:
            return str(self.kind)
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Setting(Record):
    """The value of a field of a task's configuration."""

    value: JsonValue
    """Encoded value."""
    set_by: Origin | None = None
    """What set it last; `None` where that is not recorded."""
    path: str = ""
    """How code names it, ``starSelector['objectSize'].widthMax``, where that
    is not its dotted name.
    """
    parameter: str | None = None
    """The parameter whose value it is, if it is one's."""
    hidden_by: str | None = None
    """A field around it that is set afterwards, which may undo it; declared
    level only.
    """
    after: int = 0
    """Number of the task's blocks that run before it is set."""


class Block(Record):
    """A statement of an override file or ``python`` block whose effect is not
    known without running it.
    """

    code: str
    """The statement, written in one way whatever its layout."""
    set_by: Origin
    """Where it is."""


class Connection(Record):
    """A connection of a task."""

    kind: Literal["input", "output", "prerequisite", "init_input", "init_output"]
    """What the task does with the dataset."""
    dataset_type: str
    """Name of the dataset type."""
    storage_class: str | None = None
    """In-memory type."""
    dimensions: tuple[str, ...] | None = None
    """Names of the dimensions, sorted."""


class TaskSnapshot(Record):
    """A task of a pipeline."""

    task_class: str = pydantic.Field(alias="class")
    """Full name of the class."""
    dimensions: tuple[str, ...] | None = None
    """Names of the dimensions of a quantum, sorted; resolved level only."""
    config: Mapping[str, Setting] = {}
    """Fields by dotted name.  An element of a registry or dictionary is named
    by its key, ``star_measurement.plugins.base_PsfFlux.badMaskPlanes``.
    """
    blocks: tuple[Block, ...] = ()
    """Statements that were not worked out; declared level only."""
    connections: Mapping[str, Connection] = {}
    """Connections by name; resolved level only."""
    declared_by: Origin | None = None
    """Where the label is declared last."""


class Subset(Record):
    """A labelled subset."""

    labels: tuple[str, ...]
    """Labels of its tasks, sorted."""
    declared_by: Origin | None = None
    """Where it is declared last."""


class Step(Record):
    """A subset that is a step of processing."""

    dimensions: tuple[str, ...]
    """What it is sharded by."""
    declared_by: Origin | None = None
    """Where it is declared."""


class Contract(Record):
    """A condition on the configurations of several tasks."""

    contract: str
    """Python expression, written in one way whatever its layout."""
    msg: str | None = None
    """What is said if it does not hold."""
    declared_by: Origin | None = None
    """Where it is declared."""


class Parameter(Record):
    """A value that configurations of several tasks share."""

    value: JsonValue
    """Encoded value."""
    set_by: Origin | None = None
    """Where it is set last."""


class Snapshot(Record):
    """What a pipeline is."""

    schema_version: Literal[1] = 1
    """Version of this layout."""
    level: Level
    """How far the pipeline was worked out."""
    reason: str = ""
    """Why it was not worked out further."""
    pipeline: str
    """Where the pipeline is, as it was named."""
    instrument: str | None = None
    """Full name of the instrument class."""
    instrument_by: Origin | None = None
    """Where the instrument is declared."""
    tasks: Mapping[str, TaskSnapshot]
    """Tasks by label."""
    subsets: Mapping[str, Subset] = {}
    """Subsets by name."""
    steps: Mapping[str, Step] = {}
    """Steps by name."""
    contracts: tuple[Contract, ...] = ()
    """Contracts, sorted."""
    parameters: Mapping[str, Parameter] = {}
    """Parameters by name."""
    sources: Mapping[str, str] = {}
    """SHA-256 of each file that the pipeline was read from."""
    packages: Mapping[str, str] = {}
    """Versions of the packages that made it or hold its tasks."""
    omits: tuple[str, ...] = ()
    """What was not recorded although it exists: ``origins``, ``targets``,
    ``contracts``, ``steps``, ``parameters``, ``instrument``.
    """
    declared: Snapshot | None = None
    """The declared level of a resolved pipeline."""
    read_from: str = pydantic.Field(default="", exclude=True)
    """The file of this snapshot, if it was read from one."""

    @property
    def title(self) -> str:
        """How reports name it: the pipeline, or the file of the snapshot
        (`str`).
        """
        return self.read_from or self.pipeline

    def at(self, level: Level) -> Snapshot | None:
        """Return this pipeline at a level.

        Parameters
        ----------
        level
            Level that is wanted.

        Returns
        -------
        snapshot
            Snapshot at that level, or `None` if it was not recorded.
        """
        return self if self.level is level else self.declared if level is Level.DECLARED else None

    def to_json(self) -> str:
        """Write it as JSON that is the same for the same pipeline.

        Returns
        -------
        text
            Sorted, one field a line, with an end of line.
        """
        content = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return _write_json({"schema_version": SCHEMA_VERSION, **content}, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str, *, name: str) -> Snapshot:
        """Read what `to_json` wrote.

        Parameters
        ----------
        text
            Content of the file.
        name
            Name of the file, for messages.

        Returns
        -------
        snapshot
            The snapshot.

        Raises
        ------
        DriftError
            If the text is not a snapshot of this version of the layout.
        """
        return cls.from_content(parse_json(text, name=name), name=name)

    @classmethod
    def from_content(cls, content: Mapping[str, Any], *, name: str) -> Snapshot:
        """Make one from parsed JSON.

        Parameters
        ----------
        content
            Parsed JSON.
        name
            Name of the file, for messages.

        Returns
        -------
        snapshot
            The snapshot.

        Raises
        ------
        DriftError
            If this is not a snapshot of this version of the layout.
        """
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            raise DriftError(
                f"{name}:1: this snapshot has schema_version {version!r}, this program reads "
                f"{SCHEMA_VERSION}; make it again with `rapid snapshot`."
            )
        try:
            return cls.model_validate(content)
        except pydantic.ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5]
            )
            raise DriftError(f"{name}:1: this is not a snapshot: {problems}") from error


def parse_json(text: str, *, name: str) -> Mapping[str, Any]:
    """Parse the JSON of a snapshot, or of facts.

    Parameters
    ----------
    text
        Content of the file.
    name
        Name of the file, for messages.

    Returns
    -------
    content
        The object.

    Raises
    ------
    DriftError
        If this is no JSON, or no object.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DriftError(f"{name}:{error.lineno}: this is not JSON: {error.msg}") from error
    if not isinstance(content, dict):
        raise DriftError(f"{name}:1: a snapshot is a JSON object, this is a {type(content).__name__}.")
    return content


def _write_json(value: JsonValue, *, indent: int) -> str:
    """Write JSON on one line where that is short, so that a change of a field
    is a change of a line.
    """
    line = json.dumps(value, sort_keys=True)
    if not isinstance(value, dict | list) or len(line) + indent <= _LINE_LENGTH:
        return line
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_write_json(value[key], indent=indent + 1)}" for key in sorted(value)]
    else:
        items = [_write_json(one, indent=indent + 1) for one in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return first + "\n" + ",\n".join(inner + item for item in items) + "\n" + " " * indent + last
