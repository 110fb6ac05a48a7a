# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ExposureCatalog",)

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lsst.daf.butler import Butler, DimensionRecord

from ._exposure_facts import ExposureFacts


@dataclasses.dataclass(frozen=True)
class _Detectors:
    """The detectors of one instrument."""

    purposes: Mapping[int, str]
    """Purpose by number, in the order of the numbers."""
    numbers: Mapping[str, int]
    """Number by full name."""
    numbers_in_raft: Mapping[str, int]
    """Number by slot, of detectors whose raft has no number (``RXX``)."""

    def number(self, full_name: str) -> int | None:
        """Return the number of a detector; `None` if there is none."""
        if (number := self.numbers.get(full_name)) is not None:
            return number
        # The single detector of LATISS is RXX_S00 to the Butler; the control
        # system calls the same R00_S00.
        return self.numbers_in_raft.get(full_name.partition("_")[2])


class ExposureCatalog:
    """The exposures and detectors of a repository, looked up once each.

    Parameters
    ----------
    butler
        Client of the repository, which is used by one thread at a time.
    max_exposures
        Number of exposures that are remembered; those not asked for longest
        are forgotten.

    Notes
    -----
    All methods may be called from several threads.  What the repository does
    not know is not remembered: the next call asks again.
    """

    def __init__(self, butler: Butler, *, max_exposures: int = 10_000) -> None:
        self._butler = butler
        self._max_exposures = max_exposures
        self._facts: OrderedDict[tuple[str, int], ExposureFacts] = OrderedDict()
        self._names: dict[tuple[str, str], int] = {}
        self._detectors: dict[str, _Detectors] = {}
        self._lock = threading.RLock()

    def facts(self, instrument: str, exposure: int) -> ExposureFacts:
        """Return what is known of an exposure.

        Parameters
        ----------
        instrument
            Butler ``instrument``.
        exposure
            Butler ``exposure``.

        Returns
        -------
        facts
            The facts.

        Raises
        ------
        LookupError
            Raised if the exposure is not in the repository.
        """
        key = (instrument, exposure)
        with self._lock:
            facts = self._facts.get(key)
            if facts is not None:
                self._facts.move_to_end(key)
                return facts
            records = self._query("exposure", instrument, exposure=exposure)
            if not records:
                raise LookupError(f"{instrument} exposure {exposure} is not in the repository.")
            return self._remember(records[0])

    def resolve(self, instrument: str, obs_id: str, detector_name: str) -> tuple[int, int]:
        """Return the numbers of an image that is given by names.

        Parameters
        ----------
        instrument
            Butler ``instrument``.
        obs_id
            Name of the exposure, for example ``MC_O_20260220_000001``.
        detector_name
            Full name of the detector, for example ``R22_S11``.

        Returns
        -------
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``.

        Raises
        ------
        LookupError
            Raised if the repository knows no such exposure or no such
            detector; the message says which.
        """
        with self._lock:
            detector = self._read_detectors(instrument).number(detector_name)
            if detector is None:
                raise LookupError(f"{instrument} has no detector {detector_name!r} in the repository.")
            exposure = self._names.get((instrument, obs_id))
            if exposure is None:
                exposure = self._find(instrument, obs_id)
            return exposure, detector

    def detectors(self, instrument: str) -> Mapping[int, str]:
        """Return the purpose of each detector, by its number.

        Parameters
        ----------
        instrument
            Butler ``instrument``.

        Returns
        -------
        purposes
            For example ``{94: "SCIENCE", 191: "WAVEFRONT"}``.

        Raises
        ------
        LookupError
            Raised if the instrument is not in the repository.
        """
        with self._lock:
            return self._read_detectors(instrument).purposes

    def _find(self, instrument: str, obs_id: str) -> int:
        """Return the number of an exposure that is given by its name."""
        records = self._query(
            "exposure", instrument, where="exposure.obs_id = :obs_id", bind={"obs_id": obs_id}
        )
        if not records:
            raise LookupError(f"{instrument} exposure {obs_id!r} is not in the repository.")
        return self._remember(records[0]).exposure

    def _remember(self, record: DimensionRecord) -> ExposureFacts:
        facts = ExposureFacts.from_record(record)
        self._facts[facts.instrument, facts.exposure] = facts
        self._names[facts.instrument, facts.obs_id] = facts.exposure
        while len(self._facts) > self._max_exposures:
            _, oldest = self._facts.popitem(last=False)
            self._names.pop((oldest.instrument, oldest.obs_id), None)
        return facts

    def _read_detectors(self, instrument: str) -> _Detectors:
        """Read the detectors of an instrument, once."""
        if instrument not in self._detectors:
            records = sorted(self._query("detector", instrument), key=lambda record: int(record.id))
            unnumbered = [record for record in records if record.raft == "RXX"]
            if not records:
                raise LookupError(f"The instrument {instrument!r} is not in the repository.")
            self._detectors[instrument] = _Detectors(
                purposes=MappingProxyType({record.id: record.purpose for record in records}),
                numbers={record.full_name: record.id for record in records},
                numbers_in_raft={record.name_in_raft: record.id for record in unnumbered},
            )
        return self._detectors[instrument]

    def _query(self, element: str, instrument: str, **kwargs: Any) -> list[DimensionRecord]:
        return self._butler.query_dimension_records(
            element, instrument=instrument, explain=False, limit=None, **kwargs
        )
