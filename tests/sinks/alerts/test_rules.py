# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Files of alert rules, and what is said of those that are wrong."""

from __future__ import annotations

import pathlib

import pytest
from alert_exposures import watch
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.sinks.alerts import (
    EXPOSURE_METRICS,
    AlertRuleError,
    ExposureMetrics,
    default_alert_rules,
    load_alert_rules,
    load_instrument_rules,
    shipped_alert_rules,
)
from lsst.ra.pipe.tasks import ExposureSummaryTask
from plot_inputs import make_metrics

INSTRUMENTS = ("LSSTCam", "LSSTComCam", "LATISS")

HEAD = """\
rules:
  - name: seeing
    severity: info
"""


def problems(tmp_path: pathlib.Path, text: str) -> list[str]:
    """Problems of a file, without its name."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(AlertRuleError) as raised:
        load_alert_rules(path)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_shipped_rules_are_quiet_in_a_good_night(instrument: str) -> None:
    """They load, and an exposure as it should be meets none of them."""
    rules = load_alert_rules(default_alert_rules(instrument))
    assert len(rules) > 10
    camera = load_camera(instrument)
    metrics = {
        number: make_metrics(
            camera,
            number,
            observation_type="science",
            astrometry_status="ok",
            photometry_status="ok",
            zero_point_mag=32.0,
            pointing_offset_ra_arcsec=1.0,
            pointing_offset_dec_arcsec=-1.0,
            pointing_rotation_degree=0.01,
        )
        for number, facts in camera.facts.items()
        if facts.purpose == "SCIENCE"
    }
    result = ExposureSummaryTask().run(metrics=metrics, instrument=instrument)
    exposures = [
        ExposureMetrics({**result.summary, "exposure": seq_num, "seq_num": seq_num}, result.detectors)
        for seq_num in range(1, 6)
    ]
    assert watch(rules, exposures) == []


def test_every_number_of_a_summary_can_be_judged() -> None:
    """What the task writes and what rules know are the same names."""
    camera = load_camera("LSSTCam")
    metrics = {number: make_metrics(camera, number) for number in range(90, 99)}
    summary = ExposureSummaryTask().run(metrics=metrics, instrument="LSSTCam").summary
    identifiers = {"visit", "exposure", "day_obs", "seq_num"}
    numbers = {
        name
        for name, value in summary.items()
        if isinstance(value, int | float) and not name.endswith("_detector") and name not in identifiers
    }
    assert len(numbers) > 50
    assert numbers - set(EXPOSURE_METRICS) == set()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "level: {metric: psf_fwhm_arcsec, above: 1}",
            "4: rule 'seeing': level.metric: there is no metric 'psf_fwhm_arcsec' of an exposure; "
            "did you mean psf_fwhm_arcsec_median, psf_fwhm_arcsec_scatter, psf_fwhm_arcsec_min?",
        ),
        (
            "detectors: {metric: astrometry_state, other_than: ok, number: 1}",
            "4: rule 'seeing': detectors.metric: there is no metric 'astrometry_state' of a detector; "
            "did you mean astrometry_status",
        ),
        (
            "detectors: {metric: astrometry_status, above: 1, number: 1}",
            "4: rule 'seeing': detectors.above: astrometry_status is text: expected one_of or other_than",
        ),
        (
            "detectors: {metric: sky_electron, one_of: ok, number: 1}",
            "4: rule 'seeing': detectors.one_of: sky_electron is a number: expected above or below",
        ),
        (
            "detectors: {metric: sky_electron, above: 1, number: 1, fraction: 0.5}",
            "4: rule 'seeing': detectors.metric: expected either number or fraction",
        ),
        (
            "detectors: {metric: sky_electron, above: 1, fraction: 1.5}",
            "4: rule 'seeing': detectors.fraction: input should be less than or equal to 1; got 1.5",
        ),
        (
            "level: {metric: airmass}",
            "4: rule 'seeing': level.metric: expected above or below, or both",
        ),
        (
            "level: {metric: airmass, above: 1, below: 2}",
            "4: rule 'seeing': level.below: expected at most 1, which is 'above', got 2",
        ),
        (
            "level: {metric: airmass, above: .nan}",
            "4: rule 'seeing': level.above: input should be a finite number; got nan",
        ),
        (
            "change: {metric: airmass, above: 1, in: sigma}",
            "4: rule 'seeing': change.smallest_sigma: expected a value if 'in' is sigma",
        ),
        (
            "change: {metric: airmass, above: 1, last: 2}",
            "4: rule 'seeing': change.at_least: expected at most 2, which is 'last', got 3",
        ),
        (
            "change: {metric: airmass, above: 1, same: colour}",
            "4: rule 'seeing': change.same.0: input should be 'physical_filter', 'band'",
        ),
        (
            "level: {metric: airmass, above: 1}\n    change: {metric: airmass, above: 1}",
            "5: rule 'seeing': expected exactly one of level, change, detectors, amplifiers; "
            "got level and change",
        ),
        (
            "when: {filter: r}\n    level: {metric: airmass, above: 1}",
            "4: rule 'seeing': unknown key 'when.filter'; known are instrument, observation_type",
        ),
        (
            "level: {metric: airmass, above: 1}\n    hysterisis: 1",
            "5: rule 'seeing': unknown key 'hysterisis'; known are name, severity, when",
        ),
        (
            "level: {metric: airmass, above: 1}\n    message: '{median}'",
            "5: rule 'seeing': message: there is no {median}; there are bounds, day_obs",
        ),
        (
            "level: {metric: airmass, above: 1}\n    message: '{value.__class__}'",
            "5: rule 'seeing': message: there is no {value.__class__}",
        ),
        (
            "level: {metric: airmass, above: 1}\n    message: '{value:d}'",
            "5: rule 'seeing': message: Unknown format code 'd'",
        ),
        (
            "level: {metric: airmass, above: 1}\n    repeat: sometimes",
            "5: rule 'seeing': repeat: input should be a valid boolean; got 'sometimes'",
        ),
        (
            "level: {metric: airmass, above: 1}\n    repeat: true\n    repeat: false",
            "6: the key 'repeat' occurs twice",
        ),
        (
            "level: {metric: airmass, above: 1}\n  - name: seeing\n    severity: info\n"
            "    level: {metric: airmass, above: 2}",
            "5: the name 'seeing' is that of an earlier rule, too",
        ),
    ],
)
def test_wrong_rule_is_named_with_its_line(tmp_path: pathlib.Path, body: str, expected: str) -> None:
    """File, line, rule and key, what was expected and what came."""
    (problem,) = problems(tmp_path, f"{HEAD}    {body}\n")
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: document: input should be a valid dictionary"),
        ("rules: []", "1: rules: list should have at least 1 item"),
        ("rules:\n  - 3", "2: rule 1: document: input should be a valid dictionary"),
        ("rules:\n  - severity: info", "2: rule 1: name: it is missing"),
        ("rules: [\n", "2: no YAML:"),
        (f"{HEAD}    level: 3\n", "4: rule 'seeing': level: input should be a valid dictionary"),
    ],
)
def test_wrong_file_is_refused(tmp_path: pathlib.Path, text: str, expected: str) -> None:
    """Also without a rule to name."""
    assert problems(tmp_path, text)[0].startswith(expected)


def test_all_problems_are_told_at_once(tmp_path: pathlib.Path) -> None:
    """In the order of their lines."""
    text = "rules:\n" + "".join(
        f"  - name: rule-{index}\n    severity: high\n    level: {{metric: airmas, above: 1}}\n"
        for index in range(3)
    )
    assert [line.partition(":")[0] for line in problems(tmp_path, text)] == ["3", "4", "6", "7", "9", "10"]


def test_circumstances_of_the_file_are_those_of_its_rules(tmp_path: pathlib.Path) -> None:
    """A rule's own go before them, key by key."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        "when: {observation_type: science, band: [g, r]}\nrules:\n"
        "  - {name: a, severity: info, level: {metric: airmass, above: 1}}\n"
        "  - {name: b, severity: info, when: {observation_type: bias}, level: {metric: airmass, above: 1}}\n"
    )
    first, second = load_alert_rules(path)
    assert (first.when.observation_type, first.when.band) == (("science",), ("g", "r"))
    assert (second.when.observation_type, second.when.band) == (("bias",), ("g", "r"))


def test_instrument_without_rules_is_named() -> None:
    """With those that have some; the file of another is no stand-in."""
    assert {"LATISS", "LSSTCam", "LSSTComCam"} == set(shipped_alert_rules())
    with pytest.raises(
        AlertRuleError, match="instrument 'HSC' come with this package, only for LATISS, LSSTCam"
    ):
        load_instrument_rules("HSC")
    assert load_instrument_rules("LATISS").origin == default_alert_rules("LATISS")


def test_file_of_rules_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    """One that is not there, a directory, one that is no text."""
    with pytest.raises(AlertRuleError, match=f"^{tmp_path}/none.yaml: there is no such file of alert rules"):
        load_alert_rules(tmp_path / "none.yaml")
    with pytest.raises(AlertRuleError, match=f"^{tmp_path}: .*cannot be read"):
        load_alert_rules(str(tmp_path))
    (tmp_path / "rules.yaml").write_bytes(b"rules: \xff")
    with pytest.raises(AlertRuleError, match=r"UTF-8: .* at byte 7"):
        load_instrument_rules("HSC", str(tmp_path / "rules.yaml"))
