# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("find_raws",)

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

from lsst.daf.butler import Butler

from ._exposure_facts import ExposureFacts

_CHUNK = 200
"""Exposures of one query, which bounds its size: a whole camera each."""


def find_raws(
    butler: Butler,
    *,
    instrument: str,
    exposures: Collection[int] | None = None,
    day_obs: int | None = None,
    collections: Sequence[str],
) -> Iterator[Mapping[ExposureFacts, frozenset[int]]]:
    """Find the detectors that exposures have raws of.

    Parameters
    ----------
    butler
        Client of the repository.
    instrument
        Butler ``instrument``.
    exposures
        Butler ``exposure`` values to look at; the default is all.
    day_obs
        Observing day (YYYYMMDD) to look at; the default is all.
    collections
        Collections to look in.

    Yields
    ------
    raws
        Detectors by exposure, for some hundred exposures at a time, in the
        order of their numbers.

    Raises
    ------
    lsst.daf.butler.MissingCollectionError
        Raised if there is no such collection.

    Notes
    -----
    Two queries for each batch, however many detectors there are.
    """
    with butler.query() as query:
        x = query.expression_factory
        where = [x.instrument == instrument]
        if day_obs is not None:
            where.append(x.day_obs == day_obs)
        if exposures:
            # Ranges that people give are longer than what was taken in them.
            where += [x.exposure >= min(exposures), x.exposure <= max(exposures)]
        data_ids = query.where(*where).data_ids(["instrument", "exposure"])
        numbers = sorted(int(data_id["exposure"]) for data_id in data_ids)
    if exposures is not None:
        wanted = frozenset(exposures)
        numbers = [number for number in numbers if number in wanted]
    for batch in itertools.batched(numbers, _CHUNK):
        yield _find_batch(butler, instrument, batch, collections)


def _find_batch(
    butler: Butler, instrument: str, exposures: Sequence[int], collections: Sequence[str]
) -> dict[ExposureFacts, frozenset[int]]:
    """Find the raws of some exposures; those without any are left out."""
    detectors: dict[int, set[int]] = {}
    with butler.query() as query:
        x = query.expression_factory
        query = query.where(x.instrument == instrument, x.exposure.in_iterable(exposures))
        raws = query.join_dataset_search("raw", collections)
        for data_id in raws.data_ids(["instrument", "exposure", "detector"]):
            detectors.setdefault(int(data_id["exposure"]), set()).add(int(data_id["detector"]))
        facts = [ExposureFacts.from_record(record) for record in query.dimension_records("exposure")]
    facts.sort(key=lambda one: one.exposure)
    return {one: frozenset(detectors[one.exposure]) for one in facts if one.exposure in detectors}
