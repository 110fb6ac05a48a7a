# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What must be so after a night in which everything failed."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.queue import DeadLetter, JobKind, JobQueue, read_reports, read_status

Image = tuple[int, int]
"""Exposure and detector."""


@dataclasses.dataclass(frozen=True)
class ChaosResult:
    """What came of it."""

    events: int
    """Images that were announced."""
    processed: int
    """Images whose outputs are in the Butler."""
    dead_lettered: int
    """Images that are among the dead letters instead."""
    lost: int
    """Images that are neither."""
    doubled: int
    """Outputs that are there more than once."""
    rejected: int
    """Events that were kept with the reason of their refusal."""
    gathered: int
    """Exposures with a summary of all their detectors."""
    retried: int
    """Images that succeeded after more than one attempt."""
    worker_kills: int
    """Supervisors and executing processes that were killed."""
    worker_stops: int
    """Supervisors that were stopped for longer than a lease."""
    distributor_kills: int
    """Distributors that were killed."""
    redis_restarts: int
    """Crashes of the queue's server."""
    broker_outages: int
    """Outages of Kafka."""
    seconds: float
    """Time (s) from the first event to the last result."""
    problems: tuple[str, ...]
    """What is not as it must be, a sentence each."""


def audit(
    queue: JobQueue,
    *,
    repository: str,
    images: Sequence[Image],
    deadly: Mapping[Image, str],
    garbage: Sequence[bytes],
    in_time: bool,
    seconds: float,
    counts: Mapping[str, int],
) -> ChaosResult:
    """Compare what there is with what there must be."""
    letters = list(queue.dead_letters())
    dead = {_image_of(letter): letter for letter in letters if letter.job.kind is JobKind.DETECTOR}
    with Butler.from_config(repository) as butler:
        made = _count_outputs(butler, "acted")
        problems = [] if in_time else ["It did not come to an end in time."]
        doubled = _find_doubled(butler, pathlib.Path(repository), made)
        gathered, faults = _check_summaries(butler, images, made, dead)
    lost = [image for image in images if image not in made and image not in dead]
    problems += [f"Lost: {image}" for image in lost]
    problems += [f"Twice: {name}" for name in doubled]
    problems += faults
    problems += _check_dead(letters, dead, made, deadly)
    problems += _check_rejected(queue, garbage)
    problems += _check_queue(queue)
    reports = read_reports(queue, n=1_000_000)
    return ChaosResult(
        events=len(images),
        processed=len(made),
        dead_lettered=len(dead.keys() - made.keys()),
        lost=len(lost),
        doubled=len(doubled),
        rejected=queue.client.xlen(queue.name("rejected")),
        gathered=gathered,
        retried=sum(report["kind"] == "detector" and report["attempt"] > 1 for report in reports),
        worker_kills=counts["worker_kills"] + counts["child_kills"],
        worker_stops=counts["worker_stops"],
        distributor_kills=counts["distributor_kills"],
        redis_restarts=counts["redis_restarts"],
        broker_outages=counts["broker_outages"],
        seconds=seconds,
        problems=tuple(problems),
    )


def _image_of(letter: DeadLetter) -> Image:
    assert letter.job.exposure is not None, "It is a detector's."
    assert letter.job.detector is not None, "It is a detector's."
    return letter.job.exposure, letter.job.detector


def _count_outputs(butler: Butler, dataset_type: str) -> dict[Image, int]:
    """Count the outputs of each image in all runs; each must be readable."""
    counts: collections.Counter[Image] = collections.Counter()
    for ref in butler.query_datasets(
        dataset_type, collections="LSSTCam/rapid", find_first=False, limit=None, explain=False
    ):
        image = (int(ref.dataId["exposure"]), int(ref.dataId["detector"]))
        assert butler.get(ref)["value"] == image[1], f"{ref} has the number of another detector."
        counts[image] += 1
    return dict(counts)


def _find_doubled(butler: Butler, root: pathlib.Path, made: Mapping[Image, int]) -> list[str]:
    """Find outputs that are twice in the registry, or files that nobody
    registered.
    """
    doubled = [f"outputs of {image} in {count} runs" for image, count in made.items() if count > 1]
    for dataset_type in ("acted", "act_metadata", "total", "total_metadata"):
        refs = butler.query_datasets(
            dataset_type, collections="LSSTCam/rapid", find_first=False, limit=None, explain=False
        )
        known = {pathlib.Path(butler.getURI(ref).ospath).resolve() for ref in refs}
        assert all(path.is_file() for path in known), f"Some {dataset_type} have no file."
        files = {path.resolve() for path in (root / "LSSTCam/rapid").glob(f"**/{dataset_type}_LSSTCam*")}
        doubled += [f"file {path.name} without a dataset" for path in sorted(files - known)]
    return doubled


def _check_summaries(
    butler: Butler, images: Sequence[Image], made: Mapping[Image, int], dead: Mapping[Image, DeadLetter]
) -> tuple[int, list[str]]:
    """Each exposure must have a summary of all detectors that succeeded."""
    gathered, problems = 0, []
    for exposure in sorted({exposure for exposure, _ in images}):
        succeeded = {image for image in made if image[0] == exposure}
        # What is dead and yet there was given up on too early; its detector
        # may be in the summary or not.
        least = len(succeeded - dead.keys())
        ref = butler.find_dataset("total", instrument="LSSTCam", visit=exposure, collections="LSSTCam/rapid")
        n = 0 if ref is None else butler.get(ref)["n"]
        if least <= n <= len(succeeded):
            gathered += 1
        else:
            problems.append(f"The summary of {exposure} has {n} detectors of {least} to {len(succeeded)}.")
    return gathered, problems


def _check_dead(
    letters: Sequence[DeadLetter],
    dead: Mapping[Image, DeadLetter],
    made: Mapping[Image, int],
    deadly: Mapping[Image, str],
) -> list[str]:
    """Each poison image must be dead, by its own fault as a rule; others only
    if their workers were killed, stopped or starved each time.
    """
    problems = []
    for letter in letters:
        if letter.job.kind is not JobKind.DETECTOR:
            problems.append(f"{letter.job.key} is dead: {letter.reason}")
    # All of these may come of what was done to the workers, or the processor.
    violence = ("fell silent", "killed by SIGKILL", "longer than its time limit")
    for image, reason in deadly.items():
        if image not in dead:
            problems.append(f"{image} is not dead, though it is poison: {reason}")
        elif not any(text in dead[image].reason for text in (reason, *violence)):
            problems.append(f"{image} is dead for another reason than {reason!r}: {dead[image].reason}")
        if image in made:
            problems.append(f"{image} has outputs, though it is poison: {reason}")
    for image, letter in dead.items():
        if image not in deadly and not any(text in letter.reason for text in violence):
            problems.append(f"{image} is dead without a cause: {letter.reason}")
    return problems


def _check_rejected(queue: JobQueue, garbage: Sequence[bytes]) -> list[str]:
    """Each broken event must be there, with its bytes; good ones only if they
    came again.
    """
    rejected = list(queue.rejected_events())
    kept = {event.body for event in rejected}
    problems = [f"Not kept: {body[:60]!r}" for body in garbage if body not in kept]
    problems += [
        f"Refused, though good: {event.reason}"
        for event in rejected
        if event.body not in garbage and event.code != "replayed"
    ]
    return problems


def _check_queue(queue: JobQueue) -> list[str]:
    """Nothing may wait or be held."""
    status = read_status(queue)
    problems = [
        f"Shard {shard.name}: {shard.waiting} wait, {shard.leased} are leased." for shard in status.shards
    ]
    for name in queue.client.scan_iter(queue.name("held", "*"), count=1000):
        problems.append(f"{name.decode()}: {queue.client.smembers(name)}")
    return problems
