# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The cameras of the observatory: detectors, filters and their geometry."""

from __future__ import annotations

__all__ = ("Camera", "MissingPointingError", "UnknownDetectorError", "initial_sky_projection", "load_camera")

import functools
from collections.abc import Iterator, Mapping

import numpy as np
from astro_metadata_translator import ObservationInfo
from astropy.coordinates import Angle, SkyCoord

from lsst.images import DetectorFrame, FieldAngleFrame, SkyFrame, SkyProjection, Transform
from lsst.images.cameras import Detector

from ._facts import CameraFacts, DetectorFacts, read_camera_facts
from ._geometry import field_angle_to_sky, make_detector, make_sky_projection


class UnknownDetectorError(KeyError):
    """A camera has no detector of this id or name."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument.
        return str(self.args[0])


class MissingPointingError(ValueError):
    """An observation has no position on the sky."""


class Camera:
    """One camera: its detectors, their geometry and its filters.

    Parameters
    ----------
    facts
        Tables of the camera; `load_camera` reads them.

    Notes
    -----
    Detectors are built when they are first asked for, and kept.
    """

    def __init__(self, facts: CameraFacts) -> None:
        self._facts = facts
        self._detectors = _Detectors(facts)
        self._ids = {detector.full_name: detector.id for detector in facts.detectors.values()}

    def __repr__(self) -> str:
        return f"<Camera {self.name}: {len(self.facts)} detectors>"

    @property
    def name(self) -> str:
        """Butler instrument name."""
        return self._facts.name

    @property
    def detectors(self) -> Mapping[int, Detector]:
        """Detectors by id, in order of id."""
        return self._detectors

    @property
    def facts(self) -> Mapping[int, DetectorFacts]:
        """What the tables say about the detectors, by id."""
        return self._facts.detectors

    @property
    def filters(self) -> Mapping[str, str]:
        """Band by physical filter."""
        return self._facts.filters

    def __getitem__(self, detector: int | str) -> Detector:
        return self._detectors[self.detector_id(detector)]

    def __contains__(self, detector: object) -> bool:
        return detector in self.facts or detector in self._ids

    def detector_id(self, detector: int | str) -> int:
        """Return the id of a detector given by its id or full name.

        Parameters
        ----------
        detector
            Id, or full name such as ``R22_S11``.

        Returns
        -------
        detector_id
            Butler ``detector`` dimension value.

        Raises
        ------
        UnknownDetectorError
            Raised if the camera has no such detector.
        """
        if isinstance(detector, str):
            if detector in self._ids:
                return self._ids[detector]
            names = list(self._ids)
            exists = f"{len(names)} detectors named {names[0]} to {names[-1]}"
        else:
            if detector in self.facts:
                return detector
            exists = f"{len(self.facts)} detectors with ids {min(self.facts)} to {max(self.facts)}"
        raise UnknownDetectorError(f"{self.name} has no detector {detector!r}; it has {exists}.")

    def detector_polygon(self, detector: int | str) -> np.ndarray:
        """Return the outline of a detector in the focal plane.

        Parameters
        ----------
        detector
            Id or full name.

        Returns
        -------
        corners
            Outer corners of the corner pixels of shape ``(4, 2)``, in mm;
            (x, y) pairs, beginning at the lower left pixel and following
            the lower edge.
        """
        ny, nx = self.facts[self.detector_id(detector)].shape
        corners = self[detector].to_focal_plane.apply_forward(
            x=np.array([-0.5, nx - 0.5, nx - 0.5, -0.5]), y=np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
        )
        return np.stack([corners.x, corners.y], axis=1)

    def sky_projection(
        self, detector: int | str, *, boresight: SkyCoord, rotation: Angle, visit: int | None = None
    ) -> SkyProjection[DetectorFrame]:
        """Place a detector on the sky from the pointing of the telescope.

        Parameters
        ----------
        detector
            Id or full name.
        boresight
            Sky position of the optical axis.
        rotation
            Position angle of the field angle's y axis on the sky, as in
            ``ObservationInfo.boresight_rotation_angle``.
        visit
            Visit to attach to the pixel frame.

        Returns
        -------
        projection
            Pixels (0-based centres of the assembled sensor) to ICRS.
        """
        return make_sky_projection(self[detector], boresight=boresight, rotation=rotation, visit=visit)

    def field_angle_to_sky(
        self, *, boresight: SkyCoord, rotation: Angle
    ) -> Transform[FieldAngleFrame, SkyFrame]:
        """Place the field of view on the sky.

        Parameters
        ----------
        boresight
            Sky position of the optical axis.
        rotation
            Position angle of the field angle's y axis on the sky, as in
            ``ObservationInfo.boresight_rotation_angle``.

        Returns
        -------
        transform
            Field angle to ICRS, both in rad; the same for all detectors.
        """
        frame = next(iter(self.detectors.values())).to_field_angle.out_frame
        return field_angle_to_sky(frame, boresight=boresight, rotation=rotation)


class _Detectors(Mapping[int, Detector]):
    """Detectors by id, built on first access."""

    def __init__(self, facts: CameraFacts) -> None:
        self._facts = facts
        self._built: dict[int, Detector] = {}

    def __getitem__(self, detector: int) -> Detector:
        if detector not in self._built:
            if detector not in self._facts.detectors:
                raise UnknownDetectorError(f"{self._facts.name} has no detector {detector!r}.")
            self._built[detector] = make_detector(self._facts, detector)
        return self._built[detector]

    def __contains__(self, detector: object) -> bool:
        return detector in self._facts.detectors

    def __iter__(self) -> Iterator[int]:
        return iter(self._facts.detectors)

    def __len__(self) -> int:
        return len(self._facts.detectors)


@functools.cache
def load_camera(name: str) -> Camera:
    """Return a camera; the same object each time.

    Parameters
    ----------
    name
        Butler instrument name: ``LSSTCam``, ``LSSTComCam`` or ``LATISS``.

    Returns
    -------
    camera
        The camera.

    Raises
    ------
    ValueError
        Raised if no camera has this name.
    """
    return Camera(read_camera_facts(name))


def initial_sky_projection(detector: Detector, obs_info: ObservationInfo) -> SkyProjection[DetectorFrame]:
    """Place a detector on the sky from the pointing in a raw's header.

    Parameters
    ----------
    detector
        Detector with nominal geometry.
    obs_info
        Observation with the boresight and the rotation angle.

    Returns
    -------
    projection
        Pixels (0-based centres of the assembled sensor) to ICRS.

    Raises
    ------
    MissingPointingError
        Raised if the observation has no boresight position or no rotation
        angle on the sky, as calibration exposures have none.

    Notes
    -----
    The visit of the pixel frame is the exposure id: each exposure is a visit.
    """
    observed = f"Exposure {obs_info.exposure_id} of {obs_info.instrument}"
    if obs_info.tracking_radec is None:
        raise MissingPointingError(f"{observed} has no boresight: tracking_radec is not in its header.")
    if obs_info.boresight_rotation_angle is None:
        raise MissingPointingError(f"{observed} has no boresight_rotation_angle in its header.")
    if obs_info.boresight_rotation_coord != "sky":
        raise MissingPointingError(
            f"{observed} must have its rotation angle on the 'sky', not "
            f"{obs_info.boresight_rotation_coord!r}."
        )
    return make_sky_projection(
        detector,
        boresight=obs_info.tracking_radec,
        rotation=obs_info.boresight_rotation_angle,
        visit=obs_info.exposure_id,
    )
