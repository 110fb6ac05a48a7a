# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What reading override code tells of it."""

from __future__ import annotations

from typing import Any

import pytest
from lsst.ra.pipe.drift._errors import DriftError
from lsst.ra.pipe.drift._statements import Assignment, Edit, Include, Other, parse_path, read_statements


def read(code: str) -> Any:
    """Read one statement, in few words."""
    (statement,) = read_statements(code, name="some.py")
    match statement:
        case Assignment(field=field, value=value):
            return (field.dotted, value)
        case Edit(field=field, verb=verb, values=values):
            return (field.dotted, verb, list(values))
        case Include(location=location):
            return location
        case Other(code=text):
            return {"other": text}


@pytest.mark.parametrize(
    ("code", "result"),
    [
        # Assignments.
        ("config.a=1", ("a", 1)),
        ("config.a  =  1", ("a", 1)),
        ("config.a.b.c = 'x'", ("a.b.c", "x")),
        ("config.a['k'].c = -1.5", ("a.k.c", -1.5)),
        ("config.a[3] = True", ("a.3", True)),
        ("config.a = None", ("a", None)),
        ("config.a = [1,\n  2]", ("a", [1, 2])),
        ("config.a = (1, 2)", ("a", [1, 2])),
        ("config.a = {'k': None}", ("a", {"k": None})),
        ("config.a = {'y', 'x'}", ("a", {"$set": ["x", "y"]})),
        ("config.a = float('nan')", ("a", {"$float": "nan"})),
        ("config.a = float('no number')", ("a", {"$expression": "float('no number')"})),
        ("config.a = -float('inf')", ("a", {"$float": "-inf"})),
        ("config.a = np.nan", ("a", {"$float": "nan"})),
        ("config.a = 60*60", ("a", {"$expression": "60 * 60"})),
        ("config.a = [x]", ("a", {"$expression": "[x]"})),
        ("config.a.retarget(Some)", ("a.target", {"$expression": "Some"})),
        # Edits.
        ("config.p.names |= {'y', 'x'}", ("p.names", "add", ["x", "y"])),
        ("config.p.names |= ['x', 'x']", ("p.names", "add", ["x"])),
        ("config.p.names.add('x')", ("p.names", "add", ["x"])),
        ("config.p.names.update(['y', 'x'])", ("p.names", "add", ["x", "y"])),
        ("config.p.names -= {'y', 'x'}", ("p.names", "remove", ["x", "y"])),
        ("config.p.names.discard('x')", ("p.names", "remove", ["x"])),
        ("config.m.append('x')", ("m", "append", ["x"])),
        ("config.m += ['y', 'x']", ("m", "extend", ["y", "x"])),
        ("config.m.extend(('y', 'x'))", ("m", "extend", ["y", "x"])),
        # Other files.
        ("config.load('$A_DIR/b.py')", "$A_DIR/b.py"),
        ("config.load(os.path.join(os.path.dirname(__file__), 'sub', 'b.py'))", "./sub/b.py"),
        # Whatever else.
        ("config.load(find('b.py'))", {"other": "config.load(find('b.py'))"}),
        ("config.a, config.b = 1, 2", {"other": "config.a, config.b = (1, 2)"}),
        ("config.a = config.b = 1", {"other": "config.a = config.b = 1"}),
        ("config.a *= 2", {"other": "config.a *= 2"}),
        ("config.c.update({'k': 1})", {"other": "config.c.update({'k': 1})"}),
        ("config.c |= {'k': 1}", {"other": "config.c |= {'k': 1}"}),
        ("config.p.names |= other", {"other": "config.p.names |= other"}),
        ("config[key].a = 1", {"other": "config[key].a = 1"}),
        ("configure(config)", {"other": "configure(config)"}),
        ("del config.c['k']", {"other": "del config.c['k']"}),
        ("for x in (1, 2): config.a.add(x)", {"other": "for x in (1, 2):\n    config.a.add(x)"}),
        ("from a import *", {"other": "from a import *"}),
        ("config.d.append({'k': 1})", {"other": "config.d.append({'k': 1})"}),
        ("config.d.append([1])", ("d", "append", [[1]])),
        ("config.d.add([1])", ("d", "add", [[1]])),
    ],
)
def test_statement(code: str, result: Any) -> None:
    """What is plain is said, and what is not is kept as it is."""
    assert read(code) == result


def test_lines_are_those_of_the_file() -> None:
    """Comments, empty lines and documentation are no statements, but count."""
    code = '"""About."""\n# A comment.\nconfig.a = 1\n\nconfig.b = [\n    1,\n]\nconfig.c = 2'
    assert [one.line for one in read_statements(code, name="some.py", first_line=11)] == [13, 15, 18]


def test_no_python() -> None:
    """The message names file and line."""
    with pytest.raises(DriftError, match=r"^some\.py:12: this is not Python"):
        list(read_statements("config.a = 1\nconfig.b = = 2", name="some.py", first_line=11))


@pytest.mark.parametrize(
    ("text", "dotted"),
    [
        ("a.b", "a.b"),
        ('starSelector["objectSize"].widthMax', "starSelector.objectSize.widthMax"),
        ("no name", "no name"),
        ("1.5", "1.5"),
    ],
)
def test_path_in_a_pipeline_file(text: str, dotted: str) -> None:
    """Brackets name an element as dots do."""
    assert parse_path(text).dotted == dotted
