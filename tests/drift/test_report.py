# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Reports show what differs, who set it, and why it may."""

from __future__ import annotations

import datetime
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import pytest
from lsst.ra.pipe.drift import (
    ABSENT,
    Comparison,
    Difference,
    DifferenceKind,
    Level,
    Origin,
    OriginKind,
    Side,
    encode_value,
)
from lsst.ra.pipe.drift._policy import Category, Place, Policy, PolicyEntry, Verdict, judge
from lsst.ra.pipe.drift._reports import ReportFormat, make_table, write_report
from rich.console import Console

TODAY = datetime.date(2026, 11, 22)
POLICY = "$RA_PIPE_DIR/config/drift/LSSTCam.yaml"


def origin(file: str, line: int | None = None, *, kind: str = "file") -> Origin:
    """Make an origin."""
    return Origin(kind=OriginKind(kind), file=file, line=line)


AP = origin("$AP_PIPE_DIR/config/isr.py", 3)
RAPID = origin("$RA_PIPE_DIR/config/rapid/isr.py", 20)
DEFAULT = origin("", kind="default")


def difference(
    name: str,
    reference: Any,
    candidate: Any,
    *,
    kind: str = "field",
    task: str = "isr",
    origins: Sequence[Origin | None] = (AP, RAPID),
) -> Difference:
    """Make a difference of plain values."""
    values = (reference, candidate)
    one, other = (
        Side(value=encode_value(value), set_by=None if value == ABSENT else set_by)
        for value, set_by in zip(values, origins, strict=True)
    )
    return Difference(kind=DifferenceKind(kind), task=task, name=name, reference=one, candidate=other)


def entry(line: int, name: str, **keys: Any) -> PolicyEntry:
    """Make an entry about a field."""
    place = Place(file=POLICY, line=line)
    content = {"field": name, "category": Category.LATENCY, "reason": "It is slow."}
    return PolicyEntry.model_validate({"place": place, **content, **keys})


def make_verdict(
    *differences: Difference,
    entries: Sequence[PolicyEntry] = (),
    level: Level = Level.RESOLVED,
    reason: str = "",
    omits: tuple[str, ...] = (),
) -> Verdict:
    """Judge one comparison."""
    comparison = Comparison(
        reference="$AP_PIPE_DIR/SingleFrame.yaml",
        candidate="$RA_PIPE_DIR/RapidAnalysis.yaml",
        level=level,
        reason=reason,
        omits=omits,
        differences=differences,
    )
    policy = Policy(file=POLICY, allow=tuple(entries)) if entries else None
    return judge([comparison], policy, today=TODAY)


def make_rich_verdict() -> Verdict:
    """Make a verdict that has one of everything."""
    return make_verdict(
        difference("doBrighterFatter", True, False),
        difference("doDark", True, False, origins=(None, DEFAULT)),
        difference("threshold", 10, 50),
        difference("singleFrame", {"isr"}, ABSENT, kind="subset", task=""),
        entries=[
            entry(5, "doBrighterFatter", ticket="DM-123", expires=datetime.date(2027, 6, 30), propagate=True),
            entry(9, "threshold", reference=5),
            entry(14, "doFlat", expires=datetime.date(2026, 1, 1)),
        ],
        level=Level.DECLARED,
        reason="lsst.ip.isr is not installed",
        omits=("contracts", "origins"),
    )


def render(verdicts: Sequence[Verdict], *, width: int = 80) -> str:
    """Print the table at a width."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(make_table(verdicts))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def squeeze(text: str) -> str:
    """Take the white space out, so that it does not matter where text wraps."""
    return "".join(text.split())


ALL_FORMATS = ["table", *ReportFormat]


def write(verdicts: Sequence[Verdict], format: str) -> str:
    """Write a report in any format, that for the terminal included."""
    return render(verdicts) if format == "table" else write_report(verdicts, format=ReportFormat(format))


@pytest.mark.parametrize("format", ["table", "markdown", "junit"])
def test_report_says_all_there_is(format: str) -> None:
    """Values, origins, reasons, level, faults and numbers are there."""
    text = squeeze(write([make_rich_verdict()], format).replace("\\", "").replace("<span>$</span>", "$"))
    for expected in (
        "$AP_PIPE_DIR/SingleFrame.yaml",
        "$RA_PIPE_DIR/RapidAnalysis.yaml",
        "declared: lsst.ip.isr is not installed",
        "contracts, origins (not recorded)",
        "isr.doBrighterFatter",
        "$AP_PIPE_DIR/config/isr.py:3",
        "$RA_PIPE_DIR/config/rapid/isr.py:20",
        f"latency: It is slow. (DM-123, {POLICY}:5, until 2027-06-30, offered back)",
        "not recorded",
        "the task's default",
        f"{POLICY}:9 allows 5 ",
        "subset singleFrame",
        "{'isr'}",
        "(not there)",
        "the entry for field threshold of * matches nothing: it allows 5 ",
        "expired: its last day was 2026-01-01; it matches nothing any more.",
    ):
        assert squeeze(expected) in text
    assert "3undeclareddifferences" in text or "2undeclareddifferences" in text


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_undeclared_differences_come_first(format: str) -> None:
    """What has to be looked at is on top, wherever it is in the comparison."""
    verdict = make_verdict(
        difference("doA", True, False), difference("doB", True, False), entries=[entry(5, "doA")]
    )
    text = write([verdict], format)
    if format == "github":
        assert "isr.doA" not in text
    elif format == "json":
        (comparison,) = json.loads(text)["verdicts"][0]["comparisons"]
        assert [one["name"] for one in comparison["undeclared"]] == ["doB"]
        assert [one["name"] for one in comparison["allowed"]] == ["doA"]
    else:
        assert text.index("isr.doB") < text.index("isr.doA")


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_report_is_the_same_each_time(format: str) -> None:
    """There is nothing in it that depends on when or how fast it was made."""
    assert write([make_rich_verdict()], format) == write([make_rich_verdict()], format)
    assert write([make_rich_verdict()], format).endswith("\n")


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_report_of_no_difference(format: str) -> None:
    """Good news is written, too, and shows no trouble."""
    text = write([make_verdict()], format)
    assert "$AP_PIPE_DIR/SingleFrame.yaml" in text
    assert "::error" not in text
    assert "<failure" not in text
    if format == "json":
        assert json.loads(text)["exit_code"] == 0


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_report_of_several_policies(format: str) -> None:
    """Each verdict keeps its own comparisons."""
    text = write([make_verdict(difference("doA", 1, 2)), make_verdict(difference("doB", 1, 2))], format)
    assert "doA" in text
    assert "doB" in text
    if format == "json":
        assert [len(one["comparisons"]) for one in json.loads(text)["verdicts"]] == [1, 1]


def find_wrapped(text: str, whole: str) -> str:
    """Join the parts of a text that is wrapped, maybe in a column."""
    found = ""
    for cell in re.split(r"\n\s*|\s{2,}", text):
        if cell and whole.removeprefix(found).startswith(cell):
            found += cell
    return found


@pytest.mark.parametrize("width", [40, 80, 109, 110, 160])
def test_table_cuts_nothing_off(width: int) -> None:
    """Long names, values and paths wrap."""
    names = ".".join(["calibrateImage"] * 8)
    long_origin = origin("$RA_PIPE_DIR/" + "deep/" * 30 + "isr.py", 1234)
    value = "lsst.pipe.tasks." + "Very" * 10 + "LongTask"
    text = render(
        [make_verdict(difference(names, value, {"[bold]", "[/x]"}, origins=(long_origin, RAPID)))],
        width=width,
    )
    assert max(map(len, text.splitlines())) <= width
    for whole in (f"isr.{names}", str(long_origin), f"'{value}'"):
        assert find_wrapped(text, whole) == whole
    assert "'[bold]'" in text


def test_table_keeps_paths_whole_on_a_narrow_terminal() -> None:
    """A path that fits on a line can be copied from it."""
    text = render([make_verdict(difference("plugins", {"a" * 40}, {"b" * 20}))])
    assert "$RA_PIPE_DIR/config/rapid/isr.py:20" in text
    assert "$AP_PIPE_DIR/config/isr.py:3" in text


MANY = [f"plugin_{i:02d}" for i in range(40)]


@pytest.mark.parametrize("format", ["table", "markdown", "junit", "github"])
@pytest.mark.parametrize(
    ("reference", "candidate", "expected", "hidden"),
    [
        (set(MANY), {*MANY[1:], "new"}, ["40 members, only here: 'plugin_00'", "here: 'new'"], "plugin_07"),
        (set(MANY), set(MANY[:-1]), ["40 members, only here: 'plugin_39'", "39 members"], "plugin_07"),
        (MANY, [*MANY, "plugin_07"], ["40 members", "41 members, only here: 'plugin_07'"], "plugin_08"),
        (
            MANY,
            [*MANY[:5], "plugin_06", "plugin_05", *MANY[7:]],
            ["in another order, [5]: 'plugin_05'", "in another order, [5]: 'plugin_06'"],
            "plugin_07",
        ),
        (
            dict.fromkeys(MANY, 1),
            {**dict.fromkeys(MANY, 1), "plugin_03": 2},
            ["only here: plugin_03: 1", "only here: plugin_03: 2"],
            "plugin_07",
        ),
        ("a" * 90 + "x" + "b" * 90, "a" * 90 + "y" + "b" * 90, ["...aaaaaaaaaaaaaaaax", "y"], "a" * 30),
        ("a" * 500, ABSENT, ["aaa...aaa", "(no such field)"], "a" * 300),
        (MANY, None, ["'plugin_00'", "None"], "zzz"),
    ],
)
def test_long_values_are_shown_by_what_differs(
    format: str, reference: Any, candidate: Any, expected: list[str], hidden: str
) -> None:
    """Of forty names only those that one side has are named."""
    text = squeeze(write([make_verdict(difference("names", reference, candidate))], format))
    for part in expected:
        assert squeeze(part) in text
    assert hidden not in text


def test_json_has_long_values_whole() -> None:
    """What is left out for readers is in the JSON."""
    text = write_report([make_verdict(difference("names", set(MANY), [1]))], format=ReportFormat.JSON)
    (found,) = json.loads(text)["verdicts"][0]["comparisons"][0]["undeclared"]
    assert found["reference"] == {"value": {"$set": MANY}, "set_by": AP.model_dump(mode="json")}
    assert found["candidate"]["value"] == [1]


def test_json_has_the_entries() -> None:
    """Differences and faults name the entry that they are about."""
    content = json.loads(write_report([make_rich_verdict()], format=ReportFormat.JSON))
    assert (content["report_version"], content["exit_code"]) == (1, 1)
    (verdict,) = content["verdicts"]
    assert verdict["policy"] == POLICY
    (comparison,) = verdict["comparisons"]
    assert (comparison["level"], comparison["omits"]) == ("declared", ["contracts", "origins"])
    (allowed,) = comparison["allowed"]
    assert allowed["entry"] == {
        "candidate": {"$any": True},
        "category": "latency",
        "expires": "2027-06-30",
        "kind": "field",
        "level": None,
        "names": ["doBrighterFatter"],
        "place": {"file": POLICY, "line": 5},
        "propagate": True,
        "reason": "It is slow.",
        "reference": {"$any": True},
        "task": ["*"],
        "ticket": "DM-123",
    }
    notes = {one["name"]: one.get("note") for one in comparison["undeclared"]}
    assert notes == {"doDark": None, "threshold": f"{POLICY}:9 allows 5 -> anything", "singleFrame": None}
    assert [(one["kind"], one["entry"]["place"]["line"]) for one in verdict["faults"]] == [
        ("unused", 9),
        ("expired", 14),
    ]


def markdown_rows(text: str) -> list[list[str]]:
    """Split the rows of all tables at the bars that are not escaped."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]


@pytest.mark.parametrize("value", ["a|b", "`", "``a`", "a\nb", "<!--", "", "|`|", "\\"])
def test_markdown_escapes_values(value: str) -> None:
    """No value breaks the table or its code."""
    reason = f"x{value} *is* _slow_ [a](b) <b> @all $a$"
    allowed = entry(5, "doA", reason=reason)
    text = write_report(
        [make_verdict(difference("doA", value, [value]), entries=[allowed])], format=ReportFormat.MARKDOWN
    )
    (row,) = [row for row in markdown_rows(text) if "doA" in row[0]]
    assert len(row) == 4
    code = re.match(r"(`+)(.*?)(?<!`)\1(?!`)<br>`\$AP_PIPE_DIR", row[1].strip())
    assert code
    assert code[2].strip().replace("\\|", "|") == repr(value)
    assert r"\*is\* \_slow\_ \[a\](b) \<b\> \@all <span>$</span>a<span>$</span>" in row[3]


def test_markdown_stays_short_enough_for_a_comment() -> None:
    """GitHub refuses long comments; allowed differences are left out first."""
    allowed = [difference(f"a{i}", 1, 2) for i in range(1000)]
    undeclared = [difference(f"u{i}", 1, 2) for i in range(100)]
    verdict = make_verdict(*allowed, *undeclared, entries=[entry(5, "a*")])
    text = write_report([verdict], format=ReportFormat.MARKDOWN)
    assert len(text) < 65_536
    assert "isr.u99" in text
    assert "isr.a0`" in text
    assert "900 more allowed differences not shown here." in text
    many = make_verdict(*(difference("u" * 600 + str(i), 1, 2) for i in range(2000)))
    text = write_report([many], format=ReportFormat.MARKDOWN)
    assert len(text) < 65_536
    assert "1950 more undeclared differences not shown here." in text


def test_markdown_is_as_written_down() -> None:
    """A small report, whole."""
    verdict = make_verdict(
        difference("doA", True, False), difference("doB", ABSENT, 1), entries=[entry(5, "doA", ticket="DM-1")]
    )
    assert write_report([verdict], format=ReportFormat.MARKDOWN) == (
        """\
### Drift: 1 undeclared difference, 1 allowed

- reference: `$AP_PIPE_DIR/SingleFrame.yaml`
- candidate: `$RA_PIPE_DIR/RapidAnalysis.yaml`
- level: resolved
- policy: `$RA_PIPE_DIR/config/drift/LSSTCam.yaml`

| Difference | Reference | Candidate | Why |
| --- | --- | --- | --- |
| `isr.doB` | `(no such field)` | `1`<br>`$RA_PIPE_DIR/config/rapid/isr.py:20` | undeclared |

<details><summary>1 allowed difference</summary>

| Difference | Reference | Candidate | Why |
| --- | --- | --- | --- |
| `isr.doA` | `True`<br>`$AP_PIPE_DIR/config/isr.py:3` | `False`<br>`$RA_PIPE_DIR/config/rapid/isr.py:20` """
        r"""| latency: It is slow. (DM-1, <span>$</span>RA\_PIPE\_DIR/config/drift/LSSTCam.yaml:5) |

</details>
"""
    )


def test_junit_has_a_case_for_each_task_and_fault() -> None:
    """Tasks that differ, the pipeline itself, and entries with faults."""
    text = write_report([make_rich_verdict()], format=ReportFormat.JUNIT)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ')
    root = ET.fromstring(text)
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == (
        "testsuites", "4", "4", "0",
    )  # fmt: skip
    comparison, policy = root
    assert comparison.get("name") == "$AP_PIPE_DIR/SingleFrame.yaml -> $RA_PIPE_DIR/RapidAnalysis.yaml"
    cases = {case.get("name"): case for case in comparison.iter("testcase")}
    assert cases.keys() == {"(pipeline)", "isr"}
    failure = cases["isr"].find("failure")
    assert failure is not None
    assert failure.get("message") == "2 undeclared differences"
    assert failure.text is not None
    assert failure.text.splitlines()[:3] == [
        "isr.doDark",
        "  reference: True  [not recorded]",
        "  candidate: False  [the task's default]",
    ]
    assert "doBrighterFatter" not in failure.text
    assert "isr.doBrighterFatter" in (cases["isr"].findtext("system-out") or "")
    assert policy.get("name") == f"policy {POLICY}"
    assert [case.get("name") for case in policy] == [
        "line 9: field threshold of *",
        "line 14: field doFlat of *",
    ]
    assert [failure.get("type") for failure in policy.iter("failure")] == ["unused", "expired"]


def test_junit_counts_its_cases() -> None:
    """A suite without a difference has one case, which passes."""
    verdicts = [make_verdict(), make_verdict(difference("doA", 1, 2)), make_rich_verdict()]
    root = ET.fromstring(write_report(verdicts, format=ReportFormat.JUNIT))
    for suite in root:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases))
        assert suite.get("failures") == str(sum(case.find("failure") is not None for case in cases))
    assert (root[0].get("tests"), root[0].get("failures")) == ("1", "0")
    assert (root[1].get("tests"), root[1].get("failures")) == ("2", "1")
    assert not [name for element in root.iter() for name in element.attrib if "time" in name]


def test_junit_can_hold_any_character() -> None:
    """What XML has no place for is replaced, the rest is escaped."""
    allowed = entry(5, "doA", reason="\x00 \x1b[1m <&> ]]> \ud800 é 🔭")
    verdict = make_verdict(difference("doA", 1, 2), difference("<&>", "\x07", 2), entries=[allowed])
    root = ET.fromstring(write_report([verdict], format=ReportFormat.JUNIT).encode())
    assert "\ufffd \ufffd[1m <&> ]]> \ufffd é 🔭" in (root.findtext(".//system-out") or "")
    assert "isr.<&>" in (root.findtext(".//failure") or "")


COMMAND = re.compile(r"::(error|notice)(?: ([^:]*))?::(.*)")


def read_commands(verdicts: Sequence[Verdict]) -> list[tuple[str, dict[str, str], str]]:
    """Read workflow commands as GitHub's runner does."""
    commands = []
    for line in write_report(verdicts, format=ReportFormat.GITHUB).splitlines():
        match = COMMAND.fullmatch(line)
        assert match, line
        pairs = (pair.split("=", 1) for pair in match[2].split(","))
        commands.append((match[1], {key: unescape(value) for key, value in pairs}, unescape(match[3])))
    return commands


def unescape(text: str) -> str:
    """Undo GitHub's escapes, that of the per cent sign last."""
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, character)
    return text


def test_github_annotates_lines_of_this_repository() -> None:
    """The errors stand beside what sets the candidate's value."""
    commands = read_commands([make_rich_verdict()])
    assert [(name, keys.get("file"), keys.get("line")) for name, keys, _ in commands] == [
        ("error", None, None),
        ("error", "config/rapid/isr.py", "20"),
        ("error", None, None),
        ("error", "config/drift/LSSTCam.yaml", "9"),
        ("error", "config/drift/LSSTCam.yaml", "14"),
        ("notice", None, None),
    ]
    assert [keys["title"] for _, keys, _ in commands] == [
        "Undeclared drift: isr.doDark",
        "Undeclared drift: isr.threshold",
        "Undeclared drift: subset singleFrame",
        "Drift policy: unused entry",
        "Drift policy: expired entry",
        "Drift",
    ]
    assert commands[1][2].splitlines() == [
        "reference: 10 ($AP_PIPE_DIR/config/isr.py:3)",
        "candidate: 50 ($RA_PIPE_DIR/config/rapid/isr.py:20)",
        f"{POLICY}:9 allows 5 -> anything",
        "$AP_PIPE_DIR/SingleFrame.yaml -> $RA_PIPE_DIR/RapidAnalysis.yaml",
    ]
    assert commands[-1][2].startswith("3 undeclared differences, 1 allowed, 2 faults of the policy.\n")


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("$RA_PIPE_DIR/config/rapid/isr.py", "config/rapid/isr.py"),
        ("${RA_PIPE_DIR}/config/rapid/isr.py", "config/rapid/isr.py"),
        ("resource://lsst.ra.pipe/resources/config/rapid/isr.py", "config/rapid/isr.py"),
        ("config/rapid/isr.py", "config/rapid/isr.py"),
        ("$RA_PIPE_DIRECTORY/isr.py", None),
        ("$AP_PIPE_DIR/config/isr.py", None),
        ("/opt/ap_pipe/config/isr.py", None),
        ("../ap_pipe/config/isr.py", None),
        ("resource://lsst.ip.isr/resources/isr.py", None),
        ("", None),
    ],
)
def test_github_knows_the_files_of_this_repository(file: str, path: str | None) -> None:
    """An error on another repository's line has no file."""
    verdict = make_verdict(difference("doA", 1, 2, origins=(AP, origin(file, 7))))
    (_, keys, _), _ = read_commands([verdict])
    assert keys.get("file") == path
    assert keys.get("line") == (path and "7")


def test_github_escapes_what_it_must() -> None:
    """Per cent signs, ends of line, and in properties colons and commas."""
    odd = origin("$RA_PIPE_DIR/a,b:c%0A.py", 7)
    verdict = make_verdict(difference("a,b: 100%::\r\n", "::error::%0A", "50%\n", origins=(AP, odd)))
    text = write_report([verdict], format=ReportFormat.GITHUB)
    assert "\r" not in text
    assert text.splitlines()[0].startswith(
        "::error file=a%2Cb%3Ac%250A.py,line=7,title=Undeclared drift%3A isr.a%2Cb%3A 100%25%3A%3A%0D%0A::"
    )
    (name, keys, message), _ = read_commands([verdict])
    assert name == "error"
    assert keys["file"] == "a,b:c%0A.py"
    assert "reference: '::error::%0A'" in message


def test_statements_and_contracts_are_shown_once() -> None:
    """Their text is the value, and not the name as well."""
    code = "for name in names:\n    config.plugins.names.add(name)"
    verdict = make_verdict(
        difference(code, ABSENT, code, kind="block"),
        difference("isr.doA == other.doA", "isr.doA == other.doA", ABSENT, kind="contract", task=""),
        level=Level.DECLARED,
    )
    text = render([verdict])
    assert text.count("config.plugins.names.add") == 1
    assert text.count("isr.doA == other.doA") == 1
    assert "block isr" in text


@pytest.mark.parametrize(
    ("level", "expected"), [(Level.DECLARED, "(not set)"), (Level.RESOLVED, "(no such field)")]
)
def test_field_that_one_side_lacks_is_named_by_level(level: Level, expected: str) -> None:
    """At the declared level it has its default, else there is none."""
    assert expected in render([make_verdict(difference("doA", ABSENT, 1), level=level)])


@pytest.mark.parametrize(
    ("set_by", "expected"),
    [
        (origin("$OBS_DIR/config/isr.py", 4, kind="instrument"), "$OBS_DIR/config/isr.py:4 (instrument)"),
        (origin("a.yaml", 4, kind="python"), "a.yaml:4 (python block)"),
        (origin("a.yaml", kind="pipeline"), "a.yaml"),
        (origin("", kind="instrument"), "the instrument"),
        (None, "not recorded"),
    ],
)
def test_origin_says_what_and_where(set_by: Origin | None, expected: str) -> None:
    """Who set a value is told as far as it is known."""
    assert expected in render([make_verdict(difference("doA", 1, 2, origins=(set_by, RAPID)))])
