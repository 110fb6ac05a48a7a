# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A night in which everything fails: the live service with real parts, and
what is done to them.

Kafka (a mock cluster over sockets), distributors, Valkey and workers are
processes of their own, and the Butler repository is a real one.  They are
killed, stopped and restarted while events come twice, out of order, broken,
and for images that crash, hang or eat memory.  At the end `audit` compares
what there is with what there must be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import directed_pipeline
from chaos_audit import ChaosResult, audit
from kafka_cluster import FAST, KafkaCluster
from lsst.daf.butler import Butler, Config
from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, connect
from lsst.ra.pipe.execution.service import ServiceSettings
from lsst.ra.pipe.execution.sources import SourceSettings
from number_repository import INSTRUMENT, add_exposures, exposure_id, make_repository, put_numbers
from service_parts import environment_of, is_alive, make_event, wait_until
from valkey_server import QueueServer

TOPIC = "images"
DETECTORS = tuple(range(88, 104))
"""Detectors of each exposure; one event each."""

POISON = {
    "raise": (0.004, "told to raise"),
    "kill": (0.002, "killed by SIGKILL"),
    "hang": (0.002, "longer than its time limit"),
    "eat memory": (0.002, "MemoryError"),
}
"""What some images do at every attempt: share of the images, and what the
reason says."""

PASSING = {"raise": 0.01, "kill": 0.002}
"""What some images do at the first attempt only: share of the images."""

GARBAGE = (
    b"",
    b"\xff\xfe not JSON",
    b'{"type": "image-ingested"}',
    b'{"type": "image-ingested", "version": 99}',
    b'{"type": "parcel-arrived", "version": 1}',
    make_event(exposure_id(1), 88).replace(INSTRUMENT.encode(), b"LSSTComCam"),
    b'{"type": "image-ingested", "padding": "' + b"x" * 300_000 + b'"}',
)
"""Events that must be refused."""

RULES = """
rules:
  - name: all
    pipeline: {pipeline}
    attempts: 3
    time_limit: 1.5
    raw_wait: 120
    expected_detectors: "{first}..{last}"
    gather_deadline: 5
"""

_BACKLOG = 100
"""Events that are sent ahead of what is done."""

_LONGEST_LULL = 12.0
"""Time (s) after which the next thing happens, though little was done."""


@dataclasses.dataclass(frozen=True)
class Night:
    """What is sent, and what it must lead to."""

    numbers: Mapping[tuple[int, int], Mapping[str, Any]]
    """Content of the raw of each image, by exposure and detector."""

    deadly: Mapping[tuple[int, int], str]
    """What the reason says of the images that fail at every attempt."""

    late_exposures: Sequence[int]
    """Exposures that the Butler gets to know after their events."""

    late_numbers: Sequence[tuple[int, int]]
    """Images whose raws come after their events."""

    messages: Sequence[bytes]
    """Events in the order in which they are sent."""

    @classmethod
    def plan(cls, n_events: int, chance: random.Random, directory: pathlib.Path) -> Night:
        """Plan a night."""
        n_exposures = -(-n_events // len(DETECTORS))
        exposures = [exposure_id(1 + i) for i in range(n_exposures)]
        images = [(exposure, detector) for exposure in exposures for detector in DETECTORS][:n_events]
        numbers: dict[tuple[int, int], dict[str, Any]] = {
            image: {"value": float(image[1])} for image in images
        }
        shuffled = iter(chance.sample(images, len(images)))
        deadly = {}
        for act, (share, reason) in POISON.items():
            for image in _first(shuffled, share * n_events):
                numbers[image]["act"] = act
                deadly[image] = reason
        for act, share in PASSING.items():
            for image in _first(shuffled, share * n_events):
                marker = directory / f"{image[0]}-{image[1]}"
                numbers[image] |= {"act": act, "once": str(marker)}
        return cls(
            numbers=numbers,
            deadly=deadly,
            late_exposures=exposures[n_exposures // 4 :][:2],
            late_numbers=[image for image in images if image[0] in exposures[n_exposures // 2 :][:3]][::4],
            messages=_make_messages(images, chance),
        )


def _first(images: Iterator[tuple[int, int]], count: float) -> list[tuple[int, int]]:
    return [image for image, _ in zip(images, range(max(1, round(count))), strict=False)]


def _make_messages(images: Sequence[tuple[int, int]], chance: random.Random) -> list[bytes]:
    """Make events: each image at least once, a fifth of them twice, near
    their place; with some that must be refused.
    """
    placed = [(i + chance.uniform(0, 40), make_event(*image)) for i, image in enumerate(images)]
    for i, image in enumerate(images):
        if chance.random() < 0.2:
            placed.append((i + chance.uniform(0, 200), make_event(*image)))
    placed += [(chance.uniform(0, len(images)), body) for body in GARBAGE for _ in range(3)]
    return [body for _, body in sorted(placed)]


class Program:
    """A command of the service, in a process that is started again."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], logs: pathlib.Path
    ):
        self.name = name
        self._command = [sys.executable, "-m", "lsst.ra.pipe.cli", *arguments]
        self._environment = {**os.environ, **environment}
        self._log = logs / f"{name}.log"
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Its process now (`int`)."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def look_after(self) -> None:
        """Start it again if it has ended."""
        if self._process.poll() is not None:
            self._process = self._start()

    def end(self) -> None:
        """End it for good."""
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(20.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)


class Chaos:
    """The service, and what is done to it.

    Parameters
    ----------
    directory
        For the repository, the queue's data, and logs.
    night
        What is sent.
    chance
        Chooses whom to hit.
    n_workers
        Number of workers.
    seed_config
        Configuration of the repository; the default is SQLite.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        night: Night,
        chance: random.Random,
        *,
        n_workers: int,
        seed_config: Config | None,
    ) -> None:
        self.night = night
        self.counts: dict[str, int] = dict.fromkeys(
            ("worker_kills", "child_kills", "worker_stops", "distributor_kills", "redis_restarts"), 0
        )
        self.counts["broker_outages"] = 0
        self._chance = chance
        self._n_workers = n_workers
        self._directory = directory
        self._cleanup = contextlib.ExitStack()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._sent = 0
        self.butler = self._make_repository(seed_config)

    def _make_repository(self, seed_config: Config | None) -> Butler:
        late = set(self.night.late_exposures)
        early = sorted({exposure for exposure, _ in self.night.numbers} - late)
        butler = make_repository(self._directory / "repo", exposures=early, seed_config=seed_config)
        self._cleanup.callback(butler.close)
        self._put_numbers(
            butler,
            [
                image
                for image in self.night.numbers
                if image[0] not in late and image not in self.night.late_numbers
            ],
        )
        return butler

    def _put_numbers(self, butler: Butler, images: Sequence[tuple[int, int]]) -> None:
        put_numbers(butler, {image: self.night.numbers[image] for image in images}, self._directory / "raws")

    def __enter__(self) -> Chaos:
        """Start everything."""
        data, logs = self._directory / "valkey", self._directory / "logs"
        for directory in (data, logs):
            directory.mkdir()
        self.server = self._cleanup.enter_context(QueueServer(data))
        self.kafka = self._cleanup.enter_context(KafkaCluster())
        self.kafka.create(TOPIC)
        self.settings = self._make_settings()
        self.queue = JobQueue(connect(self.settings.redis_url), self.settings.queue)
        common = [self.settings.repository, "--redis", self.server.url]
        common += ["--dispatch", self.settings.dispatch[INSTRUMENT]]
        environment = environment_of(self.settings)
        self.workers = [
            Program(
                f"worker-{i}",
                ["work", *common, "--index", str(i), "--workers", str(self._n_workers)],
                environment=environment,
                logs=logs,
            )
            for i in range(self._n_workers)
        ]
        source = ["--source", self.kafka.url(TOPIC)]
        self.distributors = [
            Program(f"distributor-{i}", ["distribute", *common, *source], environment=environment, logs=logs)
            for i in range(2)
        ]
        self._cleanup.callback(self.end_programs)
        return self

    def __exit__(self, *args: object) -> None:
        self._cleanup.close()

    def end_programs(self) -> None:
        """End all workers and distributors."""
        for program in (*self.workers, *self.distributors):
            program.end()

    def _make_settings(self) -> ServiceSettings:
        pipeline = self._directory / "Directed.yaml"
        pipeline.write_text(directed_pipeline.PIPELINE)
        rules = self._directory / "dispatch.yaml"
        rules.write_text(RULES.format(pipeline=pipeline, first=DETECTORS[0], last=DETECTORS[-1]))
        return ServiceSettings(
            repository=str(self._directory / "repo"),
            redis_url=self.server.url,
            dispatch={INSTRUMENT: str(rules)},
            queue=QueueSettings(lease_seconds=1.5, backoff_seconds=0.1),
            source=SourceSettings(kafka_options=FAST, batch_size=50),
            memory_limit_bytes=1_000_000_000,
            grace_seconds=5.0,
        )

    # What happens ----------------------------------------------------------

    def schedule(self) -> list[tuple[float, Callable[[], None]]]:
        """Return what happens, each after some share of the events."""
        n = len(self.night.numbers)
        misfortunes = [self.kill_worker] * max(2, n // 120)
        misfortunes += [self.kill_child] * max(1, n // 170)
        misfortunes += [self.stop_worker] * max(1, n // 500)
        misfortunes += [self.kill_distributor] * max(1, n // 500)
        misfortunes += [self.crash_redis] * max(1, n // 1000)
        misfortunes += [self.break_brokers] * max(1, n // 1000)
        happenings = [(self._chance.uniform(0.02, 0.95), one) for one in misfortunes]
        # What is late is not later than the service waits.
        happenings += [(0.25, self.add_late_exposures), (0.5, self.add_late_numbers)]
        return sorted(happenings, key=lambda one: one[0])

    def kill_worker(self) -> None:
        """Kill a supervisor; its child must go with it."""
        self._chance.choice(self.workers).signal(signal.SIGKILL)
        self.counts["worker_kills"] += 1

    def kill_child(self) -> None:
        """Kill the process of a worker that executes."""
        pids = [pid for worker in self.workers if (pid := self._child_of(worker)) is not None]
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), signal.SIGKILL)
            self.counts["child_kills"] += 1

    def stop_worker(self) -> None:
        """Stop a supervisor for longer than its lease."""
        worker = self._chance.choice(self.workers)
        pid = worker.pid
        worker.signal(signal.SIGSTOP)
        self.counts["worker_stops"] += 1
        self._later(3.0, lambda: os.kill(pid, signal.SIGCONT) if is_alive(pid) else None)

    def kill_distributor(self) -> None:
        """Kill one of the distributors."""
        self._chance.choice(self.distributors).signal(signal.SIGKILL)
        self.counts["distributor_kills"] += 1

    def crash_redis(self) -> None:
        """Kill the queue's server, and start it with its append-only file."""
        self.server.kill()
        self.counts["redis_restarts"] += 1
        self._later(1.0, self.server.start)

    def break_brokers(self) -> None:
        """Stop the brokers for some time."""
        self.kafka.pause()
        self.counts["broker_outages"] += 1
        self._later(4.0, self.kafka.resume)

    def add_late_exposures(self) -> None:
        """Make the late exposures known, with their raws."""
        add_exposures(self.butler, self.night.late_exposures)
        late = set(self.night.late_exposures)
        self._put_numbers(self.butler, [image for image in self.night.numbers if image[0] in late])

    def add_late_numbers(self) -> None:
        """Store the late raws."""
        late = set(self.night.late_exposures)
        self._put_numbers(self.butler, [image for image in self.night.late_numbers if image[0] not in late])

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._timers.append((time.monotonic() + seconds, what))

    def _child_of(self, worker: Program) -> int | None:
        """Return the process of a worker that executes, if it has one."""
        client = self.queue.client
        for name in client.scan_iter(self.queue.name("worker", f"*-{worker.pid}-*"), count=1000):
            if child := client.hget(name, "child"):
                return int(child) if is_alive(int(child)) else None
        return None

    # The night -------------------------------------------------------------

    def run(self, *, seconds: float, tell: Callable[[str], None]) -> bool:
        """Have it all happen; tell whether everything came to an end."""
        happenings = self.schedule()
        end = time.monotonic() + seconds
        wait_until(lambda: all(self._child_of(worker) for worker in self.workers), what="workers start")
        last = time.monotonic()
        while time.monotonic() < end:
            self._look_after()
            if self._timers:
                # Nobody can be asked before that is over.
                time.sleep(0.05)
                continue
            done = self.n_settled()
            self._send(done)
            share = done / len(self.night.numbers)
            if happenings and (share >= happenings[0][0] or time.monotonic() - last > _LONGEST_LULL):
                what = happenings.pop(0)[1]
                tell(f"{done} events settled: {what.__name__}")
                what()
                last = time.monotonic()
            elif not happenings and self.is_over():
                return True
            time.sleep(0.05)
        return False

    def n_settled(self) -> int:
        """Count the jobs that are done or dead."""
        client = self.queue.client
        return int(client.xlen(self.queue.name("reports")) + client.xlen(self.queue.name("dead")))

    def is_over(self) -> bool:
        """Tell whether nothing is left to do."""
        if self._sent < len(self.night.messages):
            return False
        client = self.queue.client
        shards = client.smembers(self.queue.name("shards"))
        if any(client.xlen(self.queue.name("stream", shard.decode())) for shard in shards):
            return False
        if client.zcard(self.queue.name("gathers")):
            return False
        return self.kafka.committed(TOPIC) == len(self.night.messages)

    def _send(self, done: int) -> None:
        """Send events, as far ahead as the backlog may be."""
        until = min(done + _BACKLOG, len(self.night.messages))
        if until > self._sent:
            self.kafka.produce(TOPIC, self.night.messages[self._sent : until])
            self._sent = until

    def _look_after(self) -> None:
        """Start what has ended, and do what is due."""
        now = time.monotonic()
        due = [one for one in self._timers if one[0] <= now]
        self._timers = [one for one in self._timers if one[0] > now]
        for _, what in due:
            what()
        for program in (*self.workers, *self.distributors):
            program.look_after()


def run_chaos(
    directory: pathlib.Path,
    *,
    n_events: int = 1000,
    seed: int = 1,
    n_workers: int = 2,
    seconds: float = 220.0,
    seed_config: Config | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> ChaosResult:
    """Run a night in which everything fails, and see what came of it.

    Parameters
    ----------
    directory
        For all files.
    n_events
        Number of images that are announced; there are more messages.
    seed
        Chooses what happens, to whom and when.
    n_workers
        Number of workers.
    seconds
        Time (s) after which it is given up.
    seed_config
        Configuration of the repository; the default is SQLite.
    tell
        Called with what happens.
    """
    chance = random.Random(seed)
    markers = directory / "markers"
    markers.mkdir(parents=True)
    night = Night.plan(n_events, chance, markers)
    with Chaos(directory, night, chance, n_workers=n_workers, seed_config=seed_config) as chaos:
        begin = time.monotonic()
        in_time = chaos.run(seconds=seconds, tell=tell)
        duration = time.monotonic() - begin
        chaos.end_programs()
        return audit(
            chaos.queue,
            repository=chaos.settings.repository,
            images=list(night.numbers),
            deadly=night.deadly,
            garbage=GARBAGE,
            in_time=in_time,
            seconds=duration,
            counts=chaos.counts,
        )
