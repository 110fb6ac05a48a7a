# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ExposureFacts",)

import dataclasses
import datetime

from lsst.daf.butler import DimensionRecord


@dataclasses.dataclass(frozen=True, slots=True)
class ExposureFacts:
    """What the dispatch rules may ask of an exposure."""

    instrument: str
    """Butler ``instrument``."""

    exposure: int
    """Butler ``exposure``."""

    day_obs: int
    """Observing day, YYYYMMDD."""

    seq_num: int | None
    """Number of the exposure within its day."""

    obs_id: str
    """Name of the exposure, for example ``MC_O_20260220_000001``."""

    observation_type: str | None
    """For example ``science`` or ``bias``."""

    observation_reason: str | None
    """Why it was taken, for example ``field_survey_science``."""

    science_program: str | None
    """Observing program, for example ``BLOCK-365``."""

    physical_filter: str
    """Butler ``physical_filter``."""

    ra: float | None
    """ICRS right ascension of the boresight, degrees; `None` without one."""

    dec: float | None
    """ICRS declination of the boresight, degrees; `None` without one."""

    shutter_close: datetime.datetime | None
    """End of the exposure, UTC; `None` if it is not known."""

    @classmethod
    def from_record(cls, record: DimensionRecord) -> ExposureFacts:
        """Take the facts from the Butler's record of an exposure.

        Parameters
        ----------
        record
            Record of the dimension ``exposure``.
        """
        end = None if record.timespan is None else record.timespan.end
        return cls(
            instrument=record.instrument,
            exposure=record.id,
            day_obs=record.day_obs,
            seq_num=record.seq_num,
            obs_id=record.obs_id,
            observation_type=record.observation_type,
            observation_reason=record.observation_reason,
            science_program=record.science_program,
            physical_filter=record.physical_filter,
            ra=record.tracking_ra,
            dec=record.tracking_dec,
            # The Butler's times are TAI.
            shutter_close=None if end is None else end.utc.to_datetime(timezone=datetime.UTC),
        )
