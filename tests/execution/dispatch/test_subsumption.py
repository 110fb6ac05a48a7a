# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import fnmatch
import itertools
import re
from typing import Any

import pytest
from dispatch_rules import make_facts
from hypothesis import given, settings
from hypothesis import strategies as st
from lsst.ra.pipe.execution.dispatch import DispatchError, DispatchTable, Rule
from lsst.ra.pipe.execution.dispatch._patterns import pattern_covers

WORDS = ["".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)]
"""All short texts of two letters."""


@pytest.mark.parametrize(
    ("general", "special", "covers"),
    [
        ("*", "x", True),
        ("*", "[ab]*", True),
        ("a*", "ab*", True),
        ("ab*", "a*", False),
        ("a?", "a*", False),
        ("*?", "?*", True),
        ("*a*b*", "*ab*", True),
        ("*ab*", "*a*b*", False),
        ("a*", "a[bc]", False),  # true, but not decided
        ("a[bc]", "ab", True),
        ("", "*", False),
        ("*", "", True),
    ],
)
def test_pattern_covers(general: str, special: str, covers: bool) -> None:
    """Known pairs of glob patterns."""
    assert pattern_covers(general, special) is covers


@given(st.text("ab*?", max_size=5), st.text("ab*?", max_size=5))
@settings(max_examples=500)
def test_pattern_covers_agrees_with_fnmatch(general: str, special: str) -> None:
    """It is exact: a letter that neither pattern names counts, too."""
    texts = [*WORDS, *(word.replace("b", "x") for word in WORDS)]
    counterexamples = [
        text
        for text in texts
        if fnmatch.fnmatchcase(text, special) and not fnmatch.fnmatchcase(text, general)
    ]
    if pattern_covers(general, special):
        assert counterexamples == []
    elif len(general) <= 3 and len(special) <= 3:
        assert counterexamples


def names_of_hiding(*rules: dict[str, Any]) -> str:
    """Return what is said of the last rule; nothing if it can be reached."""
    try:
        DispatchTable([Rule(name=f"r{n}", ignore=True, **rule) for n, rule in enumerate(rules)])
    except DispatchError as err:
        match = re.search(
            r"rule 'r(\d+)' is never reached: all that it matches goes to (.*) before", str(err)
        )
        assert match is not None
        assert int(match[1]) == len(rules) - 1
        return match[2]
    return ""


@pytest.mark.parametrize(
    "rules",
    [
        ({}, {"observation_type": "bias"}),
        ({"observation_type": "b*"}, {"observation_type": "bias"}),
        ({"observation_type": ["a", "b"]}, {"observation_type": ["b", "a"], "instrument": "LATISS"}),
        ({"detectors": "0..10"}, {"detectors": "3..5"}),
        ({"region": {"ra": 1, "dec": 1, "radius": 2}}, {"region": [[0, 0], [1, 0], [1, 1], [0, 1]]}),
        ({"region": {"ra": 1, "dec": 1, "radius": 2}}, {"region": {"ra": 1, "dec": 1, "radius": 2}}),
    ],
)
def test_unreachable_rule_is_refused(rules: tuple[dict[str, Any], ...]) -> None:
    """The rule before it that takes everything is named."""
    assert names_of_hiding(*rules) == "'r0'"


@pytest.mark.parametrize(
    "rules",
    [
        ({"observation_type": "bias"}, {"observation_type": "dark"}, {"observation_type": ["dark", "bias"]}),
        ({"detectors": "0..3"}, {"detectors": "4..8"}, {"detectors": "2..6"}),
        (
            {"instrument": "a", "detectors": "0..3"},
            {"detectors": 4},
            {"instrument": "a", "detectors": "2..4"},
        ),
    ],
)
def test_rule_hidden_by_two_together_is_refused(rules: tuple[dict[str, Any], ...]) -> None:
    """Neither takes everything alone; both are named."""
    assert names_of_hiding(*rules) == "'r0', 'r1'"


@pytest.mark.parametrize(
    "rules",
    [
        ({"observation_type": "bias"}, {}),
        ({"observation_type": "*"}, {}),  # an exposure may have no type
        ({"detectors": "0..204"}, {}),
        ({"region": {"ra": 0, "dec": 0, "radius": 180}}, {}),  # or no pointing
        ({"observation_type": "bias", "instrument": "LATISS"}, {"observation_type": "bias"}),
        ({"region": {"ra": 1, "dec": 1, "radius": 2}}, {"region": {"ra": 2, "dec": 1, "radius": 2}}),
    ],
)
def test_reachable_rule_is_accepted(rules: tuple[dict[str, Any], ...]) -> None:
    """Something is left for the later rule."""
    assert names_of_hiding(*rules) == ""


VALUES: dict[str, list[str | None]] = {
    "instrument": ["LSSTCam", "LATISS"],
    "observation_type": ["bias", "dark", None],
    "science_program": ["BLOCK-1", "BLOCK-12", "SITCOM", None],
}
DETECTORS = (0, 1, 2)
POINTINGS: list[tuple[float | None, float | None]] = [(0.0, 0.0), (1.0, 0.0), (0.0, 3.0), (None, None)]
CONDITIONS = {
    "instrument": st.sampled_from(["LSSTCam", "L*", ["LSSTCam", "LATISS"]]),
    "observation_type": st.sampled_from(["bias", "*", "?a*", ["bias", "dark"], "b*"]),
    "science_program": st.sampled_from(["BLOCK-*", "BLOCK-1", "BLOCK-1?", "*", ["SIT*", "BLOCK-?"]]),
    "detectors": st.sets(st.sampled_from(DETECTORS), min_size=1).map(sorted),
    "region": st.sampled_from(
        [
            {"ra": 0.0, "dec": 0.0, "radius": 0.5},
            {"ra": 0.5, "dec": 0.0, "radius": 1.0},
            {"ra": 0.0, "dec": 0.0, "radius": 5.0},
            [[-1.0, -1.0], [2.0, -1.0], [2.0, 1.0], [-1.0, 1.0]],
        ]
    ),
}


@given(st.lists(st.fixed_dictionaries({}, optional=CONDITIONS), min_size=2, max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_false_alarms(conditions: list[dict[str, Any]]) -> None:
    """A rule that is said to be unreachable is never the first to match."""
    rules = [Rule(name=f"r{n}", ignore=True, **one) for n, one in enumerate(conditions)]
    chosen = set()
    for strings, (ra, dec), detector in itertools.product(
        itertools.product(*VALUES.values()), POINTINGS, DETECTORS
    ):
        facts = make_facts(**dict(zip(VALUES, strings, strict=True)), ra=ra, dec=dec)
        first = next((rule.name for rule in rules if rule.matches(facts, detector)), None)
        chosen.add(first)
    try:
        DispatchTable(rules)
    except DispatchError as err:
        refused = {problem.message.split("'")[1] for problem in err.problems}
        assert not refused & chosen
