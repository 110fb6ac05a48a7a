# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What can be wrong with rules that are well-formed."""

from __future__ import annotations

__all__ = ("RuleFault", "find_conflicts", "find_dangling")

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from lsst.pipe.base import Instrument, Pipeline
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.ra.pipe.camera import known_cameras, load_camera

from .._graph_parts import intermediates
from ._patterns import matches_any
from ._rule import Rule, import_function
from ._subsumption import rules_that_hide


@dataclasses.dataclass(frozen=True)
class RuleFault:
    """One thing that is wrong with a rule."""

    index: int
    """Position of the rule."""

    key: str
    """Key of the rule that is wrong."""

    message: str
    """What is wrong, and what was expected."""


def find_conflicts(rules: Mapping[int, Rule]) -> Iterator[RuleFault]:
    """Find names that occur twice and rules that are never chosen.

    Parameters
    ----------
    rules
        Rules by their position.

    Yields
    ------
    fault
        One fault after another.
    """
    earlier: list[Rule] = []
    for index, rule in rules.items():
        if any(one.name == rule.name for one in earlier):
            yield RuleFault(index, "name", f"the name {rule.name!r} is that of an earlier rule, too")
        elif hiding := rules_that_hide(rule, earlier):
            names = ", ".join(repr(one.name) for one in hiding)
            message = f"rule {rule.name!r} is never reached: all that it matches goes to {names} before it"
            yield RuleFault(index, "name", message)
        earlier.append(rule)


def find_dangling(rules: Mapping[int, Rule]) -> Iterator[RuleFault]:
    """Find what rules name and does not exist: instruments, detectors,
    pipelines, labels, dataset types, functions.

    Parameters
    ----------
    rules
        Rules by their position.

    Yields
    ------
    fault
        One fault after another.
    """
    for index, rule in rules.items():
        for key, message in (*_check_instruments(rule), *_check_detectors(rule), *_check_action(rule)):
            yield RuleFault(index, key, f"rule {rule.name!r}: {message}")


def _instruments(rule: Rule) -> list[str]:
    """Return the names of the known instruments that a rule may match."""
    known = known_cameras()
    return [name for name in known if rule.instrument is None or matches_any(rule.instrument, name)]


def _check_instruments(rule: Rule) -> Iterator[tuple[str, str]]:
    known = known_cameras()
    for pattern in rule.instrument or ():
        if not any(matches_any([pattern], name) for name in known):
            yield "instrument", f"no instrument is named {pattern!r}; known are {', '.join(known)}"


def _check_detectors(rule: Rule) -> Iterator[tuple[str, str]]:
    instruments = _instruments(rule)
    known = frozenset(number for name in instruments for number in load_camera(name).facts)
    for key in ("detectors", "expected_detectors"):
        numbers = getattr(rule, key)
        if instruments and isinstance(numbers, frozenset) and (unknown := numbers - known):
            yield key, f"{', '.join(instruments)} has no detector {_join(unknown)}"
    if rule.detectors is not None and isinstance(rule.expected_detectors, frozenset):
        extra = rule.expected_detectors - rule.detectors
        if extra:
            yield (
                "expected_detectors",
                f"expects detector {_join(extra)}, which the key 'detectors' leaves out",
            )


def _check_action(rule: Rule) -> Iterator[tuple[str, str]]:
    # Whatever foreign code raises here, of a pipeline's tasks and overrides or
    # of a module, is what is wrong with the rule.
    if rule.function is not None:
        try:
            import_function(rule.function)
        except Exception as err:
            yield "function", f"cannot import {rule.function!r}: {type(err).__name__}: {err}"
    if rule.pipeline is not None:
        try:
            pipeline = Pipeline.from_uri(rule.pipeline)
            graph = pipeline.to_graph()
        except Exception as err:
            yield "pipeline", f"cannot load {rule.pipeline!r}: {type(err).__name__}: {err}"
            return
        yield from _check_pipeline_instrument(rule, pipeline)
        yield from _check_dataset_types(rule, graph)


def _check_pipeline_instrument(rule: Rule, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    class_name = pipeline.getInstrument()
    if class_name is None or rule.instrument is None:
        return
    name = Instrument.from_string(class_name).getName()
    if others := [one for one in _instruments(rule) if one != name]:
        yield "pipeline", f"{rule.pipeline!r} is for {name}, but the rule matches {', '.join(others)}"


def _check_dataset_types(rule: Rule, graph: PipelineGraph) -> Iterator[tuple[str, str]]:
    choices = {"persist": intermediates(graph), "publish": _outputs(graph)}
    for key, known in choices.items():
        for name in getattr(rule, key):
            if name not in known:
                what = "intermediate" if key == "persist" else "output"
                choice = ", ".join(sorted(known)) or "none"
                yield key, f"{name!r} is no {what} of {rule.pipeline!r}; they are {choice}"


def _outputs(graph: PipelineGraph) -> frozenset[str]:
    return frozenset(
        edge.parent_dataset_type_name for node in graph.tasks.values() for edge in node.outputs.values()
    )


def _join(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))
