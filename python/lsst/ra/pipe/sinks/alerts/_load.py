# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = (
    "AlertRuleError",
    "default_alert_rules",
    "load_alert_rules",
    "load_instrument_rules",
    "shipped_alert_rules",
)

from collections.abc import Iterator, Sequence
from typing import Any

import pydantic

from lsst.resources import ResourcePath, ResourcePathExpression

from ..._yaml_nodes import FileProblem, FileProblemsError, find_line, parse_document
from ._conditions import AmplifierCondition, ChangeCondition, DetectorCondition, LevelCondition
from ._rule import AlertRule, AlertRules, Circumstances

_PARTS: dict[str, type[pydantic.BaseModel]] = {
    "when": Circumstances,
    "level": LevelCondition,
    "change": ChangeCondition,
    "detectors": DetectorCondition,
    "amplifiers": AmplifierCondition,
}
"""Keys of a rule that have keys of their own."""


class AlertRuleError(FileProblemsError):
    """Alert rules are wrong.

    Parameters
    ----------
    origin
        The file of the rules.
    problems
        All that is wrong with them, each with its ``line``, 0 if it is about
        none, and its ``message``: rule and key, what was expected, what came.
    """


class _AlertFile(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What a file of rules has."""

    description: str = ""
    when: dict[str, Any] = {}
    rules: list[Any] = pydantic.Field(min_length=1)


def default_alert_rules(instrument: str) -> str:
    """Return the URI of the rules that come with this package.

    Parameters
    ----------
    instrument
        Butler ``instrument``.

    Returns
    -------
    uri
        ``$RA_PIPE_DIR/config/alerts/<instrument>.yaml``.
    """
    return f"$RA_PIPE_DIR/config/alerts/{instrument}.yaml"


def shipped_alert_rules() -> tuple[str, ...]:
    """Return the instruments whose rules come with this package.

    Returns
    -------
    instruments
        Their Butler names, sorted.
    """
    directory = ResourcePath("$RA_PIPE_DIR/config/alerts/", forceDirectory=True)
    files = ResourcePath.findFileResources([directory], file_filter=r"\.yaml$")
    return tuple(sorted(file.basename().removesuffix(".yaml") for file in files))


def load_instrument_rules(instrument: str, file: str | None = None) -> AlertRules:
    """Read the alert rules of an instrument.

    Parameters
    ----------
    instrument
        Butler ``instrument``.
    file
        File of the rules; without it, those that come with this package.

    Returns
    -------
    rules
        The rules.

    Raises
    ------
    AlertRuleError
        Raised if there are no such rules, or if anything is wrong with them.
    """
    if file is None and instrument not in (shipped := shipped_alert_rules()):
        raise AlertRuleError(
            default_alert_rules(instrument),
            [
                FileProblem(
                    0,
                    f"no alert rules for instrument {instrument!r} come with this package, only for "
                    f"{', '.join(shipped)}; name a file with --alerts, or judge nothing with --no-alerts",
                )
            ],
        )
    return load_alert_rules(default_alert_rules(instrument) if file is None else file)


def load_alert_rules(uri: ResourcePathExpression) -> AlertRules:
    """Read alert rules from a YAML file.

    Parameters
    ----------
    uri
        The file, for example ``$RA_PIPE_DIR/config/alerts/LSSTCam.yaml``.

    Returns
    -------
    rules
        The rules.

    Raises
    ------
    AlertRuleError
        Raised if anything is wrong, with file, line, rule and key of each
        problem: unknown keys and metrics, wrong values, names that occur
        twice, messages with words that do not exist.  Also if there is no
        such file, or if it cannot be read.
    """
    origin = str(uri)
    root, data, problems = parse_document(origin, _read(origin, uri), error=AlertRuleError)

    def explain(error: pydantic.ValidationError, path: Sequence[str | int]) -> Iterator[FileProblem]:
        for detail in error.errors():
            key = detail.get("ctx", {}).get("key")
            where = [*path, *detail["loc"], *([] if key is None else [key])]
            yield FileProblem(find_line(root, where), _describe(data, where, detail))

    try:
        file = _AlertFile.model_validate(data)
    except pydantic.ValidationError as err:
        raise AlertRuleError(origin, [*problems, *explain(err, [])]) from err
    rules: dict[str, AlertRule] = {}
    for index, one in enumerate(file.rules):
        try:
            rule = AlertRule.model_validate(_merge(file.when, one))
        except pydantic.ValidationError as err:
            problems += explain(err, ["rules", index])
            continue
        if rule.name in rules:
            line = find_line(root, ["rules", index, "name"])
            problems.append(FileProblem(line, f"the name {rule.name!r} is that of an earlier rule, too"))
        rules[rule.name] = rule
    if problems:
        raise AlertRuleError(origin, problems)
    return AlertRules(tuple(rules.values()), origin)


def _read(origin: str, uri: ResourcePathExpression) -> str:
    """Return the text of a file."""
    try:
        return ResourcePath(uri).read().decode()
    except FileNotFoundError as err:
        reason = (
            "there is no such file of alert rules (option --alerts or RAPID_ALERTS); this package has rules "
            f"for {', '.join(shipped_alert_rules())}"
        )
        raise AlertRuleError(origin, [FileProblem(0, reason)]) from err
    except (IsADirectoryError, NotADirectoryError, PermissionError) as err:
        reason = f"the alert rules (option --alerts or RAPID_ALERTS) cannot be read: {err.strerror}"
        raise AlertRuleError(origin, [FileProblem(0, reason)]) from err
    except UnicodeDecodeError as err:
        reason = f"expected alert rules as text in UTF-8: {err.reason} at byte {err.start}"
        raise AlertRuleError(origin, [FileProblem(0, reason)]) from err


def _merge(when: dict[str, Any], rule: Any) -> Any:
    """Give a rule the file's circumstances, where it has none of its own."""
    if not when or not isinstance(rule, dict) or not isinstance(rule.get("when", {}), dict):
        return rule
    return {**rule, "when": {**when, **rule.get("when", {})}}


def _describe(data: Any, where: Sequence[str | int], detail: Any) -> str:
    """Make one line of what pydantic says."""
    subject, keys = "", list(where)
    if len(where) > 1 and where[0] == "rules":
        rule = data["rules"][where[1]]
        name = rule.get("name") if isinstance(rule, dict) else None
        subject = f"rule {name!r}: " if isinstance(name, str) else f"rule {int(where[1]) + 1}: "
        keys = keys[2:]
    field = ".".join(str(key) for key in keys) or "document"
    if detail["type"] == "extra_forbidden":
        known = ", ".join(_known_keys(where))
        return f"{subject}unknown key {field!r}; known are {known}"
    if detail["type"] == "missing":
        return f"{subject}{field}: it is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] not in ("value_error", "condition", "rule"):
        message = f"{message[:1].lower()}{message[1:]}; got {detail['input']!r}"
    return f"{subject}{message}" if detail["type"] == "rule" else f"{subject}{field}: {message}"


def _known_keys(where: Sequence[str | int]) -> list[str]:
    """Return the keys that there are beside an unknown one."""
    model: type[pydantic.BaseModel] = _AlertFile
    if len(where) > 2 and where[0] == "rules":
        model = _PARTS.get(str(where[2]), AlertRule) if len(where) > 3 else AlertRule
    return [field.alias or name for name, field in model.model_fields.items()]
