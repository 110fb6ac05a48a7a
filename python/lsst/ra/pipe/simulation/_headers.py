# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Headers of raw files, modelled on those of LSSTCam in 2025."""

from __future__ import annotations

__all__ = ("Card", "amplifier_header", "primary_header", "raw_file_name")

import math

from astropy.time import Time, TimeDelta

from lsst.images.cameras import Amplifier, Detector

from ..camera import DetectorFacts
from ._ccd import raw_geometry
from ._exposures import ImageType, SimulatedExposure, horizontal_pointing

type Card = tuple[str, str | int | float | bool]
"""Keyword and value; real files have comments too, nothing reads them."""

_FILTER_POSITION = {"u": (0.0, 1), "g": (75.0, 5), "r": (150.0, 3), "i": (309.0, 2), "z": (201.0, 4)}
_PROGRAM = {ImageType.SCIENCE: "BLOCK-365"}
_REASON = {
    ImageType.SCIENCE: "field_survey_science",
    ImageType.BIAS: "bias",
    ImageType.DARK: "dark",
    ImageType.FLAT: "sflat_flat",
}


def raw_file_name(exposure: SimulatedExposure, facts: DetectorFacts) -> str:
    """Return the name of a raw file.

    Parameters
    ----------
    exposure
        The exposure.
    facts
        The detector.

    Returns
    -------
    name
        For example ``MC_O_20260220_000001_R22_S11.fits``.
    """
    return f"{exposure.observation_id}_{facts.full_name}.fits"


def primary_header(exposure: SimulatedExposure, facts: DetectorFacts, *, seed: int) -> list[Card]:
    """Return the primary header of a raw file.

    Parameters
    ----------
    exposure
        The exposure.
    facts
        The detector.
    seed
        Seed of the simulation, recorded in the header.

    Returns
    -------
    cards
        Keywords and values.
    """
    vendor, model = facts.serial.split("-")[:2]
    return [
        *_identity_cards(exposure),
        *_time_cards(exposure),
        *_pointing_cards(exposure),
        ("CCD_MANU", vendor),
        ("CCD_TYPE", model),
        ("CCDSLOT", facts.name_in_raft),
        ("RAFTBAY", facts.raft),
        ("LSST_NUM", facts.serial),
        ("CCDGAIN", 1.0),
        ("CCDNOISE", 10.0),
        ("BINX", 1),
        ("BINY", 1),
        ("BUNIT", "adu"),
        ("PLATFORM", "lsstcam"),
        ("DAQFOLD", "raw"),
        ("SEQFILE", f"FP_{vendor}_2s_l3cp_v30.seq"),
        ("HEADVER", 2),
        ("FILENAME", raw_file_name(exposure, facts)),
        ("STUTTER ROWS", 0),
        ("STUTTER DELAY", 0.0),
        ("STUTTER NSHIFTS", 0),
        ("SIMULATE RAPID", True),
        ("SIMULATE SEED", seed),
    ]


def _identity_cards(exposure: SimulatedExposure) -> list[Card]:
    """Return what the exposure is."""
    science = exposure.image_type is ImageType.SCIENCE
    position, slot = _FILTER_POSITION.get(exposure.band, (287.0, 1))
    opened = exposure.image_type in (ImageType.SCIENCE, ImageType.FLAT)
    return [
        ("INSTRUME", "lsstCam"),
        ("TELESCOP", "Simonyi Survey Telescope"),
        ("TSTAND", "TMAMCv1_SUM"),
        ("OBSID", exposure.observation_id),
        ("CAMCODE", "MC"),
        ("CONTRLLR", "O"),
        ("DAYOBS", str(exposure.day_obs)),
        ("SEQNUM", exposure.seq_num),
        ("GROUPID", _isot(exposure.begin - TimeDelta(3.0, format="sec", scale="tai"))),
        ("CURINDEX", 1),
        ("MAXINDEX", 1),
        ("IMGTYPE", exposure.image_type.value),
        ("TESTTYPE", exposure.image_type.value),
        ("PROGRAM", _PROGRAM.get(exposure.image_type, "BLOCK-T641")),
        ("REASON", _REASON[exposure.image_type]),
        ("OBJECT", "simulated_field" if science else exposure.image_type.value),
        ("FILTBAND", exposure.band),
        ("FILTER", exposure.physical_filter),
        ("FILTPOS", position),
        ("FILTSLOT", slot),
        ("EXPTIME", exposure.exposure_time),
        ("DARKTIME", exposure.dark_time),
        ("SHUTTIME", exposure.exposure_time if opened else 0.0),
        ("VIGNETTE", "NO" if science else "FULLY"),
        ("VIGN_MIN", "NO" if science else "FULLY"),
        ("AIRTEMP", 9.7),
        ("PRESSURE", 74210.0),
        ("HUMIDITY", 11.2),
        ("WINDSPD", 5.9),
        ("WINDDIR", 5.5),
    ]


def _isot(time: Time) -> str:
    return str(Time(time, scale="tai", precision=3).isot)


def _time_cards(exposure: SimulatedExposure) -> list[Card]:
    """Return when it was, in TAI."""
    begin, end = exposure.begin, exposure.end
    cards: list[Card] = [("TIMESYS", "TAI")]
    for suffix, time in (("OBS", begin), ("BEG", begin), ("END", end), ("TRG", end)):
        cards += [(f"DATE-{suffix}", _isot(time)), (f"MJD-{suffix}", float(time.tai.mjd))]
    return [*cards, ("DATE", _isot(end + TimeDelta(0.003, format="sec"))), ("MJD", float(end.tai.mjd))]


def _pointing_cards(exposure: SimulatedExposure) -> list[Card]:
    """Return where it was; calibrations are taken without tracking."""
    boresight = exposure.header_boresight
    ra, dec = float(boresight.ra.deg), float(boresight.dec.deg)
    start = horizontal_pointing(ra, dec, exposure.begin)
    end = horizontal_pointing(ra, dec, exposure.end)
    cards: list[Card] = [
        ("OBS-LONG", -70.749417),
        ("OBS-LAT", -30.244639),
        ("OBS-ELEV", 2663.0),
        ("OBSGEO-X", 1818938.94),
        ("OBSGEO-Y", -5208470.95),
        ("OBSGEO-Z", -3195172.08),
        ("FOCUSZ", 0.0),
    ]
    if not exposure.sees_sky:
        return [
            *cards,
            ("TRACKSYS", "LOCAL"),
            ("AZSTART", 0.0),
            ("AZEND", 0.0),
            ("ELSTART", 80.0),
            ("ELEND", 80.0),
        ]
    return [
        *cards,
        ("TRACKSYS", "RADEC"),
        ("RADESYS", "ICRS"),
        *((name, ra) for name in ("RA", "RASTART", "RAEND")),
        *((name, dec) for name in ("DEC", "DECSTART", "DECEND")),
        ("ROTPA", float(exposure.header_rotation.deg)),
        ("ROTCOORD", "sky"),
        ("HASTART", start.hour_angle),
        ("ELSTART", start.elevation),
        ("AZSTART", start.azimuth),
        ("AMSTART", start.airmass),
        ("HAEND", end.hour_angle),
        ("ELEND", end.elevation),
        ("AZEND", end.azimuth),
        ("AMEND", end.airmass),
    ]


def amplifier_header(detector: Detector, amplifier: Amplifier, *, channel: int) -> list[Card]:
    """Return the header of one amplifier's extension.

    Parameters
    ----------
    detector
        The detector.
    amplifier
        One of its amplifiers.
    channel
        Place of the extension in the file, from 1.

    Returns
    -------
    cards
        Keywords and values, EXTNAME among them. Sections are 1-based and
        include both ends; rows of DETSEC count from the top of the assembled
        CCD, as in the camera's own files.
    """
    raw = raw_geometry(amplifier)
    data, box = raw.data_bbox, amplifier.bbox
    ny, nx = detector.bbox.shape
    x1, x2 = box.x.start + 1, box.x.stop
    y1, y2 = ny - box.y.start, ny - box.y.stop + 1
    if raw.flip_x:
        x1, x2 = x2, x1
    if raw.flip_y:
        y1, y2 = y2, y1
    sign_x, sign_y = math.copysign(1.0, x2 - x1), math.copysign(1.0, y2 - y1)
    return [
        ("EXTNAME", f"Segment{amplifier.name.removeprefix('C')}"),
        ("CHANNEL", channel),
        ("CCDSUM", "1 1"),
        ("DATASEC", f"[{data.x.start + 1}:{data.x.stop},{data.y.start + 1}:{data.y.stop}]"),
        ("DETSEC", f"[{x1}:{x2},{y1}:{y2}]"),
        ("DETSIZE", f"[1:{nx},1:{ny}]"),
        ("DTV1", x1 - int(sign_x) * (data.x.start + 1)),
        ("DTV2", y1 - int(sign_y) * (data.y.start + 1)),
        ("DTM1_1", sign_x),
        ("DTM2_2", sign_y),
        ("DTM1_2", 0.0),
        ("DTM2_1", 0.0),
        ("INHERIT", True),
    ]
