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
from drift_resolved_mutations import FirstLookMutator, SampleMutator
from drift_tree import PRODUCTS, ROOT, Tree, environment
from lsst.ra.pipe.drift._compare import compare_snapshots
from lsst.ra.pipe.drift._difference import Difference
from lsst.ra.pipe.drift._load import make_snapshot
from lsst.ra.pipe.drift._snapshot import Level, Snapshot

N_DECLARED = 250
N_RESOLVED = 210
N_FIRST_LOOK = 40

SAMPLE = {"DRIFT_TEST_DIR": ROOT / "tests" / "data" / "drift"}
SAMPLE_NAME = "$DRIFT_TEST_DIR/pipelines/Leaf.yaml"
FIRST_LOOK = [
    "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml",
    "$RA_PIPE_DIR/pipelines/LATISS/FirstLookBias.yaml",
]
DECLARED = [
    "$AP_PIPE_DIR/pipelines/LSSTCam/ApPipe.yaml",
    "$AP_PIPE_DIR/pipelines/LSSTCam/SingleFrame.yaml",
    "$CP_VERIFY_DIR/pipelines/LSSTCam/verifyBias.yaml",
    "$RA_PIPE_DIR/pipelines/LATISS/RapidAnalysisFlat.yaml",
    "$RA_PIPE_DIR/pipelines/LSSTCam/Prompt.yaml",
    "$RA_PIPE_DIR/pipelines/LSSTCam/RapidAnalysis.yaml",
]


def kinds_of(mutator: type[Mutator]) -> list[str]:
    """Return what can be changed."""
    every = [name.removeprefix("change_") for name in dir(mutator) if name.startswith("change_")]
    return [kind for kind in every if kind in (mutator.kinds or every)]


def explain(difference: Difference) -> tuple[str, str, str]:
    """Say which difference it is."""
    return (str(difference.kind), difference.task, difference.name)


def assert_reported(differences: tuple[Difference, ...], expected: tuple[Expected, ...]) -> None:
    """Hold the differences against those expected, with their places."""
    by_name = {(one.kind, one.task, one.name): one for one in expected}
    assert sorted(map(explain, differences)) == sorted(by_name)
    for difference in differences:
        wanted = by_name[explain(difference)]
        if wanted.places:
            assert str(difference.reference.set_by) in wanted.places
        if wanted.was:
            assert str(difference.candidate.set_by) in wanted.was
        assert difference.reference.value != difference.candidate.value


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Copies of the products."""
    return Tree.copy({**PRODUCTS, **SAMPLE}, tmp_path_factory.mktemp("products"))


@pytest.fixture(scope="module")
def originals() -> dict[str, Snapshot]:
    """The pipelines as they are, at another place."""
    with environment(PRODUCTS):
        return {name: make_snapshot(name, level=Level.DECLARED) for name in DECLARED}


def mutate(tree: Tree, mutator: type[Mutator], names: list[str], seed: int) -> tuple[str, Mutation]:
    """Change one thing at random that is seen; kinds take turns."""
    rng = random.Random(seed)
    kinds = kinds_of(mutator)
    for attempt in range(40 * len(kinds)):
        name = rng.choice(names)
        try:
            mutation = mutator(tree, name, rng).mutate(kinds[(seed + attempt // 40) % len(kinds)])
        except NoSiteError:
            continue
        if mutation.expected:
            return name, mutation
    raise AssertionError(f"seed {seed}: nothing can be changed")


def check(
    tree: Tree, mutator: type[Mutator], originals: dict[str, Snapshot], level: Level, seed: int
) -> None:
    """Change one thing, and hold the differences against those expected."""
    name, mutation = mutate(tree, mutator, list(originals), seed)
    check_mutation(tree, originals[name], level, mutation, f"seed {seed}, {name}")


def check_mutation(tree: Tree, original: Snapshot, level: Level, mutation: Mutation, what: str) -> None:
    """Hold the differences that a change makes against those expected."""
    with tree.changed(mutation.edits):
        changed = make_snapshot(original.pipeline, level=level)
    differences = compare_snapshots(changed, original).differences
    try:
        assert_reported(differences, mutation.expected)
    except AssertionError as error:
        found = "\n".join(f"  {one!r}" for one in differences)
        raise AssertionError(f"{what}: {mutation.what}\n{error}\n{found}") from None


@pytest.fixture(scope="module")
def sample_original() -> dict[str, Snapshot]:
    """The tests' own pipeline as it is."""
    with environment(SAMPLE):
        return {SAMPLE_NAME: make_snapshot(SAMPLE_NAME, level=Level.RESOLVED)}


@pytest.fixture(scope="module")
def first_look_originals() -> dict[str, Snapshot]:
    """FirstLook's pipelines as they are."""
    with environment(PRODUCTS):
        return {name: make_snapshot(name, level=Level.RESOLVED) for name in FIRST_LOOK}


@pytest.mark.parametrize("name", DECLARED)
def test_copy_of_the_sources_is_the_same(name: str, tree: Tree, originals: dict[str, Snapshot]) -> None:
    """Where files lie is no difference."""
    with environment(tree.homes):
        again = make_snapshot(name, level=Level.DECLARED)
    assert compare_snapshots(again, originals[name]).differences == ()
    assert again == originals[name]


@pytest.mark.parametrize("seed", range(N_DECLARED))
def test_change_is_reported(seed: int, tree: Tree, originals: dict[str, Snapshot]) -> None:
    """Where tasks cannot be imported, a change is reported with its place, and nothing else is."""
    check(tree, Mutator, originals, Level.DECLARED, seed)


@pytest.mark.parametrize("seed", range(N_RESOLVED))
def test_change_of_resolved_pipeline_is_reported(
    seed: int, tree: Tree, sample_original: dict[str, Snapshot]
) -> None:
    """Where tasks can be imported, a change is reported with its place, and nothing else is."""
    check(tree, SampleMutator, sample_original, Level.RESOLVED, seed)


@pytest.mark.parametrize("seed", range(N_FIRST_LOOK))
def test_change_of_first_look_is_reported(
    seed: int, tree: Tree, first_look_originals: dict[str, Snapshot]
) -> None:
    """So is one in the pipelines of FirstLook."""
    check(tree, FirstLookMutator, first_look_originals, Level.RESOLVED, seed)


@pytest.mark.parametrize("kind", ["field", "connection", "class", "removed_statement"])
def test_hidden_change_is_not_reported(kind: str, tree: Tree, originals: dict[str, Snapshot]) -> None:
    """What another file sets anew, or no import asks for, makes no difference."""
    n_hidden = 0
    for seed in range(60):
        name = random.Random(seed).choice(DECLARED)
        try:
            mutation = Mutator(tree, name, random.Random(seed)).mutate(kind)
        except NoSiteError:
            continue
        if not mutation.expected:
            n_hidden += 1
            check_mutation(tree, originals[name], Level.DECLARED, mutation, f"seed {seed}, {name}")
    assert n_hidden
