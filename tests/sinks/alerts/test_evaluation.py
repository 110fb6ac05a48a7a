# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Judging exposures by alert rules."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from alert_exposures import DAY_OBS, make_exposure, make_rules, watch
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from lsst.ra.pipe.sinks.alerts import (
    AlertContext,
    AlertMemory,
    AlertRules,
    ExposureMetrics,
    Severity,
    evaluate,
)

FWHM = "psf_fwhm_arcsec_median"


def told(rules: AlertRules, *exposures: ExposureMetrics) -> list[tuple[int, str]]:
    """Number of the exposure and state of each alert, over a night."""
    return [(alert.seq_num, alert.state.value) for alert in watch(rules, exposures)]


def levels(*values: float, **others: Any) -> list[ExposureMetrics]:
    """Exposures 1, 2, ... with FWHMs."""
    return [
        make_exposure(index, psf_fwhm_arcsec_median=value, **others)
        for index, value in enumerate(values, start=1)
    ]


def test_alert_opens_once_and_closes_by_the_hysteresis() -> None:
    """It stays open between the bound and the bound less the hysteresis."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}, hysteresis: 0.25")
    assert told(rules, *levels(0.9, 1.0, 1.1, 1.3, 0.9, 0.75, 0.7, 1.1)) == [
        (3, "open"),
        (6, "closed"),
        (8, "open"),
    ]


def test_below_is_the_same_downwards() -> None:
    """The good side of a lower bound is above it."""
    rules = make_rules("level: {metric: zero_point_mag_median, below: 30.0}, hysteresis: 0.5")
    exposures = [
        make_exposure(index, zero_point_mag_median=value)
        for index, value in enumerate((31, 30, 29.9, 30.4, 30.5), start=1)
    ]
    assert told(rules, *exposures) == [(3, "open"), (5, "closed")]


def test_repeating_rule_tells_of_each_exposure_that_meets_it() -> None:
    """Not of those within the hysteresis, and of the end once."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}, hysteresis: 0.25, repeat: true")
    assert told(rules, *levels(1.1, 1.2, 0.9, 1.3, 0.6)) == [
        (1, "open"),
        (2, "open"),
        (4, "open"),
        (5, "closed"),
    ]


@pytest.mark.parametrize("unknown", [math.nan, None, -1])
def test_unknown_metric_changes_nothing(unknown: Any) -> None:
    """Neither opens nor closes an alert."""
    rules = make_rules("level: {metric: n_detectors_missing, above: 3}", "level: {metric: airmass, below: 5}")
    values = (1, unknown, 4, unknown, 1)
    exposures = [make_exposure(seq, n_detectors_missing=value) for seq, value in enumerate(values)]
    assert told(rules, *exposures) == [(2, "open"), (4, "closed")]


def test_judging_again_tells_nothing_new() -> None:
    """As when detectors come late, or a job is done twice."""
    rules = make_rules(
        f"level: {{metric: {FWHM}, above: 1.0}}, repeat: true",
        "level: {metric: n_detectors_missing, above: 0}",
    )
    first = make_exposure(1, psf_fwhm_arcsec_median=1.1, n_detectors_missing=3)
    late = make_exposure(1, psf_fwhm_arcsec_median=1.1, n_detectors_missing=0)
    alerts = watch(rules, [first, first, late, late])
    assert [(alert.rule, alert.state.value) for alert in alerts] == [
        ("rule-0", "open"),
        ("rule-1", "open"),
        ("rule-1", "closed"),
    ]


def judge_all(
    rules: AlertRules, *exposures: ExposureMetrics
) -> tuple[list[tuple[int, str, bool]], list[int]]:
    """What is told, as number, state and lateness, and which exposures began
    the alerts that stand.
    """
    memory = AlertMemory()
    alerts = watch(rules, exposures, memory)
    return (
        [(alert.seq_num, alert.state.value, alert.late) for alert in alerts],
        [alert.since % 100_000 for alert in memory.standing("LSSTCam")],
    )


@pytest.mark.parametrize("repeat", [False, True])
def test_late_exposure_is_told_of_once_and_changes_nothing(repeat: bool) -> None:
    """It opens and closes at once, since a later one was fine already."""
    rules = make_rules(
        f"level: {{metric: {FWHM}, above: 1.0}}, severity: critical, repeat: {str(repeat).lower()}"
    )
    first, bad, third = levels(0.7, 1.7, 0.7)
    late = [(2, "open", True), (2, "closed", True)]
    assert judge_all(rules, first, third, bad, bad) == (late, [])
    opened, closed = watch(rules, [first, third, bad])
    assert opened.severity is closed.severity is Severity.CRITICAL
    assert opened.since == closed.since == bad.exposure
    assert opened.message.startswith(f"Late, after exposure {third.exposure}: ")
    assert closed.message.startswith("Over: a later exposure was judged before. It was: Late")


def test_late_exposure_that_is_fine_closes_nothing() -> None:
    """The alert of a later one stands."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}")
    first, good, bad = levels(0.7, 0.7, 2.0)
    assert judge_all(rules, first, bad, good) == ([(3, "open", False)], [3])


def test_late_exposure_within_a_standing_alert_is_not_told_of() -> None:
    """Nor is one right before it: observers know."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}")
    exposures = levels(2.0, 2.0, 2.0, 2.0)
    for order in itertools.permutations(exposures):
        states, since = judge_all(rules, *order)
        assert states == [(order[0].exposure % 100_000, "open", False)]
        assert since == [order[0].exposure % 100_000]


def test_late_exposure_apart_from_a_standing_alert_does_not_end_it() -> None:
    """A good one lies between; who follows the messages has it still open."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}")
    bad, good, standing = levels(2.0, 0.5, 2.0)
    assert judge_all(rules, good, standing, bad, bad) == ([(3, "open", False), (1, "open", True)], [3])


def test_repeating_rule_tells_of_a_late_exposure_within_its_alert() -> None:
    """As of any that meets it, once."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}, repeat: true")
    first, late, third = levels(2.0, 2.0, 2.0)
    assert judge_all(rules, first, third, late, late) == (
        [(1, "open", False), (3, "open", False), (2, "open", True)],
        [1],
    )


def test_detectors_that_come_late_tell_what_was_not_told() -> None:
    """Of an exposure that is not the latest any more; the rest is known."""
    rules = make_rules(
        f"level: {{metric: {FWHM}, above: 1.0}}", "level: {metric: sky_electron_median, above: 9}"
    )
    early = make_exposure(1, psf_fwhm_arcsec_median=2.0)
    whole = make_exposure(1, psf_fwhm_arcsec_median=2.0, sky_electron_median=10.0)
    later = make_exposure(2, psf_fwhm_arcsec_median=0.5, sky_electron_median=1.0)
    alerts = watch(rules, [early, later, whole, whole])
    assert [(alert.rule, alert.seq_num, alert.state.value, alert.late) for alert in alerts] == [
        ("rule-0", 1, "open", False),
        ("rule-0", 2, "closed", False),
        ("rule-1", 1, "open", True),
        ("rule-1", 1, "closed", True),
    ]


def test_late_exposure_is_compared_with_those_before_it() -> None:
    """Not with later ones, which were judged earlier."""
    rules = make_rules(f"change: {{metric: {FWHM}, above: 0.5, at_least: 2}}")
    one, two, late, four, five = levels(0.5, 0.5, 1.5, 1.5, 1.5)
    assert judge_all(rules, four, five, one, two, late)[0] == [(3, "open", True), (3, "closed", True)]


def test_exposure_before_all_that_are_remembered_is_not_told_of() -> None:
    """Nobody knows any more what was told of it."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}")
    exposures = [make_exposure(seq, psf_fwhm_arcsec_median=0.5) for seq in range(10, 10 + 300)]
    bad = make_exposure(9, psf_fwhm_arcsec_median=2.0)
    assert judge_all(rules, *exposures, bad, bad) == ([], [])
    assert [state for _, state, _ in judge_all(rules, *exposures[1:], bad, bad)[0]] == ["open", "closed"]


def test_new_day_begins_without_alerts() -> None:
    """One that is still met is opened anew; one of which nothing is known ends."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}", "level: {metric: airmass, above: 2}")
    night = make_exposure(900, psf_fwhm_arcsec_median=1.5, airmass=2.5)
    evening = make_exposure(1, day_obs=DAY_OBS + 1, psf_fwhm_arcsec_median=1.5)
    assert told(rules, night, evening) == [(900, "open"), (900, "open"), (1, "open"), (1, "closed")]


def test_rule_is_for_exposures_as_it_says() -> None:
    """Patterns and lists; the others change nothing."""
    rules = make_rules(
        "when: {physical_filter: ['g_*', i_39], observation_type: science}, "
        f"level: {{metric: {FWHM}, above: 1}}"
    )
    facts = [
        ("r_57", "science"),
        ("g_6", "science"),
        ("r_57", "science"),
        ("g_6", "acq"),
        ("i_39", "science"),
    ]
    fwhms = (2.0, 2.0, 0.5, 0.5, 0.5)
    exposures = [
        make_exposure(seq, physical_filter=name, observation_type=kind, psf_fwhm_arcsec_median=fwhm)
        for seq, ((name, kind), fwhm) in enumerate(zip(facts, fwhms, strict=True))
    ]
    assert told(rules, *exposures) == [(1, "open"), (4, "closed")]


def test_change_is_from_the_median_of_the_last_exposures() -> None:
    """Of as many as there are, when there are enough; an outlier is no matter."""
    rules = make_rules(f"change: {{metric: {FWHM}, above: 0.25, last: 5, at_least: 3}}")
    (alert,) = watch(rules, levels(0.75, 0.75, 2.0, 0.75, 1.5))
    assert (alert.seq_num, alert.value) == (5, 0.75)
    assert "1.5 arcsec, +0.75 from the median of the last 4 exposures (above 0.25 arcsec)" in alert.message


def test_too_few_earlier_exposures_are_no_reference() -> None:
    """No alert before there are enough of the same filter."""
    rules = make_rules(f"change: {{metric: {FWHM}, above: 0.25, at_least: 2}}")
    exposures = [make_exposure(1, physical_filter="g_6", psf_fwhm_arcsec_median=0.5)]
    exposures += [make_exposure(seq, psf_fwhm_arcsec_median=0.5) for seq in (2, 3)]
    exposures += [
        make_exposure(4, physical_filter="g_6", psf_fwhm_arcsec_median=2.0),
        make_exposure(5, psf_fwhm_arcsec_median=2.0),
    ]
    assert told(rules, *exposures) == [(5, "open")]


def test_change_in_sigmas_has_a_least_sigma() -> None:
    """Equal exposures do not make the next one an outlier."""
    text = "change: {{metric: {0}, above: 3, in: sigma, smallest_sigma: {1}}}"
    rules = make_rules(text.format(FWHM, 0.125), text.format(FWHM, 0.0625))
    (alert,) = watch(rules, levels(0.5, 0.5, 0.5, 0.75))
    assert (alert.rule, alert.value, alert.unit) == ("rule-1", 4.0, "sigma")


def test_change_in_sigmas_of_the_scatter() -> None:
    """1.4826 times the median absolute deviation."""
    rules = make_rules(f"change: {{metric: {FWHM}, above: 3, in: sigma, smallest_sigma: 1.0e-6}}")
    (alert,) = watch(rules, levels(0.5, 0.6, 0.7, 0.8, 0.9, 1.2))
    assert alert.value == pytest.approx(0.5 / (1.4826 * 0.1))


def test_change_compares_with_exposures_that_the_rule_is_for() -> None:
    """A science exposure is not compared with acquisition images."""
    rules = make_rules(
        f"when: {{observation_type: science}}, change: {{metric: {FWHM}, above: 0.2, at_least: 1}}"
    )
    exposures = [
        make_exposure(1, observation_type="acq", psf_fwhm_arcsec_median=0.5),
        make_exposure(2, psf_fwhm_arcsec_median=1.0),
        make_exposure(3, psf_fwhm_arcsec_median=1.1),
    ]
    assert told(rules, *exposures) == []


@pytest.mark.parametrize(("n_failed", "expected"), [(0, []), (1, []), (2, ["open"]), (4, ["open"])])
def test_fraction_of_detectors_in_a_status(n_failed: int, expected: list[str]) -> None:
    """Of those with a status: the last one has none."""
    rules = make_rules("detectors: {metric: astrometry_status, other_than: ok, fraction: 0.5}")
    status = ["few references"] * n_failed + ["ok"] * (4 - n_failed) + [""]
    alerts = watch(rules, [make_exposure(1, detectors={"astrometry_status": status})])
    assert [alert.state.value for alert in alerts] == expected
    for alert in alerts:
        assert alert.value == n_failed / 4
        assert len(alert.detectors) == n_failed
        assert "R22_S00" in alert.message


def test_number_of_detectors_beyond_a_level() -> None:
    """Those that are not known do not count; many names are shortened."""
    rules = make_rules("detectors: {metric: n_psf_stars, below: 10, number: 7}, hysteresis: 2")
    values = [
        [3] * 6 + [-1] * 3,
        [3] * 7 + [50] * 2,
        [3] * 6 + [50] * 3,
        [3] * 5 + [50] * 4,
        [3] * 4 + [50] * 5,
    ]
    exposures = [make_exposure(seq, detectors={"n_psf_stars": one}) for seq, one in enumerate(values)]
    opened, closed = watch(rules, exposures)
    assert (opened.seq_num, opened.value, closed.seq_num) == (1, 7.0, 4)
    assert opened.message.startswith("n_psf_stars of 7 of 9 detectors below 10: R22_S00, ")
    assert opened.message.endswith("and 2 more")


def test_one_of_several_statuses() -> None:
    """Other failures are another rule's."""
    rules = make_rules("detectors: {metric: psf_status, one_of: [few stars, no sources], number: 2}")
    status = ["ok", "few stars", "trailed", "no sources"]
    (alert,) = watch(rules, [make_exposure(1, detectors={"psf_status": status})])
    assert alert.detectors == ("R22_S01", "R22_S10")


def test_amplifiers_of_a_calibration_exposure() -> None:
    """Their names have the detector's."""
    rules = make_rules("amplifiers: {metric: read_noise_ratio, above: 1.5, number: 1}")
    table = Table(
        {
            "detector_name": ["R22_S11", "R22_S11", "R22_S12"],
            "amplifier": ["C00", "C01", "C00"],
            "read_noise_ratio": [1.0, 2.0, math.nan],
        }
    )
    exposure = ExposureMetrics(summary=make_exposure(1).summary, amplifiers=table)
    (alert,) = watch(rules, [exposure])
    assert alert.detectors == ("R22_S11_C01",)
    assert alert.message == "read_noise_ratio of 1 of 2 amplifiers above 1.5: R22_S11_C01"


def test_statistic_that_the_summary_lacks_is_taken_of_the_detectors() -> None:
    """Every metric of a detector has a median, scatter, minimum and maximum."""
    exposure = make_exposure(1, detectors={"psf_moffat_beta": [2.0, 3.0, math.nan, 5.0]})
    names = [f"psf_moffat_beta_{name}" for name in ("median", "min", "max", "scatter")]
    assert [exposure.value(name) for name in names] == [3.0, 2.0, 5.0, pytest.approx(1.4826)]


def test_alert_of_a_rule_that_is_gone_ends() -> None:
    """Rules were changed, and the service started again."""
    before = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}")
    exposure = make_exposure(1, psf_fwhm_arcsec_median=2.0)
    opened = evaluate(before, exposure, AlertContext())
    again = evaluate(AlertRules(), exposure, AlertContext(standing=opened.standing, latest=exposure.exposure))
    assert [alert.state.value for alert in again.told] == ["closed"]
    assert not again.standing


def test_message_says_what_the_rule_wants() -> None:
    """Any word of the rule, the exposure and the condition; one line."""
    rules = make_rules(
        f"level: {{metric: {FWHM}, above: 1.0}}, "
        "message: '{rule} {instrument} {day_obs} {seq_num} {physical_filter}\n{value:.2f} {unit} {bounds}'"
    )
    (alert,) = watch(rules, levels(1.25))
    assert alert.message == f"rule-0 LSSTCam {DAY_OBS} 1 r_57 1.25 arcsec above 1 arcsec"


@given(st.lists(st.floats(0.0, 3.0) | st.just(math.nan), max_size=30), st.floats(0.0, 0.5))
def test_messages_of_a_rule_open_and_close_in_turn(values: list[float], hysteresis: float) -> None:
    """Whatever comes, and an open alert has met its condition."""
    rules = make_rules(f"level: {{metric: {FWHM}, above: 1.0}}, hysteresis: {hysteresis!r}")
    alerts = watch(rules, levels(*values))
    assert [alert.state.value for alert in alerts] == ["open", "closed"] * (len(alerts) // 2) + ["open"] * (
        len(alerts) % 2
    )
    for alert in alerts:
        value = values[alert.seq_num - 1]
        assert value > 1.0 if alert.state.value == "open" else value <= np.nextafter(1.0 - hysteresis, 2.0)
