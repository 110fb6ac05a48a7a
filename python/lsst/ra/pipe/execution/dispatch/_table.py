# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DispatchTable", "RulePlaces")

import dataclasses
import functools
from collections.abc import Iterable, Mapping

from ..._yaml_nodes import FileProblem
from ._exposure_catalog import ExposureCatalog
from ._exposure_facts import ExposureFacts
from ._faults import RuleFault, find_conflicts, find_dangling
from ._problems import DispatchError
from ._rule import Rule


@dataclasses.dataclass(frozen=True)
class RulePlaces:
    """Where rules come from, for messages."""

    origin: str = "dispatch rules"
    """The file."""

    lines: tuple[Mapping[str, int], ...] = ()
    """Line of each key, for each rule; that of the rule itself is ``""``."""

    def describe(self, fault: RuleFault) -> FileProblem:
        """Say where a fault is.

        Parameters
        ----------
        fault
            The fault.

        Returns
        -------
        problem
            The fault with its line.
        """
        lines = self.lines[fault.index] if fault.index < len(self.lines) else {}
        return FileProblem(lines.get(fault.key, lines.get("", 0)), fault.message)


class DispatchTable:
    """Ordered rules, of which the first that matches an image is chosen.

    Parameters
    ----------
    rules
        The rules, in their order.
    places
        Where they come from.

    Raises
    ------
    DispatchError
        Raised if a name occurs twice, or if a rule is never reached.
    """

    def __init__(self, rules: Iterable[Rule], *, places: RulePlaces | None = None) -> None:
        self._rules = tuple(rules)
        self._places = RulePlaces() if places is None else places
        self._raise(find_conflicts(dict(enumerate(self._rules))))
        # The conditions on the exposure are the same for all its detectors.
        self._candidates = functools.lru_cache(maxsize=4096)(self._find_candidates)

    def __reduce__(self) -> tuple[object, ...]:
        return functools.partial(DispatchTable, places=self._places), (self._rules,)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in their order."""
        return self._rules

    def rule(self, name: str) -> Rule:
        """Return the rule with a name.

        Parameters
        ----------
        name
            Name of the rule.

        Returns
        -------
        rule
            The rule.

        Raises
        ------
        KeyError
            Raised if there is none; the message has the names that exist.
        """
        for rule in self._rules:
            if rule.name == name:
                return rule
        known = ", ".join(rule.name for rule in self._rules)
        raise KeyError(f"{self._places.origin} has no rule {name!r}; its rules are {known}")

    def select(self, facts: ExposureFacts, detector: int) -> Rule | None:
        """Choose the rule of an image.

        Parameters
        ----------
        facts
            Facts of the exposure.
        detector
            Butler ``detector``.

        Returns
        -------
        rule
            The first rule that matches, which may be one that ignores the
            image; `None` if no rule matches.
        """
        for rule in self._candidates(facts):
            if rule.detectors is None or detector in rule.detectors:
                return rule
        return None

    def expected_detectors(
        self, rule: Rule, *, facts: ExposureFacts, catalog: ExposureCatalog
    ) -> frozenset[int]:
        """Return the detectors that an exposure is complete with.

        Parameters
        ----------
        rule
            One of the rules.
        facts
            Facts of the exposure.
        catalog
            The repository's detectors.

        Returns
        -------
        detectors
            Those that the rule expects, without those that another rule
            takes: they would be waited for in vain.

        Raises
        ------
        LookupError
            Raised if the instrument is not in the repository.
        """
        purposes = catalog.detectors(facts.instrument)
        if isinstance(rule.expected_detectors, frozenset):
            wanted = rule.expected_detectors
        else:
            wanted = frozenset(number for number, purpose in purposes.items() if purpose == "SCIENCE")
        return frozenset(
            number for number in wanted if number in purposes and self.select(facts, number) is rule
        )

    def pipelines(self) -> tuple[str, ...]:
        """Return the URIs of the pipelines that rules name, each once."""
        return tuple(dict.fromkeys(rule.pipeline for rule in self._rules if rule.pipeline is not None))

    def check(self) -> None:
        """Check that what the rules name exists.

        Raises
        ------
        DispatchError
            Raised if there is no such instrument, detector, pipeline, label,
            dataset type or function.  All of them are reported.

        Notes
        -----
        Pipelines are loaded with their tasks and functions are imported, which
        takes seconds in a process that has not done so before.
        """
        self._raise(find_dangling(dict(enumerate(self._rules))))

    def _raise(self, faults: Iterable[RuleFault]) -> None:
        problems = [self._places.describe(fault) for fault in faults]
        if problems:
            raise DispatchError(self._places.origin, problems)

    def _find_candidates(self, facts: ExposureFacts) -> tuple[Rule, ...]:
        return tuple(rule for rule in self._rules if rule.matches_exposure(facts))
