# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Nothing is lost and nothing is there twice, whatever fails.

A longer night: ``RAPID_CHAOS_EVENTS=20000 RAPID_CHAOS_SEED=7 pytest
tests/test_chaos.py``.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

from chaos_run import DETECTORS, run_chaos

N_EVENTS = int(os.environ.get("RAPID_CHAOS_EVENTS", "1000"))
SEED = int(os.environ.get("RAPID_CHAOS_SEED", "1"))
SECONDS_PER_EVENT = 0.5
"""More than a slow machine needs, all restarts included."""


def test_every_event_leads_to_one_result_or_to_a_dead_letter(tmp_path: pathlib.Path) -> None:
    """With duplicates, disorder, poison images, broken events, and kills,
    crashes, stops and outages of all parts.
    """
    said: list[str] = []
    result = run_chaos(
        tmp_path, n_events=N_EVENTS, seed=SEED, seconds=60 + SECONDS_PER_EVENT * N_EVENTS, tell=said.append
    )
    story = f"seed {SEED}: {dataclasses.asdict(result)}\n" + "\n".join(said)
    assert result.problems == (), story
    assert (result.lost, result.doubled) == (0, 0), story
    assert result.processed + result.dead_lettered == result.events == N_EVENTS, story
    assert result.gathered == -(-N_EVENTS // len(DETECTORS)), story
    # It was a bad night indeed.
    assert result.dead_lettered > 0, story
    assert result.retried > 0, story
    assert min(result.worker_kills, result.distributor_kills, result.worker_stops) > 0, story
    assert min(result.redis_restarts, result.broker_outages) > 0, story
