# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A policy says which differences are meant; the rest is drift."""

from __future__ import annotations

import datetime
import math
import os
import pathlib
import re
import textwrap
from typing import Any

import pytest
from lsst.ra.pipe.drift import Comparison, Difference, DifferenceKind, DriftError, Level, Side, encode_value
from lsst.ra.pipe.drift._policy import FaultKind, Policy, Verdict, judge, load_policy

TODAY = datetime.date(2026, 11, 22)

BRIGHTER_FATTER = """
- task: isr
  field: doBrighterFatter
  category: latency
  reason: It takes longer than the rest of ISR.
"""


@pytest.fixture(autouse=True)
def _paths_without_variables(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no variable of this machine shorten the names of the tests' files."""
    for name, value in os.environ.items():
        if name.endswith("_DIR") and tmp_path.is_relative_to(value or "/none"):
            monkeypatch.delenv(name)


def difference(
    kind: str, name: str, reference: Any = True, candidate: Any = False, *, task: str = "isr"
) -> Difference:
    """Make a difference of plain values."""
    sides = (Side(value=encode_value(value)) for value in (reference, candidate))
    return Difference(
        kind=DifferenceKind(kind), task=task, name=name, reference=next(sides), candidate=next(sides)
    )


def compare(
    *differences: Difference, level: Level = Level.RESOLVED, omits: tuple[str, ...] = ()
) -> Comparison:
    """Make a comparison."""
    return Comparison(
        reference="AP.yaml", candidate="RA.yaml", level=level, omits=omits, differences=differences
    )


def write_policy(directory: pathlib.Path, entries: str) -> Policy:
    """Write a file of entries and read it."""
    path = directory / "policy.yaml"
    path.write_text("allow:\n" + textwrap.dedent(entries).lstrip("\n"))
    return load_policy(path)


def judge_one(directory: pathlib.Path, entries: str, *differences: Difference, **kwargs: Any) -> Verdict:
    """Judge one comparison by a policy of the given entries."""
    return judge([compare(*differences, **kwargs)], write_policy(directory, entries), today=TODAY)


def read_error(path: pathlib.Path) -> list[str]:
    """Return the lines of the error that loading a file raises, without the
    name of the file.
    """
    with pytest.raises(DriftError) as error:
        load_policy(path)
    lines = str(error.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


def test_file_is_read_whole(tmp_path: pathlib.Path) -> None:
    """All keys arrive, and each entry knows its line."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        textwrap.dedent(
            """\
            description: What it is for.
            compare:
              - reference: $RA_PIPE_DIR/config/snapshots/AP.json#isr
                candidate: RA.yaml#isr
            allow:
              - task: isr
                field: [doA, "doB*"]
                reference: .nan
                candidate: [1, 2]
                category: latency
                reason: "  It is slow. "
                ticket: DM-1
                expires: 2027-06-30
                propagate: true
                level: declared

              - class: true
                candidate: {$absent: true}
                category: site
                reason: Ours.
            """
        )
    )
    policy = load_policy(str(path))
    assert policy.description == "What it is for."
    (pair,) = policy.compare
    assert (pair.reference, pair.candidate) == ("$RA_PIPE_DIR/config/snapshots/AP.json#isr", "RA.yaml#isr")
    assert str(pair.place) == f"{path}:3"
    first, second = policy.allow
    assert str(first.place) == f"{path}:6"
    assert (first.kind, first.task, first.names) == (DifferenceKind.FIELD, ("isr",), ("doA", "doB*"))
    assert (first.reference, first.candidate) == (encode_value(math.nan), [1, 2])
    assert (first.category, first.reason, first.ticket) == ("latency", "It is slow.", "DM-1")
    assert (first.expires, first.propagate, first.level) == (datetime.date(2027, 6, 30), True, Level.DECLARED)
    assert str(second.place) == f"{path}:17"
    assert (second.kind, second.task, second.names) == (DifferenceKind.CLASS, ("*",), ())
    assert (second.expires, second.propagate, second.level) == (None, False, None)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "allow: []\n"])
def test_policy_may_be_empty(tmp_path: pathlib.Path, text: str) -> None:
    """A file without entries allows nothing."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    verdict = judge([compare(difference("field", "doA"))], load_policy(path), today=TODAY)
    assert (verdict.n_undeclared, verdict.n_allowed, verdict.exit_code) == (1, 0, 1)


def test_policy_is_found_by_variable(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are expanded; messages keep the name that was given."""
    monkeypatch.setenv("DRIFT_TEST_DIR", str(tmp_path))
    (tmp_path / "good.yaml").write_text("allow:\n" + BRIGHTER_FATTER)
    (entry,) = load_policy("$DRIFT_TEST_DIR/good.yaml").allow
    assert str(entry.place) == "$DRIFT_TEST_DIR/good.yaml:3"
    (tmp_path / "bad.yaml").write_text("deny: []\n")
    with pytest.raises(DriftError, match=r"^\$DRIFT_TEST_DIR/bad.yaml:1: unknown key 'deny'"):
        load_policy("$DRIFT_TEST_DIR/bad.yaml")


@pytest.mark.parametrize(
    "uri", ["$DRIFT_TEST_DIR/policy.yaml", "${DRIFT_TEST_DIR}/policy.yaml", "$DRIFT_TEST/p"]
)
def test_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    """A file that a variable should lead to says which one is missing."""
    variable = uri.split("/")[0].strip("${}")
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(
        DriftError,
        match=re.escape(f"{uri.replace('{', '').replace('}', '')}:1: ") + rf".*\${variable} is not set",
    ):
        load_policy(uri)


def test_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    """There is no file, or it is a directory."""
    assert "cannot be read" in read_error(tmp_path / "none.yaml")[0]
    assert "cannot be read" in read_error(tmp_path)[0]


GOOD = "{field: doA, category: latency, reason: Slow.}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allow: [\n", "2: this is not YAML"),
        ("allow:\n - a: 1\n  b: 2\n", "3: this is not YAML"),
        ("description: a\nallow: \x07\n", "2: this is not YAML"),
        ("allow: []\n---\nallow: []\n", "2: this is not YAML"),
        ("description: a\nallow: [!!python/name:os.system x]\n", "2: this is not YAML"),
        ("description: a\nallow: [!!int x]\n", "2: this is not YAML"),
        ("- a\n", "1: document: expected a mapping, got ['a']"),
        ("allow: none\n", "1: allow: input should be a valid list; got 'none'"),
        ("allow: &a\n- {field: a, category: site, reason: a, reference: *a}\n", "1: an item holds itself"),
        ("description: a\ndescription: b\n", "2: the key 'description' occurs twice, first on line 1"),
        ("compare:\n- reference: a\n", "2: candidate is missing"),
        ("compare:\n- reference: a\n  candidate: ''\n", "3: compare[0].candidate: is empty; got ''"),
        ("compare:\n- reference: a\n  candidate: b\n  place: c\n", "4: unknown key 'place'"),
    ],
)
def test_broken_file_is_refused_with_a_line(tmp_path: pathlib.Path, text: str, message: str) -> None:
    """Whatever is wrong with a file, its line is told."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    (line,) = read_error(path)
    assert line.startswith(message)


def test_file_of_other_encoding_is_refused(tmp_path: pathlib.Path) -> None:
    """Bytes that are not UTF-8 are found on their line."""
    path = tmp_path / "policy.yaml"
    path.write_bytes("description: a\nallow: [] # é\n".encode("latin-1"))
    (line,) = read_error(path)
    assert line.startswith("2: this policy is not UTF-8")


@pytest.mark.parametrize(
    ("entry", "line", "message"),
    [
        ("task: isr|field: doA|category: latency", 3, "reason is missing"),
        (
            "field: doA|category: latency|reason:",
            5,
            "allow[1].reason: input should be a valid string; got None",
        ),
        ("field: doA|category: latency|reason: ' '", 5, "allow[1].reason: is empty; got ' '"),
        ("field: doA|reason: a", 3, "category is missing"),
        (
            "field: doA|category: speed|reason: a",
            4,
            "allow[1].category: input should be 'latency', 'analysis'",
        ),
        ("field: doA|category: site|reason: a|tickets: a", 6, "unknown key 'tickets'; known are task, field"),
        ("field: doA|category: site|reason: a|line: 3", 6, "unknown key 'line'"),
        ("field: doA|category: site|reason: a|place: {}", 6, "unknown key 'place'"),
        ("category: site|reason: a", 3, "expected exactly one of field, connection, subset, step, contract"),
        (
            "field: doA|class: true|category: site|reason: a",
            3,
            "expected exactly one of field, connection, subset, step, contract, parameter, block, order, "
            "class, dimensions, exists, instrument; got field and class",
        ),
        ("class: false|category: site|reason: a", 3, "allow[1].class: input should be True; got False"),
        ("field: []|category: site|reason: a", 3, "allow[1].field: is empty; got []"),
        ("field: 3|category: site|reason: a", 3, "allow[1].field[0]: input should be a valid string; got 3"),
        ("field: doA|category: site|reason: a|expires: soon", 6, "expected a date, YYYY-MM-DD; got 'soon'"),
        (
            "field: doA|category: site|reason: a|expires: 20270630",
            6,
            "expected a date, YYYY-MM-DD; got 20270630",
        ),
        ("field: doA|category: site|reason: a|expires: 2027-02-30", 6, "allow[1].expires: day"),
        ("field: doA|category: site|reason: a|expires: 2027-02-03 10:00:00", 6, "expected a date"),
        ("field: doA|category: site|reason: a|propagate: perhaps", 6, "allow[1].propagate"),
        ("field: doA|category: site|reason: a|level: all", 6, "allow[1].level"),
        (
            "field: doA|category: site|reason: a|reason: b",
            6,
            "the key 'reason' occurs twice, first on line 5",
        ),
        (
            "subset: a|task: isr|category: site|reason: a",
            3,
            "subset is not of one task; leave out task, got 'isr'",
        ),
        (
            "dimensions: true|level: declared|category: site|reason: a",
            3,
            "dimensions is of the resolved level",
        ),
        ("order: doA|level: resolved|category: site|reason: a", 3, "order is of the declared level only"),
        ("3: a|field: doA|category: site|reason: a", 3, "keys should be strings"),
    ],
)
def test_bad_entry_is_refused_with_its_line(
    tmp_path: pathlib.Path, entry: str, line: int, message: str
) -> None:
    """The second entry of the file is wrong."""
    path = tmp_path / "policy.yaml"
    path.write_text(f"allow:\n- {GOOD}\n- " + entry.replace("|", "\n  ") + "\n")
    (found,) = read_error(path)
    assert found.startswith(f"{line}: ")
    assert message.lower() in found.lower()


def test_entry_that_is_no_mapping_is_refused(tmp_path: pathlib.Path) -> None:
    """A list of names is no list of entries."""
    path = tmp_path / "policy.yaml"
    path.write_text(f"allow:\n- {GOOD}\n- doB\n")
    assert read_error(path) == ["3: allow[1]: expected a mapping, got 'doB'"]


def test_all_problems_of_a_file_are_told_at_once(tmp_path: pathlib.Path) -> None:
    """They come in the order of the lines."""
    path = tmp_path / "policy.yaml"
    path.write_text(f"allow:\n- field: doA\n- field: a\n  field: b\n- {GOOD}\ncompare: [{{}}]\n")
    assert [line.split(" ")[0] for line in read_error(path)] == ["2:", "2:", "3:", "3:", "4:", "6:", "6:"]


def test_without_policy_all_is_undeclared() -> None:
    """Nothing is allowed by default."""
    same, other = compare(), compare(difference("field", "doA"), difference("class", ""))
    assert judge([same], None, today=TODAY).exit_code == 0
    verdict = judge([same, other], None, today=TODAY)
    assert (verdict.n_undeclared, verdict.exit_code, verdict.policy) == (2, 1, "")


def test_allowed_difference_has_its_entry(tmp_path: pathlib.Path) -> None:
    """What an entry matches is no drift, the rest is."""
    declared, undeclared = difference("field", "doBrighterFatter"), difference("field", "doDark")
    verdict = judge_one(tmp_path, BRIGHTER_FATTER, declared, undeclared)
    (judged,) = verdict.comparisons
    assert [one.difference for one in judged.allowed] == [declared]
    assert judged.allowed[0].entry is not None
    assert judged.allowed[0].entry.reason == "It takes longer than the rest of ISR."
    assert [one.difference for one in judged.undeclared] == [undeclared]
    assert (verdict.exit_code, verdict.faults) == (1, ())
    assert judge_one(tmp_path, BRIGHTER_FATTER, declared).exit_code == 0


CONTRACT = "isr.doDark == calibrateImage.a['b']"
LOOP = "for a in b:\n    config.a.add(a)"


@pytest.mark.parametrize(
    ("keys", "kind", "name", "allowed"),
    [
        ("field: doDark", "field", "doDark", True),
        ("field: doDark", "field", "doDarkened", False),
        ("field: dodark", "field", "doDark", False),
        ("field: doDark", "order", "doDark", False),
        ("order: doDark", "order", "doDark", True),
        ("field: astrometry.*", "field", "astrometry.matcher.maxRefObjects", True),
        ("field: '*.maxRefObjects'", "field", "astrometry.matcher.maxRefObjects", True),
        ("field: doDar?", "field", "doDark", True),
        ("field: 'doDar[k]'", "field", "doDark", False),
        ("field: 'a[1].*'", "field", "a[1].b", True),
        ("field: 'a[!1].*'", "field", "a[2].b", False),
        ("field: [doFlat, doDark]", "field", "doDark", True),
        ("field: '*'|task: isr", "field", "doDark", True),
        ("field: '*'|task: ['c*', 'i*r']", "field", "doDark", True),
        ("field: '*'|task: calibrateImage", "field", "doDark", False),
        (f"contract: {CONTRACT}", "contract", CONTRACT, True),
        ("contract: isr.doDark*", "contract", CONTRACT, True),
        ("block: config.plugins[name]*", "block", "config.plugins[name] = 3", True),
        ("block: for *", "block", LOOP, True),
        ("block: 'for * in b:'", "block", LOOP, False),
        ("subset: single*", "subset", "singleFrame", True),
        ("step: detector", "step", "detector", True),
        ("parameter: '*'", "parameter", "apFlux", True),
        ("connection: '*Exposure'", "connection", "outputExposure", True),
        ("class: true", "class", "", True),
        ("class: true", "dimensions", "", False),
        ("dimensions: true", "dimensions", "", True),
        ("exists: true|task: isr", "task", "", True),
        ("exists: true|task: other", "task", "", False),
        ("instrument: true", "instrument", "", True),
    ],
)
def test_entry_matches_by_kind_task_and_name(
    tmp_path: pathlib.Path, keys: str, kind: str, name: str, allowed: bool
) -> None:
    """A star crosses dots, brackets are plain, the case of letters counts."""
    of_pipeline = kind in ("contract", "subset", "step", "parameter", "instrument")
    found = difference(kind, name, task="" if of_pipeline else "isr")
    entry = f"- category: site\n  reason: a\n  {keys}\n".replace("|", "\n  ")
    level = Level.DECLARED if kind in ("order", "block") else Level.RESOLVED
    verdict = judge_one(tmp_path, entry, found, level=level)
    assert verdict.n_allowed == allowed


@pytest.mark.parametrize(
    ("values", "reference", "candidate", "allowed"),
    [
        ("reference: true, candidate: false", True, False, True),
        ("reference: true, candidate: false", False, True, False),
        ("candidate: false", "anything", False, True),
        ("reference: 1", True, False, False),
        ("reference: 1.0", 1, 2, True),
        ("reference: .nan", math.nan, 2, True),
        ("reference: null", None, 2, True),
        ("reference: null", 0, 2, False),
        ("reference: [b, a]", {"a", "b"}, 2, True),
        ("reference: [b, a]", ["a", "b"], 2, False),
        ("reference: lsst.ip.isr.IsrTaskLSST", {"$class": "lsst.ip.isr.isrTaskLSST.IsrTaskLSST"}, 2, True),
        ("reference: lsst.ip.isr.IsrTask", {"$class": "lsst.ip.isr.isrTaskLSST.IsrTaskLSST"}, 2, False),
        ("reference: parameters.a + 1", {"$expression": "parameters.a + 1"}, 2, True),
        ("reference: {$absent: true}", {"$absent": True}, 2, True),
        ("reference: {$absent: true}", None, 2, False),
    ],
)
def test_entry_may_limit_the_values(
    tmp_path: pathlib.Path, values: str, reference: Any, candidate: Any, allowed: bool
) -> None:
    """Values are compared as those of the pipelines are."""
    entry = f"- {{field: doA, {values}, category: site, reason: a}}"
    verdict = judge_one(tmp_path, entry, difference("field", "doA", reference, candidate))
    assert verdict.n_allowed == allowed


def test_entry_of_other_values_says_so_twice(tmp_path: pathlib.Path) -> None:
    """The difference names the entry that nearly allows it, and vice versa."""
    entry = "- {field: threshold, reference: 5, candidate: 50, category: latency, reason: a}"
    verdict = judge_one(tmp_path, entry, difference("field", "threshold", 10, 50))
    (undeclared,) = verdict.comparisons[0].undeclared
    assert undeclared.note == f"{tmp_path}/policy.yaml:2 allows 5 -> 50"
    (fault,) = verdict.faults
    assert fault.kind is FaultKind.UNUSED
    assert str(fault) == (
        f"{tmp_path}/policy.yaml:2: the entry for field threshold of * matches nothing: "
        "it allows 5 -> 50, but isr.threshold is 10 -> 50."
    )


def test_unused_entry_is_a_fault(tmp_path: pathlib.Path) -> None:
    """What differs no longer is not allowed to, either."""
    verdict = judge_one(tmp_path, BRIGHTER_FATTER)
    (fault,) = verdict.faults
    assert (fault.kind, fault.entry.place.line, verdict.exit_code) == (FaultKind.UNUSED, 2, 1)
    assert "field doBrighterFatter of isr matches nothing: there is no such difference" in fault.message


def test_each_glob_of_an_entry_must_match(tmp_path: pathlib.Path) -> None:
    """A list does not hide names that are out of date."""
    entry = "- {task: [isr, 'old*'], field: [doA, doGone], category: site, reason: a}"
    verdict = judge_one(tmp_path, entry, difference("field", "doA"))
    assert verdict.n_undeclared == 0
    (fault,) = verdict.faults
    assert fault.kind is FaultKind.UNUSED
    assert fault.message.endswith("names what matches nothing: task old*, field doGone.")


def test_entry_is_used_if_any_comparison_has_its_difference(tmp_path: pathlib.Path) -> None:
    """A policy serves several pairs."""
    policy = write_policy(tmp_path, BRIGHTER_FATTER)
    pairs = [compare(), compare(difference("field", "doBrighterFatter"))]
    assert judge(pairs, policy, today=TODAY).exit_code == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_order_of_entries_makes_no_fault(tmp_path: pathlib.Path, reverse: bool) -> None:
    """The first entry that matches allows; both are used."""
    entries = [
        "- {field: doA, category: site, reason: one}\n",
        "- {field: 'do*', category: site, reason: all}\n",
    ]
    verdict = judge_one(tmp_path, "".join(entries[::-1] if reverse else entries), difference("field", "doA"))
    assert verdict.exit_code == 0
    (allowed,) = verdict.comparisons[0].allowed
    assert allowed.entry is not None
    assert allowed.entry.reason == ("all" if reverse else "one")


@pytest.mark.parametrize(
    ("keys", "level", "omits"),
    [
        ("field: doA, level: declared", Level.RESOLVED, ()),
        ("field: doA, level: resolved", Level.DECLARED, ()),
        ("connection: a", Level.DECLARED, ()),
        ("block: a", Level.RESOLVED, ()),
        ("contract: a", Level.RESOLVED, ("contracts", "origins")),
        ("instrument: true", Level.DECLARED, ("instrument",)),
    ],
)
def test_entry_about_what_was_not_compared_is_not_unused(
    tmp_path: pathlib.Path, keys: str, level: Level, omits: tuple[str, ...]
) -> None:
    """One policy serves both levels, and snapshots that record less."""
    entry = f"- {{{keys}, category: site, reason: a}}"
    assert judge_one(tmp_path, entry, level=level, omits=omits).faults == ()
    other = Level.DECLARED if level is Level.RESOLVED else Level.RESOLVED
    verdict = judge_one(tmp_path, entry, level=level if omits else other)
    assert [fault.kind for fault in verdict.faults] == [FaultKind.UNUSED]


def test_entry_of_one_level_allows_nothing_at_the_other(tmp_path: pathlib.Path) -> None:
    """The difference is drift there."""
    entry = "- {field: doA, level: declared, category: site, reason: a}"
    found = difference("field", "doA")
    assert judge_one(tmp_path, entry, found, level=Level.DECLARED).exit_code == 0
    verdict = judge_one(tmp_path, entry, found, level=Level.RESOLVED)
    assert (verdict.n_undeclared, verdict.faults, verdict.exit_code) == (1, (), 1)


@pytest.mark.parametrize(
    ("day", "expired"), [("2026-11-23", False), ("2026-11-22", False), ("2026-11-21", True)]
)
def test_entry_holds_until_its_last_day(tmp_path: pathlib.Path, day: str, expired: bool) -> None:
    """On the last day itself it still holds."""
    entry = f"- {{field: doA, expires: {day}, category: site, reason: a}}"
    verdict = judge_one(tmp_path, entry, difference("field", "doA"))
    assert verdict.n_undeclared == expired
    assert [fault.kind for fault in verdict.faults] == [FaultKind.EXPIRED] * expired
    if expired:
        assert verdict.comparisons[0].undeclared[0].note == f"{tmp_path}/policy.yaml:2 allowed it until {day}"
        assert "any more" not in verdict.faults[0].message


def test_expired_entry_is_a_fault_though_it_matches_nothing(tmp_path: pathlib.Path) -> None:
    """It is told once, as expired."""
    verdict = judge_one(tmp_path, "- {field: doA, expires: '2026-01-01', category: site, reason: a}")
    (fault,) = verdict.faults
    assert fault.kind is FaultKind.EXPIRED
    assert fault.message == (
        "the entry for field doA of * expired: its last day was 2026-01-01; it matches nothing any more."
    )
    assert verdict.exit_code == 1


def test_later_entry_allows_what_an_expired_one_does_not(tmp_path: pathlib.Path) -> None:
    """Expiry takes an entry out, not those that follow."""
    entries = """
    - {field: doA, expires: 2026-01-01, category: site, reason: old}
    - {field: 'do*', category: site, reason: new}
    """
    verdict = judge_one(tmp_path, entries, difference("field", "doA"))
    (allowed,) = verdict.comparisons[0].allowed
    assert allowed.entry is not None
    assert allowed.entry.reason == "new"
    assert [fault.kind for fault in verdict.faults] == [FaultKind.EXPIRED]


def test_verdict_survives_json(tmp_path: pathlib.Path) -> None:
    """It can be handed from one process to another."""
    entry = "- {field: doA, expires: 2026-01-01, reference: .nan, category: site, reason: a}"
    verdict = judge_one(tmp_path, entry, difference("field", "doA", math.nan, {1}), difference("class", ""))
    assert Verdict.model_validate_json(verdict.model_dump_json(by_alias=True)) == verdict


def test_entry_is_not_unused_while_another_pair_may_need_it(tmp_path: pathlib.Path) -> None:
    """One pair of a policy for two says nothing about its entries."""
    file = tmp_path / "policy.yaml"
    pair = "{reference: a.yaml, candidate: b.yaml}"
    entry = "{field: x, category: site, reason: The disk is elsewhere.}"
    file.write_text(f"compare: [{pair}, {pair}]\nallow: [{entry}]\n")
    policy = load_policy(file)
    comparison = Comparison(reference="a", candidate="b", level=Level.RESOLVED, differences=())
    verdicts = [judge([comparison] * n, policy, today=datetime.date(2026, 11, 22)) for n in (1, 2)]
    assert [verdict.exit_code for verdict in verdicts] == [0, 1]


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        ({"$set": ["a", "b"]}, {"$set": ["b", "c"]}),
        (["a", "b"], ["b", "c"]),
        ({"$absent": True}, {"$edits": [["add", ["c"]], ["remove", ["a"]]]}),
        ({"$edits": [["add", ["x", "a"]]]}, {"$edits": [["add", ["x", "c"]]]}),
    ],
)
def test_entry_names_the_members_that_come_and_go(
    tmp_path: pathlib.Path, reference: Any, candidate: Any
) -> None:
    """All of them, and no others."""
    difference = Difference(
        kind=DifferenceKind.FIELD,
        task="isr",
        name="x",
        reference=Side(value=reference),
        candidate=Side(value=candidate),
    )
    comparison = Comparison(reference="a", candidate="b", level=Level.RESOLVED, differences=(difference,))
    undeclared = []
    for members in ("adds: c, removes: a", "adds: [c], removes: [a]", "adds: c", "adds: [c, d], removes: a"):
        file = tmp_path / "policy.yaml"
        file.write_text(f"allow: [{{field: x, {members}, category: site, reason: It is so.}}]\n")
        verdict = judge([comparison], load_policy(file), today=datetime.date(2026, 11, 22))
        undeclared.append(verdict.n_undeclared)
    assert undeclared == [0, 0, 1, 1]
