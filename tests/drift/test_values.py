# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Values: what is written in two ways, and what is not the same."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from drift_tasks import MeasureTask
from lsst.ra.pipe.drift._values import (
    decode_value,
    encode_value,
    format_value,
    same_class,
    same_value,
    work_out_edits,
)

NAN = float("nan")


def identify(value: Any) -> str:
    """Name a value in the same way in every process."""
    return format_value(encode_value(value))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NAN, NAN),
        ([1.0, NAN], [1, NAN]),
        (float("inf"), float("inf")),
        (1, 1.0),
        ({1, 2}, {1.0, 2.0}),
        ({"a", "b"}, ["b", "a"]),
        ({"a", "b"}, {"b", "a"}),
        ((1, 2), [1, 2]),
        ({"a": {"x", "y"}}, {"a": {"y", "x"}}),
        ({"key": NAN}, {"key": NAN}),
        (None, None),
    ],
    ids=identify,
)
def test_same_values(one: Any, other: Any) -> None:
    """NaN is NaN, numbers are numbers, and a set has no order."""
    assert same_value(encode_value(one), encode_value(other))
    assert same_value(encode_value(other), encode_value(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 1),
        (False, 0.0),
        (True, "True"),
        (1, "1"),
        (None, False),
        (None, NAN),
        (NAN, float("inf")),
        (float("inf"), float("-inf")),
        ([1, 2], [2, 1]),
        ([1, 2], [1, 2, 2]),
        ({"a"}, {"a", "b"}),
        ({1}, {True}),
        ({"a"}, "a"),
        ({"a": 1}, {"a": 1, "b": None}),
        ([], {}),
        ("", None),
        (5, 5.0000001),
    ],
    ids=identify,
)
def test_other_values(one: Any, other: Any) -> None:
    """A boolean is no number, a list has an order, and nothing is not a number."""
    assert not same_value(encode_value(one), encode_value(other))
    assert not same_value(encode_value(other), encode_value(one))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("lsst.ip.isr.IsrTaskLSST", "lsst.ip.isr.isrTaskLSST.IsrTaskLSST", True),
        ("lsst.ip.isr.IsrTaskLSST", "lsst.ip.isr.IsrTaskLSST", True),
        ("lsst.ip.isr.IsrTask", "lsst.ip.isr.IsrTaskLSST", False),
        ("lsst.ip.isr.IsrTask", "lsst.ip.isrStatistics.IsrTask", False),
        ("lsst.pipe.tasks.one.Task", "lsst.pipe.tasks.two.Task", False),
        ("lsst.ip.isr.IsrTask", "IsrTask", False),
    ],
)
def test_class_named_by_package_or_module(one: str, other: str, same: bool) -> None:
    """A class has as many names as packages that pass it on."""
    assert same_class(one, other) is same
    assert same_class(other, one) is same
    assert same_value({"$class": one}, {"$class": other}) is same
    assert same_value({"$set": [{"$class": one}]}, {"$set": [{"$class": other}]}) is same


@pytest.mark.parametrize(
    "value",
    [1, 2.5, "text", None, True, [1, [2, "x"]], {"a": {"b": [1.5]}}, {"x", "y"}, float("inf")],
    ids=identify,
)
def test_value_survives_json(value: Any) -> None:
    """What is encoded is JSON, and can be decoded."""
    encoded = json.loads(json.dumps(encode_value(value), allow_nan=False))
    assert decode_value(encoded) == value


def test_values_that_json_lacks() -> None:
    """A class is its name, and what is unknown is what it says of itself."""
    assert encode_value(MeasureTask) == {"$class": "drift_tasks.MeasureTask"}
    assert decode_value(encode_value(MeasureTask)) == "drift_tasks.MeasureTask"
    day = datetime.date(2026, 11, 22)
    assert encode_value(day) == {"$repr": repr(day)}
    assert encode_value({3, 1, 2}) == {"$set": [1, 2, 3]}
    assert str(decode_value(encode_value(NAN))) == "nan"


@pytest.mark.parametrize(
    ("value", "field", "result"),
    [
        ({"$base": ["a"], "$edits": [["append", ["b"]], ["extend", ["c"]]]}, "masks", ["a", "b", "c"]),
        ({"$base": ["a", "b"], "$edits": [["remove", ["a"]]]}, "masks", ["b"]),
        ({"$base": ["a"], "$edits": [["add", ["b"]]]}, "x.names", {"$set": ["a", "b"]}),
        ({"$base": {"$set": ["a", "b"]}, "$edits": [["remove", ["b"]]]}, "x.names", {"$set": ["a"]}),
        (["b", "a"], "x.names", {"$set": ["b", "a"]}),
        (["b", "a"], "names", ["b", "a"]),
        ({"$edits": [["add", ["b"]]]}, "x.names", {"$edits": [["add", ["b"]]]}),
        (5, "x.names", 5),
    ],
)
def test_edits_of_a_known_value_are_worked_out(value: Any, field: str, result: Any) -> None:
    """What was there and what was done to it make a value."""
    assert work_out_edits(value, field) == result


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"$absent": True}, "(not there)"),
        ({"$float": "nan"}, "nan"),
        ({"$set": ["a", 1]}, "{'a', 1}"),
        ({"a": [None, True]}, "{a: [None, True]}"),
        ({"$base": ["a"], "$edits": [["add", ["b"]]]}, "['a'] with add 'b'"),
    ],
)
def test_values_are_written_for_a_reader(value: Any, text: str) -> None:
    """As Python has them."""
    assert format_value(value) == text
