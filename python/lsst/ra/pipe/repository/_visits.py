# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("define_visits",)

import functools
from collections.abc import Iterable

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, SkyCoord
from sqlalchemy.exc import IntegrityError

from lsst.daf.butler import Butler, DimensionRecord, Timespan
from lsst.daf.butler.registry import ConflictingDefinitionError
from lsst.ra.pipe.camera import load_camera
from lsst.sphgeom import ConvexPolygon, LonLat, UnitVector3d

VISIT_SYSTEMS = {0: "ONE_TO_ONE", 2: "BY_SEQ_START_END"}
"""Rubin's visit systems to which a visit of a single exposure belongs."""

_PADDING = 250
"""Pixels by which a detector's region exceeds its edges, as Rubin's do: the
pointing in the header is uncertain."""


def define_visits(butler: Butler, exposures: Iterable[DimensionRecord]) -> list[int]:
    """Define one visit for every on-sky exposure.

    Parameters
    ----------
    butler
        Writeable client of the repository.
    exposures
        Records of the exposures; those without a pointing (bias, dark, flat,
        engineering) are passed over, since no region can be given to them.

    Returns
    -------
    visits
        Identifiers of the visits that this call added.  A visit that exists
        is left as it is.

    Notes
    -----
    A visit has the identifier and the name of its exposure.  The regions come
    from the boresight and the camera geometry.
    """
    added = []
    for exposure in exposures:
        if exposure.tracking_ra is None or exposure.sky_angle is None:
            continue
        if _has_visit(butler, exposure):
            continue
        try:
            _insert_visit(butler, exposure)
        except (IntegrityError, ConflictingDefinitionError):
            # Another process, with another detector of it, was faster.
            if not _has_visit(butler, exposure):
                raise
        else:
            added.append(exposure.id)
    return added


def _has_visit(butler: Butler, exposure: DimensionRecord) -> bool:
    return bool(
        butler.query_dimension_records(
            "visit", instrument=exposure.instrument, visit=exposure.id, explain=False
        )
    )


def _insert_visit(butler: Butler, exposure: DimensionRecord) -> None:
    universe = butler.dimensions
    corners = _sky_corners(exposure)
    key = {"instrument": exposure.instrument, "visit": exposure.id}
    visit = universe["visit"].RecordClass(
        instrument=exposure.instrument,
        id=exposure.id,
        name=exposure.obs_id,
        day_obs=exposure.day_obs,
        physical_filter=exposure.physical_filter,
        seq_num=exposure.seq_num,
        exposure_time=exposure.exposure_time,
        target_name=exposure.target_name,
        observation_reason=exposure.observation_reason,
        science_program=exposure.science_program,
        azimuth=exposure.azimuth,
        zenith_angle=exposure.zenith_angle,
        region=ConvexPolygon.convexHull([vector for vectors in corners.values() for vector in vectors]),
        timespan=Timespan(exposure.timespan.begin, exposure.timespan.end),
    )
    registry = butler.registry
    with butler.transaction():
        for visit_system, name in VISIT_SYSTEMS.items():
            registry.syncDimensionData(
                "visit_system", {"instrument": exposure.instrument, "id": visit_system, "name": name}
            )
        registry.insertDimensionData("visit", visit)
        registry.insertDimensionData("visit_definition", {**key, "exposure": exposure.id})
        registry.insertDimensionData(
            "visit_system_membership", *({**key, "visit_system": system} for system in VISIT_SYSTEMS)
        )
        registry.insertDimensionData(
            "visit_detector_region",
            *(
                {**key, "detector": detector, "region": ConvexPolygon.convexHull(vectors)}
                for detector, vectors in corners.items()
            ),
        )


def _sky_corners(exposure: DimensionRecord) -> dict[int, list[UnitVector3d]]:
    """Return the padded corners of all detectors, by detector identifier."""
    boresight = SkyCoord(exposure.tracking_ra, exposure.tracking_dec, unit=u.deg, frame="icrs")
    to_sky = load_camera(exposure.instrument).field_angle_to_sky(
        boresight=boresight, rotation=Angle(exposure.sky_angle, u.deg)
    )
    corners = _padded_corners(exposure.instrument)
    all_corners = np.concatenate(list(corners.values()), axis=1)
    sky = to_sky.apply_forward(x=all_corners[0], y=all_corners[1])
    vectors = [
        UnitVector3d(LonLat.fromRadians(float(lon), float(lat)))
        for lon, lat in zip(sky.x, sky.y, strict=True)
    ]
    return {number: vectors[4 * i : 4 * i + 4] for i, number in enumerate(corners)}


@functools.cache
def _padded_corners(instrument: str) -> dict[int, np.ndarray]:
    """Return the padded corners of all detectors as field angles (rad), of
    shape ``(2, 4)``, by detector identifier.
    """
    result = {}
    for number, detector in load_camera(instrument).detectors.items():
        box = detector.bbox.padded(_PADDING)
        angles = detector.to_field_angle.apply_forward(
            x=np.array([box.x.min, box.x.max, box.x.max, box.x.min], dtype=float),
            y=np.array([box.y.min, box.y.min, box.y.max, box.y.max], dtype=float),
        )
        result[number] = np.stack([angles.x, angles.y])
    return result
