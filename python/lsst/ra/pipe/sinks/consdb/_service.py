# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("LiveConsDbObserver", "UnwrittenImages", "observe")

import json
import logging
import time
from typing import Any

import redis

from lsst.daf.butler import Butler

from ...execution import ImageReport
from ...execution.queue import JobQueue, connect
from ...execution.service import ServiceSettings
from ._errors import ConsDbUnavailableError
from ._observer import ConsDbObserver
from ._writer import WriteReport

_LOG = logging.getLogger(__name__)

_BUDGET_SECONDS = 0.1
"""Time (s) that an image may be late by, as earlier ones are written."""

_BATCH = 10

_MAX_UNWRITTEN = 500_000
"""Number of images to remember; of more the oldest are forgotten."""

_Image = tuple[str, int, int | None, str]
"""Instrument, exposure, detector and run."""


class UnwrittenImages:
    """Images whose rows ConsDB lacks, in Redis, beside the queue.

    Parameters
    ----------
    queue
        Queue of the service, whose server and prefix of keys are used.

    Notes
    -----
    The key, after the prefix, is ``consdb:unwritten``: a sorted set of JSON
    ``[instrument, exposure, detector or null, run]`` by the time (s) of the
    last attempt.  An image leaves it when it is written, and not before: who
    dies meanwhile loses none.  Two workers may write the same one, as that
    changes nothing.

    Every method raises `redis.RedisError` when the server cannot be reached.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._client: Any = queue.client
        self._key = queue.name("consdb", "unwritten")

    def __len__(self) -> int:
        return int(self._client.zcard(self._key))

    def put(self, image: _Image) -> None:
        """Remember an image, behind all others.

        Parameters
        ----------
        image
            Instrument, exposure, detector or `None`, and run.
        """
        with self._client.pipeline(transaction=True) as pipe:
            pipe.zadd(self._key, {json.dumps(image): time.time()})
            pipe.zremrangebyrank(self._key, 0, -_MAX_UNWRITTEN - 1)
            pipe.execute()

    def first(self, n: int) -> list[_Image]:
        """Return what has waited longest.

        Parameters
        ----------
        n
            Number of images at most.

        Returns
        -------
        images
            They stay where they are.
        """
        found = (json.loads(text) for text in self._client.zrange(self._key, 0, n - 1))
        return [(instrument, exposure, detector, run) for instrument, exposure, detector, run in found]

    def remove(self, image: _Image) -> None:
        """Forget an image.

        Parameters
        ----------
        image
            As in `put`.
        """
        self._client.zrem(self._key, json.dumps(image))


class LiveConsDbObserver:
    """Writes images to ConsDB as they come; those that it could not write, it
    writes after later ones.

    Parameters
    ----------
    observer
        What writes.
    unwritten
        Where images wait.
    pause_seconds
        Time (s) for which a database that does not answer is left alone, and
        after which what was refused is tried again.

    Notes
    -----
    A database that does not answer holds up one image a pause and worker, and
    what has waited is written in 0.1 s an image.
    """

    def __init__(
        self, observer: ConsDbObserver, unwritten: UnwrittenImages, *, pause_seconds: float = 30.0
    ) -> None:
        self._observer = observer
        self._unwritten = unwritten
        self._pause_seconds = pause_seconds
        self._outage = ""
        self._outage_end = self._retry_time = 0.0

    def __call__(self, report: ImageReport) -> WriteReport | None:
        """Write the results of an image.

        Parameters
        ----------
        report
            What became of its quanta.

        Returns
        -------
        written
            What became of the rows; `None` if there was nothing to write.

        Raises
        ------
        ConsDbError
            Raised if the database does not take it.
        ConsDbUnavailableError
            Raised if the database does not answer, or did not lately.

        Notes
        -----
        Whatever it raises, the image is remembered.
        """
        try:
            if time.monotonic() < self._outage_end:
                raise ConsDbUnavailableError(self._outage)
            written = self._observer(report)
        except Exception as err:  # It is raised again, whatever it is.
            self._note_outage(err)
            self._remember(report)
            raise
        try:
            self._write_waiting()
        except redis.RedisError as err:
            _LOG.warning("Cannot ask what is still to be written to ConsDB: %s", err)
        return written

    def _note_outage(self, error: Exception) -> None:
        now = time.monotonic()
        if isinstance(error, ConsDbUnavailableError) and now >= self._outage_end:
            self._outage, self._outage_end = str(error), now + self._pause_seconds

    def _remember(self, report: ImageReport) -> None:
        if not report.run:
            return
        try:
            self._unwritten.put((report.instrument, report.exposure, report.detector, report.run))
        except redis.RedisError as err:
            _LOG.error(
                "ConsDB lacks %s exposure %d, detector %s, and Redis does not remember it (%s): 'rapid "
                "consdb backfill' writes it.",
                *(report.instrument, report.exposure, report.detector, err),
            )

    def _write_waiting(self) -> None:
        """Write some of the images that have waited."""
        begin = time.monotonic()
        if begin < self._retry_time:
            return
        for image in self._unwritten.first(_BATCH):
            try:
                self._write(image)
            except Exception as err:  # It is another image's, and tried again, whatever it is.
                self._note_outage(err)
                # Not before the others again.
                self._unwritten.put(image)
                self._retry_time = time.monotonic() + self._pause_seconds
                return
            self._unwritten.remove(image)
            if time.monotonic() - begin > _BUDGET_SECONDS:
                return

    def _write(self, image: _Image) -> None:
        instrument, exposure, detector, run = image
        if detector is None:
            self._observer.write_exposure(instrument, exposure, collections=(run,))
        else:
            self._observer.write_detector(instrument, exposure, detector, collections=(run,))


def observe(*, settings: ServiceSettings, butler: Butler) -> LiveConsDbObserver:
    """Make the observer of a worker of the live service.

    Parameters
    ----------
    settings
        Settings of the service.
    butler
        Client of the repository; not used, as the observer has one of its own
        that may only read, with which it is in nobody's way.

    Returns
    -------
    observer
        It writes to the database that the settings name.
    """
    assert settings.consdb_url is not None, "The command line sees to it."
    url = settings.consdb_url.get_secret_value()
    observer = ConsDbObserver(url=url, repository=settings.repository, inputs=settings.inputs)
    for instrument in settings.instruments:
        try:
            observer.prepare(instrument)
        except ValueError as err:
            # Images are processed all the same, and every one tries again.
            _LOG.error("Nothing of %s goes to ConsDB: %s", instrument, err)
    queue = JobQueue(connect(settings.redis_url), settings.queue)
    return LiveConsDbObserver(observer, UnwrittenImages(queue), pause_seconds=settings.consdb_pause_seconds)
