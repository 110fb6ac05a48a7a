# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Where things are in a YAML document."""

from __future__ import annotations

__all__ = ("find_duplicate_keys", "find_line")

from collections.abc import Iterator, Sequence

import yaml


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
