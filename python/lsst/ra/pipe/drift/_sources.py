# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pipelines read with the file and line of everything that they declare."""

from __future__ import annotations

__all__ = ("PipelineSource", "Traced", "TracedStr", "forget_traces", "name_file", "read_pipeline")

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Self

import yaml

from lsst.pipe.base.pipelineIR import PipelineIR, PipelineYamlLoader
from lsst.resources import ResourcePath

from ._errors import DriftError
from ._snapshot import Origin, OriginKind

_UNSET_VARIABLE = re.compile(r"^\$\{?(\w+)\}?")

_RESOURCE = re.compile(r"^resource://lsst\.([\w.]+)/resources/(.*)")
"""A file that a Python package of a product brings along."""

_BRACES = re.compile(r"^\$\{(\w+)\}")

_PARTS_OF_PRODUCT = ("config", "pipelines", "python", "ups")
"""Directories of which a product has one at least."""

_PRODUCT = re.compile(r"^eups://([\w-]+)/(.*)")
"""A file of a product, as lsst.resources writes what begins with a variable."""


class TracedStr(str):
    """A string of a pipeline file that knows where it is.

    Parameters
    ----------
    text
        The string.
    origin
        Where it is; of a block scalar, where its first line is.
    """

    origin: Origin

    def __new__(cls, text: str, origin: Origin) -> Self:
        """Make the string."""
        self = super().__new__(cls, text)
        self.origin = origin
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: it does not change."""
        return self


@dataclasses.dataclass(frozen=True, eq=False)
class Traced:
    """A value of a pipeline file that knows where it is.

    Two of them are never equal, so that settings of two files stay apart when
    pipelines are merged, also if they are the same.
    """

    value: Any
    """The value."""
    origin: Origin
    """Where it is."""


def forget_traces(value: Any) -> Any:
    """Return a value without where it is, as YAML and pipe_base want it.

    Parameters
    ----------
    value
        Value of a pipeline file.

    Returns
    -------
    plain
        The same value, of plain strings, lists and dictionaries.
    """
    match value:
        case str():
            return str(value)
        case list():
            return [forget_traces(one) for one in value]
        case dict():
            return {forget_traces(key): forget_traces(one) for key, one in value.items()}
        case Traced():
            return forget_traces(value.value)
        case _:
            return value


@dataclasses.dataclass(frozen=True)
class PipelineSource:
    """A pipeline, merged from its files."""

    name: str
    """The pipeline, as its root file is named in messages and snapshots."""
    ir: PipelineIR
    """What pipe_base made of the files.  Strings are `TracedStr`, and values of
    fields and parameters are `Traced`.
    """
    digests: dict[str, str]
    """SHA-256 of each file, by name; files that are read later are added."""

    def read_file(self, location: str, *, at: Origin) -> str:
        """Read an override file.

        Parameters
        ----------
        location
            Location, which may begin with an environment variable.
        at
            What names it.

        Returns
        -------
        text
            Content of the file.

        Raises
        ------
        DriftError
            If it cannot be read.
        """
        text = _read(location, f"{at}: the override file {location}")
        self.digests[name_file(location)] = _digest(text)
        return text


def read_pipeline(uri: str) -> PipelineSource:
    """Read a pipeline with all that it imports.

    Parameters
    ----------
    uri
        Location of the pipeline; it may begin with an environment variable,
        and end with ``#`` and the labels of tasks or subsets, with commas.

    Returns
    -------
    source
        The pipeline.

    Raises
    ------
    DriftError
        If a file is missing, is no YAML or no pipeline, or imports itself; the
        message names the file and the line.
    """
    location, _, labels = uri.partition("#")
    reader = _Reader()
    with _pipe_base_reads_through(reader):
        ir = PipelineIR.from_uri(location)
    if labels:
        try:
            ir = ir.subset_from_labels({label for label in labels.split(",") if label})
        except ValueError as error:
            raise DriftError(f"{name_file(location)}:1: {error}") from error
    name = name_file(location) + (f"#{labels}" if labels else "")
    return PipelineSource(name=name, ir=ir, digests=reader.digests)


_LOCK = threading.Lock()


@contextlib.contextmanager
def _pipe_base_reads_through(reader: _Reader) -> Iterator[None]:
    """Have pipe_base read its files with ours while the block lasts.

    Only pipe_base itself knows how imports are selected, renamed and merged,
    and that may change between releases; but its reader forgets the lines.
    """
    original = PipelineIR.__dict__["from_uri"]
    with _LOCK:
        PipelineIR.from_uri = classmethod(lambda _, uri: reader.read(uri))  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            PipelineIR.from_uri = original  # type: ignore[method-assign]


@dataclasses.dataclass
class _OpenFile:
    """A pipeline file whose imports are being read."""

    name: str
    key: str
    imports: dict[str, TracedStr]


class _Reader:
    """Reads pipeline files, and remembers which."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self._open: list[_OpenFile] = []

    def read(self, uri: Any) -> PipelineIR:
        """Read a pipeline file and, by pipe_base, its imports."""
        location = str(uri)
        what = location
        if self._open:
            location = self._open[-1].imports.get(location, location)
            what = f"{location.origin}: import of {location}" if isinstance(location, TracedStr) else location
        name = name_file(location)
        key = os.path.realpath(os.path.expandvars(location))
        if any(file.key == key for file in self._open):
            chain = " -> ".join([*(file.name for file in self._open), name])
            raise DriftError(f"{what}: the pipelines import each other: {chain}")
        text = _read(location, what)
        self.digests[name] = _digest(text)
        content = _load_yaml(text, name)
        self._open.append(_OpenFile(name, key, dict(_import_locations(content))))
        try:
            return PipelineIR(_trace_settings(content))
        except DriftError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            line = _find_line(text, str(error))
            raise DriftError(f"{name}:{line}: this is no pipeline: {error}") from error
        finally:
            self._open.pop()


def name_file(location: str) -> str:
    """Return the name of a file that does not depend on the machine.

    Parameters
    ----------
    location
        Path or URI.

    Returns
    -------
    name
        The location, beginning with the environment variable of the product
        that holds it, ``$AP_PIPE_DIR/...``, if there is one.
    """
    if package := _RESOURCE.match(location):
        return f"${package[1].replace('.', '_').upper()}_DIR/{package[2]}"
    if product := _PRODUCT.match(location):
        return f"${product[1].upper()}_DIR/{product[2]}"
    if location.startswith("$") or "://" in location:
        return _BRACES.sub(r"$\1", location)
    path = os.path.abspath(location)
    homes = {name: home for name, home in _find_products() if path.startswith(home + os.sep)}
    if not homes:
        return path.removeprefix(os.getcwd() + os.sep)
    best = min(homes, key=lambda name: (-len(homes[name]), name))
    return f"${best}{path[len(homes[best]) :]}"


def _find_products() -> Iterator[tuple[str, str]]:
    """Yield the variables that name products, with their directories."""
    for name, value in os.environ.items():
        home = os.path.abspath(value)
        parts = (os.path.join(home, part) for part in _PARTS_OF_PRODUCT)
        if name.endswith("_DIR") and os.path.isabs(value) and any(map(os.path.isdir, parts)):
            yield name, home


def _read(location: str, what: str) -> str:
    """Read a file; the words for it are for the message."""
    expanded = os.path.expandvars(location)
    try:
        return ResourcePath(expanded).read().decode()
    except (OSError, ValueError, NotImplementedError) as error:
        unset = _UNSET_VARIABLE.match(expanded)
        if unset:
            problem = f"the environment variable {unset[1]} is not set, and no such package is installed"
        elif pathlib.Path(expanded).is_dir():
            problem = "that is a directory"
        else:
            problem = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise DriftError(f"{what}: cannot be read: {problem}.") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _TracingLoader(PipelineYamlLoader):
    """pipe_base's loader, with strings that know where they are."""

    file = ""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Make a mapping; a key that comes twice is an error with its line."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is not a name", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} comes twice", key.start_mark
                )
            seen.add(key.value)
        try:
            return super().construct_mapping(node, deep)
        except KeyError as error:
            problem = f"pipe_base takes no key twice, also from a merge: {error}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def construct_traced(self, node: yaml.ScalarNode) -> TracedStr:
        """Make a string."""
        first = node.start_mark.line + (2 if node.style in ("|", ">") else 1)
        return TracedStr(
            self.construct_scalar(node), Origin(kind=OriginKind.PIPELINE, file=self.file, line=first)
        )


_TracingLoader.add_constructor("tag:yaml.org,2002:str", _TracingLoader.construct_traced)


def _load_yaml(text: str, name: str) -> dict[str, Any]:
    """Parse a pipeline file."""
    loader = _TracingLoader(text)
    loader.file = name
    try:
        content = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DriftError(f"{name}:{line}: this is no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise DriftError(f"{name}:1: this is no YAML: {error}") from error
    finally:
        loader.dispose()
    if not isinstance(content, dict):
        raise DriftError(f"{name}:1: a pipeline is a mapping, this is {type(content).__name__}.")
    return content


def _import_locations(content: Mapping[str, Any]) -> Iterator[tuple[str, TracedStr]]:
    """Yield the locations of a file's imports, as pipe_base asks for them and
    as they are written.
    """
    imports = content.get("imports") or []
    for one in imports if isinstance(imports, list) else [imports]:
        location = one.get("location") if isinstance(one, Mapping) else one
        if isinstance(location, TracedStr):
            yield os.path.expandvars(location), location


def _trace_settings(content: dict[str, Any]) -> dict[str, Any]:
    """Have the values of fields and parameters know where they are."""
    if isinstance(parameters := content.get("parameters"), dict):
        content["parameters"] = {key: Traced(value, _origin_of(key)) for key, value in parameters.items()}
    tasks = content.get("tasks")
    for definition in tasks.values() if isinstance(tasks, dict) else ():
        if isinstance(definition, dict) and definition.get("config") is not None:
            config = definition["config"]
            definition["config"] = [
                _trace_config(one) for one in (config if isinstance(config, list) else [config])
            ]
    return content


def _origin_of(key: Hashable) -> Origin:
    return key.origin if isinstance(key, TracedStr) else Origin(kind=OriginKind.PIPELINE)


def _trace_config(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    return {
        key: value if key in ("file", "python", "dataId") else Traced(value, _origin_of(key))
        for key, value in config.items()
    }


def _find_line(text: str, message: str) -> int:
    """Find the line that an error of pipe_base, which names none, is about:
    the first that has one of the words it quotes.
    """
    quoted: Sequence[str] = re.findall(r"'([^']+)'", message) or re.findall(r"[\w.$/]+", message)[:1]
    for number, line in enumerate(text.splitlines(), 1):
        if any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line) for word in quoted):
            return number
    return 1
