# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Files that arrive are ingested once each, and their images are queued."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
from collections.abc import Callable, Iterator

import pytest
from camera.raws import EXPOSURE, write_raw
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.events import EventRejected, FileArrived, ImageIngested, RejectionCode
from lsst.ra.pipe.execution.queue import WorkerShards
from lsst.ra.pipe.execution.service import ServiceSettings, plan_ingest
from lsst.ra.pipe.repository import create_repository
from service_parts import Service

DETECTORS = {"R22_S10": 93, "R22_S11": 94, "R22_S12": 95}
ARRIVED = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> Iterator[Butler]:
    """Repository without any exposure."""
    with create_repository(tmp_path / "repo", instruments=["lsst.ra.pipe.camera.LsstCam"]) as butler:
        yield butler


@pytest.fixture
def service(
    make_settings: Callable[..., ServiceSettings], repository: Butler, tmp_path: pathlib.Path
) -> Service:
    """A service on that repository."""
    settings = make_settings().model_copy(update={"repository": str(tmp_path / "repo"), "batch_size": 10})
    return Service(settings, repository)


@pytest.fixture
def raws(tmp_path: pathlib.Path) -> dict[int, pathlib.Path]:
    """Raw files of one exposure, by detector."""
    return {number: write_raw(tmp_path / f"{name}.fits", detector=name) for name, number in DETECTORS.items()}


def arrive(service: Service, *paths: pathlib.Path, seconds: float = 0.0) -> list[str]:
    """Queue files; return the keys of their jobs."""
    arrived = ARRIVED + datetime.timedelta(seconds=seconds)
    jobs = [plan_ingest(FileArrived(uri=path.as_uri(), arrived=arrived)) for path in paths]
    service.queue.enqueue(jobs)
    return [job.key for job in jobs]


def ingested(service: Service) -> list[int]:
    """Return the detectors of all raws."""
    with Butler.from_config(service.settings.repository) as butler:
        refs = butler.query_datasets("raw", collections="LSSTCam/raw/all", explain=False)
        return sorted(int(ref.dataId["detector"]) for ref in refs)


def queued(service: Service) -> list[str]:
    """Return the keys of all jobs that wait in the shards of detectors."""
    client = service.queue.client
    return sorted(
        key.decode()
        for shard in range(service.settings.queue.n_shards)
        for key in client.zrange(service.queue.name("waiting", str(shard)), 0, -1)
    )


def test_file_of_an_unknown_store_fails_alone(service: Service, raws: dict[int, pathlib.Path]) -> None:
    """What a library raises for one URI is not the others' fault."""
    bad = plan_ingest(FileArrived(uri="gopher://example.org/raw.fits", arrived=ARRIVED))
    service.queue.enqueue([bad.model_copy(update={"max_attempts": 1})])
    good = arrive(service, *raws.values())
    with service.worker(WorkerShards.for_ingest()):
        for key in good:
            service.await_done(key)
        letter = service.await_dead(bad.key)
    assert "gopher://example.org/raw.fits" in letter.reason
    assert ingested(service) == [93, 94, 95]


def test_bad_file_of_a_batch_fails_alone(
    service: Service, raws: dict[int, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """It is dead with its name and the reason; the images of the others are
    queued.
    """
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"no FITS at all")
    *good, bad_key = arrive(service, *raws.values(), bad)
    with service.worker(WorkerShards.for_ingest(), batch_size=10):
        for key in good:
            service.await_done(key)
        letter = service.await_dead(bad_key)
    assert "bad.fits" in letter.reason
    assert letter.attempts == 3
    assert ingested(service) == [93, 94, 95]
    assert queued(service) == [f"LSSTCam/{EXPOSURE}/{detector}/all" for detector in (93, 94, 95)]


def test_file_that_arrives_twice_is_ingested_once(service: Service, raws: dict[int, pathlib.Path]) -> None:
    """Whether it is the same event or a later one; its image is queued once."""
    arrive(service, raws[94])
    keys = arrive(service, raws[94]) + arrive(service, raws[94], seconds=1.0)
    with service.worker(WorkerShards.for_ingest(), batch_size=10):
        for key in keys:
            service.await_done(key)
        for key in (later := arrive(service, raws[94], seconds=2.0)):
            service.await_done(key)
    assert len({*keys, *later}) == 3
    assert all(len(service.reports(key)) == 1 for key in {*keys, *later})
    assert ingested(service) == [94]
    assert queued(service) == [f"LSSTCam/{EXPOSURE}/94/all"]


def test_two_workers_may_ingest_one_exposure_at_once(
    service: Service, raws: dict[int, pathlib.Path], repository: Butler
) -> None:
    """Both meet the same new exposure; nothing fails, all is there once."""
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(service.worker(WorkerShards.for_ingest()))
        for key in arrive(service, *raws.values()):
            assert service.await_done(key)["attempt"] == 1
    assert ingested(service) == [93, 94, 95]
    [visit] = repository.query_dimension_records("visit", instrument="LSSTCam")
    assert visit.id == EXPOSURE
    assert list(service.queue.dead_letters()) == []


def test_missing_file_is_waited_for(
    service: Service, raws: dict[int, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """An event may be there before its file can be seen."""
    path = tmp_path / "later.fits"
    [missing, there] = arrive(service, path, raws[93])
    with service.worker(WorkerShards.for_ingest(), batch_size=10):
        service.await_done(there)
        raws[94].rename(path)
        assert service.await_done(missing)["attempt"] == 1
    assert ingested(service) == [93, 94]


def test_image_of_another_instrument_is_rejected(service: Service) -> None:
    """A repository may have instruments that this service does not serve."""
    event = ImageIngested(instrument="LATISS", exposure=1, detector=0, ingested=ARRIVED)
    with pytest.raises(EventRejected, match="expected one of LSSTCam, got LATISS") as caught:
        service.planner.plan(event)
    assert caught.value.code is RejectionCode.WRONG_INSTRUMENT
