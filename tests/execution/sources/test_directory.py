# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Every complete file of a directory is delivered, however it gets there."""

from __future__ import annotations

import datetime
import json
import logging
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import fitsio
import numpy as np
import pytest
from lsst.ra.pipe.execution.events import EventParser, FileArrived
from lsst.ra.pipe.execution.sources import DirectorySource, SourceSettings, open_source
from lsst.ra.pipe.execution.sources._inbox import Inbox
from lsst.resources import ResourcePath
from source_runs import Recorder, running

NEVER = 1e6
"""Seconds that no test lasts."""


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Make a FITS file with two extensions."""
    path = tmp_path_factory.mktemp("content") / "file.fits"
    with fitsio.FITS(str(path), "rw") as file:
        file.write(None)
        file.write(np.arange(5000, dtype=np.int32), extname="Segment10")
        file.write(np.arange(5000, dtype=np.int32), extname="Segment11")
    return path.read_bytes()


@pytest.fixture
def raws(tmp_path: pathlib.Path) -> pathlib.Path:
    """Make a directory to watch."""
    directory = tmp_path / "raws"
    directory.mkdir()
    return directory


def make_source(directory: pathlib.Path, **settings: Any) -> DirectorySource:
    """Make a source that delivers nothing incomplete."""
    settings = {"settle_seconds": NEVER, **settings}
    return DirectorySource(directory, settings=SourceSettings.model_validate(settings))


def paths_of(recorder: Recorder) -> list[str]:
    """Give the paths that were delivered, in their order."""
    return [ResourcePath(json.loads(body)["uri"]).ospath for body in recorder.bodies]


def wait_for_paths(recorder: Recorder, *paths: pathlib.Path) -> None:
    """Wait until these have been delivered, each once and nothing else."""
    recorder.wait_for_count(len(paths))
    assert sorted(paths_of(recorder)) == sorted(map(str, paths))


def test_file_that_was_there_before_is_delivered(raws: pathlib.Path, content: bytes) -> None:
    """Also in directories below, the oldest first, and as a proper event."""
    old, older = raws / "a b.fits", raws / "20260322/MC_O_20260322_000005/older.fits.fz"
    older.parent.mkdir(parents=True)
    for path, age in ((old, 100), (older, 200)):
        path.write_bytes(content)
        os.utime(path, (time.time() - age, 1_774_235_655 - age))
    recorder = Recorder()
    with running(make_source(raws), recorder):
        recorder.wait_for_count(2)
    assert paths_of(recorder) == [str(older), str(old)]
    assert recorder.taken[1].origin == f"file {old}"
    (event,) = EventParser(instruments=["LSSTCam"]).parse(recorder.bodies[1])
    assert isinstance(event, FileArrived)
    assert event.arrived == datetime.datetime.fromtimestamp(1_774_235_555, datetime.UTC)


def test_file_written_in_place_is_delivered_once_and_whole(raws: pathlib.Path, content: bytes) -> None:
    """Until the last byte is there, nothing is delivered."""
    path, other = raws / "slow.fits", raws / "other.fits"
    sizes: list[int] = []

    class Sizes(Recorder):
        def __call__(self, deliveries: Any) -> Any:
            sizes.append(path.stat().st_size)
            return super().__call__(deliveries)

    recorder = Sizes()
    with running(make_source(raws), recorder):
        with path.open("wb", buffering=0) as stream:
            stream.write(content[: len(content) // 2])
            other.write_bytes(content)  # comes while the first one waits
            recorder.wait_for_count(1)
            assert paths_of(recorder) == [str(other)]
            stream.write(content[len(content) // 2 :])
        wait_for_paths(recorder, path, other)
    assert sizes[1] == len(content)


def test_renamed_file_is_delivered(raws: pathlib.Path, tmp_path: pathlib.Path, content: bytes) -> None:
    """From outside, and from a hidden name in the directory itself."""
    outside, hidden = tmp_path / "outside.fits", raws / ".hidden.fits"
    recorder = Recorder()
    with running(make_source(raws), recorder):
        outside.write_bytes(content)
        hidden.write_bytes(content)
        outside.rename(raws / "one.fits")
        hidden.rename(raws / "two.fits")
        wait_for_paths(recorder, raws / "one.fits", raws / "two.fits")


def test_file_renamed_into_place_need_not_be_quiet(
    raws: pathlib.Path, tmp_path: pathlib.Path, content: bytes
) -> None:
    """What was renamed after the last write is written no more."""
    outside = tmp_path / "outside.fits"
    outside.write_bytes(content)
    os.utime(outside, ns=(time.time_ns(), outside.stat().st_mtime_ns - 1))
    recorder = Recorder()
    with running(make_source(raws, quiet_seconds=NEVER), recorder):
        outside.rename(raws / "one.fits")
        wait_for_paths(recorder, raws / "one.fits")


def test_linked_file_is_delivered(raws: pathlib.Path, tmp_path: pathlib.Path, content: bytes) -> None:
    """Hard links and symbolic links, to files and to directories."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "one.fits").write_bytes(content)
    (raws / "linked").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(raws)
    recorder = Recorder()
    with running(make_source(raws), recorder):
        (raws / "hard.fits").hardlink_to(elsewhere / "one.fits")
        (raws / "soft.fits").symlink_to(elsewhere / "one.fits")
        wait_for_paths(recorder, raws / "linked/one.fits", raws / "hard.fits", raws / "soft.fits")


def test_file_in_a_new_directory_is_delivered(raws: pathlib.Path, content: bytes) -> None:
    """Whether it comes with the directory or later, and however deep."""
    recorder = Recorder()
    expected = []
    with running(make_source(raws), recorder):
        for exposure in range(20):
            directory = raws / f"2026032{exposure % 3}/MC_O_20260322_{exposure:06d}"
            directory.mkdir(parents=True)
            for detector in range(3):
                path = directory / f"{directory.name}_R22_S1{detector}.fits"
                path.write_bytes(content)
                expected.append(path)
        wait_for_paths(recorder, *expected)


def test_new_directory_is_scanned_again(
    raws: pathlib.Path, tmp_path: pathlib.Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the kernel did not tell of is found after a while."""
    recorder = Recorder()
    scan = Inbox.scan
    scans: list[str] = []

    def scan_nothing_first(inbox: Inbox, directory: str) -> None:
        scans.append(directory)
        if scans.count(directory) > 1:
            scan(inbox, directory)

    monkeypatch.setattr(Inbox, "scan", scan_nothing_first)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/one.fits").write_bytes(content)
    with running(make_source(raws, settle_seconds=0.1), recorder):
        (tmp_path / "new").rename(raws / "new")
        wait_for_paths(recorder, raws / "new/one.fits")


@pytest.mark.parametrize("cut", [0, 1000, 2880 + 100, -1])
def test_incomplete_file_is_delivered_after_a_while(raws: pathlib.Path, content: bytes, cut: int) -> None:
    """So that ingest says what is wrong with it; also if it was there before."""
    recorder = Recorder()
    (raws / "before.fits").write_bytes(content[:cut])
    with running(make_source(raws, settle_seconds=0.3), recorder):
        (raws / "later.fits").write_bytes(content[:cut])
        wait_for_paths(recorder, raws / "before.fits", raws / "later.fits")


def test_other_files_are_passed_over(raws: pathlib.Path, content: bytes) -> None:
    """By their names: sidecars, hidden files, files in hidden directories."""
    for name in (".hidden/one.fits", ".one.fits", "one.json", "fits", "one.fits.tmp"):
        (raws / name).parent.mkdir(exist_ok=True)
        (raws / name).write_bytes(content)
    (raws / "directory.fits").mkdir()
    recorder = Recorder()
    with running(make_source(raws, settle_seconds=0), recorder):
        for name in (".late/one.fits", ".two.fits", "two.json"):
            (raws / name).parent.mkdir(exist_ok=True)
            (raws / name).write_bytes(content)
        (raws / "good.fits").write_bytes(content)
        wait_for_paths(recorder, raws / "good.fits")


def test_pattern_chooses_the_files(raws: pathlib.Path, content: bytes) -> None:
    """What else is there is not looked at."""
    recorder = Recorder()
    with running(make_source(raws, file_pattern=r"_S\d\d\.fits$"), recorder):
        (raws / "a_SG0.fits").write_bytes(content)
        (raws / "a_S11.fits").write_bytes(content)
        wait_for_paths(recorder, raws / "a_S11.fits")


@pytest.mark.parametrize(
    "change",
    [
        lambda path, content: path.write_bytes(content),
        lambda path, content: os.utime(path, (1, 1)),
        lambda path, content: (path.unlink(), path.write_bytes(content)),
    ],
    ids=["rewritten", "touched", "replaced"],
)
def test_changed_file_is_delivered_again(
    raws: pathlib.Path, content: bytes, change: Callable[[pathlib.Path, bytes], Any]
) -> None:
    """One that did not change is not, though the kernel tells of it."""
    path, other = raws / "one.fits", raws / "other.fits"
    recorder = Recorder()
    with running(make_source(raws), recorder):
        path.write_bytes(content)
        recorder.wait_for_count(1)
        path.chmod(0o600)
        other.write_bytes(content)
        recorder.wait_for_count(2)
        change(path, content)
        recorder.wait_for_count(3)
    assert paths_of(recorder) == [str(path), str(other), str(path)]


def test_vanished_file_does_no_harm(raws: pathlib.Path, content: bytes) -> None:
    """It was incomplete and is gone; the next one is delivered."""
    recorder = Recorder()
    with running(make_source(raws), recorder):
        (raws / "gone.fits").write_bytes(content[:-1])
        (raws / "gone.fits").unlink()
        (raws / "good.fits").write_bytes(content)
        wait_for_paths(recorder, raws / "good.fits")


def test_outage_of_redis_forgets_nothing(
    raws: pathlib.Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that come meanwhile are delivered as well, each once."""
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    recorder.break_down()
    (raws / "before.fits").write_bytes(content)
    with running(make_source(raws, batch_size=2), recorder):
        recorder.wait_for(lambda: recorder.attempts >= 2)
        names = [f"new/{number}.fits" for number in range(5)]
        (raws / "new").mkdir()
        for name in names:
            (raws / name).write_bytes(content)
        recorder.recover()
        wait_for_paths(recorder, raws / "before.fits", *(raws / name for name in names))
    assert max(recorder.batches) <= 2
    assert len([record for record in caplog.records if "Redis" in record.message]) == 2


def test_stop_during_an_outage_of_redis_ends_it(raws: pathlib.Path, content: bytes) -> None:
    """The next source finds the file."""
    (raws / "one.fits").write_bytes(content)
    broken, recorder = Recorder(), Recorder()
    broken.break_down()
    with running(make_source(raws), broken):
        broken.wait_for(lambda: broken.attempts >= 1)
    with running(make_source(raws), recorder):
        wait_for_paths(recorder, raws / "one.fits")


def test_burst_of_files_is_delivered(raws: pathlib.Path, content: bytes) -> None:
    """Some thousands at once, which the kernel's queue might not hold."""
    recorder = Recorder()
    names = [f"{number:05d}.fits" for number in range(3000)]
    with running(make_source(raws, settle_seconds=0.5), recorder):
        for name in names:
            (raws / name).write_bytes(content[:2880])
        recorder.wait_for_count(len(names))
    assert sorted(paths_of(recorder)) == [str(raws / name) for name in names]


def test_name_that_is_no_utf_8_stops_nobody(raws: pathlib.Path, content: bytes) -> None:
    """It is passed over, though the kernel's news of it cannot be read."""
    (raws / os.fsdecode(b"caf\xe9.fits")).write_bytes(content)
    with running(make_source(raws), recorder := Recorder()):
        os.rename(raws / os.fsdecode(b"caf\xe9.fits"), raws / os.fsdecode(b"th\xe9.fits"))
        (raws / "raw.fits").write_bytes(content)
        recorder.wait_for_count(1)
    assert paths_of(recorder) == [str(raws / "raw.fits")]


def test_missing_directory_is_an_error(tmp_path: pathlib.Path) -> None:
    """It does not wait for one to be made."""
    with pytest.raises(NotADirectoryError, match="missing"):
        open_source(f"file://{tmp_path}/missing").run(Recorder())
