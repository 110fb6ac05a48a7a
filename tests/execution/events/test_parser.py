# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What arrives is read, or refused with a reason, each record on its own."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsst.ra.pipe.execution.events import (
    EventParser,
    EventRejected,
    FileArrived,
    ImageAnnounced,
    ImageIngested,
    RejectionCode,
)

OBS_ID = "MC_O_20260322_000005"
SECRET = "bucket-and-spade"
TIME = datetime.datetime(2026, 3, 23, 3, 14, 15, 926000, tzinfo=datetime.UTC)

INGESTED = {
    "type": "image-ingested",
    "version": 1,
    "instrument": "LSSTCam",
    "exposure": 2026032200005,
    "detector": 94,
    "ingested": "2026-03-23T03:14:15.926Z",
}

OODS = {
    "camera": "LSSTCam",
    "obsid": OBS_ID,
    "raft": "R22",
    "sensor": "S11",
    "statusCode": 0,
    "description": "file ingested",
    "salIndex": 0,
    "private_efdStamp": TIME.timestamp(),
    "private_identity": "MTOODS",
    "private_kafkaStamp": TIME.timestamp() + 37,
    "private_origin": 23,
    "private_rcvStamp": TIME.timestamp() + 37,
    "private_revCode": "62cd8e9e",
    "private_seqNum": 18,
    "private_sndStamp": TIME.timestamp() + 37,
}

KEY = f"LSSTCam/20260322/{OBS_ID}/{OBS_ID}_R22_S11.fits"


def make_record(key: str = KEY, **changes: Any) -> dict[str, Any]:
    """Make a record as Ceph's object gateway sends it."""
    record = {
        "eventVersion": "2.2",
        "eventSource": "ceph:s3",
        "awsRegion": "s3-raw",
        "eventTime": "2026-03-23T03:14:15.926Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "lsstcam"},
        "requestParameters": {"sourceIPAddress": ""},
        "responseElements": {"x-amz-request-id": "1cad.4136.1303", "x-amz-id-2": "277-s3-s3"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "lsst.s3.raw.lsstcam",
            "bucket": {
                "name": "raw-lsstcam",
                "ownerIdentity": {"principalId": "lsstcam"},
                "arn": "arn:aws:s3:s3-raw::raw-lsstcam",
                "id": "1cad.287.1",
            },
            "object": {
                "key": key,
                "size": 40_000_320,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "",
                "sequencer": "56E7346729097308",
                "metadata": [],
                "tags": [],
            },
        },
        "eventId": "1731520342.141756.d41d8cd98f00b204e9800998ecf8427e",
        "opaqueData": SECRET,
    }
    return record | changes


def parse(content: Any, **options: Any) -> list[Any]:
    """Parse what is JSON already, or becomes it."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    options.setdefault("instruments", ["LSSTCam", "LATISS"])
    return list(EventParser(**options).parse(body))


def parse_one(content: Any, **options: Any) -> Any:
    """Parse what holds one event."""
    (event,) = parse(content, **options)
    return event


def refuse(content: Any, code: RejectionCode, *words: str, **options: Any) -> None:
    """Check that the one event is refused with this code and these words."""
    rejected = parse_one(content, **options)
    assert isinstance(rejected, EventRejected)
    assert rejected.code is code, rejected
    for word in words:
        assert word in rejected.message
    assert "\n" not in rejected.message


def test_canonical_event_is_read() -> None:
    """An event of the package's own comes through as it is."""
    event = parse_one(INGESTED)
    assert event == ImageIngested(instrument="LSSTCam", exposure=2026032200005, detector=94, ingested=TIME)


@pytest.mark.parametrize(
    "event",
    [
        ImageIngested(instrument="LSSTCam", exposure=1, detector=0, ingested=TIME),
        FileArrived(uri="file:///raw/a%20b.fits", arrived=TIME),
        FileArrived(uri="s3://raw/a.fits", arrived=TIME, instrument="LATISS"),
        ImageAnnounced(instrument="LSSTCam", obs_id=OBS_ID, detector_name="R00_SG0", announced=TIME),
    ],
)
def test_event_survives_the_wire(event: ImageIngested | FileArrived | ImageAnnounced) -> None:
    """What a model writes, the parser reads."""
    assert parse_one(event.model_dump_json().encode()) == event


def test_image_in_oods_is_read() -> None:
    """An OODS message names the image; SAL's own fields are passed over."""
    expected = ImageAnnounced(instrument="LSSTCam", obs_id=OBS_ID, detector_name="R22_S11", announced=TIME)
    assert parse_one(OODS) == expected


def test_image_in_oods_of_latiss_is_read() -> None:
    """The one detector of LATISS has raft and sensor as well."""
    content = OODS | {"camera": "LATISS", "obsid": "AT_O_20260322_000005", "raft": "R00", "sensor": "S00"}
    event = parse_one(content)
    assert (event.instrument, event.obs_id, event.detector_name) == (
        "LATISS",
        "AT_O_20260322_000005",
        "R00_S00",
    )


def test_image_in_oods_with_a_tai_stamp_only_is_announced_in_utc() -> None:
    """SAL's stamp of sending is in TAI, 37 s ahead of UTC."""
    content = {key: value for key, value in OODS.items() if key != "private_efdStamp"}
    assert abs(parse_one(content).announced - TIME) < datetime.timedelta(milliseconds=1)


def test_image_in_oods_without_stamps_is_announced_now() -> None:
    """Without any stamp the time is that of reading."""
    content = {key: value for key, value in OODS.items() if not key.startswith("private")}
    before = datetime.datetime.now(datetime.UTC)
    assert before <= parse_one(content).announced <= datetime.datetime.now(datetime.UTC)


def test_failed_ingest_is_refused_with_what_oods_says() -> None:
    """A status other than 0 is no image, whatever the names look like."""
    content = OODS | {"statusCode": 1, "description": "Corrupt header", "raft": "R??", "camera": "UNDEF"}
    refuse(content, RejectionCode.INGEST_FAILED, "status 1", "Corrupt header", OBS_ID)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"obsid": "2026032200005"}, "'2026032200005'"),
        ({"raft": "undef"}, "undef_S11"),
        ({"camera": ""}, "camera"),
        ({"statusCode": "0"}, "statusCode"),
        ({"private_efdStamp": 1e30}, "private_efdStamp"),
    ],
)
def test_strange_image_in_oods_is_malformed(changes: dict[str, Any], word: str) -> None:
    """The message names the field."""
    refuse(OODS | changes, RejectionCode.MALFORMED, word)


def test_bucket_notification_is_read() -> None:
    """A record gives the URI, the time and the instrument."""
    event = parse_one({"Records": [make_record()]}, s3_secret=SECRET)
    assert event == FileArrived(uri=f"s3://raw-lsstcam/{KEY}", arrived=TIME, instrument="LSSTCam")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (KEY.replace("/", "%2F").replace("_", "%5F"), KEY),
        (f"{KEY}.fz", f"{KEY}.fz"),
        (KEY.replace("R22_S11", "R00_SW1"), KEY.replace("R22_S11", "R00_SW1")),
    ],
)
def test_key_of_a_notification_is_unquoted(key: str, path: str) -> None:
    """Keys are URL-quoted; compressed files are raws as well."""
    assert parse_one({"Records": [make_record(key)]}).uri == f"s3://raw-lsstcam/{path}"


def test_notification_gets_the_profile() -> None:
    """With an endpoint of its own the URI names the profile."""
    assert parse_one({"Records": [make_record()]}, s3_profile="embargo").uri.startswith(
        "s3://embargo@raw-lsstcam/"
    )


@pytest.mark.parametrize("prefix", ["ObjectCreated:CompleteMultipartUpload", "s3:ObjectCreated:Post"])
def test_creation_by_any_means_is_read(prefix: str) -> None:
    """Both spellings of the event name are known, and a useless time."""
    event = parse_one({"Records": [make_record(eventName=prefix, eventTime="0.000000")]})
    assert abs(event.arrived - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=5)


@pytest.mark.parametrize(
    "key",
    [
        KEY.replace(".fits", ".json"),
        KEY.replace("R22_S11.fits", "R00_SG0_guider.fits"),
        KEY.replace("20260322/", ""),
        KEY.replace(f"{OBS_ID}/", "MC_O_20260322_000006/"),
        f"../{KEY}",
        "test.txt",
    ],
)
def test_object_that_is_no_raw_is_refused(key: str) -> None:
    """Sidecars, guider files and what lies elsewhere are named as such."""
    refuse({"Records": [make_record(key)]}, RejectionCode.NOT_RAW, "INSTRUMENT/DAYOBS/OBSID")


def test_removal_is_refused() -> None:
    """Only a new object is a file that arrived."""
    content = {"Records": [make_record(eventName="ObjectRemoved:Delete")]}
    refuse(content, RejectionCode.NOT_RAW, "ObjectCreated:*", "ObjectRemoved:Delete")


@pytest.mark.parametrize("secret", ["", "another", SECRET + " "])
def test_notification_without_the_secret_is_refused(secret: str) -> None:
    """Neither secret is in the message."""
    content = {"Records": [make_record(opaqueData=secret)]}
    refuse(content, RejectionCode.UNAUTHORIZED, "opaqueData", s3_secret=SECRET)
    assert SECRET not in str(parse_one(content, s3_secret=SECRET))
    assert "another" not in str(parse_one({"Records": [make_record(opaqueData=["another"])]}))


def test_each_record_is_judged_on_its_own() -> None:
    """Bad records do not hold up the good ones, and the order stays."""
    other = KEY.replace("S11", "S12")
    records = [
        make_record(),
        make_record(KEY.replace(".fits", ".json")),
        "no record",
        {"eventName": "ObjectCreated:Put"},
        make_record(KEY.replace("LSSTCam", "HSC")),
        make_record(opaqueData=""),
        make_record(other),
    ]
    events = parse({"Records": records}, s3_secret=SECRET)
    codes = [event.code if isinstance(event, EventRejected) else event.uri for event in events]
    assert codes == [
        f"s3://raw-lsstcam/{KEY}",
        RejectionCode.NOT_RAW,
        RejectionCode.MALFORMED,
        RejectionCode.MALFORMED,
        RejectionCode.WRONG_INSTRUMENT,
        RejectionCode.UNAUTHORIZED,
        f"s3://raw-lsstcam/{other}",
    ]


def test_webhook_announces_images_that_are_in_the_butler() -> None:
    """Auto-ingest calls when it has ingested."""
    content = {"exp_id": OBS_ID, "filenames": [f"{OBS_ID}_R22_S11.fits", f"{OBS_ID}_R22_S12.fits"]}
    events = parse(content)
    assert [(event.instrument, event.obs_id, event.detector_name) for event in events] == [
        ("LSSTCam", OBS_ID, "R22_S11"),
        ("LSSTCam", OBS_ID, "R22_S12"),
    ]


def test_webhook_with_a_root_gives_files() -> None:
    """A repository of one's own has to ingest them, from where they are."""
    content = {"exp_id": "AT_O_20260322_000005", "filenames": ["AT_O_20260322_000005_R00_S00.fits"]}
    event = parse_one(content, file_root="s3://embargo@raw/")
    directory = "s3://embargo@raw/LATISS/20260322/AT_O_20260322_000005"
    assert event.uri == f"{directory}/AT_O_20260322_000005_R00_S00.fits"
    assert event.instrument == "LATISS"


def test_each_file_of_a_webhook_is_judged_on_its_own() -> None:
    """A sidecar, a path and a number are refused, the raw is not."""
    name = f"{OBS_ID}_R22_S11.fits"
    events = parse({"exp_id": OBS_ID, "filenames": [f"{OBS_ID}.json", f"../{name}", 5, name]})
    assert [event.code for event in events[:3]] == [RejectionCode.NOT_RAW] * 3
    assert events[3].detector_name == "R22_S11"


@pytest.mark.parametrize(
    "content", [{"exp_id": OBS_ID}, {"exp_id": OBS_ID, "filenames": []}, {"exp_id": 5, "filenames": ["a"]}]
)
def test_incomplete_webhook_is_malformed(content: dict[str, Any]) -> None:
    """Both fields are needed."""
    refuse(content, RejectionCode.MALFORMED, "exp_id", "filenames")


def test_webhook_of_an_unknown_camera_is_refused() -> None:
    """The camera's code tells the instrument."""
    content = {"exp_id": "TS_O_20260322_000005", "filenames": ["TS_O_20260322_000005_R22_S11.fits"]}
    refuse(content, RejectionCode.WRONG_INSTRUMENT, "TS_O_20260322_000005")


@pytest.mark.parametrize(
    "content",
    [
        INGESTED | {"instrument": "HSC"},
        OODS | {"camera": "HSC"},
        {"Records": [make_record(KEY.replace("LSSTCam", "HSC"))]},
        {"exp_id": "CC_O_20260322_000005", "filenames": ["CC_O_20260322_000005_R22_S11.fits"]},
    ],
)
def test_other_instrument_is_refused(content: dict[str, Any]) -> None:
    """Whatever the format; the message says which there are."""
    refuse(content, RejectionCode.WRONG_INSTRUMENT, "LATISS, LSSTCam")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"no JSON",
        b'{"type": ',
        b'"text"',
        b"[]",
        b"null",
        b"[" * 100_000,
        b"9" * 10_000,
        b'{"type":"\\ud800"}',
        b"\x00\x00\x00\x00\x07\x0eLSSTCam",
        b'{"Records": []}',
        b'{"Records": {}}',
    ],
)
def test_garbage_is_malformed(body: bytes) -> None:
    """It gives one reason, not an exception."""
    refuse(body, RejectionCode.MALFORMED, "expected")


def test_avro_is_named() -> None:
    """What comes from SAL's own topics is told from noise."""
    refuse(b"\x00\x00\x00\x00\x07\x0eLSSTCam", RejectionCode.MALFORMED, "Avro")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"detector": -1}, ["detector", "-1"]),
        ({"detector": "94"}, ["detector", "'94'"]),
        ({"exposure": 2**63}, ["exposure", str(2**63)]),
        ({"exposure": None}, ["exposure", "None"]),
        ({"ingested": "2026-03-23T03:14:15"}, ["ingested", "timezone"]),
        ({"instrument": ""}, ["instrument"]),
        ({"visit": 5}, ["visit", "5"]),
        ({"instrument": "x" * 5000 + "\n", "detector": -1}, ["detector"]),
    ],
)
def test_wrong_field_is_named(changes: dict[str, Any], words: list[str]) -> None:
    """The message has the field, what was expected and what came."""
    refuse(INGESTED | changes, RejectionCode.MALFORMED, "image-ingested", *words)


def test_missing_field_is_named() -> None:
    """Nothing has a default on the wire that must be known."""
    content = {key: value for key, value in INGESTED.items() if key != "detector"}
    refuse(content, RejectionCode.MALFORMED, "detector", "required")


@pytest.mark.parametrize("version", [0, 2, "1", True, 1.0, None])
def test_unknown_version_is_refused(version: object) -> None:
    """Only the number itself will do."""
    refuse(INGESTED | {"version": version}, RejectionCode.UNKNOWN_VERSION, "expected 1", repr(version))


def test_missing_version_is_refused() -> None:
    """A message says which version it is."""
    content = {key: value for key, value in INGESTED.items() if key != "version"}
    refuse(content, RejectionCode.UNKNOWN_VERSION, "expected 1, got None")


@pytest.mark.parametrize("kind", ["next-visit", "", 5, None, ["image-ingested"]])
def test_unknown_type_is_refused(kind: object) -> None:
    """The message says which types there are."""
    refuse(
        INGESTED | {"type": kind}, RejectionCode.UNKNOWN_TYPE, "file-arrived, image-announced, image-ingested"
    )


def test_unknown_format_is_refused() -> None:
    """The message says which formats there are, and what came."""
    refuse({"groupId": "5"}, RejectionCode.UNKNOWN_TYPE, "Records", "obsid", "groupId")


def test_size_is_limited() -> None:
    """One byte too many, and it is not even looked at."""
    body = json.dumps(INGESTED).encode()
    assert isinstance(parse_one(body, max_bytes=len(body)), ImageIngested)
    refuse(body, RejectionCode.OVERSIZED, str(len(body)), str(len(body) - 1), max_bytes=len(body) - 1)


@pytest.mark.parametrize(
    "options", [{"instruments": []}, {"instruments": "LSSTCam"}, {"max_bytes": 0}, {"s3_secret": ""}]
)
def test_useless_options_are_refused(options: dict[str, Any]) -> None:
    """An empty secret would be no secret."""
    with pytest.raises(ValueError, match="expected"):
        EventParser(**{"instruments": ["LSSTCam"], **options})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_FIELDS = sorted({*INGESTED, *OODS, *make_record(), "Records", "exp_id", "filenames", "uri", "arrived"})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON | st.sampled_from(["image-ingested", 1, OBS_ID])))
def test_no_content_raises(content: dict[str, Any]) -> None:
    """Whatever is in the fields, there is an answer."""
    for event in parse(content, s3_secret=SECRET):
        assert isinstance(event, EventRejected | ImageIngested | FileArrived | ImageAnnounced)


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_raise(body: bytes) -> None:
    """Noise is refused, and nothing else happens."""
    assert all(isinstance(event, EventRejected) for event in parse(body))
