# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("choose_rehearsals",)

from collections.abc import Collection, Iterator, Sequence

from lsst.daf.butler import Butler, EmptyQueryResultError, MissingCollectionError

from ..dispatch import DispatchTable, ExposureFacts, find_raws

_N_EXPOSURES = 50
"""Latest exposures among which one is looked for."""


def choose_rehearsals(
    butler: Butler,
    table: DispatchTable,
    *,
    instrument: str,
    inputs: Sequence[str],
    detectors: Collection[int],
) -> dict[str, list[tuple[int, int]]]:
    """Choose images on which a worker may rehearse.

    Parameters
    ----------
    butler
        Client of the repository.
    table
        Dispatch rules.
    instrument
        Butler ``instrument``.
    inputs
        Collections with the raws.
    detectors
        Detectors that the worker owns.

    Returns
    -------
    images
        Exposure and detector, by rule: the latest exposure of each rule, its
        detectors that the worker owns or, if there is none, any one.
    """
    images: dict[str, list[tuple[int, int]]] = {}
    for facts, there in _latest_raws(butler, instrument, inputs):
        by_rule: dict[str, list[int]] = {}
        for detector in sorted(there, key=lambda number: (number not in detectors, number)):
            rule = table.select(facts, detector)
            if rule is not None and rule.pipeline is not None:
                by_rule.setdefault(rule.name, []).append(detector)
        for name, numbers in by_rule.items():
            own = [number for number in numbers if number in detectors] or numbers[:1]
            images.setdefault(name, [(facts.exposure, number) for number in own])
    return images


def _latest_raws(
    butler: Butler, instrument: str, inputs: Sequence[str]
) -> Iterator[tuple[ExposureFacts, frozenset[int]]]:
    """Yield exposures with their detectors, the latest first."""
    try:
        records = butler.query_dimension_records(
            "exposure", instrument=instrument, order_by="-exposure.timespan.begin", limit=-_N_EXPOSURES
        )
    except EmptyQueryResultError:
        return
    try:
        for batch in find_raws(
            butler, instrument=instrument, exposures=[record.id for record in records], collections=inputs
        ):
            yield from sorted(batch.items(), key=lambda item: -item[0].exposure)
    except MissingCollectionError:
        # A repository without any raw so far.
        return
