# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Where things are in a YAML document, and what is wrong with them."""

from __future__ import annotations

__all__ = ("FileProblem", "FileProblemsError", "find_duplicate_keys", "find_line", "parse_document")

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml


@dataclasses.dataclass(frozen=True, order=True)
class FileProblem:
    """One thing that is wrong with a file."""

    line: int
    """Line of the file, from 1; 0 if it is about no line."""

    message: str
    """What is wrong, what was expected, and what came."""


class FileProblemsError(ValueError):
    """A file is wrong.

    Parameters
    ----------
    origin
        The file.
    problems
        All that is wrong with it.
    """

    def __init__(self, origin: str, problems: Iterable[FileProblem]) -> None:
        self.origin = origin
        self.problems = tuple(sorted(set(problems)))
        super().__init__(origin, self.problems)

    def __str__(self) -> str:
        return "\n".join(
            f"{self.origin}:{f'{problem.line}:' if problem.line else ''} {problem.message}"
            for problem in self.problems
        )


def parse_document(
    origin: str, text: str, *, error: type[FileProblemsError]
) -> tuple[yaml.Node | None, Any, list[FileProblem]]:
    """Read a YAML document with its nodes.

    Parameters
    ----------
    origin
        The file that it is from.
    text
        The document.
    error
        Class of the error that is raised.

    Returns
    -------
    root
        Node of the document; `None` if it is empty.
    data
        What it says; `None` if it is empty.
    problems
        Keys that occur twice.

    Raises
    ------
    FileProblemsError
        Raised, of the class ``error``, if it is no YAML.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        # Before the construction, which merges the keys of "<<".
        problems = [
            FileProblem(line, f"the key {key!r} occurs twice") for key, line, _ in find_duplicate_keys(root)
        ]
        return root, None if root is None else loader.construct_document(root), problems
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        line = 1 if mark is None else mark.line + 1
        raise error(origin, [FileProblem(line, f"no YAML: {err.problem}")]) from err
    except yaml.YAMLError as err:
        raise error(origin, [FileProblem(1, f"no YAML: {err}")]) from err
    finally:
        loader.dispose()


def find_line(root: yaml.Node | None, path: Sequence[str | int]) -> int:
    """Find the line of a part of a document.

    Parameters
    ----------
    root
        Node of the document; `None` if it is empty.
    path
        Keys and indices that lead to the part.

    Returns
    -------
    line
        Line, from one, of the part or of the nearest part that holds it.
    """
    node = root
    line = 1 if node is None else node.start_mark.line + 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            # Of keys that occur twice the last one counts.
            for key, value in reversed(node.value):
                if key.value == step:
                    node, line = value, key.start_mark.line + 1
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def find_duplicate_keys(root: yaml.Node | None) -> Iterator[tuple[str, int, int]]:
    """Find keys that occur twice, of which YAML takes the last.

    Parameters
    ----------
    root
        Node of the document, before keys of ``<<`` are merged; `None` if it is
        empty.

    Yields
    ------
    key, line, first_line
        The key, and the lines, from one, of this and of the first occurrence.
    """
    pending = [] if root is None else [root]
    visited: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                pending.append(value)
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode):
                    if key.value in lines:
                        yield key.value, line, lines[key.value]
                    lines.setdefault(key.value, line)
