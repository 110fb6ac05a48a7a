# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Alerts in Redis, on a real server."""

from __future__ import annotations

import concurrent.futures
import pathlib
from collections.abc import Callable

import pytest
import redis
from alert_exposures import DAY_OBS, make_alert, make_exposure, make_rules
from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, connect
from lsst.ra.pipe.sinks.alerts import (
    Alert,
    AlertBoard,
    AlertContext,
    AlertRules,
    AlertState,
    Evaluation,
    ExposureMetrics,
    Severity,
    evaluate,
)
from valkey_server import QueueServer

FWHM = "psf_fwhm_arcsec_median"
RULES = make_rules(
    f"level: {{metric: {FWHM}, above: 1.0}}",
    f"change: {{metric: {FWHM}, above: 0.5, at_least: 2, same: []}}, severity: critical",
)


def judge(board: AlertBoard, exposure: ExposureMetrics, rules: AlertRules = RULES) -> list[str]:
    """Judge an exposure; return rules and states of what is told."""

    def decide(context: AlertContext) -> Evaluation:
        return evaluate(rules, exposure, context)

    told = board.exchange(exposure.record(rules.remembered_metrics), decide)
    return [f"{alert.rule} {alert.state}" for alert in told]


def test_board_remembers_over_processes(queue: JobQueue) -> None:
    """History and open alerts are the server's; each call may be another's."""
    assert judge(AlertBoard(queue), make_exposure(1, psf_fwhm_arcsec_median=0.5)) == []
    assert judge(AlertBoard(queue), make_exposure(2, psf_fwhm_arcsec_median=0.6)) == []
    assert judge(AlertBoard(queue), make_exposure(3, psf_fwhm_arcsec_median=1.2)) == [
        "rule-0 open",
        "rule-1 open",
    ]
    status = AlertBoard(queue).read()
    assert [(alert.rule, alert.severity) for alert in status.standing] == [
        ("rule-1", Severity.CRITICAL),
        ("rule-0", Severity.INFO),
    ]
    assert status.n_unsent == 0
    assert judge(AlertBoard(queue), make_exposure(4, psf_fwhm_arcsec_median=0.5)) == [
        "rule-0 closed",
        "rule-1 closed",
    ]
    assert AlertBoard(queue).read().standing == ()
    assert [alert.state for alert in AlertBoard(queue).read_told(n=3)] == [
        AlertState.CLOSED,
        AlertState.CLOSED,
        AlertState.OPEN,
    ]


def test_exposure_that_is_judged_again_is_told_once(queue: JobQueue) -> None:
    """As after a crash between the telling and the acknowledgement."""
    board = AlertBoard(queue, sends=True)
    exposure = make_exposure(1, psf_fwhm_arcsec_median=1.2)
    assert judge(board, exposure) == ["rule-0 open"]
    assert judge(board, exposure) == []
    assert len(board.read_told()) == len(board.read_unsent()) == 1


def test_late_exposure_is_told_once_and_sent(queue: JobQueue) -> None:
    """Whichever worker gathers it, and however often."""
    board = AlertBoard(queue, sends=True)
    for seq_num, fwhm in ((1, 0.5), (3, 0.5)):
        assert judge(board, make_exposure(seq_num, psf_fwhm_arcsec_median=fwhm)) == []
    late = make_exposure(2, psf_fwhm_arcsec_median=1.2)
    assert judge(board, late) == ["rule-0 open", "rule-0 closed"]
    assert judge(AlertBoard(queue, sends=True), late) == []
    assert board.read().standing == ()
    for alerts in (board.read_told(), list(board.read_unsent().values())):
        assert [(alert.seq_num, alert.late) for alert in alerts] == [(2, True), (2, True)]
        assert len({alert.id for alert in alerts}) == 2


def test_workers_at_the_same_time_tell_an_alert_once(server: QueueServer, queue: JobQueue) -> None:
    """Who was slower judges again by what the other left."""
    barrier_size = 8

    def work(seq_num: int) -> list[str]:
        client = connect(server.url)
        board = AlertBoard(JobQueue(client, queue.settings))
        told = judge(board, make_exposure(seq_num, psf_fwhm_arcsec_median=1.2))
        client.close()
        return told

    with concurrent.futures.ThreadPoolExecutor(barrier_size) as pool:
        told = [text for texts in pool.map(work, range(1, 1 + barrier_size)) for text in texts]
    assert told == ["rule-0 open"]
    assert len(AlertBoard(queue).read_told()) == 1


def test_decision_is_made_again_when_the_board_changed_meanwhile(queue: JobQueue) -> None:
    """With what the other worker left."""
    board = AlertBoard(queue)
    seen: list[int] = []

    def decide(context: AlertContext) -> Evaluation:
        if not seen:
            judge(AlertBoard(queue), make_exposure(1, psf_fwhm_arcsec_median=2.0))
        seen.append(len(context.history))
        return Evaluation((), context.standing)

    board.exchange(make_exposure(2, psf_fwhm_arcsec_median=2.0).record([FWHM]), decide)
    assert seen == [0, 1]
    assert [alert.since for alert in board.read().standing] == [DAY_OBS * 100_000 + 1]


def test_instruments_do_not_mix(queue: JobQueue) -> None:
    """Each has its own history and alerts; all are read."""
    board = AlertBoard(queue)
    for instrument in ("LSSTCam", "LATISS"):
        assert judge(board, make_exposure(1, instrument=instrument, psf_fwhm_arcsec_median=2.0)) == [
            "rule-0 open"
        ]
    judge(board, make_exposure(2, instrument="LATISS", psf_fwhm_arcsec_median=0.5))
    assert [alert.instrument for alert in board.read().standing] == ["LSSTCam"]


def test_history_is_bounded(queue: JobQueue) -> None:
    """The oldest exposures are forgotten, in whatever order they came."""
    board = AlertBoard(queue)
    for seq_num in (*range(100, 400), *range(1, 50)):
        board.exchange(
            make_exposure(seq_num, psf_fwhm_arcsec_median=1.0).record([FWHM]),
            lambda context: Evaluation((), context.standing),
        )
    seen: list[int] = []

    def decide(context: AlertContext) -> Evaluation:
        seen.extend(record.exposure % 100_000 for record in context.history)
        return Evaluation((), {})

    board.exchange(make_exposure(400).record([]), decide)
    assert sorted(seen) == list(range(100, 400))


def test_confirmed_alerts_are_not_sent_again(queue: JobQueue) -> None:
    """The others wait."""
    board = AlertBoard(queue, sends=True)
    alerts = tuple(make_alert(f"rule-{index}") for index in range(3))
    board.exchange(make_exposure(1).record([]), lambda _: Evaluation(alerts, {}))
    unsent = board.read_unsent()
    assert tuple(unsent.values()) == alerts
    first, second, third = unsent
    board.confirm([second])
    assert list(board.read_unsent()) == [first, third]
    assert board.read().n_unsent == 2


def test_one_process_sends(queue: JobQueue) -> None:
    """Another one may when the first has been silent for long."""
    board = AlertBoard(queue)
    assert board.claim_sending("a", 60.0)
    assert board.claim_sending("a", 60.0)
    assert not board.claim_sending("b", 60.0)
    queue.client.delete(queue.name("alerts", "sender"))
    assert board.claim_sending("b", 60.0)


def test_restart_of_the_server_loses_nothing(tmp_path: pathlib.Path) -> None:
    """Neither what stands nor what waits."""
    with QueueServer(tmp_path) as server:
        client = connect(server.url)
        board = AlertBoard(JobQueue(client, QueueSettings()), sends=True)
        judge(board, make_exposure(1, psf_fwhm_arcsec_median=2.0))
        before = board.read()
        server.crash()
        assert board.read() == before
        assert before.n_unsent == 1
        client.close()


def test_server_that_does_not_answer_is_an_error(tmp_path: pathlib.Path) -> None:
    """Nothing is told that is not kept."""
    with QueueServer(tmp_path) as server:
        client = connect(server.url)
        board = AlertBoard(JobQueue(client, QueueSettings()))
        server.kill()
        with pytest.raises(redis.ConnectionError):
            judge(board, make_exposure(1, psf_fwhm_arcsec_median=2.0))
        client.close()


@pytest.mark.parametrize("change", [lambda one: one, lambda one: one.model_copy(update={"value": 0.1})])
def test_alerts_are_json(change: Callable[[Alert], Alert]) -> None:
    """A message and its identifier survive the wire."""
    alert = change(make_alert())
    assert Alert.model_validate_json(alert.model_dump_json()) == alert
    assert alert.id == f"LSSTCam/{DAY_OBS}00001/clouds/open"
