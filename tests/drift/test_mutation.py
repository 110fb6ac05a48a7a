# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""One thing is changed at random in the reference: the gate reports that, says
where it is, and reports nothing else.
"""

from __future__ import annotations

import random

import pytest
from drift_mutations import Expected, Mutation, Mutator, NoSiteError
from drift_tree import PRODUCTS, Tree, environment
from lsst.ra.pipe.drift._compare import compare_snapshots
from lsst.ra.pipe.drift._difference import Difference
from lsst.ra.pipe.drift._load import make_snapshot
from lsst.ra.pipe.drift._snapshot import Level, Snapshot

N_DECLARED = 250

KINDS = [name.removeprefix("change_") for name in dir(Mutator) if name.startswith("change_")]

DECLARED = [
    "$AP_PIPE_DIR/pipelines/LSSTCam/ApPipe.yaml",
    "$AP_PIPE_DIR/pipelines/LSSTCam/SingleFrame.yaml",
    "$CP_VERIFY_DIR/pipelines/LSSTCam/verifyBias.yaml",
    "$RA_PIPE_DIR/pipelines/LATISS/RapidAnalysisFlat.yaml",
    "$RA_PIPE_DIR/pipelines/LSSTCam/Prompt.yaml",
    "$RA_PIPE_DIR/pipelines/LSSTCam/RapidAnalysis.yaml",
]


def explain(difference: Difference) -> tuple[str, str, str]:
    """Say which difference it is."""
    return (str(difference.kind), difference.task, difference.name)


def assert_reported(differences: tuple[Difference, ...], expected: tuple[Expected, ...]) -> None:
    """Hold the differences against those expected, with their places."""
    assert [explain(one) for one in differences] == [(one.kind, one.task, one.name) for one in expected]
    for difference, wanted in zip(differences, expected, strict=True):
        if wanted.places:
            assert str(difference.reference.set_by) in wanted.places
        if wanted.was:
            assert str(difference.candidate.set_by) in wanted.was
        assert difference.reference.value != difference.candidate.value


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Copies of the products."""
    return Tree.copy(PRODUCTS, tmp_path_factory.mktemp("products"))


@pytest.fixture(scope="module")
def originals() -> dict[str, Snapshot]:
    """The pipelines as they are, at another place."""
    with environment(PRODUCTS):
        return {name: make_snapshot(name, level=Level.DECLARED) for name in DECLARED}


def mutate(tree: Tree, names: list[str], seed: int, *, hidden: bool = False) -> tuple[str, Mutation]:
    """Change one thing at random, that another file hides or does not hide."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    while True:
        name = rng.choice(names)
        try:
            mutation = Mutator(tree, name, rng).mutate(kind)
        except NoSiteError:
            continue
        if hidden is not bool(mutation.expected):
            return name, mutation


@pytest.mark.parametrize("name", DECLARED)
def test_copy_of_the_sources_is_the_same(name: str, tree: Tree, originals: dict[str, Snapshot]) -> None:
    """Where files lie is no difference."""
    with environment(tree.homes):
        again = make_snapshot(name, level=Level.DECLARED)
    assert compare_snapshots(again, originals[name]).differences == ()
    assert again == originals[name]


@pytest.mark.parametrize("seed", range(N_DECLARED))
def test_change_is_reported(seed: int, tree: Tree, originals: dict[str, Snapshot]) -> None:
    """At the declared level, the change is reported with its place, and nothing else is."""
    name, mutation = mutate(tree, DECLARED, seed)
    with tree.changed(mutation.edits):
        changed = make_snapshot(name, level=Level.DECLARED)
    check(seed, name, mutation, compare_snapshots(changed, originals[name]).differences)


@pytest.mark.parametrize("kind", ["field", "connection", "class", "removed_statement"])
def test_hidden_change_is_not_reported(kind: str, tree: Tree, originals: dict[str, Snapshot]) -> None:
    """What another file sets anew, or no import asks for, makes no difference."""
    n_hidden = 0
    for seed in range(60):
        try:
            name = random.Random(seed).choice(DECLARED)
            mutation = Mutator(tree, name, random.Random(seed)).mutate(kind)
        except NoSiteError:
            continue
        if not mutation.expected:
            n_hidden += 1
            with tree.changed(mutation.edits):
                changed = make_snapshot(name, level=Level.DECLARED)
            check(seed, name, mutation, compare_snapshots(changed, originals[name]).differences)
    assert n_hidden


def check(seed: int, name: str, mutation: Mutation, differences: tuple[Difference, ...]) -> None:
    """Hold the differences that are found against those expected."""
    try:
        assert_reported(differences, mutation.expected)
    except AssertionError as error:
        found = "\n".join(f"  {one!r}" for one in differences)
        raise AssertionError(f"seed {seed}, {name}: {mutation.what}\n{error}\n{found}") from None
