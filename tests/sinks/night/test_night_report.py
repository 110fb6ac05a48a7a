# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The report of a night, from a real Butler repository."""

from __future__ import annotations

import base64
import html.parser
import io
import math
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import PIL.Image
import pytest
from click.testing import CliRunner, Result
from lsst.daf.butler import Butler
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.sinks.alerts import default_alert_rules, load_alert_rules
from lsst.ra.pipe.sinks.night import Night, NightExposure, read_night, render_night_report
from night_exposures import CLOUD, DAY_OBS, MISSING, N_EXPOSURES, WITHOUT_PSF, make_summary
from night_repository import CHAIN, LATE_RUN, RUN, UNPROCESSED, make_night_repository


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Repository with a night."""
    return make_night_repository(tmp_path_factory.mktemp("night") / "repo")


@pytest.fixture(scope="module")
def butler(root: pathlib.Path) -> Iterator[Butler]:
    """Client of the repository."""
    with Butler.from_config(root) as butler:
        yield butler


@pytest.fixture(scope="module")
def night(butler: Butler) -> Night:
    """The night, judged by the rules that come with the package."""
    rules = load_alert_rules(default_alert_rules("LSSTCam"))
    return read_night(butler, instrument="LSSTCam", day_obs=DAY_OBS, collections=[CHAIN], rules=rules)


class Page(html.parser.HTMLParser):
    """What a browser would make of the page: tags, tables, open elements."""

    VOID = ("meta", "img", "br", "link", "hr", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._row = ""
        self.feed(text)
        self.close()
        assert self._open == [], "All elements are closed."

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "tr":
            self._row = dict(attrs).get("id") or ""
            self.rows.setdefault(self._row, [])
        if tag == "td":
            self.rows[self._row].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "td":
            self.rows[self._row][-1] = " ".join(self.rows[self._row][-1].split())

    def handle_data(self, data: str) -> None:
        if "td" in self._open:
            self.rows[self._row][-1] += data

    def row(self, seq_num: int) -> list[str]:
        """Cells of an exposure."""
        return self.rows[f"e{DAY_OBS * 100_000 + seq_num}"]


@pytest.fixture(scope="module")
def page(night: Night) -> Page:
    """The page."""
    return Page(render_night_report(night))


def test_every_exposure_of_the_sky_is_there(night: Night) -> None:
    """Also the one that was not processed; that of another day is not."""
    assert [one.seq_num for one in night.exposures] == list(range(1, N_EXPOSURES + 2))
    assert [one.seq_num for one in night.exposures if one.summary is None] == [UNPROCESSED]


def test_latest_gathering_counts(night: Night, page: Page) -> None:
    """Detectors that came late are in the summary that users find."""
    assert {one.run for one in night.exposures} == {RUN, LATE_RUN, ""}
    late = next(one for one in night.exposures if one.run == LATE_RUN)
    assert page.row(late.seq_num)[11] == "189 / 0"


def test_alerts_are_those_of_the_weather(night: Night) -> None:
    """A cloud, an exposure without PSF, missing detectors; and their ends."""
    told = [(alert.seq_num, alert.rule, alert.state.value) for one in night.exposures for alert in one.alerts]
    first_dim = next(seq for seq, rule, state in told if (rule, state) == ("clouds", "open"))
    end = next(seq for seq, rule, state in told if (rule, state) == ("clouds", "closed"))
    assert first_dim in CLOUD
    assert end == CLOUD[-1] + 1 or end in CLOUD
    assert (WITHOUT_PSF, "psf-not-measured", "open") in told
    assert (WITHOUT_PSF + 1, "psf-not-measured", "closed") in told
    assert (min(MISSING), "missing-detectors", "open") in told
    assert {rule for _, rule, _ in told} == {
        "clouds",
        "psf-not-measured",
        "astrometry-failed",
        "photometry-failed",
        "missing-detectors",
        "some-missing-detectors",
    }


def test_page_needs_nothing_else(page: Page) -> None:
    """No script, and nothing that a browser would fetch."""
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed"}
    sources = [attributes.get("src") or "" for _, attributes in page.tags if "src" in attributes]
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,")
    image = PIL.Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2])))
    assert image.size[0] == 1200


def test_table_has_the_values_with_dashes_for_unknown_ones(night: Night, page: Page) -> None:
    """Medians with their formats; a dash, and no NaN anywhere."""
    summary = night.exposures[0].summary
    assert summary is not None
    row = page.row(1)
    assert row[:4] == ["1", "02:25:51", "g_6", "30"]
    assert row[5] == f"{summary['psf_fwhm_arcsec_median']:.2f}"
    assert row[7] == f"{summary['sky_electron_median']:,.0f}"
    assert row[8] == f"{summary['zero_point_mag_median']:.2f}"
    assert page.row(WITHOUT_PSF)[5:7] == ["\u2013", "\u2013"]
    assert page.row(UNPROCESSED)[3] == "no metrics: not processed, or failed"
    assert "nan" not in " ".join(cell for row in page.rows.values() for cell in row).lower().split()


def test_links_lead_to_pictures_and_within_the_page(page: Page, root: pathlib.Path) -> None:
    """Anchors exist; files exist."""
    links = [attributes["href"] or "" for tag, attributes in page.tags if tag == "a"]
    names = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link[1:] for link in links if link.startswith("#")} <= names
    files = [link for link in links if link.startswith("file://")]
    assert len(files) == 1
    assert pathlib.Path(files[0].removeprefix("file://")).read_bytes() == b"\x89PNG\r\n\x1a\n"


def test_totals_add_up(page: Page) -> None:
    """Exposures and open shutter of the filters are those of all."""
    cells = page.rows[""]
    start = cells.index("g_6")
    rows = [cells[begin : begin + 9] for begin in range(start, start + 6 * 9, 9)]
    assert [row[:2] for row in rows] == [
        ["g_6", "10"],
        ["r_57", "16"],
        ["i_39", "12"],
        ["z_20", "12"],
        ["y_10", "10"],
        ["all", "60"],
    ]
    assert rows[-1][2] == "1,800"


def test_totals_say_of_how_many_exposures_they_are(page: Page) -> None:
    """The exposure without PSF has no effective time; its filter says so."""
    cells = page.rows[""]
    start = cells.index("g_6")
    rows = [cells[begin : begin + 9] for begin in range(start, start + 6 * 9, 9)]
    known = {row[0]: row[3].partition(" of ")[2] for row in rows}
    assert known == {"g_6": "", "r_57": "", "i_39": "", "z_20": "11", "y_10": "", "all": "59"}
    assert all(" of " not in row[2] for row in rows)


@pytest.mark.parametrize(
    ("metric", "caption"),
    [("exposure_time_second", "shutter open (h)"), ("effective_time_second_median", "effective time (h)")],
)
@pytest.mark.parametrize(
    ("values", "total", "cell"),
    [
        ((math.nan, math.nan, math.nan), "\u2013", "\u2013"),
        ((None, None, None), "\u2013", "\u2013"),
        ((3600.0, math.nan, 1800.0), "1.50 of 2 exposures", "5,400 of 2"),
        ((3600.0, 0.0, 1800.0), "1.50", "5,400"),
        ((0.0, 0.0, 0.0), "0.00", "0"),
    ],
)
def test_sum_of_unknown_times_is_no_zero(
    metric: str, caption: str, values: tuple[float | None, ...], total: str, cell: str
) -> None:
    """A dash if no exposure has a time; how many have one if only some do."""
    exposures = []
    for seq_num, value in enumerate(values, start=1):
        summary = {**make_summary(seq_num, "r"), metric: value}
        exposures.append(NightExposure(DAY_OBS * 100_000 + seq_num, seq_num, "r_57", summary))
    text = render_night_report(Night("LSSTCam", DAY_OBS, (CHAIN,), tuple(exposures)))
    (fact,) = re.findall(rf"<dt>{re.escape(caption)}</dt><dd>(.*?)</dd>", text)
    assert re.sub(r"<[^>]*>", "", fact) == total
    column = 2 if metric == "exposure_time_second" else 3
    cells = Page(text).rows[""]
    assert [cells[cells.index(name) + column] for name in ("r_57", "all")] == [cell, cell]


def test_text_of_headers_is_no_html(butler: Butler) -> None:
    """Whatever somebody calls a filter or a field."""
    found = read_night(butler, instrument="LSSTCam", day_obs=DAY_OBS, collections=[CHAIN])
    first = found.exposures[0]
    assert first.summary is not None
    changed: dict[str, Any] = {**first.summary, "physical_filter": "<script>alert(1)</script>"}
    bad = type(first)(first.exposure, first.seq_num, "<script>", changed)
    text = render_night_report(Night("LSSTCam", DAY_OBS, (CHAIN,), (bad,)))
    assert "<script" not in text


def rapid(*args: object) -> Result:
    """Run ``rapid`` with arguments."""
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


def test_command_writes_the_page(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Into a directory that it makes; it tells where."""
    result = rapid("night", root, "--day-obs", DAY_OBS, "-o", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    path = tmp_path / "reports" / f"night_LSSTCam_{DAY_OBS}.html"
    assert path.name in re.sub(r"\s", "", result.output)
    assert ">clouds</span>" in path.read_text()
    assert rapid("night", root, "--day-obs", DAY_OBS, "-o", tmp_path, "--no-alerts").exit_code == 0
    assert ">clouds</span>" not in (tmp_path / path.name).read_text()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--instrument", "HSC"), ("instrument 'HSC'", "--alerts", "--no-alerts")),
        (("--alerts", "/nowhere/rules.yaml"), ("/nowhere/rules.yaml", "--alerts")),
        (("--alerts", "/"), ("/: ", "--alerts")),
    ],
)
def test_rules_that_are_not_there_are_named(
    root: pathlib.Path, tmp_path: pathlib.Path, options: tuple[str, ...], named: tuple[str, ...]
) -> None:
    """What was asked for, and which instruments have rules."""
    result = rapid("night", root, "--day-obs", DAY_OBS, "-o", tmp_path, *options)
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error")]
    assert "Errno" not in line
    for text in named:
        assert text in line
    if options[-1] != "/":
        assert "LATISS, LSSTCam, LSSTComCam" in line


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--day-obs", 20260221), "No exposure of LSSTCam on 20260221 has a summary in LSSTCam/rapid; 1 "),
        (("--day-obs", 20260223), "No exposure of LSSTCam on 20260223 has a summary in LSSTCam/rapid; 0 "),
        (("--day-obs", DAY_OBS, "-i", "u/nobody"), "u/nobody"),
        (("--day-obs", DAY_OBS, "--instrument", "LATISS"), "LATISS"),
    ],
)
def test_night_without_anything_is_one_line(
    root: pathlib.Path, tmp_path: pathlib.Path, options: tuple[object, ...], expected: str
) -> None:
    """And no page."""
    result = rapid("night", root, "-o", tmp_path, *options)
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error")]
    assert expected in line
    assert list(tmp_path.iterdir()) == []
