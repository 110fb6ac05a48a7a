# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Identifiers follow Rubin's rules."""

from __future__ import annotations

import datetime
import json
import pathlib

import pytest
from astropy.time import Time, TimeDelta
from hypothesis import given
from hypothesis import strategies as st
from lsst.ra.pipe.camera._exposure import (
    CONTROLLERS,
    MAX_EXPOSURE_ID,
    MAX_SEQ_NUM,
    ExposureParts,
    ObservationIdParts,
    compute_day_obs,
    compute_detector_exposure_id,
    compute_exposure_id,
    compute_group_id,
    compute_visit_id,
    format_observation_id,
    parse_observation_id,
    unpack_exposure_id,
)

DAYS = st.dates(datetime.date(2000, 1, 1), datetime.date(2050, 12, 31))
SEQ_NUMS = st.integers(0, MAX_SEQ_NUM)
CODES = st.sampled_from(CONTROLLERS)


def as_day_obs(day: datetime.date) -> int:
    """Write a date as YYYYMMDD."""
    return int(day.strftime("%Y%m%d"))


@pytest.mark.parametrize(
    ("date", "scale", "day_obs"),
    [
        ("2025-06-10T12:00:00", "tai", 20250610),
        ("2025-06-10T11:59:59.999", "tai", 20250609),
        ("2025-06-10T11:59:23", "utc", 20250610),
        ("2025-06-10T11:59:22.999", "utc", 20250609),
        ("2025-06-10T23:59:59", "tai", 20250610),
        ("2025-06-11T00:00:00", "tai", 20250610),
        ("2026-01-01T03:00:00", "tai", 20251231),
        ("2024-03-01T11:00:00", "tai", 20240229),
    ],
)
def test_a_day_begins_at_noon_tai(date: str, scale: str, day_obs: int) -> None:
    """Noon TAI is 37 s before noon UTC."""
    assert compute_day_obs(Time(date, scale=scale)) == day_obs


@given(DAYS, st.floats(0.0, 86399.99))
def test_all_of_a_day_has_the_same_day_obs(day: datetime.date, seconds: float) -> None:
    """From noon to noon TAI the observing day is the date of the first noon."""
    noon = Time(f"{day.isoformat()}T12:00:00", scale="tai")
    assert compute_day_obs(noon + TimeDelta(seconds, format="sec")) == as_day_obs(day)


@given(DAYS, st.floats(0.01, 3600.0))
def test_the_day_before_ends_at_noon(day: datetime.date, seconds: float) -> None:
    """An instant before noon belongs to the day before."""
    noon = Time(f"{day.isoformat()}T12:00:00", scale="tai")
    before = day - datetime.timedelta(days=1)
    assert compute_day_obs(noon - TimeDelta(seconds, format="sec")) == as_day_obs(before)


def test_an_aware_datetime_is_an_instant_in_any_zone() -> None:
    """Zones are respected; without one the instant is unknown."""
    chile = datetime.timezone(datetime.timedelta(hours=-4))
    assert compute_day_obs(datetime.datetime(2025, 6, 10, 7, 59, 22, tzinfo=chile)) == 20250609
    assert compute_day_obs(datetime.datetime(2025, 6, 10, 7, 59, 24, tzinfo=chile)) == 20250610
    with pytest.raises(ValueError, match="has no time zone"):
        compute_day_obs(datetime.datetime(2025, 6, 10))


def test_a_laboratory_has_another_offset() -> None:
    """The offset is a parameter: in California days began at 7 or 8 UTC."""
    date = Time("2019-07-01T07:30:00", scale="tai")
    assert compute_day_obs(date) == 20190630
    assert compute_day_obs(date, offset=TimeDelta(7 * 3600.0, format="sec")) == 20190701


@pytest.mark.parametrize(
    ("day_obs", "controller", "expected"),
    [
        (20250609, "O", 2025060900578),
        (20250609, None, 2025060900578),
        (20231004, "C", 3023100400578),
        (20231005, "C", 2023100500578),
        (20100217, "H", 4010021700578),
        (20260101, "H", 4026010100578),
        (20250417, "P", 5025041700578),
        (20250418, "P", 2025041800578),
        (20250417, "Q", 6025041700578),
        (20250418, "Q", 2025041800578),
        (20250417, "S", 7025041700578),
        (20250418, "S", 2025041800578),
    ],
)
def test_controllers_add_millennia_until_they_share_a_counter(
    day_obs: int, controller: str | None, expected: int
) -> None:
    """Each controller's counter was unified on a known day."""
    assert compute_exposure_id(day_obs, 578, controller) == expected


@given(DAYS, SEQ_NUMS, CODES)
def test_an_exposure_id_keeps_its_parts(day: datetime.date, seq_num: int, controller: str) -> None:
    """Taking an id apart gives the parts, or O where counters are shared."""
    exposure_id = compute_exposure_id(as_day_obs(day), seq_num, controller)
    parts = unpack_exposure_id(exposure_id)
    assert (parts.day_obs, parts.seq_num) == (as_day_obs(day), seq_num)
    assert parts.controller in (controller, "O")
    assert compute_exposure_id(parts.day_obs, parts.seq_num, parts.controller) == exposure_id
    assert exposure_id <= MAX_EXPOSURE_ID


@given(DAYS, st.integers(0, MAX_SEQ_NUM - 1), CODES)
def test_exposure_ids_of_a_controller_follow_time(day: datetime.date, seq_num: int, controller: str) -> None:
    """The next exposure has the next id."""
    first = compute_exposure_id(as_day_obs(day), seq_num, controller)
    assert compute_exposure_id(as_day_obs(day), seq_num + 1, controller) == first + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((20250609, 100_000, "O"), "100000 is out of range; expected 0 to 99999"),
        ((20250609, -1, "O"), "-1 is out of range"),
        ((20250631, 1, "O"), "day_obs 20250631 is not a date"),
        ((250609, 1, "O"), "out of range; expected a year"),
        ((20250609, 1, "X"), "Unknown controller 'X'; expected one of O, C, H, P, Q, S"),
        ((20250609, 1, ""), "Unknown controller ''"),
        ((20250609, 1, "OC"), "Unknown controller 'OC'"),
    ],
)
def test_impossible_parts_are_refused(arguments: tuple[int, int, str], message: str) -> None:
    """The message has the value and what was expected."""
    with pytest.raises(ValueError, match=message):
        compute_exposure_id(*arguments)


@pytest.mark.parametrize("exposure_id", [0, -1, 1025060900001, 8025060900001, 2025133200001])
def test_numbers_that_are_no_exposure_ids_are_refused(exposure_id: int) -> None:
    """Years and dates outside the scheme cannot be exposures."""
    with pytest.raises(ValueError, match=r"is not an exposure id|is not a date"):
        unpack_exposure_id(exposure_id)


@pytest.mark.parametrize(
    ("group", "visit_id"),
    [
        ("2025060900578", 2025060900578),
        ("2025-06-10T07:31:26.692", 3294702866920000),
        ("2025-06-10T07:31:26.692+3", 3294702866920003),
        ("2025-06-10T07:31:26.692#12", 3294702866920012),
        ("bias_0027_0100", 3575576933793566714),
    ],
)
def test_visit_ids_follow_from_groups(group: str, visit_id: int) -> None:
    """Integers, dates with a counter, and any text have their own rules."""
    assert compute_visit_id(group) == visit_id


def test_the_visit_ids_of_real_exposures(shared: pathlib.Path) -> None:
    """Rubin's translators gave the same visits and exposures."""
    paths = sorted((shared / "raw_headers").glob("*.expected.json"))
    assert paths
    for path in paths:
        expected = json.loads(path.read_text())
        assert compute_visit_id(expected["exposure_group"]) == expected["visit_id"], path.name
        parts = parse_observation_id(expected["observation_id"])
        assert parts.exposure_id == expected["exposure_id"], path.name
        assert parts.day_obs == expected["observing_day"], path.name
        assert parts.seq_num == expected["observation_counter"], path.name


def test_a_group_that_is_not_ascii_is_refused() -> None:
    """The digest is defined for ASCII only."""
    with pytest.raises(ValueError, match="ascii"):
        compute_visit_id("föcus")


def test_an_exposure_without_a_group_is_its_own() -> None:
    """The keyword decides; its date may have been parsed by YAML."""
    date = datetime.datetime(2025, 6, 10, 7, 31, 26, 692000)
    assert compute_group_id(2025060900578) == "2025060900578"
    assert compute_group_id(2025060900578, "g") == "g"
    assert compute_group_id(2025060900578, date) == "2025-06-10T07:31:26.692"


@given(st.sampled_from(["MC", "CC", "AT", "TS"]), CODES, DAYS, SEQ_NUMS)
def test_an_observation_id_keeps_its_parts(
    camera: str, controller: str, day: datetime.date, seq_num: int
) -> None:
    """Writing and parsing are inverse."""
    parts = ObservationIdParts(camera, controller, as_day_obs(day), seq_num)
    assert parse_observation_id(format_observation_id(parts)) == parts


@pytest.mark.parametrize(
    "text",
    ["", "MC_O_20250609", "MC_O_20250609_000578_R22_S11", "mc_O_20250609_000578", "MC_O_20251301_000578"],
)
def test_other_texts_are_no_observation_ids(text: str) -> None:
    """The message shows the text."""
    with pytest.raises(ValueError, match=r"is not an observation id|is not a date"):
        parse_observation_id(text)


def test_detector_exposure_ids_are_those_of_rubins_packer() -> None:
    """Known value: 5638 days after 2010-01-01, exposure 578, detector 94."""
    days = (datetime.date(2025, 6, 9) - datetime.date(2010, 1, 1)).days
    assert days == 5638
    assert compute_detector_exposure_id(2025060900578, 94) == (days * 32768 + 578) * 256 + 94
    simulated = compute_exposure_id(20250101, 1, "S")
    days = (datetime.date(2025, 1, 1) - datetime.date(2010, 1, 1)).days
    assert compute_detector_exposure_id(simulated, 0) == ((5 * 16384 + days) * 32768 + 1) * 256


@pytest.mark.parametrize(
    ("exposure_id", "detector", "message"),
    [
        (2025060900578, 256, "detector is 256"),
        (2025060900578, -1, "detector is -1"),
        (2025060932768, 0, "sequence number is 32768"),
        (2009123100001, 0, "day number since 2010-01-01 is -1"),
    ],
)
def test_what_does_not_fit_is_not_packed(exposure_id: int, detector: int, message: str) -> None:
    """The message says which part does not fit."""
    with pytest.raises(ValueError, match=message):
        compute_detector_exposure_id(exposure_id, detector)


def test_parts_compare_by_value() -> None:
    """Parts are plain values."""
    assert unpack_exposure_id(7024032100720) == ExposureParts(20240321, 720, "S")
