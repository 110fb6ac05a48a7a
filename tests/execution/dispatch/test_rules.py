# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib
import pickle
from typing import Any

import pytest
from dispatch_rules import load_rules, make_facts
from lsst.ra.pipe.execution.dispatch import DispatchError, DispatchTable, Rule, import_function


@pytest.mark.parametrize(
    ("conditions", "changes", "matches"),
    [
        ({}, {}, True),
        ({"instrument": "LSSTCam"}, {}, True),
        ({"instrument": "LSST*"}, {}, True),
        ({"instrument": ["LATISS", "LSSTComCam"]}, {}, False),
        ({"observation_type": ["bias", "science"]}, {}, True),
        ({"observation_type": "Science"}, {}, False),
        ({"observation_reason": "field_survey*"}, {}, True),
        ({"observation_reason": "*"}, {"observation_reason": None}, False),
        ({"science_program": "BLOCK-[0-9]*"}, {"science_program": "BLOCK-T1"}, False),
        ({"physical_filter": "?_57"}, {}, True),
        ({"physical_filter": "r_57", "observation_type": "bias"}, {}, False),
        ({"detectors": "90..98,100"}, {}, True),
        ({"detectors": [1, "2..4"]}, {}, False),
        ({"region": {"ra": 151.0, "dec": 2.0, "radius": 1.1}}, {}, True),
        ({"region": {"ra": 151.0, "dec": 2.0, "radius": 0.9}}, {}, False),
        ({"region": {"ra": 0.5, "dec": 2.0, "radius": 1.0}}, {"ra": 359.8}, True),
        ({"region": [[149, 1], [151, 1], [151, 3], [149, 3]]}, {}, True),
        ({"region": [[149, 1], [151, 1], [151, 3], [149, 3]]}, {"dec": 3.2}, False),
        ({"region": {"ra": 0.0, "dec": 0.0, "radius": 180.0}}, {"ra": None, "dec": None}, False),
    ],
)
def test_conditions(conditions: dict[str, Any], changes: dict[str, Any], matches: bool) -> None:
    """All conditions must be met; of a list, one; no value meets none."""
    rule = Rule(name="one", ignore=True, **conditions)
    assert rule.matches(make_facts(**changes), 94) is matches


def test_first_match_wins(tmp_path: pathlib.Path) -> None:
    """Also a rule that ignores is chosen; without a match there is none."""
    table = load_rules(
        tmp_path,
        """
        rules:
          - {name: guiders, detectors: "189,190", ignore: true}
          - {name: sky, observation_type: science, pipeline: x.yaml}
          - {name: rest, observation_type: "*", function: "os.path:basename"}
        """,
    )
    chosen = [table.select(make_facts(), detector) for detector in (189, 94)]
    assert [rule and rule.name for rule in chosen] == ["guiders", "sky"]
    bias = table.select(make_facts(observation_type="bias"), 94)
    assert bias is not None
    assert bias.name == "rest"
    assert table.select(make_facts(observation_type=None), 94) is None
    assert table.pipelines() == ("x.yaml",)


def test_instrument_of_the_file_is_that_of_its_rules(tmp_path: pathlib.Path) -> None:
    """A rule's own instrument counts more."""
    table = load_rules(
        tmp_path,
        """
        instrument: LATISS
        rules:
          - {name: a, ignore: true}
          - {name: b, instrument: LSSTCam, ignore: true}
        """,
    )
    assert [rule.instrument for rule in table.rules] == [("LATISS",), ("LSSTCam",)]


def test_rule_by_name(tmp_path: pathlib.Path) -> None:
    """An unknown name is an error that lists those that exist."""
    table = load_rules(tmp_path, "rules: [{name: a, detectors: 1, ignore: true}, {name: b, ignore: true}]")
    assert table.rule("b") is table.rules[1]
    with pytest.raises(KeyError, match="no rule 'c'; its rules are a, b"):
        table.rule("c")


def test_table_can_be_pickled(tmp_path: pathlib.Path) -> None:
    """Worker processes get the same rules."""
    table = load_rules(tmp_path, "rules: [{name: a, detectors: '1..3', ignore: true}]")
    assert pickle.loads(pickle.dumps(table)).rules == table.rules


def test_defaults() -> None:
    """What a rule does not say."""
    rule = Rule(name="one", pipeline="x.yaml")
    assert (rule.order, rule.time_limit, rule.attempts) == ("fifo", 120.0, 3)
    assert (rule.gather_deadline, rule.raw_wait, rule.expected_detectors) == (60.0, 60.0, "science")
    assert rule.persist == rule.publish == ()


def test_names_are_unique_without_a_file_too() -> None:
    """Rules that are made in Python are held to the same."""
    rule = Rule(name="one", observation_type=("bias",), ignore=True)
    other = Rule(name="one", observation_type=("dark",), ignore=True)
    with pytest.raises(DispatchError, match="'one' is that of an earlier rule"):
        DispatchTable([rule, other])


def test_import_function() -> None:
    """A function is imported; what cannot be called is refused."""
    assert import_function("os.path:basename")("/a/b") == "b"
    with pytest.raises(TypeError, match="os:sep is a str"):
        import_function("os:sep")
