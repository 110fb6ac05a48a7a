# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import concurrent.futures
import datetime
import pathlib
from typing import Any

import pytest
from arithmetic_pipeline import EXPOSURE, NO_VISIT
from dispatch_rules import load_rules
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.dispatch import ExposureCatalog
from lsst.ra.pipe.repository import register_instrument

OBS_ID = "MC_O_20260101_000007"


@pytest.fixture
def queries(repository: Butler, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Dimension elements that the repository is asked for, as they are."""
    asked: list[str] = []
    ask = repository.query_dimension_records

    def count(element: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(element)
        return ask(element, *args, **kwargs)

    monkeypatch.setattr(repository, "query_dimension_records", count)
    return asked


def add_exposure(butler: Butler, exposure: int, obs_id: str, **values: Any) -> None:
    """Register one more exposure."""
    record: dict[str, Any] = {
        "instrument": "LSSTCam",
        "id": exposure,
        "day_obs": 20260101,
        "group": str(EXPOSURE),
        "physical_filter": "r_57",
        "obs_id": obs_id,
    }
    butler.registry.insertDimensionData("exposure", record | values)


def test_facts(repository: Butler) -> None:
    """They are those of the record; the shutter's time is UTC."""
    facts = ExposureCatalog(repository).facts("LSSTCam", EXPOSURE)
    assert (facts.instrument, facts.exposure, facts.obs_id) == ("LSSTCam", EXPOSURE, OBS_ID)
    assert (facts.day_obs, facts.physical_filter) == (20260101, "r_57")
    assert (facts.ra, facts.dec) == (150.0, 2.0)
    # 03:00:30 TAI, 37 leap seconds ahead of UTC.
    closed = datetime.datetime(2026, 1, 2, 2, 59, 53, tzinfo=datetime.UTC)
    assert facts.shutter_close is not None
    assert abs(facts.shutter_close - closed) < datetime.timedelta(milliseconds=1)


def test_facts_that_are_not_known(repository: Butler) -> None:
    """An exposure without pointing and time has none."""
    add_exposure(repository, 2026010100009, "MC_O_20260101_000009")
    facts = ExposureCatalog(repository).facts("LSSTCam", 2026010100009)
    assert (facts.ra, facts.dec, facts.shutter_close, facts.observation_type) == (None, None, None, None)


def test_known_exposure_is_asked_for_once(repository: Butler, queries: list[str]) -> None:
    """By number and by name, the detectors included."""
    catalog = ExposureCatalog(repository)
    for _ in range(3):
        assert catalog.resolve("LSSTCam", OBS_ID, "R22_S11") == (EXPOSURE, 94)
        assert catalog.resolve("LSSTCam", OBS_ID, "R22_S12") == (EXPOSURE, 95)
        catalog.facts("LSSTCam", EXPOSURE)
    assert sorted(queries) == ["detector", "exposure"]


def test_unknown_exposure_is_asked_for_again(repository: Butler) -> None:
    """An event may come before the exposure; another one may be too late."""
    catalog = ExposureCatalog(repository)
    with pytest.raises(LookupError, match="LSSTCam exposure 2026010100009 is not in the repository"):
        catalog.facts("LSSTCam", 2026010100009)
    with pytest.raises(LookupError, match="LSSTCam exposure 'MC_O_20260101_000009' is not in the repository"):
        catalog.resolve("LSSTCam", "MC_O_20260101_000009", "R22_S11")
    add_exposure(repository, 2026010100009, "MC_O_20260101_000009")
    assert catalog.resolve("LSSTCam", "MC_O_20260101_000009", "R22_S11") == (2026010100009, 94)
    assert catalog.facts("LSSTCam", 2026010100009).exposure == 2026010100009


def test_unknown_detector_and_instrument_are_named(repository: Butler) -> None:
    """The error says what is unknown."""
    catalog = ExposureCatalog(repository)
    with pytest.raises(LookupError, match="LSSTCam has no detector 'R99_S11'"):
        catalog.resolve("LSSTCam", OBS_ID, "R99_S11")
    with pytest.raises(LookupError, match="instrument 'LATISS' is not in the repository"):
        catalog.resolve("LATISS", OBS_ID, "R00_S00")
    with pytest.raises(LookupError, match="LATISS exposure 1 is not in the repository"):
        catalog.facts("LATISS", 1)


def test_latiss_detector_by_either_name(repository: Butler) -> None:
    """The Butler calls it RXX_S00, the control system R00_S00."""
    register_instrument(repository, "lsst.ra.pipe.camera.Latiss")
    day = {"instrument": "LATISS", "id": 20260101}
    repository.registry.insertDimensionData("day_obs", day)
    repository.registry.insertDimensionData("group", {"instrument": "LATISS", "name": str(EXPOSURE)})
    add_exposure(repository, 5, "AT_O_5", instrument="LATISS", physical_filter="empty~empty")
    catalog = ExposureCatalog(repository)
    assert catalog.resolve("LATISS", "AT_O_5", "RXX_S00") == (5, 0)
    assert catalog.resolve("LATISS", "AT_O_5", "R00_S00") == (5, 0)
    with pytest.raises(LookupError, match="LATISS has no detector 'R00_S11'"):
        catalog.resolve("LATISS", "AT_O_5", "R00_S11")


def test_oldest_exposure_is_forgotten(repository: Butler, queries: list[str]) -> None:
    """Memory stays bounded; what is in use stays."""
    add_exposure(repository, 2026010100009, "MC_O_20260101_000009")
    catalog = ExposureCatalog(repository, max_exposures=2)
    for exposure in (EXPOSURE, NO_VISIT, EXPOSURE, 2026010100009, EXPOSURE):
        catalog.facts("LSSTCam", exposure)
    assert queries == ["exposure"] * 3
    catalog.facts("LSSTCam", NO_VISIT)
    assert queries == ["exposure"] * 4


def test_threads_share_a_catalog(repository: Butler, queries: list[str]) -> None:
    """All get the same answer, from one query each."""
    catalog = ExposureCatalog(repository)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda n: catalog.resolve("LSSTCam", OBS_ID, f"R22_S1{n % 3}"), range(300)))
        facts = list(pool.map(lambda n: catalog.facts("LSSTCam", (EXPOSURE, NO_VISIT)[n % 2]), range(300)))
    assert set(images) == {(EXPOSURE, 93), (EXPOSURE, 94), (EXPOSURE, 95)}
    assert {one.exposure for one in facts} == {EXPOSURE, NO_VISIT}
    assert sorted(queries) == ["detector", "exposure", "exposure"]


def test_expected_detectors(repository: Butler, tmp_path: pathlib.Path) -> None:
    """Science detectors by default, and never those of another rule."""
    table = load_rules(
        tmp_path,
        """
        rules:
          - {name: corner, detectors: "0..9,191", ignore: true}
          - name: some
            region: {ra: 150, dec: 2, radius: 1}
            pipeline: x
            expected_detectors: "8..12,191,192,300"
          - {name: all, pipeline: x}
        """,
    )
    catalog = ExposureCatalog(repository)
    facts = {exposure: catalog.facts("LSSTCam", exposure) for exposure in (EXPOSURE, NO_VISIT)}
    expected = {
        rule.name: table.expected_detectors(rule, facts=facts[exposure], catalog=catalog)
        for rule, exposure in zip(table.rules, (EXPOSURE, EXPOSURE, NO_VISIT), strict=True)
    }
    assert expected == {
        "corner": frozenset(range(10)),
        "some": frozenset({10, 11, 12, 192}),
        "all": frozenset(range(10, 189)),
    }
