# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Which database a command writes to, and what it does when that is away."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner
from consdb_inputs import make_metrics
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.cli._consdb_options import (
    ConsDbRecorder,
    choose_consdb,
    consdb_options,
    has_private_results,
    with_consdb,
)
from lsst.ra.pipe.execution import ImageReport, RunRequest
from lsst.ra.pipe.execution.service import ServiceSettings
from lsst.ra.pipe.sinks.consdb import ConsDbDatabase, ConsDbWriter
from number_repository import INSTRUMENT, exposure_id, make_repository

OBSERVER = "lsst.ra.pipe.sinks.consdb:observe"


def _report(detector: int) -> ImageReport:
    published = {"rapid_detector_metrics": make_metrics(detector)}
    return ImageReport(INSTRUMENT, exposure_id(1), detector, (), published=published, run="some/run")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Repository that knows an exposure."""
    root = tmp_path_factory.mktemp("options") / "repo"
    make_repository(root, exposures=[exposure_id(1)]).close()
    return str(root)


def test_default_is_a_file_in_a_local_repository(tmp_path: pathlib.Path) -> None:
    """Nothing is written beside a repository that is elsewhere."""
    assert choose_consdb(None, str(tmp_path)) == f"sqlite:///{tmp_path}/consdb_{{instrument}}.sqlite3"
    assert choose_consdb(None, "s3://bucket/repo") is None
    assert choose_consdb("sqlite:////x.db", str(tmp_path)) == "sqlite:////x.db"
    assert choose_consdb("sqlite:////x.db", str(tmp_path), no_consdb=True) is None


@pytest.mark.parametrize(
    "url",
    [
        "consdb.sqlite3",
        "mysql://me:secret@host/database",
        "postgresql://me:secret@host:port/database",
        "postgresql:/me:secret@host/database",
        "",
    ],
)
def test_what_is_no_address_is_refused_at_once(tmp_path: pathlib.Path, url: str) -> None:
    """Not after an hour of processing, and without telling a password."""
    with pytest.raises(click.BadParameter, match="expected sqlite:///FILE") as error:
        choose_consdb(url, str(tmp_path))
    assert "secret" not in error.value.message


def test_password_is_in_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be printed."""
    url = "postgresql://me:hidden@host/database"
    monkeypatch.setenv("RAPID_CONSDB_URL", url)
    settings = ServiceSettings(repository="repo")
    for one in (settings, with_consdb(settings, url)):
        assert "hidden" not in f"{one!r} {one} {one.model_dump_json()}"
        assert one.consdb_url is not None
        assert one.consdb_url.get_secret_value() == url


def test_service_writes_to_consdb_or_not() -> None:
    """The observers of others stay, and ours is there once."""
    settings = ServiceSettings(repository="repo", observers=("other:observe",))
    writing = with_consdb(with_consdb(settings, "sqlite:////a.db"), "sqlite:////b.db")
    assert writing.observers == ("other:observe", OBSERVER)
    assert writing.consdb_url is not None
    assert writing.consdb_url.get_secret_value() == "sqlite:////b.db"
    silent = with_consdb(writing, None)
    assert (silent.observers, silent.consdb_url) == (("other:observe",), None)


@pytest.fixture
def locked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Who holds a database, for which nobody waits for long."""
    monkeypatch.setattr("lsst.ra.pipe.sinks.consdb._database._LOCK_SECONDS", 0.01)
    ConsDbWriter(ConsDbDatabase(f"sqlite:///{tmp_path}/consdb.sqlite3", INSTRUMENT)).prepare()
    with contextlib.closing(sqlite3.connect(tmp_path / "consdb.sqlite3", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_run_tries_again_at_the_end(
    tmp_path: pathlib.Path, root: str, locked: sqlite3.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that was away for a while gets everything."""
    recorder = ConsDbRecorder(f"sqlite:///{tmp_path}/consdb.sqlite3", root, ())
    recorder(_report(93))
    recorder(_report(94))
    locked.execute("COMMIT")
    assert recorder.finish() == []
    assert "ConsDB: 2 images written." in capsys.readouterr().out
    connection = sqlite3.connect(tmp_path / "consdb.sqlite3")
    query = "SELECT detector FROM ccdvisit1_quicklook ORDER BY detector"
    assert connection.execute(query).fetchall() == [(93,), (94,)]
    connection.close()


def test_run_says_what_it_could_not_write(
    tmp_path: pathlib.Path, root: str, locked: sqlite3.Connection
) -> None:
    """And goes on until the end."""
    recorder = ConsDbRecorder(f"sqlite:///{tmp_path}/consdb.sqlite3", root, ())
    for detector in (93, 94, 95):
        recorder(_report(detector))
    outage, advice = recorder.finish()
    assert "does not answer" in outage
    assert outage.endswith("3 images were not written.")
    assert "rapid consdb backfill" in advice


@pytest.mark.parametrize(
    ("arguments", "private"),
    [
        (("-o", "u/me/test"), True),
        (("-o", "LSSTCam/quick"), False),
        (("-o", "LSSTCam/quick", "-c", "isr:doBias=False"), True),
        (("-o", "u/me/test", "-c", "isr:doBias=False", "--consdb", "sqlite:////x.db"), False),
    ],
)
def test_private_results_do_not_take_the_rows(arguments: tuple[str, ...], private: bool) -> None:
    """Unless the command line names a database; the environment does not."""

    @click.command()
    @click.option("-o", "output")
    @click.option("-c", "config", multiple=True)
    @consdb_options
    def command(output: str, config: tuple[str, ...], consdb: str, no_consdb: bool) -> None:
        click.echo(has_private_results(output, config))

    result = CliRunner().invoke(command, arguments, env={"RAPID_CONSDB_URL": "sqlite:////y.db"})
    assert result.output == f"{private}\n"


@pytest.mark.parametrize("instrument", ["LSSTCam", "LSSTComCam"])
def test_run_goes_on_when_an_exposure_cannot_be_read(
    tmp_path: pathlib.Path, root: str, instrument: str
) -> None:
    """The repository does not know it, or its instrument."""
    recorder = ConsDbRecorder(f"sqlite:///{tmp_path}/{{instrument}}.sqlite3", root, ())
    published = {"rapid_detector_metrics": make_metrics(0)}
    recorder(ImageReport(instrument, exposure_id(77), 0, (), published=published, run="some/run"))
    recorder(_report(93))
    problem, advice = recorder.finish()
    assert f"does not know exposure {exposure_id(77)} of {instrument}." in problem
    assert "rapid consdb backfill" in advice
    connection = sqlite3.connect(tmp_path / "lsstcam.sqlite3")
    assert connection.execute("SELECT COUNT(*) FROM ccdvisit1_quicklook").fetchall() == [(1,)]
    connection.close()


def test_run_goes_on_without_its_repository(tmp_path: pathlib.Path) -> None:
    """What the Butler raises is no error of the database."""
    recorder = ConsDbRecorder(f"sqlite:///{tmp_path}/consdb.sqlite3", str(tmp_path / "none"), ())
    recorder(_report(93))
    problem, _ = recorder.finish()
    assert "ConsDB: FileNotFoundError" in problem


class _BrokenJudge:
    """Alerts that cannot be told."""

    def __call__(self, report: ImageReport) -> None:
        pass

    def finish(self) -> None:
        raise ValueError("nobody can be told")


def test_failure_of_alerts_does_not_cost_the_rows(
    tmp_path: pathlib.Path, root: str, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has waited for the database is written at the end of any run."""

    def run_with_progress(request: RunRequest, *, processes: int, observers: list[Any]) -> list[ImageReport]:
        for observer in observers:
            observer(_report(93))
        locked.execute("COMMIT")
        return [_report(93)]

    monkeypatch.setattr("lsst.ra.pipe.cli._run.run_with_progress", run_with_progress)
    monkeypatch.setattr("lsst.ra.pipe.cli._run.make_alert_judge", lambda *_, **__: [_BrokenJudge()])
    options = ("-o", "LSSTCam/quick", "--consdb", f"sqlite:///{tmp_path}/consdb.sqlite3")
    result = CliRunner().invoke(
        main, ["run", root, "-p", "x.yaml", "-e", str(exposure_id(1)), "-d", "93", *options]
    )
    assert result.exit_code == 1
    assert "nobody can be told" in result.output
    assert "ConsDB: 1 images written." in result.output


def test_run_says_what_consdb_refuses(tmp_path: pathlib.Path, root: str) -> None:
    """The other images are written."""
    recorder = ConsDbRecorder(f"sqlite:///{tmp_path}/consdb.sqlite3", root, ())
    wrong = {"rapid_detector_metrics": make_metrics(94, n_psf_stars=2**50)}
    recorder(_report(93))
    recorder(ImageReport(INSTRUMENT, exposure_id(1), 94, (), published=wrong, run="some/run"))
    recorder(_report(95))
    refusal, _ = recorder.finish()
    assert "seq_num=1, detector=94): column n_psf_star" in refusal
    connection = sqlite3.connect(tmp_path / "consdb.sqlite3")
    assert connection.execute("SELECT COUNT(*) FROM ccdvisit1_quicklook").fetchall() == [(2,)]
    connection.close()
