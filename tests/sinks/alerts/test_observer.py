# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Exposures in a Butler repository are judged, and observers are told."""

from __future__ import annotations

import json
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from alert_exposures import make_exposure, make_rules
from astropy.table import Table
from click.testing import CliRunner
from kafka_cluster import TIMEOUT, KafkaCluster
from lsst.daf.butler import Butler, DatasetType
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.cli._alert_options import AlertJudge, make_alert_judge
from lsst.ra.pipe.execution import ImageReport, QuantumOutcome, QuantumStatus, RunRequest
from lsst.ra.pipe.execution.queue import JobQueue
from lsst.ra.pipe.execution.service import ServiceSettings
from lsst.ra.pipe.sinks.alerts import (
    AlertBoard,
    AlertObserver,
    AlertRuleError,
    load_alert_rules,
    log_alert,
    observe_service,
    read_exposure,
    recall_exposures,
)
from number_repository import DAY_OBS, exposure_id, make_repository
from valkey_server import QueueServer

FWHM = "psf_fwhm_arcsec_median"
RUN = "u/test/run"
RULES = f"""
rules:
  - name: fwhm-jump
    severity: critical
    change: {{metric: {FWHM}, above: 0.5, at_least: 2}}
    message: "FWHM rose to {{now:.2f}} arcsec"
  - name: astrometry
    severity: warning
    detectors: {{metric: astrometry_status, other_than: ok, fraction: 0.5}}
  - name: read-noise
    severity: warning
    amplifiers: {{metric: read_noise_ratio, above: 1.5, number: 1}}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Repository with six exposures, of which the fifth is bad and the sixth
    is a bias.
    """
    root = tmp_path_factory.mktemp("alerts") / "repo"
    with make_repository(root, exposures=map(exposure_id, range(1, 7))) as butler:
        for name, dimension, storage_class in (
            ("rapid_exposure_summary", "visit", "StructuredDataDict"),
            ("rapid_exposure_detectors", "visit", "ArrowAstropy"),
            ("rapid_calibration_summary", "exposure", "StructuredDataDict"),
            ("rapid_calibration_amplifiers", "exposure", "ArrowAstropy"),
        ):
            dimensions = ("instrument", dimension)
            dataset_type = DatasetType(name, dimensions, storage_class, universe=butler.dimensions)
            butler.registry.registerDatasetType(dataset_type)
        butler.collections.register(RUN)
        for seq_num, fwhm in enumerate((0.7, 0.75, 0.8, 0.7, 1.6), start=1):
            status = ["no match", "no match", "ok"] if seq_num == 5 else ["ok"] * 3
            exposure = make_exposure(
                seq_num, detectors={"astrometry_status": status}, day_obs=DAY_OBS, psf_fwhm_arcsec_median=fwhm
            )
            visit = {"instrument": "LSSTCam", "visit": exposure_id(seq_num)}
            butler.put(dict(exposure.summary), "rapid_exposure_summary", visit, run=RUN)
            butler.put(exposure.detectors, "rapid_exposure_detectors", visit, run=RUN)
        bias = {"instrument": "LSSTCam", "exposure": exposure_id(6)}
        summary = make_exposure(6, day_obs=DAY_OBS, observation_type="bias").summary
        table = Table({"detector_name": ["R22_S11"], "amplifier": ["C07"], "read_noise_ratio": [1.7]})
        butler.put(dict(summary), "rapid_calibration_summary", bias, run=RUN)
        butler.put(table, "rapid_calibration_amplifiers", bias, run=RUN)
    (root / "rules.yaml").write_text(RULES)
    return root


@pytest.fixture
def butler(root: pathlib.Path) -> Iterator[Butler]:
    """Client of the repository."""
    with Butler.from_config(root) as butler:
        yield butler


def make_report(seq_num: int, *, detector: int | None = None, run: str = RUN) -> ImageReport:
    """Report of an exposure that was gathered, or of a detector."""
    outcomes = (QuantumOutcome("exposureSummary", QuantumStatus.SUCCEEDED),)
    return ImageReport("LSSTCam", exposure_id(seq_num), detector, outcomes, run=run)


def make_settings(root: pathlib.Path, server: QueueServer, queue: JobQueue, **others: Any) -> ServiceSettings:
    """Settings of a service with the rules."""
    return ServiceSettings(
        repository=str(root),
        redis_url=server.url,
        queue=queue.settings,
        **{"alerts": {"LSSTCam": str(root / "rules.yaml")}, **others},
    )


def test_service_tells_the_log_redis_and_kafka(
    root: pathlib.Path, butler: Butler, server: QueueServer, queue: JobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """Detectors are no exposures, and a run without a summary is passed over."""
    with KafkaCluster() as cluster:
        cluster.create("alerts")
        settings = make_settings(root, server, queue, alert_topic=f"kafka://{cluster.bootstrap}/alerts")
        observe = observe_service(settings=settings, butler=butler)
        board = AlertBoard(queue)
        with caplog.at_level(logging.INFO, logger="lsst.ra.pipe.sinks"):
            for seq_num in range(1, 6):
                observe(make_report(seq_num, detector=94))
                observe(make_report(seq_num, run=""))
                observe(make_report(seq_num))
            # Brokers confirm in their time, and what waits goes with any image.
            for _ in range(int(TIMEOUT)):
                if board.read().n_unsent == 0:
                    break
                observe(make_report(5, detector=94))
        assert board.read().n_unsent == 0
    assert [alert.rule for alert in board.read().standing] == ["fwhm-jump", "astrometry"]
    assert [record.levelname for record in caplog.records] == ["CRITICAL", "WARNING"]
    assert caplog.messages[0] == (
        f"critical alert fwhm-jump open: LSSTCam {DAY_OBS} seq 5: FWHM rose to 1.60 arcsec"
    )


def test_late_exposure_is_told_as_loud_as_any(
    root: pathlib.Path, butler: Butler, server: QueueServer, queue: JobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """A critical alert of it is critical in the log, and says that it is late."""
    observe = observe_service(settings=make_settings(root, server, queue), butler=butler)
    with caplog.at_level(logging.INFO, logger="lsst.ra.pipe.sinks"):
        for seq_num in (1, 2, 3, 6, 5):
            observe(make_report(seq_num))
    records = [record for record in caplog.records if "fwhm-jump" in record.getMessage()]
    assert [record.levelname for record in records] == ["CRITICAL", "INFO"]
    assert records[0].getMessage() == (
        f"critical alert fwhm-jump open: LSSTCam {DAY_OBS} seq 5: "
        f"Late, after exposure {exposure_id(6)}: FWHM rose to 1.60 arcsec"
    )
    assert [alert.rule for alert in AlertBoard(queue).read().standing] == ["read-noise"]


def test_calibration_exposures_are_judged_too(
    root: pathlib.Path, butler: Butler, server: QueueServer, queue: JobQueue
) -> None:
    """By their own summary and amplifiers."""
    observe = observe_service(settings=make_settings(root, server, queue), butler=butler)
    observe(make_report(6))
    (alert,) = AlertBoard(queue).read().standing
    assert (alert.rule, alert.detectors) == ("read-noise", ("R22_S11_C07",))


def test_wrong_rules_stop_a_service_that_starts(
    root: pathlib.Path, butler: Butler, server: QueueServer, queue: JobQueue, tmp_path: pathlib.Path
) -> None:
    """With the file and the line."""
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n  - {name: a, severity: info}\n")
    with pytest.raises(AlertRuleError, match=f"{path}:2: rule 'a': expected exactly one of"):
        observe_service(
            settings=make_settings(root, server, queue, alerts={"LSSTCam": str(path)}), butler=butler
        )


def test_no_rules_for_an_instrument(
    root: pathlib.Path, butler: Butler, server: QueueServer, queue: JobQueue
) -> None:
    """An empty name of the file: nothing is judged."""
    observe = observe_service(
        settings=make_settings(root, server, queue, alerts={"LSSTCam": ""}), butler=butler
    )
    observe(make_report(6))
    assert AlertBoard(queue).read_told() == ()


def test_repository_without_summaries(tmp_path: pathlib.Path) -> None:
    """No pipeline has made any yet."""
    with make_repository(tmp_path / "repo", exposures=[exposure_id(1)]) as butler:
        where: dict[str, Any] = {"instrument": "LSSTCam", "collections": ["LSSTCam/defaults"]}
        assert read_exposure(butler, exposure=exposure_id(1), **where) is None
        rules = make_rules(f"change: {{metric: {FWHM}, above: 1}}")
        assert recall_exposures(butler, rules, before=exposure_id(9), **where) == []


def test_earlier_exposures_are_recalled_from_the_repository(butler: Butler) -> None:
    """The latest before the exposure; nothing if no rule compares."""
    where: dict[str, Any] = {"instrument": "LSSTCam", "before": exposure_id(4), "collections": [RUN]}
    rules = make_rules(f"change: {{metric: {FWHM}, above: 1}}")
    records = recall_exposures(butler, rules, n=2, **where)
    assert [record.exposure for record in records] == [exposure_id(3), exposure_id(2)]
    assert [record.values for record in records] == [{FWHM: 0.8}, {FWHM: 0.75}]
    assert recall_exposures(butler, make_rules(f"level: {{metric: {FWHM}, above: 1}}"), **where) == []


def run_by_hand(root: pathlib.Path, *seq_nums: int, rules: str = "rules.yaml") -> list[str]:
    """Judge exposures as ``rapid run`` does; return the rules that tell."""
    request = RunRequest(
        repository=str(root),
        pipeline="",
        instrument="LSSTCam",
        exposures=tuple(map(exposure_id, seq_nums)),
        detectors=(),
        inputs=(),
        output=RUN,
    )
    (judge,) = make_alert_judge(request, [str(root / rules)], no_alerts=False)
    assert isinstance(judge, AlertJudge)
    for seq_num in seq_nums:
        judge(make_report(seq_num, detector=94))
        judge(make_report(seq_num))
    return [alert.rule for alert in judge.finish()]


def test_run_by_hand_compares_with_the_exposures_before(
    root: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the run in their order, and those that the collection had."""
    assert run_by_hand(root, 4) == []
    assert capsys.readouterr().out == ""
    assert run_by_hand(root, 5) == ["fwhm-jump", "astrometry"]
    assert "FWHM rose to 1.60 arcsec" in capsys.readouterr().out
    assert run_by_hand(root, 5, 4, 3) == ["fwhm-jump", "astrometry"]


def test_status_shows_open_alerts(
    root: pathlib.Path, butler: Butler, server: QueueServer, queue: JobQueue
) -> None:
    """The most urgent first; what waits for Kafka is told, too."""
    rules = {"LSSTCam": load_alert_rules(root / "rules.yaml")}
    observe = AlertObserver(butler, rules, AlertBoard(queue, sends=True), on_alert=log_alert)
    for seq_num in range(1, 6):
        observe(make_report(seq_num))
    options = ["--redis", server.url, "--prefix", queue.settings.prefix]
    result = CliRunner().invoke(main, ["status", "--once", *options], catch_exceptions=False)
    assert result.output.index("fwhm-jump") < result.output.index("astrometry")
    assert "FWHM rose to 1.60 arcsec" in result.output
    assert "2 alerts wait for Kafka" in result.output
    result = CliRunner().invoke(main, ["status", "--json", *options], catch_exceptions=False)
    facts = json.loads(result.stdout)
    assert [alert["rule"] for alert in facts["alerts"]] == ["fwhm-jump", "astrometry"]
    assert facts["alerts_unsent"] == 2
