# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Events per second of one distributor, with a real server of the queue."""

from __future__ import annotations

__all__ = ("SCIENCE_DETECTORS", "DistributorRates", "add_exposures", "make_events", "measure_distributor")

import dataclasses
import datetime
import itertools
import pathlib
import sys
import threading
import time
from collections.abc import Iterable, Sequence

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

from _service_images import INSTRUMENT
from kafka_cluster import KafkaCluster
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.dispatch import ExposureCatalog
from lsst.ra.pipe.execution.events import EventParser, ImageIngested
from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, connect
from lsst.ra.pipe.execution.service import Distributor, JobPlanner, ServiceSettings
from lsst.ra.pipe.execution.sources import Delivery, Receipt, open_source

SCIENCE_DETECTORS = tuple(range(189))
"""The detectors of the focal plane's imaging rafts."""

_BATCH = 500
"""Deliveries that are handled at once, as the sources do."""


@dataclasses.dataclass(frozen=True)
class DistributorRates:
    """Events per second."""

    n_events: int
    """Number of events each time."""

    handling: list[float]
    """With the events at hand, in batches."""

    kafka: float
    """From Kafka, offsets committed."""

    duplicates: float
    """With events at hand that were handled before: all are refused."""


def add_exposures(butler: Butler, n: int) -> list[int]:
    """Add exposures, which have no raws; return their numbers.

    They are copies of one that is there.
    """
    [record, *_] = butler.query_dimension_records("exposure", instrument=INSTRUMENT)
    values = record.toDict()
    last = max(one.id for one in butler.query_dimension_records("exposure", instrument=INSTRUMENT))
    added = []
    for number in range(last + 1, last + 1 + n):
        sequence = number % 100_000
        values |= {
            "id": number,
            "seq_num": sequence,
            "seq_start": sequence,
            "seq_end": sequence,
            "obs_id": f"MC_O_{record.day_obs}_{sequence:06d}",
        }
        butler.registry.insertDimensionData("exposure", butler.dimensions["exposure"].RecordClass(**values))
        added.append(number)
    return added


def make_events(exposures: Iterable[int]) -> list[Delivery]:
    """Make an event for each detector of the focal plane."""
    now = datetime.datetime.now(datetime.UTC)
    return [
        Delivery(
            ImageIngested(instrument=INSTRUMENT, exposure=exposure, detector=detector, ingested=now)
            .model_dump_json()
            .encode(),
            f"benchmark {exposure}/{detector}",
        )
        for exposure in exposures
        for detector in SCIENCE_DETECTORS
    ]


def measure_distributor(
    repository: pathlib.Path, url: str, exposures: Sequence[int], *, repeat: int
) -> DistributorRates:
    """Handle the same events several times, each time with an empty queue.

    Parameters
    ----------
    repository
        Root of the repository, which knows the exposures.
    url
        Server of the queue.
    exposures
        Butler ``exposure`` values.
    repeat
        How many times.
    """
    settings = ServiceSettings(repository=str(repository), redis_url=url)
    events = make_events(exposures)
    rates = []
    for i in range(repeat):
        distributor = make_distributor(settings, f"handling{i}")
        begin = time.perf_counter()
        for batch in itertools.batched(events, _BATCH):
            _expect(distributor.handle(batch), accepted=True)
        rates.append(len(events) / (time.perf_counter() - begin))
    begin = time.perf_counter()
    for batch in itertools.batched(events, _BATCH):
        _expect(distributor.handle(batch), accepted=False)
    duplicates = len(events) / (time.perf_counter() - begin)
    kafka = _measure_kafka(make_distributor(settings, "kafka"), settings, events)
    return DistributorRates(len(events), rates, kafka, duplicates)


def make_distributor(settings: ServiceSettings, prefix: str) -> Distributor:
    """Make a distributor for a queue of its own."""
    queue_settings = QueueSettings(prefix=prefix)
    queue = JobQueue(connect(settings.redis_url), queue_settings)
    butler = Butler.from_config(settings.repository)
    planner = JobPlanner(ExposureCatalog(butler), settings.load_dispatch(), queue_settings)
    return Distributor(queue, EventParser(instruments=settings.instruments), planner)


def _measure_kafka(distributor: Distributor, settings: ServiceSettings, events: Sequence[Delivery]) -> float:
    """Return the rate from the first to the last message."""
    n_handled = 0
    begin = end = 0.0
    done = threading.Event()

    def handle(deliveries: Sequence[Delivery]) -> list[Receipt]:
        nonlocal n_handled, begin, end
        begin = begin or time.perf_counter()
        receipts = distributor.handle(deliveries)
        n_handled += len(receipts)
        end = time.perf_counter()
        if n_handled >= len(events):
            done.set()
        return receipts

    with KafkaCluster() as cluster:
        cluster.create("images")
        cluster.produce("images", (event.body for event in events))
        source = open_source(cluster.url("images"), settings.source)
        thread = threading.Thread(target=source.run, args=(handle,))
        thread.start()
        try:
            if not done.wait(60.0):
                raise SystemExit(f"Of {len(events)} messages {n_handled} came within 60 s.")
        finally:
            source.stop()
            thread.join()
    return len(events) / (end - begin)


def _expect(receipts: Iterable[Receipt], *, accepted: bool) -> None:
    for receipt in receipts:
        if bool(receipt.accepted) is not accepted:
            raise SystemExit(f"Expected accepted={accepted}; got {receipt}.")
