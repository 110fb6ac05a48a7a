# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Exported configurations that are none."""

from __future__ import annotations

from typing import Any

import pytest
from lsst.ra.pipe.drift._fields import flatten_facts


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"names": "{1", "values": {}}, "some.names"),
        ({"names": "'abc'", "values": {}}, "some.names"),
        ({"names": 5, "values": {}}, "some.names"),
        ({"names": [1], "values": {}}, "some.names"),
        ({"names": "-" * 100_000 + "1", "values": {}}, "some.names"),
        ({"name": 5, "values": {}}, "some.name"),
        ({"name": "a", "values": "b"}, "some.values"),
    ],
)
def test_selection_that_is_none_is_an_error(config: dict[str, Any], field: str) -> None:
    """The field is named."""
    with pytest.raises(ValueError, match=rf"^{field}: expected "):
        flatten_facts({"some": config})


@pytest.mark.parametrize("names", ["{'a', 'b'}", "['b', 'a']", ["a", "b"]])
def test_selections_are_sets(names: Any) -> None:
    """As Python prints them, or as JSON has lists."""
    found = flatten_facts({"some": {"names": names, "values": {"a": {"x": 1}}}})
    assert found == {"some.names": {"$set": ["a", "b"]}, "some.a.x": 1}


def test_nothing_selected() -> None:
    """Nothing is an empty selection."""
    assert flatten_facts({"some": {"names": None, "values": {}}}) == {"some.names": {"$set": []}}
