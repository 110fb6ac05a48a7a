# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Whether a rule can ever be chosen, given the rules before it."""

from __future__ import annotations

__all__ = ("rules_that_hide",)

import itertools
from collections.abc import Iterator, Mapping, Sequence

from ._patterns import pattern_covers
from ._rule import CONDITIONS, Rule


def rules_that_hide(rule: Rule, earlier: Sequence[Rule]) -> tuple[Rule, ...]:
    """Find the earlier rules that leave nothing for a rule to match.

    Parameters
    ----------
    rule
        The rule.
    earlier
        The rules before it.

    Returns
    -------
    hiding
        Rules that together match all that the rule does; empty if the rule
        can be chosen, or if that cannot be told.
    """
    hiding: list[Rule] = []
    for case in _cases(rule):
        found = _hide_case(rule, case, earlier)
        if not found:
            return ()
        hiding += found
    return tuple(one for one in earlier if one in hiding)


def _cases(rule: Rule) -> Iterator[Mapping[str, str | None]]:
    """Split a rule where its conditions have lists: one pattern of each."""
    for patterns in itertools.product(*(getattr(rule, name) or (None,) for name in CONDITIONS)):
        yield dict(zip(CONDITIONS, patterns, strict=True))


def _hide_case(rule: Rule, case: Mapping[str, str | None], earlier: Sequence[Rule]) -> list[Rule]:
    """Find earlier rules that match a case for all the rule's detectors."""
    covering = [one for one in earlier if _covers(one, rule, case)]
    whole = next((one for one in covering if one.detectors is None), None)
    if whole is not None:
        return [whole]
    remaining = rule.detectors
    hiding = []
    for one in covering:
        if remaining is not None and one.detectors is not None and remaining & one.detectors:
            remaining -= one.detectors
            hiding.append(one)
    return [] if remaining is None or remaining else hiding


def _covers(general: Rule, rule: Rule, case: Mapping[str, str | None]) -> bool:
    """Tell whether a rule matches a case, but for the detectors."""
    for name, pattern in case.items():
        patterns = getattr(general, name)
        if patterns is None:
            continue
        # A rule without the condition also takes exposures without a value.
        if pattern is None or not any(pattern_covers(one, pattern) for one in patterns):
            return False
    if general.region is None:
        return True
    return rule.region is not None and general.region.covers(rule.region)
