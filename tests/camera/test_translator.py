# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Headers translate to what Rubin's own translators give."""

from __future__ import annotations

import importlib.metadata
import json
import math
import pathlib
from collections.abc import Mapping, MutableMapping
from typing import Any

import astropy.io.fits
import pytest
import yaml
from astro_metadata_translator import MetadataTranslator, ObservationInfo
from astropy.utils import iers
from lsst.ra.pipe.camera._header import HeaderError
from lsst.ra.pipe.camera._translator import LsstCamTranslator, translate_header

MICROSECOND_IN_DAYS = 1e-6 / 86400.0
TRANSLATORS = {"LSSTCam", "LSSTComCam", "LSST_LATISS", "LSSTCamSim", "LSSTComCamSim"}

_HEADERS = pathlib.Path(__file__).resolve().parents[3] / "shared" / "raw_headers"
EXPECTED = sorted(path.name.removesuffix(".expected.json") for path in _HEADERS.glob("*.expected.json"))


def read_header(directory: pathlib.Path, name: str) -> dict[str, Any]:
    """Read one of the real headers, which are YAML or JSON."""
    (path,) = (path for path in directory.glob(f"{name}.*") if not path.name.endswith(".expected.json"))
    header = yaml.safe_load(path.read_text())
    header.pop("__CONTENT__", None)
    return dict(header)


def translate(header: MutableMapping[str, Any], filename: str | None = None) -> Any:
    """Translate a header whose properties the test knows to be there."""
    return translate_header(header, filename=filename)


def as_fits(header: Mapping[str, Any]) -> astropy.io.fits.Header:
    """Return a header as astropy reads it from a file."""
    long = {f"HIERARCH {key}" if " " in key else key: value for key, value in header.items()}
    return astropy.io.fits.Header(long)


def science_header(**changes: Any) -> dict[str, Any]:
    """Return a small but complete header of an LSSTCam science exposure.

    Keywords that are `None` are left out; underscores stand for dashes.
    """
    header: dict[str, Any] = {
        "INSTRUME": "LSSTCam",
        "TELESCOP": "Simonyi Survey Telescope",
        "OBSID": "MC_O_20260101_000007",
        "DAYOBS": "20260101",
        "SEQNUM": 7,
        "CONTRLLR": "O",
        "IMGTYPE": "OBJECT",
        "DATE-BEG": "2026-01-02T03:00:00.000",
        "TIMESYS": "TAI",
        "EXPTIME": 30.0,
        "RAFTBAY": "R22",
        "CCDSLOT": "S11",
        "LSST_NUM": "E2V-CCD250-382",
        "FILTER": "r_57",
        "RA": 50.0,
        "DEC": -30.0,
        "ROTPA": 12.0,
        "AZSTART": 120.0,
        "ELSTART": 60.0,
        "AZEND": 121.0,
        "ELEND": 60.1,
    }
    header.update({key.replace("_", "-") if "DATE" in key else key: value for key, value in changes.items()})
    return {key: value for key, value in header.items() if value is not None}


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """List the fields that are missing or differ by more than rounding."""
    wrong = []
    for field, value in expected.items():
        if field not in found:
            wrong.append(f"{field}: missing, expected {value!r}")
        elif field in ("datetime_begin", "datetime_end"):
            if abs((found[field][0] - value[0]) + (found[field][1] - value[1])) > MICROSECOND_IN_DAYS:
                wrong.append(f"{field}: expected {value!r}, found {found[field]!r}")
        elif not same(value, found[field]):
            wrong.append(f"{field}: expected {value!r}, found {found[field]!r}")
    return wrong


def same(expected: Any, found: Any) -> bool:
    """Compare values; floats to 1e-9, NaN equals NaN."""
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(same, expected, found))
    if isinstance(expected, float):
        both_nan = math.isnan(expected) and math.isnan(found)
        return both_nan or math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-12)
    return type(expected) is type(found) and bool(expected == found)


def test_every_instrument_has_a_real_header(shared: pathlib.Path) -> None:
    """The comparison below covers all instruments."""
    expected = [json.loads(path.read_text()) for path in (shared / "raw_headers").glob("*.expected.json")]
    assert {fields["_translator"] for fields in expected} == TRANSLATORS
    assert len(EXPECTED) == len(expected)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("container", [dict, astropy.io.fits.Header])
def test_real_headers_translate_to_the_expected_fields(
    shared: pathlib.Path, name: str, container: type
) -> None:
    """All fields agree with what Rubin's own translators give."""
    expected = json.loads((shared / "raw_headers" / f"{name}.expected.json").read_text())
    header = read_header(shared / "raw_headers", name)
    if container is astropy.io.fits.Header:
        header = as_fits(header)

    found = json.loads(json.dumps(ObservationInfo(header, pedantic=True).to_simple()))

    assert len(expected) > 25
    assert differences(expected, found) == []


def test_the_comparison_sees_differences() -> None:
    """A comparison that accepts everything would prove nothing."""
    expected = {"a": 1.0, "b": math.nan, "c": [1.0, 2.0], "d": 1, "e": "x", "datetime_begin": [1.0, 0.0]}
    assert differences(expected, expected) == []
    for field, value in {"a": 1 + 1e-8, "b": 0.0, "c": [1.0], "d": True, "e": "y"}.items():
        assert len(differences(expected, {**expected, field: value})) == 1
    assert len(differences(expected, {**expected, "datetime_begin": [1.0, 2e-11]})) == 1
    assert len(differences(expected, {})) == len(expected)


def test_the_entry_point_registers_the_translators() -> None:
    """Only the plugin group that astrometadata -p reads leads here."""
    (plugin,) = importlib.metadata.entry_points(group="astro_metadata_translators", name="ra_pipe")
    assert plugin.value == "lsst.ra.pipe.camera:translators"
    assert set(plugin.load()()) == TRANSLATORS


def test_translators_of_obs_lsst_are_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a Science Pipelines environment theirs, with more corrections, win."""
    registered = MetadataTranslator.translators
    theirs = type("Theirs", (LsstCamTranslator,), {"name": None})
    theirs.__module__ = "lsst.obs.lsst.translators.lsstCam"
    monkeypatch.setitem(registered, "LSSTCam", theirs)

    type("Ours", (LsstCamTranslator,), {"name": "LSSTCam"})

    assert registered["LSSTCam"] is theirs


def test_a_complete_science_header_translates() -> None:
    """The header that the tests below spoil has no mistakes itself."""
    info = translate(science_header())
    assert info.exposure_id == 2026010100007
    assert info.detector_num == 94
    assert info.visit_id == info.exposure_id
    assert info.tracking_radec is not None
    assert info.tracking_radec.ra.deg == pytest.approx(50.0)
    assert info.can_see_sky is None
    assert info.detector_exposure_id is not None


@pytest.mark.parametrize(
    "keyword", ["OBSID", "DAYOBS", "SEQNUM", "IMGTYPE", "EXPTIME", "RAFTBAY", "CCDSLOT", "LSST_NUM"]
)
def test_a_missing_keyword_is_named_with_its_file(keyword: str) -> None:
    """The message has the file, the keyword and what it should hold."""
    with pytest.raises(HeaderError, match=rf"/data/raw\.fits: .*{keyword}.*expected") as caught:
        translate(science_header(**{keyword: None}), filename="/data/raw.fits")
    assert keyword in caught.value.keywords


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("DATE_BEG",), "MJD-BEG or DATE-BEG or MJD-OBS or DATE-OBS"),
        (("RA",), "RASTART and DECSTART or RA and DEC"),
        (("ROTPA",), "ROTPA or ROTANGLE"),
        (("ELSTART",), "AZSTART or ELSTART"),
    ],
)
def test_a_science_exposure_needs_its_date_and_pointing(missing: tuple[str, ...], named: str) -> None:
    """Where one of several keywords will do, all are named."""
    with pytest.raises(HeaderError, match=named):
        translate(science_header(**dict.fromkeys(missing)))


def test_a_bias_needs_no_pointing() -> None:
    """What only science exposures have may be missing from others."""
    header = science_header(IMGTYPE="BIAS", RA=None, ROTPA=None, AZSTART=None, AZEND=None)
    info = translate(header)
    assert info.tracking_radec is None
    assert info.altaz_begin is None
    assert info.boresight_rotation_angle is not None
    assert info.boresight_rotation_angle.deg == 0.0


def test_all_mistakes_of_a_header_are_reported_together() -> None:
    """Whoever repairs a header need not do so one keyword at a time."""
    header = science_header(LSST_NUM=None, EXPTIME="half a minute", CCDSLOT="S77", DAYOBS=None, SEQNUM=None)
    with pytest.raises(HeaderError) as caught:
        translate(header, filename="/data/raw.fits")
    message = str(caught.value)
    assert message.startswith("/data/raw.fits: 4 mistakes: ")
    assert "LSST_NUM: expected a serial" in message
    assert "DAYOBS or SEQNUM: expected the observing day" in message
    assert "EXPTIME: expected a number of seconds, found 'half a minute'" in message
    assert "RAFTBAY or CCDSLOT: expected one of the 205 detectors of LSSTCam, found R22_S77" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"SEQNUM": 100000}, "Sequence number 100000 is out of range"),
        ({"DAYOBS": "20261345"}, "day_obs 20261345 is not a date"),
        ({"CONTRLLR": "Z"}, "Unknown controller 'Z'"),
        ({"DATE_BEG": "yesterday"}, "DATE-BEG: .*'yesterday'"),
        ({"DATE_END": "tomorrow"}, "DATE-END: .*'tomorrow'"),
        ({"RA": "east"}, "'east'"),
        ({"RADESYS": "MOON"}, "'MOON'"),
    ],
)
def test_a_senseless_value_is_shown(changes: dict[str, Any], named: str) -> None:
    """The message has the value that was found."""
    with pytest.raises(HeaderError, match=named):
        translate(science_header(**changes))


@pytest.mark.parametrize("changes", [{"INSTRUME": "HSC-2"}, {"INSTRUME": None}])
def test_an_unknown_instrument_is_refused(changes: dict[str, Any]) -> None:
    """The message says what was found and what is known."""
    with pytest.raises(
        HeaderError, match=r"raw\.fits: INSTRUME or TELESCOP: .*LSSTComCamSim, found INSTRUME"
    ):
        translate(science_header(**changes), filename="raw.fits")


def test_another_observatorys_commissioning_camera_is_refused() -> None:
    """COMCAM alone does not make a header Rubin's."""
    with pytest.raises(HeaderError):
        translate(science_header(INSTRUME="ComCam", TELESCOP="Subaru"))


@pytest.mark.parametrize(
    ("day_obs", "seq_num", "before", "after"),
    [
        ("20250301", 1, {"ROTPA": 12.0}, {"ROTPA": 12.0}),
        ("20250302", 1, {"ROTPA": 12.0}, {"ROTPA": -78.0}),
        ("20250421", 1, {"ROTPA": 12.0}, {"ROTPA": -78.0}),
        ("20250422", 250, {"ROTPA": 12.0}, {"ROTPA": -168.0}),
        ("20250422", 250, {"ROTPA": -12.0}, {"ROTPA": 168.0}),
        ("20250422", 251, {"ROTPA": 12.0}, {"ROTPA": 12.0}),
        ("20250609", 75, {"FILTER": "y_10"}, {"FILTER": "y_10"}),
        ("20250609", 76, {"FILTER": "y_10"}, {"FILTER": "z_20", "FILTBAND": "z"}),
        ("20250609", 579, {"FILTER": "y_10"}, {"FILTER": "y_10"}),
        ("20260315", 109, {"FILTER": "y_10"}, {"FILTER": "i_39", "FILTBAND": "i"}),
        ("20250704", 831, {"VIGN_MIN": "NO"}, {"VIGN_MIN": "NO"}),
        ("20250704", 832, {"VIGN_MIN": "NO"}, {"VIGN_MIN": "FULLY"}),
        ("20250518", 9, {"VIGN_MIN": "PARTIALLY"}, {"VIGN_MIN": "FULLY"}),
        ("20250504", 9, {"PROGRAM": "BLOCK-417"}, {"PROGRAM": "BLOCK-T417"}),
        ("20250504", 9, {"PROGRAM": "BLOCK-41"}, {"PROGRAM": "BLOCK-41"}),
        ("20231107", 9, {"FILTER": "ph_05"}, {"FILTER": "ph_5"}),
        ("20231109", 9, {"FILTER": "ph_05"}, {"FILTER": "ph_05"}),
    ],
)
def test_known_mistakes_are_corrected_exactly_when_they_were_made(
    day_obs: str, seq_num: int, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """The neighbours of the affected exposures are left alone."""
    header = science_header(DAYOBS=day_obs, SEQNUM=seq_num, **before)
    unaffected = {key: value for key, value in header.items() if key not in after}

    modified = LsstCamTranslator.fix_header(header, "LSSTCam", "MC_O", None)

    assert {key: header[key] for key in after} == after
    assert {key: header[key] for key in unaffected} == unaffected
    assert modified == (before != after)


def latiss_header(date: str, **changes: Any) -> dict[str, Any]:
    """Return a header of a LATISS exposure that began at a TAI date."""
    header = science_header(INSTRUME="LATISS", TELESCOP="LSST AuxTelescope", OBJECT="HD107696")
    if date < "2020-01-28T22":
        header |= {"RA": 1.0, "DEC": -0.5}  # radians
    header |= {"DATE-BEG": date, "OBSID": "AT_O_20200101_000007", "GRATING": "empty_1", **changes}
    return {key: value for key, value in header.items() if value is not None}


@pytest.mark.parametrize(
    ("date", "before", "field", "after"),
    [
        ("2020-06-01T00:00:00", {"RASTART": 10.0, "DECSTART": 5.0}, "tracking_radec", 150.0 + 37 / 240),
        ("2021-02-11T20:00:00", {"RASTART": 10.0, "DECSTART": 5.0}, "tracking_radec", 10.0 + 37 / 240),
        ("2021-02-13T00:00:00", {"RASTART": 10.0, "DECSTART": 5.0}, "tracking_radec", 10.0),
        ("2020-03-01T00:00:00", {"RASTART": 10.0, "DECSTART": 5.0}, "tracking_radec", 50.0),
        ("2020-01-28T00:00:00", {"RA": math.pi / 2, "DEC": 0.5}, "tracking_radec", 90.0),
        ("2020-11-18T00:00:00", {"ROTPA": 190.0}, "boresight_rotation_angle", 190.0),
        ("2020-11-20T00:00:00", {"ROTPA": 190.0}, "boresight_rotation_angle", 10.0),
        ("2021-10-30T00:00:00", {"ROTPA": 190.0}, "boresight_rotation_angle", 190.0),
        ("2019-11-06T00:00:00", {"IMGTYPE": None, "GROUPID": "FLAT"}, "observation_type", "flat"),
        ("2019-11-06T00:00:00", {"IMGTYPE": None, "GROUPID": "dark_1_2"}, "observation_type", "dark"),
        ("2019-11-06T00:00:00", {"IMGTYPE": None, "GROUPID": "FOCUS3"}, "observation_type", "focus"),
        ("2020-01-27T00:00:00", {"IMGTYPE": "OBJECT"}, "observation_type", "engtest"),
        ("2022-07-01T00:00:00", {"OBJECT": "spec:HD1"}, "object", "HD1"),
        ("2022-07-11T00:00:00", {"OBJECT": "spec:HD1"}, "object", "spec:HD1"),
        ("2019-06-23T00:00:00", {"LSST_NUM": "ITL-3800C-098"}, "detector_serial", "ITL-3800C-098"),
        ("2019-06-25T00:00:00", {"LSST_NUM": "ITL-3800C-098"}, "detector_serial", "ITL-3800C-068"),
        ("2023-01-01T00:00:00", {"DARKTIME": 29.0}, "dark_time", 30.0),
        ("2023-01-01T00:00:00", {"DARKTIME": 31.0}, "dark_time", 31.0),
        ("2023-01-01T00:00:00", {"FILTER": "empty_2"}, "physical_filter", "empty~empty"),
        ("2023-01-01T00:00:00", {"DAYOBS": None, "SEQNUM": None}, "exposure_id", 2020010100007),
        ("2023-01-01T00:00:00", {"OBSID": None, "IMGNAME": "AT_O_20200101_000008"}, "observation_id",
         "AT_O_20200101_000008"),
    ],
)  # fmt: skip
def test_latiss_mistakes_are_corrected_by_date(
    date: str, before: dict[str, Any], field: str, after: Any
) -> None:
    """Each era of LATISS's headers is read as it was meant."""
    value = getattr(translate(latiss_header(date, **before)), field)
    value = value.ra if field == "tracking_radec" else value
    if isinstance(after, float):
        assert value.value == pytest.approx(after, rel=1e-12)
    else:
        assert value == after


def test_a_date_of_1970_is_replaced_and_the_sky_position_follows_the_mount() -> None:
    """RA and Dec were computed for 1970, the mount's position was not."""
    right = {"DATE": "2020-02-20T00:00:00", "MJD": 58899.0, "DATE-END": "1970-01-01T00:00:30"}
    header = latiss_header("1970-01-01T00:00:00", **{"DATE-OBS": "1970-01-01T00:00:00", **right})
    with iers.conf.set_temp("auto_download", False):
        info = translate(header)
    assert info.datetime_begin.isot.startswith("2020-02-20")
    assert info.datetime_end.isot.startswith("2020-02-20T00:00:30")
    assert info.tracking_radec.transform_to(info.altaz_begin).alt.deg == pytest.approx(60.0, abs=1e-6)


@pytest.mark.parametrize(
    ("date", "hours"),
    [
        ("2019-01-15T12:00:00", 8),
        ("2019-07-15T12:00:00", 7),
        ("2024-04-30T23:59:59", 7),
        ("2024-05-01T00:00:00", 12),
        ("2026-01-15T12:00:00", 12),
    ],
)
def test_days_in_the_laboratory_followed_pacific_time(date: str, hours: int) -> None:
    """Before the camera was shipped the day began at midnight in California."""
    info = translate(science_header(DATE_BEG=date))
    assert info.observing_day_offset.to_value("h") == pytest.approx(hours)


@pytest.mark.parametrize(
    ("changes", "can_see_sky"),
    [
        ({"SHUTTIME": 0.0, "VIGN_MIN": "NO"}, False),
        ({"SHUTTIME": 15.0, "VIGN_MIN": "NO"}, True),
        ({"VIGN_MIN": "PARTIALLY"}, True),
        ({"VIGN_MIN": "FULLY"}, False),
        ({"VIGN_MIN": "UNKNOWN"}, None),
        ({"DATE_BEG": "2023-01-01T00:00:00"}, False),
    ],
)
def test_sky_is_seen_only_with_shutter_and_dome_open(
    changes: dict[str, Any], can_see_sky: bool | None
) -> None:
    """The type of an exposure says nothing about the dome."""
    assert translate(science_header(**changes)).can_see_sky is can_see_sky


def test_pressure_is_understood_in_pascal_and_hectopascal() -> None:
    """Weather stations have reported both."""
    for pressure in (743.0, 74300.0):
        info = translate(science_header(PRESSURE=pressure))
        assert info.pressure.to_value("hPa") == pytest.approx(743.0)


def test_the_exposure_time_is_the_shutters_but_the_request_remains() -> None:
    """SHUTTIME is measured, EXPTIME was asked for; a dark has no SHUTTIME."""
    info = translate(science_header(SHUTTIME=30.001))
    assert info.exposure_time.value == pytest.approx(30.001)
    assert info.exposure_time_requested.value == pytest.approx(30.0)
    assert translate(science_header(SHUTTIME=0.0)).exposure_time.value == pytest.approx(30.0)


def test_snaps_of_a_group_share_a_visit_and_know_its_ends() -> None:
    """CURINDEX and MAXINDEX give the first and last number of the group."""
    group = "2026-01-02T02:59:00.123"
    first = translate(science_header(GROUPID=group, SEQNUM=7, CURINDEX=1, MAXINDEX=2))
    second = translate(science_header(GROUPID=group, SEQNUM=8, CURINDEX=2, MAXINDEX=2))
    assert first.visit_id == second.visit_id
    assert first.exposure_id != second.exposure_id
    for info in (first, second):
        assert (info.group_counter_start, info.group_counter_end) == (7, 8)


def test_the_flags_of_simulated_subsystems_are_seen() -> None:
    """An undefined flag is no flag; the controller counts as well."""
    header = as_fits(science_header())
    header["HIERARCH SIMULATE MTDOME"] = None
    assert not translate(header.copy()).has_simulated_content
    header["HIERARCH SIMULATE MTDOME"] = 1
    assert translate(header).has_simulated_content
    assert translate(science_header(CONTRLLR="S")).has_simulated_content


def test_a_serialised_translation_is_read_back_equal() -> None:
    """The name of the translator in the JSON finds the translator again."""
    info = translate_header(science_header())
    assert ObservationInfo.from_json(info.to_json()) == info
